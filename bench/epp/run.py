#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The endpoint picker behind the real Envoy, and Envoy alone (`make bench T=epp`).

    bench/epp/run.py [--smoke] [--rounds N] [--seconds S] [--only CASE ...] [--no-growth]

Clients, engines, Envoy and picker share the machine, as they did where llm-d's Endpoint Picker was
measured; its figures are constants here, because it is no package that could be installed. CPU time
is that of the picker's process and of Envoy's, to the nanosecond, over the units of work that the
clients saw. A figure is the median over rounds; in each, Envoy alone and every set-up start afresh.

Bars for time scale by what Envoy alone costs now over what it cost there (52 us at 800 B from 16
connections), so that they mean the same on another machine; the factor is printed.

Then: how the cost grows with bodies, 1 kB to 4 MB, and with endpoints, 10 to 1,000. Prints every
figure beside its bar, appends them to build/bench.jsonl, and fails when one is missed.
FAIRLEAD_PICKER="command" measures another picker that takes the same flags.
"""
import argparse
import contextlib
import importlib.util
import json
import os
import resource
import signal
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ENDPOINTS = 10
ENVOY_ALONE_US = 52  # 800 B, 16 connections, where the bars were taken.

# name: (what engines answer, connections, body bytes, units an answer has)
CASES = {
    "small_c1": ("chunks=1", 1, 800, 1),
    "small_c16": ("chunks=1", 16, 800, 1),
    "small_c64": ("chunks=1", 64, 800, 1),
    "body220k_c16": ("chunks=1", 16, 220_000, 1),
    "body500k_c16": ("chunks=1", 16, 500_000, 1),
    "body500k_c64": ("chunks=1", 64, 500_000, 1),
    "chunk_16x1ms": ("chunks=200&gap_us=1000", 16, 800, 200),
    "chunk_64x10ms": ("chunks=40&gap_us=10000", 64, 800, 40),
}
SPACED = ["chunk_16x1ms", "chunk_64x10ms"]
# What can be had without responses: scraped figures and the prefix history.
SCRAPED = [("queue-scorer", 2, {}), ("kv-cache-utilization-scorer", 2, {}),
           ("prefix-cache-scorer", 3, {}), ("max-score-picker", None, {})]  # fmt: skip
NONE = {"plugins": SCRAPED, "more": {"epp": {"responseProcessing": "none"}}}
# set-up: (Envoy's configuration, its cases, what the picker has of its own)
SETUPS = {
    "full": ("epp", list(CASES), {}),
    "none": ("epp", ["small_c16", *SPACED], NONE),
    "buffered": ("epp-buffered", ["small_c16", "body500k_c16"], {}),
    "headers_only": ("epp-headers-only", ["small_c16", "body500k_c16"], {}),
}
# metric: (unit, bar, at most or at least, does it scale, llm-d's)
BARS = {
    "small_c1": ("us", 100, "most", True, 767),
    "small_c16": ("us", 30, "most", True, 377),
    "small_c64": ("us", 20, "most", True, 312),
    "body220k_c16": ("us", 320, "most", True, 6441),
    "body500k_c16": ("us", 750, "most", True, 14316),
    "chunk_16x1ms": ("us", 15, "most", True, 37),
    "chunk_64x10ms": ("us", 25, "most", True, 58),
    # A request in 200 and in 40 chunks is in them, and scraping, so that 0 is not to be had; that
    # no message comes for a chunk is what the column of messages shows.
    "chunk_16x1ms_none": ("us", 0.5, "most", True, None),
    "chunk_64x10ms_none": ("us", 2, "most", True, None),
    "rss_idle": ("MiB", 30, "most", False, 68),
    "rss_loaded": ("MiB", 150, "most", False, 1159),
    "rps_small_c64": ("per_second", 12_000, "least", True, 3826),
    "rps_500k_c16": ("per_second", 800, "least", True, 119),
    "p50_ms_small_c1": ("ms", 0.55, "most", True, 1.04),
}
BODIES = [1_000, 10_000, 100_000, 1_000_000, 4_000_000]
FLEETS = [10, 100, 1000]


def load(name, *path):
    spec = importlib.util.spec_from_file_location(name, os.path.join(ROOT, *path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


gateway_bench = load("gateway_bench", "bench/gateway/run.py")
peer = load("envoy_peer", "test/e2e/envoy_peer.py")


def resident_mib(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field}")


class Setup:
    """Engines, Envoy and, unless it is to be alone, the picker; a context manager."""

    def __init__(self, variant, wanted, endpoints=ENDPOINTS, **picker):
        self.wanted = wanted
        self.stack = contextlib.ExitStack()
        try:
            self.engines = gateway_bench.Engines(wanted.cores, endpoints)
            self.stack.callback(self.engines.close)
            addresses = [f"127.0.0.1:{port}" for port in self.engines.ports]
            how, self.picker = {"without_picker": "in-turn"}, None
            if variant:
                self.picker = self.stack.enter_context(peer.Picker(addresses, **picker))
                how = {"picker": self.picker.port}
            text = peer.render(variant or "epp", listen=0, admin=0, listen_address="127.0.0.1",
                               upstreams=addresses, **how)  # fmt: skip
            self.envoy = self.stack.enter_context(peer.Envoy(text))
            peer.wait_until(lambda: peer.post(self.envoy.port, peer.chat())[0] == 200,
                            "an answer through Envoy")  # fmt: skip
        except BaseException:
            self.stack.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *how):
        return self.stack.__exit__(*how)

    def clients(self, connections, seconds, body_bytes):
        return gateway_bench.run_clients(self.envoy.port, self.wanted.cores, connections, seconds,
                                         body_bytes, 1)  # fmt: skip

    def cpu(self):
        processes = {"envoy": self.envoy.process}
        if self.picker:
            processes["picker"] = self.picker.process
        return {name: gateway_bench.cpu_seconds(one.pid) for name, one in processes.items()}

    def messages(self):
        """From Envoy to the picker, so far."""
        return self.envoy.counter("ext_proc.stream_msgs_sent")

    def measure(self, shape, connections, body_bytes, units):
        """{"picker", "envoy": us a unit; "messages": an answer; "rps"; "p50_ms"}"""
        self.engines.answer_with(shape)
        seconds = self.wanted.seconds * (2 if "gap_us" in shape else 1)
        if "gap_us" in shape:
            seconds = max(seconds, 1.5)  # An answer takes up to 0.4 s.
        self.clients(connections, min(0.5, seconds), body_bytes)
        before, messages = self.cpu(), self.messages()
        seen = self.clients(connections, seconds, body_bytes)
        after = self.cpu()
        if seen["failures"] or not seen["answers"]:
            raise RuntimeError(f"{seen['failures']} failures, {seen['answers']} answers")
        work = seen["answers"] * units
        found = {name: (after[name] - before[name]) * 1e6 / work for name in after}
        found["messages"] = (self.messages() - messages) / seen["answers"]
        found["rps"] = seen["answers"] / seen["seconds"]
        found["p50_ms"] = seen["whole_us"]["p50"] / 1000
        return found


def envoy_alone_us(wanted):
    """What a request of 800 B from 16 connections costs Envoy here, for bars that scale by it."""
    with Setup("", wanted) as running:
        return running.measure(*CASES["small_c16"])["envoy"]


def run_round(wanted):
    """{(set-up, case): figures}, with the set-up "alone" among them, and the resident sizes."""
    found, resident = {}, {}
    for setup, (variant, cases, picker) in {"alone": ("", list(CASES), {}), **SETUPS}.items():
        with Setup(variant, wanted, **picker) as running:
            if setup == "full":
                time.sleep(0.5)  # A few rounds of scrapes.
                resident["rss_idle"] = resident_mib(running.picker.process.pid, "VmRSS")
            for case in cases:
                if case not in wanted.only:
                    continue
                print(f"\r{setup:14} {case:16}", end="", flush=True)
                found[setup, case] = running.measure(*CASES[case])
            if setup == "full":
                resident["rss_loaded"] = resident_mib(running.picker.process.pid, "VmHWM")
    print("\r" + " " * 32 + "\r", end="")
    return found, resident


def median_of(rounds, key, figure):
    values = [found[key][figure] for found, _ in rounds if key in found]
    return statistics.median(values) if values else None


def values_of(rounds):
    """{metric of BARS: value}"""
    out = {}
    for case in CASES:
        out[case] = median_of(rounds, ("full", case), "picker")
        out[case + "_none"] = median_of(rounds, ("none", case), "picker")
    out["rps_small_c64"] = median_of(rounds, ("full", "small_c64"), "rps")
    out["rps_500k_c16"] = median_of(rounds, ("full", "body500k_c16"), "rps")
    out["p50_ms_small_c1"] = median_of(rounds, ("full", "small_c1"), "p50_ms")
    for name in ("rss_idle", "rss_loaded"):
        out[name] = statistics.median(resident[name] for _, resident in rounds)
    return {name: value for name, value in out.items() if name in BARS and value is not None}


def write(record, metric, unit, value, peer_value=None, ratio=None):
    line = {"bench": "epp", "metric": metric, "unit": unit, "value": value}
    line.update(peer="llm-d" if peer_value else None, peer_value=peer_value, ratio=ratio)
    record.write(json.dumps(line) + "\n")


def report_table(rounds, record):
    """What each case costs in each set-up, picker and Envoy by themselves."""
    print(f"{'set-up':14} {'case':16} {'picker us':>10} {'Envoy us':>10} {'alone us':>10}"
          f" {'messages':>9} {'req/s':>10} {'p50 ms':>9}")  # fmt: skip
    for setup, (_, cases, _) in SETUPS.items():
        for case in cases:
            key = setup, case
            if median_of(rounds, key, "envoy") is None:
                continue
            picker, envoy, messages, rps, p50 = (
                median_of(rounds, key, figure)
                for figure in ("picker", "envoy", "messages", "rps", "p50_ms")
            )
            alone = median_of(rounds, ("alone", case), "envoy")
            print(f"{setup:14} {case:16} {picker:10.1f} {envoy:10.1f} {alone:10.1f}"
                  f" {messages:9.1f} {rps:10,.0f} {p50:9.2f}")  # fmt: skip
            write(record, f"{case}_{setup}_envoy", "us", envoy)
            write(record, f"{case}_{setup}_messages", "count", messages)
            if setup != "full":
                write(record, f"{case}_{setup}", "us", picker)


def report_bars(rounds, wanted, record):
    """The number of bars missed."""
    alone = median_of(rounds, ("alone", "small_c16"), "envoy")
    factor = alone / ENVOY_ALONE_US if alone else 1
    if alone:
        write(record, "small_c16_envoy_alone", "us", alone)
        print(f"Envoy alone: {alone:.1f} us a request of 800 B, {ENVOY_ALONE_US} where the bars"
              f" were taken: bars for time are taken {factor:.2f} times")  # fmt: skip
    missed = 0
    for metric, value in values_of(rounds).items():
        unit, bar, sense, scales, llmd = BARS[metric]
        most = sense == "most"
        if scales:
            bar = bar * factor if most else bar / factor
        good = value <= bar if most else value >= bar
        ratio = llmd and (llmd / value if most else value / llmd)
        write(record, metric, unit, value, llmd, ratio)
        missed += not good
        said = "" if wanted.smoke else "pass" if good else "FAIL"
        beside = f"llm-d {llmd:>8g}, {ratio:6.1f} times better" if llmd else ""
        print(f"{metric:20} {value:10,.2f} {unit:11} at {sense} {bar:10,.2f} {said:5} {beside}")
    return 0 if wanted.smoke else missed


def report_growth(wanted, record):
    """Cost against the size of bodies, and against the number of endpoints."""
    print(f"{'body':>10} {'picker us':>10} {'ns a byte':>10} {'Envoy us':>10}")
    with Setup("epp", wanted) as running:
        for size in BODIES[:3] if wanted.smoke else BODIES:
            found = running.measure("chunks=1", 16 if size < 1_000_000 else 4, size, 1)
            print(f"{size:10,} {found['picker']:10,.1f} {1000 * found['picker'] / size:10.2f}"
                  f" {found['envoy']:10,.1f}", flush=True)  # fmt: skip
            write(record, f"body_{size}", "us", found["picker"])
    print(f"{'endpoints':>10} {'picker us':>10} {'Envoy us':>10}")
    for count in FLEETS[:2] if wanted.smoke else FLEETS:
        # Scraped once a second, or a thousand idle engines would cost more than the requests.
        slow = ["--refresh-metrics-interval=1s"]
        with Setup("epp", wanted, count, flags=slow) as running:
            found = running.measure("chunks=1", 16, 800, 1)
            print(f"{count:10,} {found['picker']:10,.1f} {found['envoy']:10,.1f}", flush=True)
            write(record, f"endpoints_{count}", "us", found["picker"])


def measure(wanted):
    missed = 0
    rounds = []
    for number in range(wanted.rounds):
        print(f"round {number + 1}/{wanted.rounds}", flush=True)
        rounds.append(run_round(wanted))
    with open(os.path.join(ROOT, "build/bench.jsonl"), "a", encoding="utf-8") as record:
        report_table(rounds, record)
        missed += report_bars(rounds, wanted, record)
        if wanted.growth:
            report_growth(wanted, record)
    print(f"epp: {missed or 'no'} bar{'s' if missed > 1 else ''} missed;"
          " figures appended to build/bench.jsonl")  # fmt: skip
    return missed


def main():
    arguments = argparse.ArgumentParser(description="The endpoint picker behind the real Envoy.")
    arguments.add_argument("--smoke", action="store_true", help="one short round, without bars")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=2, help="of a point")
    arguments.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    arguments.add_argument("--no-growth", dest="growth", action="store_false")
    wanted = arguments.parse_args()
    if wanted.smoke:
        wanted.rounds, wanted.seconds = 1, 0.3
    if not peer.envoy_binary():
        print("bench: skipped: no Envoy in .peers/: run `make peers`")
        return 0
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # Children inherit it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # Ends what was started, too.
    wanted.cores = ",".join(str(core) for core in sorted(os.sched_getaffinity(0)))
    return 1 if measure(wanted) else 0


if __name__ == "__main__":
    sys.exit(main())
