#!/usr/bin/python3
"""Circuits over links with delay: how long they take, what their packets look like, who sees what."""

import json
import pathlib
import struct
import time

from e2e import netlab, running_world
from macronet import Parties, World, write_countries
from macronet.world import WEB_ADDRESSES, WEB_NAME
from netlab import check

LINK_MS = 20
BUILDS = 12


def build_times(*client_flags, until=0):
    """build_ms of first circuits (new guard session, everything new), each by a daemon started afresh.

    At least four, at most BUILDS: until one took no longer than `until`.
    """
    times = []
    with running_world(*client_flags, delay_ms=LINK_MS, exits=2) as world:
        for _ in range(BUILDS):
            status = world.client.wait("a circuit", lambda s: any(c["state"] == "ready" for c in s["circuits"]))
            circuit = next(c for c in status["circuits"] if c["state"] == "ready")
            check(len(circuit["path"]) == 3, circuit)
            times.append(circuit["build_ms"])
            if len(times) >= 4 and min(times) <= until:
                break
            world.client.process.stop()
            world.start_client(*client_flags)
    return times


def three_hops_are_ready_in_one_round_trip_of_120_ms():
    times = build_times(until=130)
    # A busy machine adds to some; what the protocol needs shows in the best.
    check(min(times) <= 130, f"first circuits took {times} ms")
    check(min(times) >= 120, f"faster than light: {times} ms")
    return f"best {min(times):.1f} ms, median {sorted(times)[len(times) // 2]:.1f} ms"


def hop_by_hop_needs_240_ms():
    times = build_times("--hop-by-hop", until=270)
    check(240 <= min(times) <= 270, f"first circuits took {times} ms")
    return f"best {min(times):.1f} ms, median {sorted(times)[len(times) // 2]:.1f} ms"


def no_relay_sees_both_ends_and_nothing_leaves_outside_the_tunnel():
    with running_world() as world, Parties(world) as parties:
        for target in (f"http://{WEB_NAME}/", f"http://{WEB_ADDRESSES[0]}/", f"http://[{WEB_ADDRESSES[1]}]/"):
            world.run("curl", "-sS", "-o", "/dev/null", "--max-time", "10", target)
        time.sleep(0.3)
        check(parties.capture.drops() == 0, "the captures missed packets")
        check(parties.relays_that_saw_both() == [], f"{parties.relays_that_saw_both()} saw both ends")
        leaked = parties.left_the_client_outside_the_tunnel()
        check(leaked == [], f"left the client: {leaked[:5]}")
        saw = [parties.saw(relay.host) for relay in world.relays]
        check(any(s["user"] for s in saw) and any(s["site"] for s in saw), f"the captures saw nothing: {saw}")


def transport_lengths_are_multiples_of_16_on_every_link():
    with running_world(offloads=False) as world:  # every datagram whole, as on a wire
        download = ["curl", "-sS", "-o", "/dev/null", "--max-time", "30"]
        process = world.start_run("sh", "-c", f"sleep 4; {' '.join(download)} http://{WEB_NAME}/bytes/300000; sleep 2;"
                                  f"{' '.join(download)} -d @/etc/services http://{WEB_NAME}/sink; sleep 4")
        time.sleep(3)  # handshakes are over; rekeys come after 90 s
        before = {c["id"] for c in world.client.status()["circuits"]}
        with Parties(world) as parties:
            time.sleep(4)
        after = {c["id"] for c in world.client.status()["circuits"]}
        check(before == after, "circuits were built meanwhile: their handshakes have lengths of their own")
        check(parties.capture.drops() == 0, "the captures missed packets")
        seen = 0
        for host in [world.home, *(relay.host for relay in world.relays)]:
            for p in parties.capture.packets(host):
                if p.proto != "udp" or 53 in (p.sport, p.dport):
                    continue
                size = p.length - 14 - (28 if ":" not in p.src else 48)
                check(size % 16 == 0, f"{size} bytes on the link of {host.name}")
                seen += 1
        check(seen > 500, f"only {seen} datagrams were seen")
        process.stop()
        return f"{seen} datagrams"


def peers_tell_what_worked_and_how_long_it_took():
    with running_world(delay_ms=LINK_MS, exits=2) as world:
        world.run("curl", "-sS", "-o", "/dev/null", "--max-time", "10", f"http://{WEB_NAME}/")
        used = {hop["id"] for circuit in world.client.status()["circuits"] for hop in circuit["path"]}

        def peers(*flags):
            return json.loads(world.client.command("peers", "--json", *flags).stdout)["peers"]

        running = peers()
        check({p["id"] for p in running} == {relay.relay_id for relay in world.relays}, "not all relays are listed")
        worked = {p["id"]: p for p in running if p.get("seen", {}).get("worked", 0) > 0}
        check(used <= set(worked), f"{used} carried circuits, {set(worked)} are said to have")
        fastest = min(p["seen"]["latency_ms"] for p in worked.values())
        check(2 * LINK_MS <= fastest <= 3 * LINK_MS, f"an entry is {LINK_MS} ms away, and answers after {fastest} ms")
        check({p["id"] for p in peers("--max-latency", str(3 * LINK_MS))} < set(worked), "latency does not filter")
        check({p["id"] for p in peers("--exit")} == {relay.relay_id for relay in world.exits}, "roles do not filter")
        world.client.command("daemon", "--stop")
        stored = {p["id"]: p for p in peers()}
        check(set(stored) == {p["id"] for p in running}, "without a daemon others are listed")
        # More may have been counted before the end.
        check(all(stored[i]["seen"]["worked"] >= p["seen"]["worked"] - 0.1 for i, p in worked.items()), f"{worked} was stored as {stored}")
        # What others said of who answers is on the disk, too: one comparison, in which three of three call a relay dead.
        dead = min(stored)
        saved = pathlib.Path(world.client.state) / "liveness"
        saved.write_bytes(struct.pack("<BBIH", 1, 1, int(time.time() / 3600), 1) + bytes.fromhex(dead)[:8] + bytes([3, 3]))
        saved.chmod(0o600)
        check({p["id"]: p.get("answers") for p in peers()} == {i: False if i == dead else None for i in stored}, "what was stored of the dead is not said")
        check({p["id"] for p in peers("--alive")} == set(stored) - {dead}, "--alive keeps the dead")
        return f"entry {fastest:.0f} ms"


def an_exit_that_the_country_database_puts_elsewhere_is_not_taken():
    with netlab.Lab() as lab, World(lab, relays=4, exits=2) as world:
        world.make_network()
        for relay in world.exits:
            relay.command("config", "set", "relay.region", "NO")
        world.start_relays()
        client, (liar, honest) = world.client, world.exits
        client.command("config", "set", "client.exit_region", "NO")
        client.command("config", "set", "client.exit_region_claims", "false")

        def doctor():
            said = client.command("doctor", "--offline", "--json", check=False).stdout
            return next(finding for finding in json.loads(said) if finding["check"] == "regions")

        check(doctor()["verdict"] == "note" and "country.mmdb" in doctor()["text"], doctor())
        write_countries(pathlib.Path(client.state) / "country.mmdb", {f"{liar.host.ip4}/32": "SE", f"{honest.host.ip4}/32": "NO"})
        check(doctor()["verdict"] in ("ok", "note") and "database" in doctor()["text"], doctor())
        ends = set()
        for _ in range(3):
            world.start_client()
            ends |= {c["path"][-1]["id"] for c in client.status()["circuits"]}
            peers = {p["id"]: p["region"] for p in json.loads(client.command("peers", "--exit", "--json").stdout)["peers"]}
            client.process.stop()
        check(ends == {honest.relay_id}, "a circuit ends where the database says that it is Sweden")
        check(peers[liar.relay_id] == {"code": "NO", "is": "claimed", "database": "SE"}, peers)
        check(peers[honest.relay_id] == {"code": "NO", "is": "claimed", "database": "NO"}, peers)


def one_two_and_five_hops_carry_traffic():
    for hops in (1, 2, 5):
        with running_world("--hops", str(hops)) as world:
            _, page, path = world.run_and_path("curl", "-sS", "--max-time", "10", f"http://{WEB_NAME}/")
            exits = {address for relay in world.exits for address in relay.host.addresses}
            check(any(address in page for address in exits), f"{hops} hops: {page}")
            check(len(path) == hops, "another number of hops")


netlab.enter()
raise SystemExit(netlab.run_tests([
    three_hops_are_ready_in_one_round_trip_of_120_ms,
    hop_by_hop_needs_240_ms,
    no_relay_sees_both_ends_and_nothing_leaves_outside_the_tunnel,
    transport_lengths_are_multiples_of_16_on_every_link,
    peers_tell_what_worked_and_how_long_it_took,
    an_exit_that_the_country_database_puts_elsewhere_is_not_taken,
    one_two_and_five_hops_carry_traffic,
]))
