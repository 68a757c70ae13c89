#!/usr/bin/python3
"""`macrovpn run`: what a program finds inside, and what it does not."""

import json

from e2e import netlab, running_world
from macronet.world import WEB_ADDRESSES, WEB_NAME
from netlab import check


def the_program_has_one_device_its_own_resolver_and_no_rights():
    with running_world() as world:
        said = world.run("sh", "-c", "ls /sys/class/net /proc/self/net/dev >/dev/null 2>&1; cat /proc/net/dev /etc/resolv.conf;"
                         "grep Cap /proc/self/status; cat /proc/net/route").stdout
        devices = {line.split(":")[0].strip() for line in said.splitlines() if ":" in line and "|" not in line
                   and line.split(":")[1].strip()[:1].isdigit() and not line.startswith("Cap")}
        # Where /dev/net/tun is closed to the user, both ends of a veth pair stand in for the TUN.
        check(devices in ({"lo", "mv0"}, {"lo", "mv0", "mv0p"}), f"devices inside: {devices}")
        check("nameserver 10.10.0.1" in said, said)
        for line in said.splitlines():
            if line.startswith(("CapEff", "CapPrm")):
                check(int(line.split()[1], 16) == 0, f"capabilities inside: {line}")


def the_exit_status_and_a_missing_program_are_told_as_a_shell_does():
    with running_world() as world:
        check(world.run("sh", "-c", "exit 7", check=False).returncode == 7, "the exit status got lost")
        check(world.run("sh", "-c", "kill -TERM $$", check=False).returncode == 128 + 15, "the signal got lost")
        missing = world.run("no-such-program", check=False)
        check(missing.returncode == 127 and "no-such-program" in missing.stderr, f"{missing.returncode}: {missing.stderr}")


def the_program_cannot_reach_the_control_socket_or_other_addresses_of_the_client():
    with running_world() as world:
        status = world.run("sh", "-c", f"ls -A {world.client.state}/run | wc -l", check=False)
        check(status.stdout.strip() in ("0", ""), f"the control socket's folder is visible inside: {status.stdout}")
        for target in ("http://192.168.1.1/", "http://192.168.1.2/", "http://10.10.0.3/"):
            got = world.run("curl", "-sS", "--max-time", "3", target, check=False)
            check(got.returncode != 0, f"{target} answered inside")


def two_groups_get_two_leases_and_see_nothing_of_each_other():
    with running_world("--hops", "3") as world:
        first = world.client.start("run", "--group", "one", "--", "sleep", "6")
        second = world.client.start("run", "--group", "two", "--", "sleep", "6")
        status = world.client.wait("two circuits", lambda s: len({c.get("group") for c in s["circuits"] if c["state"] == "ready"}
                                                                 & {"one", "two"}) == 2)
        circuits = {c["group"]: c for c in status["circuits"] if c.get("group")}
        check(circuits["one"]["id"] != circuits["two"]["id"], "the groups share a circuit")
        first.stop(), second.stop()


def a_page_comes_over_ipv4_ipv6_and_by_name_and_udp_answers():
    with running_world() as world:
        for target in (f"http://{WEB_NAME}/", f"http://{WEB_ADDRESSES[0]}/", f"http://[{WEB_ADDRESSES[1]}]/"):
            got = world.run("curl", "-sS", "--max-time", "10", target, check=False)
            check(got.returncode == 0 and got.stdout.startswith("you are "), f"{target}: {got.stderr}")
        dns = ("import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5);"
               "q=bytes.fromhex('123401000001000000000000')+b'\\3www\\4shop\\4test\\0\\0\\1\\0\\1';"
               "s.sendto(q,('192.0.2.53',53)); print(s.recv(512)[:2].hex())")
        got = world.run("/usr/bin/python3", "-c", dns, check=False)
        check(got.stdout.strip() == "1234", f"UDP through the exit: {got.stdout}{got.stderr}")


def an_exit_without_ipv6_says_unreachable_at_once():
    with running_world(exit_v6=False) as world:
        got = world.run("curl", "-sS", "-o", "/dev/null", "-w", "%{time_total}", "--max-time", "10",
                        f"http://[{WEB_ADDRESSES[1]}]/", check=False)
        check(got.returncode == 7, f"curl ended with {got.returncode}: {got.stderr}")
        check(float(got.stdout) < 2, f"it took {got.stdout} s")


def the_exit_refuses_what_is_not_public():
    with running_world() as world:
        relay = world.relays[0].host.ip4
        for target in ("http://127.0.0.1/", "http://10.0.0.1/", "http://169.254.169.254/", "http://[::ffff:10.0.0.1]/",
                       "http://[64:ff9b::a00:1]/", f"http://{relay}:51820/", f"telnet://{WEB_ADDRESSES[0]}:25"):
            got = world.run("curl", "-sS", "--max-time", "4", target, check=False)
            check(got.returncode != 0, f"{target} was reached: {got.stdout}")
        denied = {}
        for exit_node in world.exits:
            denied.update(exit_node.status()["relay"].get("exit_denied", {}))
        check(denied, "the exits counted nothing as denied")
        return json.dumps(denied)


def a_private_address_in_a_dns_answer_is_taken_out():
    with running_world() as world:
        world.dns.set("rebind.test", ["10.0.0.1", "192.168.1.1"])
        got = world.run("curl", "-sS", "--max-time", "8", "http://rebind.test/", check=False)
        check(got.returncode == 6, f"curl ended with {got.returncode}: {got.stderr}")


netlab.enter()
raise SystemExit(netlab.run_tests([
    the_program_has_one_device_its_own_resolver_and_no_rights,
    the_exit_status_and_a_missing_program_are_told_as_a_shell_does,
    the_program_cannot_reach_the_control_socket_or_other_addresses_of_the_client,
    two_groups_get_two_leases_and_see_nothing_of_each_other,
    a_page_comes_over_ipv4_ipv6_and_by_name_and_udp_answers,
    an_exit_without_ipv6_says_unreachable_at_once,
    the_exit_refuses_what_is_not_public,
    a_private_address_in_a_dns_answer_is_taken_out,
]))
