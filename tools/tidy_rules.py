# SPDX-License-Identifier: Apache-2.0
"""The rules that tools/tidy applies, as tables: layers, headers, banned calls, sizes.

Paths are matched with shell patterns (`*` crosses folders), relative to src/ for what lies there
and to the project otherwise (apps/..., test/..., fuzz/..., bench/...).
"""
import re

# --- Layers ------------------------------------------------------------------------------------
# A file includes only its own layer and those with a smaller number. Inside a layer, and for
# single rooms, the DEPS of src/CMakeLists.txt decide (taken transitively).
LAYERS = {
    "base": 0,
    "core": 1,
    "io": 2,
    "router": 3,
    "fronts": 4,
    "lab": 4,
    "cluster": 4,
    "apps": 5,
}
# Layers with the same number do not include each other, except for these (from, to).
SIDEWAYS = [("lab/world", "fronts")]
# No sockets, files, threads, clocks, environment or randomness: time and Random are arguments.
PURE = ["core/*", "lab/engine/model/*", "lab/load/model/*", "cluster/*/decide/*"]
PURE_BANNED_HEADERS = """thread mutex shared_mutex condition_variable future semaphore latch barrier
    stop_token fstream iostream filesystem csignal ctime syncstream unistd.h fcntl.h time.h signal.h
    pthread.h poll.h sched.h dirent.h netdb.h sys/* netinet/* arpa/* linux/*""".split()

# --- Third-party headers: pattern -> files that may include it (under src/, or apps/...). --------
TESTS = ["*_test.cpp", "*_fuzz.cpp", "*_bench.cpp", "*/testing/*", "test/*", "fuzz/*", "bench/*"]
HEADERS = {
    "fmt/*": ["*"],
    "tl/*": ["base/result.h"],
    "simdjson.h": ["core/codec/*.cpp"],
    "yaml-cpp/*": ["core/config/*.cpp"],
    "xxhash.h": ["core/*", "lab/*"],
    "xxh_x86dispatch.h": ["core/*.cpp", "lab/*.cpp"],
    "zlib.h": ["lab/load/*.cpp", "core/codec/gzip_body.cpp", "core/codec/testing/gzip.h"],
    "nghttp2/*": ["io/net/http2_*", "io/net/testing/*"],
    "ares.h": ["io/net/resolver.cpp"],
    "openssl/*": ["io/net/tls*.cpp", "io/net/testing/*", "core/access/*.cpp"],
    "spdlog/*": ["io/export/*.cpp"],
    "CLI/*": ["apps/*"],
    "nlohmann/*": [
        "lab/*.cpp",
    ]
    + TESTS,
    "gtest/*": TESTS,
    "gmock/*": TESTS,
    "rapidcheck*": TESTS,
    "rapidcheck/*": TESTS,
    "benchmark/*": ["*_bench.cpp", "bench/*"],
}
SOCKET_HEADERS = """sys/socket.h sys/epoll.h sys/eventfd.h sys/timerfd.h sys/un.h sys/inotify.h
    netinet/* arpa/* netdb.h poll.h""".split()
SOCKET_PLACES = ["io/*"] + TESTS
# The rest of the C library and the compiler's own headers, which need no row above.
SYSTEM_HEADERS = """sys/* unistd.h fcntl.h signal.h time.h dirent.h pthread.h sched.h dlfcn.h
    *intrin.h cpuid.h cxxabi.h sanitizer/* linux/* malloc.h arm_neon.h""".split()

# --- Banned calls: (rule, pattern, places where it is allowed, what to do instead) ---------------
CHECKS_ONLY = ["*_test.cpp", "*_bench.cpp", "*/testing/*", "test/*", "bench/*", "fuzz/*"]
BANNED = [
    (
        "clock",
        r"\b(system|steady|high_resolution)_clock\s*::\s*now\b"
        r"|\bclock_gettime\s*\(|\bgettimeofday\s*\(",
        ["io/*"] + CHECKS_ONLY,
        "take `Time now` as an argument; only io/ reads the clock",
    ),
    (
        "random",
        r"\bs?rand(_r)?\s*\(|\brandom_device\b|\bmt19937",
        ["apps/*"],
        "use base/random.h and take the Random as an argument, so that a seed repeats the run",
    ),
    (
        "environment",
        r"\b(secure_)?getenv\s*\(",
        ["apps/*"] + CHECKS_ONLY,
        "read it in apps/ and pass it down as a setting",
    ),
    (
        "sleep",
        r"\bsleep_(for|until)\b|\b(u|nano)?sleep\s*\(",
        [],
        "wait on an observable with a deadline, or step the clock",
    ),
    (
        "output",
        r"\bstd\s*::\s*(cout|cerr|clog)\b|(?<![\w.>])printf\s*\(|\bputs\s*\(",
        ["apps/*"] + CHECKS_ONLY,
        "log through base/log.h, or return the text",
    ),
    ("throw", r"\bthrow\b", ["apps/*"], "return Result<T> with an error that says what to do"),
    (
        "exit",
        r"\b(quick_)?exit\s*\(|\bsigaction\s*\(|\bstd\s*::\s*signal\s*\(",
        ["apps/*"] + CHECKS_ONLY,
        "return an error: everything below apps/ can be embedded",
    ),
    (
        "thread-unsafe",
        r"(?<!fmt::)\b(strtok|localtime|gmtime|ctime|asctime|setenv|putenv|unsetenv)\s*\(",
        [],
        "it keeps its answer in shared memory; use the _r form, {fmt} or std::from_chars",
    ),
    ("capture", r"\[\s*=\s*[\],]", [], "name each captured variable"),
]

MAX_COLUMNS, MAX_FUNCTION_LINES, MAX_FILE_LINES = 100, 70, 600
SKIP_FOLDERS = {".git", ".cache", ".peers", ".routers", "__pycache__", "build", "corpus", "data"}
TIDY_ITSELF = {"tools/tidy", "tools/tidy_rules.py", "tools/tidy_test.py"}  # name what they forbid
REMINDER = re.compile(r"\b(TODO|FIXME|XXX)\b")
ONE_MACHINE = re.compile(r"(?<![\w.])/(home|root|work)/\w")
