#!/usr/bin/python3
"""Relays and exits of several workers: each carries, and what moves from one to another goes on."""

import os
import pathlib
import time

from e2e import netlab, running_world
from macronet.world import WEB_NAME
from netlab import check

BYTES = 60_000_000
MOST_HOPS = 10
SHARE = 20  # datagrams of the exit: acknowledgements only, one for up to 44 datagrams of the download


def wait_for(what, condition, timeout):
    deadline = time.monotonic() + timeout
    while not condition():
        check(time.monotonic() < deadline, f"{what} did not happen within {timeout} s")
        time.sleep(0.02)


def download_through_hops():
    """What `status` of the exit said at the end and how many hops it took; nothing if one worker of it had nothing to do.

    By which worker of the exit a middle is served follows from the middle's address and port.  Three of the ten relays are the client's guards, so
    there are six middles: one world in 32 goes by one worker alone.
    """
    with running_world(relays=10, exits=1, workers=2) as world:
        target = pathlib.Path(world.client.host.home) / "download"
        process = world.start_run("curl", "-sS", "--limit-rate", "4M", "--max-time", "120", "-o", str(target),
                                  f"http://{WEB_NAME}/bytes/{BYTES}")
        size = lambda: target.stat().st_size if target.exists() else 0
        wait_for("the download", lambda: size() > 1_000_000, 30)
        exit_ = world.exits[0]
        carried = lambda: exit_.status()["workers"]["datagrams"]
        check(len(carried()) == 2, carried())
        hops = 0
        while min(carried()) < SHARE and hops < MOST_HOPS and size() < BYTES * 0.8:
            before, old = size(), world.active()
            world.client.command("hop")
            hops += 1
            wait_for("the hop", lambda: (now := world.active()) and now["id"] != old["id"], 10)
            wait_for("going on", lambda: size() > before + 2_000_000, 20)
        code = process.wait(timeout=120)
        check(code == 0 and size() == BYTES, f"curl ended with {code} after {size()} bytes: {process.output()[-300:]}")
        leases = world.client.status()["leases"]
        check(leases["lost"] == 0 and leases["moved"] >= hops, leases)
        said = exit_.status()
        check(said["relay"]["leases"] <= 1, said["relay"])
        return (said["workers"], hops) if min(said["workers"]["datagrams"]) >= SHARE else None


def a_download_goes_on_while_its_circuits_come_to_either_worker_of_the_exit():
    for _ in range(4):
        if result := download_through_hops():
            workers, hops = result
            return f"{hops} hops, datagrams of the exit's workers {workers['datagrams']}, {workers['lost_between']} lost between them"
    check(False, "in four worlds one worker of the exit had nothing to do")


def many_circuits_spread_over_the_workers():
    with running_world(relays=7, exits=2, workers=2) as world:
        used = lambda: [relay.status()["workers"]["datagrams"] for relay in world.relays]
        both = lambda: all(any(counts[worker] > 100 for counts in used()) for worker in (0, 1))
        for i in range(20):
            world.client.command("run", "--group", f"g{i}", "--", "curl", "-sS", "-o", "/dev/null", "--max-time", "20",
                                 f"http://{WEB_NAME}/bytes/2000000", timeout=60)
            if i >= 3 and both():
                break
        check(both(), f"all work went to one worker: {used()}")
        refused = {name: count for relay in world.relays for name, count in relay.status()["drops"].items()}
        check("replayed_trailer" not in refused and "early_replayed" not in refused, refused)
        return f"datagrams by worker: {used()}"


def as_many_workers_as_was_said():
    with running_world(relays=3, exits=1) as world:
        count = world.relays[0].status()["workers"]["count"]
        check(count == int(os.environ.get("MACROVPN_WORKERS") or 1), f"{count} workers")
        check(world.client.status()["workers"]["count"] == 1, "a client has several workers")
        relay = world.relays[1]
        relay.process.stop()
        for value in ("0", "17", "many"):
            said = relay.command("relay", "--listen", f"{relay.host.ip4}:51820", "--workers", value, check=False)
            check(said.returncode != 0 and "--workers" in said.stderr, f"--workers {value}: {said.stderr}")
        said = relay.command("config", "set", "relay.workers", "17", check=False)
        check(said.returncode != 0 and "from 1 to 16" in said.stderr, said.stderr)
        relay.command("config", "set", "relay.workers", "3")
        relay.process = relay.start("relay", "--listen", f"{relay.host.ip4}:51820")  # without --workers
        wait_for("three workers", lambda: '"count": 3' in relay.command("status", "--json", check=False).stdout, 10)
        world.run("curl", "-sS", "-o", "/dev/null", "--max-time", "20", f"http://{WEB_NAME}/")


netlab.enter()
raise SystemExit(netlab.run_tests([
    a_download_goes_on_while_its_circuits_come_to_either_worker_of_the_exit,
    many_circuits_spread_over_the_workers,
    as_many_workers_as_was_said,
]))
