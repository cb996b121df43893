#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What text costs beside the tokenizers crate alone (`make bench T=text`).

100 KB cold, chunk by chunk through our cache, against the crate on the whole text: at most 1.1
times its CPU time. A conversation of 20 turns, rendered and tokenised turn by turn, against its
last turn alone: less than 2 times. Each figure is of a fresh process; pairs are interleaved.
"""
import argparse
import glob
import json
import os
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.join(ROOT, "build/release/bin")
MODEL = os.path.join(ROOT, "test/text/models/tiny-llama")
TEXT = os.path.join(ROOT, "build/bench-text.txt")


def make_text():
    files = sorted(glob.glob(f"{ROOT}/docs/*.md")) + sorted(glob.glob(f"{ROOT}/src/core/*/*.h"))
    text = ""
    for file in files:
        with open(file, encoding="utf-8") as one:
            text += one.read()
    with open(TEXT, "w", encoding="utf-8") as out:
        out.write(text.encode()[: 100 * 1024].decode(errors="ignore"))


def run(command, field):
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    figures = json.loads(done.stdout)
    return figures[field], figures["tokens"]


def interval(ratios):
    """The median and its 90 % interval, from order statistics (seven pairs or more)."""
    ranked = sorted(ratios)
    return statistics.median(ranked), ranked[len(ranked) // 7], ranked[-1 - len(ranked) // 7]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--smoke", action="store_true")
    pairs = 1 if arguments.parse_args().smoke else 15
    if not os.path.exists(f"{BIN}/text_cost"):
        print("bench: text: built without tokenizers, skipped")
        return 0
    make_text()
    ours, crate, turns, final = [], [], [], []
    tool = [f"{BIN}/text_cost", MODEL, TEXT]
    for _ in range(pairs):
        cost, count = run([*tool, "cold"], "cold_us")
        peer, peer_count = run([f"{BIN}/crate_alone", f"{MODEL}/tokenizer.json", TEXT], "cold_us")
        if count != peer_count:
            sys.exit(f"bench: text: {count} tokens, but {peer_count} from the crate alone")
        ours.append(cost)
        crate.append(peer)
        turns.append(run([*tool, "turns"], "turns_us")[0])
        final.append(run([*tool, "final"], "final_us")[0])
    failed = False
    rows = [
        ("tokenise_100kb_cold", ours, "tokenizers crate", crate, 1.1),
        ("conversation_20_turns", turns, "its last turn alone", final, 2.0),
    ]
    with open(f"{ROOT}/build/bench.jsonl", "a", encoding="utf-8") as record:
        for metric, mine, peer, theirs, bar in rows:
            middle, low, high = interval([a / b for a, b in zip(mine, theirs)])
            value, peer_value = statistics.median(mine), statistics.median(theirs)
            verdict = "met" if middle <= bar else "missed"
            if verdict == "met" and high > 1.15 * bar:
                verdict = "unresolved"
            print(f"text: {metric}: {value:.0f} us, {peer}: {peer_value:.0f} us, "
                  f"{middle:.2f} times ({low:.2f} to {high:.2f}), at most {bar}: {verdict}")
            line = {"bench": "text", "metric": metric, "unit": "us", "value": value, "peer": peer,
                    "peer_value": peer_value, "ratio": 1 / middle}
            record.write(json.dumps(line) + "\n")
            failed |= verdict == "missed" and pairs > 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
