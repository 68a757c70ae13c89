#!/usr/bin/python3
"""One run of a large scenario, whose figures are printed with the result, and whose hash is the recorded one.

    whole_test.py PROGRAM SCENARIO SEED
"""

import json
import pathlib
import subprocess
import sys

import hash_test


def main():
    program, scenario, seed = sys.argv[1:]
    name = pathlib.Path(scenario).stem
    done = subprocess.run([program, scenario, "--seed", seed, "--json"], capture_output=True, text=True, check=False)
    try:
        said = json.loads(done.stdout)
    except json.JSONDecodeError:  # a broken assertion of the core
        print(f"FAIL {name}: exit code {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
        print("0 passed, 1 failed, 0 skipped")
        return 1
    for checker, looked in said["checkers"].items():
        print(f"  {checker:14} {looked}")
    figures = (f"seed {seed}, hash {said['hash']}: {said['nodes']} nodes, {said['virtual_ms'] // 1000} s in {said['wall_ms'] / 1000:.0f} s, "
               f"{said['datagrams']} datagrams, {len(said['faults'])} kinds of faults, a client built {said['least_circuits']} circuits and "
               f"carried {said['least_bytes']} bytes at least, {said['node_memory']} bytes a node")
    changed = hash_test.difference(pathlib.Path(scenario).name, int(seed), said["hash"])
    if changed and not said["failed"]:
        said["failed"], said["seen"] = "hash", changed
    good = done.returncode == 0 and not said["failed"]
    print(f"PASS {name}: {figures}" if good else f"FAIL {name}: {said['failed']}: {said.get('seen')}; {figures}")
    print(f"{int(good)} passed, {int(not good)} failed, 0 skipped")
    return int(not good)


if __name__ == "__main__":
    raise SystemExit(main())
