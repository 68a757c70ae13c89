"""What each party of a circuit saw, from captures of its link."""

from .world import HOME_ADDRESS, WEB_ADDRESSES


class Parties:
    """A capture over every host's link; afterwards, who saw what."""

    def __init__(self, world, *others):
        self._world = world
        self._hosts = [world.home, *(relay.host for relay in world.relays), world.web_host, world.dns_host, world.client.host, *others]
        self._capture = world.lab.capture(*self._hosts)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._capture.stop()

    @property
    def capture(self):
        return self._capture

    def saw(self, host):
        """{"user": whether the home's address was on its link, "site": whether the web server's was, "packets": how many}"""
        user = site = False
        count = 0
        for packet in self._capture.packets(host):
            ends = {packet.src, packet.dst}
            user |= HOME_ADDRESS in ends or any(a and a.startswith("2001:db8:1:") for a in ends)
            site |= not ends.isdisjoint(WEB_ADDRESSES)
            count += 1
        return {"user": user, "site": site, "packets": count}

    def table(self, path):
        """Rows for the parties of a path of relay nodes: (who, host, what it saw)."""
        names = ["entry"] + ["middle"] * (len(path) - 2) + ["exit"] if len(path) > 1 else ["entry and exit"]
        rows = [("provider", self._world.home)]
        rows += [(name, relay.host) for name, relay in zip(names, path)]
        rows += [("web server", self._world.web_host)]
        return [(who, host.name, self.saw(host)) for who, host in rows]

    def relays_that_saw_both(self):
        return [relay.name for relay in self._world.relays if all(self.saw(relay.host)[k] for k in ("user", "site"))]

    def left_the_client_outside_the_tunnel(self):
        """Packets on the client's own cable that went neither to nor from a relay's port: there must be none."""
        relays = {relay.host.ip4 for relay in self._world.relays}
        relays |= {relay.host.ip6 for relay in self._world.relays if relay.host.ip6}
        return [p for p in self._capture.packets(self._world.client.host)
                if p.ttl and p.src in self._world.client.host.addresses
                and not (p.proto == "udp" and p.dst in relays and p.dport == 51820)
                and not p.dst.startswith(("ff02:", "fe80:", "224."))]
