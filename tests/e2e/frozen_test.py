#!/usr/bin/python3
"""Daemon and programs are stopped for longer than a session lives (180 s), as in a suspended computer: nothing leaks, and it goes on.

./test runs it beside the other suites, since all it does is wait. FROZEN_SECONDS in the environment makes it shorter.
"""

import os
import signal
import time

from e2e import netlab
from macronet import Node, computer, summary
from macronet.world import WEB_ADDRESSES, WEB_NAME
from netlab import check

SECONDS = float(os.environ.get("FROZEN_SECONDS", "200"))
# Others are not stopped: one that asks for a way out each second, by the device itself and as programs do.
_RESTLESS = f"""
import socket, time
while True:
    for device in (None, b"eth0"):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            s = socket.socket(socket.AF_INET, kind)
            s.setblocking(False)
            if device: s.setsockopt(socket.SOL_SOCKET, 25, device)
            try: s.connect(("{WEB_ADDRESSES[0]}", 80)); s.send(b"x")
            except OSError: pass
            s.close()
    print("tried", flush=True)
    time.sleep(1)
"""


def nothing_leaks_while_daemon_and_programs_are_stopped_and_they_go_on():
    with computer() as machine:
        machine.up()
        user = Node(machine.host, ordinary=True)
        user.state = str(machine.host.home / "of-a-user")
        loop = f"while sleep 0.3; do curl -sS -o /dev/null --max-time 2 http://{WEB_NAME}/ && echo page; done"
        programs = [machine.host.start(["sh", "-c", loop]), user.start("run", "--", "sh", "-c", loop)]
        for program in programs:
            program.wait_for_output("page", timeout=20)
        restless = machine.host.start(["/usr/bin/python3", "-c", _RESTLESS])
        with machine.world.lab.capture(machine.host) as capture:
            (daemon,) = machine.daemons()
            for program in programs:
                program.signal(signal.SIGSTOP)
            os.kill(daemon, signal.SIGSTOP)
            thawed = time.monotonic() + SECONDS
            told = machine.node.command("status", check=False, timeout=60)
            time.sleep(max(0, thawed - time.monotonic()))
            before = [program.output().count("page") for program in programs]
            os.kill(daemon, signal.SIGCONT)
            for program in programs:
                program.signal(signal.SIGCONT)
            woken = time.monotonic()
            while any(program.output().count("page") < n + 2 for program, n in zip(programs, before)):
                check(time.monotonic() < woken + 60, f"no page a minute after: {[p.output()[-200:] for p in programs]}")
                time.sleep(0.1)
            took = time.monotonic() - woken
        # Whoever asks meanwhile is told after a second that he waits, and after twenty what he can do.
        lines = told.stderr.splitlines()
        check(told.returncode != 0 and len(lines) == 2 and "waiting for the daemon" in lines[0]
              and f"kill -CONT {daemon}`" in lines[1], f"{told.returncode} {told.stderr}")
        leaked = machine.leaks(capture)
        check(leaked == [] and capture.drops() == 0, summary(leaked))
        tried = restless.output().count("tried")
        check(tried > SECONDS / 2, f"the restless program tried {tried} times")
        return f"stopped for {SECONDS:.0f} s, {tried} x 4 attempts meanwhile, pages again {took:.1f} s after"


netlab.enter()
raise SystemExit(netlab.run_tests([nothing_leaks_while_daemon_and_programs_are_stopped_and_they_go_on]))
