#!/usr/bin/python3
"""A relay at home whose router opens a port: a real miniupnpd with PCP, NAT-PMP and UPnP, one at a time."""

import json
import os
import pathlib
import shutil
import sys
import time

import e2e  # noqa: F401  (the way to the laboratory)
import netlab
from macronet import World
from macronet.world import Node
from netlab import check

WAN, PORT = "203.0.113.10", 51820
CHECK_SECONDS = 5
NFT = """
table inet mini {{
  chain miniupnpd {{ }}
  chain forward {{ type filter hook forward priority -1; jump miniupnpd
  }}
  chain prerouting_miniupnpd {{ }}
  chain prerouting {{ type nat hook prerouting priority -101; jump prerouting_miniupnpd
  }}
  chain postrouting_miniupnpd {{ }}
  chain postrouting {{ type nat hook postrouting priority 99; jump postrouting_miniupnpd
  }}
}}
add rule inet home forward ct status dnat accept
"""


class Router:
    """miniupnpd refuses TEST-NET as its outside address, so it says a made-up one, to which nothing is ever sent.

    A home router whose miniupnpd speaks what `speaks` says: "pcp", "nat-pmp" or "upnp"."""

    def __init__(self, home, speaks):
        self.home, self.speaks, self.process = home, speaks, None
        program = shutil.which("miniupnpd", path="/usr/sbin:/usr/bin")
        if not program:
            raise netlab.Skip("needs miniupnpd of Debian's miniupnpd-nftables")
        self.config = pathlib.Path(home.home) / "miniupnpd.conf"
        self.config.write_text(f"""ext_ifname=eth0
ext_ip=11.0.0.10
listening_ip=lan
enable_natpmp={"no" if speaks == "upnp" else "yes"}
enable_upnp={"yes" if speaks == "upnp" else "no"}
secure_mode=yes
upnp_table_name=mini
upnp_nat_table_name=mini
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
uuid=7d7f2a3e-1111-4222-8333-444455556666
allow 1024-65535 192.168.1.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
""")
        self.argv = [program, "-f", str(self.config), "-d", "-P", str(pathlib.Path(home.home) / "miniupnpd.pid")]

    def start(self):
        self.load_rules()
        self.run()

    def load_rules(self):
        self.home.nft(netlab.nat.rules("eim") + NFT.replace("{{", "{").replace("}}", "}"))
        if self.speaks == "nat-pmp":  # an old router: miniupnpd itself always speaks both
            self.home.nft("add table inet old\nadd chain inet old in { type filter hook input priority -5; }\n"
                          "add rule inet old in udp dport 5351 @th,64,8 2 drop")

    def run(self):
        self.process = self.home.start(self.argv)
        self.home.wait_for_port(1900 if self.speaks == "upnp" else 5351, "udp")

    def forget_everything(self, refuse=False):
        """As after a loss of power: the rules are gone, and the program starts anew; it may open nothing from now on."""
        if refuse:
            self.config.write_text("".join(line for line in self.config.read_text().splitlines(True) if not line.startswith("allow")))
        self.process.kill9()
        self.load_rules()
        check("dnat" not in self.mappings(), "the router remembers")
        self.run()

    def mappings(self):
        return self.home.run(["/usr/sbin/nft", "list", "chain", "inet", "mini", "prerouting_miniupnpd"]).stdout


def home_relay(w):
    node = Node(w.lab.host("homerelay", behind="home"))
    node.command("network", "add", pathlib.Path(w.relays[0].state) / "network.toml")
    node.command("config", "set", "network.descriptors", w.descriptors)
    node.command("config", "set", "relay.open_port_check", CHECK_SECONDS)
    node.process = node.start("relay", "--listen", f"0.0.0.0:{PORT}", "--open-port", "--endpoint", f"{WAN}:{PORT}")
    w._when_answering(node)
    return node


def is_open(status):
    return status.get("relay", {}).get("port", {}).get("state") == "open"


def reached_from_outside(w, node):
    """A stranger on the Internet asks it by (masked) STUN: doctor, whose only relay in its folder is the one at home."""
    asker = w.asker
    shutil.rmtree(w.only, ignore_errors=True)
    w.only.mkdir(mode=0o700)
    for file in w.descriptors.iterdir():
        if node.relay_id in file.name:
            shutil.copy(file, w.only)
    return doctor(asker)["UDP"]["verdict"] == "ok"


def doctor(node):
    return {f["check"]: f for f in json.loads(node.command("doctor", "--json", check=False, timeout=60).stdout)}


# Answers every search for a router: "it is me", and says who then comes to read about it.
LIAR = """
import socket, struct, sys, threading
me = sys.argv[1]
web = socket.create_server((me, 5000))
def serve():
    while True:
        connection, _ = web.accept()
        print("FETCHED", flush=True)
        connection.close()
threading.Thread(target=serve, daemon=True).start()
ssdp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ssdp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
ssdp.bind(("", 1900))
ssdp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.255.255.250") + socket.inet_aton(me))
print("ready", flush=True)
while True:
    question, asker = ssdp.recvfrom(2000)
    print("SEARCHED", flush=True)
    kind = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
    ssdp.sendto(("HTTP/1.1 200 OK\\r\\nST: %s\\r\\nUSN: uuid:1::%s\\r\\nLOCATION: http://%s:5000/d.xml\\r\\n\\r\\n" % (kind, kind, me)).encode(), asker)
"""


def another_host_of_the_lan_cannot_pretend_to_be_the_router():
    with netlab.Lab() as lab, World(lab, relays=1, exits=1, client_v6=False, exit_v6=False) as w:
        liar = lab.host("liar", behind="home")
        process = liar.start(["/usr/bin/python3", "-u", "-c", LIAR, liar.ip4])
        process.wait_for_output("ready")
        found = doctor(w.client)["port mapping"]
        check(found["verdict"] == "note" and "does not speak" in found["text"], f"{found}")
        said = process.output()
        check("SEARCHED" in said, "nobody searched, so nothing was tried")
        check("FETCHED" not in said, "what another host of the LAN calls a router was read")


def the_helper_has_no_rights():
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                process = pathlib.Path("/proc") / entry
                if not (process / "cmdline").read_bytes().startswith(b"macrovpn-upnp\0"):
                    continue
                status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
            except OSError:
                continue
            if status["Seccomp"] != "2":
                continue  # it has just been started
            check(status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0, f"{status}")
            return
        time.sleep(0.02)
    check(False, "no helper without rights was seen")


def a_relay_at_home_opens_its_port(speaks, by):
    with netlab.Lab() as lab, World(lab, relays=1, exits=1, client_v6=False, exit_v6=False) as w:
        w.make_network()
        w.start_relays()
        router = Router(w.home, speaks)
        router.start()
        w.asker = Node(lab.host("asker", ["198.51.100.77"]))
        w.only = w.shared / "only"
        w.asker.command("network", "add", pathlib.Path(w.relays[0].state) / "network.toml")
        w.asker.command("config", "set", "network.descriptors", w.only)
        began = time.monotonic()
        node = home_relay(w)
        if speaks == "upnp":
            the_helper_has_no_rights()
        status = node.wait("its port to be open", is_open, timeout=20)
        opened = time.monotonic() - began
        node.relay_id = status["relay"]["id"]
        port = status["relay"]["port"]
        check(port["by"] == by and port["outside_port"] == PORT, f"{port}")
        node.wait("its descriptor", lambda _: any(node.relay_id in f.name for f in w.descriptors.iterdir()))
        check(reached_from_outside(w, node), f"nobody reached it: {router.mappings()}")
        # Doctor tries it, and leaves nothing.
        found = doctor(node)["port mapping"]
        check(found["verdict"] != "PROBLEM" and by in found["text"] and router.mappings().count("dnat") == 1, f"{found} {router.mappings()}")
        # The router loses its memory.
        began = time.monotonic()
        router.forget_everything()
        deadline = began + CHECK_SECONDS + 20
        while "dnat" not in router.mappings():
            check(time.monotonic() < deadline, f"the port was not opened again: {node.status()['relay']['port']}")
            time.sleep(0.1)
        again = time.monotonic() - began
        check(reached_from_outside(w, node), "nobody reached it after the router's restart")
        # The end takes it away.
        node.process.stop(timeout=60)
        deadline = time.monotonic() + 3
        while "dnat" in router.mappings():  # the router is told by a datagram
            check(time.monotonic() < deadline, f"a mapping was left behind: {router.mappings()}")
            time.sleep(0.1)
        print(f"{by}: open after {opened:.1f} s, again {again:.1f} s after the router's restart")


# A firewall above the home's router, as a provider's NAT would be: what the router opens is not open.
SHUT = """
table inet provider {
  chain forward { type filter hook forward priority -20; iifname "eth0" ct state new udp dport %d drop
  }
}
""" % PORT


class FoundOut:
    """A live network, and a relay at home that was told nothing but --open-port."""

    def __init__(self, lab, shut=""):
        self.world = w = World(lab, relays=5, exits=1, client_v6=False, exit_v6=False, live=True)
        w.make_network()
        w.start_relays()
        self.router = Router(w.home, "pcp")
        self.router.start()
        if shut:
            w.home.nft(shut)
        self.node = Node(lab.host("homerelay", behind="home"))
        self.node.command("network", "add", pathlib.Path(w.relays[0].state) / "network.toml")
        self.node.command("config", "set", "relay.open_port_check", CHECK_SECONDS)
        self.node.process = self.node.start("relay", "--listen", f"0.0.0.0:{PORT}", "--open-port")
        self.node.relay_id = w._when_answering(self.node)["relay"]["id"]
        w.join_by_invite()

    def page(self):
        """Through the relay at home, to which one extends that does not introduce it: through how many introducers it went."""
        w = self.world
        entry = next(r for r in w.relays[:-1] if r.status()["relay"]["introductions"]["guests"] == 0)
        before = entry.status()["relay"]["introductions"]["spliced"]
        w.start_client()  # to learn the directory
        w.client.wait("knowing all", lambda s: s["relays_known"] >= 6, timeout=20)
        w.client.process.stop()
        w.start_client("--path", ",".join(n.relay_id for n in (entry, self.node, w.relays[-1])), wait=False)
        w.client.wait("a circuit", lambda s: s["state"] == "connected", timeout=30)
        check(w.run("curl", "-sS", "--max-time", "10", "http://www.shop.test/").stdout, "no page over the relay at home")
        w.client.process.stop()
        return entry.status()["relay"]["introductions"]["spliced"] - before

    def knows_as(self, introduced):
        """Until relay1's directory says so: a relay that clients may enter by, or a guest."""
        deadline = time.monotonic() + 20
        while True:
            said = json.loads(self.world.relays[0].command("peers", "--json").stdout)
            mine = [p for p in said["peers"] if p["id"] == self.node.relay_id]
            if mine and ("guard" in mine[0]["roles"]) != introduced:
                return
            check(time.monotonic() < deadline, f"relay1 knows {mine}")
            time.sleep(0.2)


def without_an_endpoint_it_is_published_once_others_came_through():
    with netlab.Lab() as lab:
        home = FoundOut(lab)
        with home.world:
            began = time.monotonic()
            status = home.node.wait("its port to be published", lambda s: s["relay"].get("port", {}).get("published"), timeout=40)
            published = time.monotonic() - began
            check(status["relay"]["home"]["introducers"] == 0, f"{status['relay']}")
            home.knows_as(introduced=False)
            check(home.page() == 0, "it went through an introducer")
            # The mapping goes: so does what was published of it, and it is reached through others.
            began = time.monotonic()
            home.router.forget_everything(refuse=True)
            home.node.wait("its port to be taken back", lambda s: not s["relay"]["port"]["published"], timeout=120)
            taken_back = time.monotonic() - began
            home.knows_as(introduced=True)
            home.node.wait("its introducers", lambda s: s["relay"]["home"]["registered"] >= 1, timeout=30)
            check(home.page() > 0, "it went straight to a relay that nobody can call")
            print(f"published after {published:.1f} s, taken back {taken_back:.1f} s after the mapping went")


def a_port_that_is_not_open_is_not_published():
    with netlab.Lab() as lab:
        home = FoundOut(lab, SHUT)
        with home.world:
            home.node.wait("its port to be open, says the router", is_open, timeout=20)
            home.node.wait("its introducers", lambda s: s["relay"]["home"]["registered"] >= 1, timeout=40)
            deadline = time.monotonic() + 30
            while sum(r.status()["relay"]["dials_served"] for r in home.world.relays) < 2:
                check(time.monotonic() < deadline, "nobody was asked to call")
                time.sleep(0.2)
            time.sleep(8)  # longer than a call in vain takes
            check(not home.node.status()["relay"]["port"]["published"], "a port was published that nobody came through")
            home.knows_as(introduced=True)
            check(home.page() > 0, "no page through an introducer")


def by_pcp():
    a_relay_at_home_opens_its_port("pcp", "PCP")


def by_nat_pmp_of_an_old_router():
    a_relay_at_home_opens_its_port("nat-pmp", "NAT-PMP")


def by_upnp():
    a_relay_at_home_opens_its_port("upnp", "UPnP")


netlab.enter()
sys.exit(netlab.run_tests([by_pcp, by_nat_pmp_of_an_old_router, by_upnp, without_an_endpoint_it_is_published_once_others_came_through,
                           a_port_that_is_not_open_is_not_published, another_host_of_the_lan_cannot_pretend_to_be_the_router]))
