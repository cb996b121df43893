# SPDX-License-Identifier: Apache-2.0
"""A real Envoy, the picker behind it and engines that say what reached them, for tests and benches.

Every process is started on ports of the kernel's choice, waited for, and stopped by its own id.
"""
import contextlib
import glob
import hashlib
import http.client
import http.server
import importlib.util
import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEADLINE_S = 30
EVENTS = 40  # Of a streamed answer.
# llm-d's own Endpoint Picker takes the same flags, so it can stand here.
PICKER = os.environ.get("FAIRLEAD_PICKER", "").split() or [
    os.environ.get("FAIRLEAD_BINARY", os.path.join(ROOT, "build/release/bin/fairlead")), "epp",
]  # fmt: skip


def load_render():
    path = os.path.join(ROOT, "deploy/envoy/render.py")
    spec = importlib.util.spec_from_file_location("envoy_render", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RENDER = load_render()
render = RENDER.render


def envoy_binary():
    """The one of .peers/, not its launcher, so that the process id is Envoy's; or None."""
    found = glob.glob(os.path.join(ROOT, ".peers/lib/python*/site-packages/envoy/_bin/envoy"))
    return found[0] if found else None


def wait_until(condition, what, seconds=DEADLINE_S):
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if found := condition():
                return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def stop(process, how=signal.SIGTERM):
    """Ends a process of ours by its id; returns its exit code."""
    if process.poll() is None:
        process.send_signal(how)
    try:
        return process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def start(command, log, pin=""):
    pinned = ["taskset", "-c", pin, *command] if pin else command
    return subprocess.Popen(pinned, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


class Envoy:
    """Runs `text`; a context manager. Its log is printed when the test inside fails."""

    def __init__(self, text, pin=""):
        self.folder = tempfile.TemporaryDirectory()
        self.log_path = os.path.join(self.folder.name, "log")
        config = os.path.join(self.folder.name, "envoy.yaml")
        admin_file = os.path.join(self.folder.name, "admin")
        with open(config, "w", encoding="utf-8") as file:
            file.write(text)
        # Without the first flag Envoy ends with the shell that started it.
        command = [envoy_binary(), "--disable-hot-restart", "--concurrency", "2", "--log-level",
                   "warn", "--admin-address-path", admin_file, "-c", config]  # fmt: skip
        with open(self.log_path, "wb") as log:
            self.process = start(command, log, pin)
        try:
            self.admin = wait_until(lambda: self.read_address(admin_file), "Envoy's admin address")
            wait_until(lambda: self.get("/ready") == "LIVE\n", "Envoy to be live")
            self.port = int(re.search(r"inference::[\d.]+:(\d+)", self.get("/listeners")).group(1))
        except BaseException:
            self.close()
            print(self.log())
            raise

    def read_address(self, path):
        if self.process.poll() is not None:
            raise AssertionError(f"Envoy ended: {self.log()}")
        if not os.path.exists(path):
            return None
        with open(path, encoding="ascii") as file:
            return file.read().strip()

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=5) as reply:
            return reply.read().decode()

    def counter(self, name):
        """The sum over all statistics whose name ends so."""
        text = self.get("/stats?usedonly&filter=" + name.replace(".", "%5C.") + "%24")
        return sum(int(line.rpartition(": ")[2]) for line in text.splitlines())

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()[-20_000:]

    def close(self):
        stop(self.process)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close()
        if kind:
            print(f"--- Envoy ---\n{self.log()}")
        self.folder.cleanup()


def free_ports(count):
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def picker_configuration(endpoints_file, plugins, more):
    """The plugins of llm-d's default chart, or others: [(type, weight or None, parameters)]. What
    stands beside the profile has the weight "beside"."""
    plugins = plugins or [
        ("queue-scorer", 2, {}),
        ("kv-cache-utilization-scorer", 2, {}),
        ("active-request-scorer", 2, {}),
        ("prefix-cache-scorer", 3, {}),
        ("max-score-picker", None, {}),
    ]
    discovery = {"type": "file-discovery", "name": "engines",
                 "parameters": {"path": endpoints_file, "watchFile": True}}  # fmt: skip
    declared = [{"type": kind} | ({"parameters": given} if given else {})
                for kind, _, given in plugins]  # fmt: skip
    used = [{"pluginRef": kind} | ({"weight": weight} if weight else {})
            for kind, weight, _ in plugins if weight != "beside"]  # fmt: skip
    return {
        "apiVersion": "llm-d.ai/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": [discovery, *declared],
        "schedulingProfiles": [{"name": "default", "plugins": used}],
        "dataLayer": {"discovery": {"pluginRef": "engines"}},
        **more,
    }


class Picker:
    """`fairlead epp` over engines named in a file; a context manager, like Envoy.

    `cert_path`: None for plain gRPC, "" for a certificate of the picker's own making.
    """

    def __init__(self, engines, *, plugins=(), more=None, flags=(), cert_path=None, pin=""):
        self.folder = tempfile.TemporaryDirectory()
        self.log_path = os.path.join(self.folder.name, "log")
        self.config = os.path.join(self.folder.name, "config.yaml")
        self.endpoints = os.path.join(self.folder.name, "endpoints.yaml")
        self.pin = pin
        self.port, health, self.metrics_port = free_ports(3)
        self.set_engines(engines)
        self.configure(plugins, more)
        secure = [f"--cert-path={cert_path}"] if cert_path else []
        if cert_path is None:
            secure = ["--secure-serving=false"]
        ports = [f"--grpc-port={self.port}", f"--grpc-health-port={health}",
                 f"--metrics-port={self.metrics_port}"]  # fmt: skip
        fixed = ["--pool-name=test", "--pool-namespace=default", "--tracing=false",
                 "--metrics-endpoint-auth=false"]  # fmt: skip
        self.command = [*PICKER, *ports, f"--config-file={self.config}", *fixed, *secure, *flags]
        self.process = None
        self.start()

    def replace(self, path, document):
        """In one step, so that no reader sees half of it."""
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(document, file)
        os.rename(path + ".new", path)

    def set_engines(self, engines):
        rows = []
        for number, engine in enumerate(engines):
            address, _, port = engine.rpartition(":")
            rows.append({"name": f"e{number}", "address": address, "port": port})
        self.replace(self.endpoints, {"endpoints": rows})

    def configure(self, plugins=(), more=None):
        self.replace(self.config, picker_configuration(self.endpoints, plugins, more or {}))

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = start(self.command, log, self.pin)
        try:
            wait_until(self.accepts, "the picker to accept connections")
        except BaseException:
            self.stop()
            print(self.log())
            raise

    def accepts(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the picker ended: {self.log()}")
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True

    def stop(self, how=signal.SIGTERM):
        return stop(self.process, how)

    def metrics(self):
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5
        ) as reply:
            return reply.read().decode()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()[-20_000:]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop()
        if kind:
            print(f"--- picker ---\n{self.log()}")
        self.folder.cleanup()


class DigestEngine:
    """An engine that answers with what reached it: the digest and length of the body, its own port,
    whether the body was chunked, and the control headers it saw; as an event stream when asked."""

    def __init__(self, port=0):
        owner = self
        self.served = 0
        self.sockets = []
        self.lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def body(self):
                if "chunked" not in self.headers.get("transfer-encoding", ""):
                    return self.rfile.read(int(self.headers.get("content-length", 0)))
                whole = bytearray()
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    whole += self.rfile.read(size)
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return bytes(whole)

            def reply(self, document, content_type="application/json"):
                text = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(200)
                self.send_header("content-type", content_type)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self):
                if self.path == "/metrics":
                    return self.reply(b"vllm:num_requests_waiting 0\nvllm:num_requests_running 0\n"
                                      b"vllm:kv_cache_usage_perc 0\n", "text/plain")  # fmt: skip
                if self.path == "/v1/models":
                    return self.reply({"object": "list", "data": [{"id": "m", "object": "model"}]})
                return self.reply({"port": owner.port, "path": self.path})

            def do_POST(self):
                if "x-answer-early" in self.headers:
                    self.stream({"port": owner.port})  # And then the request.
                    self.body()
                    return None
                body = self.body()
                with owner.lock:
                    owner.served += 1
                seen = {
                    "port": owner.port,
                    "sha256": hashlib.sha256(body).hexdigest(),
                    "bytes": len(body),
                    "chunked": "transfer-encoding" in self.headers,
                    "destination": self.headers.get_all("x-gateway-destination-endpoint", []),
                }
                if b'"stream": true' in body[:100]:
                    return self.stream(seen)
                return self.reply(seen)

            def stream(self, document):
                """As many events as the engines of a test have to send, each a write of its own."""
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                events = [json.dumps(document | {"number": i}) for i in range(EVENTS)]
                for text in [*events, "[DONE]"]:
                    event = f"data: {text}\n\n".encode()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
                self.wfile.write(b"0\r\n\r\n")

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 1024

            def handle_error(self, *_):
                pass  # Clients leave; that is what some tests are about.

            def process_request(self, request, client_address):
                with owner.lock:
                    owner.sockets.append(request)
                super().process_request(request, client_address)

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        """As a process that ends: the port and every connection."""
        self.server.shutdown()
        self.server.server_close()
        with self.lock:
            for connection in self.sockets:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def post(port, body, headers=None, path="/v1/chat/completions", timeout=60):
    """(status, headers, body) of one request with a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    with contextlib.closing(connection):
        connection.request(
            "POST", path, body, {"content-type": "application/json", **(headers or {})}
        )
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def chat(size=0, stream=False, seed=0, model="m", max_tokens=8):
    """A chat request of at least `size` bytes. What fills it is added as bytes, a run of words at a
    time: tests send gigabytes."""
    body = {"model": model, "stream": stream, "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": f"hello {seed} "}]}  # fmt: skip
    text = json.dumps(body).encode()
    missing = max(0, size - len(text))
    words = f"word{seed} ".encode() * min(1000, missing)
    end = text.rindex(b'"}]}')
    filling = memoryview(words * (missing // max(1, len(words)) + 1))[:missing]
    return b"".join((text[:end], filling, text[end:]))
