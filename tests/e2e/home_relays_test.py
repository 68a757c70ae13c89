#!/usr/bin/python3
"""Relays at home: every pair of NATs is connected, at once through an introducer, and directly unless the NATs of both are hard.

The rows are the relay that extends, the columns the exit it extends to.  Words on the command line choose tests, as everywhere; --whole takes all
16 pairs instead of those that differ.
"""

import statistics
import sys
import time

import e2e  # noqa: F401  (the way to the laboratory)
import netlab
from macronet import Node, World
from netlab import check

KINDS = {"open": None, "mapped": "fullcone", "cone": "eim", "hard": "symmetric"}
# What happens to a pair: nobody has to be introduced, they meet through an introducer, one guesses the other's port, or they stay spliced.
def expected(near, far):
    if far in ("open", "mapped"):
        return "direct"
    if {near, far} == {"cone", "hard"}:
        return "guessed"
    return "spliced" if (near, far) == ("hard", "hard") else "met"


class Homes:
    """A world with an entry, two introducers, and for each kind of NAT a middle and an exit behind it."""

    def __init__(self, lab, kinds=KINDS):
        self.world = World(lab, relays=3, exits=0, client_v6=False, exit_v6=False)
        self.lab, self.nodes = lab, {}
        for i, (name, kind) in enumerate((f"{role}-{kind}", kind) for role in ("middle", "exit") for kind in kinds):
            self.nodes[name] = self._draw(name[0] + name.partition("-")[2], KINDS[kind], f"203.0.113.{26 + 16 * i}")

    def _draw(self, name, nat, address):
        if nat is None:
            host = self.lab.host(name, [address])
        else:
            home = self.lab.nat(f"h{name}", wan=[address], kind=nat)
            host = self.lab.host(name, behind=f"h{name}")
            home.nft(netlab.nat.rules(nat, host.ip4))
        host.resolve_with(self.world.dns.address)
        return Node(host)

    def start(self):
        world = self.world
        world.make_network()
        network = world.relays[0].state + "/network.toml"
        for node in self.nodes.values():
            node.command("network", "add", network)
            node.command("config", "set", "network.descriptors", world.descriptors)
        world.start_relays()
        for name, node in self.nodes.items():
            words = ["relay", "--at-home"] + (["--exit", "--accept-exit-risk", "--exit-kind", "rootless"] if name.startswith("exit") else [])
            node.process = node.start(*words)
        for name, node in self.nodes.items():
            world._when_answering(node)
            kind = name.partition("-")[2]
            status = node.wait("finding its NAT out", lambda s: s["relay"]["home"]["published"], timeout=40)
            node.relay_id = status["relay"]["id"]
            check(status["relay"]["home"]["nat"] == kind, f"{name} takes itself for {status['relay']['home']}")
        for name, node in self.nodes.items():
            node.wait("knowing all", lambda s: s["relays_known"] >= 3 + len(self.nodes), timeout=20)
            if name.partition("-")[2] in ("cone", "hard"):
                node.wait("its introducers", lambda s: s["relay"]["home"]["registered"] >= 2, timeout=20)
        return self

    def connect(self, near, far):
        """A client's circuit over that pair; how it came about, and in how many ms the circuit was there and the pair met."""
        middle, exit = self.nodes[f"middle-{near}"], self.nodes[f"exit-{far}"]
        before = middle.status()["relay"]["introductions"]
        client = self.world.client
        path = ",".join(node.relay_id for node in (self.world.relays[0], middle, exit))
        self.world.start_client("--path", path)
        built = next(c["build_ms"] for c in client.status()["circuits"] if c["state"] == "ready")
        page = self.world.run("curl", "-sS", "--max-time", "10", "http://www.shop.test/").stdout
        check(page, f"no page over {near} and {far}")
        said, meeting = "direct", None
        deadline = time.monotonic() + 16
        while True:
            now = middle.status()["relay"]["introductions"]
            grown = {word for word in now if word in before and now[word] > before[word]}
            if "met" in grown:
                said, meeting = "guessed" if "guessed" in grown else "met", now["last_meeting_ms"]
            elif "guess_failed" in grown or "not_punched" in grown and "guesses" not in grown:
                said = "spliced"
            elif "asked" in grown and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            break
        client.process.stop()
        return said, built, meeting


def every_pair_of_nats_is_connected():
    whole = "--whole" in sys.argv
    pairs = [(near, far) for near in KINDS for far in KINDS
             if whole or (near, far) in {("open", "cone"), ("open", "hard"), ("mapped", "hard"), ("cone", "cone"), ("cone", "mapped"), ("cone", "hard"), ("hard", "cone"), ("hard", "hard")}]
    with netlab.Lab() as lab:
        homes = Homes(lab)
        with homes.world:
            homes.start()
            built, met = [], {"met": [], "guessed": []}
            said_of = []
            for near, far in pairs:
                said, build_ms, meeting_ms = homes.connect(near, far)
                print(f"{near:>6} to {far:<6}: {said}, circuit after {build_ms:.0f} ms" + (f", met after {meeting_ms:.0f} ms" if meeting_ms else ""), flush=True)
                check(said == expected(near, far), f"{near} to {far}: {said}, and not {expected(near, far)}")
                said_of.append(said)
                built.append(build_ms)
                if meeting_ms:
                    met[said].append(meeting_ms)
            counts = ", ".join(f"{said_of.count(word)} {word}" for word in ("direct", "met", "guessed", "spliced"))
            return (f"{counts}; circuit after {statistics.median(built):.0f} ms (median), met after {statistics.median(met['met']):.0f} ms, "
                    f"guessed after {statistics.median(met['guessed']):.0f} ms")


netlab.enter()
sys.exit(netlab.run_tests([every_pair_of_nats_is_connected], [word for word in sys.argv[1:] if word != "--whole"]))
