#!/usr/bin/python3
"""Random operations on a model of the tunnel and on real nodes: seeds that once failed, and fresh ones for a while.  A fresh seed that
fails is printed with its story, made as short as it gets, and the command that runs it again; what it taught becomes a line of REGRESSIONS.

    sim/reference/reference_test.py PROGRAM [SECONDS]
"""

import random
import subprocess
import sys

FIXED = (1, 12)  # first seed, and how many
REGRESSIONS = []


def run(program, *words):
    done = subprocess.run([program, "model", *map(str, words)], capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        print(done.stdout + done.stderr)
        sys.exit(f"FAIL {' '.join(map(str, words))}: exit code {done.returncode}")
    print(done.stdout.strip())


def main():
    program, seconds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 7
    run(program, "--seed", FIXED[0], "--runs", FIXED[1])
    for seed in REGRESSIONS:
        run(program, "--seed", seed)
    run(program, "--seed", random.SystemRandom().randrange(1 << 63), "--runs", 1_000_000, "--seconds", seconds)
    print(f"PASS model and nodes agree, for {FIXED[1] + len(REGRESSIONS)} known seeds and fresh ones")


if __name__ == "__main__":
    main()
