#!/usr/bin/python3
"""The demo: six relays, a web server and a client behind a home NAT, in private namespaces on this machine.

Each step is checked; the exit code is 0 only if every one held.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "support"))
import netlab  # noqa: E402
from macronet import Parties, World  # noqa: E402
from macronet.world import WEB_NAME  # noqa: E402
from netlab.report import Progress, Timeline, table  # noqa: E402

DOWNLOAD_BYTES = 200_000_000
LINK_MS = 2


class Demo:
    def __init__(self, options):
        self.options = options
        self.out = sys.stderr if options.json else sys.stdout
        self.timeline = Timeline(self.out)
        self.facts = {"steps": {}}

    def say(self, text=""):
        self.timeline.say(text) if text else print(file=self.out)

    def step(self, name, held, detail):
        self.facts["steps"][name] = bool(held)
        self.say(("ok    " if held else "FAILED  ") + detail)

    # -- the steps

    def directory(self, world):
        world.make_network()
        started = time.monotonic()
        world.start_relays()
        self.say(f"      {len(world.relays)} relays found each other from two seeds in {time.monotonic() - started:.1f} s")
        link = world.join_by_invite()
        self.say(f"      the client has an invite link of {len(link)} characters, and nothing else: {link[:44]}...")
        started = time.monotonic()
        world.start_client(wait=False)
        status = world.client.wait("knowing all relays", lambda s: s["relays_known"] >= len(world.relays))
        seconds = time.monotonic() - started
        self.facts["relays"], self.facts["finding_seconds"] = status["relays_known"], round(seconds, 2)
        self.step("directory", status["relays_known"] == len(world.relays),
                  f"it asked the link's relays and knew {status['relays_known']} after {seconds:.1f} s; every signature was verified")

    def circuit(self, world):
        status = world.client.wait("a circuit", lambda s: any(c["state"] == "ready" for c in s["circuits"]))
        circuit = next(c for c in status["circuits"] if c["state"] == "ready")
        self.facts["circuit"] = {"build_ms": circuit["build_ms"], "one_round_trip": circuit["one_round_trip"],
                                 "hop_ms": [hop["handshake_ms"] for hop in circuit["path"]]}
        for number, (hop, node) in enumerate(zip(circuit["path"], world.path_of(circuit)), 1):
            self.say(f"      hop {number}  {node.name:8} {hop['id'][:8]}  keys agreed after {hop['handshake_ms']:.1f} ms")
        bound = world.client.wait("proofs of identity", lambda s: any(
            c["state"] == "ready" and all(h["bound"] for h in c["path"]) for c in s["circuits"]))
        self.step("circuit", circuit["one_round_trip"] and len(circuit["path"]) == 3 and bound,
                  f"three hops in one round trip: {circuit['build_ms']:.1f} ms; "
                  f"three round trips in a row would need {6 * 2 * LINK_MS} ms and more")

    def page(self, world):
        with Parties(world) as parties:
            code, said, path = world.run_and_path("curl", "-sS", "--max-time", "15", f"http://{WEB_NAME}/")
            time.sleep(0.3)
        exit_addresses = set(path[-1].host.addresses)
        seen_by_web = re.findall(r"[0-9a-f.:]{7,}", said)
        held = code == 0 and any(address in exit_addresses for address in seen_by_web)
        self.facts["page"] = {"curl": code, "said": said}
        self.step("page", held, f"an unmodified curl fetched a page by name; the web server said: \"{said}\" "
                                f"(that is {path[-1].name}, the exit)" if held else f"curl: {said}")
        self.what_they_saw(world, parties, path)

    def what_they_saw(self, world, parties, path):
        rows = parties.table(path)
        self.say()
        self.say("What each party saw on its own link (captured there):")
        yes = {True: "yes", False: "no"}
        table(["party", "host", "the user's address", "the site's address", "packets"],
              [(who, host, yes[saw["user"]], yes[saw["site"]], saw["packets"]) for who, host, saw in rows], out=self.out)
        self.say()
        self.facts["parties"] = [{"party": who, "host": host, **saw} for who, host, saw in rows]
        both = [who for who, _, saw in rows if saw["user"] and saw["site"]] + parties.relays_that_saw_both()
        leaks = parties.left_the_client_outside_the_tunnel()
        drops = parties.capture.drops()
        self.step("nobody saw both", not both and drops == 0, "no party saw both ends; no capture missed a packet"
                  if not both else f"saw both ends: {', '.join(both)}")
        self.step("no leak", not leaks, "nothing left the client's computer outside of the tunnel"
                  if not leaks else f"{len(leaks)} packets left outside of the tunnel")

    def download(self, world):
        target = pathlib.Path(world.client.host.home) / "download"
        argv = ["curl", "-sS", "--max-time", "120", "-o", str(target), f"http://{WEB_NAME}/bytes/{DOWNLOAD_BYTES}"]
        started = time.monotonic()
        process = world.start_run(*argv)
        hopped, before, after = None, None, None
        with Progress("download through three relays", DOWNLOAD_BYTES, out=self.out) as progress:
            while process.running and time.monotonic() - started < 120:
                size = target.stat().st_size if target.exists() else 0
                progress.update(size)
                if hopped is None and size > DOWNLOAD_BYTES * 0.4:
                    before = world.active()
                    world.client.command("hop")
                    hopped = size
                if hopped is not None and after is None and size > hopped:
                    now = world.active()
                    after = now if now and before and now["id"] != before["id"] else None
                time.sleep(0.1)
            size = target.stat().st_size if target.exists() else 0
            progress.update(size)
        seconds = time.monotonic() - started
        self.facts["download"] = {"bytes": size, "seconds": round(seconds, 2), "mbit_per_s": round(size * 8e-6 / seconds, 1)}
        names = [[n.name for n in world.path_of(c)] if c else [] for c in (before, after)]
        moved = bool(before and after and names[0][-1:] == names[1][-1:] and names[0] != names[1])
        self.facts["hop"] = {"before": names[0], "after": names[1]}
        self.step("hop", moved, f"in its middle, `macrovpn hop` moved it from {' > '.join(names[0])} to {' > '.join(names[1])}")
        self.step("download", process.wait() == 0 and size == DOWNLOAD_BYTES,
                  f"all {size / 1e6:.0f} MB arrived over one TCP connection, {size * 8e-6 / seconds:.0f} Mbit/s, "
                  f"all nine processes on this machine")

    # -- the whole

    def run(self):
        with netlab.Lab() as lab, World(lab, delay_ms=LINK_MS, live=True) as world:
            self.say("Drawing a network on this machine: a home with NAT, six relays, a web server. Nothing leaves the machine.")
            self.directory(world)
            self.circuit(world)
            self.page(world)
            self.download(world)
            held = all(self.facts["steps"].values())
            self.facts["ok"] = held
            self.say()
            self.say("Everything held." if held else "Not everything held; see FAILED above.")
            if self.options.json:
                print(json.dumps(self.facts, indent=2))
            if self.options.keep:
                self.keep(world)
        return 0 if held else 1

    def keep(self, world):
        """A shell on the client, with `macrovpn` at hand."""
        bin_folder = pathlib.Path(world.client.host.directory) / "bin"
        bin_folder.mkdir(exist_ok=True)
        wrapper = bin_folder / "macrovpn"
        words = world.client.argv()
        wrapper.write_text(f"#!/bin/sh\nexec {words[0]} {words[1]} {words[2]} \"$@\"\n")
        wrapper.chmod(0o755)
        self.say("The network keeps running. You are on the client's computer; try:")
        for line in ("macrovpn status", "macrovpn hop", f"macrovpn run -- curl http://{WEB_NAME}/", f"curl http://{WEB_NAME}/",
                     "exit   (ends everything)"):
            self.say(f"      {line}")
        # The child enters the client's network and then becomes the shell.
        child = os.fork()
        if child == 0:
            os.execvpe("nsenter", ["nsenter", f"--net=/run/netns/{world.client.name}", "bash", "--norc", "-i"]
                       if sys.stdin.isatty() else ["nsenter", f"--net=/run/netns/{world.client.name}", "sh"],
                       {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "PS1": "client$ "})
        os.waitpid(child, 0)


def main():
    parser = argparse.ArgumentParser(prog="./demo", description=__doc__)
    parser.add_argument("--json", action="store_true", help="the facts as JSON on standard output, words on standard error")
    parser.add_argument("--keep", action="store_true", help="afterwards a shell on the client, everything still running")
    options = parser.parse_args()
    netlab.enter()
    return Demo(options).run()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (netlab.NetlabError, subprocess.SubprocessError) as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(1)
