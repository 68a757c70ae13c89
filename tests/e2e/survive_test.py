#!/usr/bin/python3
"""Open connections live through hops, the death of a relay, and the death of the daemon's circuits."""

import pathlib
import time

from e2e import netlab, running_world
from macronet.world import WEB_NAME
from netlab import check

BYTES = 200_000_000


def wait_for(what, condition, timeout):
    deadline = time.monotonic() + timeout
    while not condition():
        check(time.monotonic() < deadline, f"{what} did not happen within {timeout} s")
        time.sleep(0.02)


def a_200_mb_download_survives_three_hops_and_the_kill_of_its_middle():
    with running_world(relays=7) as world:
        target = pathlib.Path(world.client.host.home) / "download"
        process = world.start_run("curl", "-sS", "--limit-rate", "20M", "--max-time", "120", "-o", str(target),
                                  f"http://{WEB_NAME}/bytes/{BYTES}")
        size = lambda: target.stat().st_size if target.exists() else 0
        paths = []
        for part in (1, 2, 3):
            wait_for("the download", lambda: size() > part * 20_000_000, 60)
            old = world.active()
            world.client.command("hop")
            wait_for("the hop", lambda: (now := world.active()) and now["id"] != old["id"], 10)
            paths.append([hop["id"] for hop in world.active()["path"]])
            check(paths[-1][-1] == old["path"][-1]["id"], "the exit changed")
            check(paths[-1][1] != old["path"][1]["id"], "the middle is the same")
        wait_for("the download", lambda: size() > 80_000_000, 60)
        middle = world.path_of(world.active())[1]
        middle.process.kill9()
        killed = time.monotonic()
        victim = middle.relay_id
        wait_for("moving away from the dead middle", lambda: (now := world.active()) and now["path"][1]["id"] != victim, 10)
        took = time.monotonic() - killed
        check(took <= 3, f"the lease moved only after {took:.2f} s")
        code = process.wait(timeout=120)
        check(code == 0 and size() == BYTES, f"curl ended with {code} after {size()} bytes: {process.output()[-300:]}")
        leases = world.client.status()["leases"]
        check(leases["lost"] == 0 and leases["moved"] >= 4, leases)
        return f"the lease moved {took:.2f} s after the kill"


def a_program_has_its_network_again_after_the_daemon_was_killed():
    with running_world() as world:
        script = f"for i in 1 2 3 4 5 6 7 8 9 10 11 12; do curl -sS -o /dev/null --max-time 2 http://{WEB_NAME}/ && echo yes || echo no; sleep 1; done"
        with world.lab.capture(world.client.host) as capture:
            process = world.start_run("sh", "-c", script)
            wait_for("a first page", lambda: "yes" in process.output(), 15)
            world.client.process.kill9()
            time.sleep(3)
            world.start_client()
            process.wait(timeout=90)
        said = [line for line in process.output().splitlines() if line in ("yes", "no")]
        check("no" in said, f"the daemon was dead and pages still came: {said}")
        check(said[-1] == "yes", f"no network again: {said}")
        relays = {address for relay in world.relays for address in relay.host.addresses}
        leaked = [p for p in capture.packets(world.client.host)
                  if p.src in world.client.host.addresses and p.dst not in relays and not p.dst.startswith(("ff02:", "fe80:", "224."))]
        check(leaked == [], f"left the client meanwhile: {leaked[:5]}")
        check(capture.drops() == 0, "the capture missed packets")
        return " ".join(said)


def a_relay_that_restarts_is_used_again():
    with running_world(relays=3, exits=1) as world:
        world.run("curl", "-sS", "-o", "/dev/null", "--max-time", "10", f"http://{WEB_NAME}/")
        for relay in world.relays[:2]:
            relay.process.kill9()
            world.start_relay(relay)
        done = world.run("curl", "-sS", "-o", "/dev/null", "--max-time", "25", f"http://{WEB_NAME}/", check=False)
        check(done.returncode == 0, done.stderr)


netlab.enter()
raise SystemExit(netlab.run_tests([
    a_200_mb_download_survives_three_hops_and_the_kill_of_its_middle,
    a_program_has_its_network_again_after_the_daemon_was_killed,
    a_relay_that_restarts_is_used_again,
]))
