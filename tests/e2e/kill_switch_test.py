#!/usr/bin/python3
"""Each part of the kill switch's rules by itself: what it lets out or keeps, and that this shows once the part is taken out.

The rules are those of packaging/kill-switch.nft, which a unit test keeps equal to what `macrovpn up` loads. No daemon runs.
"""

import json
import pathlib
import re

from e2e import netlab  # first: it knows the way to the laboratory
from macronet.computer import need_tun
from netlab import check

RULES = (pathlib.Path(__file__).resolve().parents[2] / "packaging" / "kill-switch.nft").read_text()
MARK = re.search(r"socket mark (0x[0-9a-f]+)", RULES)[1]
INSIDE = ("10.10.0.2", "fd86:ea04:1115::2")
OWN = ("198.51.100.10", "2001:db8:10::1")
FAR = ("203.0.113.20", "2001:db8:20::1")

# Tries to send each kind of packet; the last bytes of each are its name, and of a connection, the port that it asks for.
CONNECTIONS = {443: "connection", 4431: "unmarked connection", 4432: "connection of a user", 4242: "connection marked on its way"}
SENDER = """
import json, os, socket, struct, sys
mark, far4, far6, own6, link_local = json.loads(sys.argv[1])
eth0 = socket.if_nametoindex("eth0")
SO_MARK = 36
def attempt(name, send):
    try: send(name.encode())
    except OSError: pass
def udp(name, family, to, marked=False, user=None, source=None):
    if user is not None: os.seteuid(user)  # the kernel keeps with a socket who made it
    s = socket.socket(family, socket.SOCK_DGRAM)
    os.seteuid(0)
    if marked: s.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
    if source: s.bind(source)
    s.sendto(name, to)
kept = []
def tcp(family, far, port, marked=False, user=None):
    if user is not None: os.seteuid(user)
    s = socket.socket(family, socket.SOCK_STREAM)
    os.seteuid(0)
    if marked: s.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
    s.setblocking(False)
    kept.append(s)
    s.connect_ex((far, port))
def icmp6(name, type, to, hops=255):
    s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hops)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
    s.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)  # for the way, where routing asks for it; the rules want more
    s.sendto(struct.pack("!BBHI", type, 0, 0, 0) + name, to)
all_nodes, servers = ("ff02::1", 0, 0, eth0), ("ff02::1:2", 547, 0, eth0)
for family, far, v in ((socket.AF_INET, far4, "4"), (socket.AF_INET6, far6, "6")):
    attempt("tunnel" + v, lambda n: udp(n, family, (far, 51820), marked=True))
    attempt("unmarked" + v, lambda n: udp(n, family, (far, 51820)))
    attempt("of a user" + v, lambda n: udp(n, family, (far, 51820), marked=True, user=1234))
    attempt("marked on its way" + v, lambda n: udp(n, family, (far, 4242)))
    attempt("", lambda n: tcp(family, far, 443, marked=True))
    attempt("", lambda n: tcp(family, far, 4431))
    attempt("", lambda n: tcp(family, far, 4432, marked=True, user=1234))
    attempt("", lambda n: tcp(family, far, 4242))
for name, type in (("router solicitation", 133), ("solicitation", 135), ("advertisement", 136),
                   ("router advertisement", 134), ("redirect", 137), ("echo", 128), ("report", 143)):
    attempt(name, lambda n: icmp6(n, type, all_nodes))
attempt("solicitation from afar", lambda n: icmp6(n, 135, all_nodes, hops=64))
attempt("solicitation to afar", lambda n: icmp6(n, 135, (far6, 0)))
attempt("dhcp", lambda n: udp(n, socket.AF_INET6, servers, source=(link_local, 546, 0, eth0)))
attempt("dhcp from a global address", lambda n: udp(n, socket.AF_INET6, servers, source=(own6, 546, 0, 0)))
attempt("dhcp from another port", lambda n: udp(n, socket.AF_INET6, servers, source=(link_local, 5460, 0, eth0)))
"""

ALLOWED = {"tunnel4", "tunnel6", "connection4", "connection6", "router solicitation", "solicitation", "advertisement", "dhcp"}
FORBIDDEN = {"unmarked connection4", "unmarked connection6", "connection of a user4", "connection of a user6",
             "connection marked on its way4", "connection marked on its way6", "unmarked4", "unmarked6", "of a user4", "of a user6", "marked on its way4", "marked on its way6",
             "router advertisement", "redirect", "echo", "report", "solicitation from afar", "solicitation to afar",
             "dhcp from a global address", "dhcp from another port"}

NEIGHBOURS = re.search(r" *ip6 hoplimit 255 .*\n", RULES)[0]
DHCP = re.search(r" *ip6 saddr fe80::/10 .*\n", RULES)[0]
OURS = re.search(r" *meta l4proto \{ tcp, udp \} meta mark .* accept\n", RULES)[0]
# What is taken out: (of the rules, what stands there then, what does not get out any more, what does).
PARTS = {
    "what is ours": (OURS, "", {"tunnel4", "tunnel6", "connection4", "connection6"}, set()),
    "connections of ours": ("{ tcp, udp } meta mark", "udp meta mark", {"connection4", "connection6"}, set()),
    "whose socket it is": (" meta skuid 0", "", set(), {"of a user4", "of a user6", "connection of a user4", "connection of a user6"}),
    "the socket's mark": (f"meta mark {MARK} socket mark {MARK}", f"meta mark {MARK}", set(),
                          {"marked on its way4", "marked on its way6", "connection marked on its way4", "connection marked on its way6"}),
    # The way to the tunnel over IPv6 needs neighbour discovery.
    "neighbour discovery": (NEIGHBOURS, "", {"router solicitation", "solicitation", "advertisement", "tunnel6", "connection6"}, set()),
    "the hop limit": ("ip6 hoplimit 255 ", "", set(), {"solicitation from afar"}),
    "link-local destinations": ("ip6 daddr { fe80::/10, ff02::/16 } ", "", set(), {"solicitation to afar"}),
    "the types of ICMPv6": (re.search(r" icmpv6 type \{.*?\}", RULES)[0], "", set(), {"router advertisement", "redirect", "echo", "report"}),
    "DHCPv6": (DHCP, "", {"dhcp"}, set()),
    "a link-local source": ("ip6 saddr fe80::/10 ", "", set(), {"dhcp from a global address"}),
    "the client's port": ("udp sport 546 udp dport", "udp dport", set(), {"dhcp from another port"}),
}


def other_users():
    """Whether a process here can be of another user; in a user namespace of somebody's own nobody else is known."""
    return any(int(first) <= 1234 < int(first) + int(count)
               for first, _, count in map(str.split, pathlib.Path("/proc/self/uid_map").read_text().splitlines()))


def without(part):
    text, instead = PARTS[part][:2]
    check(RULES.count(text) == 1, f"{part}: {text!r} stands {RULES.count(text)} times in the rules")
    return RULES.replace(text, instead)


def left(lab, machine, rules):
    """The names of what gets onto the cable under these rules."""
    machine.nft(rules)
    machine.ip("-6", "neigh", "flush", "dev", "eth0", "nud", "permanent")
    machine.ip("-6", "neigh", "flush", "dev", "eth0")
    link_local = machine.ip("-6", "-o", "addr", "show", "dev", "eth0", "scope", "link").split("inet6 ")[1].split("/")[0]
    with lab.capture(machine) as capture:
        machine.run(["/usr/bin/python3", "-c", SENDER, json.dumps([int(MARK, 16), *FAR, OWN[1], link_local])])
    check(capture.drops() == 0, "the capture missed packets")
    names = ALLOWED | FORBIDDEN
    found = set()
    for packet in capture.packets(machine):
        found |= {name for name in names if packet.payload == name.encode() or packet.payload[8:] == name.encode()}
        if packet.proto == "tcp" and packet.dport in CONNECTIONS:
            found.add(CONNECTIONS[packet.dport] + ("6" if ":" in packet.dst else "4"))
    return found


def a_machine(lab, addresses):
    machine = lab.host("machine", addresses)
    machine.ip("tuntap", "add", "dev", "macrovpn0", "mode", "tun")
    machine.ip("link", "set", "macrovpn0", "up")
    # A firewall of the computer's own that marks what it likes.
    machine.nft(f"table inet other {{ chain out {{ type filter hook output priority 0; meta l4proto {{ tcp, udp }} th dport 4242 meta mark set {MARK}; }}; }}")
    return machine


def each_part_of_what_may_leave_is_needed_and_lets_nothing_else_out():
    need_tun()
    parts = dict(PARTS)
    if not other_users():
        del parts["whose socket it is"]
        FORBIDDEN.difference_update({name for name in FORBIDDEN if "of a user" in name})
    with netlab.Lab() as lab:
        machine = a_machine(lab, OWN)
        lab.host("far", FAR)
        everything = left(lab, machine, "")
        check(everything == ALLOWED | FORBIDDEN, f"never seen, whatever the rules: {sorted((ALLOWED | FORBIDDEN) - everything)}")
        found = left(lab, machine, RULES)
        check(found == ALLOWED, f"too much: {sorted(found - ALLOWED)}; not out: {sorted(ALLOWED - found)}")
        for part, (_, _, lost, gained) in parts.items():
            found = left(lab, machine, without(part))
            check(found == ALLOWED - lost | gained,
                  f"without {part}: {sorted(found)}, and not {sorted(ALLOWED - lost | gained)}")
    return f"{len(parts)} parts" + ("" if other_users() else "; not whose socket it is, as there are no other users here")


# The program behind macrovpn0: counts the TCP packets that the kernel sends into the tunnel.
READER = """
import fcntl, os, select, struct, sys
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"macrovpn0", 0x1001))
print("ready", flush=True)
while True:
    packet = os.read(tun, 2000)
    if packet[9 if packet[0] >> 4 == 4 else 6] == 6: print("answer over IPv%d" % (packet[0] >> 4), flush=True)
"""
LISTENER = """
import socket
s = socket.create_server(("::", 7777), family=socket.AF_INET6, dualstack_ipv6=True)
print("up", flush=True)
while True: s.accept()
"""


def probes_for_the_inside_addresses_get_no_answer_into_the_tunnel():
    """Who sits on the LAN sends to the inside address; an answer in the tunnel would tell him of it (CVE-2019-14899)."""
    need_tun()
    with netlab.Lab() as lab:
        machine = a_machine(lab, [*OWN, *INSIDE])  # the internet leads them here
        rogue = lab.host("rogue", FAR)
        for address, length in zip(INSIDE, ("32", "128")):
            machine.ip("addr", "del", f"{address}/{length}", "dev", "eth0")
            machine.ip("addr", "add", f"{address}/{length}", "dev", "macrovpn0", *(["nodad"] if ":" in address else []))
        for family in ("-4", "-6"):
            machine.ip(family, "route", "add", "default", "dev", "macrovpn0", "table", "27766")
            machine.ip(family, "rule", "add", "priority", "101", "not", "fwmark", MARK, "lookup", "27766")
        for program, word in ((READER, "ready"), (LISTENER, "up")):
            process = machine.start(["/usr/bin/python3", "-u", "-c", program])
            process.wait_for_output(word)
            if program is READER:
                reader = process

        def answers(rules):
            before = reader.output()
            machine.nft(rules)
            for address in (INSIDE[0], f"[{INSIDE[1]}]"):
                rogue.run(["curl", "-sg", "--max-time", "0.5", f"http://{address}:7777/"], check=False)
            return reader.output()[len(before):]

        check(answers(RULES) == "", "the kernel answers")
        for version, address in zip("46", INSIDE):
            line = re.search(rf" *ip6? daddr {address} counter name probes drop\n", RULES)[0]
            said = set(answers(RULES.replace(line, "")).splitlines())
            # The kernel says again what it answered to the probe before.
            said -= {"answer over IPv4"} if version == "6" else set()
            check(said == {f"answer over IPv{version}"}, f"without the rule for {address}: {said!r}")


netlab.enter()
raise SystemExit(netlab.run_tests([
    each_part_of_what_may_leave_is_needed_and_lets_nothing_else_out,
    probes_for_the_inside_addresses_get_no_answer_into_the_tunnel,
]))
