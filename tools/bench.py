#!/usr/bin/python3
"""Runs the core benchmarks and the netlab part, prints them as a table with the bar of each, and writes docs/benchmarks.md.
Everything takes about a quarter of an hour."""

import argparse
import collections
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import profile_cycles

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from netlab.report import table  # noqa: E402

NET = ("naive_loop", "naive_relay", "ours", "ours_2_workers", "two_peers", "two_peers_2_workers", "wireguard_go", "circuit_1_hop", "circuit_1_hop_kernel_exit", "circuit_1_hop_proxy", "circuit_3_hops")
HANDSHAKES = (("handshakes_configured", "handshakes answered, configured peer, one core", 4),
              ("handshakes_ephemeral", "handshakes answered, ephemeral peer, one core", 5),
              ("builds_at_middle", "builds with early data answered and sent on by a middle, one core", 6),
              ("builds_at_exit", "builds with early data answered by an exit, one core", 6))
COLUMNS = ("measure", "ours", "bar", "met", "beside it")
Row = collections.namedtuple("Row", "measure ours bar met beside")


def core_results(build, runs):
    print("core benchmarks: some two minutes ...", file=sys.stderr, flush=True)
    said = subprocess.run([build / "tests/bench/macrovpn_bench", "--benchmark_format=json", f"--benchmark_repetitions={runs}",
                           "--benchmark_enable_random_interleaving=true", "--benchmark_min_time=0.4",
                           *(["--benchmark_report_aggregates_only=true"] if runs > 1 else [])], stdout=subprocess.PIPE, text=True, check=True).stdout
    rows = json.loads(said)["benchmarks"]
    return {row["run_name"]: row for row in rows if runs == 1 or row.get("aggregate_name") == "median"}


def throughput(runs, only):
    chosen = [flag for name in only for flag in ("--only", name)]
    said = subprocess.run([ROOT / "tests/bench/throughput.py", "--runs", str(runs), *chosen], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(said.stdout)


def processor_flags():
    return next((line for line in open("/proc/cpuinfo") if line.startswith("flags")), "")


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    flags = processor_flags()
    vector = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "neither AVX2 nor AVX-512"
    if "avx512ifma" in flags:
        vector += " with IFMA"
    return f"{model}, {os.cpu_count()} cores, {vector}, Linux {platform.release()}, {platform.freedesktop_os_release()['PRETTY_NAME']}"


def at_least(value, bar):
    return "yes" if value >= bar else "**no**"


def at_most(value, bar):
    return "yes" if value <= bar else "**no**"


def mbit(row):
    return f"{row['mbit']:.0f} Mbit/s"


def one_hop_rows(net):
    ours, peer, naive = (net.get(name) for name in ("ours", "wireguard_go", "naive_loop"))
    if not ours:
        return
    beside = f"wireguard-go {mbit(peer)}" if peer else ""
    if naive:
        share = ours["mbit"] / naive["mbit"]
        yield Row("one hop, TUN to TUN, one TCP stream", f"{mbit(ours)} ({share:.2f} of the naive loop)", ">= 0.85 of the naive loop",
                  at_least(share, 0.85), f"naive loop with one AEAD {mbit(naive)}; {beside}")
    else:
        yield Row("one hop, TUN to TUN, one TCP stream", mbit(ours), "", "", beside)
    if not peer:
        return
    yield Row("one hop, UDP of 64 B, highest rate with at most 1 % lost",
              f"{ours['udp_64'] / 1e3:.0f} k/s ({ours['udp_64'] / peer['udp_64']:.1f} x)", ">= 3 x wireguard-go",
              at_least(ours["udp_64"], 3 * peer["udp_64"]), f"wireguard-go {peer['udp_64'] / 1e3:.0f} k/s")
    yield Row("one hop, round trip under 250 Mbit/s of TCP", f"{ours['ping_ms']:.2f} ms", "<= wireguard-go", at_most(ours["ping_ms"], peer["ping_ms"]),
              f"wireguard-go {peer['ping_ms']:.2f} ms")


# Both ends share the cores, so two workers have no processor more than one.
def worker_rows(net):
    one, two, peers, peers_two = (net.get(name) for name in ("ours", "ours_2_workers", "two_peers", "two_peers_2_workers"))
    if two:
        yield Row("one hop, the same with two workers at each end, one peer", f"{mbit(two)}; {two['udp_64'] / 1e3:.0f} k/s of UDP; {two['ping_ms']:.2f} ms", "", "",
                  f"one worker {mbit(one)}; {one['udp_64'] / 1e3:.0f} k/s; {one['ping_ms']:.2f} ms" if one else "")
    if peers_two:
        yield Row("one hop to two peers at once, TCP streams added, a device of two workers", mbit(peers_two), "", "",
                  f"one worker {mbit(peers)}" if peers else "")


def circuit_rows(net, core):
    one, kernel, three, naive = (net.get(name) for name in ("circuit_1_hop", "circuit_1_hop_kernel_exit", "circuit_3_hops", "naive_loop"))
    floor = net.get("naive_relay")
    if one and kernel:
        share = one["mbit"] / kernel["mbit"]
        yield Row("one hop, `run` to web server, rootless exit, TCP download", f"{mbit(one)} ({share:.0%} of root's)",
                  ">= 80 % of the exit that masquerades", at_least(share, 0.8), f"exit by root's masquerading {mbit(kernel)}")
    elif one:
        yield Row("one hop, `run` to web server, rootless exit, TCP download", mbit(one), "", "", "")
    if proxy := net.get("circuit_1_hop_proxy"):
        yield Row("one hop, the same by a program that asks `macrovpn proxy` (SOCKS5)", mbit(proxy), "", "",
                  f"the proxy's own CPU: {proxy['proxy_cpu_s_per_gb']:.2f} s for each GB" + (f"; without it {mbit(one)}" if one else ""))
    if not three:
        return
    ours, bar, met = mbit(three), "", ""
    if naive:
        share = three["mbit"] / naive["mbit"]
        ours, bar, met = f"{ours} ({share:.2f} of the naive loop)", ">= 0.25 of the naive loop", at_least(share, 0.25)
    yield Row("three hops, the same, rootless; five programs on these cores", ours, bar, met, "a local Tor network: 40-100 Mbit/s (measured elsewhere)")
    most = 0.9 if "avx512f" in processor_flags() else 1.4
    yield Row("middle relay, CPU for each packet that it passes on", f"{three['relay_us_per_packet']:.2f} us", f"<= {most} us",
              at_most(three["relay_us_per_packet"], most), "; ".join(
                  ([f"kernel and one AEAD, nothing else: {floor['us_per_packet']:.2f} us; kernel alone {floor['kernel_us_per_packet']:.2f} us"] if floor else [])
                  + ([f"the AEAD alone: {packet_time(core, 'aead/automatic')}"] if core else [])))
    mib = three["client_peak_kib"] / 1024
    yield Row("client's daemon, connected and busy, peak resident memory", f"{mib:.1f} MiB", "<= 25 MB", at_most(mib * 1.048576, 25),
              "Nebula 27 MB, Tailscale 60-250 MB (published)")
    yield Row("relay, peak resident memory", f"{three['relay_peak_kib'] / 1024:.1f} MiB", "", "", "")


def packet_time(core, name):
    return f"{1e9 / core[name]['items_per_second']:.0f} ns"


def core_rows(core):
    if not core:
        return
    for name, measure, operations in HANDSHAKES:
        row = core[f"{name}/manual_time"]
        yield Row(measure, f"{row['items_per_second']:.0f} /s ({row['of_bound']:.2f} of the bound)", ">= 0.85 of the bound", at_least(row["of_bound"], 0.85),
                  f"{operations} X25519 operations and nothing else, same run: {row['bound']:.0f} /s")
    size = core["memory_per_relayed_circuit/iterations:1"]["bytes_per_circuit"]
    yield Row("relayed circuit, memory at a relay", f"{size:.0f} B", "<= 2 KiB", at_most(size, 2048), "")
    yield Row("circuits of 3 hops built, all parties on one core", f"{core['builds/3']['items_per_second']:.0f} /s", "", "", "")
    yield Row("packet of 1300 B through 3 hops, all parties on one core", packet_time(core, "packets_up/3"), "", "", "")
    yield Row("packet of 1300 B through 1 hop, both ends", packet_time(core, "packets_up/1"), "", "", "")
    yield Row("AEAD of 1376 B, as built", packet_time(core, "aead/automatic"), "", "", f"OpenSSL {packet_time(core, 'aead/OpenSSL')}")


def write_page(rows, runs, where):
    lines = ["# Benchmarks", "",
             f"Written by `./bench` on {datetime.date.today().isoformat()}. Machine: {machine()}. Medians of {runs} interleaved runs; all ends and relays share",
             "the cores, so rates say what one machine does with everybody's work on it.", "",
             f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    notes = ROOT / "tools" / "benchmark-notes.md"
    lines += ["", notes.read_text().rstrip()] if notes.exists() else []
    where.write_text("\n".join(lines) + "\n")


def options_of():
    parser = argparse.ArgumentParser(prog="./bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="how often everything is repeated, interleaved; medians are shown (5)")
    parser.add_argument("--only", action="append", choices=("core", *NET), metavar="PART",
                        help=f"only this part, several times if wanted; the page is left alone. Parts: core, {', '.join(NET)}")
    parser.add_argument("--json", action="store_true", help="all figures as JSON")
    parser.add_argument("--no-page", action="store_true", help="leave docs/benchmarks.md as it is")
    parser.add_argument("--profile", action="store_true", help="instead of all that: where the cycles go, in one hop and three; best as root")
    return parser.parse_args()


def main():
    options, build = options_of(), pathlib.Path(os.environ["MACROVPN_BUILD"])
    if options.profile:
        return profile_cycles.main(build)
    started, parts = time.monotonic(), options.only or ("core", *NET)
    core = core_results(build, options.runs) if "core" in parts else {}
    wanted = [part for part in parts if part != "core"]
    net = throughput(options.runs, wanted) if wanted else {}
    rows = [*one_hop_rows(net), *worker_rows(net), *circuit_rows(net, core), *core_rows(core)]
    print(f"took {(time.monotonic() - started) / 60:.1f} min", file=sys.stderr)
    for part in wanted:
        if part not in net:
            print(f"{part} was not measured: see above", file=sys.stderr)
    if options.json:
        print(json.dumps({"machine": machine(), "core": core, "net": net, "rows": [row._asdict() for row in rows]}, indent=2))
    else:
        print(machine())
        table(COLUMNS, [tuple(cell.replace("**", "") for cell in row) for row in rows])
    if not options.no_page and not options.only:
        write_page(rows, options.runs, ROOT / "docs" / "benchmarks.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
