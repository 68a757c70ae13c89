"""Where the cycles go: perf's clock samples of the whole machine while the one-hop and three-hop runs last, by program and by
kind of work. Where perf is closed to this user, callgrind over the core benchmarks, which knows nothing of the kernel."""

import collections
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from netlab.report import table  # noqa: E402

RATE = 1999  # samples a second and core; no multiple of the clock's ticks
RUNS = (("one hop, TUN to TUN", "ours"), ("three hops, rootless exit", "circuit_3_hops"))
TOP = 15
LEAST_SHARE = 0.01

# Kinds of work, the first that fits: (name, folder of the library or program, pattern of the symbol).
KERNEL = r"^\[.*\]$"
KINDS = (
    ("AEAD", r"libIPSec_MB|libcrypto|libsodium", r""),
    ("BLAKE2", r"libb2", r""),
    ("checksums, ours", r"", r"[Cc]hecksum|sum_blocks"),
    ("checksums, kernel", KERNEL, r"csum"),
    ("kernel: copies", KERNEL, r"copy|memcpy|memmove|rep_movs|iov_iter"),
    ("kernel: memory", KERNEL, r"alloc|_free|free_|slab|page|memset|clear_|folio|kmem"),
    ("kernel: entries and exits", KERNEL, r"syscall|SYSCALL|entry_|exit_to_user|do_sys"),
    ("kernel: waiting and waking", KERNEL, r"sched|wake|epoll|ep_|futex|select_task|update_(curr|load)|pick_|enqueue_|dequeue_|switch|hrtimer|rcu"
     r"|spin_|lock|tick|softirq|_raw_"),
    ("kernel: network", KERNEL, r""),
    ("C library", r"libc\.so|libstdc|ld-linux", r""),
    ("ours", r"/macrovpn$", r""),
    ("other programs", r"", r""),
)
LINE = re.compile(r"^\s*(?P<program>.+?)\s+(?P<ip>[0-9a-f]+) (?P<symbol>.*?) \((?P<where>[^()]*(?:\([^)]*\))?[^()]*)\)$")


def kind_of(symbol, where):
    return next(name for name, place, pattern in KINDS if re.search(place, where) and re.search(pattern, symbol))


def why_no_perf():
    """Nothing if the whole machine can be sampled."""
    if shutil.which("perf") is None:
        return "perf is missing (Debian: apt-get install linux-perf)"
    tried = subprocess.run(["perf", "record", "-a", "-e", "cpu-clock", "-F", str(RATE), "-o", "/dev/null", "--", "true"], capture_output=True, text=True)
    if tried.returncode == 0:
        return None
    try:
        level = pathlib.Path("/proc/sys/kernel/perf_event_paranoid").read_text().strip()
    except OSError:
        level = "unknown"
    return ("perf may not sample the whole machine here: run ./bench --profile as root, or let users do it "
            f"(kernel.perf_event_paranoid is {level} and would have to be 0 or less)")


class Recorder:
    """perf, outside of the laboratory's namespaces; what runs inside says when to count, through a pipe with a name."""

    def __init__(self, folder, name):
        self.data, self.control = folder / f"{name}.data", folder / f"{name}.control"
        self.control.unlink(missing_ok=True)
        os.mkfifo(self.control)
        self._perf = subprocess.Popen(["perf", "record", "-a", "-e", "cpu-clock", "-F", str(RATE), "-D", "-1", "--control",
                                       f"fifo:{self.control}", "-o", str(self.data)],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
        time.sleep(1)

    def stop(self):
        self._perf.send_signal(signal.SIGINT)
        said = self._perf.communicate(timeout=60)[1]
        self.control.unlink(missing_ok=True)
        if not self.data.exists():
            raise RuntimeError(f"perf wrote nothing: {said}")
        return self.data


def samples_of(data):
    said = subprocess.run(["perf", "script", "-i", str(data), "-F", "comm,ip,sym,dso"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, errors="replace", check=True)
    for line in said.stdout.splitlines():
        found = LINE.match(line)
        if found:
            symbol = found["symbol"].split("+0x")[0]
            if symbol == "[unknown]":
                symbol = "?"
            yield found["program"], symbol, found["where"]


def shorter(symbol):
    """A C++ name without its arguments and template parameters."""
    symbol = symbol.replace("(anonymous namespace)::", "").replace("macrovpn::", "")
    while (new := re.sub(r"<[^<>]*>|\([^()]*\)", "", symbol)) != symbol:
        symbol = new
    return symbol[:60]


def report(title, data):
    programs, kinds, symbols = collections.Counter(), collections.Counter(), collections.Counter()
    by_both = collections.Counter()
    idle = total = 0
    for program, symbol, where in samples_of(data):
        total += 1
        if program.startswith("swapper"):
            idle += 1
            continue
        kind = kind_of(symbol, where)
        programs[program] += 1
        kinds[kind] += 1
        by_both[program, kind] += 1
        symbols[f"{shorter(symbol)} ({pathlib.Path(where).name})", kind] += 1
    busy = total - idle
    if busy == 0:
        print(f"\n{title}: no samples came")
        return
    share = lambda n: f"{100 * n / busy:.1f} %"
    print(f"\n{title}: {busy} samples of work, the cores {100 * idle / total:.0f} % idle\n")
    shown = [p for p, n in programs.most_common(6) if n / busy >= LEAST_SHARE]
    rows = [[kind, share(n), *(share(by_both[p, kind]) for p in shown)] for kind, n in kinds.most_common()]
    table(["kind of work", "all", *shown], [*rows, ["together", "100 %", *(share(programs[p]) for p in shown)]])
    print()
    table(["symbol", "kind of work", "share"], [[symbol, kind, share(n)] for (symbol, kind), n in symbols.most_common(TOP)])


COST = re.compile(r"^\s*(?P<count>[\d,]+) \([^)]*\)\s+(?P<file>[^:]*):(?P<symbol>.*?)(?: \[(?P<where>[^\]]*)\])?$")


def costs_of(data):
    said = subprocess.run(["callgrind_annotate", "--auto=no", "--threshold=100", str(data)], capture_output=True, text=True, check=True).stdout
    for line in said.splitlines():
        found = COST.match(line)
        if found:
            symbol = found["symbol"]
            yield int(found["count"].replace(",", "")), "?" if symbol.startswith("0x") else symbol, found["where"] or "benchmark"


def callgrind(build):
    """Instructions of the core benchmarks. OpenSSL does the AEAD here, as valgrind has no AVX-512."""
    if shutil.which("valgrind") is None:
        print("callgrind is missing too (Debian: apt-get install valgrind): nothing can be said here.")
        return 1
    for name in ("packets_up/3", "builds_at_middle"):
        print(f"profile: {name} under callgrind ...", file=sys.stderr, flush=True)
        out = build / "callgrind.out"
        subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", str(build / "tests/bench/macrovpn_bench"),
                        f"--benchmark_filter=^{name}", "--benchmark_min_time=2"], capture_output=True, check=True)
        libraries, symbols = collections.Counter(), collections.Counter()
        for count, symbol, where in costs_of(out):
            libraries[pathlib.Path(where).name] += count
            symbols[f"{shorter(symbol)} ({pathlib.Path(where).name})"] += count
        total = max(sum(libraries.values()), 1)
        rows = lambda counter: [[what, f"{100 * n / total:.1f} %"] for what, n in counter.most_common(TOP) if n / total >= LEAST_SHARE]
        print(f"\n{name}: instructions, the preparation of the benchmark among them; the AEAD is OpenSSL's\n")
        table(["library or program", "share"], rows(libraries))
        print()
        table(["symbol", "share"], rows(symbols))
    return 0


def main(build):
    why = why_no_perf()
    if why is not None:
        print(f"{why}.\nInstead: callgrind over the core benchmarks, without kernel, sockets and devices.")
        return callgrind(build)
    for title, measure in RUNS:
        print(f"profile: {title} ...", file=sys.stderr, flush=True)
        recorder = Recorder(build, measure)
        try:
            subprocess.run([ROOT / "tests/bench/throughput.py", "--runs", "1", "--only", measure, "--tcp-only", "--perf-control",
                            str(recorder.control)], stdout=subprocess.DEVNULL, check=True)
        finally:
            data = recorder.stop()
        report(title, data)
    return 0
