#!/usr/bin/python3
"""Scenarios with seeds that once failed, and with fresh ones for a while.  A fresh seed that fails is printed with the command that runs it
again; what it taught becomes a line of REGRESSIONS.

    sim/seeds_test.py PROGRAM [SECONDS]
"""

import pathlib
import random
import subprocess
import sys
import time

SCENARIOS = pathlib.Path(__file__).resolve().parent / "scenarios"
REGRESSIONS = [("mutants.scenario", 1), ("small.scenario", 3), ("rough.scenario", 1)]
FRESH = ["small.scenario", "mutants.scenario"]


def run(program, scenario, seed):
    done = subprocess.run([program, SCENARIOS / scenario, "--seed", str(seed)], capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        print(done.stdout + done.stderr)
        sys.exit(f"FAIL {scenario} with seed {seed}: exit code {done.returncode}")


def main():
    program, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 15
    for scenario, seed in REGRESSIONS:
        run(program, scenario, seed)
    fresh, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        run(program, FRESH[fresh % len(FRESH)], random.SystemRandom().randrange(1 << 64))
        fresh += 1
    print(f"PASS {len(REGRESSIONS)} known seeds and {fresh} fresh ones")


if __name__ == "__main__":
    main()
