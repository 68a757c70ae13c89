#!/usr/bin/python3
"""A run follows from its scenario and its seed, in every kind of build and on every day: its hash is that in sim/scenarios/hashes, which the
release build recorded.  ./test compares with the build for debugging, whole_test.py the large ones that it runs anyway.

    sim/hash_test.py PROGRAM     compares
    sim/hash_test.py --record    builds the release and records: a minute
"""

import json
import pathlib
import subprocess
import sys

HOME = pathlib.Path(__file__).resolve().parents[1]
BOOK = HOME / "sim/scenarios/hashes"
RUNS = [("small.scenario", 1), ("small.scenario", 2), ("mutants.scenario", 1)]
LARGE = [("thousand.scenario", 1)]
HEAD = "# scenario, seed, hash: by the release build; what changes a run on purpose is followed by sim/hash_test.py --record\n"


def run(program, scenario, seed):
    command = [program, HOME / "sim/scenarios" / scenario, "--seed", str(seed), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)["hash"]
    except (json.JSONDecodeError, KeyError):
        sys.exit(f"FAIL {scenario} with seed {seed}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def recorded():
    lines = [line.split() for line in BOOK.read_text().splitlines() if not line.startswith("#")]
    return {(scenario, int(seed)): value for scenario, seed, value in lines}


def record():
    lines = []
    for scenario, seed in RUNS + LARGE:
        lines.append(f"{scenario} {seed} {run(HOME / 'simulate', scenario, seed)}\n")
        print(lines[-1], end="", flush=True)
    BOOK.write_text(HEAD + "".join(lines))
    print(f"recorded in {BOOK.relative_to(HOME)}")


# None, or what is wrong.
def difference(scenario, seed, value):
    wanted = recorded().get((scenario, seed))
    if value == wanted:
        return None
    return (f"{scenario} with seed {seed} has the hash {value}, and {wanted} was recorded by the release build.\n"
            "If what nodes or the simulator do was changed on purpose: sim/hash_test.py --record, and commit sim/scenarios/hashes.\n"
            "If that leaves it failing, this build and the release do not the same: something undefined, or a floating point, decides.")


def compare(program):
    if set(recorded()) != set(RUNS + LARGE):
        sys.exit(f"FAIL {BOOK.relative_to(HOME)} is not about the runs of this test; sim/hash_test.py --record writes it anew")
    for scenario, seed in RUNS:
        value = run(program, scenario, seed)
        if wrong := difference(scenario, seed, value):
            again = run(program, scenario, seed)
            sys.exit(f"FAIL {wrong}" if again == value else
                     f"FAIL {scenario} with seed {seed} is {value} and then {again}: something in it does not follow from the seed")
        print(f"{scenario} with seed {seed}: {value}, as recorded")
    print(f"PASS {len(RUNS)} runs, as recorded")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    record() if sys.argv[1] == "--record" else compare(sys.argv[1])
