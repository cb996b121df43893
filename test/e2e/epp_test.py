# SPDX-License-Identifier: Apache-2.0
"""The endpoint picker behind the real Envoy, with the configurations of deploy/envoy/."""
import concurrent.futures
import contextlib
import hashlib
import http.client
import http.server
import json
import re
import signal
import socket
import ssl
import subprocess
import threading
import urllib.request

import pytest
from conftest import start as start_fairlead
from conftest import stop as stop_fairlead
from conftest import wait_for
from envoy_peer import (
    EVENTS, ROOT, DigestEngine, Envoy, Picker, chat, post, render, wait_until,
)  # fmt: skip

MODES = ["epp", "epp-response-none", "epp-buffered", "epp-buffered-partial", "epp-streamed",
         "epp-headers-only"]  # fmt: skip


class Stack:
    """Engines, the picker and Envoy; ended, and on failure told about, by the fixture."""

    def __init__(self, stack):
        self.stack = stack

    def engines(self, count=3):
        self.engine = [self.stack.enter_context(DigestEngine()) for _ in range(count)]
        return [engine.address for engine in self.engine]

    def begin(self, variant="epp", addresses=(), envoy=None, **picker):
        addresses = addresses or self.engines()
        self.picker = self.stack.enter_context(Picker(addresses, **picker))
        text = render(variant, listen=0, admin=0, listen_address="127.0.0.1",
                      picker=self.picker.port, upstreams=addresses, **(envoy or {}))  # fmt: skip
        self.envoy = self.stack.enter_context(Envoy(text))
        self.port = self.envoy.port
        wait_until(lambda: self.post(chat())[0] == 200, "the first request to be answered")
        return self

    def post(self, body, headers=None, **options):
        return post(self.port, body, headers, **options)

    def whole(self, body):
        """Sends it and checks that an engine got exactly that; the engine's port."""
        status, _, answer = self.post(body)
        assert status == 200, answer
        seen = json.loads(answer)
        assert seen["bytes"] == len(body)
        assert seen["sha256"] == hashlib.sha256(body).hexdigest()
        return seen["port"]

    def metric(self, pattern):
        """The sum over the samples whose name and labels match."""
        lines = [line for line in self.picker.metrics().splitlines() if re.match(pattern, line)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.fixture
def stack():
    # A list, so that each is ended even when the end of another fails.
    with contextlib.ExitStack() as exits:
        stack = Stack(exits)
        yield stack
        # A reply that Envoy does not expect at that point ends the request with 500.
        if hasattr(stack, "envoy"):
            assert stack.envoy.counter("ext_proc.spurious_msgs_received") == 0


@pytest.fixture(scope="module")
def simulated():
    """Addresses of three simulated engines, which stream."""
    engines = start_fairlead("engine", "--engines", "3", "--base-port", "0", "--speed", "4",
                             "--served-model-name", "m")  # fmt: skip
    ports = wait_for(engines, r"ports((?: \d+)+)").group(1).split()
    yield [f"127.0.0.1:{port}" for port in ports]
    assert stop_fairlead(engines) == 0


@pytest.mark.parametrize("variant", MODES)
def test_plain_and_streamed_answers(stack, simulated, variant):
    stack.begin(variant, simulated)
    status, headers, answer = stack.post(chat(max_tokens=20))
    assert status == 200
    assert json.loads(answer)["usage"]["completion_tokens"] == 20
    assert "x-gateway-destination-endpoint-served" not in headers
    status, headers, answer = stack.post(chat(stream=True, max_tokens=20))
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    assert answer.rstrip().endswith(b"data: [DONE]")
    assert answer.count(b'"content"') >= 20


@pytest.mark.parametrize("variant", MODES)
@pytest.mark.parametrize("size, requests", [(1_000_000, 150), (4_000_000, 150)])
def test_bodies_arrive_whole(stack, variant, size, requests):
    stack.begin(variant)
    with concurrent.futures.ThreadPoolExecutor(requests) as pool:
        ports = list(pool.map(stack.whole, [chat(size, seed=seed) for seed in range(requests)]))
    assert len(ports) == requests
    assert len(set(ports)) > 1, "spread over engines"


@pytest.mark.parametrize("variant", MODES)
def test_small_and_empty_requests(stack, variant):
    stack.begin(variant)
    sizes = (0, 1, 381, 16_384, 32_767, 32_768, 32_769, 62_000, 65_536, 65_600, 124_000)
    for size in sizes:
        # Here Envoy loses the end of a body that it read whole before the picker's answer came:
        # deploy/envoy/README.md.
        if variant != "epp-buffered-partial" or not 32_768 < size <= 65_536:
            stack.whole(chat(size))
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/v1/models")
        assert connection.getresponse().status == 200


def test_the_same_prefix_goes_to_the_same_engine(stack):
    stack.begin()
    shared = chat(100_000, seed=1)
    assert len({stack.whole(shared) for _ in range(10)}) == 1


def test_the_next_of_the_list_answers_when_the_first_is_down(stack):
    stack.begin("epp-fallback", plugins=[
        ("prefix-cache-scorer", 1, {}), ("max-score-picker", None, {"maxNumOfEndpoints": 3}),
    ])  # fmt: skip
    body = chat(1_000_000)
    first = stack.whole(body)
    next(engine for engine in stack.engine if engine.port == first).close()
    for _ in range(10):
        assert stack.whole(body) != first


def answers_in_background(stack, stopping, body):
    statuses = []

    def loop():
        while not stopping.is_set():
            try:
                statuses.append(stack.post(body, timeout=30)[0])
            except (OSError, http.client.HTTPException):
                statuses.append(0)

    threads = [threading.Thread(target=loop) for _ in range(8)]
    for thread in threads:
        thread.start()
    return threads, statuses


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_requests_go_on_while_the_picker_restarts(stack, how):
    # Told to end, it serves on for as long as Envoy holds its connection.
    stack.begin("epp-fail-open", flags=["--drain-timeout=5s"])
    stopping = threading.Event()
    threads, statuses = answers_in_background(stack, stopping, chat(20_000))
    try:
        for _ in range(2):
            seen = len(statuses)
            wait_until(lambda: len(statuses) > seen + 50, "requests through the picker")
            stack.picker.stop(how)
            seen = len(statuses)
            wait_until(lambda: len(statuses) > seen + 50, "requests without it")
            stack.picker.start()
        picked = stack.envoy.counter("ext_proc.stream_msgs_received")
        wait_until(lambda: stack.envoy.counter("ext_proc.stream_msgs_received") > picked + 50,
                   "Envoy to come back to the picker")  # fmt: skip
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}
    assert stack.envoy.counter("ext_proc.failure_mode_allowed") > 0


def test_a_picker_that_drains_lets_its_requests_end(stack, simulated):
    stack.begin("epp", simulated, flags=["--drain-timeout=5s"])
    body = chat(stream=True, max_tokens=400)

    def begin(connection):
        connection.request("POST", "/v1/chat/completions", body)
        answer = connection.getresponse()
        return answer, answer.read(1)

    with contextlib.ExitStack() as exits, concurrent.futures.ThreadPoolExecutor(16) as pool:
        connections = [exits.enter_context(contextlib.closing(http.client.HTTPConnection(
            "127.0.0.1", stack.port, timeout=60))) for _ in range(16)]  # fmt: skip
        begun = list(pool.map(begin, connections))
        rest = [pool.submit(answer.read) for answer, _ in begun]
        assert stack.metric("fairlead_extproc_streams ") > 0, "answers that still run"
        assert stack.picker.stop() == 0
        for (answer, first), text in zip(begun, rest, strict=True):
            assert answer.status == 200
            assert first and text.result().rstrip().endswith(b"data: [DONE]")


def test_a_client_that_leaves_takes_its_load_along(stack, simulated):
    stack.begin("epp", simulated)
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", stack.port)) as client:
            body = chat(stream=True, max_tokens=2_000)
            client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: "
                           + str(len(body)).encode() + b"\r\n\r\n" + body)  # fmt: skip
            assert client.recv(1).startswith(b"H")
    wait_until(lambda: stack.envoy.counter("ext_proc.streams_closed")
               >= stack.envoy.counter("ext_proc.streams_started"), "streams to close")  # fmt: skip
    status, _, answer = stack.post(chat(stream=True))
    assert status == 200 and answer.rstrip().endswith(b"data: [DONE]")


def test_what_is_no_request_is_refused_with_its_status(stack):
    stack.begin()
    status, _, answer = stack.post(b"{not json")
    assert status == 400, answer
    stack.picker.set_engines([])
    wait_until(lambda: stack.post(chat())[0] == 503, "no engine left")
    _, headers, _ = stack.post(chat())
    assert headers["x-llm-d-request-dropped-reason"] == "rejected-no-endpoints"


@pytest.mark.parametrize("chosen", [[0], [1], [0, 2]])
def test_a_subset_hint_is_obeyed(stack, chosen):
    addresses = stack.engines()
    subset = [addresses[i] for i in chosen]
    # The pool's engines share one address, and llm-d compares that alone: the picker must not.
    stack.begin("epp", addresses, envoy={"subset": subset})
    ports = {stack.whole(chat(seed=seed)) for seed in range(20)}
    assert ports <= {stack.engine[i].port for i in chosen}
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    with contextlib.closing(connection):
        for _ in range(10):
            connection.request("GET", "/v1/models/x")
            answer = json.loads(connection.getresponse().read())
            assert answer["port"] in {stack.engine[i].port for i in chosen}


def test_a_subset_without_engines_is_refused(stack):
    addresses = stack.engines()
    picker = stack.stack.enter_context(Picker(addresses))
    text = render("epp", listen=0, admin=0, listen_address="127.0.0.1", picker=picker.port,
                  subset=["192.0.2.1:8000"])  # fmt: skip
    envoy = stack.stack.enter_context(Envoy(text))
    wait_until(lambda: post(envoy.port, chat())[0] == 503, "a refusal")


def test_engines_that_join_and_leave_are_followed(stack):
    addresses = stack.engines()
    stack.begin("epp", addresses)
    stopping = threading.Event()
    threads, statuses = answers_in_background(stack, stopping, chat(2_000))
    try:
        for kept in ([0], [1, 2], [2], [0, 1, 2]):
            stack.picker.set_engines([addresses[i] for i in kept])
            expected = {stack.engine[i].port for i in kept}

            def follows(expected=expected):
                return {stack.whole(chat(seed=seed)) for seed in range(12)} <= expected

            wait_until(follows, f"engines {kept}")
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}


def test_another_policy_is_taken_over_while_requests_run(stack):
    addresses = stack.engines()
    stack.begin("epp", addresses, plugins=[("prefix-cache-scorer", 1, {}),
                                           ("max-score-picker", None, {})])  # fmt: skip
    body = chat(50_000)
    assert len({stack.whole(body) for _ in range(8)}) == 1
    stack.picker.configure([("random-picker", None, {})])
    wait_until(lambda: len({stack.whole(body) for _ in range(12)}) > 1, "the other policy")
    # What is wrong is refused, and the old one serves on.
    stack.picker.configure([("no-such-plugin", None, {})])
    for _ in range(10):
        stack.whole(body)


def certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", f"{folder}/tls.key",
                    "-out", f"{folder}/tls.crt"], check=True, capture_output=True)  # fmt: skip


def agreed_protocol(port, offered):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(offered)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        with context.wrap_socket(raw) as connection:
            return connection.selected_alpn_protocol()


def test_tls_between_envoy_and_picker(stack, tmp_path):
    certificate(tmp_path, "picker")
    stack.begin("epp-tls", cert_path=str(tmp_path),
                envoy={"picker_ca": str(tmp_path / "tls.crt")})  # fmt: skip
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        list(pool.map(stack.whole, [chat(1_000_000, seed=seed) for seed in range(32)]))
    assert stack.envoy.counter("cluster.picker.ssl.handshake") > 0
    assert agreed_protocol(stack.picker.port, ["http/1.1", "h2"]) == "h2"
    with pytest.raises(ssl.SSLError):
        agreed_protocol(stack.picker.port, ["http/1.1"])


def test_the_pickers_own_certificate_serves(stack):
    addresses = stack.engines()
    picker = stack.stack.enter_context(Picker(addresses, cert_path=""))
    text = render("epp-tls", listen=0, admin=0, listen_address="127.0.0.1", picker=picker.port)
    envoy = stack.stack.enter_context(Envoy(text))
    wait_until(lambda: post(envoy.port, chat())[0] == 200, "an answer")


def test_an_untrusted_picker_gets_nothing(stack, tmp_path):
    for name in ("theirs", "ours"):
        (tmp_path / name).mkdir()
        certificate(tmp_path / name, name)
    picker = stack.stack.enter_context(Picker(stack.engines(), cert_path=str(tmp_path / "theirs")))
    text = render("epp-tls", listen=0, admin=0, listen_address="127.0.0.1", picker=picker.port,
                  picker_ca=str(tmp_path / "ours" / "tls.crt"))  # fmt: skip
    envoy = stack.stack.enter_context(Envoy(text))
    assert [post(envoy.port, chat())[0] for _ in range(3)] == [500] * 3


# The policy of "none" reads no answers, so that the picker ends its streams early.
ENDS_EARLY = {"plugins": [("queue-scorer", 1, {}), ("max-score-picker", None, {})],
              "more": {"epp": {"responseProcessing": "none"}}}  # fmt: skip
CLOSINGS = [("epp", ENDS_EARLY), ("epp", {}), ("epp-fallback", ENDS_EARLY),
            ("epp-response-none", {}), ("epp-buffered", ENDS_EARLY),
            ("epp-buffered-partial", ENDS_EARLY), ("epp-streamed", ENDS_EARLY),
            ("epp-headers-only", ENDS_EARLY)]  # fmt: skip


@pytest.mark.parametrize("variant, picker", CLOSINGS)
@pytest.mark.parametrize("size", [300, 16_385, 500_000, 3_000_000])
def test_no_answer_is_cut_short(stack, variant, picker, size):
    """The picker may end its stream early; Envoy must not lose a chunk by that."""
    stack.begin(variant, **picker)

    def events(seed):
        body = chat(size, stream=True, seed=seed)
        status, _, answer = stack.post(body)
        assert status == 200
        found = [line.removeprefix(b"data: ") for line in answer.split(b"\n\n") if line]
        assert found.pop() == b"[DONE]"
        seen = [json.loads(event) for event in found]
        assert [event["number"] for event in seen] == list(range(EVENTS))
        assert seen[0]["sha256"] == hashlib.sha256(body).hexdigest()

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        list(pool.map(events, range(72)))


@pytest.mark.parametrize("variant, picker", [
    ("epp", ENDS_EARLY), ("epp", {}), ("epp-streamed", ENDS_EARLY),
    ("epp-headers-only", ENDS_EARLY), ("epp-buffered-partial", ENDS_EARLY),
])  # fmt: skip
def test_an_answer_that_begins_before_its_request_has_left_is_whole(stack, variant, picker):
    """Then Envoy may have pieces of it on the way to the picker when that ends the stream."""
    stack.begin(variant, **picker)

    def events(seed):
        body = chat(3_000_000, stream=True, seed=seed)
        status, _, answer = stack.post(body, {"x-answer-early": "1"})
        assert status == 200
        found = [line.removeprefix(b"data: ") for line in answer.split(b"\n\n") if line]
        assert found.pop() == b"[DONE]"
        assert [json.loads(event)["number"] for event in found] == list(range(EVENTS))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(events, range(48)))
    if (variant, picker) == ("epp", ENDS_EARLY):
        wait_until(lambda: stack.metric("fairlead_extproc_kept_open_total ") > 0, "open streams")


def test_streams_beyond_the_bound_are_refused_and_those_after_it_served(stack, simulated):
    stack.begin("epp", simulated, more={"epp": {"streamsMax": 4}})
    body = chat(stream=True, max_tokens=400)

    def begin(connection):
        connection.request("POST", "/v1/chat/completions", body)
        return connection.getresponse()

    with contextlib.ExitStack() as exits, concurrent.futures.ThreadPoolExecutor(12) as pool:
        connections = [exits.enter_context(contextlib.closing(http.client.HTTPConnection(
            "127.0.0.1", stack.port, timeout=60))) for _ in range(12)]  # fmt: skip
        answers = list(pool.map(begin, connections))
        whole = [answer for answer in answers if answer.status == 200]
        assert len(whole) >= 4
        assert {answer.status for answer in answers} == {200, 500}, "Envoy's word for it"
        for text in pool.map(lambda answer: answer.read(), whole):
            assert text.rstrip().endswith(b"data: [DONE]")
    refused = r'fairlead_grpc_refusals_total\{kind="too_many_calls"\}'
    wait_until(lambda: stack.metric(refused) == 12 - len(whole), "refusals to be counted")
    wait_until(lambda: stack.post(chat())[0] == 200, "service again")


def test_counts_return_to_zero(stack, simulated):
    stack.begin("epp", simulated)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda seed: stack.post(chat(seed=seed)), range(64)))
    wait_until(lambda: stack.metric(r"fairlead_endpoint_inflight_requests\{") == 0,
               "requests in flight to end")  # fmt: skip


def documented_names():
    """Every name, and every older one, of the table in docs/metrics-epp.md."""
    with open(f"{ROOT}/docs/metrics-epp.md", encoding="utf-8") as file:
        table = file.read().split("## Under llm-d's names")[1].split("\n## ")[0]
    names = []
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 7 or not cells[1].startswith("`"):
            continue
        now = re.findall(r"`(\w+)`", cells[1])
        names += ["llm_d_epp_" + name for name in now]
        if cells[2] == "the same under `inference_extension_`, without labels":
            names += ["inference_extension_" + name for name in now]
        else:
            names += [name for name in re.findall(r"`(\w+)`", cells[2]) if "_" in name]
    labels = {"model_name", "target_model_name", "model_server_pod", "pod_name"}
    return sorted(set(names) - labels)


class OddEngine:
    """Healthy, but answers a scrape and a question for models with these."""

    def __init__(self, metrics, models):
        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                answers = {"/health": (200, b""), "/metrics": metrics, "/v1/models": models}
                status, text = answers.get(self.path, (404, b""))
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def sums(text):
    """By name, the sum over all labels; of a histogram, of its observations."""
    found = {}
    for line in text.splitlines():
        sample = re.match(r"(\w+?)(_count)?(?:\{.*\})? (\S+)$", line)
        if sample and not line.startswith("#"):
            name = sample[1] + (sample[2] or "")
            found[name] = found.get(name, 0) + float(sample[3])
    return found


def fault(address, **parameters):
    request = urllib.request.Request(f"http://{address}/admin/fault",
                                     json.dumps(parameters).encode())  # fmt: skip
    with urllib.request.urlopen(request, timeout=10) as reply:
        assert reply.status == 200


def test_every_metric_under_llm_ds_names_appears_and_moves(stack, simulated):
    names = documented_names()
    assert len(names) > 60, names
    odd = [stack.stack.enter_context(OddEngine((200, b"a_figure 1\n"), (500, b""))),
           stack.stack.enter_context(OddEngine((500, b""), (200, b"no list")))]  # fmt: skip
    addresses = [*simulated, *(engine.address for engine in odd)]
    seen = {name: {0.0} for name in names}

    def look():
        found = sums(stack.picker.metrics())
        for name in names:
            seen[name].add(found.get(name, found.get(name + "_count", 0.0)))
        return all(len(values) > 1 for values in seen.values())

    report = {"attributes": [{"key": {"name": "cost"}, "expression": "usage.total_tokens"}]}
    stack.begin("epp", addresses, plugins=[
        ("prefix-cache-scorer", 3, {}), ("queue-scorer", 1, {}), ("active-request-scorer", 1, {}),
        ("mm-embeddings-cache-scorer", 1, {}), ("max-score-picker", None, {}),
        ("request-attribute-reporter", "beside", report),
    ])  # fmt: skip
    look()
    for address, waiting in zip(simulated, (3, 9, 0), strict=True):
        fault(address, kind="lying_metrics", waiting=waiting, running=waiting,
              kv_usage=waiting / 10)  # fmt: skip
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    streamed = json.dumps(json.loads(chat(4_000, max_tokens=200)) | usage).encode()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(stack.post, streamed) for _ in range(8)]
        while not all(answer.done() for answer in answers):
            look()
        assert {answer.result()[0] for answer in answers} == {200}
    assert stack.post(chat(4_000, max_tokens=20))[0] == 200
    image = {"type": "image_url", "image_url": {"url": "https://localhost/cat.png"}}
    parts = [{"role": "user", "content": [{"type": "text", "text": "what is it"}, image]}]
    for _ in range(4):  # The decision counts: the simulated engine takes no images.
        stack.post(json.dumps({"model": "m", "messages": parts, "max_tokens": 4}).encode())
    assert stack.post(b"{not json")[0] == 400
    assert stack.post(chat(model="nobody's"))[0] == 404
    with contextlib.suppress(AssertionError):
        wait_until(look, "every metric to move")
    assert [name for name, values in seen.items() if values == {0.0}] == []


def test_requests_are_told_in_the_access_log(stack, tmp_path):
    path = tmp_path / "access.log"
    stack.begin("epp", more={"epp": {"accessLog": str(path)}})
    assert stack.post(chat(), {"x-request-id": "mine"})[0] == 200

    def line():
        lines = [json.loads(text) for text in path.read_text().splitlines()]
        return next((one for one in lines if one["request_id"] == "mine"), None)

    told = wait_until(line, "the request's line")
    assert (told["status"], told["outcome"]) == (200, "completed")
    assert told["endpoint"].startswith("default/e")
    assert "hello" not in path.read_text()


def test_only_who_has_a_certificate_reaches_the_picker(stack, tmp_path):
    for name in ("picker", "proxy", "other"):
        (tmp_path / name).mkdir()
        certificate(tmp_path / name, name)
    addresses = stack.engines()
    picker = stack.stack.enter_context(Picker(
        addresses, cert_path=str(tmp_path / "picker"),
        more={"epp": {"clientCaFile": str(tmp_path / "proxy" / "tls.crt")}}))  # fmt: skip

    def with_certificate(name):
        text = render("epp-tls", listen=0, admin=0, listen_address="127.0.0.1", picker=picker.port)
        chain, key = ({"filename": str(tmp_path / name / f"tls.{kind}")} for kind in ("crt", "key"))
        own = {"certificate_chain": chain, "private_key": key}
        place = "          common_tls_context:\n"
        assert place in text
        return text.replace(place, f"{place}            tls_certificates: [{json.dumps(own)}]\n")

    envoy = stack.stack.enter_context(Envoy(with_certificate("proxy")))
    wait_until(lambda: post(envoy.port, chat())[0] == 200, "an answer")
    plain = render("epp-tls", listen=0, admin=0, listen_address="127.0.0.1", picker=picker.port)
    for text in (plain, with_certificate("other")):
        stranger = stack.stack.enter_context(Envoy(text))
        assert [post(stranger.port, chat())[0] for _ in range(3)] == [500] * 3
