#!/usr/bin/python3
"""Each patch in this folder plants a bug into the core, and the simulator must find it.

A patch says in its first lines which checker finds it, in which scenario, with which seed:

    Found by: CHECKER
    Scenario: NAME.scenario, seed N            or: model, seed N, K runs
    What the bug is, in a sentence.
    --- a/src/core/...

The patched source is a copy; what it makes is linked in front of the libraries of the build that is there, so that a mutant costs one
compilation.  A patch that no longer applies is a failure, and so is a scenario that fails without any bug.
mutants_test.py BUILD [PATCH ...]
"""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
HOME = HERE.parents[1]
PROGRAM = "sim/macrovpn-simulate"
LONGEST = 120  # seconds of one run


class Failed(Exception):
    pass


@dataclasses.dataclass
class Mutant:
    name: str
    patch: pathlib.Path
    checker: str
    run: tuple  # the simulator's arguments
    sources: list


def read(patch):
    text = patch.read_text(encoding="utf-8")
    checker = re.search(r"^Found by: (\w+)$", text, re.MULTILINE)
    scenario = re.search(r"^Scenario: (\S+\.scenario), seed (\d+)$", text, re.MULTILINE)
    model = re.search(r"^Scenario: model, seed (\d+), (\d+) runs$", text, re.MULTILINE)
    sources = re.findall(r"^\+\+\+ b/(\S+)", text, re.MULTILINE)
    if not (checker and (scenario or model) and sources):
        raise Failed(f"{patch.name} does not say \"Found by: CHECKER\" and \"Scenario: NAME, seed N\", or changes nothing")
    if not all(re.fullmatch(r"src/core/\S+\.cpp", source) for source in sources):
        raise Failed(f"{patch.name} changes another file than a source of src/core")
    if model:
        how = ("model", "--seed", model[1], "--runs", model[2], "--keep")
    else:
        how = (str(HOME / "sim" / "scenarios" / scenario[1]), "--seed", scenario[2])
    return Mutant(patch.stem, patch, checker[1], how, sources)


def run(command, where, **more):
    return subprocess.run(command, cwd=where, capture_output=True, text=True, check=False, **more)


def build(mutant, tree, commands, link):
    """The simulator with the bug."""
    folder = tree / "mutants" / mutant.name
    shutil.rmtree(folder, ignore_errors=True)
    objects = []
    for source in mutant.sources:
        copy = folder / source
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HOME / source, copy)
    patched = run(["patch", "-p1", "--fuzz=0", "--no-backup-if-mismatch", "-i", mutant.patch], folder)
    if patched.returncode != 0:
        raise Failed(f"the patch does not apply any more: {patched.stdout.strip()}")
    for source in mutant.sources:
        made = folder / (source.replace("/", "-") + ".o")
        command = [str(made) if before == "-o" else str(folder / source) if word == str(HOME / source) else word
                   for before, word in zip([""] + commands[source], commands[source])]
        compiled = run(command, tree)
        if compiled.returncode != 0:
            raise Failed(f"does not compile: {compiled.stderr[:2000]}")
        objects.append(str(made))
    program = folder / "macrovpn-simulate"
    at = link.index("-o")
    linked = run([*link[:at], *objects, "-o", str(program), *link[at + 2:]], tree)
    if linked.returncode != 0:
        raise Failed(f"does not link: {linked.stderr[:2000]}")
    return program


def found_by(program, mutant):
    """The checker that failed, or none, and the run's own words."""
    try:
        done = run([program, *mutant.run, "--json"], HOME, timeout=LONGEST)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"the run did not end within {LONGEST} s") from error
    if done.returncode not in (0, 1):
        raise Failed(f"the run ended with {done.returncode}: {done.stderr[-600:]}")
    try:
        said = json.loads(done.stdout)
    except json.JSONDecodeError:  # a broken assertion of the core ends the program
        broken = re.search(r"^FAILED at \S+ of virtual time: (\w+)", done.stderr + done.stdout, re.MULTILINE)
        return {"checker": broken[1] if broken else "nobody", "seen": (done.stderr.strip().splitlines() or [""])[0]}
    return said["failed"] and {"checker": said["failed"], "seen": said["seen"]}


def judge(mutant, tree, commands, link):
    began = time.monotonic()
    try:
        seen = found_by(build(mutant, tree, commands, link), mutant)
        if seen is None:
            raise Failed("nobody noticed it")
        if seen["checker"] != mutant.checker:
            raise Failed(f"{seen['checker']} found it, not {mutant.checker}: {seen['seen']}")
        return mutant, None, f"{seen['checker']}: {seen['seen']} ({time.monotonic() - began:.1f} s)"
    except Failed as error:
        return mutant, str(error), ""


def main():
    tree = pathlib.Path(sys.argv[1]).resolve()
    wanted = [pathlib.Path(name).resolve() for name in sys.argv[2:]] or sorted(HERE.glob("*.patch"))
    commands = {os.path.relpath(entry["file"], HOME): shlex.split(entry["command"])
                for entry in json.loads((tree / "compile_commands.json").read_text(encoding="utf-8"))}
    link = run(["ninja", "-t", "commands", PROGRAM], tree).stdout.strip().splitlines()[-1]
    link = shlex.split(link.removeprefix(": && ").removesuffix(" && :"))
    passed = failed = 0
    mutants = [read(patch) for patch in wanted]
    if any(flag.startswith("-fsanitize") for flag in link):
        mutants = [m for m in mutants if m.checker != "memory"]  # whose checker looks at nothing where a sanitizer has the allocator
    for how in sorted({m.run for m in mutants}):
        seen = found_by(tree / PROGRAM, next(m for m in mutants if m.run == how))
        passed, failed = passed + (seen is None), failed + (seen is not None)
        name = f"no_bug_{pathlib.Path(how[0]).stem}_{how[2]}"
        print(f"PASS {name}" if seen is None else f"FAIL {name}: {seen}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as workers:
        for mutant, why, said in workers.map(lambda m: judge(m, tree, commands, link), mutants):
            passed, failed = passed + (why is None), failed + (why is not None)
            print(f"PASS {mutant.name}: {said}" if why is None else f"FAIL {mutant.name}: {why}", flush=True)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return failed != 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except Failed as error:
        raise SystemExit(f"FAIL mutants: {error}\n0 passed, 1 failed, 0 skipped") from error
