#!/usr/bin/python3
"""Throughput and memory in netlab, ours beside Debian's wireguard-go, in the same run.

Prints JSON; ./bench makes docs/benchmarks.md of it. Everything runs on this machine's cores, both ends and all relays.
"""

import argparse
import json
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
import netlab  # noqa: E402
import wg_lab  # noqa: E402
from macronet import World  # noqa: E402
from macronet.world import WEB_NAME  # noqa: E402

SECONDS = 4
DOWNLOAD = 250_000_000


def iperf(server, client, address, *flags):
    process = server.start(["iperf3", "-s", "-1", "--forceflush"])
    server.wait_for_port(5201)
    said = json.loads(client.run(["iperf3", "-c", address, "-t", str(SECONDS), "-J", *flags], timeout=SECONDS + 20).stdout)
    process.wait(timeout=10)
    return said["end"]["sum_received"]["bits_per_second"] / 1e6


def two_hosts(lab):
    return lab.host("left", wg_lab.OURS), lab.host("right", wg_lab.THEIRS)


def one_hop_ours():
    """TUN to TUN: our device at both ends."""
    with netlab.Lab() as lab:
        left, right = two_hosts(lab)
        a = wg_lab.Ours(left)
        b = wg_lab.Ours(right, addresses=wg_lab.INSIDE_THEIRS)
        b.add_peer(a.public_key, [f"{wg_lab.OUR4}/32"], endpoint=f"{wg_lab.OURS[0]}:{wg_lab.PORT}")
        a.add_peer(b.public_key, [f"{wg_lab.THEIR4}/32"], endpoint=f"{wg_lab.THEIRS[0]}:{wg_lab.PORT}")
        left.run(["sh", "-c", f"timeout 5 sh -c 'until curl -s --max-time 1 telnet://{wg_lab.THEIR4}:1; test $? -eq 7; do sleep 0.1; done'"],
                 check=False)
        return iperf(right, left, wg_lab.THEIR4)


def one_hop_wireguard_go():
    with netlab.Lab() as lab:
        left, right = two_hosts(lab)
        a = netlab.WireGuardGo(left, addresses=wg_lab.INSIDE_OURS, listen_port=wg_lab.PORT)
        b = netlab.WireGuardGo(right, addresses=wg_lab.INSIDE_THEIRS, listen_port=wg_lab.PORT)
        a.add_peer(b.public_key, [f"{wg_lab.THEIR4}/32"], endpoint=f"{wg_lab.THEIRS[0]}:{wg_lab.PORT}")
        b.add_peer(a.public_key, [f"{wg_lab.OUR4}/32"], endpoint=f"{wg_lab.OURS[0]}:{wg_lab.PORT}")
        return iperf(right, left, wg_lab.THEIR4)


def circuit(hops):
    """A download through `hops` relays and the rootless exit, and what the client's daemon needed."""
    with netlab.Lab() as lab, World(lab, relays=6, exits=2, client_v6=False) as world:
        world.up("--hops", str(hops))
        said = world.run("curl", "-sS", "-o", "/dev/null", "-w", "%{speed_download}", "--max-time", "60",
                         f"http://{WEB_NAME}/bytes/{DOWNLOAD}", timeout=90).stdout
        path = world.path_of(world.active_or_last())
        # The relay's own counters, not the client's, say how much crossed the middle.
        return {"mbit_per_s": float(said) * 8e-6, "client_peak_kib": world.client.process.usage()["peak_rss_kib"],
                "client_cpu_s": world.client.process.usage()["cpu_s"], "relay_cpu_s": path[0].process.usage()["cpu_s"],
                "relay_peak_kib": path[0].process.usage()["peak_rss_kib"]}


def medians(rows):
    return {key: round(statistics.median(row[key] for row in rows), 2) for key in rows[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    netlab.enter()
    ours, theirs, one, three = [], [], [], []
    for run in range(options.runs):  # interleaved, so that a busy moment of the machine meets all
        print(f"run {run + 1} of {options.runs}", file=sys.stderr, flush=True)
        ours.append(one_hop_ours())
        try:
            theirs.append(one_hop_wireguard_go())
        except netlab.Skip as reason:
            print(f"wireguard-go: {reason}", file=sys.stderr)
        one.append(circuit(1))
        three.append(circuit(3))
    print(json.dumps({
        "one_hop_tun_to_tun_mbit": round(statistics.median(ours), 1),
        "wireguard_go_tun_to_tun_mbit": round(statistics.median(theirs), 1) if theirs else None,
        "circuit_1_hop": medians(one), "circuit_3_hops": medians(three), "runs": options.runs,
    }, indent=2))


if __name__ == "__main__":
    main()
