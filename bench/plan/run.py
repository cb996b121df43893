#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The default policy beside every rival on every workload, in virtual time (`make bench T=plan`).

    bench/plan/run.py [--smoke] [--seeds N] [--seed FIRST] [--only WORKLOAD ...] [--kv-tokens K ...]

Every shipped workload runs on 8 engines with caches of 307k and of 1.2M tokens, under the default
with history, the default with what engines tell, and all rivals (docs/peer-policies.md). The seeds
begin at a number made of the commit's hash, so that no seed is one that a policy was made with.

A rival is the best when its mean over the seeds is; a ratio is (ours / its), each seed's figures
paired, the median over the seeds, with the interval that covers 95 % of the medians of redrawn
seeds (bootstrap). Prints every figure beside its bar and appends them to build/bench.jsonl. A bar
is missed when the median misses it; losses are named.
"""
import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(ROOT, "build/release/bin/fairlead")
OURS = {"fairlead": "", "fairlead-exact": "exact_"}  # And what their metrics begin with.
RIVALS = """least-request blend blend-spread sticky dynamo sglang-cache-aware chwbl preble lmetric
    lmetric-own greedy blend-1-1-1 blend-3-5-2 max-affinity power-of-two""".split()
FIGURES = {"ttft_mean": "ttft_mean_s", "ttft_p95": "ttft_p95_s", "ttft_p99": "ttft_p99_s"}
CACHES = [307_000, 1_200_000]  # Tokens an engine: tight, and ample.
REDRAWS = 1000
# The worst ratio to the best rival of a workload, and the median over workloads and caches; of a
# geometric mean to one rival; and how many workloads must be won from each.
MEDIAN_BAR = 1.0
WORST_BARS = {"ttft_mean": 1.10, "ttft_p95": 1.10, "ttft_p99": 1.25}
RIVAL_BAR, WON_BAR = 0.97, 2 / 3
THROUGHPUT_BAR = 0.97  # Of the static partition, where a workload has one.
HIT_BAR, HIT_BAR_FROM = 0.95, 600_000  # Of the pooled LRU, from so many tokens on.
# What a run costs: CPU seconds on one core.
TIMED = {"mooncake_hour_s": ["--trace", "mooncake_conversation", "--kv-tokens", "307000"],
         "b2b_ladder_s": ["--workload", "b2b", "--kv-tokens", "307000"]}  # fmt: skip
TIMED_BARS = {"": 2, "exact_": 3}


def plan(*flags):
    done = subprocess.run([PROGRAM, "plan", "run", *flags, "--json"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True)  # fmt: skip
    return json.loads(done.stdout)


def workloads():
    folder = os.path.join(ROOT, "data/workloads")
    return sorted(name[: -len(".yaml")] for name in os.listdir(folder) if name.endswith(".yaml"))


def by_seed(found, policy, figure):
    for one in found["policies"]:
        if one["policy"] == policy:
            return [seed[figure] for seed in one["seeds"]]
    return None


def paired_ratio(ours, theirs):
    """(median, low, high) of paired ratios."""
    ratios = [mine / yours for mine, yours in zip(ours, theirs)]
    draw = random.Random(1)
    medians = sorted(
        statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(REDRAWS)
    )
    edge = round(0.025 * REDRAWS)
    return statistics.median(ratios), medians[edge], medians[-1 - edge]


def best_rival(found, figure):
    return min(RIVALS, key=lambda rival: statistics.mean(by_seed(found, rival, figure)))


class Report:
    """Prints figures beside their bars and records them."""

    def __init__(self, record, judges):
        self.record, self.judges, self.missed = record, judges, []

    def add(self, metric, value, bar=None, sense="most", peer=None, more=""):
        said = ""
        if bar is not None and self.judges:
            good = value <= bar if sense == "most" else value >= bar
            said = f"at {sense} {bar:<5.3g} {'pass' if good else 'FAIL'}"
            if not good:
                self.missed.append(metric)
        print(f"{metric:58} {value:8.3f}  {said:20} {more}".rstrip(), flush=True)
        unit = "s" if metric.endswith("_s") else "ratio"
        line = {"bench": "plan", "metric": metric, "unit": unit}
        line.update(value=value, peer=peer, peer_value=None, ratio=None)
        self.record.write(json.dumps(line) + "\n")


def to_best_rival(found, ours, figure):
    """Its name, and the ratio with its interval."""
    rival = best_rival(found, figure)
    return rival, *paired_ratio(by_seed(found, ours, figure), by_seed(found, rival, figure))


def report_workload(found, name, kv_tokens, report):
    """Ratios to the best rival and to the bounds."""
    cell = f"{name}_{kv_tokens // 1000}k"
    for ours, prefix in OURS.items():
        for short, figure in FIGURES.items():
            rival, ratio, low, high = to_best_rival(found, ours, figure)
            report.add(f"{prefix}{short}_vs_best_rival_{cell}", ratio, WORST_BARS[short],
                       peer=rival, more=f"({low:.2f} to {high:.2f}) {rival}")  # fmt: skip
        report_bounds(found, ours, f"{prefix}{{}}_{cell}", kv_tokens, report)


def report_bounds(found, ours, metric, kv_tokens, report):
    rate = "output_tokens_per_s"
    oracle = by_seed(found, "static-partition", rate)
    if oracle:
        ratio, low, high = paired_ratio(by_seed(found, ours, rate), oracle)
        report.add(metric.format("throughput_vs_oracle"), ratio, THROUGHPUT_BAR, "least",
                   more=f"({low:.2f} to {high:.2f})")  # fmt: skip
    for one in found["policies"]:
        hit = one["ratio_to_bound"].get("hit_vs_pooled_lru") if one["policy"] == ours else None
        if hit is not None:
            bar = HIT_BAR if kv_tokens >= HIT_BAR_FROM else None
            report.add(metric.format("hit_vs_pooled_lru"), hit, bar, "least")


def report_medians(cells, report):
    """Over all workloads and caches, beside the best rival of each."""
    for ours, prefix in OURS.items():
        for short, figure in FIGURES.items():
            ratios = [to_best_rival(found, ours, figure)[1] for found in cells]
            won = sum(ratio <= 1 for ratio in ratios) / len(ratios)
            report.add(f"{prefix}{short}_vs_best_rival", statistics.median(ratios),
                       MEDIAN_BAR if short != "ttft_p99" else None,
                       more=f"{100 * won:.0f} % as good or better")  # fmt: skip


def report_rivals(cells, report):
    """Each rival over all workloads and caches: geometric means, and how many were won."""
    for ours, prefix in OURS.items():
        for rival in RIVALS:
            for short in ("ttft_mean", "ttft_p95"):
                ratios = [
                    paired_ratio(by_seed(found, ours, FIGURES[short]),
                                 by_seed(found, rival, FIGURES[short]))[0]
                    for found in cells
                ]  # fmt: skip
                mean = math.exp(statistics.mean(map(math.log, ratios)))
                won = sum(ratio < 1 for ratio in ratios) / len(ratios)
                report.add(f"{prefix}{short}_vs_{rival}", mean, RIVAL_BAR, peer=rival,
                           more=f"{100 * won:.0f} % won")  # fmt: skip
                if won < WON_BAR and report.judges:
                    report.missed.append(f"{prefix}{short}_won_from_{rival}")


def report_cost(report):
    """CPU seconds of one run: the least of three, other work on the machine only adds."""
    for metric, flags in TIMED.items():
        for ours, prefix in OURS.items():
            runs = plan(*flags, "--policy", ours, "--seeds", "3", "--threads", "1")
            report.add(f"{prefix}{metric}", min(by_seed(runs, ours, "cpu_s")), TIMED_BARS[prefix])


def first_seed():
    done = subprocess.run(["git", "rev-parse", "--short=7", "HEAD"], cwd=ROOT, check=False,
                          stdout=subprocess.PIPE, text=True)  # fmt: skip
    return int(done.stdout or "1", 16)


def main():
    arguments = argparse.ArgumentParser(description="The default policy beside all rivals.")
    arguments.add_argument("--smoke", action="store_true", help="one short workload, no bars")
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--seed", type=int, default=first_seed(), help="the first")
    arguments.add_argument("--only", nargs="*", choices=workloads(), default=workloads())
    arguments.add_argument("--kv-tokens", nargs="*", type=int, default=CACHES)
    wanted = arguments.parse_args()
    if wanted.smoke:
        wanted.seeds, wanted.only, wanted.kv_tokens = 1, ["bursty"], CACHES[:1]
    cells = []
    with open(os.path.join(ROOT, "build/bench.jsonl"), "a", encoding="utf-8") as record:
        report = Report(record, not wanted.smoke)
        print(f"plan: seeds {wanted.seed} to {wanted.seed + wanted.seeds - 1}")
        if not wanted.smoke:
            report_cost(report)
        for name in wanted.only:
            for kv_tokens in wanted.kv_tokens:
                found = plan("--workload", name, "--kv-tokens", str(kv_tokens), "--policy",
                             ",".join([*OURS, *RIVALS]), "--seeds", str(wanted.seeds),
                             "--seed", str(wanted.seed))  # fmt: skip
                report_workload(found, name, kv_tokens, report)
                cells.append(found)
        report_medians(cells, report)
        report_rivals(cells, report)
    print(f"plan: {len(report.missed) or 'no'} bars missed {', '.join(report.missed)}".rstrip())
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
