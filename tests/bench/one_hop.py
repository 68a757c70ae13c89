"""One hop between two hosts of netlab, both on this machine's cores: what each program carries from TUN to TUN."""

import contextlib
import json
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
import netlab  # noqa: E402
import wg_lab  # noqa: E402

SECONDS = 4
LOSS = 0.01
PORT = 7777
TOOLS = pathlib.Path(os.environ.get("MACROVPN_BUILD", "build/release")) / "tests/bench"


@contextlib.contextmanager
def ours(workers=1):
    with netlab.Lab() as lab:
        left, right = lab.host("left", wg_lab.OURS), lab.host("right", wg_lab.THEIRS)
        a, b = (wg_lab.Ours(host, addresses, workers=workers, decoys=0)
                for host, addresses in ((left, wg_lab.INSIDE_OURS), (right, wg_lab.INSIDE_THEIRS)))
        yield from joined(left, right, a, b)


@contextlib.contextmanager
def star(workers):
    """One device of so many workers, and two peers of one each; yields the device's host, and of each peer (host, inside address)."""
    with netlab.Lab() as lab:
        hub = wg_lab.Ours(lab.host("hub", wg_lab.OURS), ["10.99.0.1/24"], workers=workers, decoys=0)
        spokes = []
        for n in (2, 3):
            host = lab.host(f"spoke{n}", f"198.51.100.{n}")
            device = wg_lab.Ours(host, [f"10.99.0.{n}/24"], workers=1, decoys=0)
            hub.add_peer(device.public_key, [f"10.99.0.{n}/32"])
            device.add_peer(hub.public_key, ["10.99.0.0/24"], endpoint=f"{wg_lab.OURS[0]}:{wg_lab.PORT}")
            wg_lab.ping(host, "10.99.0.1", count=3, timeout=5)
            spokes.append((host, f"10.99.0.{n}"))
        yield hub.host, spokes


def star_mbit(hub, spokes):
    """A TCP stream to each peer at the same time: their sum."""
    servers, clients = [], []
    for host, _ in spokes:
        servers.append(host.start(["iperf3", "-s", "-1", "--forceflush"]))
        host.wait_for_port(5201)
    for _, inside in spokes:
        clients.append(hub.start(["iperf3", "-c", inside, "-t", str(SECONDS), "-J"]))
    total = 0
    for client in clients:
        client.wait(timeout=SECONDS + 20)
        total += json.loads(client.output())["end"]["sum_received"]["bits_per_second"] / 1e6
    for server in servers:
        server.wait(timeout=10)
    return total


@contextlib.contextmanager
def wireguard_go():
    with netlab.Lab() as lab:
        left, right = lab.host("left", wg_lab.OURS), lab.host("right", wg_lab.THEIRS)
        a = netlab.WireGuardGo(left, addresses=wg_lab.INSIDE_OURS, listen_port=wg_lab.PORT)
        b = netlab.WireGuardGo(right, addresses=wg_lab.INSIDE_THEIRS, listen_port=wg_lab.PORT)
        yield from joined(left, right, a, b)


def joined(left, right, a, b):
    b.add_peer(a.public_key, [f"{wg_lab.OUR4}/32"], endpoint=f"{wg_lab.OURS[0]}:{wg_lab.PORT}")
    a.add_peer(b.public_key, [f"{wg_lab.THEIR4}/32"], endpoint=f"{wg_lab.THEIRS[0]}:{wg_lab.PORT}")
    wg_lab.ping(left, wg_lab.THEIR4, count=3, timeout=5)
    yield left, right, wg_lab.THEIR4


def start_naive_end(host, inside, port, remote, remote_port, passes=1):
    host.start([str(TOOLS / "naive_loop"), "tun0", port, remote, remote_port, str(passes)])
    wg_lab.wait_until(lambda: "tun0" in host.ip("link", "show"), 5, "naive_loop made no device")
    host.ip("addr", "add", f"{inside}/24", "dev", "tun0")
    host.ip("link", "set", "tun0", "mtu", "1380", "gso_max_size", "60000", "up")


@contextlib.contextmanager
def naive_loop():
    """Devices, sockets and one AEAD pass, and nothing of a VPN: the bound."""
    with netlab.Lab() as lab:
        left, right = lab.host("left", wg_lab.OURS), lab.host("right", wg_lab.THEIRS)
        start_naive_end(left, wg_lab.OUR4, "7000", wg_lab.THEIRS[0], "7001")
        start_naive_end(right, wg_lab.THEIR4, "7001", wg_lab.OURS[0], "7000")
        yield left, right, wg_lab.THEIR4


@contextlib.contextmanager
def naive_relay(passes):
    """The same with a host between that passes on each datagram after so many AEAD passes; its process comes too."""
    with netlab.Lab() as lab:
        left, right = lab.host("left", wg_lab.OURS), lab.host("right", wg_lab.THEIRS)
        middle = lab.host("middle", "198.51.100.77")
        relay = middle.start([str(TOOLS / "naive_relay"), "7001", wg_lab.OURS[0], "7000", wg_lab.THEIRS[0], "7002", str(passes)])
        start_naive_end(left, wg_lab.OUR4, "7000", middle.ip4, "7001")
        start_naive_end(right, wg_lab.THEIR4, "7002", middle.ip4, "7001", 1 + passes % 2)  # an even number of passes restores the bytes
        yield (left, right, wg_lab.THEIR4), relay


def tcp_mbit(left, right, address, *flags):
    process = right.start(["iperf3", "-s", "-1", "--forceflush"])
    right.wait_for_port(5201)
    said = json.loads(left.run(["iperf3", "-c", address, "-t", str(SECONDS), "-J", *flags], timeout=SECONDS + 20).stdout)
    process.wait(timeout=10)
    return said["end"]["sum_received"]["bits_per_second"] / 1e6


def delivered(left, right, address, rate, seconds=1.0, size=64):
    """(datagrams a second that left, share of them that arrived)"""
    counter = right.start([str(TOOLS / "udp_rate"), "count", str(PORT)], stdin=True)
    counter.wait_for_output("ready")
    said = json.loads(left.run([str(TOOLS / "udp_rate"), "send", address, str(PORT), str(rate), str(seconds), str(size)]).stdout)
    time.sleep(0.3)
    counter.stdin.close()
    counter.wait(timeout=5)
    got = json.loads(counter.output().splitlines()[-1])
    return said["sent"] / said["seconds"], got["received"] / max(said["sent"], 1)


def udp_packets_per_second(left, right, address):
    """The highest paced rate of 64-byte datagrams of which at most LOSS are lost, to within 5 %."""
    low, high = 20_000, None
    while high is None or high / low > 1.05:
        rate = low * 2 if high is None else (low * high) ** 0.5
        sent, share = delivered(left, right, address, rate)
        if share >= 1 - LOSS and sent >= rate * 0.97:
            low = rate
        else:
            high = rate
    return low


def ping_under_load(left, right, address, mbit):
    """Median round trip in ms while one TCP stream is held to `mbit`."""
    process = right.start(["iperf3", "-s", "-1"])
    right.wait_for_port(5201)
    load = left.start(["iperf3", "-c", address, "-t", "4", "-b", f"{mbit}M"])
    time.sleep(1)
    times = wg_lab.ping(left, address, count=200, interval=0.01, check=False)
    load.wait(timeout=20)
    process.wait(timeout=10)
    return statistics.median(times)
