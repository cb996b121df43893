#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The KV index beside the Rust crates kv-index (SMG) and dynamo-kv-router (`make bench T=kvindex`).

    bench/kvindex/run.py [--smoke] [--rounds N] [--seconds S] [--only WORKLOAD ...] [--modes ...]

Every program applies the same file of operations (bench/kvindex/ops.h, workload.cpp) through its
public interface, on one processor, events decoded and hashed beforehand. A round starts each of
them afresh, in turn. Costs are processor time a block in warm memory (the workload is applied,
forgotten and applied again); lookups are timed one by one. A ratio is the median over rounds of
(peer's cost / ours), or of the rates the other way round, with the interval that covers the median
in 90 % of cases. Bars for updates are judged against the peer that is hardest to beat among those
that answered every lookup rightly, bars for lookups against SMG's into a reused vector. What a
peer's public interface does not reach is absent.

Every lookup that is checked is checked against the naive twin, ours and the peers'; a wrong one of
ours fails the run. Prints every figure beside its bar and appends them to build/bench.jsonl.
"""
import argparse
import hashlib
import json
import math
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BIN = os.path.join(ROOT, "build/release/bin")
FILES = os.path.join(ROOT, "build/kvindex")
TRACE = os.path.join(ROOT, "data/traces/mooncake_conversation.jsonl.gz")
PEERS = os.path.join(ROOT, ".indexes/release/kvindex_peers")
NAMES = {"smg": "SMG ChainIndex", "crtc": "Dynamo CRTC", "radix": "Dynamo RadixTree"}

WORKLOADS = ["faults", "w8", "w100", "w1000", "adv"]
SMOKE_LIMITS = ["600", "4000", "4"]  # Rows of the trace, blocks a pod, timed queries a length.
DEPTHS = [64, 512, 2000, 6250]
MODES = {  # mode: (workloads, programs)
    "pass": (WORKLOADS, ["fairlead", "smg", "crtc", "radix"]),
    "memory": (WORKLOADS[1:], ["fairlead", "smg", "crtc", "radix"]),
    "lanes": (["adv", "w1000"], ["fairlead", "smg", "crtc"]),
    "beside": (["w8", "w1000", "adv"], ["fairlead", "smg"]),
    "soak": (["w8"], ["fairlead"]),
    "frames": (["faults"], ["fairlead"]),  # Makes its own events; the file is not used.
}
TOLERANCE = 1.15  # Of the bar: where the interval may end (docs/testing.md).
UPDATE_BAR = 1 / 0.75
MANY_BAR, FEW_BAR = 4, 1  # Lookups with 1,000 endpoints, and with 8.
LANES_BAR = 58 / 57  # 58 M blocks/s on the machine on which SMG makes 57.


def make_workload(name, smoke):
    """Path of the operations, written unless the same are there."""
    os.makedirs(FILES, exist_ok=True)
    program = os.path.join(BIN, "kvindex_workload")
    path = os.path.join(FILES, f"{name}{'_smoke' if smoke else ''}.ops")
    limits = SMOKE_LIMITS if smoke else []
    with open(program, "rb") as file:
        stamp = hashlib.sha256(file.read() + " ".join(limits).encode()).hexdigest()
    stamp_path = path + ".stamp"
    if os.path.exists(stamp_path):
        with open(stamp_path, encoding="utf-8") as file:
            if file.read() == stamp:
                return path
    subprocess.run([program, name, TRACE, path, *limits], check=True)
    with open(stamp_path, "w", encoding="utf-8") as file:
        file.write(stamp)
    return path


def command_of(program, mode, path, wanted):
    ours = [os.path.join(BIN, "kvindex_driver")]
    command = (ours if program == "fairlead" else [PEERS, program]) + [mode, path]
    if wanted.smoke:
        return command + ["--smoke"]
    return command + ([str(wanted.seconds)] if mode == "soak" else [])


def measure(wanted, programs):
    """{(workload, mode): {program: [figures of each round]}}"""
    found = {}
    for workload in wanted.only:
        path = make_workload(workload, wanted.smoke)
        for mode in wanted.modes:
            workloads, reached = MODES[mode]
            if workload not in workloads:
                continue
            turn = [program for program in programs if program in reached]
            rounds = {program: [] for program in turn}
            once = mode == "soak" or (workload, mode) == ("faults", "pass")
            for number in range(1 if once else wanted.rounds):
                for program in turn[number % len(turn) :] + turn[: number % len(turn)]:
                    print(f"\r{workload} {mode} {number + 1}: {program:10}", end="", flush=True)
                    command = command_of(program, mode, path, wanted)
                    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
                    if done.returncode != 0:
                        sys.exit(f"\nkvindex: {' '.join(command)} failed: {done.returncode}")
                    figures = json.loads(done.stdout.splitlines()[-1])
                    if figures:
                        rounds[program].append(figures)
            found[workload, mode] = rounds
    print("\r" + " " * 40 + "\r", end="")
    return found


def interval(values):
    """Order statistics around the median that cover it with at least 90 %."""
    ordered, n = sorted(values), len(values)
    low = 0
    while 2 * sum(math.comb(n, i) for i in range(low + 2)) / 2**n <= 0.1:
        low += 1
    return ordered[low], ordered[n - 1 - low]


def judge(value, values, bar, most):
    """How a value stands to its bar; `most`: the bar is an upper one."""
    if bar is None:
        return ""
    low, high = interval(values)
    if value > bar if most else value < bar:
        return "FAIL"
    if len(values) < 7:
        return "pass (few rounds)"
    return "pass" if (high <= bar * TOLERANCE if most else low >= bar / TOLERANCE) else "unresolved"


class Report:
    def __init__(self, record, smoke):
        self.record, self.smoke = record, smoke
        self.verdicts = []

    def line(self, metric, unit, value, peer=None, peer_value=None, ratios=None):
        line = {"bench": "kvindex", "metric": metric, "unit": unit, "value": value, "peer": peer}
        line.update(peer_value=peer_value, ratio=ratios and statistics.median(ratios))
        if ratios:
            line["low"], line["high"] = interval(ratios)
        self.record.write(json.dumps(line) + "\n")

    def alone(self, metric, unit, values, bar=None, most=True, pick=statistics.median):
        """A figure that needs no peer."""
        value = pick(values)
        self.line(metric, unit, value)
        said = judge(value, [value] if pick is min else values, bar, most)
        if pick is min:
            said = said.replace(" (few rounds)", "")
        sense = "" if bar is None else f"at {'most' if most else 'least'} {bar:g}"
        self.say(f"{metric:36} {value:10,.2f} {unit:4} {sense:14}", said)

    def beside(self, metric, unit, rounds, key, bar=None, only=None):
        """A figure beside every peer's that has it; the bar is for the peer hardest to beat."""
        ours = [figures[key] for figures in rounds["fairlead"] if key in figures]
        if not ours:
            return
        rows = []
        for peer, theirs in rounds.items():
            keys = [k for k in (key, key + "_dense", key + "_map") if theirs and k in theirs[0]]
            for one in keys if peer != "fairlead" else []:
                values = [figures[one] for figures in theirs]
                ratios = [b / a if unit != "M/s" else a / b for a, b in zip(ours, values)]
                rows.append((statistics.median(ratios), peer, one[len(key) :], values, ratios))
        rows.sort(key=lambda row: row[0])
        judged = [row for row in rows if row[2] == "" and (only is None or row[1] in only)]
        if not rows:
            self.line(metric, unit, statistics.median(ours))
            self.say(f"{metric:36} {statistics.median(ours):10,.2f} {unit}", "")
        for row in rows:
            ratio, peer, form, values, ratios = row
            low, high = interval(ratios)
            name = NAMES[peer] + {"_dense": ", dense column", "_map": ", hash map"}.get(form, "")
            own = bar if judged and row is judged[0] else None
            value, theirs = statistics.median(ours), statistics.median(values)
            self.line(metric, unit, value, name, theirs, ratios)
            self.say(f"{metric:36} {value:10,.2f} {theirs:10,.2f} {unit:4}"
                     f" {ratio:6.2f} {low:7.2f}..{high:<7.2f}"
                     f" {'' if own is None else f'{own:.2f}':5} {name}",
                     judge(ratio, ratios, own, most=False))  # fmt: skip

    def say(self, text, said):
        if said and not self.smoke:
            self.verdicts.append(said)
        print(f"{text}  {said if not self.smoke else ''}".rstrip(), flush=True)


def exact(rounds):
    """The peers that answered every lookup of this workload rightly."""
    return [peer for peer, theirs in rounds.items() if theirs and not theirs[0]["wrong"]]


def report_pass(report, workload, rounds):
    for program, figures in rounds.items():
        wrong, checked = figures[0]["wrong"], figures[0]["checked"]
        said = "" if program != "fairlead" else "FAIL" if wrong else "pass"
        if program == "fairlead":
            report.line(f"wrong_lookups_{workload}", "", wrong)
        name = NAMES.get(program, "Fairlead")
        print(f"{workload}: {wrong:.0f} of {checked:.0f} lookups wrong: {name}  {said}")
        if said == "FAIL":
            report.verdicts.append(said)
    if workload == "faults":
        return
    right = exact(rounds)
    bar = None if workload == "w100" else UPDATE_BAR
    stream = "store_ns_w8_mixed" if workload == "w8" else f"store_ns_{workload}"
    report.beside(stream, "ns", rounds, "stream_ns", bar, right)
    report.beside(f"churn_ns_{workload}", "ns", rounds, "churn_ns")
    is_w8 = workload == "w8"
    report.beside(f"store1_ns_{workload}", "ns", rounds, "store1_ns", UPDATE_BAR if is_w8 else None,
                  right)  # fmt: skip
    report.beside("remove_ns" if is_w8 else f"remove_ns_{workload}", "ns", rounds, "remove_ns",
                  UPDATE_BAR if is_w8 else None, right)  # fmt: skip
    bar = {"w8": FEW_BAR, "w100": None}.get(workload, MANY_BAR)
    for depth in DEPTHS:
        for share in ("p50", "p99"):
            metric = f"lookup_{share}_ns_{workload}_{depth}"
            key = f"lookup_{share}_ns_{depth}"
            report.beside(metric, "ns", rounds, key, bar if share == "p50" else None, ["smg"])
    ours = rounds["fairlead"]
    if is_w8:
        report.beside("retire_us", "us", rounds, "retire_us")
        worst = [f["retire_us_worst"] for f in ours]  # Interruptions only add to it.
        report.alone("retire_us_100k", "us", worst, 10, pick=min)
    report.alone(f"sweep_ns_{workload}", "ns", [f["sweep_ns"] for f in ours])


def report_memory(report, workload, rounds):
    metric = f"bytes_per_held_{workload}"
    ours = rounds["fairlead"]
    bar = {"w8": 60, "w1000": 36, "adv": 30}.get(workload)
    report.beside(metric + "_beside_peers", "B", rounds, "bytes_per_held")
    report.alone(metric, "B", [f["bytes_per_held"] for f in ours], bar)
    # What interrupts a round only adds to it.
    dearest = [f["worst_update_us"] for f in ours]
    report.alone(f"worst_update_us_{workload}", "us", dearest, 100, pick=min)


def report_lanes(report, workload, rounds):
    bar = LANES_BAR if workload == "adv" else None
    report.beside(f"lanes2_mops_{workload}", "M/s", rounds, "lanes2_mops", bar)
    for depth in DEPTHS:
        key = f"lookup_p50_ns_{depth}_lanes2"
        values = [f[key] for f in rounds["fairlead"] if key in f]
        if values:
            report.alone(f"lookup_p50_ns_{workload}_{depth}_lanes2", "ns", values)


def report_beside(report, workload, rounds):
    report.beside(f"write_ns_beside_reader_{workload}", "ns", rounds, "beside_ns")
    for depth in DEPTHS:
        key = f"lookup_p99_ns_{depth}"
        ours = [f for f in rounds["fairlead"] if key in f]
        if not ours:
            continue
        first = workload == "w1000" and depth == 512
        metric = "lookup_p99_ns_under_writes" + ("" if first else f"_{workload}_{depth}")
        report.beside(metric, "ns", rounds, key + "_under_writes")
        slower = [f[key + "_under_writes"] / f[key] for f in ours]
        report.alone(f"lookup_p99_slower_{workload}_{depth}", "x", slower, 2)


def report_soak(report, workload, rounds):
    found = rounds["fairlead"][0]
    print(f"{workload}: {found['rounds']:.0f} rounds of soak, {found['checked']:.0f} lookups"
          f" checked, {found['forgotten']:.0f} blocks forgotten for the budget")  # fmt: skip
    for metric, bar in (("invented", 0), ("budget_used", 1), ("resident_growth", 1.1)):
        report.alone(f"soak_{metric}_{workload}", "", [found[metric]], bar, pick=min)


def report_frames(report, _, rounds):
    for blocks in (32, 128):
        values = [f[f"frames_mblocks_{blocks}"] for f in rounds["fairlead"]]
        report.alone(f"frames_mblocks_per_s_{blocks}", "M/s", values, 8, most=False)
    values = [f["frames_mevents_1"] for f in rounds["fairlead"]]
    report.alone("frames_mevents_per_s_1", "M/s", values, 1.5, most=False)


def peers_there(smoke):
    """A short run takes them only if they have been built."""
    if smoke:
        return os.path.exists(PEERS)
    return subprocess.run([os.path.join(ROOT, "tools/peers/kvindex")], check=False).returncode == 0


def main():
    arguments = argparse.ArgumentParser(description="The KV index beside other indexes.")
    arguments.add_argument("--smoke", action="store_true", help="one short round without bars")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--seconds", type=float, default=600, help="of the soak")
    arguments.add_argument("--only", nargs="*", choices=WORKLOADS, default=WORKLOADS)
    arguments.add_argument("--modes", nargs="*", choices=list(MODES), default=list(MODES))
    wanted = arguments.parse_args()
    if wanted.smoke:
        wanted.rounds = 1
    programs = ["fairlead"] + (list(NAMES) if peers_there(wanted.smoke) else [])
    if len(programs) == 1:
        print("kvindex: skipped: the peers are not built (tools/peers/kvindex)")
    found = measure(wanted, programs)
    say = {"pass": report_pass, "memory": report_memory, "lanes": report_lanes,
           "beside": report_beside, "soak": report_soak,
           "frames": report_frames}  # fmt: skip
    with open(os.path.join(ROOT, "build/bench.jsonl"), "a", encoding="utf-8") as record:
        report = Report(record, wanted.smoke)
        for (workload, mode), rounds in found.items():
            if rounds["fairlead"]:
                say[mode](report, workload, rounds)
    counts = {said: report.verdicts.count(said) for said in sorted(set(report.verdicts))}
    print(f"kvindex: {counts or 'no bars'}; figures appended to build/bench.jsonl")
    return 1 if "FAIL" in counts else 0


if __name__ == "__main__":
    sys.exit(main())
