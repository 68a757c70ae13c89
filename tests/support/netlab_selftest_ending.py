#!/usr/bin/python3
"""Part of netlab_selftest.py: how a laboratory ends. Started by itself, it is a lab that lingers until it is killed."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time

import netlab
from netlab import check


def linger():
    """A lab with programs in it, one of which detached itself."""
    netlab.enter()
    with netlab.Lab() as lab:
        lab.nat("home", wan="203.0.113.10", delay_ms=1)
        lab.host("client", behind="home")
        netlab.WebServer(lab.host("web", "192.0.2.80"))
        relay = lab.host("relay", "198.51.100.11", delay_ms=1)
        detach = "setsid sh -c 'echo detached; exec sleep 1000' & exec sleep 1000"
        relay.start(["sh", "-c", detach]).wait_for_output("detached")
        print("drawn", flush=True)
        time.sleep(1000)


def _processes():
    """{pid: (parent, network namespace)} of all that we can see."""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parent = int(pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            found[int(entry)] = (parent, os.readlink(f"/proc/{entry}/ns/net"))
    return found


def _descendants(of):
    tree, found = _processes(), [of]
    for known in found:
        found += [pid for pid, (parent, _) in tree.items() if parent == known]
    return found, {tree[pid][1] for pid in found if pid in tree}


def _end_a_lingering_lab(signal_number, generation):
    """generation: 0 the process that was started, 1 the first process inside, 2 the script itself."""
    before = {network for _, network in _processes().values()}
    outer = subprocess.Popen(["/usr/bin/python3", __file__], stdout=subprocess.PIPE, text=True)
    check(outer.stdout.readline() == "drawn\n", "the lab was not drawn")
    family, networks = _descendants(outer.pid)
    # Outer, first, script, two wires, web server, the program and what it detached; in the lab's network and three of hosts.
    check(len(family) == 8 and len(networks - before) == 4, f"{len(family)} processes, {len(networks - before)} networks")
    os.kill(family[generation], signal_number)
    code = outer.wait(10)
    deadline = time.monotonic() + 5
    while (left := set(family) & set(_processes())) and time.monotonic() < deadline:
        time.sleep(0.02)
    check(not left, f"{len(left)} processes are left")
    check({network for _, network in _processes().values()} <= before, "network namespaces are left")
    return code


def a_lab_that_is_killed_leaves_nothing():
    for generation in (0, 1, 2):
        _end_a_lingering_lab(signal.SIGKILL, generation)


def a_lab_ends_when_it_is_asked_to():
    code = _end_a_lingering_lab(signal.SIGTERM, 0)
    check(code == 128 + signal.SIGTERM, f"exit code {code}")


if __name__ == "__main__":
    linger()
