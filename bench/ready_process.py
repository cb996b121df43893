# SPDX-License-Identifier: Apache-2.0
"""A fairlead that a benchmark starts, and that is up once it has said a certain thing."""
import os
import re
import signal
import subprocess
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.path.join(ROOT, "build/release/bin/fairlead")
DEADLINE_S = 30


class Process:
    """`ready` is what it says when it is up; how it said it is `found`, all up to it `said`."""

    def __init__(self, ready, *arguments):
        self.process = subprocess.Popen([PROGRAM, *arguments], stderr=subprocess.PIPE, text=True)
        timer = threading.Timer(DEADLINE_S, self.process.kill)
        timer.start()
        self.said = ""
        for line in self.process.stderr:
            self.said += line
            self.found = re.search(ready, line)
            if self.found:
                break
        else:
            sys.exit(f"{self.said}fairlead {arguments[0]} ended before it said {ready!r}")
        timer.cancel()
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait()
