# SPDX-License-Identifier: Apache-2.0
"""Real vLLM engines for vllm_test.py: started, waited for, stopped by their ids."""
import contextlib
import json
import os
import signal
import subprocess
import urllib.request

from envoy_peer import ROOT, free_ports, post, wait_until

VENV = f"{ROOT}/.vllm/bin"
START_S = 900  # Three processes import torch, on a busy machine one after the other.
BLOCK = 32  # Tokens; its kernels for CPUs want multiples of 32.
CONTEXT = 2048
ENVIRONMENT = {
    "VLLM_TARGET_DEVICE": "cpu", "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_SERVER_DEV_MODE": "1", "PYTHONHASHSEED": "0",
    "VLLM_HOST_IP": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
}  # fmt: skip


def is_installed():
    return os.path.exists(f"{ROOT}/.vllm/installed")


def make_model(folder):
    subprocess.run(["nice", f"{VENV}/python", f"{ROOT}/test/e2e/vllm_model.py", folder], check=True)
    return str(folder)


class Vllm:
    """An engine that can be started again on the same ports, with an empty cache then."""

    def __init__(self, name, model, folder, blocks):
        self.name = name
        self.log_path = os.path.join(folder, f"{name}.log")
        self.port, events, replay = free_ports(3)
        self.address = f"127.0.0.1:{self.port}"
        self.labels = {"fairlead/kv-events": f"tcp://127.0.0.1:{events}",
                       "fairlead/kv-replay": f"tcp://127.0.0.1:{replay}"}  # fmt: skip
        # It binds its socket of events where the address has a star, and connects otherwise.
        publish = {"enable_kv_cache_events": True, "publisher": "zmq",
                   "endpoint": f"tcp://*:{events}",
                   "replay_endpoint": f"tcp://127.0.0.1:{replay}"}  # fmt: skip
        # One block more than it uses: block 0 is nobody's.
        self.command = [
            "nice", f"{VENV}/vllm", "serve", model, "--served-model-name", "tiny",
            "--host", "127.0.0.1", "--port", str(self.port), "--enforce-eager",
            "--block-size", str(BLOCK), "--num-gpu-blocks-override", str(blocks + 1),
            "--max-model-len", str(CONTEXT), "--enable-prefix-caching",
            "--prefix-caching-hash-algo", "sha256_cbor", "--enable-prompt-tokens-details",
            "--disable-uvicorn-access-log",
            "--kv-events-config", json.dumps(publish),
        ]  # fmt: skip
        # What it found out of its own code, so that it asks only once.
        caches = {name: f"{ROOT}/.vllm/cache"
                  for name in ("HF_HOME", "VLLM_CACHE_ROOT", "VLLM_CONFIG_ROOT")}  # fmt: skip
        self.environment = {**os.environ, **ENVIRONMENT, **caches}
        self.process = None
        self.published_before = 0
        self.counter = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=self.environment,
                                            start_new_session=True)  # fmt: skip

    def wait(self):
        def healthy():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended: {self.log()}")
            return self.get_status("/health") == 200

        wait_until(healthy, f"{self.name} to serve", START_S)
        self.counter = subprocess.Popen(
            [f"{VENV}/python", f"{ROOT}/test/e2e/vllm_published.py",
             self.labels["fairlead/kv-replay"]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def published(self):
        """Batches of events since it was first started."""
        if self.counter is None:
            return self.published_before
        self.counter.stdin.write("\n")
        self.counter.stdin.flush()
        return self.published_before + int(self.counter.stdout.readline())

    def get_status(self, path):
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=5) as reply:
            return reply.status

    def post(self, path, body):
        status, _, text = post(self.port, json.dumps(body), path=path, timeout=120)
        assert status == 200, text
        return json.loads(text) if text else None

    def stop(self):
        if self.process is None:
            return
        if self.counter is not None:
            if self.process.poll() is None:
                self.published_before = self.published()
            self.counter.communicate()  # It ends with its input.
            self.counter = None
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        # What it started is in its session, and may be left.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()[-5_000:]
