# SPDX-License-Identifier: Apache-2.0
"""The program under test, started and read up to the line that says it is ready."""
import os
import re
import subprocess
import threading

BINARY = os.environ["FAIRLEAD_BINARY"]


def drain(stream):
    with stream:
        stream.read()


def start(pattern, *arguments, deadline_s=30):
    """Starts the program; returns it and the groups of the line on standard error that matches."""
    process = subprocess.Popen([BINARY, *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    timer = threading.Timer(deadline_s, process.kill)
    timer.start()
    lines = []
    for line in process.stderr:
        lines.append(line)
        found = re.search(pattern, line)
        if found:
            timer.cancel()
            threading.Thread(target=drain, args=(process.stderr,), daemon=True).start()
            return process, found.groups()
    raise AssertionError(f"no line like {pattern!r} in: {''.join(lines)}")
