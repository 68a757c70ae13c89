#!/usr/bin/python3
"""Relays that know one seed find each other; who has an invite link finds them all; what was found survives."""

import json
import os
import pathlib
import signal
import socket
import sqlite3
import time

import e2e  # noqa: F401  (the way to the laboratory)
import netlab
from macronet import World
from macronet.world import HOME_ADDRESS, WEB_ADDRESSES, WEB_NAME
from netlab import check

SEEDS, LATE = 1, 1
N = 5


def known(node, count, timeout=20):
    return node.wait(f"knowing {count} relays", lambda s: s["relays_known"] >= count, timeout)


def kill(node):
    node.process.signal(signal.SIGKILL)
    node.process.wait()


def daemon_of(node, *flags):
    node.process = node.start("daemon", *flags)
    deadline = time.monotonic() + 10
    while node.command("status", "--json", check=False).returncode != 0:
        check(node.process.running and time.monotonic() < deadline, f"{node.name} does not run: {node.process.output()}")
        time.sleep(0.05)


def page(world):
    said = world.run("curl", "-sS", "--max-time", "15", f"http://{WEB_NAME}/")
    check(said.stdout.strip(), f"no page: {said.stderr}")
    return said.stderr


def database(node):
    return pathlib.Path(node.state) / "directory.db"


def relays_that_know_a_seed_find_each_other(world):
    world._make_live_network(seeds=SEEDS)
    early = world.relays[:-LATE]
    for relay in early:
        world.start_relay(relay)
    started = time.monotonic()
    for relay in early:
        world._when_answering(relay)
        known(relay, len(early))
    return f"{len(early)} relays in {time.monotonic() - started:.1f} s"


def who_has_a_link_alone_opens_a_page(world):
    link = world.join_by_invite(inviter=world.relays[1])
    check(link.startswith("macrovpn:") and len(link) <= 900, link)
    cut = world.client.command("network", "join", link[:-30], check=False)
    check(cut.returncode == 1 and "cut off" in cut.stderr, cut.stderr)
    started = time.monotonic()
    daemon_of(world.client)
    known(world.client, N - LATE)
    found = time.monotonic() - started
    page(world)
    said = world.client.process.output()
    check("Finding relays: " in said and f"found {N - LATE} relays" in said, said)
    return f"{N - LATE} relays after {found:.1f} s, with a link of {len(link)} characters"


def a_relay_that_comes_later_becomes_known(world):
    late = world.relays[-1]
    world.start_relay(late)
    world._when_answering(late)
    known(late, N)
    started = time.monotonic()
    known(world.client, N, 30)
    return f"the client knew it {time.monotonic() - started:.1f} s after the relays did"


def what_was_found_survives_sigkill_and_the_loss_of_all_seeds(world):
    deadline = time.monotonic() + 10
    while not world.client.status()["directory"]["saved"] and time.monotonic() < deadline:
        time.sleep(0.1)
    kill(world.client)
    with sqlite3.connect(database(world.client)) as db:
        check(db.execute("SELECT count(*) FROM relay").fetchone()[0] == N, "not all relays are on disk")
    check(database(world.client).stat().st_mode & 0o077 == 0, "others can read it")
    data = b"".join(file.read_bytes() for file in pathlib.Path(world.client.state).glob("directory.db*"))
    for private in (WEB_NAME.encode(), *(secret for a in (*WEB_ADDRESSES[:1], HOME_ADDRESS) for secret in (a.encode(), socket.inet_aton(a)))):
        check(private not in data, "the stored directory holds what the user did, or where she is")
    (pathlib.Path(world.client.state) / "invited").unlink()  # nobody to ask but those it knew
    daemon_of(world.client)
    check(world.client.status()["relays_known"] == N, "it did not know them at once")
    page(world)
    return "all were known at once"


def a_damaged_directory_is_set_aside_and_made_anew(world):
    kill(world.client)
    for part in ("-wal", "-shm"):
        pathlib.Path(f"{database(world.client)}{part}").unlink(missing_ok=True)
    data = bytearray(database(world.client).read_bytes())
    data[100:3000] = os.urandom(2900)
    database(world.client).write_bytes(data)
    world.join_by_invite(inviter=world.relays[1])
    daemon_of(world.client)
    known(world.client, N)
    said = world.client.process.output()
    check("is damaged" in said and "directory.db.damaged-1" in said, said)
    check(pathlib.Path(f"{database(world.client)}.damaged-1").exists(), "it was not kept")
    page(world)


def seeds_may_change_and_the_newer_file_counts(world):
    maker, client = world.relays[0], world.client
    file = pathlib.Path(maker.state) / "network.toml"
    descriptor, = (pathlib.Path(world.relays[2].state) / "descriptors").glob("*.descriptor")
    old = file.read_text()
    maker.command("network", "sign", "--add-seed", descriptor)
    check(client.command("network", "join", file).stdout.startswith("Joined"), "the newer one was not taken")
    check(len(json.loads(client.command("network", "show", "--json").stdout)["seeds"]) == SEEDS + 1, "seeds")
    older = client.host.home / "older.toml"
    older.write_text(old)
    check("newer" in client.command("network", "join", older).stdout, "an older file took its place")
    check(len(json.loads(client.command("network", "show", "--json").stdout)["seeds"]) == SEEDS + 1, "seeds")


netlab.enter()
with netlab.Lab() as the_lab, World(the_lab, relays=N, exits=2, exit_v6=False, client_v6=False, live=True) as the_world:
    tests = [relays_that_know_a_seed_find_each_other, who_has_a_link_alone_opens_a_page, a_relay_that_comes_later_becomes_known,
             what_was_found_survives_sigkill_and_the_loss_of_all_seeds, a_damaged_directory_is_set_aside_and_made_anew,
             seeds_may_change_and_the_newer_file_counts]

    def of_the_world(test):
        def run():
            return test(the_world)
        run.__name__ = test.__name__
        return run

    code = netlab.run_tests([of_the_world(test) for test in tests])
raise SystemExit(code)
