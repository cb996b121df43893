#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What it costs to scrape a fleet, and how that grows with it (`make bench T=scrape`).

    bench/scrape/run.py [--smoke] [--seconds S]

`fairlead serve` without traffic, on a processor of its own, scrapes engines that answer with a real
engine's /metrics, recorded and brought to the size wanted: series of further engines are added, or
families that no router reads are left out. CPU time is the whole process's, so that probes and
model lists are in it; a scrape's cost is that time over the scrapes that succeeded.

Prints every figure beside its bar, appends them to build/bench.jsonl, and fails when one is missed.
Where Envoy is in .peers/, bars scale by what it costs alone, as in bench/epp. The peer is llm-d's
Endpoint Picker, measured once on a machine of the same kind.
"""
import argparse
import contextlib
import http.client
import importlib.util
import json
import os
import re
import resource
import signal
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BIN = os.path.join(ROOT, "build/release/bin")
RECORDED = os.path.join(ROOT, "src/core/codec/testdata/metrics_after_load.txt")
LARGE = 34_700  # Bytes, as a vLLM with all its series writes.

# name: (endpoints, milliseconds between scrapes of one, bytes)
CASES = {
    "100": (100, 50, LARGE),
    "10": (10, 50, LARGE),
    "1000": (1000, 50, LARGE),
    "100_every_200ms": (100, 200, LARGE),
    "100_every_1s": (100, 1000, LARGE),
    "100_of_2kB": (100, 50, 1_200),
    "100_of_70kB": (100, 50, 70_000),
    "100_of_140kB": (100, 50, 140_000),
}
SMOKE_CASES = ["100", "10"]
# metric of case "100": (bar, llm-d's)
BARS = {"scrape_us": (20, 1424), "scrape_cores_100": (0.04, 1.71)}
MISSED_MOST = 0.12  # Of the scrapes that are due; a window may end just before one.
WANTED = re.compile(
    r"vllm:(num_requests_(waiting|running)|kv_cache_usage_perc|prefix_cache_(queries|hits)_total"
    r"|cache_config_info)[ {]|process_start_time_seconds "
)


def load(name):
    path = os.path.join(os.path.dirname(HERE), name, "run.py")
    spec = importlib.util.spec_from_file_location(f"{name}_bench", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gateway_bench = load("gateway")


def machine_factor(wanted):
    """How much dearer work is here than where the bars were taken."""
    epp_bench = load("epp")
    if wanted.smoke or not epp_bench.peer.envoy_binary():
        return 1
    wanted.cores = f"{wanted.client_cores},{wanted.router_core}"
    alone = epp_bench.envoy_alone_us(wanted)
    factor = alone / epp_bench.ENVOY_ALONE_US
    print(f"Envoy alone: {alone:.1f} us a request of 800 B, {epp_bench.ENVOY_ALONE_US} where the"
          f" bars were taken: bars are taken {factor:.2f} times")  # fmt: skip
    return factor


def exposition(size):
    """The recorded text, with more engines' series or fewer families: about `size` bytes."""
    with open(RECORDED, encoding="utf-8") as file:
        lines = file.read().splitlines(keepends=True)
    engines = 1
    wide = lines
    while sum(map(len, wide)) < size:
        engines += 1
        wide = [
            line.replace('engine="0"', f'engine="{engine}"')
            for line in lines
            for engine in range(engines if 'engine="0"' in line else 1)
        ]
    spare = sum(map(len, wide)) - size
    kept = []
    for line in reversed(wide):
        if spare > 0 and not WANTED.search(line):
            spare -= len(line)
        else:
            kept.append(line)
    return "".join(reversed(kept))


def serve_command(admin, ports, interval_ms, folder):
    path = os.path.join(folder, "serve.yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(
            {
                "gateway": {"listen": ["127.0.0.1:0"], "adminListen": f"127.0.0.1:{admin}",
                            "workers": 1},
                "fleet": {"scrapeInterval": f"{interval_ms}ms",
                          "endpoints": [{"address": f"127.0.0.1:{p}"} for p in ports]},
            },
            file,
        )  # fmt: skip
    return [os.path.join(BIN, "fairlead"), "serve", "--config", path]


def scrapes(admin):
    """How many succeeded and failed so far."""
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    found = dict(re.findall(r'^fairlead_scrapes_total\{result="(\w+)"\} (\d+)', text, re.M))
    return int(found.get("ok", 0)), int(found.get("failed", 0))


def wait_for_scrapes(process, admin, count):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if scrapes(admin)[0] >= count:
                return
        time.sleep(0.05)
    raise RuntimeError("the fleet is not scraped")


def run_case(name, wanted):
    endpoints, interval_ms, size = CASES[name]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        log = stack.enter_context(tempfile.TemporaryFile())
        text = os.path.join(folder, "metrics.txt")
        with open(text, "w", encoding="utf-8") as file:
            file.write(exposition(size))
        engines = gateway_bench.Engines(wanted.client_cores, endpoints, text)
        stack.callback(engines.close)
        admin = gateway_bench.free_port()
        command = serve_command(admin, engines.ports, interval_ms, folder)
        process = gateway_bench.start(command, wanted.router_core, log)
        stack.callback(gateway_bench.stop, process)
        wait_for_scrapes(process, admin, 3 * endpoints)
        seconds = max(wanted.seconds, 10 * interval_ms / 1000)
        before, cpu = scrapes(admin), gateway_bench.cpu_seconds(process.pid)
        began = time.monotonic()
        time.sleep(seconds)
        used, lasted = gateway_bench.cpu_seconds(process.pid) - cpu, time.monotonic() - began
        after = scrapes(admin)
        done, failed = (new - old for new, old in zip(after, before))
        if failed or not done:
            raise RuntimeError(f"{name}: {failed} scrapes failed, {done} succeeded")
        return {
            "us": used * 1e6 / done,
            "cores": used / lasted,
            "rate": done / lasted,
            "missed": max(0, 1 - done / lasted / (endpoints * 1000 / interval_ms)),
        }


def judge(metric, value, factor):
    if metric not in BARS:
        return True
    bar = BARS[metric][0] * factor
    print(f"  {metric} {value:.4g}: at most {bar:.4g} {'pass' if value <= bar else 'FAIL'}")
    return value <= bar


def report(name, found, wanted, record):
    """The number of bars missed."""
    print(
        f"{name:16} {found['us']:8.1f} us a scrape {found['cores']:8.4f} cores"
        f" {found['rate']:9.0f} scrapes/s {100 * found['missed']:6.1f} % missed",
        flush=True,
    )
    first = name == "100"
    figures = [("scrape_us" if first else f"scrape_us_{name}", "us", found["us"]),
               (f"scrape_cores_{name}", "cores", found["cores"]),
               (f"scrapes_missed_{name}", "share", found["missed"])]  # fmt: skip
    missed = 0
    for metric, unit, value in figures:
        line = {"bench": "scrape", "metric": metric, "unit": unit, "value": value}
        _, peer = BARS.get(metric, (None, None))
        line.update(peer=peer and "llm-d", peer_value=peer, ratio=peer and peer / value)
        record.write(json.dumps(line) + "\n")
        missed += not wanted.smoke and not judge(metric, value, wanted.factor)
    if not wanted.smoke and found["missed"] > MISSED_MOST:
        print(f"  {100 * found['missed']:.0f} % of the scrapes did not happen: FAIL")
        missed += 1
    return missed


def main():
    arguments = argparse.ArgumentParser(description="What it costs to scrape a fleet.")
    arguments.add_argument("--smoke", action="store_true", help="short, without bars")
    arguments.add_argument("--seconds", type=float, default=5, help="of a case")
    wanted = arguments.parse_args()
    if wanted.smoke:
        wanted.seconds = 0.5
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # Children inherit it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # Ends what was started, too.
    cores = sorted(os.sched_getaffinity(0))
    wanted.router_core = str(cores[-1])
    wanted.client_cores = ",".join(str(core) for core in cores[:-1] or cores)
    wanted.factor = machine_factor(wanted)
    missed = 0
    with open(os.path.join(ROOT, "build/bench.jsonl"), "a", encoding="utf-8") as record:
        for name in SMOKE_CASES if wanted.smoke else CASES:
            missed += report(name, run_case(name, wanted), wanted, record)
    print(f"scrape: {missed or 'no'} bar{'s' if missed > 1 else ''} missed;"
          " figures appended to build/bench.jsonl")  # fmt: skip
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
