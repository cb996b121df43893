#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway beside other routers, same engines, same clients, same run (`make bench T=gateway`).

    bench/gateway/run.py [--smoke] [--rounds N] [--seconds S] [--only PEER ...]

A round starts each router afresh, in turn, and runs every case on it; a ratio is the median over
rounds of (peer's cost / Fairlead's cost), or of the rates the other way round, with the interval
that covers the median in 90 % of cases. The router has a processor of its own, engines and clients
share the other. CPU time is the router process's own, user and system, to the nanosecond.

Appends to build/bench.jsonl. Rivals come from PyPI into .routers/, pinned in routers.txt;
HAProxy is Debian's. What cannot be installed or started is named as skipped.
"""
import argparse
import contextlib
import http.client
import json
import math
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BIN = os.path.join(ROOT, "build/release/bin")
ENGINES = 8
RIVALS = ["vllm-router", "sglang-router", "smg"]

# name: (what engines answer, connections, body bytes, streamed, seconds, beside the best
# prefix-aware router, beside HAProxy: how many times cheaper at least)
CASES = {
    "small_json_c16": ("length=800", 16, 800, 0, 1.5, 5, 1 / 1.25),
    "small_sse_c64": ("chunks=1", 64, 800, 1, 1.5, 5, 1 / 1.25),
    "burst100_c16": ("chunks=100", 16, 800, 1, 1.5, 3, 1 / 1.4),
    "chunk_spaced_c64": ("chunks=100&gap_us=5000", 64, 800, 1, 4, 2, 1 / 1.25),
    "body220k_c16": ("chunks=1", 16, 220_000, 1, 1.5, 5, 1 / 1.4),
    "body500k_c16": ("chunks=1", 16, 500_000, 1, 1.5, 5, 1 / 1.5),
}
CHUNKS_SPACED = 102  # Writes of an answer: head, 99 events, the last with the end; as counted.
# Derived from small_sse_c64: (metric, beside the best router, beside HAProxy).
RATE_BAR, P99_BAR = 3, 1 / 1.25
OPEN_LOOP = "every=600"  # Milliseconds; an answer of stream_delays takes 500.
TOLERANCE = 1.15  # Of the bar: where the interval may end (docs/testing.md).


def cpu_seconds(pid):
    """User and system time of a process: its CPUCLOCK_SCHED clock, see clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(command, cores, log, **options):
    pinned = ["taskset", "-c", cores, *command]
    return subprocess.Popen(pinned, stdout=log, stderr=log, start_new_session=True, **options)


def stop(process):
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=3)
            return


class Engines:
    """The process behind every router; it ends when its standard input does."""

    def __init__(self, cores, count=ENGINES, *metrics_file):
        command = ["taskset", "-c", cores, os.path.join(BIN, "gateway_backend"), str(count)]
        command += metrics_file
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ports = self.process.stdout.readline().split()
        self.urls = [f"http://127.0.0.1:{port}" for port in self.ports]

    def answer_with(self, shape):
        connection = http.client.HTTPConnection("127.0.0.1", int(self.ports[0]), timeout=5)
        connection.request("PUT", f"/shape?{shape}", headers={"content-length": "0"})
        if connection.getresponse().status != 200:
            sys.exit("bench: the engines refused a shape")
        connection.close()

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=5)


def fairlead_command(port, engines, folder):
    path = os.path.join(folder, "fairlead.yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(
            {
                "gateway": {"listen": [f"127.0.0.1:{port}"], "adminListen": "127.0.0.1:0"},
                "fleet": {"endpoints": [{"address": f"127.0.0.1:{p}"} for p in engines.ports]},
            },
            file,
        )
    return [os.path.join(BIN, "fairlead"), "serve", "--config", path]


def haproxy_command(port, engines, folder):
    path = os.path.join(folder, "haproxy.cfg")
    servers = [f"  server s{i} 127.0.0.1:{p}" for i, p in enumerate(engines.ports)]
    lines = [
        "global", "  nbthread 1", "  maxconn 4000",
        "defaults", "  mode http", "  option http-no-delay", "  http-reuse always",
        "  timeout connect 2s", "  timeout client 60s", "  timeout server 600s",
        "frontend in", f"  bind 127.0.0.1:{port}", "  default_backend engines",
        "backend engines", "  balance leastconn", *servers,
    ]  # fmt: skip
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return [shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin"), "-db", "-f", path]


def rival_command(name, port, engines):
    venv = os.path.join(ROOT, ".routers", name, "bin")
    launch = {
        "vllm-router": [f"{venv}/vllm-router", "--log-level", "warning"],
        "sglang-router": [f"{venv}/sglang-router", "launch", "--log-level", "warn"],
        "smg": [f"{venv}/smg", "launch", "--log-level", "warn"],
    }[name]
    return [
        *launch, "--host", "127.0.0.1", "--port", str(port), "--worker-urls", *engines.urls,
        "--policy", "cache_aware", "--worker-startup-check-interval", "1",
        "--prometheus-port", str(free_port()),
    ]  # fmt: skip


def command_of(peer, port, engines, folder):
    if peer == "fairlead":
        return fairlead_command(port, engines, folder)
    if peer == "haproxy":
        return haproxy_command(port, engines, folder)
    return rival_command(peer, port, engines)


def wait_until_serving(process, port, log):
    """A request gets 200; the peer's own output on failure."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]})
    for _ in range(150):
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request(
                "POST", "/v1/chat/completions", body, {"content-type": "application/json"}
            )
            answer = connection.getresponse()
            answer.read()
            connection.close()
            if answer.status == 200:
                return
        time.sleep(0.1)
    log.seek(0)
    raise RuntimeError(log.read().decode(errors="replace")[-500:] or "it does not answer")


def run_clients(port, cores, connections, seconds, body_bytes, streamed, *more):
    done = subprocess.run(
        ["taskset", "-c", cores, os.path.join(BIN, "gateway_client"), str(port), str(connections),
         str(seconds), str(body_bytes), str(streamed), *more],
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def run_case(name, process, port, engines, wanted):
    shape, connections, body_bytes, streamed, seconds, _, _ = CASES[name]
    engines.answer_with(shape)
    seconds *= wanted.seconds / 1.5
    if "gap_us" in shape:
        seconds = max(seconds, 1.2)  # One answer takes half a second.
    run_clients(port, wanted.client_cores, connections, min(0.5, seconds), body_bytes, streamed)
    before = cpu_seconds(process.pid)
    clients = run_clients(
        port, wanted.client_cores, connections, seconds, body_bytes, streamed
    )
    used = cpu_seconds(process.pid) - before
    if clients["failures"] or not clients["answers"]:
        raise RuntimeError(f"{name}: {clients['failures']} failures, {clients['answers']} answers")
    units = clients["answers"] * (CHUNKS_SPACED if "spaced" in name else 1)
    return {
        "us": used * 1e6 / units,
        "rate": clients["answers"] / clients["seconds"],
        "p99": clients["whole_us"]["p99"],
    }


def run_peer(peer, engines, wanted):
    """Every case on a fresh router: {case: figures}."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        port = free_port()
        command = command_of(peer, port, engines, folder)
        engines.answer_with("length=800")
        process = start(command, wanted.router_core, log)
        try:
            wait_until_serving(process, port, log)
            return {case: run_case(case, process, port, engines, wanted) for case in CASES}
        finally:
            stop(process)


def stream_delays(engines, wanted):
    """What the gateway adds to 64 streams of tokens 10 ms apart: [(metric, ms, bar in ms)]."""
    engines.answer_with("chunks=50&gap_us=10000")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        port = free_port()
        process = start(command_of("fairlead", port, engines, folder), wanted.router_core, log)
        try:
            wait_until_serving(process, port, log)
            found = []
            for how in [], ["delayed-ack"]:
                seconds = max(2, 4 * wanted.seconds)
                direct, through = (
                    run_clients(at, wanted.client_cores, 64, seconds, 800, 1, OPEN_LOOP, *how)
                    for at in (int(engines.ports[0]), port)
                )
                name = "_delayed_ack" if how else ""
                for what in "first", "gap":
                    added = through[f"{what}_us"]["p99"] - direct[f"{what}_us"]["p99"]
                    found.append((f"{what}_p99_added{name}", added / 1e3, 2))
                found.append((f"gap_max{name}", through["gap_us"]["max"] / 1e3, 40))
                found.append((f"gap_max_direct{name}", direct["gap_us"]["max"] / 1e3, None))
            return found
        finally:
            stop(process)


def report_delays(found):
    for metric, value, bar in found:
        said = "" if bar is None else "holds" if value <= bar else "missed"
        print(f"{metric:32} {value:8.2f} ms  {'' if bar is None else f'at most {bar}'}  {said}")
    with open(os.path.join(ROOT, "build/bench.jsonl"), "a", encoding="utf-8") as record:
        for metric, value, _ in found:
            line = {"bench": "gateway", "metric": metric, "unit": "ms", "value": value}
            line.update(peer=None, peer_value=None, ratio=None)
            record.write(json.dumps(line) + "\n")


def interval(values):
    """Order statistics around the median that cover it with at least 90 %."""
    ordered, n = sorted(values), len(values)
    low = 0
    while 2 * sum(math.comb(n, i) for i in range(low + 2)) / 2**n <= 0.1:
        low += 1
    return ordered[low], ordered[n - 1 - low]


def verdict(ratios, bar):
    low, _ = interval(ratios)
    if statistics.median(ratios) < bar:
        return "missed"
    return "holds" if low >= bar / TOLERANCE else "unresolved"


def install_rivals():
    """Names of the rivals that are there; says why the others are not."""
    there = []
    with open(os.path.join(HERE, "routers.txt"), encoding="utf-8") as file:
        pins = [line.strip() for line in file if "==" in line]
    for pin in pins:
        name = pin.split("==")[0]
        venv = os.path.join(ROOT, ".routers", name)
        stamp = os.path.join(venv, "installed")
        if not (os.path.exists(stamp) and open(stamp, encoding="utf-8").read() == pin):
            shutil.rmtree(venv, ignore_errors=True)
            print(f"bench: installing {pin} ...", flush=True)
            made = subprocess.run([sys.executable, "-m", "venv", venv], check=False).returncode == 0
            pip = [f"{venv}/bin/pip", "install", "--quiet", "--disable-pip-version-check", pin]
            if not made or subprocess.run(pip, check=False).returncode != 0:
                print(f"bench: skipped: {pin} could not be installed")
                continue
            with open(stamp, "w", encoding="utf-8") as file:
                file.write(pin)
        there.append(name)
    return there


def present_peers(wanted):
    peers = ["fairlead"]
    if shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin"):
        peers.append("haproxy")
    else:
        print("bench: skipped: haproxy is not installed")
    if not wanted.smoke:
        peers += install_rivals()
    if wanted.only:
        peers = [peer for peer in peers if peer in ["fairlead", *wanted.only]]
    return peers


def measure(peers, wanted):
    """{peer: [figures of each round]}, and the delays of streams; a peer that fails is left out."""
    engines = Engines(wanted.client_cores)
    found = {peer: [] for peer in peers}
    try:
        for number in range(wanted.rounds):
            turn = number % len(peers)
            for peer in peers[turn:] + peers[:turn]:
                if peer not in found:
                    continue
                print(f"\rround {number + 1}/{wanted.rounds}: {peer:16}", end="", flush=True)
                try:
                    found[peer].append(run_peer(peer, engines, wanted))
                except (RuntimeError, OSError, subprocess.SubprocessError) as problem:
                    if peer == "fairlead":
                        raise
                    print(f"\nbench: skipped: {peer}: {problem}")
                    del found[peer]
        print("\r" + " " * 40 + "\r", end="")
        return found, stream_delays(engines, wanted)
    finally:
        engines.close()


def rows(found):
    """(metric, unit, peer, value, peer's value, ratios, bar)."""
    ours = found["fairlead"]
    for peer, rounds in found.items():
        if peer == "fairlead" or not rounds:
            continue
        rival = peer in RIVALS
        for case, (*_, router_bar, haproxy_bar) in CASES.items():
            costs = [(b[case]["us"], a[case]["us"]) for a, b in zip(ours, rounds)]
            yield case, "us", peer, costs, router_bar if rival else haproxy_bar
        sse = "small_sse_c64"
        rates = [(a[sse]["rate"], b[sse]["rate"]) for a, b in zip(ours, rounds)]
        if rival:
            yield "req_per_s_small_c64", "per_second", peer, rates, RATE_BAR
        else:
            tails = [(b[sse]["p99"], a[sse]["p99"]) for a, b in zip(ours, rounds)]
            yield "p99_us_small_c64", "us", peer, tails, P99_BAR


def report(found):
    """Prints and records; the worst verdict of all comparisons that have a bar."""
    print(f"{'case':20} {'fairlead':>10} {'peer':>10}  {'ratio':>6} {'90 % interval':>16}"
          f" {'bar':>6}  verdict")  # fmt: skip
    verdicts = []
    with open(os.path.join(ROOT, "build/bench.jsonl"), "a", encoding="utf-8") as record:
        for metric, unit, peer, pairs, bar in rows(found):
            ratios = [better / worse for better, worse in pairs]
            first = statistics.median(pair[0] for pair in pairs)
            second = statistics.median(pair[1] for pair in pairs)
            value, peer_value = (first, second) if unit == "per_second" else (second, first)
            ratio, (low, high) = statistics.median(ratios), interval(ratios)
            said = verdict(ratios, bar) if len(ratios) >= 7 else "too few rounds"
            verdicts.append(said)
            print(f"{metric:20} {value:10,.1f} {peer_value:10,.1f}  {ratio:6.2f}"
                  f" {low:7.2f}..{high:<7.2f} {bar:6.2f}  {said} ({peer})")  # fmt: skip
            line = {"bench": "gateway", "metric": metric, "unit": unit, "value": value}
            line.update(peer=peer, peer_value=peer_value, ratio=ratio, low=low, high=high)
            record.write(json.dumps(line) + "\n")
    return verdicts


def main():
    arguments = argparse.ArgumentParser(description="The gateway beside other routers.")
    arguments.add_argument("--smoke", action="store_true", help="one short round without rivals")
    arguments.add_argument("--rounds", type=int, default=8)
    arguments.add_argument("--seconds", type=float, default=1.5, help="of a point")
    arguments.add_argument("--only", nargs="*", help="peers to run beside Fairlead")
    wanted = arguments.parse_args()
    if wanted.smoke:
        wanted.rounds, wanted.seconds = 1, 0.2
    cores = sorted(os.sched_getaffinity(0))
    wanted.router_core = str(cores[-1])
    wanted.client_cores = ",".join(str(core) for core in cores[:-1] or cores)
    found, delays = measure(present_peers(wanted), wanted)
    verdicts = report(found)
    report_delays(delays)
    print(f"gateway: {verdicts.count('holds')} of {len(verdicts)} bars hold;"
          " figures appended to build/bench.jsonl")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
