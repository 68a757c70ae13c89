#!/usr/bin/python3
"""A WireGuard device of ours with two workers and peers on both. As root, or as a user who may open /dev/net/tun.

    wireguard_workers_test.py [WORD...]     only tests with one of the words in their names
"""

import contextlib
import os
import pathlib
import select
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ["MACROVPN_WIREGUARD_WORKERS"] = "2"
import wg_lab
from wg_lab import OURS, PORT, Ours, Stream, netlab, new_key, on, program, udp_echo, udp_socket, uapi, wait_until
from netlab import check

HUB = "10.99.0.1"
SPOKES = ["10.99.0.2", "10.99.0.3"]  # of worker 0, and of worker 1


class Star:
    """Two stock peers of one device of ours, which has one of them at each worker."""

    def __init__(self, lab, caller="spokes"):
        self.lab = lab
        self.hub = Ours(lab.host("hub", OURS), addresses=[f"{HUB}/24"], decoys=0)
        self.spokes, self.go = [], []
        for n, inside in enumerate(SPOKES):
            host = lab.host(f"spoke{n}", [f"198.51.100.{n + 1}", f"2001:db8:{n + 2}::1"])
            go = netlab.WireGuardGo(host, addresses=[f"{inside}/24"], listen_port=PORT)
            self.hub.add_peer(go.public_key, [f"{inside}/32"], endpoint=on(host.ip4) if caller == "hub" else None)
            go.add_peer(self.hub.public_key, ["10.99.0.0/24"], endpoint=on(OURS[0]) if caller == "spokes" else None)
            self.spokes.append(host), self.go.append(go)
        for host, inside in zip(self.spokes, SPOKES):
            wg_lab.ping(*((host, HUB) if caller == "spokes" else (self.hub.host, inside)), count=2)

    def of_worker(self, number, name):
        return self.hub.counters()[f"worker_{number}_{name}"]


@contextlib.contextmanager
def star(**settings):
    with netlab.Lab() as lab:
        made = Star(lab, **settings)
        yield made
        made.hub.quit()


# ---- who has whom

def each_worker_has_a_peer_whoever_calls():
    for caller in ("spokes", "hub"):
        with star(caller=caller) as s:
            counters = s.hub.counters()
            check([counters[f"worker_{n}_peers"] for n in (0, 1)] == [1, 1], counters)
            check(min(counters[f"worker_{n}_received_transport"] for n in (0, 1)) >= 2, counters)
            handed = counters["worker_0_strays"]
            check(handed == (1 if caller == "spokes" else 0), f"initiations handed over: {handed}")
            for host, inside in zip(s.spokes, SPOKES):
                wg_lab.ping(host, HUB, count=3), wg_lab.ping(s.hub.host, inside, count=3)
            check(s.hub.sessions() == (2, 0) and not s.hub.drops(), f"{s.hub.sessions()}, dropped {s.hub.drops()}")
            order = [peer for peer in s.hub.wg("show", "wg0", "peers").split()]
            check(order == [go.public_key for go in s.go], "the peers are not in the order in which they were added")


def with_one_peer_there_is_one_queue_and_nothing_crosses():
    with wg_lab.pair() as p:  # its first peer is a decoy, so the real one is worker 1's
        for key in p.node.decoys:
            p.node.wg("set", "wg0", "peer", key, "remove")
        p.node.wg("set", "wg0", "peer", p.go.public_key, "remove")
        p.node.add_peer(p.go.public_key, [f"{wg_lab.THEIR4}/32"], endpoint=on(wg_lab.THEIRS[0]))
        before = p.node.counters()
        for n in range(20):  # flows of their own
            with udp_echo(p.theirs, wg_lab.THEIR4, 7000 + n), udp_socket(p.ours, wg_lab.OUR4) as sock:
                sock.settimeout(8)
                sock.sendto(b"x", (wg_lab.THEIR4, 7000 + n))
                sock.recv(10)
        after = p.node.counters()
        check(after["worker_0_peers"] == 1 and after["worker_1_from_device"] == before["worker_1_from_device"], after)
        check(after["worker_0_crossed"] == before["worker_0_crossed"], after)


# ---- order

def numbered(host, address, to, port, count, pace, burst=8):
    """Sends numbered datagrams from one socket and returns the numbers of what came back, in the order in which they did."""
    came = []
    with udp_socket(host, address) as sock:
        done = threading.Event()

        def receive():
            end = None
            while end is None or time.monotonic() < end:
                if done.is_set() and end is None:
                    end = time.monotonic() + 0.5
                if select.select([sock], [], [], 0.05)[0]:
                    came.append(struct.unpack(">I", sock.recv(2000)[:4])[0])

        thread = threading.Thread(target=receive)
        thread.start()
        for number in range(count):
            sock.sendto(struct.pack(">I", number).ljust(300, b"."), (to, port))
            if number % burst == burst - 1:
                time.sleep(burst / pace)
        done.set()
        thread.join()
    return came


def out_of_order(numbers):
    highest, late = -1, 0
    for n in numbers:
        late += n < highest
        highest = max(highest, n)
    return late


def a_flow_keeps_its_order_and_comes_home():
    said = []
    with star() as s:
        for number, inside in enumerate(SPOKES):
            with udp_echo(s.spokes[number], inside):
                crossed = lambda: sum(s.of_worker(n, "crossed") for n in (0, 1))
                for port in range(4):  # of each, one half of the flows begins at the wrong queue
                    before = crossed()
                    came = numbered(s.hub.host, HUB, inside, 7777, 500, pace=3000)
                    check(len(came) >= 495, f"{500 - len(came)} of 500 were lost")
                    check(out_of_order(came) == 0, f"{out_of_order(came)} of {len(came)} came late")
                    said.append(crossed() - before)
        check(max(said) > 0, "no flow began at another worker's queue, so this proves little")
        check(max(said) < 100, f"packets of 500 that crossed: {said}")
    return f"of 500 packets each crossed {said}, none came late"


def one_way_flows_keep_their_order_though_all_of_them_cross():
    with star() as s:
        for number, inside in enumerate(SPOKES):
            for port in range(7100, 7104):
                with udp_socket(s.spokes[number], inside, port) as there, udp_socket(s.hub.host, HUB) as here:
                    for n in range(500):
                        here.sendto(struct.pack(">I", n).ljust(300, b"."), (inside, port))
                        if n % 8 == 7:
                            time.sleep(0.002)
                    came = []
                    while select.select([there], [], [], 0.3)[0]:
                        came.append(struct.unpack(">I", there.recv(2000)[:4])[0])
                check(len(came) >= 490 and out_of_order(came) == 0, f"{len(came)} of 500 came, {out_of_order(came)} late")
        crossed = [s.of_worker(n, "crossed") for n in (0, 1)]
        check(sum(crossed) >= 500, f"nothing crossed ({crossed}), so this proves nothing")
        check(sum(s.of_worker(n, "lost_between") for n in (0, 1)) == 0, "packets were lost between workers")


# ---- changes under traffic

def an_address_moves_between_peers_of_two_workers_under_traffic():
    extra = "10.99.0.77"
    with star() as s:
        for host in s.spokes:
            host.ip("address", "add", f"{extra}/32", "dev", "wg0")
        s.hub.host.ip("route", "replace", f"{extra}/32", "dev", "wg0")
        with udp_echo(s.spokes[0], extra), udp_echo(s.spokes[1], extra), Stream(s.hub.host, HUB, extra, per_second=500) as stream:
            for number in (0, 1, 0, 1):
                s.hub.wg("set", "wg0", "peer", s.go[number].public_key, "allowed-ips", f"{SPOKES[number]}/32,{extra}/32")
                time.sleep(0.2)
                here, there = s.hub.drops("not_allowed_ip"), 1 - number
                check(not wg_lab.ping(s.spokes[there], HUB, source=extra, timeout=0.3, check=False), "both peers speak as the same address")
                check(s.hub.drops("not_allowed_ip") > here, "who lost an address may still send from it")
        lost = stream.lost()
        check(len(lost) <= 40, f"{len(lost)} of {len(stream.sent)} were lost")
        return f"{len(lost)} of {len(stream.sent)} packets lost in four moves"


def a_peer_is_removed_and_added_again_under_traffic():
    with star() as s:
        with udp_echo(s.spokes[0], SPOKES[0]), udp_echo(s.spokes[1], SPOKES[1]), \
                Stream(s.hub.host, HUB, SPOKES[0], per_second=500) as stays, Stream(s.hub.host, HUB, SPOKES[1], per_second=500) as goes:
            for _ in range(3):
                time.sleep(0.2)
                s.hub.wg("set", "wg0", "peer", s.go[1].public_key, "remove")
                time.sleep(0.1)
                s.hub.add_peer(s.go[1].public_key, [f"{SPOKES[1]}/32"], endpoint=on(s.spokes[1].ip4))
            wait_until(lambda: goes.took and max(goes.took) > len(goes.sent) - 20, 8, "the peer did not come back")
        check(not stays.lost(), f"the other peer lost {len(stays.lost())} of {len(stays.sent)}")
        check(s.hub.sessions()[0] >= 5, "the peer was not new each time")


# ---- loops

def a_loop_through_the_sessions_of_two_workers_is_cut():
    """The first peer's address is reached through the second peer, and the second's through the first."""
    with star(caller="hub") as s:
        for number in (0, 1):
            other = s.spokes[1 - number].ip4
            s.hub.wg("set", "wg0", "peer", s.go[number].public_key, "allowed-ips", f"{SPOKES[number]}/32,{other}/32")
        for host in s.spokes:
            s.hub.host.ip("route", "add", f"{host.ip4}/32", "dev", "wg0")
        before = s.hub.counters()
        with Stream(s.hub.host, HUB, SPOKES[0], per_second=200) as one, Stream(s.hub.host, HUB, SPOKES[1], per_second=200) as two:
            time.sleep(1.5)
        after = s.hub.counters()
        made, cut = after["sent_transport"] - before["sent_transport"], after["looped"] - before["looped"]
        given = len(one.sent) + len(two.sent)
        check(not one.took and not two.took, "a packet went through, so there was no loop")
        check(made <= 2 * given + 10, f"{given} packets made {made} datagrams")
        check(cut >= given, f"of {given} packets {cut} were cut")
        return f"{given} packets made {made} datagrams, {cut} were cut"


# ---- how many

def as_many_workers_as_was_said_and_bad_numbers_are_refused():
    netlab.need_tun()
    with netlab.Lab() as lab:
        host = lab.host("ours", OURS)
        count = lambda name: int(dict(wg_lab.pairs_of(uapi(host, "counters=1\n\n", name))).get("workers", 1))
        run = lambda *words, env=None: host.run([program(), "wireguard", *words], check=False, env=env or {})
        for words, name, env, wanted in ((["--workers", "3"], "wg0", {}, 3), ([], "wg1", {}, 2),
                                         ([], "wg2", {"MACROVPN_WIREGUARD_WORKERS": "1"}, 1), (["--workers", "1"], "wg3", {}, 1)):
            said = run(*words, name, env=env)
            check(said.returncode == 0 and count(name) == wanted, f"{words} {env}: {said.stderr}")
        for value in ("0", "17", "two", "-1", "1.5", "2 "):
            said = run("-f", "wg8", env={"MACROVPN_WIREGUARD_WORKERS": value})
            check(said.returncode == 1 and "must be a number from 1 to 16" in said.stderr and said.stderr.count("\n") == 1, said.stderr)
            said = run("--workers", value, "wg8")
            check(said.returncode != 0 and "--workers" in said.stderr, f"--workers {value}: {said.stderr}")
        check("wg8" not in host.ip("link"), "a device was made")


def a_device_that_was_there_has_one_worker_and_says_so():
    netlab.need_tun()
    with netlab.Lab() as lab:
        host = lab.host("ours", OURS)
        host.ip("tuntap", "add", "mode", "tun", "name", "wg0", "vnet_hdr")
        process = host.start([program(), "wireguard", "-f", "wg0"])
        wait_until(lambda: (host.directory / "run/wireguard/wg0.sock").exists(), 5, "no device")
        check("one worker and not 2: the packet device was there before" in process.output(), process.output())
        check("workers=" not in uapi(host, "counters=1\n\n"), "it has several")
        check(process.stop() == 0, process.output())


netlab.enter()
sys.exit(netlab.run_tests([
    each_worker_has_a_peer_whoever_calls, with_one_peer_there_is_one_queue_and_nothing_crosses, a_flow_keeps_its_order_and_comes_home,
    one_way_flows_keep_their_order_though_all_of_them_cross, an_address_moves_between_peers_of_two_workers_under_traffic,
    a_peer_is_removed_and_added_again_under_traffic, a_loop_through_the_sessions_of_two_workers_is_cut,
    as_many_workers_as_was_said_and_bad_numbers_are_refused, a_device_that_was_there_has_one_worker_and_says_so]))
