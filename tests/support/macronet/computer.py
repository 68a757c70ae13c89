"""A computer behind `macrovpn up`: a world whose client is root's, and what must never be on its cable."""

import contextlib
import json
import os
import pathlib
import signal
import time

import netlab
from netlab import check

from .world import WEB_ADDRESSES, WEB_NAME, World

_LISTEN_PORT = 51820
_NEIGHBOURHOOD = {133, 135, 136}  # router and neighbour solicitation, neighbour advertisement


def need_tun():
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        raise netlab.Skip(f"`macrovpn up` keeps a TUN, which this user may not have ({error.strerror}); run as root") from None


class Computer:
    """The client of a world, with `macrovpn up` as its way out."""

    def __init__(self, world):
        self.world, self.node, self.host = world, world.client, world.client.host

    def up(self, *flags, check=True):
        return self.node.command("up", *flags, check=check, timeout=60)

    def down(self, *flags, check=True):
        return self.node.command("down", *flags, check=check, timeout=60)

    def status(self):
        return json.loads(self.node.command("status", "--json", check=False).stdout)

    def wait_for_state(self, state, timeout=15):
        deadline = time.monotonic() + timeout
        while (now := self.status())["state"] != state:
            check(time.monotonic() < deadline, f"the state is {now['state']}, and not {state}, after {timeout} s: {json.dumps(now)}")
            time.sleep(0.05)
        return now

    def daemons(self):
        """Process ids of the daemons with the computer's state folder."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
                if self.node.state.encode() in words and b"daemon" in words:
                    found.append(int(entry))
        return found

    def kill_daemon(self):
        daemons = self.daemons()
        check(len(daemons) == 1, f"{len(daemons)} daemons run")
        os.kill(daemons[0], signal.SIGKILL)
        deadline = time.monotonic() + 5
        while self.daemons() and time.monotonic() < deadline:
            time.sleep(0.01)

    def resolv_conf(self):
        return self.host.run(["cat", "/etc/resolv.conf"]).stdout

    def page(self, target=f"http://{WEB_NAME}/", timeout=10):
        """What the web server says to curl; None if nothing came."""
        got = self.host.run(["curl", "-sS", "--max-time", str(timeout), target], check=False, timeout=timeout + 10)
        return got.stdout if got.returncode == 0 else None

    @contextlib.contextmanager
    def traffic(self, lan_server="192.168.1.1", boxed_by=None):
        """Programs that try every way out, meanwhile; afterwards their counts are in the dictionary that was given.

        boxed_by: the Node under whose `macrovpn run` they run.
        """
        counts = {}
        entry = self.world.relays[0].host.ip4
        words = ["macronet.traffic", *WEB_ADDRESSES, WEB_NAME, entry, self.host.ip4, lan_server]
        process = boxed_by.start("run", "--", "/usr/bin/python3", "-u", "-m", *words) if boxed_by else self.host.python(*words)
        process.wait_for_output("ready", timeout=20)
        try:
            yield counts
        finally:
            process.signal(signal.SIGCONT)
            process.stop(timeout=10)
            said = [line for line in process.output().splitlines() if line.startswith("{")]
            check(said, f"the programs did not end well: {process.exit_code} {process.output()[-600:]}")
            counts.update(json.loads(said[-1]))

    def leaks(self, capture, may=lambda packet: False):
        """IP packets that the computer's card sent past the tunnel, whatever they say of where they come from."""
        world = self.world
        own = self.host.ip("-o", "link", "show", "eth0").split("link/ether ")[1].split()[0]
        relays = {address for relay in world.relays for address in relay.host.addresses}

        def is_tunnel(p):
            return p.proto == "udp" and p.dst in relays and p.dport == _LISTEN_PORT and len(p.payload) >= 32 and not may_be_plain(p)

        def may_be_plain(p):  # a question that `traffic` sent to the entry's own port
            return b"\4shop" in p.payload

        def is_neighbourhood(p):
            return p.proto == "icmp6" and p.ttl == 255 and p.payload[:1] and p.payload[0] in _NEIGHBOURHOOD \
                and p.dst.startswith(("ff02:", "fe80:"))

        return [p for p in capture.packets(self.host)
                if p.ttl and p.mac == own and not is_tunnel(p) and not is_neighbourhood(p) and not may(p)]

    def tunnel_packets(self, capture):
        relays = {address for relay in self.world.relays for address in relay.host.addresses}
        return sum(p.dst in relays and p.dport == _LISTEN_PORT for p in capture.packets(self.host))


@contextlib.contextmanager
def computer(relays=4, exits=1, **settings):
    need_tun()
    with netlab.Lab() as lab, World(lab, relays=relays, exits=exits, ordinary_client=False, **settings) as world:
        world.make_network()
        world.start_relays()
        yield Computer(world)


def summary(packets):
    """Kinds of packets with their numbers, for a message."""
    kinds = {}
    for p in packets:
        kind = f"{p.proto} {p.src}>{p.dst}:{p.dport}"
        kinds[kind] = kinds.get(kind, 0) + 1
    return ", ".join(f"{n} x {kind}" for kind, n in sorted(kinds.items(), key=lambda item: -item[1])[:8])
