"""The laboratory: hosts, each in its own network namespace, around one router, "the internet".

             internet (routes, decides nothing)
             r-a |        | r-b         | r-home
                 |        |             |
    wires:       |     v-b=w-b       v-home=w-home      netlab-shim between the two ends, where a host has delay, loss or rate
                 |        |             |
            eth0 a    eth0 b       eth0 home --- lan (bridge) --- eth0 client

Every host has a link of its own to the router, with /32 and /128 routes, so that any host can have any address. Hosts find the
router at 169.254.0.1 and fe80::1; neighbours are entered by hand, so that no address resolution is seen as delay.
"""

import contextlib
import ipaddress
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

from . import kernel, nat
from .capture import Capture
from .enter import LAB_DIRECTORY, is_inside
from .errors import NetlabError
from .host import Host, netns_path
from .tools import installed
from .wire import Wire, WireSettings

_SYSCTLS = ("net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.accept_ra=0",
            "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0", "net.ipv4.ping_group_range=0 0")
_FORWARDING = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
# Sources of the router's own errors (time exceeded, packet too big).
_ROUTER_ADDRESSES = ("192.0.2.254/32", "2001:db8:ffff::1/128")


class Lab:
    """A context manager; call `netlab.enter()` first. There is one at a time: drawing the next one ends it.

    `logs` (or the variable NETLAB_LOGS): a directory on the host that gets the programs' output, a folder for each lab;
    without it the output is gone when the lab is.
    """

    _drawn = 0
    _open = None

    def __init__(self, seed=1, logs=None):
        if not is_inside():
            raise NetlabError("call netlab.enter() at the top of the script, before Lab()")
        self.seed, self.hosts = seed, {}
        self._numbers, self._processes, self._captures = 0, [], []
        self._ip = installed("ip", "iproute2")
        if Lab._open is not None:
            Lab._open.close()  # an error left it before its `with` block began
        Lab._open = self
        Lab._drawn += 1
        self.mark = f"{os.getpid()}-{Lab._drawn}"  # in the environment of every program of this lab
        self._directory = pathlib.Path(LAB_DIRECTORY) / f"lab-{Lab._drawn}"
        logs = logs or os.environ.get("NETLAB_LOGS")
        self.log_directory = (pathlib.Path(logs).resolve() if logs else self._directory) / f"logs-{Lab._drawn}"
        self.capture_directory = self._directory / "captures"
        for directory in (self.log_directory, self.capture_directory):
            directory.mkdir(parents=True, exist_ok=True)
        self._internet = self._bare_host("internet", _FORWARDING)
        self._wires = self._bare_host("wires", ("net.ipv6.conf.default.disable_ipv6=1",))
        self._batch("internet", [f"addr add {address} dev lo" for address in _ROUTER_ADDRESSES])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- drawing

    def host(self, name, addresses=(), behind=None, **link):
        """A host with the addresses given ("198.51.100.11", or with a prefix length that programs shall see).

        `behind`: the name of a NAT; addresses are then given by it, unless stated. Link settings: see WireSettings,
        and `mtu`, `offloads` (False: every frame on the cable is whole, as captures of sizes want it), `shaped` (True: a wire
        that can be changed later, though it does nothing yet).
        """
        if isinstance(addresses, str):
            addresses = [addresses]
        if behind is not None:
            return self._lan_host(name, addresses, self._known(behind), link)
        host = self._bare_host(name, ())
        self._attach(host, addresses, self._internet, f"r-{name}", **link)
        return host

    def nat(self, name, wan, lan="192.168.1.1/24", lan6=None, kind="eim", **link):
        """A home router: clients behind it get addresses of `lan` (and `lan6`, which is routed, not translated)."""
        home = self.host(name, wan, **link)
        for sysctl in _FORWARDING:
            home.sysctl(*sysctl.split("="))
        home.kind, home.clients = kind, []
        home.lans = [ipaddress.ip_interface(text) for text in (lan, lan6) if text]
        # A bridge without an address of its own takes one from its ports, and changes it as they come and go.
        home.lan_mac = f"02:00:01:00:00:{self.next_number():02x}"
        lines = [f"link add lan address {home.lan_mac} type bridge", "link set lan addrgenmode none", "link set lan up"]
        lines += [f"addr add {net} dev lan {'nodad' if net.version == 6 else ''}" for net in home.lans]
        self._batch(name, lines)
        if lan6:
            self._batch("internet", [f"route add {home.lans[1].network} via {home.ip6} dev r-{name} onlink"])
        home.nft(nat.rules(kind))
        return home

    def capture(self, *hosts, **options):
        """Records the links of these hosts (or names); of all hosts when none is named. See Capture."""
        chosen = [self._known(host) for host in hosts] or list(self.hosts.values())
        self._captures.append(Capture(self, chosen, **options))
        return self._captures[-1]

    def lose_long(self, sender, receiver, above):
        """From now on the internet loses IP packets of more than `above` bytes that one host (or name) sends to the other, and says
        nothing to anybody; above=None: no more. Both hosts need wires (or offloads=False), else frames are longer than packets are.
        """
        sender, receiver = self._known(sender), self._known(receiver)
        table = f"inet long_{sender.name}_{receiver.name}"
        rules = [f"ip saddr {sender.ip4} ip daddr {receiver.ip4} ip length > {above} drop"]
        if getattr(sender, "ip6", None) and getattr(receiver, "ip6", None):
            rules.append(f"ip6 saddr {sender.ip6} ip6 daddr {receiver.ip6} ip6 length > {(above or 40) - 40} drop")
        chain = "type filter hook forward priority 0; " + "; ".join(rules)
        self._internet.nft(f"add table {table}\ndelete table {table}\n"
                           + (f"table {table} {{\nchain forward {{ {chain}\n}}\n}}\n" if above is not None else ""))

    def drops(self):
        """Frames that any recording missed."""
        return sum(capture.stop() for capture in self._captures)

    def close(self):
        """Ends every program and takes the network away; the script could draw another one."""
        Lab._open = None
        self._kill_every_program()
        for name in ("internet", "wires", *self.hosts):
            subprocess.run([self._ip, "netns", "del", name], check=False, stderr=subprocess.DEVNULL)
            run = pathlib.Path(LAB_DIRECTORY) / "hosts" / name
            subprocess.run(["/usr/bin/umount", run / "run" / "netlab"], check=False, stderr=subprocess.DEVNULL)
            shutil.rmtree(run, ignore_errors=True)
        self.hosts.clear()
        shutil.rmtree(self._directory, ignore_errors=True)

    # -- for the other modules

    def adopt(self, process):
        self._processes.append(process)
        return process

    def next_number(self):
        self._numbers += 1
        return self._numbers

    # -- inside

    def _kill_every_program(self):
        """Also those that detached themselves: daemons that a program left behind, in namespaces of their own."""
        for process in self._processes:
            process.signal(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while (left := _processes_marked(f"NETLAB_LAB={self.mark}".encode())) and time.monotonic() < deadline:
            for process, marked in left.items():
                if marked:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
            time.sleep(0.005)
        for process in self._processes:
            process.wait()

    def _known(self, host):
        name = getattr(host, "name", host)
        if name not in self.hosts:
            raise NetlabError(f"there is no host '{name}' in this lab; there are: {', '.join(self.hosts)}")
        return self.hosts[name]

    def _bare_host(self, name, sysctls):
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,11}", name) or name in self.hosts:
            raise NetlabError(f"'{name}' cannot name a host: 1 to 12 of a-z, 0-9 and -, each name once")
        subprocess.run([self._ip, "netns", "add", name], check=True)
        host = Host(self, name)
        with host.inside():
            for sysctl in (*_SYSCTLS, *sysctls):
                kernel.write_sysctl(*sysctl.split("="))
        self._batch(name, ["link set lo up"])
        if name not in ("internet", "wires"):
            self.hosts[name] = host
        return host

    def _lan_host(self, name, addresses, home, link):
        host = self._bare_host(name, ())
        home.clients.append(host)
        if not addresses:
            addresses = [f"{net.network[1 + len(home.clients)]}/{net.network.prefixlen}" for net in home.lans]
        self._attach(host, addresses, home, f"l-{name}", gateways=[str(net.ip) for net in home.lans], **link)
        if home.kind == "fullcone":
            home.nft(nat.rules(home.kind, home.clients[0].ip4))
        return host

    def _attach(self, host, addresses, upstream, port, gateways=None, mtu=1500, offloads=None, shaped=False, **wire):
        """The cable from the host's eth0 to `port` of `upstream`, with a shim in the middle where there is something to do."""
        settings = WireSettings(**wire)
        shaped = shaped or settings != WireSettings()
        number = self.next_number()
        macs = [f"02:00:00:{number >> 8:02x}:{number & 255:02x}:0{end}" for end in (1, 2)]
        ends = [("eth0", host, macs[0])]
        if shaped:
            ends += [(f"w-{host.name}", self._wires, None), (f"v-{host.name}", self._wires, None)]
        ends += [(port, upstream, macs[1])]
        self._lay_cables(ends, mtu, offloads=not shaped if offloads is None else offloads)
        self._configure(host, [ipaddress.ip_interface(text) for text in addresses], upstream, port, gateways, macs)
        host.tap = (self._wires, f"w-{host.name}") if shaped else (upstream, port)
        if shaped:
            host.wire = Wire(self._wires, f"w-{host.name}", f"v-{host.name}", settings, self.seed * 1000 + number)
            host.wire.wait_until_ready()
        for name, place, _ in ends:
            self._wait_for_carrier(name, place)

    def _lay_cables(self, ends, mtu, offloads):
        lines = []
        for (name, place, mac), (other, far, far_mac) in zip(ends[::2], ends[1::2]):
            lines.append(f"link add {name} netns {place.name} {_with_mac(mac)} mtu {mtu} type veth "
                         f"peer name {other} netns {far.name} {_with_mac(far_mac)} mtu {mtu}")
        self._batch(None, lines)
        for name, place, _ in ends:
            if not offloads:
                with place.inside():
                    kernel.turn_offloads_off(name)
        if len(ends) == 4:
            self._batch("wires", [f"link set {name} up" for name, place, _ in ends if place is self._wires])

    @staticmethod
    def _wait_for_carrier(interface, place):
        deadline = time.monotonic() + 5
        with place.inside():
            while not kernel.carries_frames(interface):
                if time.monotonic() > deadline:
                    raise NetlabError(f"the cable at {interface} of {place.name} did not come up within 5 s")
                time.sleep(0.001)

    def _configure(self, host, addresses, upstream, port, gateways, macs):
        behind_nat = gateways is not None
        gateways = gateways or ["169.254.0.1", "fe80::1"]
        host.addresses = [str(address.ip) for address in addresses]
        inner = ["link set eth0 addrgenmode none", "addr add fe80::2/64 dev eth0 nodad", "link set eth0 up"]
        outer = [f"link set {port} addrgenmode none"]
        outer += [f"link set {port} master lan"] if behind_nat else [
            f"addr add 169.254.0.1/32 dev {port} scope link", f"addr add fe80::1/64 dev {port} nodad"]
        outer += [f"link set {port} up"]
        gateway_mac = upstream.lan_mac if behind_nat else macs[1]
        for address in addresses:
            flags = "nodad noprefixroute" if address.version == 6 else "noprefixroute"
            inner.append(f"addr add {address} dev eth0 {flags}")
            outer += [] if behind_nat else [f"route add {address.ip} dev {port}"]
            outer.append(f"neigh replace {address.ip} lladdr {macs[0]} dev {'lan' if behind_nat else port} nud permanent")
        for version in {address.version for address in addresses}:
            gateway = next((g for g in gateways if ipaddress.ip_address(g).version == version), None)
            if gateway is None:
                raise NetlabError(f"{host.name} has an IPv{version} address, but {upstream.name} has no IPv{version} network")
            first = next(str(a.ip) for a in addresses if a.version == version)
            setattr(host, f"ip{version}", first)
            inner += [f"neigh replace {gateway} lladdr {gateway_mac} dev eth0 nud permanent",
                      f"route add default via {gateway} dev eth0 onlink src {first}"]
        self._batch(upstream.name, outer)
        self._batch(host.name, inner)

    def _batch(self, name, lines):
        """One `ip` for many commands; in the host `name`, or outside of all of them."""
        command = [self._ip, *(["-n", name] if name else []), "-b", "-"]
        done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NetlabError(f"ip refused, in {name or 'the lab'}: {done.stderr.strip()}\n" + "\n".join(lines))


def _processes_marked(variable):
    """{process: True for those with the variable in their environment, False for those of which we cannot tell yet}"""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            environment = pathlib.Path(f"/proc/{entry}/environ").read_bytes()
            if variable in environment.split(b"\0"):
                found[int(entry)] = True
            elif not environment and not _is_zombie(entry):
                found[int(entry)] = False  # in the middle of an exec
    return found


def _is_zombie(process):
    return pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _with_mac(mac):
    return f"address {mac}" if mac else ""
