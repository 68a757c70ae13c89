#!/usr/bin/python3
"""Random operations on a model of the tunnel and on real nodes: seeds that once disagreed, and fixed ones; with SECONDS, fresh ones for so
long.  A seed that fails is printed with its story, made as short as it gets, and the command that runs it again; what it taught becomes a line of
REGRESSIONS.  Fresh ones are no part of the usual tests: one in some thousands still finds something, and a test of somebody else's change should not.
By command as many as you like: ./simulate model --seed N --runs 1000

    sim/reference/reference_test.py PROGRAM [SECONDS]
"""

import random
import subprocess
import sys

REGRESSIONS = [6, 15, 119, 208, 219, 314, 318, 338, 375, 377, 441, 777000033, 888000230, 999000220, 555000075, 625000460, 615001573, 700002351, 710000690, 2933746676136956107]
FIXED = (7, 120)  # first seed, and how many


def run(program, *words):
    done = subprocess.run([program, "model", *map(str, words)], capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        print(done.stdout + done.stderr)
        sys.exit(f"FAIL model {' '.join(map(str, words))}: exit code {done.returncode}")
    print(done.stdout.strip())


def main():
    program, seconds = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    for seed in REGRESSIONS:
        run(program, "--seed", seed)
    run(program, "--seed", FIXED[0], "--runs", FIXED[1])
    if seconds is not None:
        run(program, "--seed", random.SystemRandom().randrange(1 << 63), "--runs", 100_000, "--seconds", seconds)
    print(f"PASS model and nodes agree, for {len(REGRESSIONS)} known seeds and {FIXED[1]} fixed ones")
    print("1 passed, 0 failed, 0 skipped")


if __name__ == "__main__":
    main()
