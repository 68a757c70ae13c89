#!/usr/bin/python3
"""A run follows from its scenario and its seed: run twice it has the same hash, and so it had on any other day and in any other kind
of build of the same sources.  What was seen is kept in build/simulation-hashes.json by a digest of the sources."""

import fcntl
import hashlib
import json
import pathlib
import subprocess
import sys

HOME = pathlib.Path(__file__).resolve().parents[1]
BOOK = HOME / "build" / "simulation-hashes.json"
RUNS = [("small.scenario", 1), ("small.scenario", 2), ("rough.scenario", 1)]


def digest_of_sources():
    digest = hashlib.sha256()
    for top in ("src/base", "src/model", "src/crypto", "src/core", "sim"):
        for path in sorted((HOME / top).rglob("*")):
            if path.suffix in (".h", ".cpp", ".scenario") and not path.name.endswith("_test.cpp"):
                digest.update(str(path.relative_to(HOME)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def run(program, scenario, seed):
    done = subprocess.run([program, HOME / "sim/scenarios" / scenario, "--seed", str(seed), "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"FAIL {scenario} with seed {seed}: exit code {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)["hash"]


def main():
    program = sys.argv[1]
    BOOK.parent.mkdir(exist_ok=True)
    with open(BOOK, "a+") as book:
        fcntl.flock(book, fcntl.LOCK_EX)
        book.seek(0)
        text = book.read()
        known = json.loads(text) if text else {}
        seen = known.setdefault(digest_of_sources(), {})
        for scenario, seed in RUNS:
            first, second = run(program, scenario, seed), run(program, scenario, seed)
            if first != second:
                sys.exit(f"FAIL {scenario} with seed {seed} is {first} and then {second}")
            before = seen.setdefault(f"{scenario} {seed}", {"hash": first, "build": program})
            if before["hash"] != first:
                sys.exit(f"FAIL {scenario} with seed {seed} is {first}, and was {before['hash']} for {before['build']}")
            print(f"{scenario} with seed {seed}: {first}, as for {before['build']}")
        book.truncate(0)
        book.write(json.dumps(dict(list(known.items())[-20:]), indent=1))
    print("PASS the same run twice, and as in other builds of these sources")


if __name__ == "__main__":
    main()
