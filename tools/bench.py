#!/usr/bin/python3
"""Runs the core benchmarks and the netlab part, prints them as a table, and writes docs/benchmarks.md."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from netlab.report import table  # noqa: E402


def core_results(build):
    print("core benchmarks ...", file=sys.stderr, flush=True)
    said = subprocess.run([build / "tests/bench/macrovpn_bench", "--benchmark_format=json", "--benchmark_repetitions=3",
                           "--benchmark_report_aggregates_only=true"], capture_output=True, text=True, check=True).stdout
    rows = json.loads(said)["benchmarks"]
    return {row["run_name"]: row for row in rows if row.get("aggregate_name") == "median"}


def throughput(runs):
    said = subprocess.run([ROOT / "tests/bench/throughput.py", "--runs", str(runs)], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(said.stdout)


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    flags = next((line for line in open("/proc/cpuinfo") if line.startswith("flags")), "")
    vector = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "neither AVX2 nor AVX-512"
    return f"{model}, {os.cpu_count()} cores, {vector}, Linux {platform.release()}, {platform.freedesktop_os_release()['PRETTY_NAME']}"


HANDSHAKES = (("handshakes_configured", "handshakes answered, configured peer, one core", 4),
              ("handshakes_ephemeral", "handshakes answered, ephemeral peer, one core", 5),
              ("builds_at_middle", "builds with early data answered and sent on by a middle, one core", 6),
              ("builds_at_exit", "builds with early data answered by an exit, one core", 6))


def answered(core, name, measure, operations):
    row = core[f"{name}/manual_time"]
    return (measure, f"{row['items_per_second']:.0f} /s ({row['of_bound']:.2f} of the bound)",
            f"bound by its {operations} X25519 operations, same run: {row['bound']:.0f} /s")


def rows_of(core, net):
    rate = lambda name: core[name]["items_per_second"]
    packet = lambda name: f"{1e9 / rate(name):.0f} ns"
    ours, peer, naive = net.get("ours", {}), net.get("wireguard_go", {}), net.get("naive_loop", {})
    mbit = lambda row: f"{row['mbit']:.0f} Mbit/s" if row else "not measured: /dev/net/tun is closed to this user"
    share = lambda row: f" ({row['mbit'] / naive['mbit']:.2f} of the naive loop)" if row and naive else ""
    one, kernel, three = net["circuit_1_hop"], net.get("circuit_1_hop_kernel_exit", {}), net["circuit_3_hops"]
    rows = [
        ("one hop, TUN to TUN, one TCP stream", mbit(ours) + share(ours), f"wireguard-go {mbit(peer)}; naive loop with one AEAD {mbit(naive)}"),
        ("one hop, UDP of 64 B, highest rate with at most 1 % lost", f"{ours['udp_64'] / 1e3:.0f} k/s" if ours else "not measured",
         f"wireguard-go {peer['udp_64'] / 1e3:.0f} k/s" if peer else ""),
        ("one hop, round trip under 250 Mbit/s of TCP", f"{ours['ping_ms']:.2f} ms" if ours else "not measured",
         f"wireguard-go {peer['ping_ms']:.2f} ms" if peer else ""),
        ("one hop, `run` to web server, rootless exit, TCP download", mbit(one), f"exit through the kernel {mbit(kernel)}"),
        ("three hops, the same, rootless; five programs on these cores", mbit(three) + share(three),
         "a local Tor network: 40-100 Mbit/s (measured elsewhere)"),
        ("middle relay, CPU for each packet that it passes on", f"{three['relay_us_per_packet']:.2f} us", f"the AEAD alone: {packet('aead/automatic')}"),
        ("client's daemon, peak resident memory", f"{three['client_peak_kib'] / 1024:.1f} MiB",
         "Nebula 27 MB, Tailscale 60-250 MB (published)"),
        ("relay, peak resident memory", f"{three['relay_peak_kib'] / 1024:.1f} MiB", ""),
        ("relayed circuit, memory at a relay", f"{core['memory_per_relayed_circuit/iterations:1']['bytes_per_circuit']:.0f} B", ""),
        ("circuits of 3 hops built, all parties on one core", f"{rate('builds/3'):.0f} /s", ""),
        *(answered(core, *kind) for kind in HANDSHAKES),
        ("packet of 1300 B through 3 hops, all parties on one core", packet("packets_up/3"), ""),
        ("packet of 1300 B through 1 hop, both ends", packet("packets_up/1"), ""),
        ("AEAD of 1376 B, as built", packet("aead/automatic"), f"OpenSSL {packet('aead/OpenSSL')}"),
    ]
    return rows


def write_page(rows, where):
    lines = ["# Benchmarks", "",
             f"Written by `./bench` on {datetime.date.today().isoformat()}. Machine: {machine()}. Medians; all ends and relays share",
             "the cores, so rates say what one machine does with everybody's work on it.", "",
             "| measure | ours | beside it |", "| --- | --- | --- |"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    notes = ROOT / "tools" / "benchmark-notes.md"
    lines += ["", notes.read_text().rstrip()] if notes.exists() else []
    where.write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(prog="./bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="how often the netlab part is repeated (interleaved)")
    parser.add_argument("--json", action="store_true", help="all figures as JSON")
    parser.add_argument("--no-page", action="store_true", help="leave docs/benchmarks.md as it is")
    options = parser.parse_args()
    core, net = core_results(pathlib.Path(os.environ["MACROVPN_BUILD"])), throughput(options.runs)
    rows = rows_of(core, net)
    if options.json:
        print(json.dumps({"machine": machine(), "core": core, "net": net}, indent=2))
    else:
        print(machine())
        table(["measure", "ours", "beside it"], rows)
    if not options.no_page:
        write_page(rows, ROOT / "docs" / "benchmarks.md")


if __name__ == "__main__":
    sys.exit(main())
