# SPDX-License-Identifier: Apache-2.0
"""`fairlead serve` over three simulated engines, for the tests of this folder."""
import json
import os
import re
import subprocess
import threading
import time
import urllib.request

import openai
import pytest

BINARY = os.environ["FAIRLEAD_BINARY"]
DEADLINE_S = 30


def wait_for(process, pattern):
    """Reads the process's standard error up to a line that matches, within the deadline."""
    timer = threading.Timer(DEADLINE_S, process.kill)
    timer.start()
    try:
        for line in process.stderr:
            found = re.search(pattern, line)
            if found:
                threading.Thread(target=process.stderr.read, daemon=True).start()
                return found
    finally:
        timer.cancel()
    pytest.fail(f"the program ended before it said {pattern!r}")


def stop(process):
    process.terminate()
    try:
        return process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        pytest.fail("the program did not stop on SIGTERM")


def start(*arguments):
    return subprocess.Popen([BINARY, *arguments], stderr=subprocess.PIPE, text=True)


class Router:
    def __init__(self, engine_ports, gateway_port, admin_port):
        self.engine_ports = engine_ports
        self.admin = f"http://127.0.0.1:{admin_port}"
        self.base_url = f"http://127.0.0.1:{gateway_port}/v1"
        self.client = openai.OpenAI(base_url=self.base_url, api_key="none", max_retries=0)

    def get_json(self, path):
        with urllib.request.urlopen(self.admin + path, timeout=5) as reply:
            return json.load(reply)

    def endpoints(self):
        return self.get_json("/debug/endpoints")["endpoints"]

    def events(self):
        """What was told so far; workers know it too."""
        return [event["text"] for event in self.get_json("/debug/state")["events"]]

    def slowness(self):
        """By endpoint, named host:port."""
        with urllib.request.urlopen(self.admin + "/metrics", timeout=5) as reply:
            lines = reply.read().decode()
        found = re.findall(r'^fairlead_endpoint_slowness\{endpoint="([^"]+)"\} (\S+)$', lines, re.M)
        return {endpoint: float(value) for endpoint, value in found}

    def inflight(self):
        return sum(row["inflight_requests"] for row in self.endpoints())

    def wait_until_ready(self):
        def ready():
            try:
                urllib.request.urlopen(self.admin + "/readyz", timeout=5)
                return True
            except OSError:
                return False

        self.wait_until(ready)

    def wait_until(self, condition):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)


def start_router(ports, *flags):
    """`fairlead serve` over the engines at these ports, and what speaks to it."""
    endpoints = [flag for port in ports for flag in ("-e", f"127.0.0.1:{port}")]
    serve = start("serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *endpoints, *flags)
    gateway, admin = wait_for(serve, r"serving on \S+:(\d+), admin on \S+:(\d+),").groups()
    return serve, Router(ports, gateway, admin)


@pytest.fixture(scope="module")
def router():
    engines = start("engine", "--engines", "3", "--base-port", "0", "--speed", "4",
                    "--served-model-name", "tiny", "--lora", "tiny-french")
    ports = wait_for(engines, r"ports((?: \d+)+)").group(1).split()
    serve, router = start_router(ports)
    router.wait_until_ready()
    yield router
    router.wait_until(lambda: router.inflight() == 0)
    assert stop(serve) == 0
    assert stop(engines) == 0


@pytest.fixture()
def uneven():
    """A router over two engines, the second a tenth as fast as the first."""
    engines = [start("engine", "--base-port", "0", "--served-model-name", "tiny",
                     "--speed", speed) for speed in ("20", "2")]
    ports = [wait_for(engine, r"ports (\d+)").group(1) for engine in engines]
    serve, router = start_router(ports, "--policy", "round-robin")
    router.wait_until(lambda: all(row["models"] for row in router.endpoints()))
    yield router
    for process in [serve, *engines]:
        assert stop(process) == 0


@pytest.fixture()
def engineless():
    """A router whose one engine is known not to answer: before its first health check a request is
    tried on it, and fails as 502."""
    serve, router = start_router(["9"])
    router.wait_until(lambda: any("connect_refused" in event for event in router.events()))
    yield router
    assert stop(serve) == 0
