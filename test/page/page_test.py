# SPDX-License-Identifier: Apache-2.0
"""The live page in headless Chromium, over a gateway and simulated engines.

Every figure of the page is compared with /metrics at a moment without traffic. With
FAIRLEAD_SCREENSHOTS=folder, pictures of it are put there.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import browser

BINARY = os.environ["FAIRLEAD_BINARY"]
SHOTS = os.environ.get("FAIRLEAD_SCREENSHOTS")
DEADLINE_S = 30
SKIPPED = 77
SECRET = "the-prompt-that-nobody-may-see"
# A name with markup in it must stay a name.
EVIL = "<img/src=x/onerror=document.title='owned'>"


class Program:
    """The program with these arguments; its standard error is read up to a line."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([BINARY, *arguments], stderr=subprocess.PIPE, text=True)

    def wait_for(self, pattern):
        timer = threading.Timer(DEADLINE_S, self.process.kill)
        timer.start()
        try:
            for line in self.process.stderr:
                if found := re.search(pattern, line):
                    threading.Thread(target=self.process.stderr.read, daemon=True).start()
                    return found
        finally:
            timer.cancel()
        raise AssertionError(f"the program ended before it said {pattern!r}")

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE_S)
        self.process.stderr.close()


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def until(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


class Exposition:
    """/metrics, read independently of the page's own reader."""

    def __init__(self, text):
        self.series, self.samples = {}, []
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            series, value = line.rsplit(" ", 1)
            name, _, labels = series.partition("{")
            self.series[series] = float(value)
            self.samples.append((name, dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)),
                                 float(value)))

    def sum(self, what):
        name, _, condition = what.partition("{")
        label, _, values = condition.rstrip("}").partition("=")
        return sum(value for known, labels, value in self.samples
                   if known == name and (not label or labels.get(label) in values.split("|")))

    def buckets(self, what):
        name, _, condition = what.partition("{")
        label, _, wanted = condition.rstrip("}").partition("=")
        counts = {}
        for known, labels, value in self.samples:
            if known == name + "_bucket" and (not label or labels.get(label) == wanted):
                bound = float(labels["le"])
                counts[bound] = counts.get(bound, 0) + value
        return sorted(counts.items())

    def value(self, source, before):
        """What `source` stands for, and the figures that it was said to be computed of."""
        kind, _, rest = source.partition(":")
        if kind == "series":
            return self.series[rest]
        if kind == "sum":
            return self.sum(rest)
        if kind == "ratio":
            part, whole = (self.series[one] if one in self.series else self.sum(one)
                           for one in rest.split(" / "))
            return part / whole if whole else None
        if kind == "rate":
            (old, then), (new, now) = before
            assert new == self.value(rest, None), rest
            return (new - old) / (now - then) if now > then else None
        q, _, name = rest.partition(":")
        return quantile(float(q), [(bound, count - old) for (bound, count), old
                                   in zip(self.buckets(name), before[0], strict=True)])


def quantile(q, buckets):
    """histogram_quantile, as Prometheus documents it."""
    total = buckets[-1][1] if buckets else 0
    if total == 0:
        return None
    below, low = 0, 0.0
    for bound, count in buckets:
        if count >= q * total:
            if bound == float("inf"):
                return low
            return low + (bound - low) * (q * total - below) / (count - below)
        below, low = count, bound
    return None


def scale_of(source):
    """Shares are shown in per cent, times in milliseconds."""
    if source.startswith("ratio:") or "_kv_usage{" in source or "_endpoint_up{" in source:
        return 100
    return 1000 if source.startswith("quantile:") else 1


def numbers(text):
    return [float(word) for word in text.split()]


FIGURES = """[...document.querySelectorAll('[data-source]')].map(node => ({
    text: node.textContent, ...node.dataset}))"""
# Digits that a person sees among the figures, but that no figure carries. Names have digits too.
STRAY = """[...document.querySelectorAll('#tiles dd, #fleet td')].flatMap(cell => {
    const copy = cell.cloneNode(true);
    copy.querySelectorAll('[data-source], .trouble').forEach(node => node.remove());
    return copy.textContent.match(/[0-9]+/g) || [];})"""


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        ports = cls.start_engines(3) + cls.start_engines(1)
        names = ["gpu-0", "gpu-1", EVIL, "gpu-down"]
        entries = "".join(f"    - {{name: {json.dumps(name)}, address: '127.0.0.1:{port}'}}\n"
                          for name, port in zip(names, ports))
        cls.config = tempfile.NamedTemporaryFile("w", suffix=".yaml")
        cls.addClassCleanup(cls.config.close)
        cls.config.write("gateway: {listen: ['127.0.0.1:0'], adminListen: '127.0.0.1:0'}\n"
                         "fleet:\n  health: {interval: 100ms, eject: 60s}\n  endpoints:\n" +
                         entries)
        cls.config.flush()
        gateway, cls.url, cls.admin = cls.start_gateway()
        cls.addClassCleanup(gateway.stop)
        until(lambda: all(one["models"] for one in cls.endpoints()))
        cls.engines.stop()  # The last that were started: gpu-down.
        until(lambda: cls.endpoints()[3]["health"] == "ejected")
        cls.browser = browser.Browser()
        cls.addClassCleanup(cls.browser.close)

    @classmethod
    def start_engines(cls, count):
        cls.engines = Program("engine", "--engines", str(count), "--base-port", "0", "--speed",
                              "20", "--served-model-name", "tiny")
        cls.addClassCleanup(cls.engines.stop)
        return cls.engines.wait_for(r"ports((?: \d+)+)").group(1).split()

    @classmethod
    def start_gateway(cls):
        gateway = Program("serve", "-c", cls.config.name)
        port, admin = gateway.wait_for(r"serving on \S+:(\d+), admin on \S+:(\d+),").groups()
        return gateway, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}"

    @classmethod
    def endpoints(cls):
        return json.loads(get(cls.admin + "/debug/endpoints"))["endpoints"]

    def setUp(self):
        self.browser.resize(1280)
        self.browser.prefer("light")
        self.browser.events.clear()

    def show(self, admin=None):
        self.browser.open((admin or self.admin) + "/")
        self.browser.wait("document.body && document.body.dataset.drawn")

    def ask(self, number, stream=True, request_id=None, model="tiny"):
        prompt = f"{SECRET} {number % 3} " + "and so on " * 600
        body = {"model": model, "stream": stream, "max_tokens": 12,
                "messages": [{"role": "user", "content": prompt}]}
        if stream:
            body["stream_options"] = {"include_usage": True}
        headers = {"content-type": "application/json"}
        if request_id:
            headers["x-request-id"] = request_id
        request = urllib.request.Request(self.url + "/v1/chat/completions",
                                         json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as reply:
                reply.read()
        except urllib.error.HTTPError as error:
            error.read()

    def quiesce(self):
        """No traffic, and a state drawn after the scrapes have seen that."""
        until(lambda: all(row["inflight_requests"] == row["running"] == row["waiting"] == 0
                          for row in self.endpoints()))
        self.wait_for_drawing()

    def wait_for_drawing(self, times=2):
        for _ in range(times):
            drawn = self.browser.run("document.body.dataset.drawn")
            self.browser.wait(f"document.body.dataset.drawn !== '{drawn}'")

    def shoot(self, name):
        if SHOTS:
            self.browser.screenshot(os.path.join(SHOTS, name + ".png"))

    def compare_with_metrics(self):
        """The figures of the page with /metrics; returns how many of each kind were compared."""
        figures = self.browser.run(FIGURES)
        told = Exposition(get(self.admin + "/metrics"))
        kinds = {}
        for figure in figures:
            source = figure["source"]
            before = [numbers(figure[key]) for key in ("from", "to") if key in figure]
            expected = told.value(source, before)
            with self.subTest(source=source):
                if expected is None:
                    self.assertEqual(figure["text"], "–")
                    continue
                self.assertAlmostEqual(float(figure["value"]), expected, delta=1e-9)
                shown = figure["text"].replace(",", "")
                digits = len(shown.partition(".")[2])
                self.assertAlmostEqual(float(shown), expected * scale_of(source),
                                       delta=0.5001 * 10 ** -digits)
            kinds[source.partition(":")[0]] = kinds.get(source.partition(":")[0], 0) + 1
        return kinds

    def test_every_figure_equals_metrics(self):
        for number in range(5):  # Before the page is there, and so in none of its quantiles.
            self.ask(number)
        self.show()
        for number in range(30):
            self.ask(number, stream=number % 5 != 0)
        self.ask(0, model="unknown")
        self.quiesce()
        kinds = self.compare_with_metrics()
        # Four rows with eight plain figures each; all is compared while the figures are not 0.
        self.assertGreaterEqual(kinds["series"], 32)
        self.assertGreaterEqual(kinds["sum"], 4)
        self.assertGreaterEqual(kinds["ratio"], 4)
        self.assertEqual(kinds["quantile"], 4)
        self.assertGreaterEqual(kinds["rate"], 4)
        self.assertEqual(self.browser.run(STRAY), [])
        self.assertEqual(self.browser.run(
            "document.querySelector('#fleet .badge.ejected').textContent"), "ejected")

    def test_names_stay_names_and_prompts_stay_away(self):
        self.show()
        self.ask(1, request_id="</script><b>bold")
        self.wait_for_drawing()
        self.browser.run("document.querySelectorAll('#decisions details')"
                         ".forEach(node => node.open = true)")
        self.browser.wait("document.querySelectorAll('#decisions table').length > 0")
        self.assertEqual(self.browser.run("document.querySelectorAll('img, b').length"), 0)
        self.assertIn(EVIL, self.browser.run("document.getElementById('fleet').textContent"))
        self.assertIn("</script><b>bold",
                      self.browser.run("document.getElementById('decisions').textContent"))
        self.assertRegex(self.browser.run("document.title"), r"^Fairlead, 3 of 4 up$")
        everything = self.browser.run("document.documentElement.outerHTML")
        for text in (everything, *(get(self.admin + path) for path in (
                "/debug/state", "/debug/decisions", "/metrics"))):
            self.assertNotIn(SECRET, text)
        self.assertEqual(self.browser.complaints(), [])
        self.assertTrue(all(url.startswith((self.admin, "data:", "about:"))
                            for url in self.browser.requested()))

    def test_a_decision_shows_the_score_of_every_endpoint(self):
        self.ask(2, request_id="shown-1")
        self.show()
        node = "[...document.querySelectorAll('.decision')].find(one => " \
               "one.textContent.includes('shown-1'))"
        self.browser.run(f"{node}.open = true")
        rows = self.browser.wait(
            f"{node}.querySelector('table') && [...{node}.querySelectorAll('tr')].map(row => "
            "[...row.children].map(cell => cell.textContent))")
        told = json.loads(get(self.admin + "/debug/explain?request_id=shown-1"))["decisions"][0]
        self.assertEqual(len(rows) - 1, len(told["rows"]))
        self.assertEqual(rows[0][1:3], ["externality", "cold-placement"])
        for cells, row in zip(rows[1:], told["rows"]):
            self.assertEqual(cells[0], row["endpoint"] + (" chosen" if row["chosen"] else ""))
            shown = [float(cell.replace(",", "")) for cell in cells[1:4]]
            for value, expected in zip(shown, [*row["terms"], row["total"]]):
                self.assertAlmostEqual(value, expected, delta=0.051)
        self.assertIn("gpu-down takes no traffic",
                      self.browser.run(f"{node}.querySelector('.absent').textContent"))
        # It stays open and in place while the page goes on.
        self.wait_for_drawing()
        self.assertTrue(self.browser.run(f"{node}.open"))

    def test_the_command_line_tells_the_same(self):
        self.ask(2, request_id="told-1")
        admin = ["explain", "--admin", self.admin.removeprefix("http://")]
        done = subprocess.run([BINARY, *admin, "told-1"], capture_output=True, text=True,
                              timeout=DEADLINE_S, check=True)
        self.assertIn("request told-1, try 1", done.stdout)
        self.assertRegex(done.stdout, r"went to .*: (won|the best total)")
        self.assertRegex(done.stdout, r"(?m)^\* +\S")
        self.assertIn("gpu-down  takes no traffic", done.stdout)
        body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": SECRET}]})
        dry = subprocess.run([BINARY, *admin, "--body", "-"], input=body, capture_output=True,
                             text=True, timeout=DEADLINE_S, check=True)
        self.assertIn("dry run: nothing was sent\nmodel tiny", dry.stdout)
        self.assertNotIn(SECRET, dry.stdout)
        for arguments, words in ((["nobody"], "no decision of request nobody is kept: "),
                                 ([], "name a request, or give one with --body")):
            done = subprocess.run([BINARY, *admin, *arguments], capture_output=True, text=True,
                                  timeout=DEADLINE_S, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(words, done.stderr)

    def test_the_keyboard_reaches_everything_in_order(self):
        self.ask(3)
        self.show()
        seen = []
        for _ in range(12):
            self.browser.press("Tab", 9)
            seen.append(self.browser.run(
                "document.activeElement.id || document.activeElement.className || "
                "document.activeElement.tagName"))
        self.assertEqual(seen[:3], ["skip", "pause", "fleet-table"])
        self.assertIn("SUMMARY", seen)
        problems = self.browser.run("""[
            ...[...document.querySelectorAll('svg[role=img]')].filter(
                node => !node.getAttribute('aria-label')),
            ...[...document.querySelectorAll('section')].filter(
                node => !document.getElementById(node.getAttribute('aria-labelledby'))),
            ...[...document.querySelectorAll('th')].filter(node => !node.scope),
            ...[...document.querySelectorAll('input')].filter(node => !node.labels.length),
            ].map(node => node.outerHTML.slice(0, 200))""")
        self.assertEqual(problems, [])
        self.assertEqual(self.browser.run("document.querySelectorAll('h1').length"), 1)

    def test_pausing_stops_the_figures(self):
        self.show()
        self.browser.run("document.getElementById('pause').click()")
        drawn = self.browser.run("document.body.dataset.drawn")
        self.ask(1)
        before = json.loads(get(self.admin + "/debug/state"))["time"]
        until(lambda: json.loads(get(self.admin + "/debug/state"))["time"] > before + 1.5)
        self.assertEqual(self.browser.run("document.body.dataset.drawn"), drawn)
        self.browser.run("document.getElementById('pause').click()")
        self.browser.wait(f"document.body.dataset.drawn !== '{drawn}'")

    def test_readable_in_both_schemes_and_when_narrow(self):
        self.show()
        stop = threading.Event()

        def traffic():
            number = 0
            while not stop.is_set():
                self.ask(number)
                number += 1
        clients = [threading.Thread(target=traffic) for _ in range(6)]
        for client in clients:
            client.start()
        try:
            self.wait_for_drawing(40 if SHOTS else 3)
            for scheme in ("light", "dark"):
                self.browser.prefer(scheme)
                for width in (1280, 400):
                    self.browser.resize(width)
                    self.wait_for_drawing()
                    wide = self.browser.run("document.documentElement.scrollWidth")
                    self.assertLessEqual(wide, width, "nothing makes the page scroll sideways")
                    self.shoot(f"{scheme}-{width}")
                low = self.browser.run(CONTRAST)
                self.assertEqual(low, [], f"contrast below 4.5 when {scheme}")
        finally:
            stop.set()
            for client in clients:
                client.join()

    def test_a_lost_gateway_is_said(self):
        gateway, _, admin = self.start_gateway()
        try:
            self.show(admin)
        finally:
            gateway.stop()
        self.browser.wait("!document.getElementById('lost').hidden")
        self.assertRegex(self.browser.run("document.getElementById('lost').textContent"),
                         r"^No answer from the gateway since \d\d:\d\d:\d\d; ")
        self.shoot("lost")
        self.show()
        self.assertTrue(self.browser.run("document.getElementById('lost').hidden"))

    def test_an_empty_gateway_says_what_to_do(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write("gateway: {listen: ['127.0.0.1:0'], adminListen: '127.0.0.1:0'}\n"
                       f"fleet: {{endpointsFile: {file.name}.endpoints}}\n")
            file.flush()
            with open(file.name + ".endpoints", "w", encoding="utf-8") as endpoints:
                endpoints.write("endpoints: []\n")
            gateway = Program("serve", "-c", file.name)
            try:
                admin = gateway.wait_for(r"admin on (\S+:\d+),").group(1)
                self.show(f"http://{admin}")
                for part in ("fleet-empty", "decisions-empty"):
                    self.assertFalse(self.browser.run(
                        f"document.getElementById('{part}').hidden"))
                self.assertEqual(self.browser.run(STRAY), [])
                self.shoot("empty")
            finally:
                gateway.stop()
                os.unlink(file.name + ".endpoints")


# WCAG's contrast of text that is shown, against the nearest background that is not transparent.
CONTRAST = """(() => {
  const channels = (color) => color.match(/[0-9.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = channels(color).map((c) => c / 255).map(
        (c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor;
      const [, , , alpha = 1] = channels(color);
      if (alpha > 0) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const found = new Set();
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
    if (!own || node.checkVisibility?.() === false) continue;
    const svg = node instanceof SVGElement;
    const style = getComputedStyle(node);
    const [a, b] = [light(svg ? style.fill : style.color), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.add(`${node.tagName}.${node.className} ${ratio.toFixed(2)}`);
  }
  return [...found];
})()"""

if __name__ == "__main__":
    if browser.find() is None:
        print("no Chromium: install the package chromium", file=sys.stderr)
        sys.exit(1 if os.environ.get("REQUIRE_PEERS") == "1" else SKIPPED)
    unittest.main()
