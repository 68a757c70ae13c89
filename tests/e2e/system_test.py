#!/usr/bin/python3
"""`macrovpn up` and `down`: what they make, what is left, and what they say."""

import fcntl
import pathlib
import time

from e2e import netlab
from macronet import Node, computer, summary
from macronet.world import WEB_ADDRESSES, WEB_NAME
from netlab import check


def traces(machine):
    """What is left in the kernel of the computer's network."""
    host = machine.host
    found = host.run(["/usr/sbin/nft", "list", "tables"]).stdout
    for words in (["rule"], ["-6", "rule"]):
        found += "\n".join(line for line in host.ip(*words).splitlines() if not line.startswith(("0:", "32766:", "32767:")))
    found += "\n".join(line for line in host.ip("-o", "link").splitlines() if "macrovpn" in line)
    return found.strip()


def everything_goes_through_the_tunnel_and_down_leaves_nothing():
    with computer() as machine:
        before = machine.resolv_conf()
        said = machine.up().stdout
        check(said.startswith("Protected"), said)
        check(machine.status()["state"] == "connected" and machine.status()["system"], machine.status())
        exits = {address for relay in machine.world.exits for address in relay.host.addresses}
        for target in (f"http://{WEB_NAME}/", f"http://{WEB_ADDRESSES[0]}/", f"http://[{WEB_ADDRESSES[1]}]/"):
            page = machine.page(target)
            check(page and page.split()[-1] in exits, f"{target}: {page}")
        check("10.10.0.1" in machine.resolv_conf(), machine.resolv_conf())
        check(machine.up().returncode == 0 and machine.page(), "a second `up` broke it")
        said = machine.down().stdout
        for thing in ("resolv.conf", "routing rules", "device", "kill switch", "daemon"):
            check(thing in said, f"`down` does not tell of the {thing}: {said}")
        check(machine.resolv_conf() == before, f"resolv.conf was {before!r}, is {machine.resolv_conf()!r}")
        check(traces(machine) == "", f"left behind: {traces(machine)}")
        check("203.0.113" in machine.page(f"http://{WEB_ADDRESSES[0]}/"), "the network is not as it was")
        check(machine.down().stdout.strip() == "Nothing was up.", "a second `down` found something")


def it_holds_without_a_daemon_and_says_so_and_down_works():
    with computer() as machine:
        before = machine.resolv_conf()
        machine.up()
        machine.kill_daemon()
        with machine.world.lab.capture(machine.host) as capture, machine.traffic() as counts:
            time.sleep(2)
        leaked = machine.leaks(capture)
        check(leaked == [], summary(leaked))
        check(counts["pages"] == 0 and counts["attempts"] > 50, counts)
        said = machine.node.command("status", check=False)
        check(said.stdout.startswith("Blocked (kill switch): no daemon is running") and said.returncode == 3, said.stdout)
        check("blocked    " in said.stdout and "names (DNS" in said.stdout, f"it does not say which rule blocks: {said.stdout}")
        machine.up()
        check(machine.page(), "`up` after a crash did not heal it")
        machine.kill_daemon()
        said = machine.down().stdout
        check("kill switch" in said and "daemon" not in said, said)
        check(machine.resolv_conf() == before and traces(machine) == "", traces(machine))
        return said.replace("\n", "; ")


def a_daemon_that_is_started_again_serves_the_computer_by_itself():
    with computer() as machine:
        machine.up()
        machine.kill_daemon()
        machine.world.start_client()
        check(machine.status()["system"] and machine.page(), machine.status())


def up_in_the_foreground_is_the_daemon():
    with computer() as machine:
        process = machine.node.start("up", "--foreground")
        machine.wait_for_state("connected")
        check(machine.page(), "no page")
        process.kill9()
        check(machine.status()["state"] == "blocked" and machine.page(timeout=2) is None, "it opened when its daemon died")
        process = machine.node.start("up", "--foreground")
        machine.wait_for_state("connected")
        check("kill switch" in machine.down().stdout, "down")
        check(process.wait() == 0, "`down` did not end the daemon")


def a_broken_start_changes_nothing():
    with computer() as machine:
        before = machine.resolv_conf()
        machine.host.ip("link", "add", "macrovpn0", "type", "veth", "peer", "name", "other")  # the name is taken: the daemon cannot open it
        said = machine.up(check=False)
        check(said.returncode == 1 and "Blocked (kill switch)" in said.stderr and "macrovpn down" in said.stderr, said.stderr)
        machine.down()
        check(traces(machine) == "" and machine.resolv_conf() == before, traces(machine))
        hidden = machine.host.run(["sh", "-c", "mount --bind /dev/null /dev/net/tun && exec \"$@\"", "sh", *machine.node.argv("up")], check=False)
        check(hidden.returncode == 1 and "nothing was changed" in hidden.stderr, hidden.stderr)
        check(traces(machine) == "" and machine.resolv_conf() == before, traces(machine))


def an_ordinary_user_is_told_what_to_do():
    with computer() as machine:
        machine.node._ordinary = True
        for verb in ("up", "down"):
            said = machine.node.command(verb, check=False)
            check(said.returncode == 1 and "sudo macrovpn " + verb in said.stderr and len(said.stderr.splitlines()) == 1, said.stderr)


def the_rules_for_the_start_of_the_computer_load_into_a_fresh_network():
    with computer() as machine:
        machine.up("--at-boot")
        machine.down()
        rules = pathlib.Path(machine.node.state) / "kill-switch.nft"
        check(rules.exists() and "network-pre.target" in rules.with_name("macrovpn-kill-switch.service").read_text(), "no files")
        machine.host.run(["/usr/sbin/nft", "-f", rules])
        with machine.world.lab.capture(machine.host) as capture, machine.traffic() as counts:
            time.sleep(1)
        leaked = machine.leaks(capture)
        check(leaked == [] and counts["pages"] == 0, f"{summary(leaked)} {counts}")
        check(machine.status()["state"] == "blocked", machine.status())
        machine.up()
        check(machine.page(), "`up` does not work behind the rules of the start")
        check("kill-switch.nft" in machine.down("--at-boot").stdout and not rules.exists(), "the files are still there")


def names_come_back_when_a_dhcp_client_writes_resolv_conf():
    with computer() as machine:
        machine.up()
        machine.host.resolve_with("192.168.1.1")
        deadline = time.monotonic() + 10
        while "10.10.0.1" not in machine.resolv_conf():
            check(time.monotonic() < deadline, "resolv.conf stays the DHCP client's")
            time.sleep(0.1)
        check(machine.page(), "no names")
        machine.down()
        check("192.168.1.1" in machine.resolv_conf(), f"the latest was not restored: {machine.resolv_conf()}")


def a_flush_by_another_firewall_is_healed_and_status_tells_what_is_missing():
    with computer() as machine:
        before = machine.resolv_conf()
        process = machine.node.start("up", "--foreground")
        machine.wait_for_state("connected")
        machine.host.nft("flush ruleset")
        deadline = time.monotonic() + 5
        while "macrovpn" not in machine.host.run(["/usr/sbin/nft", "list", "tables"]).stdout:
            check(time.monotonic() < deadline, "5 s after a flush the kill switch is not there")
            time.sleep(0.1)
        process.wait_for_output("another firewall removed the kill switch; it is loaded again")
        check(machine.status()["kill_switch"]["loaded"] and machine.page(), machine.status())
        process.kill9()
        machine.host.nft("flush ruleset")
        said = machine.node.command("status", check=False).stdout
        check("the kill switch is missing" in said, said)
        machine.down()
        check(machine.resolv_conf() == before and traces(machine) == "", traces(machine))


def after_a_restart_of_the_computer_names_are_as_they_were():
    """The disk stays, every network and the daemon are gone; a new network namespace is what the kernel has then."""
    def restarted(*words, ordinary=False):
        return machine.host.run(["unshare", "--net", *machine.node.argv(*words)], check=False, ordinary=ordinary)

    with computer() as machine:
        before = machine.resolv_conf()
        machine.up()
        for words in (["status"], ["down", "--after-restart"]):
            machine.node.command(*words)
            check("10.10.0.1" in machine.resolv_conf(), f"{words} gave the names back while up")
        check(machine.page(), "no page")
        machine.kill_daemon()
        machine.node.command("down", "--after-restart")
        check("10.10.0.1" in machine.resolv_conf(), "a crash passes for a restart")

        user = Node(machine.host, ordinary=True)
        user.state = str(machine.host.home / "of-a-user")
        said = machine.host.run(["unshare", "--user", "--map-current-user", "--net", *user.argv("status")], check=False, ordinary=True)
        check("names do not resolve" in said.stdout and "sudo macrovpn down" in said.stdout, f"{said.stdout}{said.stderr}")
        check("10.10.0.1" in machine.resolv_conf(), "an ordinary user's `status` changed the names")

        said = restarted("status")
        check("/etc/resolv.conf is again as it was" in said.stderr and machine.resolv_conf() == before, f"{said.stderr} {machine.resolv_conf()}")
        check("was restarted while up, and is not protected" in said.stdout, said.stdout)
        check(restarted("status").stderr == "", "it is said twice")

        machine.up()  # what an enabled service does at the start
        check("10.10.0.1" in machine.resolv_conf() and machine.page(), "no `up` after a restart")
        machine.kill_daemon()
        said = restarted("down", "--after-restart")  # what systemd runs, before there is a network
        check("as it was" in said.stderr and machine.resolv_conf() == before, f"{said.stderr} {machine.resolv_conf()}")

        machine.up()
        machine.kill_daemon()
        daemon = machine.host.start(["unshare", "--net", *machine.node.argv("daemon")])
        daemon.wait_for_output("as it was before")
        check(machine.resolv_conf() == before, machine.resolv_conf())
        daemon.stop()
        machine.down()
        check(machine.resolv_conf() == before and traces(machine) == "", traces(machine))
        check("restarted" not in machine.node.command("status", check=False).stdout, "it says so after `down` too")


def down_waits_while_the_daemon_writes():
    with computer() as machine:
        before = machine.resolv_conf()
        machine.up()
        with open(pathlib.Path(machine.node.state) / "system-lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            down = machine.node.start("down")
            time.sleep(1)
            check(down.running and "10.10.0.1" in machine.resolv_conf(), f"it did not wait: {down.output()}")
        check(down.wait() == 0 and machine.resolv_conf() == before and traces(machine) == "", down.output())


def a_strict_rp_filter_lets_the_tunnel_work():
    with computer() as machine:
        for name in ("all", "eth0", "default"):
            machine.host.sysctl(f"net.ipv4.conf.{name}.rp_filter", "1")
        machine.up()
        check(machine.page(), "no page")
        machine.host.nft("flush chain inet macrovpn early_in")
        check(machine.page(timeout=2) is None, "the rule that marks what comes is not needed: the filters are not strict")
        machine.down()
        check(machine.host.run(["cat", "/proc/sys/net/ipv4/conf/all/src_valid_mark"]).stdout.strip() == "0", "src_valid_mark stays")


def uninvited_packets_do_not_come_in():
    """Over the uplink to the inside address (CVE-2019-14899), and out of the tunnel from the exit."""
    with computer() as machine:
        machine.up()
        listener = machine.host.start(["/usr/bin/python3", "-u", "-c", "import socket; s=socket.socket(); s.bind(('0.0.0.0', 7777)); s.listen();"
                                       "print('up', flush=True)\nwhile True: print('came', s.accept()[1][0], flush=True)"])
        listener.wait_for_output("up")
        rogue = machine.world.lab.host("rogue", behind="home")
        rogue.ip("route", "add", "10.10.0.2", "via", machine.host.ip4, "dev", "eth0", "onlink")
        with machine.world.lab.capture(machine.host) as capture:
            for target in ("10.10.0.2", machine.host.ip4):
                rogue.run(["curl", "-s", "--max-time", "1", f"http://{target}:7777/"], check=False)
        answers = machine.leaks(capture)
        check(answers == [] and "came" not in listener.output(), f"{summary(answers)} {listener.output()}")
        blocked = {b["what"]: b["packets"] for b in machine.status()["kill_switch"]["blocked"]}
        check(blocked.get("probes for the inside addresses", 0) > 0, blocked)
        check(not answers_arp(rogue), "the computer says by ARP that it has the inside address")
        machine.host.nft("delete table arp macrovpn")
        check(answers_arp(rogue), "no answer to ARP would have been seen")


def answers_arp(rogue):
    rogue.ip("route", "replace", "10.10.0.2", "dev", "eth0")
    rogue.run(["/usr/sbin/ip", "neigh", "flush", "10.10.0.2"], check=False)
    rogue.run(["curl", "-s", "--max-time", "1", "http://10.10.0.2:7777/"], check=False)
    return "lladdr" in rogue.ip("neigh", "show", "10.10.0.2")


# As a hostile exit: writes a SYN for port 7777 into the device, and says whether anything answers.
_OUT_OF_THE_TUNNEL = """
import fcntl, os, select, struct
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16: total = (total & 65535) + (total >> 16)
    return 65535 - total
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"macrovpn0", 0x1001))
source, target = bytes([192, 0, 2, 80]), bytes([10, 10, 0, 2])
tcp = struct.pack("!HHIIBBHHH", 80, 7777, 1, 0, 0x50, 2, 65535, 0, 0)
tcp = tcp[:16] + struct.pack("!H", checksum(source + target + struct.pack("!HH", 6, 20) + tcp)) + tcp[18:]
ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0, 64, 6, 0) + source + target
ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
os.write(tun, ip + tcp)
answers = 0
while select.select([tun], [], [], 0.5)[0]:
    packet = os.read(tun, 2000)
    answers += packet[9] == 6 and packet[16:20] == source
print("answers", answers)
"""


def nobody_connects_out_of_the_tunnel():
    with computer() as machine:
        machine.up()
        machine.kill_daemon()
        listener = machine.host.start(["/usr/bin/python3", "-u", "-c", "import socket; s=socket.socket(); s.bind(('0.0.0.0', 7777)); s.listen();"
                                       "print('up', flush=True); s.accept()"])
        listener.wait_for_output("up")
        said = machine.host.run(["/usr/bin/python3", "-c", _OUT_OF_THE_TUNNEL]).stdout
        check("answers 0" in said, f"the computer answered the exit: {said}")
        machine.host.nft("flush chain inet macrovpn input")
        said = machine.host.run(["/usr/bin/python3", "-c", _OUT_OF_THE_TUNNEL]).stdout
        check("answers 0" not in said, f"nothing would have been seen: {said}")


def containers_go_through_the_tunnel_or_nowhere():
    with computer() as machine:
        host = machine.host
        container = host.start(["/usr/bin/unshare", "-n", "sh", "-c", "echo ready; sleep 60"])
        container.wait_for_output("ready")
        within = ["/usr/bin/nsenter", "-t", str(container.pid), "-n"]
        host.ip("link", "add", "c0", "type", "veth", "peer", "name", "c1", "netns", str(container.pid))
        host.run(["sh", "-c", "ip addr add 172.31.0.1/24 dev c0; ip link set c0 up"])
        host.run([*within, "sh", "-c", "ip addr add 172.31.0.2/24 dev c1; ip link set c1 up; ip route add default via 172.31.0.1"])
        host.sysctl("net.ipv4.ip_forward", "1")
        host.nft("table ip nat { chain post { type nat hook postrouting priority 100; ip saddr 172.31.0.0/24 oifname eth0 masquerade; }; }")
        fetch = [*within, "/usr/bin/curl", "-sS", "--max-time", "3", f"http://{WEB_ADDRESSES[0]}/"]
        check("203.0.113" in host.run(fetch).stdout, "the container has no network before")
        machine.up()
        with machine.world.lab.capture(host) as capture:
            page = host.run(fetch, check=False)
            check("198.51.100" in page.stdout, f"the container has no network inside: {page}")
            machine.kill_daemon()
            check(host.run(fetch, check=False).returncode != 0, "a page without a daemon")
            for priority in ("101", "102"):
                host.ip("rule", "del", "priority", priority)  # the second layer alone
            check(host.run(fetch, check=False).returncode != 0, "a page past the tunnel")
        leaked = machine.leaks(capture)
        check(leaked == [], summary(leaked))
        check("forwarded for others" in machine.node.command("status", check=False).stdout, "status")
        machine.down()


def run_works_beside_it_and_for_an_ordinary_user_through_its_daemon():
    with computer() as machine:
        world, host = machine.world, machine.host
        user = Node(host, ordinary=True)
        user.state = str(host.home / "of-a-user")
        user.command("network", "add", pathlib.Path(world.relays[0].state) / "network.toml")
        user.command("config", "set", "network.descriptors", world.descriptors)
        fetch = ("run", "--group", "mine", "--", "curl", "-sS", "--max-time", "10", f"http://{WEB_NAME}/")
        outside = user.command(*fetch)
        check("no daemon was running" in outside.stderr and outside.stdout.startswith("you are 198.51.100"), f"{outside.stdout}{outside.stderr}")
        user.command("daemon", "--stop")
        machine.up()
        with world.lab.capture(host) as capture:
            inside = user.command(*fetch)
        leaked = machine.leaks(capture)
        check(inside.stdout.startswith("you are 198.51.100") and leaked == [], f"{inside.stdout}{inside.stderr} {summary(leaked)}")
        sleeper = user.start("run", "--group", "mine", "--", "sleep", "30")
        status = machine.node.wait("the user's program", lambda s: any(d["group"].endswith("-mine") for d in s["devices"]))
        groups = {c["group"] for c in status["circuits"] if c.get("group")}
        check(len(groups) == 2, f"the program shares a circuit: {groups}")
        chosen = user.command("run", "--mode", "fast", "--", "true", check=False)
        check(chosen.returncode == 125 and "leave out --mode" in chosen.stderr, chosen.stderr)
        for method in ("stop", "system.detach", "hop"):
            said = host.run(["/usr/bin/python3", "-c", DOOR, method], check=False).stdout
            check("does not know" in said, f"{method} through the door: {said}")
        check("this is none" in host.run(["/usr/bin/python3", "-c", DOOR, "attach"], check=False).stdout, "a pipe was taken for a device")
        said = machine.down().stdout
        check("stopped    the daemon" in said, f"the daemon goes on for a guest: {said}")
        machine.up()
        machine.kill_daemon()
        dead = user.command(*fetch, check=False)
        check(dead.returncode == 125 and "sudo macrovpn up" in dead.stderr, dead.stderr)
        check(user.command("status", check=False).returncode == 3, "status")
        sleeper.stop()


DOOR = """
import array, json, os, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(b"\\0macrovpn-system"); f = s.makefile()
def call(method, params, fds=()):
    s.sendmsg([json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\\n"],
              [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
    return f.readline()
call("hello", {"version": 1})
print(call(sys.argv[1], {"group": "x", "kind": "tun", "device": "01" + "00" * 12}, os.pipe()[:1] if sys.argv[1] == "attach" else ()))
"""


netlab.enter()
raise SystemExit(netlab.run_tests([
    everything_goes_through_the_tunnel_and_down_leaves_nothing,
    it_holds_without_a_daemon_and_says_so_and_down_works,
    a_daemon_that_is_started_again_serves_the_computer_by_itself,
    up_in_the_foreground_is_the_daemon,
    a_broken_start_changes_nothing,
    an_ordinary_user_is_told_what_to_do,
    the_rules_for_the_start_of_the_computer_load_into_a_fresh_network,
    names_come_back_when_a_dhcp_client_writes_resolv_conf,
    a_flush_by_another_firewall_is_healed_and_status_tells_what_is_missing,
    after_a_restart_of_the_computer_names_are_as_they_were,
    down_waits_while_the_daemon_writes,
    a_strict_rp_filter_lets_the_tunnel_work,
    uninvited_packets_do_not_come_in,
    nobody_connects_out_of_the_tunnel,
    containers_go_through_the_tunnel_or_nowhere,
    run_works_beside_it_and_for_an_ordinary_user_through_its_daemon,
]))
