#!/usr/bin/python3
"""Where UDP does not pass, clients reach their entry relays by HTTPS; strangers who look at that port see a web page."""

import json
import pathlib
import re
import statistics
import time

from e2e import netlab, running_world  # first: it knows the way to the laboratory
from macronet import World
from macronet.computer import computer
from macronet.world import WEB_NAME
from netlab import check

PAGE_WITHIN = 2.0  # seconds from the start of the daemon, with 20 ms between any two nodes
BYTES = 40_000_000
BLOCK_UDP = "table inet blocked { chain forward { type filter hook forward priority -10; meta l4proto udp drop; }; }"


def url(path=""):
    return f"http://{WEB_NAME}/{path}"


def entry_transport(world):
    return world.client.status().get("transport", {}).get("entry")


def past_the_relays(world, capture):
    """What left the client for elsewhere than a relay's UDP port or port 443."""
    relays = {address for relay in world.relays for address in relay.host.addresses}
    ours = {("udp", 51820), ("tcp", 443)}
    return [p for p in capture.packets(world.client.host)
            if p.ttl and p.src in world.client.host.addresses and not (p.dst in relays and (p.proto, p.dport) in ours)
            and not p.dst.startswith(("ff02:", "fe80:", "224."))]


def a_page_comes_by_https_where_udp_is_dropped():
    with netlab.Lab() as lab, World(lab, delay_ms=20, https=True) as world:
        world.make_network()
        world.start_relays()
        world.home.nft(BLOCK_UDP)
        with lab.capture(world.client.host) as capture:
            began = time.monotonic()
            world.start_client(wait=False)
            world.run("curl", "-sS", "-o", "/dev/null", "--max-time", "15", url())
            took = time.monotonic() - began
            used = entry_transport(world)
            # Again, with what the daemon has learnt of this network.
            world.run("curl", "-sS", "-o", "/dev/null", "--max-time", "15", url())
        check(used == "https", f"the entry is spoken to over {used}")
        check(took <= PAGE_WITHIN, f"the page came after {took:.2f} s")
        leaked = past_the_relays(world, capture)
        check(leaked == [], f"left the client: {leaked[:5]}")
        check(capture.drops() == 0, "the capture missed packets")
        said = world.client.command("status").stdout
        check("HTTPS (TCP)" in said, said)
        return f"{took:.2f} s from the start of the daemon"


def a_download_survives_that_udp_is_dropped_in_the_middle():
    with running_world(delay_ms=20, https=True) as world:
        target = pathlib.Path(world.client.host.home) / "download"
        process = world.start_run("curl", "-sS", "--limit-rate", "6M", "--max-time", "60", "-o", str(target), url(f"bytes/{BYTES}"))
        size = lambda: target.stat().st_size if target.exists() else 0
        deadline = time.monotonic() + 20
        while size() < 5_000_000:
            check(time.monotonic() < deadline, "no download")
            time.sleep(0.02)
        check(entry_transport(world) == "udp", world.client.status())
        world.home.nft(BLOCK_UDP)
        longest, last, since = 0.0, size(), time.monotonic()
        while process.running:
            time.sleep(0.02)
            if (now := size()) != last:
                longest, last, since = max(longest, time.monotonic() - since), now, time.monotonic()
        check(process.wait(timeout=5) == 0 and size() == BYTES, f"curl: {process.output()[-300:]}")
        status = world.client.status()
        check(status["transport"]["entry"] == "https", status["transport"])
        check(status["leases"]["lost"] == 0, status["leases"])
        return f"the longest pause was {longest:.2f} s"


# What a stranger sees who says something to port 443: base64 of it, for each of what he says; and how long each took.
STRANGER = r"""
import base64, json, os, socket, ssl, sys, threading, time
address = sys.argv[1]
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
upgrade = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n"
words = {"page": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "another": b"POST /x?y HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
         "upgrade": upgrade % base64.b64encode(os.urandom(16)), "garbage": os.urandom(9000), "malformed": b"\0\r\n\r\n",
         "again": upgrade % b"dGhlIHNhbXBsZSBub25jZQ=="}
def ask(said):
    with socket.create_connection((address, 443), 10) as plain, context.wrap_socket(plain, server_hostname="www.example.net") as s:
        began = time.monotonic()
        try: s.sendall(said)
        except OSError: pass
        got, first = b"", None
        while True:
            try: part = s.recv(65536)
            except OSError: break
            first = first or time.monotonic() - began
            if not part: break
            got += part
    return got, first
# Those who take their time: one says nothing at all, one begins a request and adds a byte now and then.
slow = {}
def silent():
    began = time.monotonic()
    with socket.create_connection((address, 443), 10) as s:
        s.settimeout(30)
        try: slow["silent"] = (s.recv(100).decode("latin-1"), time.monotonic() - began)
        except OSError as error: slow["silent"] = (str(error), time.monotonic() - began)
def loris():
    with socket.create_connection((address, 443), 10) as plain, context.wrap_socket(plain, server_hostname="www.example.net") as s:
        began, got = time.monotonic(), b""
        s.settimeout(0.25)
        while time.monotonic() - began < 30:
            try:
                s.sendall(b"x")
                part = s.recv(65536)
            except TimeoutError: continue
            except OSError: break
            if not part: break
            got += part
            slow["loris"] = (got.decode("latin-1"), time.monotonic() - began)
threads = [threading.Thread(target=f) for f in (silent, loris)]
for thread in threads: thread.start()
out = {}
for name, said in words.items():
    tries = [ask(said) for _ in range(5)]
    out[name] = {"said": tries[0][0].decode("latin-1"), "ms": [t * 1000 for _, t in tries]}
    time.sleep(0.6)  # one source may begin 10 a second
for thread in threads: thread.join()
print(json.dumps({"asked": out, "slow": slow}))
"""


def strangers_see_a_web_page_whatever_they_say():
    with netlab.Lab() as lab, World(lab, relays=1, exits=0, https=True) as world:
        world.relays[0].command("network", "init", "--lab", "--name", "demo")
        relay = world.relays[0]
        world.start_relay(relay)
        relay.host.wait_for_port(443)
        address = relay.host.ip4
        stranger = lab.host("stranger", ["203.0.113.77"])
        seen, slow = json.loads(stranger.run(["/usr/bin/python3", "-c", STRANGER, address], timeout=60).stdout).values()
        pages = {name: re.sub(r"Date: .*\r\n", "", got["said"]) for name, got in seen.items()}
        check(len(set(pages.values())) == 1 and "HTTP/1.1 200 OK" in pages["page"], pages)
        check(slow["silent"][0] == "" and 9 < slow["silent"][1] < 14, slow)
        check(re.sub(r"Date: .*\r\n", "", slow["loris"][0]) == pages["page"] and 9 < slow["loris"][1] < 14, slow)
        times = {name: statistics.median(got["ms"]) for name, got in seen.items()}
        curl = stranger.run(["curl", "-sSk", "--max-time", "5", f"https://{address}/any"]).stdout
        check(pages["page"].endswith(curl) and "<h1>" in curl, curl)
        plain = stranger.run(["curl", "-sS", "--http0.9", "--max-time", "5", f"http://{address}:443/"], check=False)
        check(plain.returncode != 0 or plain.stdout == "", plain.stdout)
        tls12 = stranger.run(["openssl", "s_client", "-connect", f"{address}:443", "-tls1_2"], check=False, input="")
        check("protocol version" in tls12.stderr, tls12.stderr[-300:])
        status = relay.status()["relay"]["https"]
        check(status["admitted"] == 0 and status["pages"] >= 30, status)
        return "first byte after " + ", ".join(f"{name} {ms:.1f}" for name, ms in times.items()) + " ms"


def another_certificate_is_refused_and_said():
    with netlab.Lab() as lab, World(lab, relays=4, exits=1, https=True) as world:
        world.make_network()
        world.start_relays()
        impostor = world.relays[3].host.ip4
        others = ", ".join(relay.host.ip4 for relay in world.relays[:3])
        world.home.nft(BLOCK_UDP)
        world.home.nft("table ip impostor { chain prerouting { type nat hook prerouting priority -110; "
                       f"ip daddr {{ {others} }} tcp dport 443 dnat to {impostor}; }}; }}")
        world.start_client(wait=False)
        world.client.wait("the refusal", lambda s: s["transport"].get("https_trouble") == "wrong_certificate", timeout=10)
        status = world.client.status()
        check(status["state"] != "connected", status["state"])
        check("another certificate" in world.client.process.output(), world.client.process.output())
        check(world.relays[3].status()["relay"]["https"]["admitted"] == 0, "the impostor was spoken to")


def a_computer_that_is_up_reaches_its_entry_by_https_and_nothing_else_leaves():
    with computer(https=True) as machine:
        machine.world.home.nft(BLOCK_UDP)
        relays = {relay.host.ip4 for relay in machine.world.relays}
        entries = lambda p: p.proto == "tcp" and p.dst in relays and p.dport == 443
        with machine.world.lab.capture(machine.host) as capture:
            machine.up()
            with machine.traffic() as counts:
                check(machine.page() is not None, "no page")
                time.sleep(1)
        check(machine.status()["transport"]["entry"] == "https", machine.status())
        leaked = machine.leaks(capture, may=entries)
        check(leaked == [], f"left the computer: {leaked[:5]}")
        check(capture.drops() == 0, "the capture missed packets")
        spoken_to = {p.dst for p in capture.packets(machine.host) if entries(p)}
        machine.down()
        return f"{len(spoken_to)} entry relays spoken to on 443"


netlab.enter()
raise SystemExit(netlab.run_tests([
    a_page_comes_by_https_where_udp_is_dropped,
    a_download_survives_that_udp_is_dropped_in_the_middle,
    strangers_see_a_web_page_whatever_they_say,
    another_certificate_is_refused_and_said,
    a_computer_that_is_up_reaches_its_entry_by_https_and_nothing_else_leaves,
]))
