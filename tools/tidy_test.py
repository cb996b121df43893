#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants one violation of each rule of tools/tidy in a small tree and sees each reported.

A rule that stopped working would let its violation through in silence; this is what notices.
"""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

from tidy_rules import BANNED

TIDY_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tidy")
SPEC = spec_from_loader("tidy", SourceFileLoader("tidy", TIDY_PATH))
TIDY = module_from_spec(SPEC)
SPEC.loader.exec_module(TIDY)
SPDX = "// SPDX-License-Identifier: Apache-2.0\n"
HEADER = SPDX + "// Says what it is for.\n#pragma once\n"

ROOMS = """# SPDX-License-Identifier: Apache-2.0
fairlead_room(base DEPS fmt::fmt)
fairlead_room(core/model DEPS base)
fairlead_room(core/codec DEPS core/model)
fairlead_room(core/scheduling RECURSE DEPS core/model)
fairlead_room(io/net DEPS base core/codec)
fairlead_room(router DEPS io/net core/scheduling)
fairlead_room(fronts/gateway DEPS router)
fairlead_room(lab/load DEPS io/net)
fairlead_room(lab/world DEPS router fronts/gateway)
fairlead_room(cluster/scaling DEPS io/net)
"""

CLEAN = {
    "src/CMakeLists.txt": ROOMS,
    "src/base/time.h": HEADER + "inline int big() { return 1'000'000; }\n",
    "src/core/model/endpoint.h": HEADER + '#include "base/time.h"\n',
    "src/core/codec/scan.cpp": SPDX
    + '#include "core/model/endpoint.h"\n#include <simdjson.h>\n#include <vector>\n'
    + '// std::cout << rand(); throw;\nconst char* text = "std::cout [=] throw getenv(";\n'
    + 'const char* raw = R"x(rand() sleep_for)x";\n',
    "src/core/codec/scan_test.cpp": SPDX + "#include <gtest/gtest.h>\n#include <fstream>\n",
    "src/core/scheduling/plugins/scorer/queue.cpp": SPDX + '#include "core/model/endpoint.h"\n',
    "src/io/net/loop.cpp": SPDX
    + "#include <sys/epoll.h>\n#include <mutex>\nauto t = std::chrono::steady_clock::now();\n",
    "src/lab/world/world.cpp": SPDX + '#include "fronts/gateway/gateway.h"\n',
    "src/fronts/gateway/gateway.h": HEADER
    + "class Gateway {\n public:\n  bool open() const;\n};\n",
    "src/base/table.cpp": SPDX + "int rows[] = {\n" + "  1,\n" * 90 + "};\n",
    "src/base/list.cpp": SPDX
    + "constexpr std::array<int, 90> kRows{{\n"
    + "  1,\n" * 90
    + "}};\n"
    + "constexpr auto kMore = std::to_array<int>({\n"
    + "  1,\n" * 90
    + "});\n",
    "apps/fairlead/CMakeLists.txt": "# SPDX-License-Identifier: Apache-2.0\nfile(GLOB x *.cpp)\n",
    "apps/fairlead/main.cpp": SPDX
    + '#include <CLI/CLI.hpp>\n#include "fronts/gateway/gateway.h"\n'
    + 'int main() { std::cout << getenv("HOME"); throw 1; }\n',
    "docs/a.md": "# A\n\nSee [b](b.md#part-two), [code](../src/base/time.h), [web](https://x.y).\n"
    + "\n```\n# not a title\n[x](nowhere.md)\n```\n",
    "docs/b.md": "# B\n\n## Part two\n",
}

LONG_FUNCTION = "int long_one() {\n" + "  work();\n" * 70 + "}\n"
IN_CLASS = "namespace a {\nclass B {\n public:\n" + LONG_FUNCTION + "};\n}  // namespace a\n"

# (name, path, text, the rule that must be reported, the line)
PLANTED = [
    ("core includes io", "src/core/model/a.cpp", '#include "io/net/loop.h"\n', "layer", 2),
    ("io includes router", "src/io/net/a.cpp", '#include "router/router.h"\n', "layer", 2),
    ("fronts include lab", "src/fronts/gateway/a.cpp", '#include "lab/load/x.h"\n', "layer", 2),
    ("lab includes cluster", "src/lab/load/a.cpp", '#include "cluster/scaling/x.h"\n', "layer", 2),
    (
        "lab/load includes fronts",
        "src/lab/load/a.cpp",
        '#include "fronts/gateway/x.h"\n',
        "layer",
        2,
    ),
    ("fake in a product", "src/router/a.cpp", '#include "io/net/testing/fake.h"\n', "layer", 2),
    ("missing DEPS", "src/core/model/a.cpp", '#include "core/codec/scan.h"\n', "deps", 2),
    ("include without room", "src/core/model/a.cpp", '#include "endpoint.h"\n', "include", 2),
    ("simdjson elsewhere", "src/core/model/a.cpp", "#include <simdjson.h>\n", "header", 2),
    ("simdjson in a header", "src/core/codec/a.h", "#include <simdjson.h>\n", "header", 4),
    ("yaml elsewhere", "src/router/a.cpp", "#include <yaml-cpp/yaml.h>\n", "header", 2),
    ("spdlog elsewhere", "src/router/a.cpp", "#include <spdlog/spdlog.h>\n", "header", 2),
    ("CLI11 elsewhere", "src/router/a.cpp", "#include <CLI/CLI.hpp>\n", "header", 2),
    ("nlohmann on the hot path", "src/router/a.cpp", "#include <nlohmann/json.hpp>\n", "header", 2),
    ("xxhash in io", "src/io/net/a.cpp", "#include <xxhash.h>\n", "header", 2),
    ("gtest in a product", "src/router/a.cpp", "#include <gtest/gtest.h>\n", "header", 2),
    ("rapidcheck in a product", "src/router/a.cpp", "#include <rapidcheck.h>\n", "header", 2),
    (
        "benchmark in a test",
        "src/router/a_test.cpp",
        "#include <benchmark/benchmark.h>\n",
        "header",
        2,
    ),
    ("socket outside io", "src/router/a.cpp", "#include <sys/socket.h>\n", "header", 2),
    ("unknown library", "src/router/a.cpp", "#include <boost/asio.hpp>\n", "header", 2),
    ("thread in core", "src/core/model/a.cpp", "#include <thread>\n", "pure", 2),
    ("mutex in core", "src/core/model/a.h", "#include <mutex>\n", "pure", 4),
    ("fstream in core", "src/core/model/a.cpp", "#include <fstream>\n", "pure", 2),
    ("iostream in core", "src/core/model/a.cpp", "#include <iostream>\n", "pure", 2),
    ("filesystem in core", "src/core/model/a.cpp", "#include <filesystem>\n", "pure", 2),
    ("socket in core", "src/core/model/a.cpp", "#include <sys/epoll.h>\n", "pure", 2),
    (
        "deep in a recursive room",
        "src/core/scheduling/plugins/x/a.cpp",
        "#include <mutex>\n",
        "pure",
        2,
    ),
    ("wall clock", "src/router/a.cpp", "auto t = std::chrono::system_clock::now();\n", "clock", 2),
    ("steady clock", "src/core/model/a.cpp", "auto t = steady_clock::now();\n", "clock", 2),
    ("rand", "src/router/a.cpp", "int x = rand();\n", "random", 2),
    ("random_device", "src/router/a.cpp", "std::random_device d;\n", "random", 2),
    ("getenv", "src/router/a.cpp", 'auto x = std::getenv("A");\n', "environment", 2),
    ("sleep", "src/io/net/a.cpp", "std::this_thread::sleep_for(x);\n", "sleep", 2),
    ("thread-unsafe", "src/io/net/a.cpp", "auto t = std::localtime(&x);\n", "thread-unsafe", 2),
    ("sleep in a test", "src/io/net/a_test.cpp", "usleep(10);\n", "sleep", 2),
    ("cout", "src/router/a.cpp", "\nvoid f() { std::cout << 1; }\n", "output", 3),
    ("printf", "src/router/a.cpp", 'void f() { std::printf("x"); }\n', "output", 2),
    ("throw", "src/router/a.cpp", "void f() { throw 1; }\n", "throw", 2),
    ("exit", "src/router/a.cpp", "void f() { std::exit(1); }\n", "exit", 2),
    ("capture", "src/router/a.cpp", "auto f = [=] { return 1; };\n", "capture", 2),
    ("capture and more", "src/router/a.cpp", "auto f = [=, &x] { return 1; };\n", "capture", 2),
    ("101 columns", "src/router/a.cpp", "// " + "x" * 98 + "\n", "columns", 2),
    ("long function", "src/router/a.cpp", "\n" + LONG_FUNCTION, "function-size", 3),
    ("long method", "src/router/a.h", IN_CLASS, "function-size", 7),
    (
        "long test",
        "src/router/a_test.cpp",
        "TEST(A, B) {\n" + "  x();\n" * 70 + "}\n",
        "function-size",
        2,
    ),
    ("long file", "src/router/a.cpp", "int x;\n" * 600, "file-size", 1),
    ("bool parameter", "src/router/a.h", "void open(int a, bool quickly);\n", "bool", 4),
    (
        "bool with a default",
        "src/router/a.h",
        "void open(\n    bool quickly = false);\n",
        "bool",
        5,
    ),
    ("reminder", "src/router/a.cpp", "// TODO: later\n", "reminder", 2),
    ("reminder in a script", "tools/a.py", "# FIXME\n", "reminder", 2),
    ("no room", "src/core/secret/a.cpp", "int x;\n", "no-target", 1),
    ("below a flat room", "src/core/model/deep/a.cpp", "int x;\n", "no-target", 1),
    ("no target", "test/orphan.cpp", "int x;\n", "no-target", 1),
    ("two titles", "docs/c.md", "# A\n\ntext\n\n# B\n", "title", 5),
    ("broken link", "docs/c.md", "# A\n\n[x](nowhere.md)\n", "link", 3),
    ("broken anchor", "docs/c.md", "# A\n\n[x](b.md#part-three)\n", "link", 3),
    ("path of one machine", "docs/c.md", "# A\n\nSee /home/me/x.\n", "machine", 3),
]

# These state their whole text: what they lack is the opening that the others get.
PLANTED_WHOLE = [
    ("no SPDX", "src/router/a.cpp", "int x;\n", "spdx", 1),
    ("no SPDX in a script", "tools/a", "#!/bin/bash\necho\n", "spdx", 1),
    ("no opening comment", "src/router/a.h", SPDX + "#pragma once\nint x();\n", "opening", 2),
    ("no pragma once", "src/router/a.h", SPDX + "// What for.\nint x();\n", "opening", 1),
    (
        "layers in DEPS",
        "src/CMakeLists.txt",
        ROOMS.replace("base core/codec", "router"),
        "layer",
        6,
    ),
]


def write(root, path, text):
    full = os.path.join(root, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w", encoding="utf-8") as file:
        file.write(text)


def violations(extra):
    """What tidy reports of the clean tree plus `extra` (path -> text), one line each."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**CLEAN, **extra}.items():
            write(root, path, text)
        return [message for _, _, message in TIDY.check_tree(root)]


def opening(path):
    if path.endswith(".h"):
        return HEADER
    if path.endswith(".md"):
        return ""
    return SPDX.replace("//", "#") if path.endswith(".py") else SPDX


class Tidy(unittest.TestCase):
    def test_clean_tree_is_reported_clean(self):
        self.assertEqual(violations({}), [])

    def test_exit_code_says_whether_the_tree_is_clean(self):
        for extra, code in (({}, 0), ({"tools/a.py": "pass\n"}, 1)):
            with tempfile.TemporaryDirectory() as root:
                for path, text in {**CLEAN, **extra}.items():
                    write(root, path, text)
                command = [sys.executable, TIDY_PATH, "--root", root]
                done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
                self.assertEqual(done.returncode, code)

    def expect_one(self, name, path, text, rule, line):
        with self.subTest(name):
            found = violations({path: text})
            self.assertEqual(len(found), 1, "only the planted one may be reported")
            self.assertIn(f"{path}:{line}: [{rule}] ", found[0])

    def test_each_planted_violation_is_reported_with_its_line(self):
        for name, path, text, rule, line in PLANTED:
            self.expect_one(name, path, opening(path) + text, rule, line)

    def test_missing_openings_are_reported(self):
        for planted in PLANTED_WHOLE:
            self.expect_one(*planted)

    def test_every_rule_has_a_planted_violation(self):
        with open(TIDY_PATH, encoding="utf-8") as file:
            reported = re.findall(r'report\(\s*path,[^"]+"([a-z-]+)"', file.read())
        rules = set(reported) | {banned[0] for banned in BANNED}
        self.assertEqual(rules, {planted[3] for planted in PLANTED + PLANTED_WHOLE})


if __name__ == "__main__":
    unittest.main()
