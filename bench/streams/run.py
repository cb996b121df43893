#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proof of scale: thousands of streams and idle connections, and a soak (`make bench T=streams`).

    bench/streams/run.py [--smoke] [--seconds S] [--only CASE ...]

Each case starts the gateway afresh, with a processor of its own; engines and clients, which are
processes of their own, share the other. Memory is the resident memory of the gateway, and its peak
over the whole case. The soak runs for --seconds (600); the growth of memory and descriptors is the
slope of the least-squares line from minute 2 on. Fewer streams are run where a process may not open
enough descriptors: the gateway needs two for an HTTP/1.1 stream.

Prints every figure beside its bar, appends them to build/bench.jsonl, and fails when one is missed.
"""
import argparse
import contextlib
import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BIN = os.path.join(ROOT, "build/release/bin")
KEPT_BACK = 700  # Descriptors for all that is no stream.
CASES = ["idle", "h1_1000", "h1_9500", "h2_10000", "idle_10000", "soak"]


def load_gateway_bench():
    path = os.path.join(os.path.dirname(HERE), "gateway", "run.py")
    spec = importlib.util.spec_from_file_location("gateway_bench", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gateway_bench = load_gateway_bench()


def gateway_command(port, engines, folder):
    path = os.path.join(folder, "serve.yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(
            {
                "gateway": {
                    "listen": [f"127.0.0.1:{port}"],
                    "adminListen": "127.0.0.1:0",
                    "http2": {"maxConcurrentStreams": 1000},
                },
                "limits": {"connections": 15000},
                "fleet": {"endpoints": [{"address": f"127.0.0.1:{p}"} for p in engines.ports]},
            },
            file,
        )
    return [os.path.join(BIN, "fairlead"), "serve", "--config", path]


class Gateway:
    """A fresh one; what it holds can be read while it runs."""

    def __init__(self, engines, wanted, stack):
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        self.log = stack.enter_context(tempfile.TemporaryFile())
        self.port = gateway_bench.free_port()
        command = gateway_command(self.port, engines, folder)
        self.process = gateway_bench.start(command, wanted.gateway_core, self.log)
        stack.callback(gateway_bench.stop, self.process)
        gateway_bench.wait_until_serving(self.process, self.port, self.log)

    def mib(self, field):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) / 1024
        raise RuntimeError(f"no {field}")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def start_clients(gateway, wanted, *words):
    command = ["taskset", "-c", wanted.client_cores, os.path.join(BIN, "streams_client"),
               words[0], str(gateway.port), *map(str, words[1:])]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for_end(clients):
    """How many were held at the same time, with the gateway as it was then; and the last line."""
    last = clients.stdout.read().strip().splitlines()[-1:]
    if clients.wait() != 0 or not last:
        raise RuntimeError("the clients ended early")
    return json.loads(last[0])


def held_of(line):
    return int(line.split()[1]) if line.startswith("held ") else 0


def run_held(gateway, wanted, count, *words):
    """Streams or connections held at once, none lost: [(metric, unit, value)]."""
    clients = start_clients(gateway, wanted, *words)
    first = clients.stdout.readline()
    held, resident, descriptors = held_of(first), gateway.mib("VmRSS"), gateway.descriptors()
    ended = wait_for_end(clients) if held else json.loads(first or "{}")
    if ended.get("problem"):
        print(f"bench: {words[0]}: {ended['problem']}", file=sys.stderr)
    return [
        ("held", "count", held, count, "least"),
        ("whole", "count", ended.get("whole", 0), count, "least"),
        ("lost", "count", ended.get("lost", count), 0, "most"),
        ("descriptors", "count", descriptors, None, None),
        ("resident_held", "MiB", resident, None, None),
    ]


def slope_per_minute(samples):
    """Of (seconds, value): the least-squares line's."""
    n = len(samples)
    mean_x = sum(x for x, _ in samples) / n
    mean_y = sum(y for _, y in samples) / n
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return 60 * sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread


def run_soak(gateway, wanted, engines):
    events = 20
    engines.answer_with(f"chunks={events}&gap_us=20000&cut_every=50")
    clients = start_clients(gateway, wanted, "soak", wanted.seconds, events)
    clients.stdout.readline()
    began, memory, descriptors = time.monotonic(), [], []
    settled = min(120, 0.4 * wanted.seconds)
    while clients.poll() is None and time.monotonic() - began < wanted.seconds:
        at = time.monotonic() - began
        if at >= settled:
            memory.append((at, gateway.mib("VmRSS")))
            descriptors.append((at, gateway.descriptors()))
        time.sleep(min(2, wanted.seconds / 20))
    ended = wait_for_end(clients)
    if ended["problem"]:
        print(f"bench: soak: {ended['problem']}", file=sys.stderr)
    judged = wanted.seconds >= 240  # Below, warming up looks like growth.
    return [
        ("whole", "count", ended["whole"], 1, "least"),
        ("broken_by_engines", "count", ended["broken"], None, None),
        ("refused", "count", ended["refused"], None, None),
        ("left", "count", ended["left"], None, None),
        ("lost", "count", ended["lost"], 0, "most"),
        ("resident_growth", "MiB_per_minute", slope_per_minute(memory),
         0.5 if judged else None, "most"),
        ("descriptor_growth", "per_minute", slope_per_minute(descriptors),
         1 if judged else None, "most"),
        ("resident_end", "MiB", memory[-1][1], None, None),
        ("seconds", "s", wanted.seconds, None, None),
    ]  # fmt: skip


def run_case(case, engines, wanted):
    """[(metric, unit, value, bar, "least" or "most")]"""
    h1, h2, few, idle, events = wanted.sizes
    with contextlib.ExitStack() as stack:
        # Fast while the gateway is asked whether it serves; then as slow as the case wants it.
        engines.answer_with("chunks=1")
        gateway = Gateway(engines, wanted, stack)
        engines.answer_with(f"chunks={events}&gap_us={wanted.gap_us}")
        bar = 1024
        if case == "idle":
            time.sleep(0.5)
            return [("resident_peak", "MiB", gateway.mib("VmHWM"), 64, "most")]
        if case == "h1_1000":
            found, bar = run_held(gateway, wanted, few, "h1", few, events), 256
        elif case == "h1_9500":
            found = run_held(gateway, wanted, h1, "h1", h1, events)
        elif case == "h2_10000":
            found = run_held(gateway, wanted, h2, "h2", h2, events, 20)
        elif case == "idle_10000":
            seconds = 1 if wanted.smoke else 20
            found, bar = run_held(gateway, wanted, idle, "idle", idle, seconds), 64
        else:
            found = run_soak(gateway, wanted, engines)
        return [*found, ("resident_peak", "MiB", gateway.mib("VmHWM"), bar, "most")]


def report(case, found, record):
    """The number of bars missed."""
    missed = 0
    for metric, unit, value, bar, sense in found:
        said = ""
        if bar is not None:
            good = value >= bar if sense == "least" else value <= bar
            missed += not good
            said = f"at {sense} {bar:<8g} {'pass' if good else 'FAIL'}"
        print(f"{case:12} {metric:20} {value:12,.2f} {unit:15} {said}", flush=True)
        line = {"bench": "streams", "metric": f"{case}_{metric}", "unit": unit, "value": value}
        line.update(peer=None, peer_value=None, ratio=None)
        record.write(json.dumps(line) + "\n")
    return missed


def choose_sizes(wanted):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # Children inherit it.
    if wanted.smoke:
        wanted.gap_us, wanted.seconds = 300_000, min(wanted.seconds, 4)
        wanted.sizes = (100, 200, 50, 100, 12)
        return
    wanted.gap_us = 2_000_000
    room = max(hard - KEPT_BACK, 200)
    wanted.sizes = (min(9500, room // 2), min(10000, room), min(1000, room // 2),
                    min(10000, room), 20)  # fmt: skip
    if room < 19_000:
        print(f"bench: a process may open {hard} files here, so fewer streams are run")


def main():
    arguments = argparse.ArgumentParser(description="Thousands of streams, and a soak.")
    arguments.add_argument("--smoke", action="store_true", help="few streams, seconds of soak")
    arguments.add_argument("--seconds", type=float, default=600, help="of the soak")
    arguments.add_argument("--only", nargs="*", choices=CASES, default=CASES)
    wanted = arguments.parse_args()
    choose_sizes(wanted)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # Ends what was started, too.
    cores = sorted(os.sched_getaffinity(0))
    wanted.gateway_core = str(cores[-1])
    wanted.client_cores = ",".join(str(core) for core in cores[:-1] or cores)
    missed = 0
    with open(os.path.join(ROOT, "build/bench.jsonl"), "a", encoding="utf-8") as record:
        for case in wanted.only:
            engines = gateway_bench.Engines(wanted.client_cores)
            try:
                missed += report(case, run_case(case, engines, wanted), record)
            finally:
                engines.close()
    print(f"streams: {missed or 'no'} bar{'s' if missed > 1 else ''} missed;"
          " figures appended to build/bench.jsonl")  # fmt: skip
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
