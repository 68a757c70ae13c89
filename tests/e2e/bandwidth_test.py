#!/usr/bin/python3
"""Relays measure each other: who claims ten times what its line carries counts as what it carries, in everybody's eyes."""

import json
import pathlib
import time

import e2e  # noqa: F401  (the way to the laboratory)
import netlab
from macronet import World
from netlab import check

N = 4
# Seconds.  Twelve measurements of ten seconds, two of them at a time at the most, have to find their place in four fifths of it: in 100 s
# a third of them did not.
WEEK = 150
CLAIM, LINE = 4, 2  # Mbit/s: of the honest ones; of the liar's line
HONEST, CARRIES = CLAIM * 125_000, LINE * 125_000  # bytes a second


def bandwidths(node, *words):
    return {peer["id"]: peer["bandwidth"] for peer in json.loads(node.command("peers", "--json", *words).stdout)["peers"]}


def measured_by(node, at_most):
    """Waits until every relay is measured, as this one knows it."""
    deadline = time.monotonic() + at_most
    while True:
        found = bandwidths(node)
        if len(found) == N and all(b["is"] == "verified" for b in found.values()):
            return found
        check(time.monotonic() < deadline, f"after {at_most} s: {found}, {len(found)} relays")
        time.sleep(2)


def claims_are_what_counts_at_first(world):
    found = bandwidths(world.relays[0])
    check(all(b["is"] == "claimed" for b in found.values()), found)
    check(found[world.liar.relay_id]["bytes_per_second"] > 8 * HONEST, found)
    check(not bandwidths(world.relays[0], "--verified", "--min-bandwidth", "1 Mbit/s"), "nothing is verified yet")


def everybody_is_measured_the_liar_too(world):
    started = time.monotonic()
    found = measured_by(world.relays[0], 4 * WEEK)
    took = time.monotonic() - started
    for relay in world.relays[:-1]:
        check(found[relay.relay_id]["bytes_per_second"] >= 0.8 * HONEST, f"{relay.name}: {found[relay.relay_id]}")
    lie = found[world.liar.relay_id]["bytes_per_second"]
    check(0.5 * CARRIES < lie <= 1.34 * CARRIES, f"the liar counts as {lie}, and carries {CARRIES}")
    return f"after {took:.0f} s; the liar's line carries {CARRIES}, it claims {10 * HONEST} and counts as {lie} bytes a second"


def others_agree_and_queries_go_by_it(world):
    deadline = time.monotonic() + 30
    while True:
        said = [bandwidths(relay, "--verified", "--min-bandwidth", "3 Mbit/s") for relay in world.relays[1:3]]
        if all(len(s) == N - 1 and world.liar.relay_id not in s for s in said):
            break
        check(time.monotonic() < deadline, said)
        time.sleep(2)
    line = next(line for line in world.relays[1].command("peers").stdout.splitlines() if line.startswith(world.liar.relay_id[:8]))
    check("Mbit/s verified" in line, line)


def what_was_measured_outlives_the_process(world):
    relay = world.relays[1]
    file = pathlib.Path(relay.state) / "measured"
    before = file.read_bytes()
    check(len(before) >= 12 and file.stat().st_mode & 0o077 == 0, f"{len(before)} bytes")
    relay.process.stop()
    found = bandwidths(relay)
    check(sum(b["is"] == "verified" for b in found.values()) >= N - 1, f"read from disk: {found}")


netlab.enter()
with netlab.Lab() as the_lab, World(the_lab, relays=N, exits=0, exit_v6=False, client_v6=False, live=True, shaped=True) as the_world:
    the_world.liar = the_world.relays[-1]
    the_world.make_network()
    for number, one in enumerate(the_world.relays):
        one.command("config", "set", "relay.as_number", 64496 + number)
        one.command("config", "set", "relay.bandwidth", f"{CLAIM * 10 if one is the_world.liar else CLAIM} Mbit/s")
        one.command("config", "set", "network.measure_week", WEEK)
    the_world.liar.host.wire.set(rate_mbit=LINE)
    the_world.start_relays()

    def of_the_world(test):
        def run():
            return test(the_world)

        run.__name__ = test.__name__
        return run

    code = netlab.run_tests([of_the_world(test) for test in (claims_are_what_counts_at_first, everybody_is_measured_the_liar_too,
                                                              others_agree_and_queries_go_by_it, what_was_measured_outlives_the_process)])
raise SystemExit(code)
