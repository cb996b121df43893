#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a router believes in a cache that is gone: an engine is killed and started again at
once, between two health checks, and prompts that it had cached are asked for again. With a policy
that guesses from what was routed and with one that listens to the engine. A restart also shows in
the engine's figures: once these are scraped each 50 ms, and once as seldom as health is checked.

    bench/engine_restart/run.py [--rounds 3] [--smoke]

A prompt is foretold wrongly when the router expects more of it to be cached than the engine finds.
Prints, for each policy, how many prompts were, and the time from the engine's return to the last of
them; appends both to build/bench.jsonl. Needs a release build.
"""
import argparse
import itertools
import json
import os
import signal
import socket
import statistics
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from ready_process import DEADLINE_S, ROOT, Process

POLICIES = ("fairlead", "fairlead-exact")
HEALTH_S = 5
SCRAPES = ("50ms", f"{HEALTH_S}s")
PROMPT_WORDS = 2000


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def prompt(number):
    return " ".join(f"{number * 100_000 + i:07d}" for i in range(PROMPT_WORDS))


class Engine:
    def __init__(self, folder):
        self.port, self.replay = free_ports(2)
        # As vLLM, it binds its event socket only where the address says so; TCP needs `*` or `::`.
        self.events = f"ipc://{folder}/events"
        self.start()

    def start(self):
        config = {"enable_kv_cache_events": True, "endpoint": self.events,
                  "replay_endpoint": f"tcp://127.0.0.1:{self.replay}"}
        self.process = Process(r"ports", "engine", "--base-port", str(self.port), "--speed", "50",
                               "--served-model-name", "m", "--kv-events-config", json.dumps(config))

    def restart(self):
        self.process.end(signal.SIGKILL)
        self.start()

    def endpoint(self, name):
        return {"name": name, "address": f"127.0.0.1:{self.port}",
                "labels": {"fairlead/kv-events": self.events,
                           "fairlead/kv-replay": f"tcp://127.0.0.1:{self.replay}"}}


class Router:
    def __init__(self, folder, policy, scrape, engines):
        self.log = os.path.join(folder, f"{policy}.log")
        config = {"gateway": {"listen": ["127.0.0.1:0"], "adminListen": "127.0.0.1:0",
                              "accessLog": self.log},
                  "fleet": {"endpoints": [one.endpoint(f"e{i}") for i, one in enumerate(engines)],
                            "scrapeInterval": scrape,
                            "health": {"interval": f"{HEALTH_S}s", "unhealthyAfter": 100}}}
        path = os.path.join(folder, f"{policy}.yaml")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(config, out)  # JSON is YAML.
        self.process = Process(r"serving on 127\.0\.0\.1:(\d+)", "serve", "--config", path,
                               "--policy", policy)
        self.url = f"http://127.0.0.1:{self.process.found.group(1)}/v1/completions"
        self.lines = None

    def ask(self, text):
        """(tokens that the router expected to be cached, tokens that the engine found)"""
        body = json.dumps({"model": "m", "prompt": text, "max_tokens": 1}).encode()
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as reply:
            usage = json.load(reply)["usage"]
        return self.foretold(), usage["prompt_tokens_details"]["cached_tokens"]

    def foretold(self):
        if self.lines is None:
            self.lines = open(self.log, encoding="utf-8")
        deadline = time.monotonic() + DEADLINE_S
        line = ""
        while time.monotonic() < deadline:
            line += self.lines.readline()  # Half of it may be there.
            if line.endswith("\n"):
                return json.loads(line)["predicted_cached_tokens"]
            time.sleep(0.002)
        sys.exit("the access log has no line of the request")

    def ready(self):
        for _ in range(DEADLINE_S * 20):
            try:
                self.ask("ready?")
                return
            except urllib.error.HTTPError:
                time.sleep(0.05)
        sys.exit("no engine takes requests")

    def end(self):
        self.process.end()


def one_round(folder, policy, scrape, prompts, pause):
    engines = [Engine(folder)]
    router = Router(folder, policy, scrape, engines)
    try:
        router.ready()
        texts = [prompt(i) for i in range(prompts)]
        for text in texts:
            router.ask(text)
        time.sleep(0.5)  # The last events.
        engines[0].restart()
        back = time.monotonic()
        wrong, last = 0, 0.0
        for text in texts:
            try:
                foretold, found = router.ask(text)
            except urllib.error.HTTPError:
                time.sleep(pause)
                continue
            if foretold > found:
                wrong, last = wrong + 1, time.monotonic() - back
            time.sleep(pause)
        return wrong, last
    finally:
        router.end()
        engines[0].process.end()


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--smoke", action="store_true", help="one short round")
    wanted = arguments.parse_args()
    rounds, prompts, pause = (1, 10, 0.02) if wanted.smoke else (wanted.rounds, 150, 0.05)
    print(f"{prompts} prompts of {PROMPT_WORDS * 2} tokens, {pause * 1000:.0f} ms apart, after a "
          f"restart; health checks every {HEALTH_S} s; medians of {rounds}")
    print(f"{'policy':<16} {'scraped each':>12} {'foretold wrongly':>17} {'wrong for, s':>13}")
    with tempfile.TemporaryDirectory() as folder, \
            open(os.path.join(ROOT, "build/bench.jsonl"), "a", encoding="utf-8") as record:
        for policy, scrape in itertools.product(POLICIES, SCRAPES):
            seen = [one_round(tempfile.mkdtemp(dir=folder), policy, scrape, prompts, pause)
                    for _ in range(rounds)]
            wrong = statistics.median(one[0] for one in seen)
            lasted = statistics.median(one[1] for one in seen)
            print(f"{policy:<16} {scrape:>12} {wrong:>17.0f} {lasted:>13.3f}")
            name = f"{policy.replace('-', '_')}_{scrape}"
            for metric, unit, value in ((f"{name}_wrong_prompts", "prompts", wrong),
                                        (f"{name}_wrong_s", "s", lasted)):
                print(json.dumps({"bench": "engine_restart", "metric": metric, "unit": unit,
                                  "value": value}), file=record)


if __name__ == "__main__":
    main()
