#!/usr/bin/python3
"""Planted bugs are found: each patch of this folder is applied to a copy of the sources, the simulator is built, and the checker that the
patch names must stop sim/scenarios/mutants.scenario.  A patch that no longer applies fails, and so does a checker that fails without one.

    sim/mutants/run.py [NAME...]      builds in build/mutants; about half a minute for each
"""

import pathlib
import shutil
import subprocess
import sys

HOME = pathlib.Path(__file__).resolve().parents[2]
TREE = HOME / "build" / "mutants" / "tree"
BUILD = HOME / "build" / "mutants" / "build"
SEED = "1"


def copy_sources():
    """Files that did not change keep their time, so that the build after the first is short."""
    TREE.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(["git", "-c", "safe.directory=*", "-C", HOME, "ls-files", "-co", "--exclude-standard", "CMakeLists.txt",
                             "cmake", "src", "sim", "tests"], capture_output=True, text=True, check=True).stdout.split("\n")
    wanted = {name for name in listed if name and (HOME / name).is_file()}
    for name in wanted:
        target = TREE / name
        if target.is_file() and target.read_bytes() == (HOME / name).read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HOME / name, target)
    for old in TREE.rglob("*"):
        if old.is_file() and str(old.relative_to(TREE)) not in wanted:
            old.unlink()


def build():
    if not (BUILD / "build.ninja").exists():
        subprocess.run(["cmake", "-G", "Ninja", "-S", TREE, "-B", BUILD, "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1"],
                       check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run(["cmake", "--build", BUILD, "--target", "macrovpn-simulate"], capture_output=True, text=True)
    return None if done.returncode == 0 else "does not build: " + done.stdout[-1500:]


def killer():
    """The checker that stopped the run, "" if none did."""
    done = subprocess.run([BUILD / "sim" / "macrovpn-simulate", HOME / "sim/scenarios/mutants.scenario", "--seed", SEED],
                          capture_output=True, text=True, errors="replace", timeout=300)
    for line in (done.stdout + done.stderr).splitlines():
        if line.startswith("FAILED at "):
            return line.rsplit(": ", 1)[1]
    return ""


def judge(patch):
    wanted = next(line.split(": ", 1)[1] for line in patch.read_text().splitlines() if line.startswith("# killed by: "))
    copy_sources()
    applied = subprocess.run(["patch", "-p1", "-s", "-f", "--fuzz=0", "-d", TREE, "-i", patch], capture_output=True, text=True)
    if applied.returncode != 0:
        return "no longer applies: " + applied.stdout.strip()
    broken = build()
    if broken:
        return broken
    by = killer()
    return None if by == wanted else f"was to be killed by {wanted}, and " + (f"{by} did" if by else "lived")


def main():
    names = sys.argv[1:]
    patches = [p for p in sorted(pathlib.Path(__file__).parent.glob("*.patch")) if not names or p.stem in names]
    failed = 0
    if not names:
        copy_sources()
        wrong = build() or (f"{killer()} fails without a planted bug" if killer() else None)
        print(f"FAIL sources as they are: {wrong}" if wrong else "PASS sources as they are", flush=True)
        failed += wrong is not None
    for patch in patches:
        wrong = judge(patch)
        failed += wrong is not None
        print(f"FAIL {patch.stem}: {wrong}" if wrong else f"PASS {patch.stem} is killed", flush=True)
    print(f"{len(patches)} planted bugs, {failed} failures")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
