"""Draws a network of nodes and runs them."""

import json
import os
import pathlib
import shlex
import shutil
import tempfile
import time

import netlab

from .build import program

WEB_NAME = "www.shop.test"
WEB_ADDRESSES = ["192.0.2.80", "2001:db8:80::80"]
HOME_ADDRESS = "203.0.113.10"
_LISTEN_PORT = 51820


class Node:
    """A host with its own keys and state, and the macrovpn commands on it."""

    def __init__(self, host, ordinary=True):
        self.host, self.process, self._ordinary = host, None, ordinary
        self.state = str(host.home / "vpn")
        self.relay_id = None

    @property
    def name(self):
        return self.host.name

    def argv(self, *words):
        return [program(), "--state", self.state, *map(str, words)]

    def command(self, *words, timeout=30, check=True, input=None):
        return self.host.run(self.argv(*words), timeout=timeout, check=check, input=input, ordinary=self._ordinary)

    def start(self, *words, log=None):
        return self.host.start(self.argv(*words), ordinary=self._ordinary, log=log)

    def status(self):
        return json.loads(self.command("status", "--json").stdout)

    def wait(self, what, condition, timeout=15):
        """Polls `status` until condition(status) is true; returns that status."""
        deadline = time.monotonic() + timeout
        while True:
            status = self.status()
            if condition(status):
                return status
            if time.monotonic() > deadline:
                raise netlab.NetlabError(f"{self.name}: {what} did not happen within {timeout} s; status: {json.dumps(status)}")
            time.sleep(0.05)


class World:
    """`with World(lab) as world:` draws; start_relays() and start_client() run it.

    delay_ms: one way between any two nodes (half of it on each one's access link); the web server adds none.
    https: relays also take clients on TCP port 443.
    live: relays know some seeds, the client an invite link, and all find the others by themselves; else by a folder of descriptors that they share.
    """

    def __init__(self, lab, relays=6, exits=2, delay_ms=0, exit_v6=True, exit_kind="rootless", client_v6=True,
                 ordinary_relays=True, ordinary_client=True, workers=None, https=False, live=False, **link):
        self.lab, self._exit_kind, self._https, self.live = lab, exit_kind, https, live
        self._workers = workers or os.environ.get("MACROVPN_WORKERS")  # of each relay; none: as many as they choose
        self.shared = pathlib.Path(tempfile.mkdtemp(prefix="macronet-"))
        self.descriptors = self.shared / "descriptors"
        self.descriptors.mkdir(mode=0o700)
        half = {"delay_ms": delay_ms / 2} if delay_ms else {}
        self.web_host = lab.host("web", WEB_ADDRESSES)
        self.dns_host = lab.host("dns", ["192.0.2.53"])
        self.home = lab.nat("home", wan=[HOME_ADDRESS] + (["2001:db8:99::10"] if client_v6 else []), lan6="2001:db8:1::1/64" if client_v6 else None, **half, **link)
        self.client = Node(lab.host("client", behind="home"), ordinary_client)
        self.relays = [Node(lab.host(f"relay{i + 1}", self._addresses(i, exit_v6 or i < relays - exits), **half, **link), ordinary_relays)
                       for i in range(relays)]
        self.exits = self.relays[-exits:] if exits else []
        self.web = netlab.WebServer(self.web_host)
        self.dns = netlab.DnsServer(self.dns_host, {WEB_NAME: WEB_ADDRESSES})
        for relay in self.relays:
            relay.host.resolve_with(self.dns.address)
        # Names must not resolve for the client except through the tunnel; a leak would be seen at this server.
        self.client.host.resolve_with(self.dns.address)

    @staticmethod
    def _addresses(i, v6):
        # Each in a /24 of its own as far as the three documentation blocks allow; the lab's diversity rule is /28.
        return [f"198.51.100.{10 + 16 * i}"] + ([f"2001:db8:{100 + i}::1"] if v6 else [])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.shared, ignore_errors=True)

    # -- nodes

    def make_network(self):
        """`macrovpn network init`, and every node joins."""
        if self.live:
            return self._make_live_network()
        maker = self.relays[0]
        maker.command("network", "init", "--lab", "--name", "demo")
        file = pathlib.Path(maker.state) / "network.toml"
        for node in [*self.relays[1:], self.client]:
            node.command("network", "add", file)
        for node in [*self.relays, self.client]:
            node.command("config", "set", "network.descriptors", self.descriptors)
            node.command("config", "set", "network.live", "false")
        return None

    def seed_of(self, relay):
        return relay.command("network", "seed", "--endpoint", f"{relay.host.ip4}:{_LISTEN_PORT}").stdout.strip()

    def _make_live_network(self, seeds=2):
        """The first relays are the network's seeds; the client joins by an invite, which needs relays that run: join_by_invite()."""
        maker = self.relays[0]
        words = [word for relay in self.relays[:seeds] for word in ("--seed", self.seed_of(relay))]
        maker.command("network", "init", "--lab", "--name", "demo", *words)
        for relay in self.relays[1:]:
            relay.command("network", "add", pathlib.Path(maker.state) / "network.toml")

    def join_by_invite(self, node=None, inviter=None):
        """The link, by which `node` (the client) has joined."""
        link = (inviter or self.relays[-1]).command("network", "invite").stdout.strip()
        (node or self.client).command("network", "join", link)
        return link

    def start_relay(self, relay):
        words = ["relay", "--listen", f"{relay.host.ip4}:{_LISTEN_PORT}"]
        if relay in self.exits:
            words += ["--exit", "--accept-exit-risk", "--exit-kind", self._exit_kind]
        if self._https:
            relay.host.sysctl("net.ipv4.ip_unprivileged_port_start", 443)
            words += ["--https", f"{relay.host.ip4}:443"]
        if self._workers:
            words += ["--workers", self._workers]
        relay.process = relay.start(*words)

    def start_relays(self):
        """All relays run and know each other."""
        for relay in self.relays:
            self.start_relay(relay)
        for relay in self.relays:
            status = self._when_answering(relay)
            relay.relay_id = status["relay"]["id"]
        for relay in self.relays:
            relay.wait("knowing all relays", lambda s: s["relays_known"] >= len(self.relays))

    def _when_answering(self, node, timeout=10):
        deadline = time.monotonic() + timeout
        while True:
            said = node.command("status", "--json", check=False)
            if said.returncode == 0:
                return json.loads(said.stdout)
            if not node.process.running or time.monotonic() > deadline:
                raise netlab.NetlabError(f"{node.name} does not run: {node.process.output()}{said.stderr}")
            time.sleep(0.05)

    def start_client(self, *flags, wait=True):
        self.client.process = self.client.start("daemon", *flags)
        self._when_answering(self.client)
        if wait:
            self.client.wait("a circuit", lambda s: s["state"] == "connected")

    def up(self, *client_flags):
        self.make_network()
        self.start_relays()
        if self.live:
            self.join_by_invite()
        self.start_client(*client_flags)
        return self

    # -- the user

    def run(self, *argv, timeout=60, check=True):
        """`macrovpn run -- ARGV` on the client, to its end."""
        return self.client.command("run", "--", *argv, timeout=timeout, check=check)

    def run_and_path(self, *argv, timeout=60):
        """As run(): (exit code, output, the relays of the circuit that carried it), asked for while the program is still there."""
        process = self.start_run("sh", "-c", shlex.join(map(str, argv)) + '; code=$?; echo; echo "ended with $code"; sleep 60')
        said = process.wait_for_output("ended with ", timeout).rpartition("\nended with ")
        path = self.path_of(self.active())
        process.stop()
        return int(said[2]), said[0].strip(), path

    def start_run(self, *argv, log=None):
        return self.client.start("run", "--", *argv, log=log)

    def active(self):
        """The circuit that carries a program's packets, from `status`."""
        found = [c for c in self.client.status()["circuits"] if "group" in c and c["state"] == "ready"]
        return found[0] if found else None

    def node_of(self, relay_id):
        return next(relay for relay in self.relays if relay.relay_id == relay_id)

    def path_of(self, circuit):
        return [self.node_of(hop["id"]) for hop in circuit["path"]]
