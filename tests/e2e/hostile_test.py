#!/usr/bin/python3
"""Hostile wires: marks on outer headers, and datagrams that are none of ours."""

from e2e import netlab, running_world
from macronet.world import HOME_ADDRESS, WEB_NAME
from netlab import check

# Expedited forwarding with "congestion experienced": 0xbb.
_MARK = """
table inet marks {{
  chain out {{
    type route hook output priority mangle;
    {match} ip dscp set ef
    {match} ip ecn set ce
  }}
}}
"""


# 100 datagrams of each size, in turn: empty, too short, random, WireGuard's first bytes and no more behind them.
_NOISE = """
import os, socket, sys
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(100):
    for data in (b"", os.urandom(20), os.urandom(400), bytes([1, 0, 0, 0]) + os.urandom(144), bytes([4, 0, 0, 0]) + os.urandom(60)):
        out.sendto(data, (sys.argv[1], 51820))
"""


def marks_at_one_link_are_never_seen_at_the_next():
    # ECN and DSCP would be a tag from end to end.
    with running_world(offloads=False) as world:  # every datagram whole, as on a wire
        world.client.host.nft(_MARK.format(match="udp dport 51820"))
        world.web_host.nft(_MARK.format(match="tcp sport 80"))
        with world.lab.capture(*(relay.host for relay in world.relays)) as capture:
            world.run("curl", "-4", "-sS", "-o", "/dev/null", "--max-time", "20", f"http://{WEB_NAME}/bytes/3000000")
        check(capture.drops() == 0, "the captures missed packets")
        sent, from_client, from_site = [], [], []
        for relay in world.relays:
            packets = [p for p in capture.packets(relay.host) if p.ttl and "." in p.src]
            sent += [p for p in packets if p.src == relay.host.ip4 and p.proto == "udp"]
            from_client += [p for p in packets if p.src == HOME_ADDRESS]
            from_site += [p for p in packets if p.proto == "tcp" and p.sport == 80]
        check(len(from_client) > 50 and all(p.tos == 0xbb for p in from_client), "the client's marks did not reach its entry")
        # Few and large: segments are captured before they are cut.
        check(len(from_site) > 2 and all(p.tos == 0xbb for p in from_site), "the site's marks did not reach the exit")
        tags = {p.tos for p in sent}
        check(len(sent) > 600 and tags == {0}, f"relays passed marks on: {tags}")
        return f"{len(from_client)} marked packets came to the entry; relays sent {len(sent)}, none marked"


def noise_is_counted_by_reason_and_answered_by_nothing():
    with running_world() as world:
        relay = world.relays[0]
        before = relay.status().get("drops", {})
        with world.lab.capture(world.dns_host) as capture:
            world.dns_host.run(["/usr/bin/python3", "-c", _NOISE, relay.host.ip4])
            reasons = {"no_mask": 300, "bad_mac1": 100, "no_leg": 100}
            status = relay.wait("counting", lambda s: all(rose(s, before, name) >= count for name, count in reasons.items()))
        answered = [p for p in capture.packets(world.dns_host) if p.src == relay.host.ip4 and p.proto == "udp"]
        check(capture.drops() == 0 and not answered, f"noise was answered {len(answered)} times")
        check("refused" in relay.command("status").stdout, "status does not say what was refused")
        return ", ".join(f"{rose(status, before, name)} {name}" for name in reasons)


def rose(status, before, name):
    return status.get("drops", {}).get(name, 0) - before.get(name, 0)


netlab.enter()
raise SystemExit(netlab.run_tests([
    marks_at_one_link_are_never_seen_at_the_next,
    noise_is_counted_by_reason_and_answered_by_nothing,
]))
