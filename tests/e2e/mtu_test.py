#!/usr/bin/python3
"""Links that carry less than others, or suddenly less than before: connections go on, and what cannot is said at once."""

import pathlib
import time

from e2e import netlab, running_world
from macronet.world import WEB_ADDRESSES, WEB_NAME
from netlab import check

HEADERS = 28  # IPv4 and UDP
LONGEST_STALL = 3.0


def narrow(world, link, inside, down=True, up=True):
    """The link before hop `link` of the circuit loses what carries more than `inside` bytes."""
    path = world.path_of(world.active())
    near, far = ([world.home] + [relay.host for relay in path])[link:link + 2]
    most = None if inside is None else inside + 32 * (len(path) - link) + HEADERS
    if down:
        world.lab.lose_long(near, far, most)
    if up:
        world.lab.lose_long(far, near, most)


def longest_stall(size, seconds):
    """The longest time within the next `seconds` for which size() did not grow."""
    now = time.monotonic()
    end, last, grew, longest = now + seconds, size(), now, 0
    while now < end:
        time.sleep(0.01)
        now = time.monotonic()
        if (new := size()) != last:
            last, grew = new, now
        longest = max(longest, now - grew)
    return longest


def wait_for(what, condition, timeout):
    deadline = time.monotonic() + timeout
    while not condition():
        check(time.monotonic() < deadline, f"{what} did not happen within {timeout} s")
        time.sleep(0.02)


def a_download_goes_on_when_each_of_its_links_becomes_narrower_in_turn():
    size_of_all = 27_000_000
    # The line's rate and not curl's, which makes up for what it missed and then rests.
    with running_world(relays=3, exits=1, delay_ms=20, rate_mbit=16) as world:
        target = pathlib.Path(world.client.host.home) / "download"
        process = world.start_run("curl", "-sS", "--max-time", "60", "-o", str(target),
                                  f"http://{WEB_ADDRESSES[0]}/bytes/{size_of_all}")
        size = lambda: target.stat().st_size if target.exists() else 0
        wait_for("the download", lambda: size() > 2_000_000, 30)
        first, stalls = world.active(), []
        check(first["mtu"] == 1376, first)
        for link, inside, found in ((0, 1300, 1280), (1, 1230, 1216), (2, 1100, 1088)):
            narrow(world, link, inside)
            stalls.append(longest_stall(size, 4))
            now = world.active()
            check(now["mtu"] == found and now["id"] == first["id"], f"link {link}: {now}")
        code = process.wait(timeout=60)
        check(code == 0 and size() == size_of_all, f"curl ended with {code} after {size()} bytes: {process.output()[-300:]}")
        check(max(stalls) <= LONGEST_STALL, f"stalls of {[round(s, 2) for s in stalls]} s")
        check(world.client.status()["leases"]["moved"] == 0, "the lease moved")
        return "nothing came for " + ", ".join(f"{s:.2f}" for s in stalls) + " s"


def an_upload_goes_on_when_its_way_out_becomes_narrower():
    with running_world(relays=3, exits=1, delay_ms=20) as world:
        source = pathlib.Path(world.client.host.home) / "upload"
        source.write_bytes(bytes(12_000_000))
        process = world.start_run("curl", "-sS", "--limit-rate", "2M", "--max-time", "60", "-H", "Expect:", "--data-binary", f"@{source}",
                                  f"http://{WEB_ADDRESSES[0]}/sink")
        wait_for("the upload", lambda: (world.active() or {}).get("bytes_out", 0) > 2_000_000, 30)
        narrow(world, 1, 1300, up=False)
        began = time.monotonic()
        wait_for("the smaller size", lambda: world.active()["mtu"] == 1280, 5)
        found = time.monotonic() - began
        code = process.wait(timeout=60)
        check(code == 0 and "12000000" in process.output(), f"curl ended with {code}: {process.output()[-300:]}")
        return f"the size was found after {found:.2f} s"


def a_narrow_line_at_home_carries_ipv4_alone_and_ipv6_fails_at_once():
    with running_world(relays=3, exits=1, delay_ms=20) as world:
        curl = lambda *words: world.run("curl", "-sS", "--max-time", "10", *words, check=False)
        check(curl("-6", f"http://{WEB_NAME}/").returncode == 0, "IPv6 does not work before")
        # Our own link says that it cannot: no black hole, and no ICMP of anybody.
        world.client.host.ip("link", "set", "eth0", "mtu", "1290")
        began = time.monotonic()
        got = curl("-4", "-o", "/dev/null", "-w", "%{size_download}", f"http://{WEB_ADDRESSES[0]}/bytes/1000000")
        took = time.monotonic() - began
        check(got.returncode == 0 and got.stdout == "1000000", f"no page over IPv4: {got.stderr}")
        check(took < 6, f"a page took {took:.1f} s")
        process = world.start_run("sh", "-c", "echo ready; sleep 60")
        process.wait_for_output("ready")
        status = world.client.wait("a circuit for IPv4 alone", lambda s: any("group" in c and not c["ipv6"] for c in s["circuits"]))
        circuit = next(c for c in status["circuits"] if "group" in c and not c["ipv6"])
        check(circuit["mtu"] == 1152, circuit)
        check("IPv4 only" in world.client.command("status").stdout, "`status` does not say it")
        check("IPv4 alone" in world.client.process.output(), "the daemon does not say it")
        process.stop()
        # A new circuit knows it from the last one, so that this holds from the first packet.
        refused = curl("-6", "-w", "%{time_total}", f"http://{WEB_NAME}/")
        check(refused.returncode == 7 and float(refused.stdout or 9) < 1.5, f"IPv6: {refused.returncode} {refused.stdout} {refused.stderr}")
        both = curl("-w", "%{time_total}", "-o", "/dev/null", f"http://{WEB_NAME}/bytes/100000")
        check(both.returncode == 0 and float(both.stdout) < 3, f"by name: {both.stdout} {both.stderr}")
        return f"first page after {took:.2f} s, IPv6 refused after {float(refused.stdout):.2f} s, the next page by name took {float(both.stdout):.2f} s"


netlab.enter()
raise SystemExit(netlab.run_tests([
    a_download_goes_on_when_each_of_its_links_becomes_narrower_in_turn,
    an_upload_goes_on_when_its_way_out_becomes_narrower,
    a_narrow_line_at_home_carries_ipv4_alone_and_ipv6_fails_at_once,
]))
