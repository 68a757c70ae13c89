#!/usr/bin/python3
"""A relay that is flooded with handshakes keeps carrying those whom it serves.

The flood comes from 64 addresses of the attacker's and has what makes it costly for the relay: the relay's mask, an initiation's
size, a right mac1. Everything runs on this machine's cores, so the generator's CPU is said with each figure.
FLOOD_RATES="RATE ..." in the environment: other rates, in datagrams per second; 0: as many as go.
"""

import json
import os

from e2e import netlab
from macronet import World
from netlab import check
from netlab.tools import built

SOURCES = [f"203.0.113.{128 + i}" for i in range(64)]
HONEST_MBIT = 100
SECONDS = 5
CLOSED_PORT = 9
TRIES = 3  # of which all but the last may be this machine's fault


def flood(world, attacker, relay, kind, rate, seconds, port=51820):
    descriptor = world.descriptors / f"{relay.relay_id}.descriptor"
    return attacker.start([built("netlab-flood"), "--descriptor", str(descriptor), "--network", f"{relay.state}/network.toml",
                           "--to", f"{relay.host.ip4}:{port}", "--from", "203.0.113.128/26", "--rate", str(rate),
                           "--seconds", str(seconds), "--kind", kind])


def paced_load(world, *flags):
    """Share of a paced UDP load that arrives."""
    server = world.web_host.start(["iperf3", "-s", "-1", "--forceflush"])
    world.web_host.wait_for_port(5201)
    said = json.loads(world.run("iperf3", "-c", world.web_host.ip4, "-u", "-b", f"{HONEST_MBIT}M", "-l", "1200", "-t", str(SECONDS),
                                "-J", *flags, timeout=SECONDS + 30).stdout)
    server.wait(timeout=10)
    end = said["end"]["sum"]
    return 1 - end["lost_packets"] / max(1, end["packets"])


def measure(world, attacker, kind, rate, port=51820):
    target = world.run_and_path("true")[2][0]
    generator = flood(world, attacker, target, kind, rate, SECONDS + 2, port)
    kept = paced_load(world)
    generator.wait(timeout=20)
    spent = json.loads(generator.output())
    per_second = spent["sent"] / spent["seconds"]
    where = "" if port == 51820 else " at a closed port"
    return kept, (f"{kind} {per_second / 1000:.0f}k/s{where} (generator {100 * spent['cpu_s'] / spent['seconds']:.0f} % of a core): "
                  f"kept {100 * kept:.1f} %")


def a_flooded_relay_keeps_its_honest_load():
    rates = [int(word) for word in os.environ.get("FLOOD_RATES", "20000 100000").split()]
    with netlab.Lab() as lab:
        attacker = lab.host("attacker", SOURCES)
        with World(lab, relays=2, exits=1, client_v6=False) as world:
            world.up("--hops", "1")
            world.run("true")
            calm = paced_load(world)
            check(calm >= 0.98, f"only {100 * calm:.1f} % arrived without any flood: this machine is too busy")
            said = [f"calm: {100 * calm:.1f} %"]
            for kind in ("macked", "builds"):
                for rate in rates:
                    for _ in range(TRIES):
                        kept, words = measure(world, attacker, kind, rate)
                        said.append(words)
                        if kept >= 0.9:
                            break
                        # The same datagrams where the relay does not see them: what is lost beside those, this machine lost.
                        without, words = measure(world, attacker, kind, rate, CLOSED_PORT)
                        said.append(words)
                        check(without < 0.95, "; ".join(said))
                    check(kept >= 0.9, "; ".join(said))
            drops = world.relays[-1].status()["drops"]
            check(drops.get("cookie_required", 0) > 0 and drops.get("no_cookie_left", 0) > 0, drops)
            return "; ".join(said)


netlab.enter()
raise SystemExit(netlab.run_tests([a_flooded_relay_keeps_its_honest_load]))
