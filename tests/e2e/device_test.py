#!/usr/bin/python3
"""`macrovpn device`: a phone with a stock WireGuard app (Debian's wireguard-go) that goes through the circuits of its owner's node."""

import base64
import contextlib
import json
import pathlib
import socket
import time

from e2e import netlab, running_world
from macronet import Parties
from macronet.computer import computer, summary
from macronet.phone import Phone, read_qr_code, settings_of
from macronet.world import HOME_ADDRESS, WEB_ADDRESSES, WEB_NAME
from netlab import check, nat
from netlab.wireguard import need_tun

PORT = 51821
AWAY = ["198.51.100.210", "2001:db8:210::1"]
LARGE = 30_000_000


def away_from_home(world):
    """A host on the internet, to whom the home's router passes the node's port on."""
    world.home.nft(nat.rules("fullcone", world.client.host.ip4))
    return world.lab.host("phone", AWAY, offloads=False, mtu=1400)  # as narrow as some mobile networks are


def add(node, name="phone", *words):
    return node.command("device", "add", name, *words).stdout


def listed(node, name="phone"):
    return next(d for d in json.loads(node.command("device", "list", "--json").stdout)["devices"] if d["name"] == name)


def wait_for(what, condition, timeout):
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        check(time.monotonic() < deadline, f"{what} did not happen within {timeout} s")
        time.sleep(0.2)
    return found


def is_exit(world, page):
    return any(address in page for relay in world.exits for address in relay.host.addresses)


def large_both_ways(phone):
    """A download and an upload that need every packet to fit."""
    check(phone.page(f"http://{WEB_NAME}/bytes/{LARGE}", 60, "-o", "/dev/null", "-w", "%{size_download}") == str(LARGE), "the download is not whole")
    body = phone.host.home / "body"
    body.write_bytes(bytes(range(256)) * 20_000)
    check(phone.page(f"http://{WEB_NAME}/sink", 60, "--data-binary", f"@{body}") == f"{body.stat().st_size}\n", "the upload is not whole")


LARGE_ANSWERS = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7000))
print("ready", flush=True)
while True: s.sendto(bytes(1330), s.recvfrom(2000)[1])
"""


def a_large_answer_comes(world, phone):
    """A datagram that fits the circuit, and with the phone's layer not the phone's own network."""
    world.web_host.start(["/usr/bin/python3", "-u", "-c", LARGE_ANSWERS]).wait_for_output("ready")
    with phone.host.inside():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(2)
        for _ in range(3):
            sock.sendto(b"?", (WEB_ADDRESSES[0], 7000))
            with contextlib.suppress(TimeoutError):
                return check(len(sock.recv(2000)) == 1330, "an answer is not whole")
    check(False, "no large datagram reached the phone")


def what_left(world, parties, phone_host):
    """(what left the node's card but for the tunnel and the phone, what left the phone but for the node)"""
    at_node = [p for p in parties.left_the_client_outside_the_tunnel()
               if not (p.proto == "udp" and p.sport == PORT and p.dst in phone_host.addresses)]
    at_phone = [p for p in parties.capture.packets(phone_host) if p.ttl and p.src in phone_host.addresses
                and not (p.proto == "udp" and p.dport == PORT and p.dst == HOME_ADDRESS)]
    return at_node, at_phone


def a_phone_away_from_home_uses_the_circuits_and_nothing_leaks():
    need_tun()
    with running_world() as world:
        host = away_from_home(world)
        config = add(world.client, "phone", "--endpoint", f"{HOME_ADDRESS}:{PORT}")
        with Parties(world, host) as parties:
            phone = Phone(host, config)
            for target in (f"http://{WEB_NAME}/", f"http://{WEB_ADDRESSES[0]}/", f"http://[{WEB_ADDRESSES[1]}]/"):
                page = phone.page(target)
                check(page and is_exit(world, page), f"{target}: {page}")
            circuit = next(c for c in world.client.status()["circuits"] if c.get("device") == "phone")
            check(len(circuit["path"]) == 3 and circuit["state"] == "ready", circuit)
            time.sleep(0.3)
        check(parties.capture.drops() == 0, "the captures missed packets")
        check(parties.relays_that_saw_both() == [], f"{parties.relays_that_saw_both()} saw both ends")
        seen = [relay.name for relay in world.relays if any(set(AWAY) & {p.src, p.dst} for p in parties.capture.packets(relay.host))]
        check(seen == [], f"{seen} saw the phone")
        check(all(not set(AWAY) & {p.src, p.dst} for p in parties.capture.packets(world.dns_host)), "the name server saw the phone")
        at_node, at_phone = what_left(world, parties, host)
        check(at_node == [] and at_phone == [], f"left the node: {summary(at_node)}; left the phone: {summary(at_phone)}")
        wires = [p for p in parties.capture.packets(host) if p.proto == "udp"]
        check(len(wires) > 20 and all(p.payload[1:4] == b"\0\0\0" for p in wires), "the phone's datagrams are not plain WireGuard")
        large_both_ways(phone)
        a_large_answer_comes(world, phone)
        before = listed(world.client)
        check(before["bytes_in"] > 5_000_000 and before["bytes_out"] > LARGE and before["last_handshake_s"] < 60, before)
        # A phone that is told a larger MTU learns the circuit's, or its connections are clamped.
        host.ip("link", "set", "wg0", "mtu", "1420")
        large_both_ways(phone)
        no_secret_stays(world, config)
        nothing_at_home_is_reached(world, phone)
        return restart_and_removal(world, phone)


def no_secret_stays(world, config):
    """What only the phone has to know, and where it is, is in no file of the node's."""
    private = settings_of(config)["PrivateKey"][0]
    secrets = [private.encode(), base64.b64decode(private), AWAY[0].encode(), socket.inet_aton(AWAY[0])]
    for path in pathlib.Path(world.client.state).rglob("*"):
        check(not path.is_file() or not any(secret in path.read_bytes() for secret in secrets), f"the phone's key or address is in {path}")
    check((pathlib.Path(world.client.state) / "devices").stat().st_mode & 0o777 == 0o600, "the file of devices is open to others")
    log = world.client.process.output()
    check("phone" not in log and AWAY[0] not in log, f"the daemon's log names the device: {log}")


def nothing_at_home_is_reached(world, phone):
    """Nor the node itself: what a phone sends comes out at the exit, and there only."""
    netlab.WebServer(world.client.host, 8080)
    at_home = f"http://{world.client.host.ip4}:8080/"
    check(world.client.host.run(["curl", "-sS", "--max-time", "3", at_home]).stdout.startswith("you are"), "the node's own server does not answer")
    for address in (world.client.host.ip4, f"[{world.client.host.ip6}]", "10.10.0.1"):
        check(phone.page(f"http://{address}:8080/", 2) is None, f"the phone reached {address} at home")


def restart_and_removal(world, phone):
    world.client.process.stop()
    check(phone.page(f"http://{WEB_ADDRESSES[0]}/", 2) is None, "a page came without the node")
    world.start_client()
    started = time.monotonic()
    wait_for("the phone's return", lambda: phone.page(f"http://{WEB_NAME}/", 3), 45)
    took = time.monotonic() - started
    check(world.client.command("device", "remove", "phone").stdout != "", "no word of the removal")
    with world.lab.capture(phone.host) as capture:
        check(phone.page(f"http://{WEB_ADDRESSES[0]}/", 3) is None, "a page came after the removal")
        time.sleep(3)
    heard = [p for p in capture.packets(phone.host) if p.dst in phone.host.addresses and p.proto == "udp"]
    check(heard == [], f"a removed device hears {summary(heard)}")
    bound = world.client.host.run(["ss", "-Hlnu", "sport", "=", str(PORT)]).stdout
    check(bound == "", f"the port stays open without devices: {bound}")
    return f"back {took:.0f} s after a restart"


def the_qr_code_is_the_configuration():
    with running_world(relays=3, exits=1) as world:
        for name, host in (("phone", "home.example.org"), ("other", "a" * 63 + ".example.org:7")):
            file = world.client.host.home / f"{name}.conf"
            shown = add(world.client, name, "--endpoint", host, "--output", file, "--qr")
            config = file.read_text()
            check(read_qr_code(shown) == config, f"the QR code says {read_qr_code(shown)!r}, and the file {config!r}")
            check(file.stat().st_mode & 0o777 == 0o600, "others can read the file")
            check(config.count("PrivateKey") == 1 and settings_of(config)["Endpoint"] == [host if ":" in host else f"{host}:{PORT}"], config)


def behind_up_a_phone_of_the_lan_gets_through_and_the_kill_switch_holds():
    need_tun()
    with computer() as machine:
        machine.up()
        machine.wait_for_state("connected")
        world, node = machine.world, machine.node
        for name in ("all", "eth0"):
            machine.host.sysctl(f"net.ipv4.conf.{name}.rp_filter", "1")
        host = world.lab.host("phone", behind="home")
        said = node.command("device", "add", "phone")
        config = said.stdout
        check(settings_of(config)["Endpoint"] == [f"{machine.host.ip4}:{PORT}"] and machine.host.ip4 in said.stderr, f"{config}{said.stderr}")

        def is_for_the_phone(p):
            return p.proto == "udp" and p.sport == PORT and p.dst in host.addresses

        with world.lab.capture(machine.host, host) as capture, machine.traffic() as counts:
            phone = Phone(host, config)
            page = phone.page(f"http://{WEB_NAME}/")
            check(page and is_exit(world, page), f"behind `up`: {page}")
            large_both_ways(phone)
            check(machine.page(), "no page for the computer itself")
            machine.kill_daemon()
            check(phone.page(f"http://{WEB_ADDRESSES[0]}/", 3) is None, "a page came without a daemon")
            machine.up()
            wait_for("the phone's return", lambda: phone.page(f"http://{WEB_NAME}/", 3), 45)
        check(capture.drops() == 0, "the capture missed packets")
        check(counts["attempts"] > 100, counts)
        leaked = machine.leaks(capture, may=is_for_the_phone)
        check(leaked == [], f"{len(leaked)} packets left past the tunnel: {summary(leaked)}")
        to_phone = [p for p in capture.packets(machine.host) if is_for_the_phone(p) and p.src in machine.host.addresses]
        check(len(to_phone) > 300, f"only {len(to_phone)} messages to the phone, up to 44 datagrams each")
        check(all(p.payload[:1] in (b"\1", b"\2", b"\3", b"\4") and p.payload[1:4] == b"\0\0\0" for p in to_phone), "not WireGuard")
        machine.down()


netlab.enter()
raise SystemExit(netlab.run_tests([
    a_phone_away_from_home_uses_the_circuits_and_nothing_leaks,
    the_qr_code_is_the_configuration,
    behind_up_a_phone_of_the_lan_gets_through_and_the_kill_switch_holds,
]))
