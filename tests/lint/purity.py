#!/usr/bin/python3
"""The core is a function of state, input and time arguments, and so is what the simulator's worlds are made of.

In src/base, src/model, src/crypto and src/core: no clock, socket, file, thread, lock, environment or randomness of the
system.  Unit tests there may read vectors from files that the environment names; the rest holds for them too.
In the simulator's networks, TCP, workloads and plots also no floating point, whose results differ between compilers and machines.
"""

import re

import tree

PURE = ("src/base", "src/model", "src/crypto", "src/core")
EXACT = ("sim/engine", "sim/net", "sim/tcp", "sim/load", "sim/plot", "sim/world", "sim/programs", "sim/check", "sim/actors")  # pure, and whole numbers only

# What is forbidden, by kind: headers, and patterns in code without comments and strings.
KINDS = {
    "clock": (
        r"ctime|time\.h|sys/time\.h|sys/times\.h|sys/timerfd\.h",
        r"\b(system_clock|steady_clock|high_resolution_clock|utc_clock|file_clock|clock_gettime|gettimeofday|nanosleep|usleep"
        r"|sleep_for|sleep_until|localtime(_r)?|gmtime(_r)?|mktime|strftime|__rdtsc|timerfd_create)\b|(?:std)?::time\s*\("
        r"|(?<![\w.>:])time\s*\(\s*(nullptr|NULL|0|&)"),
    "socket": (
        r"sys/socket\.h|sys/un\.h|sys/epoll\.h|sys/poll\.h|sys/select\.h|poll\.h|netinet/.*|arpa/.*|net/.*|netdb\.h|ifaddrs\.h"
        r"|linux/.*|sys/ioctl\.h|sys/uio\.h",
        r"\b(getaddrinfo|gethostbyname|epoll_\w+|recvm?msg|sendm?msg|inet_(pton|ntop|addr)|if_nametoindex)\b"
        r"|(?<![\w.>:])::(socket|bind|connect|listen|accept4?|send|recv|poll|select|ioctl)\s*\("),
    "file": (
        r"fstream|iostream|istream|ostream|sstream|cstdio|stdio\.h|filesystem|fcntl\.h|unistd\.h|dirent\.h|sys/stat\.h"
        r"|sys/mman\.h|sys/file\.h|syslog\.h|print",
        r"\b(fopen|freopen|fdopen|tmpfile|mkstemp|fprintf|v?printf|puts|fputs|perror|ifstream|ofstream|syslog)\b"
        r"|\bstd::(cout|cerr|clog|cin|print(ln)?)\b|(?<![\w.>:])::(open|openat|read|write|close|unlink|rename|mkdir)\s*\("),
    "thread": (
        r"thread|stop_token|future|coroutine|pthread\.h|sched\.h|sys/wait\.h|csignal|signal\.h|spawn\.h|sys/prctl\.h",
        r"\b(this_thread|jthread|pthread_\w+|thread_local|std::async|fork|vfork|execv\w*|posix_spawnp?|sigaction)\b"
        r"|\bstd::thread\b|\bstd::system\b|(?<![\w.>:])system\s*\("),
    "lock": (
        r"mutex|shared_mutex|condition_variable|semaphore|semaphore\.h|latch|barrier|atomic",
        r"\bstd::(\w*mutex|\w*lock\w*|condition_variable\w*|counting_semaphore|binary_semaphore|once_flag|call_once|atomic\w*)\b"),
    "environment": (
        r"locale|clocale|pwd\.h|sys/utsname\.h|sys/resource\.h|dlfcn\.h",
        r"\b(getenv|secure_getenv|setenv|putenv|unsetenv|environ|getpid|getuid|geteuid|gethostname|getpwuid|setlocale|dlopen)\b"),
    "randomness of the system": (
        r"random|sys/random\.h",
        r"\b(random_device|mt19937(_64)?|getrandom|getentropy|arc4random\w*|RAND_\w+|randombytes\w*|drand48|rand_r)\b"
        r"|(?<![\w.>:])s?rand\s*\(|\bstd::s?rand\b"),
}

FLOATING = ("floating point", (r"cmath|math\.h|cfloat|numbers|complex", r"\b(double|float|sqrt|cbrt|floor|log2?|exp2?|strto[df]|stod)\b(?!\s*<)"))

# A unit test reads published vectors: from a file that the environment names.
ALLOWED_IN_TESTS = {"file", "environment"}

# (path, kind) -> why.
EXCEPTIONS = {
    ("src/base/assert.cpp", "file"): "a broken assertion says on stderr which one, just before abort()",
}


def pure_files(files):
    for folder in PURE + EXACT:
        yield from files.below(folder, ".h", ".cpp")


def kinds_for(path):
    exact = any(path.startswith(folder + "/") for folder in EXACT)
    return dict([*KINDS.items(), FLOATING]) if exact else KINDS


def violations(files, path):
    """(line, kind, what) of one file."""
    text = files.text(path)
    for line, quote, name in tree.includes_of(text):
        for kind, (headers, _) in kinds_for(path).items():
            if quote == "<" and re.fullmatch(headers, name):
                yield line, kind, f"<{name}>"
    code = tree.code_of(text)
    for kind, (_, patterns) in kinds_for(path).items():
        for match in re.finditer(patterns, code):
            line_text = code[code.rfind("\n", 0, match.start()) + 1:match.end()]
            if not line_text.lstrip().startswith("#"):
                yield code.count("\n", 0, match.start()) + 1, kind, match.group(0).strip()


def advice(kind):
    return "count in whole numbers" if kind == FLOATING[0] else "take it as an argument or leave it to the shell"


def check(files, exceptions=None):
    exceptions = EXCEPTIONS if exceptions is None else exceptions
    used = set()
    for path in pure_files(files):
        is_test = path.endswith("_test.cpp")
        for line, kind, what in violations(files, path):
            if (path, kind) in exceptions:
                used.add((path, kind))
            elif not (is_test and kind in ALLOWED_IN_TESTS):
                yield f"{path}:{line}: {what}: no {kind} in the {'simulator' if path.startswith('sim/') else 'core'}; " + advice(kind)
    for path, kind in sorted(set(exceptions) - used):
        if (files.root / path).exists():
            yield f"{path}:1: the exception for {kind} in tests/lint/purity.py is not needed any more"


if __name__ == "__main__":
    tree.main(check, "the core reads no clock, socket, file, lock, environment or randomness of the system")
