# SPDX-License-Identifier: Apache-2.0
"""What the program tells somebody at a terminal: refusals, exit codes, reports, completion."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

BINARY = os.environ["FAIRLEAD_BINARY"]
DEADLINE_S = 60


def run(*arguments, env=None):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True,
                          timeout=DEADLINE_S, env={**os.environ, **(env or {})})


class Running:
    """The program until the end of the block; its standard error is read up to a line."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([BINARY, *map(str, arguments)], stderr=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL, text=True)

    def __enter__(self):
        return self

    def wait_for(self, pattern):
        timer = threading.Timer(DEADLINE_S, self.process.kill)
        timer.start()
        try:
            for line in self.process.stderr:
                found = re.search(pattern, line)
                if found:
                    return found
        finally:
            timer.cancel()
        raise AssertionError(f"the program ended before it said {pattern!r}")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate(timeout=DEADLINE_S)


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path


class Check(Folder):
    def refusal(self, text):
        done = run("check", self.file("serve.yaml", text))
        self.assertEqual(done.returncode, 2, done.stdout)
        return done.stderr

    def test_endpoints_may_have_names_and_listeners_may_not(self):
        named = self.file("named.yaml", "fleet: {endpoints: [{address: 'engine.example:80'}]}\n")
        self.assertEqual(run("check", named).returncode, 0)
        said = self.refusal("fleet:\n  endpoints:\n    - address: 10.0.0.256:80\n")
        self.assertRegex(said, r"serve\.yaml:3: fleet\.endpoints\[0\]\.address: .* nor a name")
        said = self.refusal("gateway:\n  listen: ['example.com:80']\n")
        self.assertRegex(said, r"serve\.yaml:2: gateway\.listen: .*localhost")

    def test_the_secret_of_replicas_is_read_and_not_shown(self):
        secret = self.file("secret", "short one\n")
        text = f"replicas:\n  addresses: ['r:9']\n  secretFile: {secret}\n"
        said = self.refusal(text)
        self.assertRegex(said, r"serve\.yaml:3: replicas\.secretFile: a secret has 16 to 4096 ")
        self.assertNotIn("short one", said)
        self.file("secret", "correct horse battery staple\n")
        done = run("check", self.file("serve.yaml", text))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("horse", done.stdout)

    def test_the_endpoints_file_is_read(self):
        said = self.refusal(f"fleet:\n  endpointsFile: {self.folder}/none.yaml\n")
        self.assertRegex(said, r"serve\.yaml:2: fleet\.endpointsFile: .*none\.yaml")
        listed = self.file("e.yaml", "endpoints:\n  - {name: a, address: '10.0.0.256:80'}\n")
        said = self.refusal(f"fleet:\n  endpointsFile: {listed}\n")
        self.assertRegex(said, r"e\.yaml:2: endpoints\[0\]\.address: .* nor a name")
        listed.write_text("endpoints: [{name: a, address: '10.0.0.1:80'}]\n")
        said = self.refusal(f"fleet:\n  endpointsFile: {listed}\n"
                            "  endpoints: [{name: b, address: '10.0.0.1:80'}]\n")
        self.assertRegex(said, r"serve\.yaml:2: fleet\.endpointsFile: its endpoint a ")

    def test_a_log_that_cannot_be_written_is_refused_and_none_is_made(self):
        for path in (f"{self.folder}/none/x.log", self.folder):
            said = self.refusal(f"gateway:\n  accessLog: {path}\n")
            self.assertRegex(said, r"serve\.yaml:2: gateway\.accessLog: cannot open")
        fine = self.file("serve.yaml", f"gateway: {{accessLog: {self.folder}/x.log}}\n")
        self.assertEqual(run("check", fine).returncode, 0)
        self.assertFalse((self.folder / "x.log").exists())

    def test_files_of_tls_are_read(self):
        wrong = self.file("wrong.pem", "no certificate")
        said = self.refusal("gateway:\n  tls:\n"
                            f"    certFile: {wrong}\n    keyFile: {self.folder}/none.pem\n"
                            f"fleet:\n  tls:\n    caFile: {self.folder}/ca.pem\n")
        self.assertRegex(said, r"serve\.yaml:\d: gateway\.tls: .*wrong\.pem: no certificate in PEM")
        self.assertRegex(said, r"serve\.yaml:\d: fleet\.tls: .*ca\.pem: no CA certificates in PEM")

    def test_what_only_looks_wrong_is_a_warning(self):
        text = ("schedulingProfiles: []\nlimits: {requestTotal: 1s, upstreamFirstByte: 2h}\n")
        done = run("check", self.file("serve.yaml", text))
        self.assertEqual(done.returncode, 0, done.stderr)
        for words in ("serve.yaml:1: warning: schedulingProfiles", "serve.yaml:2: warning: limits",
                      "no endpoints"):
            self.assertIn(words, done.stderr)

    def test_connections_beyond_the_descriptor_limit_are_a_warning(self):
        done = run("check", self.file("serve.yaml", "limits:\n  connections: 1000000\n"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"serve\.yaml:2: warning: limits\.connections: .*2000512 "
                                      r"descriptors.*ulimit -Hn")

    def test_the_output_keeps_the_policy_of_the_flag(self):
        first = run("check", "--policy", "blend").stdout
        again = run("check", self.file("again.yaml", first))
        self.assertEqual(again.stdout, first)

    def test_a_picker_configuration_is_printed_whole_and_reads_back(self):
        nodes = self.file("nodes.yaml", "endpoints: [{name: a, address: 10.0.0.7, port: '80'}]\n")
        text = ("plugins:\n- {type: active-request-scorer}\n"
                f"- {{type: file-discovery, parameters: {{path: {nodes}}}}}\n"
                "dataLayer: {discovery: {pluginRef: file-discovery}}\n")
        first = run("check", "--epp", self.file("epp.yaml", text))
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertEqual(first.stderr, "")
        for words in ("scorer active-request-scorer x 1 <- inflight_requests",
                      "producer inflight-load-producer -> inflight_requests",
                      "full: active-request-scorer reads inflight_requests",
                      "metricsListen:", "scrapeInterval: 50ms"):
            self.assertIn(words, first.stdout)
        again = run("check", "--epp", self.file("again.yaml", first.stdout))
        self.assertEqual(again.stderr, "")
        self.assertEqual(again.stdout, first.stdout)

    def test_a_picker_without_endpoints_is_told_what_to_do(self):
        nodes = self.file("nodes.yaml", "endpoints: [{name: a, address: 10.0.0.7}]\n")
        text = ("plugins:\n- {type: active-request-scorer}\n"
                f"- {{type: file-discovery, parameters: {{path: {nodes}}}}}\n"
                "dataLayer: {discovery: {pluginRef: file-discovery}}\n")
        said = run("check", "--epp", self.file("epp.yaml", text))
        self.assertEqual(said.returncode, 2)
        self.assertRegex(said.stderr, r"nodes\.yaml:1: endpoints\[0\]: \"port\" is missing")
        self.assertRegex(run("check", "--epp").stderr, "file-discovery or fleet.endpointsFile")
        said = run("check", "--epp", self.file("epp.yaml",
                                               "plugins: [{type: session-affinity-scorer}]\n"))
        self.assertIn("--allow-experimental-plugins", said.stderr)

    def test_policies_are_listed_with_a_whole_sentence(self):
        shipped, _, peers = run("check", "--list-policies").stdout.strip().split("\n\n")
        shipped = re.split(r"\n(?=\S)", shipped)
        peers = re.split(r"\n(?=\S)", peers)
        self.assertEqual((len(shipped), len(peers)), (8, 11))
        for entry in shipped + peers:
            self.assertTrue(entry.endswith("."), entry)
            self.assertTrue(all(len(line) <= 100 for line in entry.splitlines()), entry)

    def test_a_shipped_policy_is_shown_as_a_file_of_ones_own(self):
        shown = run("check", "--show-policy", "fairlead")
        self.assertEqual(shown.returncode, 0)
        self.assertIn("waitingWeight: 0.5", shown.stdout)
        said = run("check", self.file("mine.yaml", shown.stdout))
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn("externality-cost-scorer", said.stdout)
        self.assertEqual(run("check", "--show-policy", "preble").returncode, 0)
        said = run("check", "--show-policy", "nosuch")
        self.assertEqual(said.returncode, 2)
        self.assertIn("nosuch is none of those that --list-policies names", said.stderr)


class Flags(unittest.TestCase):
    def test_a_wrong_value_is_refused_in_words(self):
        for words, expected in [
            ("load --rate 0", "--rate: must be a number from 0.001 to 1000000, is 0"),
            ("load --rate 5,-1", "must be a number from 0.001 to 1000000, is -1"),
            ("load --rate abc", "must be a number from 0.001 to 1000000, is abc"),
            ("load --concurrency 0", "must be a whole number from 1"),
            ("load --concurrency 2 --rate 5", "--concurrency excludes --rate"),
            ("load --requests 5", "--requests requires --concurrency"),
            ("load --trace azure_llm_2023_code --limit 0", "must be a whole number from 1"),
            ("load --workload nosuch", "nosuch is neither a shipped workload (agentic, "),
            ("load --workload chat --rate 5", "--workload excludes --rate"),
            ("load --pause-seconds -1", "must be a number from 0 to 1000000000, is -1"),
            ("load --prompt-tokens 99999999", "from 1 to 10000000, is 99999999"),
            ("engine --base-port 70000", "from 0 to 65535, is 70000"),
            ("engine --seed -1", "must be a whole number from 0"),
            ("demo --trace-seconds 0", "must be a number from 0.001 to 1000000000, is 0"),
            ("demo --policy nosuch", "nosuch not in"),
            ("explain", "name a request, or give one with --body"),
            ("explain --admin nowhere some-id", "--admin nowhere: "),
            ("explain --path /v1/messages some-id", "--path requires --body"),
        ]:
            with self.subTest(command=words):
                done = run(*words.split())
                self.assertEqual(done.returncode, 2)
                self.assertIn(expected, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertLess(len(done.stderr), 300)

    def test_faults_are_listed_and_a_missing_kind_is_said_to_be(self):
        self.assertIn("partial_write", run("engine", "--help").stdout)
        self.assertIn("kind is missing", run("engine", "--fault", "probability=1").stderr)


class Serve(unittest.TestCase):
    def test_a_port_in_use_is_refused_and_the_log_names_every_listener(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write("gateway: {listen: ['127.0.0.1:0', '127.0.0.1:0'], adminListen: "
                       "'127.0.0.1:0', workers: 2}\n")
            file.flush()
            with Running("serve", "-c", file.name, "-e", "127.0.0.1:9") as first:
                port = first.wait_for(r"serving on 127\.0\.0\.1:(\d+), 127\.0\.0\.1:\d+, admin on "
                                      r"127\.0\.0\.1:\d+, policy fairlead$").group(1)
                second = run("serve", "--listen", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0",
                             "-e", "127.0.0.1:9")
        self.assertEqual(second.returncode, 1)
        self.assertIn("in use", second.stderr)


class Engine(unittest.TestCase):
    def test_where_its_events_are_is_said(self):
        events = {"enable_kv_cache_events": True, "endpoint": "tcp://127.0.0.1:*",
                  "replay_endpoint": "tcp://127.0.0.1:*"}  # fmt: skip
        with Running("engine", "--engines", 2, "--base-port", 0, "--kv-events-config",
                     json.dumps(events)) as engines:  # fmt: skip
            place = r"tcp://127\.0\.0\.1:(\d+)"
            told = engines.wait_for(rf"KV events at {place} {place}, replay at {place} {place}$")
        self.assertEqual(len(set(told.groups())), 4)
        self.assertNotIn("0", told.groups())


class Load(Folder):
    def setUp(self):
        super().setUp()
        self.engine = Running("engine", "--base-port", 0, "--speed", 100)
        self.addCleanup(self.engine.__exit__)
        port = self.engine.wait_for(r"ports (\d+)").group(1)
        self.target = f"http://127.0.0.1:{port}"

    def assert_done(self, done):
        """A machine too busy for the schedule makes the run a doubtful one, not a wrong one."""
        if "the load generator lagged" not in done.stderr:
            self.assertEqual(done.returncode, 0, done.stderr)

    def load(self, *arguments, env=None):
        return run("load", "-t", self.target, *arguments, env=env)

    def closed(self, *arguments):
        return self.load("--concurrency", 4, "--requests", 20, "--output-tokens", 4, *arguments)

    def test_a_second_run_meets_no_warm_cache(self):
        seeds = []
        for _ in range(2):
            done = self.closed()
            self.assert_done(done)
            seeds.append(re.search(r"^seed (\d+)$", done.stderr, re.M).group(1))
            self.assertLess(float(re.search(r"hit rate ([\d.]+)", done.stdout).group(1)), 5)
        self.assertNotEqual(*seeds)
        again = self.closed("--seed", seeds[1]).stdout
        self.assertGreater(float(re.search(r"hit rate ([\d.]+)", again).group(1)), 50)

    def test_a_report_says_what_was_run(self):
        html, summary = self.folder / "r.html", self.folder / "r.json"
        done = self.load("--rate", "20,40", "--stage-seconds", 1, "--output-tokens", 4,
                         "--slo", "ttft=1.5", "--html", html, "--json", summary,
                         env={"FAIRLEAD_API_KEY": "secret-of-mine"})
        self.assert_done(done)
        page, said = html.read_text(), json.loads(summary.read_text())
        self.assertIn("run, by stage", page)
        self.assertNotIn("Model time", page)
        self.assertIn("20, 40 requests/s", said["method"]["Arrivals"])
        self.assertRegex(said["command"], r"^fairlead load .*--rate 20,40.*--seed \d+$")
        self.assertEqual(said["method"]["Seed"], said["command"].split()[-1])
        for text in (page, summary.read_text()):
            self.assertNotIn("secret-of-mine", text)

    def test_a_report_that_cannot_be_written_stops_the_start(self):
        for flag in ("--json", "--html"):
            done = self.closed(flag, self.folder / "none" / "report")
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"{flag}: cannot write", done.stderr)
            self.assertEqual(done.stdout, "")

    def test_a_run_that_fails_leaves_reports_as_they_were(self):
        old, new = self.file("old.html", "old"), self.folder / "new.html"
        for path in (old, new):
            self.assertEqual(run("load", "-t", "http://127.0.0.1:9", "--html", path).returncode, 1)
        self.assertEqual(old.read_text(), "old")
        self.assertFalse(new.exists())

    def test_nothing_answered_is_a_failure(self):
        with Running("engine", "--base-port", 0, "--fault", "kind=error_500") as engine:
            self.target = "http://127.0.0.1:" + engine.wait_for(r"ports (\d+)").group(1)
            done = self.closed()
        self.assertEqual(done.returncode, 1)
        self.assertIn("fairlead: no request was answered; most failed with http_500", done.stderr)


class Demo(Folder):
    def test_a_busy_port_stops_the_start(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = run("demo", "--keep", "--port", port, "--html", self.folder / "r.html")
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"127.0.0.1:{port}", done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertFalse((self.folder / "r.html").exists())
        done = run("demo", "--keep", "--engines", 200, "--html", self.folder / "r.html")
        self.assertEqual(done.returncode, 2)

    def test_an_interrupted_demo_says_so_once(self):
        demo = subprocess.Popen(
            [BINARY, "demo", "--policy", "random", "--html", self.folder / "r.html"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        timer = threading.Timer(DEADLINE_S, demo.kill)
        timer.start()
        self.assertIn("simulated engines", demo.stdout.readline())
        demo.send_signal(signal.SIGINT)
        _, said = demo.communicate(timeout=DEADLINE_S)
        timer.cancel()
        self.assertEqual(demo.returncode, 1)
        self.assertEqual(said.splitlines()[-1], "fairlead: policy random: interrupted")

    def test_the_report_says_how_it_was_made(self):
        html = self.folder / "r.html"
        words = "--policy random,fairlead --trace-seconds 40 --speed 40 --engines 2"
        done = run("demo", *words.split(), "--profile", "instant", "--html", html)
        self.assertIn("Report with charts", done.stdout, done.stderr)
        self.assertIn("2 policies", done.stdout)
        self.assertIn("fairlead demo --policy random,fairlead --engines 2 --profile instant "
                      "--speed 40 --trace-seconds 40</code>", html.read_text())


class Plan(Folder):
    FLEET = ("plan", "run", "--engines", 2, "--seeds", 2)

    def trace(self):
        rows = [{"timestamp": 500 * i, "input_length": 2000, "output_length": 20,
                 "hash_ids": [0, 1 + i % 3, 10 + i, 50 + i]} for i in range(40)]
        return self.file("t.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def test_a_trace_is_planned_into_json_beside_its_bounds(self):
        done = run(*self.FLEET, "--trace", self.trace(), "--format", "mooncake", "--speedup", 2,
                   "--kv-tokens", 65536, "--policy", "fairlead,random", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        self.assertEqual([one["policy"] for one in found["policies"]], ["fairlead", "random"])
        for policy in found["policies"]:
            self.assertEqual([one["requests"] for one in policy["seeds"]], [40, 40])
            self.assertGreaterEqual(policy["mean"]["ttft_mean_s"], found["bounds"]["ttft_floor_s"])
        self.assertEqual(found["fleet"]["kv_tokens"], 65536)

    def test_an_hour_of_a_busy_service_is_taken(self):
        # 6 MB, more than any other file that is read: a trace has a bound of its own.
        rows = [{"timestamp": 100 * i, "input_length": 131072, "output_length": 1,
                 "hash_ids": list(range(1000000, 1000256))} for i in range(2700)]
        trace = self.file("t.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        self.assertGreater(pathlib.Path(trace).stat().st_size, 6 << 20)
        done = run("plan", "run", "--engines", 2, "--seeds", 1, "--trace", trace, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["policies"][0]["seeds"][0]["requests"], 2700)

    def test_the_table_says_what_is_attainable_and_the_page_is_written(self):
        page = self.folder / "plan.html"
        done = run(*self.FLEET, "--trace", self.trace(), "--html", page)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^fairlead +\d")
        self.assertRegex(done.stdout, r"Bounds: hit [\d.]+ % in one pooled cache")
        self.assertIn("<code>fairlead plan run --engines 2 ", page.read_text())
        self.assertIn("What no routing can beat", page.read_text())
        self.assertNotIn("<td>0.0 ms</td>", page.read_text())

    def test_what_is_wrong_is_said_with_its_place(self):
        self.assertIn("neither a shipped policy", run(*self.FLEET, "--policy", "best").stderr)
        policy = self.file("p.yaml", "kind: Nothing\n")
        self.assertRegex(run(*self.FLEET, "--policy", policy).stderr, r"p\.yaml:1")
        self.assertIn("--kv-tokens", run(*self.FLEET, "--kv-tokens", 5).stderr)
        wrong = run(*self.FLEET, "--trace", self.file("t.csv", "a,b\n"), "--format", "azure")
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("t.csv", wrong.stderr)


class Sweep(Folder):
    POLICY = """kind: EndpointPickerConfig
apiVersion: llm-d.ai/v1alpha1
plugins:
  - type: prefix-cache-scorer
  - type: queue-scorer
  - type: max-score-picker
schedulingProfiles:
  - name: default
    plugins:
      - {pluginRef: prefix-cache-scorer, weight: ${prefix:3}}
      - {pluginRef: queue-scorer, weight: ${queue}}
      - {pluginRef: max-score-picker}
"""
    WORKLOAD = """name: NAME
about: Something short
use: train
kind: single
system: {count: 6, tokens: 6000}
input: 200
output: 40
rate: 12
length_s: 12
"""

    def setUp(self):
        super().setUp()
        self.policy = self.file("p.yaml", self.POLICY)
        self.one = self.file("one.yaml", self.WORKLOAD.replace("NAME", "one"))
        self.two = self.file("two.yaml", self.WORKLOAD.replace("NAME", "two"))

    def sweep(self, *arguments):
        return run("plan", "sweep", "--policy", self.policy, "--engines", 2, "--seeds", 2,
                   "--workload", self.one, "--validation", self.two, "--rivals", "random",
                   *arguments)

    def test_a_log_a_page_and_a_table_are_made_whatever_the_threads(self):
        told = []
        for threads in (1, 3):
            log, page = self.folder / f"{threads}.json", self.folder / f"{threads}.html"
            done = self.sweep("--vary", "prefix=1,3", "--vary", "queue=0.5..2:log", "--samples", 5,
                              "--threads", threads, "--json", log, "--html", page)
            self.assertEqual(done.returncode, 0, done.stderr)
            told.append((done.stdout, log.read_text()))
            self.assertIn("<code>fairlead plan sweep --policy ", page.read_text())
            self.assertIn("rung 2 of 2: contenders 4, seeds so far 2", done.stderr)
        self.assertEqual(*told)
        found = json.loads(told[0][1])
        self.assertEqual(len(found["contenders"]), 5)
        self.assertEqual(found["template"], self.POLICY)
        self.assertEqual(found["vary"], ["prefix=1,3", "queue=0.5..2:log"])
        self.assertEqual(found["validation"]["workloads"], [str(self.two)])
        self.assertRegex(told[0][0], r"(?m)^Validation: .*two\.yaml\. Nothing was chosen by these")

    def test_what_is_wrong_is_said_with_its_place(self):
        done = run("plan", "run", "--preset", "b2b", "--policy", self.policy)
        self.assertEqual(done.returncode, 2)
        self.assertIn("p.yaml has holes (${name}), which only `fairlead plan sweep`", done.stderr)

        def refusal(*arguments):
            done = self.sweep(*arguments)
            self.assertEqual(done.returncode, 2, done.stdout)
            return done.stderr
        self.assertIn("--vary", run("plan", "sweep", "--policy", self.policy).stderr)
        self.assertRegex(refusal("--vary", "prefix=1"), r"p\.yaml:11: \$\{queue\} has no value")
        self.assertIn("has no hole ${x}", refusal("--vary", "queue=1", "--vary", "x=1"))
        self.assertIn("queue=2..1: 2 is not below 1", refusal("--vary", "queue=2..1"))
        self.assertRegex(refusal("--vary", "queue=1,no"), r"queue=no: .*p\.yaml:11")
        self.assertIn("--validation", refusal("--vary", "queue=1", "--validation", self.one))
        self.assertIn("--rivals: best is neither",
                      refusal("--vary", "queue=1", "--rivals", "best"))
        self.assertIn("--set", refusal("--vary", "queue=1", "--set", "train"))
        self.policy = self.file("p.yaml", self.POLICY.replace("${queue}", "${a queue}"))
        self.assertIn("p.yaml:11: ${a queue} is no hole", refusal("--vary", "queue=1"))


class Completion(unittest.TestCase):
    def complete(self, *words):
        script = run("completion", "bash").stdout
        listed = " ".join(f"'{word}'" for word in words)
        done = subprocess.run(
            ["bash", "-c", f"{script}\nCOMP_WORDS=({listed})\nCOMP_CWORD={len(words) - 1}\n"
             "_fairlead\nprintf '%s\\n' \"${COMPREPLY[@]}\""],
            capture_output=True, text=True, check=True, timeout=DEADLINE_S)
        return done.stdout.split()

    def test_bash_knows_commands_flags_and_policies(self):
        self.assertEqual(self.complete("fairlead", "serv"), ["serve"])
        self.assertEqual(self.complete("fairlead", "load", "--stage"), ["--stage-seconds"])
        self.assertEqual(self.complete("fairlead", "serve", "--policy", "st"), ["sticky"])
        self.assertEqual(self.complete("fairlead", "load", "--workload", "az"),
                         ["azure-code", "azure-conv"])
        self.assertEqual(self.complete("fairlead", "serve", "serve.ya"), [])
        self.assertEqual(self.complete("fairlead", "plan", "r"), ["run"])
        self.assertEqual(sorted(self.complete("fairlead", "plan", "run", "--see")),
                         ["--seed", "--seeds"])
        self.assertEqual(self.complete("fairlead", "plan", "sw"), ["sweep"])
        self.assertEqual(self.complete("fairlead", "plan", "sweep", "--vary", "a=1", "--rivals",
                                       "dyn"), ["dynamo"])
        self.assertEqual(self.complete("fairlead", "plan", "sweep", "--set", "t"), ["train"])

    def test_the_other_shells_have_scripts(self):
        self.assertIn("bashcompinit", run("completion", "zsh").stdout)
        self.assertRegex(run("completion", "fish").stdout,
                         r"-n '__fish_seen_subcommand_from serve' -l config -s c -r -d '")
        self.assertRegex(run("completion", "fish").stdout,
                         r"_from plan; and __fish_seen_subcommand_from sweep' -l vary -r -d '")
        self.assertEqual(run("completion", "csh").returncode, 2)


if __name__ == "__main__":
    unittest.main()
