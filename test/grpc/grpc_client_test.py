# SPDX-License-Identifier: Apache-2.0
"""gRPC's own client (grpcio) against our server: echo, health, deadlines, TLS, drain."""
import concurrent.futures
import os
import ssl
import subprocess
import threading

import grpc
import pytest

BINARY = os.environ["GRPC_ECHO_SERVER"]
DEADLINE_S = 30
LARGE = 16 << 20


class Server:
    def __init__(self, *arguments):
        self.process = subprocess.Popen([BINARY, *arguments], stderr=subprocess.PIPE, text=True)
        self.port = int(self.process.stderr.readline())
        options = [("grpc.max_receive_message_length", LARGE)]
        if "tls" in arguments:
            pem = ssl.get_server_certificate(("127.0.0.1", self.port), timeout=DEADLINE_S)
            trust = grpc.ssl_channel_credentials(pem.encode())
            self.channel = grpc.secure_channel(f"localhost:{self.port}", trust, options)
        else:
            self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options)

    def unary(self, path, message=b"", timeout=DEADLINE_S):
        return self.channel.unary_unary(path)(message, timeout=timeout)

    def health(self, method, service=b""):
        request = b"\x0a" + bytes([len(service)]) + service if service else b""
        return self.unary(f"/grpc.health.v1.Health/{method}", request)


@pytest.fixture(params=["plain", "tls"])
def server(request):
    made = Server(*([] if request.param == "plain" else ["tls"]))
    yield made
    made.channel.close()
    made.process.kill()
    made.process.wait()
    made.process.stderr.close()


def status_of(call):
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code()


def test_echoes_messages_of_all_sizes(server):
    for size in (0, 1, 4096, 100_000, 3_000_000):
        message = os.urandom(size)
        assert server.unary("/test.T/Echo", message) == message


def test_streams_both_ways(server):
    taken = threading.Semaphore(1)

    def messages():
        for i in range(100):
            assert taken.acquire(timeout=DEADLINE_S)
            yield str(i).encode()

    answers = []
    for answer in server.channel.stream_stream("/test.T/Echo")(messages(), timeout=DEADLINE_S):
        answers.append(int(answer))
        taken.release()
    assert answers == list(range(100))


def test_many_large_calls_at_a_time(server):
    message = os.urandom(1 << 20)
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: server.unary("/test.T/Echo", message), range(64)))
    assert all(answer == message for answer in answers)


def test_tells_what_goes_wrong(server):
    assert status_of(lambda: server.unary("/no.Such/Method")) == grpc.StatusCode.UNIMPLEMENTED
    late = status_of(lambda: server.unary("/test.T/Hold", timeout=0.2))
    assert late == grpc.StatusCode.DEADLINE_EXCEEDED
    large = status_of(lambda: server.unary("/test.T/Echo", bytes(5 << 20)))
    assert large == grpc.StatusCode.RESOURCE_EXHAUSTED
    packed = server.channel.unary_unary("/test.T/Echo")
    compressed = status_of(
        lambda: packed(bytes(1000), timeout=DEADLINE_S, compression=grpc.Compression.Gzip))
    assert compressed == grpc.StatusCode.UNIMPLEMENTED
    assert server.unary("/test.T/Echo", b"still here") == b"still here"


def test_a_cancelled_call_leaves_the_connection(server):
    for _ in range(100):
        server.channel.unary_unary("/test.T/Hold").future(b"x").cancel()
    assert server.unary("/test.T/Echo", b"x") == b"x"


def test_health(server):
    assert server.health("Check") == b"\x08\x01"
    assert server.health("Check", b"readiness") == b"\x08\x02"
    assert status_of(lambda: server.health("Check", b"other")) == grpc.StatusCode.NOT_FOUND
    watch = server.channel.unary_stream("/grpc.health.v1.Health/Watch")(
        b"\x0a\x09readiness", timeout=DEADLINE_S)
    assert next(watch) == b"\x08\x02"
    server.unary("/test.T/Toggle")
    assert next(watch) == b"\x08\x01"
    watch.cancel()


def test_drains(server):
    open_call = threading.Event()

    def messages():
        yield b"first"
        assert open_call.wait(DEADLINE_S)
        yield b"last"

    running = server.channel.stream_stream("/test.T/Echo")(messages(), timeout=DEADLINE_S)
    assert next(running) == b"first"
    server.unary("/test.T/Drain")
    open_call.set()
    assert list(running) == [b"last"]
    assert server.process.wait(DEADLINE_S) == 0
