# SPDX-License-Identifier: Apache-2.0
"""curl, over HTTP/2 and TLS, against `fairlead serve` over simulated engines behind TLS."""
import json
import os
import re
import subprocess
import tempfile
import time
import unittest

from ready_program import start

DEADLINE_S = 30


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE_S)


def stop(process):
    process.terminate()
    code = process.wait(DEADLINE_S)
    assert code == 0, code


class CurlHttp2(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        folder = cls.scratch.name
        cls.cert, cls.key = f"{folder}/cert.pem", f"{folder}/key.pem"
        cls.issue("first")
        cls.engines, (port,) = start(r"ports (\d+)", "engine", "--base-port", "0", "--profile",
                                     "instant", "--served-model-name", "tiny",
                                     "--tls-cert", cls.cert, "--tls-key", cls.key)
        cls.addClassCleanup(stop, cls.engines)
        # A file of its own, because the certificate is renewed below.
        trusted = f"{folder}/engines.pem"
        with open(cls.cert, encoding="ascii") as source, open(trusted, "w", encoding="ascii") as to:
            to.write(source.read())
        fleet = {"endpoints": [{"name": "e", "address": f"https://localhost:{port}"}],
                 "tls": {"caFile": trusted}}
        cls.plain = cls.serve("plain", {"fleet": fleet})
        cls.secure = cls.serve("secure", {
            "fleet": fleet, "gateway": {"tls": {"certFile": cls.cert, "keyFile": cls.key}}})

    @classmethod
    def issue(cls, subject):
        """A self-signed certificate for localhost, renamed into place with its key."""
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", f"/CN={subject}",
            "-addext", "subjectAltName=DNS:localhost", "-keyout", cls.key + ".new",
            "-out", cls.cert + ".new")
        os.rename(cls.key + ".new", cls.key)
        os.rename(cls.cert + ".new", cls.cert)

    @classmethod
    def serve(cls, name, settings):
        path = f"{cls.scratch.name}/{name}.yaml"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(settings, file)
        process, (gateway, admin) = start(
            r"serving on \S+:(\d+), admin on \S+:(\d+),", "serve", "-c", path,
            "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        cls.addClassCleanup(stop, process)
        cls.until(lambda: subprocess.run(
            ["curl", "-sf", f"http://127.0.0.1:{admin}/readyz"], check=False,
            capture_output=True).returncode == 0)
        return int(gateway)

    @staticmethod
    def until(condition):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def curl(self, url, *options):
        """Returns (HTTP version, status, body)."""
        out = run("curl", "-sS", "-w", "\n%{http_version} %{http_code}", *options, url).stdout
        body, _, facts = out.rpartition("\n")
        version, status = facts.split()
        return version, int(status), body

    def chat(self, stream):
        body = {"model": "tiny", "stream": stream, "max_tokens": 20,
                "messages": [{"role": "user", "content": "hello"}]}
        return "-H", "content-type: application/json", "-d", json.dumps(body)

    def test_prior_knowledge(self):
        url = f"http://localhost:{self.plain}/v1/chat/completions"
        version, status, body = self.curl(url, "--http2-prior-knowledge", *self.chat(False))
        self.assertEqual((version, status), ("2", 200))
        self.assertEqual(json.loads(body)["usage"]["completion_tokens"], 20)
        version, status, body = self.curl(url, "--http2-prior-knowledge", *self.chat(True))
        self.assertEqual((version, status), ("2", 200))
        self.assertTrue(body.rstrip().endswith("data: [DONE]"))
        version, status, _ = self.curl(url, *self.chat(False))
        self.assertEqual((version, status), ("1.1", 200))

    def test_alpn(self):
        url = f"https://localhost:{self.secure}/v1/chat/completions"
        trust = ("--cacert", self.cert)
        for options, expected in (("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")):
            version, status, body = self.curl(url, options, *trust, *self.chat(True))
            self.assertEqual((version, status), (expected, 200))
            self.assertTrue(body.rstrip().endswith("data: [DONE]"))

    def test_large_request(self):
        path = f"{self.scratch.name}/large.json"
        with open(path, "w", encoding="ascii") as file:
            json.dump({"model": "tiny", "max_tokens": 1,
                       "messages": [{"role": "user", "content": "word " * 20_000}]}, file)
        send = ("-H", "content-type: application/json", "--data-binary", f"@{path}")
        results = [self.curl(f"http://localhost:{self.plain}/v1/chat/completions",
                             "--http2-prior-knowledge", *send),
                   self.curl(f"https://localhost:{self.secure}/v1/chat/completions",
                             "--http2", "--cacert", self.cert, *send)]
        for version, status, body in results:
            self.assertEqual((version, status), ("2", 200), body)

    def test_an_untrusted_certificate_is_refused_by_curl(self):
        done = subprocess.run(["curl", "-sS", f"https://localhost:{self.secure}/v1/models"],
                              check=False, capture_output=True, timeout=DEADLINE_S)
        self.assertEqual(done.returncode, 60)

    def test_a_renewed_certificate_is_served(self):
        def subject():
            done = subprocess.run(
                ["openssl", "s_client", "-connect", f"localhost:{self.secure}"], check=False,
                input="", capture_output=True, text=True, timeout=DEADLINE_S)
            return re.search(r"subject=(.*)", done.stdout).group(1)

        self.assertIn("first", subject())
        self.issue("renewed")
        self.until(lambda: "renewed" in subject())


if __name__ == "__main__":
    unittest.main()
