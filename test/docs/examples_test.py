# SPDX-License-Identifier: Apache-2.0
"""The examples of README, docs and --help: configurations load, commands and flags exist."""
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

BINARY = os.environ["FAIRLEAD_BINARY"]
ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
# Logs of sweeps over the default, in the order of their tables in plan.md.
SWEEPS = ["sweep-fairlead.json", "sweep-fairlead-roomy.json"]


def run(*arguments):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=30)


def blocks(language):
    for page in PAGES:
        for block in re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S):
            yield page.name, block


def help_of(*command):
    return run(*command, "--help").stdout


def subcommands(*command):
    listed = help_of(*command).split("Subcommands:")
    return re.findall(r"^  (\w+) {2,}", listed[1], re.M) if len(listed) > 1 else []


def commands():
    """Every `fairlead ...` line of the pages and of the commands' own examples."""
    text = [(name, block) for name, block in blocks("")]
    for name in subcommands():
        for command in [(name,), *((name, nested) for nested in subcommands(name))]:
            text.append((" ".join(command), help_of(*command).split("Examples:")[-1]))
    for source, block in text:
        for line in block.splitlines():
            line = line.split(" # ")[0].strip()
            if line.startswith("fairlead "):
                yield source, shlex.split(line)


def write_certificates(folder):
    (folder / "tls").mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=example", "-keyout", folder / "tls/tls.key",
         "-out", folder / "tls/tls.crt"], check=True, capture_output=True)
    shutil.copy(folder / "tls/tls.crt", folder / "engines-ca.crt")


class Examples(unittest.TestCase):
    def test_configurations_load(self):
        seen = 0
        for page, block in blocks("yaml"):
            if page in ("workloads.md", "plan.md"):
                continue
            with self.subTest(page=page), tempfile.TemporaryDirectory() as folder:
                # The files that an example names are looked for too.
                (pathlib.Path(folder) / "endpoints.yaml").write_text("endpoints: []\n")
                (pathlib.Path(folder) / "secret").write_text("correct horse battery staple\n")
                if "certFile" in block:
                    write_certificates(pathlib.Path(folder))
                file = pathlib.Path(folder) / "example.yaml"
                file.write_text(block.replace("/etc/fairlead/", folder + "/"))
                front = ["--epp"] if page == "epp.md" else []
                done = run("check", *front, str(file))
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stderr, "")
                seen += 1
        self.assertGreater(seen, 0)

    def test_workloads_plan(self):
        texts = [block for page, block in blocks("yaml") if page == "workloads.md"]
        self.assertGreater(len(texts), 0)
        for text in texts:
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                file.write(text)
                file.flush()
                done = run("load", "-t", "http://127.0.0.1:9", "--workload", file.name)
            # It is planned, and then nobody answers.
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("seed 1\n", done.stderr)

    def test_the_sweep_of_the_page_runs(self):
        page = (ROOT / "docs" / "plan.md").read_text()
        line = re.search(r"^fairlead (plan sweep .*)$", page, re.M).group(1)
        with tempfile.TemporaryDirectory() as folder:
            for _, text in (block for block in blocks("yaml") if block[0] == "plan.md"):
                (pathlib.Path(folder) / "mine.yaml").write_text(text)
            for _, text in (block for block in blocks("yaml") if block[0] == "workloads.md"):
                name = re.search(r"^name: (.*)$", text, re.M).group(1)
                (pathlib.Path(folder) / f"{name}.yaml").write_text(text)
            done = subprocess.run([BINARY, *shlex.split(line)], cwd=folder, capture_output=True,
                                  text=True, timeout=100)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"(?m)^waiting=")
            self.assertIn("Nothing was chosen by these", done.stdout)
            for file in ("sweep.json", "sweep.html"):
                self.assertIn("waiting", (pathlib.Path(folder) / file).read_text())

    def test_the_figures_of_the_sweeps_are_those_of_their_logs(self):
        pages = (ROOT / "docs" / "plan.md").read_text().split("| of the front |")[1:]
        self.assertEqual(len(pages), len(SWEEPS))
        for page, name in zip(pages, SWEEPS):
            log = json.loads((ROOT / "docs" / "data" / name).read_text())
            shown = [[cell.strip() for cell in row.split("|")[2:6]]
                     for row in page.split("\n\n")[0].splitlines()[2:]]
            logged = [[f"{figure:.2f}" for one in (log["contenders"][judged["contender"]], judged)
                       for figure in (one["geometric_mean"], one["worst_workload"]["ratio"])]
                      for judged in log["validation"]["contenders"]]
            self.assertEqual(shown, logged, name)

    def test_the_sweeps_of_the_default_begin_at_it(self):
        shipped = (ROOT / "data" / "policies" / "fairlead.yaml").read_text()
        for name in SWEEPS:
            log = json.loads((ROOT / "docs" / "data" / name).read_text())
            varied = re.findall(r"(\w+): \$\{\w+:([\d.]+)\}", log["template"])
            self.assertEqual(len(varied), len(log["vary"]))
            for parameter, value in varied:
                self.assertRegex(shipped, rf"(?m)^ +{parameter}: {re.escape(value)}$", name)

    def test_every_shipped_workload_is_on_the_page(self):
        page = (ROOT / "docs" / "workloads.md").read_text()
        for file in (ROOT / "data" / "workloads").iterdir():
            self.assertIn(f"| `{file.stem}` |", page)
            self.assertIn(file.stem, help_of("load"))

    def test_effective_configuration_loads_again(self):
        first = run("check").stdout
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(first)
            file.flush()
            again = run("check", file.name)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(again.stdout, first)

    def test_commands_and_flags_exist(self):
        seen = 0
        for source, words in commands():
            with self.subTest(source=source, command=" ".join(words)):
                nested = [word for word in words[2:3] if word in subcommands(words[1])]
                text = help_of(words[1], *nested)
                self.assertIn("Usage", text)
                for flag in (word for word in words[2:] if word.startswith("-") and word != "-"):
                    self.assertRegex(text, rf"(^|[\s,]){re.escape(flag)}\b")
                seen += 1
        self.assertGreater(seen, 10)

    def test_every_policy_of_the_page_is_shipped_and_the_other_way_round(self):
        shipped, _, peers = run("check", "--list-policies").stdout.split("\n\n")
        for text, page, end in ((shipped, "policy.md", "## The default"),
                                (peers, "peer-policies.md", "## What")):
            listed = set(re.findall(r"^[\w-]+", text, re.M))
            table = (ROOT / "docs" / page).read_text().split(end)[0]
            named = set(re.findall(r"`([a-z0-9-]+)`", table.split("| --- |", 1)[1]))
            self.assertTrue(listed <= named, listed - named)

    def test_every_fault_and_its_parameters_are_on_the_page(self):
        rows = {}
        for line in (ROOT / "docs" / "engine.md").read_text().splitlines():
            cells = line.split("|")
            if len(cells) < 5 or not re.match(r" `[a-z0-9_]+`", cells[1]) or "fairlead_" in line:
                continue
            for kind in re.findall(r"`(\w+)`", cells[1]):
                rows[kind] = sorted(re.findall(r"`(.*?)`", cells[2])[0].split())
        listed = help_of("engine").split("Faults")[1].split("Examples:")[0].splitlines()[1:]
        shown = [line.split() for line in listed if line]
        self.assertEqual(rows, {words[0]: sorted(words[1:]) for words in shown})

    def test_wrong_configuration_names_every_place(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write("gateway: {workers: many}\nlimits: {bodyByts: 1}\npolicy: best\n")
            file.flush()
            done = run("check", file.name)
        self.assertEqual(done.returncode, 2)
        for line in (":1:", ":2:", ":3:"):
            self.assertIn(line, done.stderr)


if __name__ == "__main__":
    unittest.main()
