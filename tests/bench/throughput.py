#!/usr/bin/python3
"""Throughput, latency and memory in netlab, ours beside Debian's wireguard-go and the bound of this machine, in the same runs.

Prints JSON; ./bench makes docs/benchmarks.md of it. Everything runs on this machine's cores, both ends and all relays.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time

import one_hop  # first: it knows the way to the laboratory
import netlab
from macronet import World
from macronet.world import WEB_NAME

DOWNLOAD = 400_000_000


@contextlib.contextmanager
def counted_by_perf():
    """Somebody outside samples the machine (perf record --control): only this is what he wants to know about."""
    if perf_control is None:
        yield
        return
    with open(perf_control, "w") as control:
        print("enable", file=control, flush=True)
        yield
        print("disable", file=control, flush=True)
        time.sleep(0.2)


perf_control = None
tcp_only = False


def circuit(hops, exit_kind="rootless"):
    """A download through `hops` relays, and what the client's daemon and the relays needed for it."""
    with netlab.Lab() as lab, World(lab, relays=6, exits=2, client_v6=False, exit_kind=exit_kind, ordinary_relays=exit_kind == "rootless") as world:
        world.up("--hops", str(hops))
        world.run("curl", "-sS", "-o", "/dev/null", "--max-time", "20", f"http://{WEB_NAME}/bytes/1000000")
        relays_before = {relay: usage_of(relay) for relay in world.relays}
        with counted_by_perf():
            _, said, path = world.run_and_path("curl", "-sS", "-o", "/dev/null", "-w", "%{speed_download}", "--max-time", "60",
                                               f"http://{WEB_NAME}/bytes/{DOWNLOAD}", timeout=90)
        row = {"mbit": float(said) * 8e-6, "client_peak_kib": world.client.process.usage()["peak_rss_kib"],
               "relay_peak_kib": path[0].process.usage()["peak_rss_kib"]}
        if len(path) > 1:
            cpu, packets = (now - before for now, before in zip(usage_of(path[1]), relays_before[path[1]]))
            row["relay_us_per_packet"] = cpu / packets * 1e6
        return row


def proxied():
    """A download by a program that asks `macrovpn proxy` on one hop, and what the proxy itself needed for it."""
    with netlab.Lab() as lab, World(lab, relays=6, exits=2, client_v6=False) as world:
        world.up("--hops", "1")
        proxy = world.client.start("proxy", "--json", "--listen", "127.0.0.1:0")
        said = proxy.wait_for_output("socks5", timeout=30)
        address, = json.loads(next(line for line in said.splitlines() if line.startswith("{")))["socks5"]
        curl = lambda size: world.client.host.run(
            ["curl", "-sS", "-o", "/dev/null", "-w", "%{speed_download}", "--max-time", "60", "--socks5-hostname", address,
             f"http://{WEB_NAME}/bytes/{size}"], ordinary=True, timeout=90).stdout
        curl(1_000_000)
        before = proxy.usage()["cpu_s"]
        with counted_by_perf():
            said = curl(DOWNLOAD)
        return {"mbit": float(said) * 8e-6, "proxy_cpu_s_per_gb": (proxy.usage()["cpu_s"] - before) / (DOWNLOAD * 1e-9)}


def usage_of(relay):
    return relay.process.usage()["cpu_s"], relay.status()["relay"]["packets_relayed"]


def one_hop_row(device, mbit):
    with device() as ends:
        with counted_by_perf():
            row = {"mbit": one_hop.tcp_mbit(*ends)}
        if tcp_only:
            return row
        row["udp_64"] = one_hop.udp_packets_per_second(*ends)
        row["ping_ms"] = one_hop.ping_under_load(*ends, mbit)
        return row


def star(workers):
    """Two peers of one device at once."""
    with one_hop.star(workers) as (hub, spokes), counted_by_perf():
        return {"mbit": one_hop.star_mbit(hub, spokes)}


def naive_relay():
    """What the kernel needs to take in and send on a datagram, and what it needs together with one AEAD pass."""
    row = {}
    for name, passes in (("kernel_us_per_packet", 0), ("us_per_packet", 1)):
        with one_hop.naive_relay(passes) as (ends, relay):
            row["mbit"] = one_hop.tcp_mbit(*ends)
            cpu = relay.usage()["cpu_s"]
            relay.stop()
            row[name] = cpu / int(relay.output().split()[0]) * 1e6
    return row


def naive():
    with one_hop.naive_loop() as ends, counted_by_perf():
        return {"mbit": one_hop.tcp_mbit(*ends)}


# A rate that wireguard-go can carry, for the round trips under load.
LOAD_MBIT = 250
MEASURES = {
    "naive_loop": naive,
    "naive_relay": naive_relay,
    "ours": lambda: one_hop_row(one_hop.ours, LOAD_MBIT),
    "ours_2_workers": lambda: one_hop_row(lambda: one_hop.ours(workers=2), LOAD_MBIT),
    "two_peers": lambda: star(1),
    "two_peers_2_workers": lambda: star(2),
    "wireguard_go": lambda: one_hop_row(one_hop.wireguard_go, LOAD_MBIT),
    "circuit_1_hop": lambda: circuit(1),
    "circuit_1_hop_kernel_exit": lambda: circuit(1, "kernel"),
    "circuit_1_hop_proxy": proxied,
    "circuit_3_hops": lambda: circuit(3),
}


def medians(rows):
    return {key: round(statistics.median(row[key] for row in rows), 3) for key in rows[0]}


def main():
    global perf_control, tcp_only
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", choices=MEASURES, action="append")
    parser.add_argument("--tcp-only", action="store_true", help="of one hop, nothing but the TCP stream")
    parser.add_argument("--perf-control", metavar="FIFO", help="of a perf record --control=fifo:FIFO, told when to count")
    options = parser.parse_args()
    perf_control, tcp_only = options.perf_control, options.tcp_only
    netlab.enter()
    rows = {name: [] for name in options.only or MEASURES}
    for run in range(options.runs):  # interleaved, so that a busy moment of the machine meets all
        for name, of in rows.items():
            print(f"run {run + 1} of {options.runs}: {name} ...", end=" ", file=sys.stderr, flush=True)
            started = time.monotonic()
            try:
                of.append(MEASURES[name]())
                print(f"{of[-1]['mbit']:.0f} Mbit/s ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)
            except netlab.Skip as reason:
                print(f"{name}: {reason}", file=sys.stderr)
    print(json.dumps({name: medians(of) for name, of in rows.items() if of} | {"runs": options.runs}, indent=2))


if __name__ == "__main__":
    main()
