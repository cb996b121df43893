#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ten thousand ext_proc streams at a time (`make bench T=epp_streams`).

    bench/epp_streams/run.py [--smoke] [--only CASE ...]

peer, one_connection: a scripted Envoy, client.cpp, holds 10,000 streams in the middle of their
answers, over four connections and over one. `epp.streamsMax` is as many: 500 more are refused. Then
every stream gets the rest of its answer; and then as many again are reset all at once, which is no
flood. Every reply is checked.

envoy: 9,000 answers through the real Envoy at a time, each counted to the last event. Fewer where a
process may not open enough descriptors: Envoy needs two for each.

Memory is the picker's resident memory before, while all are held, and after. Prints every figure
beside its bar, appends them to build/bench.jsonl, and fails when one is missed.
"""
import argparse
import contextlib
import importlib.util
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BIN = os.path.join(ROOT, "build/release/bin")
KEPT_BACK = 700  # Descriptors of Envoy's for all that is no stream.
CASES = ["peer", "one_connection", "envoy"]


def load(name, *path):
    spec = importlib.util.spec_from_file_location(name, os.path.join(ROOT, *path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


epp_bench = load("epp_bench", "bench/epp/run.py")
peer, gateway_bench = epp_bench.peer, epp_bench.gateway_bench


class Figures:
    """What the picker's process takes, and what it says of itself."""

    def __init__(self, picker):
        self.picker = picker
        self.resident = epp_bench.resident_mib(picker.process.pid, "VmRSS")
        self.descriptors = len(os.listdir(f"/proc/{picker.process.pid}/fd"))

    def metric(self, pattern):
        lines = [line for line in self.picker.metrics().splitlines() if re.match(pattern, line)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def at_rest(self):
        """Nothing runs, and nothing is counted as if it did."""
        return (
            self.metric("fairlead_extproc_streams ") == 0
            and self.metric(r"fairlead_endpoint_inflight_requests\{") == 0
        )


def ready(picker):
    with urllib.request.urlopen(f"http://127.0.0.1:{picker.metrics_port}/readyz", timeout=5):
        return picker.accepts()


class Client:
    """The scripted Envoy; it stops at each line until it is told to go on."""

    def __init__(self, port, *words):
        command = [os.path.join(BIN, "epp_streams_client"), str(port), *map(str, words)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)  # fmt: skip

    def reached(self, what):
        line = self.process.stdout.readline()
        if not line.startswith(what + " "):
            raise RuntimeError(f"the clients said {line!r} where `{what}` was due")
        return int(line.split()[1])

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        found = json.loads(self.process.stdout.readline())
        if self.process.wait() != 0:
            raise RuntimeError("the clients failed")
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        peer.stop(self.process)


def settled(picker):
    """Figures once nothing runs any more; the picker reports a few times a second."""
    peer.wait_until(lambda: Figures(picker).at_rest(), "the picker to be at rest")
    return Figures(picker)


def most_of(figures, pattern, due):
    """The most that was counted until `due` was reached. The picker reports now and then, so
    a figure may be older than what it counts; answers that are held last longer than this."""
    most, deadline = figures.metric(pattern), time.monotonic() + 1.5
    while most < due and time.monotonic() < deadline:
        time.sleep(0.05)
        most = max(most, figures.metric(pattern))
    return most


def memory_rows(before, during, after, streams):
    return [
        ("resident_before", "MiB", before.resident, None, None),
        ("resident_held", "MiB", during.resident, 256, "most"),
        ("resident_a_stream", "KiB", 1024 * (during.resident - before.resident) / streams,
         16, "most"),
        ("resident_after", "MiB", after.resident, None, None),
        ("descriptors_held", "count", during.descriptors, None, None),
        ("descriptors_left", "count", after.descriptors - before.descriptors, 20, "most"),
    ]  # fmt: skip


def run_scripted(wanted, connections, more):
    """[(metric, unit, value, bar, "least" or "most")]"""
    count = wanted.streams
    with contextlib.ExitStack() as stack:
        engines = gateway_bench.Engines(wanted.cores, epp_bench.ENDPOINTS)
        stack.callback(engines.close)
        addresses = [f"127.0.0.1:{port}" for port in engines.ports]
        picker = stack.enter_context(peer.Picker(addresses, more={"epp": {"streamsMax": count}}))
        peer.wait_until(lambda: ready(picker), "the picker to be ready")
        before = Figures(picker)
        client = stack.enter_context(Client(picker.port, count, connections, more))
        held = client.reached("held")
        during = Figures(picker)
        client.go_on()
        refused = client.reached("refused")
        client.go_on()
        finished = client.reached("finished")
        peer.wait_until(lambda: before.at_rest(), "the streams to end")
        refusals = r"fairlead_grpc_refusals_total\{kind=\"too_many_calls\"\}"
        counted = most_of(before, refusals, more)
        client.go_on()
        asked = client.reached("asked")
        client.go_on()
        ended = client.end()
        after = settled(picker)
        floods = after.metric(r"fairlead_http2_floods_total\{")
    if ended["problem"]:
        print(f"bench: {ended['problem']}", file=sys.stderr)
    return [
        ("held", "count", held, count, "least"),
        ("refused", "count", refused, more, "least"),
        ("refusals_counted", "count", counted, more, "least"),
        ("whole", "count", finished, count, "least"),
        ("reset_at_once", "count", asked, count, "least"),
        ("served_after_resets", "count", ended["served_after"], connections, "least"),
        ("connections_lost", "count", ended["connections_lost"], 0, "most"),
        ("floods_counted", "count", floods, 0, "most"),
        ("lost", "count", ended["lost"], 0, "most"),
        *memory_rows(before, during, after, count),
    ]


def run_envoy(wanted):
    count, events = wanted.answers, wanted.events
    with epp_bench.Setup("epp", wanted) as running:
        picker = running.picker
        before = settled(picker)
        running.engines.answer_with(f"chunks={events}&gap_us={wanted.gap_us}")
        command = [os.path.join(BIN, "streams_client"), "h1", str(running.envoy.port), str(count),
                   str(events)]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as clients:
            try:
                first = clients.stdout.readline()
                held = int(first.split()[1]) if first.startswith("held ") else 0
                streams = most_of(before, "fairlead_extproc_streams ", count) if held else 0
                during = Figures(picker)
                envoy = epp_bench.resident_mib(running.envoy.process.pid, "VmRSS")
                last = clients.stdout.read().strip() if held else first
            finally:
                peer.stop(clients)
        ended = json.loads(last or "{}")
        after = settled(picker)
        floods = after.metric(r"fairlead_http2_floods_total\{")
        failed = running.envoy.counter("ext_proc.streams_failed")
    if ended.get("problem"):
        print(f"bench: {ended['problem']}", file=sys.stderr)
    return [
        ("held", "count", held, count, "least"),
        ("streams_at_the_picker", "count", streams, count, "least"),
        ("whole", "count", ended.get("whole", 0), count, "least"),
        ("lost", "count", ended.get("lost", count), 0, "most"),
        ("streams_failed", "count", failed, 0, "most"),
        ("floods_counted", "count", floods, 0, "most"),
        *memory_rows(before, during, after, count),
        ("envoy_resident_held", "MiB", envoy, None, None),
    ]


def run_case(case, wanted):
    if case == "envoy":
        return run_envoy(wanted)
    if case == "peer":
        return run_scripted(wanted, 4, wanted.more)
    # A client keeps back what is more than one connection may have.
    return run_scripted(wanted, 1, 0)


def report(case, found, record, judges_memory):
    """The number of bars missed."""
    missed = 0
    for metric, unit, value, bar, sense in found:
        said = ""
        if bar is not None and (judges_memory or unit == "count"):
            good = value >= bar if sense == "least" else value <= bar
            missed += not good
            said = f"at {sense} {bar:<8g} {'pass' if good else 'FAIL'}"
        print(f"{case:15} {metric:22} {value:12,.2f} {unit:6} {said}", flush=True)
        line = {"bench": "epp_streams", "metric": f"{case}_{metric}", "unit": unit, "value": value}
        line.update(peer=None, peer_value=None, ratio=None)
        record.write(json.dumps(line) + "\n")
    return missed


def choose_sizes(wanted):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # Children inherit it.
    wanted.cores = ",".join(str(core) for core in sorted(os.sched_getaffinity(0)))
    if wanted.smoke:
        wanted.streams, wanted.more, wanted.answers = 300, 20, 100
        wanted.events, wanted.gap_us = 12, 300_000
        return
    wanted.streams, wanted.more, wanted.answers = 10_000, 500, min(9_000, (hard - KEPT_BACK) // 2)
    wanted.events, wanted.gap_us = 20, 4_000_000
    if wanted.answers < 9_000:
        print(f"bench: a process may open {hard} files here, so fewer go through Envoy")


def main():
    arguments = argparse.ArgumentParser(description="Ten thousand ext_proc streams at a time.")
    arguments.add_argument("--smoke", action="store_true", help="few streams")
    arguments.add_argument("--only", nargs="*", choices=CASES, default=CASES)
    wanted = arguments.parse_args()
    choose_sizes(wanted)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # Ends what was started, too.
    missed = 0
    with open(os.path.join(ROOT, "build/bench.jsonl"), "a", encoding="utf-8") as record:
        for case in wanted.only:
            if case == "envoy" and not peer.envoy_binary():
                print("bench: envoy: skipped: no Envoy in .peers/: run `make peers`")
                continue
            missed += report(case, run_case(case, wanted), record, not wanted.smoke)
    print(f"epp_streams: {missed or 'no'} bar{'s' if missed > 1 else ''} missed;"
          " figures appended to build/bench.jsonl")  # fmt: skip
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
