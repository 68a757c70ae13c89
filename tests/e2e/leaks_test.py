#!/usr/bin/python3
"""Attacks on a computer behind `macrovpn up`: on its cable there is nothing of its own but the tunnel, for each of them.

Programs try every way out meanwhile (macronet/traffic.py). The last test takes the defences out and sees each attack leak, so
that none of the others passes because nothing would have been seen. By hand: LEAKS_WITHOUT=nft or routes takes one layer of two out.
"""

import contextlib
import os
import pathlib
import time

from e2e import netlab  # first: it knows the way to the laboratory
from attacks import ATTACKS, LAN_ROGUE, after_sanitizer, libfaketime
from macronet import Node, computer, summary
from netlab import check

SECONDS = 2.0


class Shared:
    """One computer for all tests: drawing it takes longer than an attack."""

    def __init__(self):
        self._stack, self._machine = contextlib.ExitStack(), None

    def machine(self):
        if self._machine is None:
            self._machine = self._stack.enter_context(computer())
            rogue = self._machine.world.lab.host("rogue", behind="home")
            self._machine.rogue = rogue
            rogue.ip("route", "add", "192.168.1.0/24", "dev", "eth0")
            # A kernel that shows bridged frames to the home's NAT makes it forget the second time that they are new.
            self._machine.world.home.run(["sh", "-c", "echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables"], check=False)
            # It passes on what it lures, as one would that wants to listen.
            for name in ("ip_forward", "conf.all.send_redirects", "conf.eth0.send_redirects"):
                rogue.sysctl(f"net.ipv4.{name}", "1" if name == "ip_forward" else "0")
            self._machine.up()
            take_out(self._machine, os.environ.get("LEAKS_WITHOUT", ""))
        return self._machine

    def close(self):
        self._stack.close()


def take_out(machine, words):
    if "nft" in words:
        # An empty one in its place: a missing one is loaded again by the daemon.
        machine.host.nft("delete table inet macrovpn\ndelete table arp macrovpn\nadd table inet macrovpn\n")
    if "routes" in words:
        for family in ("-4", "-6"):
            # As other VPNs do it: what main knows more exactly than its default route wins.
            machine.host.ip(family, "rule", "add", "priority", "50", "lookup", "main", "suppress_prefixlength", "0")


shared = Shared()


def listen(machine, meanwhile=lambda: time.sleep(SECONDS)):
    """(what left past the tunnel, counts of the traffic, packets of the tunnel) while `meanwhile` runs."""
    with machine.world.lab.capture(machine.host) as capture, machine.traffic(lan_server=LAN_ROGUE) as counts:
        meanwhile()
    check(capture.drops() == 0, "the capture missed packets")
    is_dhcp = lambda p: p.proto == "udp" and p.sport == 68 and p.dport == 67  # through packet sockets, as every DHCP client does
    return machine.leaks(capture, may=is_dhcp), counts, machine.tunnel_packets(capture)


def nothing_leaks(machine, meanwhile=lambda: time.sleep(SECONDS)):
    leaked, counts, tunnel = listen(machine, meanwhile)
    check(leaked == [], f"{len(leaked)} packets left past the tunnel: {summary(leaked)}")
    check(counts["attempts"] > 100, counts)
    check(tunnel > 20 and min(counts["pages"], counts["pages over IPv6"]) > 0, f"{counts}, {tunnel} packets")
    return f"{counts['attempts']} attempts, {counts['pages'] + counts['pages by name'] + counts['pages over IPv6']} pages, {tunnel} packets of the tunnel"


def wait_for_page_by_name(machine):
    deadline = time.monotonic() + 12
    while machine.page(timeout=3) is None:
        check(time.monotonic() < deadline, f"no page by name; resolv.conf: {machine.resolv_conf()}")
        time.sleep(0.2)


def under(attack):
    def test():
        machine = shared.machine()
        with attack(machine):
            said = nothing_leaks(machine)
            # By name: a resolv.conf that the attack has brought is replaced within seconds.
            wait_for_page_by_name(machine)
            return said
    test.__name__ = f"nothing_leaks_with_{attack.__name__}"
    return test


def nothing_leaks_while_the_daemon_is_killed_and_started_again():
    machine = shared.machine()

    def die_and_live():
        time.sleep(0.5)
        machine.kill_daemon()
        time.sleep(SECONDS)
        check(machine.status()["state"] == "blocked", machine.status())
        machine.up()
        time.sleep(1)

    said = nothing_leaks(machine, die_and_live)
    check(machine.page(), "no page after the restart")
    return said


def nothing_leaks_while_the_computer_moves_to_another_network():
    machine = shared.machine()
    pages = []

    def move():
        time.sleep(0.5)
        for words in (["addr", "del", f"{machine.host.ip4}/24", "dev", "eth0"], ["addr", "add", "192.168.1.77/24", "dev", "eth0", "noprefixroute"],
                      ["route", "replace", "default", "via", "192.168.1.1", "dev", "eth0", "onlink", "src", "192.168.1.77"],
                      ["-6", "addr", "add", "2001:db8:1::77/64", "dev", "eth0", "nodad", "noprefixroute"]):
            machine.host.ip(*words)
        machine.world.home.ip("neigh", "replace", "192.168.1.77", "lladdr", mac_of(machine.host), "dev", "lan", "nud", "permanent")
        pages.append(machine.page(timeout=15))
        time.sleep(1)

    try:
        said = nothing_leaks(machine, move)
        check(pages[0], "no page from the new network")
        return said
    finally:
        machine.host.ip("addr", "del", "192.168.1.77/24", "dev", "eth0")
        machine.host.ip("addr", "add", f"{machine.host.ip4}/24", "dev", "eth0", "noprefixroute")
        machine.host.ip("route", "replace", "default", "via", "192.168.1.1", "dev", "eth0", "onlink", "src", machine.host.ip4)
        machine.host.ip("-6", "addr", "del", "2001:db8:1::77/64", "dev", "eth0")


def mac_of(host):
    return host.ip("-o", "link", "show", "eth0").split("link/ether ")[1].split()[0]


def nothing_leaks_through_a_resolver_behind_a_unix_socket():
    """A resolver of the host, as nscd: programs ask it over a socket, and it asks servers of its own choice."""
    machine = shared.machine()
    resolver = machine.host.start(["/usr/bin/python3", "-u", "-c", f"""
import os, socket
os.makedirs("/run/nscd", exist_ok=True)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("/run/nscd/socket")
print("ready", flush=True)
question = bytes.fromhex("123401000001000000000000") + b"\\3www\\4shop\\4test\\0\\0\\1\\0\\1"
asked = 0
while True:
    s.recv(64)
    for server in ("192.0.2.53", "192.168.1.1", "{LAN_ROGUE}"):
        for device in (None, b"eth0"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
                try:
                    if device: u.setsockopt(socket.SOL_SOCKET, 25, device)
                    u.sendto(question, (server, 53))
                except OSError: pass
    asked += 1
    print("asked", asked, flush=True)
"""])
    resolver.wait_for_output("ready")
    ask = ("import socket,time\nfor i in range(10):\n s=socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect('/run/nscd/socket');"
           " s.send(b'www.shop.test'); time.sleep(0.1)")
    said = nothing_leaks(machine, lambda: machine.host.run(["/usr/bin/python3", "-c", ask]))
    check("asked 10" in resolver.output(), resolver.output())
    check("nscd answers programs here" in machine.up().stderr, "`up` does not notice the resolver")
    resolver.kill9()
    return said


def nothing_leaks_while_the_clock_is_a_day_off():
    """The wall clock of the daemon jumps by a day, forth and back, while it runs."""
    library = libfaketime()
    machine = shared.machine()
    machine.down()
    clock = machine.host.home / "clock"
    clock.write_text("+0\n")
    environment = {"LD_PRELOAD": after_sanitizer(library, machine.node.argv()[0]), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1",
                   "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    daemon = machine.host.start(machine.node.argv("up", "--foreground"), env=environment)
    machine.wait_for_state("connected")
    said = []
    try:
        for jump in ("+1d", "-1d", "+0"):
            clock.write_text(f"{jump}\n")
            said.append(f"{jump}: {nothing_leaks(machine)}")
            machine.node.command("hop", check=False)
            check(machine.page(timeout=20), f"no page with a clock at {jump}")
    finally:
        daemon.kill9()
    machine.up()
    return "; ".join(said)


def each_attack_leaks_once_the_defences_are_out():
    machine = shared.machine()
    said = {}
    take_out(machine, "nft, routes")
    for attack in ATTACKS:
        with attack(machine):
            leaked, _, _ = listen(machine, lambda: time.sleep(1))
        said[attack.__name__] = len(leaked)
        check(leaked, f"{attack.__name__} was not seen to leak: the test would not notice")
    machine.kill_daemon()
    machine.host.ip("link", "del", "macrovpn0")
    for family in ("-4", "-6"):
        for priority in ("101", "102"):
            machine.host.ip(family, "rule", "del", "priority", priority)
    said["a dead daemon"] = len(listen(machine, lambda: time.sleep(1))[0])
    check(said["a dead daemon"] > 0, "a dead daemon was not seen to leak")
    machine.down()
    return ", ".join(f"{name}: {n}" for name, n in said.items())


def nothing_of_a_boxed_program_leaks_under_the_same_attacks():
    """`macrovpn run` of an ordinary user, on a computer that is not behind `up`: what the attacks add is not in its namespace."""
    machine = shared.machine()
    machine.down()
    user = Node(machine.host, ordinary=True)
    user.state = str(machine.host.home / "of-a-user")
    user.command("network", "add", pathlib.Path(machine.world.relays[0].state) / "network.toml")
    user.command("config", "set", "network.descriptors", machine.world.descriptors)
    daemon = user.start("daemon")
    user.host.run(["sh", "-c", f"while ! [ -S {user.state}/run/control.sock ]; do sleep 0.05; done"])

    def nobody():
        return contextlib.nullcontext()

    said = {}
    for attack in (*ATTACKS, nobody):
        with attack(machine) if attack is not nobody else nobody():
            with machine.world.lab.capture(machine.host) as capture, machine.traffic(LAN_ROGUE, boxed_by=user) as counts:
                time.sleep(1)
                if attack is nobody:
                    daemon.kill9()
                    time.sleep(1)
        relays = {relay.host.ip4 for relay in machine.world.relays}
        is_error_to_a_relay = lambda p: p.proto == "icmp" and p.dst in relays and p.payload[:1] == b"\3"  # its daemon is dead
        # The computer itself is open here: what its kernel says to its neighbours is no program's.
        chatter = lambda p: p.proto in ("icmp6", "2") or p.proto == "udp" and p.sport == 68 or is_error_to_a_relay(p)
        leaked = machine.leaks(capture, may=chatter)
        check(leaked == [] and capture.drops() == 0, f"{attack.__name__}: {summary(leaked)}")
        check(counts["attempts"] > 50 and counts["pages"] > 0, f"{attack.__name__}: {counts}")
        said[attack.__name__] = counts["attempts"]
    return f"attempts: {said}"


netlab.enter()
try:
    raise SystemExit(netlab.run_tests([
        *map(under, ATTACKS),
        nothing_leaks_while_the_daemon_is_killed_and_started_again,
        nothing_leaks_while_the_computer_moves_to_another_network,
        nothing_leaks_through_a_resolver_behind_a_unix_socket,
        nothing_leaks_while_the_clock_is_a_day_off,
        each_attack_leaks_once_the_defences_are_out,
        nothing_of_a_boxed_program_leaks_under_the_same_attacks,
    ]))
finally:
    shared.close()
