# SPDX-License-Identifier: Apache-2.0
"""Two `fairlead serve` over the same simulated engines that tell each other what they send where:
killed, back again, and with another secret."""
import json
import pathlib
import re
import signal
import socket
import tempfile
import time
import unittest
import urllib.request

from ready_program import start

DEADLINE_S = 60
ENGINES = 3


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def until(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class Router:
    def __init__(self, folder, name, engine_ports, port, other, secret="correct horse battery"):
        self.folder, self.name = folder, name
        (folder / f"{name}.secret").write_text(secret + "\n")
        self.settings = {
            "policy": "fairlead",
            "gateway": {"listen": ["127.0.0.1:0"], "adminListen": "127.0.0.1:0"},
            "fleet": {"endpoints": [{"name": f"gpu-{i}", "address": f"127.0.0.1:{port}"}
                                    for i, port in enumerate(engine_ports)]},
            "replicas": {"listen": f"127.0.0.1:{port}", "addresses": [f"127.0.0.1:{other}"],
                         "secretFile": str(folder / f"{name}.secret")}}
        self.start()

    def start(self):
        file = self.folder / f"{self.name}.yaml"
        file.write_text(json.dumps(self.settings))
        self.process, (gateway, admin) = start(r"serving on \S+:(\d+), admin on \S+:(\d+),",
                                               "serve", "-c", file)
        self.gateway = f"http://127.0.0.1:{gateway}"
        self.admin = f"http://127.0.0.1:{admin}"
        until(self.is_whole, "all engines are known")

    def get(self, path):
        with urllib.request.urlopen(self.admin + path, timeout=5) as reply:
            return reply.read().decode()

    def is_whole(self):
        rows = json.loads(self.get("/debug/endpoints"))["endpoints"]
        return all(row["models"] for row in rows)

    def figure(self, series):
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.get("/metrics"), re.M)
        return float(found.group(1)) if found else None

    def ask(self, prompt):
        """Sends the prompt; the decision that was made."""
        body = {"model": "tiny", "max_tokens": 1, "prompt": prompt}
        request = urllib.request.Request(self.gateway + "/v1/completions",
                                         json.dumps(body).encode(),
                                         {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as reply:
            request_id = reply.headers["x-request-id"]
            reply.read()
        explained = json.loads(self.get(f"/debug/explain?request_id={request_id}"))
        return explained["decisions"][0]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE_S)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(DEADLINE_S) == 0


def prompts(tag):
    return [f"{tag} {number}: " + f"{tag}{number:04d}" * 2000 for number in range(6)]


class Replicas(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.engines, (ports,) = start(r"ports((?: \d+)+)", "engine", "--engines", ENGINES,
                                       "--base-port", 0, "--speed", 20, "--served-model-name",
                                       "tiny")
        self.addCleanup(self.engines.wait)
        self.addCleanup(self.engines.terminate)
        self.engine_ports = ports.split()
        self.ports = free_ports(2)

    def router(self, name, secret="correct horse battery"):
        number = "ab".index(name)
        router = Router(self.folder, name, self.engine_ports, self.ports[number],
                        self.ports[1 - number], secret)
        self.addCleanup(lambda: router.process.poll() is None and router.stop())
        return router

    def check_known(self, told_by, known_to, tag):
        """What one sends, the other sends to the same endpoints, as cached there."""
        taken = 'fairlead_replica_placements_total{result="taken"}'
        before, back = known_to.figure(taken), told_by.figure(taken)
        placed = {prompt: told_by.ask(prompt) for prompt in prompts(tag)}
        self.assertGreater(len({one["chosen"] for one in placed.values()}), 1)
        until(lambda: known_to.figure(taken) == before + len(placed), "told")
        for prompt, first in placed.items():
            self.assertEqual(first["expected_cached_tokens"], 0)
            second = known_to.ask(prompt)
            self.assertEqual(second["chosen"], first["chosen"])
            self.assertGreater(second["expected_cached_tokens"], 0.9 * second["prompt_tokens"])
        until(lambda: told_by.figure(taken) == back + len(placed), "told back")

    def until_heard(self, count, *routers):
        until(lambda: all(one.figure("fairlead_replicas") == count for one in routers),
              f"{count} others")

    def test_a_router_that_is_killed_is_missed_and_heard_again(self):
        a, b = self.router("a"), self.router("b")
        self.until_heard(1, a, b)
        self.check_known(a, b, "first")
        self.check_known(b, a, "second")
        a.kill()
        self.until_heard(0, b)
        self.assertEqual(b.ask(prompts("first")[0])["attempt"], 1)
        a.start()
        self.until_heard(1, a, b)
        self.check_known(b, a, "third")
        self.check_known(a, b, "fourth")
        self.assertEqual(b.figure('fairlead_replica_batches_total{result="unsealed"}'), 0)

    def test_another_secret_shares_nothing(self):
        a, b = self.router("a"), self.router("b", "some other secret text")
        unsealed = 'fairlead_replica_batches_total{result="unsealed"}'
        until(lambda: a.figure(unsealed) > 0 and b.figure(unsealed) > 0, "refused")
        for prompt in prompts("apart"):
            a.ask(prompt)
            self.assertEqual(b.ask(prompt)["expected_cached_tokens"], 0)
        self.assertEqual(b.figure("fairlead_replicas"), 0)


if __name__ == "__main__":
    unittest.main()
