#!/usr/bin/python3
"""The simulator's TCP against the kernel's: the same path, as a wire of netlab and as a Link, and as much gets through."""

import json
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import netlab
from macronet.build import program
from netlab import check

OMITTED, SECONDS = 3, 14  # the first slow start, which a single loss decides, is not compared
SEEDS = 25                # of the model, where there is luck
TOLERANCE = 0.15          # of what is carried
AGAIN = 2                 # times as many, or as few, segments sent again
CONTROLS = ("reno", "cubic")
# Delay one way, rate, the queue's time, loss of the data; how many flows of the kernel, each on a wire of its own, all at once. The first
# path is limited by its queue, the second by its losses, which are luck and so need more flows.
PATHS = {"queue": (dict(delay_ms=20, rate_mbit=10, queue_ms=10), 0, 2),
         "loss": (dict(delay_ms=30, rate_mbit=20, queue_ms=100), 0.005, 9)}


def medians(runs):
    return {what: statistics.median(run[what] for run in runs) for what in runs[0]}


def model(control, name, loss):
    wire, _, _ = PATHS[name]
    words = [control, wire["rate_mbit"] * 1000, wire["delay_ms"] * 1000, wire["queue_ms"] * 1000, round(loss * 1e6), OMITTED, SECONDS]
    tool = program("sim-tcp-compare", "sim/compare")
    return medians([json.loads(subprocess.run([tool, *map(str, words), str(seed)], check=True, capture_output=True, text=True).stdout)
                    for seed in range(1, (SEEDS if loss else 1) + 1)])


def kernel():
    """{(control, path): (medians of what the kernel does, the share that its wires lost)}"""
    with netlab.Lab() as lab:
        server = lab.host("server", "198.51.100.2/24", offloads=False)
        flows = [(control, name) for control in CONTROLS for name in PATHS for _ in range(PATHS[name][2])]
        clients = []
        for number, (control, name) in enumerate(flows):
            wire, loss, _ = PATHS[name]
            client = lab.host(f"c{number}", f"203.0.113.{number + 1}/24", **wire)
            client.wire.set("up", loss=loss)
            server.start(["iperf3", "-s", "-1", "-p", 5201 + number])
            clients.append(client)
        for number in range(len(flows)):
            server.wait_for_port(5201 + number)
        running = [client.start(["iperf3", "-c", server.ip4, "-p", 5201 + number, "-O", OMITTED, "-t", SECONDS, "-C", control, "-J"])
                   for number, ((control, _), client) in enumerate(zip(flows, clients))]
        got, wires = {}, {}
        for flow, process, client in zip(flows, running, clients):
            check(process.wait(timeout=OMITTED + SECONDS + 20) == 0, process.output()[-500:])
            end = json.loads(process.output())["end"]
            got.setdefault(flow, []).append({"kbit": end["sum_received"]["bits_per_second"] / 1000, "again": end["sum_sent"]["retransmits"]})
            wires.setdefault(flow, []).append(client.wire.stats()["up"])
    lost = {flow: sum(s["lost"] for s in stats) / sum(s["frames"] + s["lost"] for s in stats) for flow, stats in wires.items()}
    return {flow: (medians(runs), lost[flow]) for flow, runs in got.items()}


def the_model_carries_what_the_kernel_carries():
    said, wrong = [], []
    for (control, name), (theirs, lost) in kernel().items():
        ours = model(control, name, lost)  # as much as was lost, not as much as was to be lost
        said.append(f"{control} on {name} {ours['kbit'] / 1000:.2f} of {theirs['kbit'] / 1000:.2f} Mbit/s, "
                    f"{ours['again']:.0f} of {theirs['again']:.0f} segments again")
        if abs(ours["kbit"] / theirs["kbit"] - 1) > TOLERANCE or not theirs["again"] / AGAIN <= ours["again"] <= theirs["again"] * AGAIN:
            wrong.append(said[-1])
    check(not wrong, "; ".join(wrong))
    return "; ".join(said)


netlab.enter()
sys.exit(netlab.run_tests([the_model_carries_what_the_kernel_carries]))
