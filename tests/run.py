#!/usr/bin/python3
"""Runs the suites of a build and counts their tests; ./test calls it.

A suite is a test of ctest (a GoogleTest program, a lint, netlab's self-test), a Python program tests/e2e/*_test.py or
tests/interop/*_test.py, or a fuzz target.  Single tests are counted: GoogleTest writes them as JSON; the others print
`PASS name`, `FAIL name: why` or `SKIP name: why`, and "N passed, N failed, N skipped" at the end.

Who runs when: the suites of BESIDE from the start, beside everything; unit tests, lints and simulations side by side; then, one
after the other, the suites that judge times or throughput (tests/e2e, tests/interop, those that ctest runs serially); between
them, in pairs, those of PAIRS, which judge what happens and not how fast.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PYTHON = "/usr/bin/python3"
LONGEST = 900  # seconds that a suite may take if it says nothing itself
# Suites that wait for most of their life, and for what.
BESIDE = {"e2e/bandwidth": "relays measure each other in weeks of 150 s",
          "e2e/frozen": "programs are stopped for 200 s",
          "interop/wireguard_go_rekey": "sessions are renewed after 120 s"}
PAIRS = ("e2e/bad_input", "e2e/bootstrap", "e2e/control_socket", "e2e/device", "e2e/dht", "e2e/fail_points", "e2e/home_relays", "e2e/hostile", "e2e/kill_switch", "e2e/leaks", "e2e/nat", "e2e/port_mapping", "e2e/privacy",
         "e2e/proxy", "e2e/run", "e2e/system", "e2e/users", "interop/wireguard_device", "interop/wireguard_go", "interop/wireguard_tools")
KINDS_OF_UNIT = ("unit", "lint")
KINDS_OF_NEITHER = ("sim",)
# Suites that run once more with so many workers in each relay and each WireGuard device.
AGAIN_WITH_WORKERS = {"e2e/run": 2, "interop/wireguard_device": 2, "interop/wireguard_go_rekey": 2}


@dataclasses.dataclass
class Suite:
    name: str
    kind: str  # unit lint sim netlab e2e interop fuzz
    command: list
    environment: dict = dataclasses.field(default_factory=dict)
    timeout: float = LONGEST
    when: str = "side by side"  # or: beside everything, in pairs, alone


@dataclasses.dataclass
class Test:
    name: str
    verdict: str  # PASS FAIL SKIP
    why: str = ""


@dataclasses.dataclass
class Result:
    suite: Suite
    tests: list
    seconds: float
    log: pathlib.Path

    def count(self, verdict):
        return sum(test.verdict == verdict for test in self.tests)


# ---- finding suites


def ctest_suites(build):
    listing = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], capture_output=True, text=True, check=True)
    for entry in json.loads(listing.stdout)["tests"]:
        command = entry.get("command")
        if not command or any(re.search(r"tests/(e2e|interop)/[^/]*_test\.py$", word) for word in command):
            continue  # not built; or found by python_suites()
        properties = {item["name"]: item["value"] for item in entry.get("properties", [])}
        name = entry["name"].removeprefix("mv_")
        is_python = command[0].endswith("python3")
        kind = "lint" if name.startswith("lint_") else "sim" if name.startswith("simulate_") else "netlab" if is_python else "unit"
        yield Suite(name, kind, command, dict(item.split("=", 1) for item in properties.get("ENVIRONMENT", [])),
                    properties.get("TIMEOUT", LONGEST), "alone" if properties.get("RUN_SERIAL") or kind == "netlab" else "side by side")


def python_suites():
    for kind in ("e2e", "interop"):
        for path in sorted((ROOT / "tests" / kind).glob("*_test.py")):
            name = f"{kind}/{path.stem.removesuffix('_test')}"
            when = "beside everything" if name in BESIDE else "in pairs" if name in PAIRS else "alone"
            yield Suite(name, kind, [PYTHON, str(path)], when=when)
            if workers := AGAIN_WITH_WORKERS.get(name):
                environment = {variable: str(workers) for variable in ("MACROVPN_WORKERS", "MACROVPN_WIREGUARD_WORKERS")}
                yield Suite(f"{name}_with_{workers}_workers", kind, [PYTHON, str(path)], environment, when=when)


def fuzz_suites(build, seconds):
    for program in sorted((build / "tests" / "fuzz").glob("fuzz_*")):
        if not (program.is_file() and os.access(program, os.X_OK)):
            continue
        corpus = build / "corpus" / program.name
        corpus.mkdir(parents=True, exist_ok=True)
        seeds = ROOT / "tests" / "fuzz" / "corpus" / program.name
        command = [str(program), f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1",
                   f"-artifact_prefix={build}/{program.name}-", str(corpus)] + ([str(seeds)] if seeds.is_dir() else [])
        yield Suite(program.name, "fuzz", command, timeout=seconds + 120)


def find_suites(options):
    if options.fuzz is not None:
        suites = list(fuzz_suites(options.build, options.fuzz))
    else:
        suites = [*ctest_suites(options.build), *python_suites()]
    if options.unit or options.e2e:
        suites = [s for s in suites if options.unit and s.kind in KINDS_OF_UNIT or options.e2e and s.kind not in KINDS_OF_UNIT + KINDS_OF_NEITHER]
    return [suite for suite in suites if not options.only or re.search(options.only, suite.name)]


# ---- running one


def run_suite(suite, options):
    logs = options.build / "logs"
    log = logs / (suite.name.replace("/", "-") + ".log")
    report = log.with_suffix(".json")
    for old in (log, report):
        old.unlink(missing_ok=True)
    environment = {**os.environ, "NETLAB_TOOLS": str(options.build / "tests/support/tools"),
                   "MACROVPN": str(options.build / "src/app/macrovpn"), "MACROVPN_BUILD": str(options.build),
                   "GTEST_OUTPUT": f"json:{report}", **suite.environment}
    started = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(suite.command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT,
                                   env=environment, start_new_session=True)
        running.add(process)
        try:
            code = process.wait(suite.timeout)
        except subprocess.TimeoutExpired:
            end(process)
            code = None
        finally:
            running.discard(process)
    seconds = time.monotonic() - started
    said = log.read_text(encoding="utf-8", errors="replace")
    tests = gtest_results(report, said) if report.exists() else fuzz_results(said) if suite.kind == "fuzz" else printed_results(said)
    if code is None:
        tests.append(Test("the suite ends", "FAIL", f"not within {suite.timeout:.0f} s"))
    elif code != 0 and not any(test.verdict == "FAIL" for test in tests):
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        tests.append(Test("the suite ends well", "FAIL", f"it ended {how}"))
    elif not tests:
        tests.append(Test(suite.name, "PASS"))
    return Result(suite, tests, seconds, log)


running = set()


def end(process):
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(5)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def gtest_results(report, said):
    tests = []
    for group in json.loads(report.read_text())["testsuites"]:
        for case in group["testsuite"]:
            name = f"{group['name']}.{case['name']}"
            if case.get("failures"):
                tests.append(Test(name, "FAIL", case["failures"][0]["failure"].strip().splitlines()[0]))
            elif case.get("status") == "NOTRUN":
                tests.append(Test(name, "SKIP", "it is disabled"))
            elif case.get("result") == "SKIPPED":  # the reason is only in what it printed
                block = re.search(rf"^\[ RUN      \] {re.escape(name)}\n(.*?)^\[  SKIPPED \]", said, re.M | re.S)
                lines = block.group(1).strip().splitlines() if block else []
                tests.append(Test(name, "SKIP", lines[-1] if lines else "it does not say why"))
            else:
                tests.append(Test(name, "PASS"))
    return tests


def printed_results(said):
    tests = [Test(name, verdict, why) for verdict, name, why in
             re.findall(r"^(PASS|FAIL|SKIP) (.+?)(?:: (.*?))?(?: \([\d.]+ s\))?$", said, re.M)]
    # A GoogleTest program that crashed has written no report.
    tests += [Test(name, "PASS") for name in re.findall(r"^\[       OK \] (\S+)", said, re.M)]
    unfinished = set(re.findall(r"^\[ RUN      \] (\S+)", said, re.M)) - {test.name for test in tests}
    tests += [Test(name, "FAIL", "it did not end, or failed") for name in sorted(unfinished)]
    counts = re.findall(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", said, re.M)
    if counts:
        found = [sum(test.verdict == verdict for test in tests) for verdict in ("PASS", "FAIL", "SKIP")]
        if found != [int(n) for n in counts[-1]]:
            tests.append(Test("the suite counts right", "FAIL", f"it says {counts[-1]}, its lines say {found}"))
    return tests


def fuzz_results(said):
    executed = re.search(r"number_of_executed_units:\s*(\d+)", said)
    return [Test(f"survives {executed.group(1)} inputs", "PASS")] if executed and "ERROR:" not in said else []


# ---- telling


class Teller:
    """Lines for each suite that ended; on a terminal also a line that says what runs now."""

    def __init__(self, out, total):
        self.out, self.total, self.done = out, total, 0
        self.now, self.started, self.lock = set(), time.monotonic(), threading.Lock()
        self.live = out.isatty()

    def begins(self, suite):
        with self.lock:
            self.now.add(suite.name)
        self.refresh()

    def ended(self, result):
        verdict = "FAIL" if result.count("FAIL") else "skip" if not result.count("PASS") else "ok"
        counts = f"{result.count('PASS'):4} passed"
        for word, kind in (("failed", "FAIL"), ("skipped", "SKIP")):
            counts += f", {result.count(kind)} {word}" if result.count(kind) else ""
        with self.lock:
            self.now.discard(result.suite.name)
            self.done += 1
            self.clear()
            print(f"{verdict:4}  {result.suite.name:28} {result.seconds:7.1f} s  {counts}", file=self.out, flush=True)
            if result.count("FAIL"):
                self.explain(result)
        self.refresh()

    def explain(self, result):
        for line in result.log.read_text(errors="replace").splitlines()[-40:]:
            print(f"      | {line}", file=self.out)
        self.out.flush()

    def clear(self):
        if self.live:
            self.out.write("\r\x1b[K")

    def refresh(self):
        if not self.live:
            return
        with self.lock:
            width = shutil.get_terminal_size().columns - 1
            names = " ".join(sorted(self.now))
            self.clear()
            self.out.write(f"{self.done}/{self.total} suites, {time.monotonic() - self.started:.0f} s: {names}"[:width])
            self.out.flush()

    def keep_fresh(self, ended):
        while self.live and not ended.wait(1):
            self.refresh()


def run_all(suites, options, teller):
    def run(suite):
        teller.begins(suite)
        result = run_suite(suite, options)
        teller.ended(result)
        return result

    ended = threading.Event()
    ticker = threading.Thread(target=teller.keep_fresh, args=(ended,), daemon=True)
    ticker.start()
    results = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(options.jobs, 4)) as beside:
        waiting = [beside.submit(run, suite) for suite in suites if suite.when == "beside everything"]
        for when, most in (("side by side", options.jobs), ("in pairs", 2), ("alone", 1)):
            with concurrent.futures.ThreadPoolExecutor(max_workers=most) as workers:
                results += workers.map(run, [suite for suite in suites if suite.when == when])
        results += [future.result() for future in waiting]
    ended.set()
    ticker.join()
    teller.clear()
    return results


def print_end(results, seconds, out):
    failed = [(result, test) for result in results for test in result.tests if test.verdict == "FAIL"]
    skipped = [(result, test) for result in results for test in result.tests if test.verdict == "SKIP"]
    reasons = {}
    for result, test in skipped:
        reasons.setdefault((result.suite.name, test.why), []).append(test.name)
    for (suite, why), names in reasons.items():
        print(f"skipped  {suite}: {len(names)} x {why}" if len(names) > 1 else f"skipped  {suite}: {names[0]}: {why}", file=out)
    for result, test in failed:
        print(f"failed   {result.suite.name}: {test.name}: {test.why}  ({result.log.relative_to(ROOT)})", file=out)
    print(f"{len(results)} suites in {seconds:.0f} s", file=out)


def as_json(results, totals, seconds):
    return {"passed": totals["PASS"], "failed": totals["FAIL"], "skipped": totals["SKIP"], "seconds": round(seconds, 2),
            "suites": [{"name": result.suite.name, "kind": result.suite.kind, "seconds": round(result.seconds, 3),
                        "log": str(result.log.relative_to(ROOT)),
                        "tests": [dataclasses.asdict(test) for test in result.tests]} for result in results]}


def parse_options():
    parser = argparse.ArgumentParser(description="see ./test --help")
    parser.add_argument("--build", type=lambda path: (ROOT / path).resolve(), required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only")
    parser.add_argument("--fuzz", type=int, metavar="SECONDS")
    for flag in ("unit", "e2e", "list", "json"):
        parser.add_argument(f"--{flag}", action="store_true")
    return parser.parse_args()


def stop(*_):
    for process in list(running):
        end(process)
    os._exit(130)


def main():
    options = parse_options()
    suites = find_suites(options)
    if options.list:
        for suite in suites:
            print(f"{suite.kind:8} {suite.name:40} {suite.when}")
        return 0
    out = sys.stderr if options.json else sys.stdout
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    (options.build / "logs").mkdir(exist_ok=True)
    started = time.monotonic()
    results = run_all(suites, options, Teller(out, len(suites)))
    seconds = time.monotonic() - started
    totals = {verdict: sum(result.count(verdict) for result in results) for verdict in ("PASS", "FAIL", "SKIP")}
    print_end(results, seconds, out)
    if options.json:
        print(json.dumps(as_json(results, totals, seconds), indent=1))
    if not suites:
        print(f"no suite has such a name: {options.only}" if options.only else "there is no suite", file=out)
    print(f"{totals['PASS']} passed, {totals['FAIL']} failed, {totals['SKIP']} skipped", file=out, flush=True)
    return 0 if totals["PASS"] and not totals["FAIL"] else 1


if __name__ == "__main__":
    sys.exit(main())
