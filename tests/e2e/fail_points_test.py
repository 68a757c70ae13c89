#!/usr/bin/python3
"""A command is killed before each single step of its writing, or each step fails: no key and no setting is lost or half written.

strace stops the real program at the n-th call of a kind, for every n that the program reaches in the folder of its state.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

import e2e  # noqa: F401  (the way to the laboratory)
import netlab
from macronet import program
from netlab import check

STRACE = "/usr/bin/strace"
CALLS = ("openat", "mkdir", "write", "ftruncate", "fchmod", "flock", "fsync", "rename", "renameat", "renameat2", "unlink", "chmod", "bind", "pwrite64", "fdatasync")


def traced(state, words, *options, until=None):
    """Runs the program under strace; `until` ends one that does not end itself."""
    log = state.parent / "trace"
    argv = [STRACE, "-f", "-y", "-qq", "-o", str(log), "-e", "trace=" + ",".join(CALLS), *options, "--",
            PROGRAM, "--state", str(state), *map(str, words)]
    # A leak sanitizer traces too, and a process has one tracer.
    environment = os.environ | {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/", env=environment)
    if until is not None:
        deadline = time.monotonic() + 15
        while process.poll() is None and not until(state) and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:
            for child in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGTERM)
    out, err = process.communicate(timeout=40)
    return process.returncode, out + err, log.read_text(errors="replace")


def steps(trace, state):
    """(call, n) of each call that touches the state folder, n counted per process and kind as strace does."""
    found, counts = [], {}
    for line in trace.splitlines():
        match = re.match(r"(\d+) +(\w+)\((.*)", line)
        if not match:
            continue
        process, call, rest = match.groups()
        counts[process, call] = counts.get((process, call), 0) + 1
        if str(state) in rest:
            found.append((call, counts[process, call]))
    return sorted(set(found))


def plain(state, *words):
    return subprocess.run([PROGRAM, "--state", str(state), *map(str, words)], capture_output=True, text=True, cwd="/",
                          stdin=subprocess.DEVNULL, timeout=40)


def contents(state):
    return {str(path.relative_to(state)): path.read_bytes() for path in state.rglob("*")
            if path.is_file() and "run" not in path.relative_to(state).parts}


def at_every_step(prepare, words, holds, until=None, errors=True):
    """Kills and fails `words` at each step; `holds(state, before)` judges what is left; then the command must simply work."""
    with tempfile.TemporaryDirectory(prefix="fail-points-") as folder:
        template, state = pathlib.Path(folder) / "template", pathlib.Path(folder) / "state"
        template.mkdir(mode=0o700)
        prepare(template)

        def fresh():
            shutil.rmtree(state, ignore_errors=True)
            shutil.copytree(template, state, copy_function=shutil.copy2)
            return contents(state)

        fresh()
        code, said, trace = traced(state, words, until=until)
        check(code == 0, f"{words}: {said}")
        expected = set(contents(state))
        todo = steps(trace, state)
        check(len(todo) >= 6 and any(call.startswith("rename") for call, _ in todo), f"steps: {todo}")
        faults = [("signal=KILL", None)] + ([("error=ENOSPC", "ENOSPC"), ("error=EIO", "EIO")] if errors else [])
        done = 0
        for call, n in todo:
            for inject, failed in faults:
                if failed and call in ("flock", "chmod", "fchmod", "unlink", "bind"):
                    continue
                before = fresh()
                code, said, _ = traced(state, words, "-e", f"inject={call}:{inject}:when={n}", until=until)
                where = f"{words[0]} with {inject} at {call} {n}"
                if not failed:
                    check(code in (-signal.SIGKILL, 128 + signal.SIGKILL), f"{where} was not killed: {code} {said}")
                elif code != 0:
                    lines = said.strip().splitlines()
                    check(code == 1 and len(lines) == 1 and lines[0].startswith("macrovpn: "), f"{where}: {code} {said!r}")
                try:
                    holds(state, before)
                except AssertionError as error:
                    raise AssertionError(f"{where}: {error}") from None
                if until is None:
                    again = plain(state, *words)
                    check(again.returncode == 0, f"after {where} it needs help: {again.stderr}")
                else:
                    code, said, _ = traced(state, words, until=until)
                    check(code == 0, f"after {where} it needs help: {said}")
                check(set(contents(state)) == expected, f"after {where} there are {sorted(set(contents(state)) ^ expected)}")
                done += 1
    return f"{done} runs at {len(todo)} steps"


def whole(path, text):
    check(path.read_text() in text, f"{path.name} is {path.read_text()!r}")


def keys_are_there_whole_or_not_at_all():
    def holds(state, _):
        keys = state / "keys"
        if keys.exists():
            check(re.fullmatch(r"macrovpn keys 1\nidentity [0-9a-f]{64}\nwireguard [0-9a-f]{64}\ncreated \d+\n", keys.read_text()),
                  "half a key")
            check(keys.stat().st_mode & 0o077 == 0, "others can read it")

    return at_every_step(lambda state: None, ["key", "show"], holds)


def keys_that_are_there_are_never_lost():
    def prepare(state):
        check(plain(state, "key", "show").returncode == 0 and plain(state, "network", "init", "--lab").returncode == 0, "")

    def holds(state, before):
        check((state / "keys").read_bytes() == before["keys"], "the keys changed")
        check((state / "network.toml").read_bytes() == before["network.toml"], "the network changed")

    return at_every_step(prepare, ["config", "set", "client.mode", "fast"], holds, errors=False)


def a_setting_is_the_old_or_the_new():
    def prepare(state):
        for key, value in (("client.hops", "2"), ("relay.region", "NO")):
            check(plain(state, "config", "set", key, value).returncode == 0, "")

    def holds(state, before):
        old = before["settings-set.toml"].decode()
        whole(state / "settings-set.toml", (old, old.replace("client.hops = 2", "client.hops = 4")))

    return at_every_step(prepare, ["config", "set", "client.hops", "4"], holds)


def a_network_that_is_made_is_whole_or_made_again():
    def holds(state, _):
        if (state / "network.toml").exists():
            check(plain(state, "network", "show").returncode == 0, "half a network file")
            check((state / "network.key").exists(), "a network without its key")
            (state / "network.toml").unlink()  # `init` refuses a second one; with its key the same network comes again

    return at_every_step(lambda state: None, ["network", "init", "--lab"], holds)


def a_network_that_is_joined_and_a_relay_that_is_learnt_are_whole_or_absent():
    with tempfile.TemporaryDirectory(prefix="fail-points-relay-") as folder:
        relay = pathlib.Path(folder) / "relay"
        check(plain(relay, "network", "init", "--lab").returncode == 0, "")
        run_relay(relay)
        descriptor, = (relay / "descriptors").glob("*.descriptor")

        def holds_network(state, _):
            if (state / "network.toml").exists():
                check(plain(state, "network", "show").returncode == 0, "half a network file")

        def holds_descriptor(state, _):
            for file in (state / "descriptors").glob("*.descriptor"):
                check(file.read_bytes() == descriptor.read_bytes(), "half a descriptor")

        def joined(state):
            check(plain(state, "network", "add", relay / "network.toml").returncode == 0, "")

        first = at_every_step(lambda state: None, ["network", "add", relay / "network.toml"], holds_network)
        second = at_every_step(joined, ["descriptor", "add", descriptor], holds_descriptor)
        return f"{first}; {second}"


RELAY = ["relay", "--listen", "127.0.0.1:51820", "--endpoint", "192.0.2.1:51820"]


def serves(state):
    return (state / "traffic").exists() and any((state / "descriptors").glob("*.descriptor")) and \
        plain(state, "status").returncode == 0


def run_relay(state):
    code, said, _ = traced(state, RELAY, until=serves)
    check(code == 0, said)


def a_relay_keeps_its_keys_its_descriptor_and_its_counts():
    def prepare(state):
        check(plain(state, "network", "init", "--lab").returncode == 0, "")
        run_relay(state)
        day = int(time.time()) // 86400 - 1  # of yesterday: it is written anew
        (state / "traffic").write_text(f"macrovpn traffic 1\nday {day}\nmonth {day - 40}\nday_bytes 5\nmonth_bytes 77\ntotal_bytes 99\n")

    def holds(state, before):
        check((state / "keys").read_bytes() == before["keys"], "the keys changed")
        check("month_bytes 77\ntotal_bytes 99\n" in (state / "traffic").read_text(), f"the counts are {(state / 'traffic').read_text()!r}")
        listed = plain(state, "descriptor", "list")
        check("1 relays known, 0 files refused" in listed.stdout, f"{listed.stdout}{listed.stderr}")

    return at_every_step(prepare, RELAY, holds, until=serves, errors=False)


def starts_again(state, at_least):
    """The relay, unobserved, until it knows so many relays; what it said."""
    process = subprocess.Popen([PROGRAM, "--state", str(state), *RELAY], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, cwd="/")
    deadline = time.monotonic() + 10
    knows = -1
    while process.poll() is None and knows < at_least and time.monotonic() < deadline:
        time.sleep(0.02)
        status = plain(state, "status", "--json")
        knows = json.loads(status.stdout)["relays_known"] if status.returncode == 0 else -1
    process.kill()
    said = process.communicate()[0]
    check(knows >= at_least, f"it knows {knows} relays of {at_least}: {said}")
    return said


def a_directory_is_there_or_set_aside_and_made_anew():
    """Of a relay that knows another by its store alone; killed at each write to it, its journal and its log, and of one that has none yet."""
    with tempfile.TemporaryDirectory(prefix="fail-points-store-") as folder:
        folder = pathlib.Path(folder)
        other, template, bare, state = (folder / name for name in ("other", "template", "bare", "state"))
        check(plain(other, "network", "init", "--lab").returncode == 0, "")
        run_relay(other)
        descriptor, = (other / "descriptors").glob("*.descriptor")
        check(plain(bare, "network", "add", other / "network.toml").returncode == 0, "")
        shutil.copytree(bare, template, copy_function=shutil.copy2)
        check(plain(template, "descriptor", "add", descriptor).returncode == 0, "")
        run_relay(template)
        shutil.rmtree(template / "descriptors")
        starts_again(template, 2)  # leaves a log that has not come into the file yet
        keys = (template / "keys").read_bytes()

        def fresh(source):
            shutil.rmtree(state, ignore_errors=True)
            shutil.copytree(source, state, copy_function=shutil.copy2, ignore=shutil.ignore_patterns("run"))

        done, aside, started = 0, 0, time.monotonic()
        for source, knew in ((template, 2), (bare, 1)):
            fresh(source)
            code, said, trace = traced(state, RELAY, until=serves)
            check(code == 0, said)
            todo = [step for step in steps(trace, state / "directory.db") if step[0] in ("pwrite64", "fdatasync", "ftruncate", "unlink")]
            check(len(todo) >= 8, f"steps: {todo}")
            for call, n in todo:
                fresh(source)
                code, said, _ = traced(state, RELAY, "-e", f"inject={call}:signal=KILL:when={n}", until=serves)
                where = f"killed at {call} {n}, knowing {knew}"
                check(code in (-signal.SIGKILL, 128 + signal.SIGKILL), f"{where}: {code} {said}")
                shutil.rmtree(state / "descriptors", ignore_errors=True)
                try:
                    said = starts_again(state, knew)
                except AssertionError as error:
                    raise AssertionError(f"{where}: {error}") from None
                check(source is bare or (state / "keys").read_bytes() == keys, f"{where}: the keys changed")
                check(("is damaged" in said) == any(state.glob("directory.db.damaged-*")), f"{where}: {said}")
                aside += "is damaged" in said
                with sqlite3.connect(state / "directory.db") as db:
                    check(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok", f"{where}: the new one is damaged")
                done += 1
        return f"{done} kills in {time.monotonic() - started:.0f} s, {aside} set aside"


netlab.enter()
PROGRAM = program()
subprocess.run(["/usr/sbin/ip", "link", "set", "lo", "up"], check=True)


def strace_works():
    if not os.path.exists(STRACE):
        return False
    return subprocess.run([STRACE, "-qq", "-o", "/dev/null", "-e", "inject=write:signal=KILL:when=1", "/bin/echo", "x"],
                          capture_output=True).returncode != 0


def without_strace():
    raise netlab.Skip("strace is missing or may not trace here")


tests = [
    keys_are_there_whole_or_not_at_all,
    keys_that_are_there_are_never_lost,
    a_setting_is_the_old_or_the_new,
    a_network_that_is_made_is_whole_or_made_again,
    a_network_that_is_joined_and_a_relay_that_is_learnt_are_whole_or_absent,
    a_relay_keeps_its_keys_its_descriptor_and_its_counts,
    a_directory_is_there_or_set_aside_and_made_anew,
]
raise SystemExit(netlab.run_tests(tests if strace_works() else [without_strace]))
