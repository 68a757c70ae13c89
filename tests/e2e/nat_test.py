#!/usr/bin/python3
"""NAT, with programs of others beside ours: coturn's client against our relays, our questions against coturn's server."""

import json
import os
import re
import shutil
import socket
import sys
import time

import e2e  # noqa: F401  (the way to the laboratory)
import netlab
from macronet import Node, World
from netlab import check

PORT = 51820


def need(name, package):
    found = shutil.which(name, path="/usr/bin:/usr/sbin:" + os.environ.get("PATH", ""))
    if not found:
        raise netlab.Skip(f"needs {name} of Debian's {package}")
    return found


def world(lab, kind="eim", plain_stun=False, relays=3, **link):
    drawn = World(lab, relays=relays, exits=1, client_v6=False, exit_v6=False, **link)
    drawn.make_network()
    for relay in drawn.relays:
        if plain_stun:
            relay.command("config", "set", "relay.plain_stun", "true")
    drawn.home.nft(netlab.nat.rules(kind, drawn.client.host.ip4))
    drawn.start_relays()
    return drawn


def coturns_client_learns_its_address_from_a_relay_that_wants_strangers():
    client_program = need("turnutils_natdiscovery", "coturn")
    with netlab.Lab() as lab, world(lab, plain_stun=True) as w:
        relay = w.relays[0]
        said = w.client.host.run([client_program, "-m", "-P", "-p", PORT, relay.host.ip4], check=False, timeout=20)
        check("203.0.113.10" in said.stdout, f"coturn's client did not learn its address: {said.stdout}{said.stderr}")
        before = relay.status()["relay"]["stun"]
        check(before["answered"] >= 1, f"{before}")
        # A stock request has 20 bytes; the answer would have 32.
        with lab.capture(w.client.host) as capture:
            check(ask_plain(w, relay, 20) is None, "an answer of 32 bytes for a request of 20")
        check(not [p for p in capture.packets(w.client.host) if p.src == relay.host.ip4], "a short request was answered")


def ask_plain(w, relay, size, timeout=0.5):
    """A plain Binding request of so many bytes; the answer, or None."""
    request = bytes.fromhex("0001") + (size - 20).to_bytes(2, "big") + bytes.fromhex("2112a442") + os.urandom(12)
    if size > 20:
        request += bytes.fromhex("0026") + (size - 24).to_bytes(2, "big") + bytes(size - 24)
    with w.client.host.inside():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(timeout)
        sock.sendto(request, (relay.host.ip4, PORT))
        try:
            return sock.recv(2000)
        except socket.timeout:
            return None


def a_scanner_hears_nothing_from_a_relay_as_it_comes():
    with netlab.Lab() as lab, world(lab) as w:
        relay = w.relays[0]
        for size in (20, 48, 200):
            check(ask_plain(w, relay, size) is None, f"{size} bytes of plain STUN were answered")
        check(relay.status()["drops"].get("no_mask") == 3, "the requests did not arrive")


def doctor(node, *words):
    """Findings by name."""
    return doctors([node], *words)[0]


def doctors(nodes, *words):
    """Of each, all at once: a doctor mostly waits."""
    running = [node.start("doctor", "--json", *words) for node in nodes]
    found = []
    for process in running:
        code = process.wait(60)
        check(code in (0, 1), f"doctor ended with {code}: {process.output()}")
        found.append({finding["check"]: finding for finding in json.loads(process.output()[process.output().index("["):])})
    return found


def clients_behind(w, kinds):
    """A client in a home of its own for each kind of NAT."""
    nodes = []
    for i, kind in enumerate(kinds):
        home = w.lab.nat(f"home{i}", wan=[f"203.0.113.{26 + 16 * i}"], kind=kind)
        node = Node(w.lab.host(f"client{i}", behind=f"home{i}"))
        home.nft(netlab.nat.rules(kind, node.host.ip4))
        node.command("network", "add", f"{w.relays[0].state}/network.toml")
        node.command("config", "set", "network.descriptors", w.descriptors)
        nodes.append(node)
    return nodes


# Kinds of netlab's homes, and what RFC 5780 calls them.
KINDS = {"eim": ("cone", "endpoint independent", "address and port dependent"),
         "fullcone": ("mapped", "endpoint independent", "endpoint independent"),
         "symmetric": ("hard", "endpoint dependent", "address and port dependent"),
         "symmetric-full": ("hard", "endpoint dependent", "address and port dependent")}


def right(found, kind):
    name, mapping, filtering = KINDS[kind]
    return found["text"].startswith(name + ":") and f"mapping: {mapping};" in found["text"] and f"filtering: {filtering})" in found["text"]


def doctor_tells_every_kind_of_nat_by_its_relays():
    with netlab.Lab() as lab, world(lab) as w:
        began = time.monotonic()
        # A relay of this network stands in the open.
        *behind, found = doctors([*clients_behind(w, KINDS), w.relays[0]])
        for kind, said in zip(KINDS, behind):
            check(right(said["NAT"], kind), f"{kind}: {said['NAT']}")
            check(said["UDP"]["verdict"] == "ok" and said["MTU"]["verdict"] == "ok" and said["transport"]["verdict"] == "ok", f"{said}")
            print(f"{kind}: {said['NAT']['text']}")
        print(f"all after {time.monotonic() - began:.1f} s")
        check(found["NAT"]["text"].startswith("open:") and found["NAT"]["verdict"] == "ok", f"{found['NAT']}")


def doctor_says_that_udp_is_blocked_and_guesses_nothing():
    with netlab.Lab() as lab, world(lab, kind="udp-blocked", https=True) as w:
        said = w.client.command("doctor", "--json", check=False, timeout=40)
        check(said.returncode == 1, "problems, and no word of them in the exit status")
        found = {finding["check"]: finding for finding in json.loads(said.stdout)}
        check(found["UDP"]["verdict"] == "PROBLEM" and found["UDP"]["advice"], f"{found['UDP']}")
        check(found["NAT"]["verdict"] == "untested" and found["MTU"]["verdict"] == "untested", f"{found}")
        check(found["transport"]["verdict"] == "ok" and found["transport"]["text"].startswith("HTTPS"), f"{found['transport']}")
        w.home.nft("insert rule inet home forward tcp dport 443 drop")
        found = doctor(w.client)
        check(found["transport"]["verdict"] == "PROBLEM" and found["transport"]["advice"], f"{found['transport']}")
        check(found["DNS"]["verdict"] == "ok", f"port 53 is open: {found['DNS']}")


def coturn(lab):
    """A STUN server with two addresses and two ports, as RFC 5780 wants it."""
    host = lab.host("stun", ["192.0.2.11", "192.0.2.12"])
    words = [need("turnserver", "coturn"), "-n", "--stun-only", "--no-tls", "--no-dtls", "--no-cli", "--no-tcp", "--log-file", "stdout",
             "--pidfile", str(host.home / "pid"), "--userdb", str(host.home / "db"), "-p", "3478"]
    for address in host.addresses:
        words += ["-L", address]
    host.start(words)
    host.wait_for_port(3478, "udp")
    return host


def our_questions_agree_with_coturn_on_every_kind_of_nat():
    judge = need("turnutils_natdiscovery", "coturn")
    with netlab.Lab() as lab, world(lab, relays=1) as w:
        server = coturn(lab)
        kinds = ("eim", "fullcone", "symmetric")
        clients = clients_behind(w, kinds)
        judges = [node.host.start([judge, "-m", "-f", "-p", "3478", server.ip4], log=node.host.home / "judge.log") for node in clients]
        ours = doctors(clients, *(word for address in server.addresses for word in ("--stun", f"{address}:3478")))
        for kind, finding, process in zip(kinds, ours, judges):
            process.wait(60)
            found, theirs = finding["NAT"], process.output().lower()
            _, mapping, filtering = KINDS[kind]
            check(right(found, kind), f"{kind}: {found}; coturn says {theirs}")
            said = re.findall(r"nat with (.*?)(mapping|filtering)", theirs)
            want = [mapping.replace("endpoint dependent", "address"), filtering]
            check(len(said) == 2 and all(w.split()[0] in s[0] for w, s in zip(want, said)), f"{kind}: coturn says {said}: {theirs}")
            print(f"{kind}: coturn's client says the same: {' '.join(''.join(s) for s in said)}")


netlab.enter()
sys.exit(netlab.run_tests([
    coturns_client_learns_its_address_from_a_relay_that_wants_strangers,
    a_scanner_hears_nothing_from_a_relay_as_it_comes,
    doctor_tells_every_kind_of_nat_by_its_relays,
    doctor_says_that_udp_is_blocked_and_guesses_nothing,
    our_questions_agree_with_coturn_on_every_kind_of_nat,
]))
