#!/usr/bin/python3
"""Sessions between our WireGuard device and wireguard-go are renewed after 120 s and nothing is lost. Takes a little over two minutes,
nearly all of it waiting: all pairs live in one laboratory at the same time.
"""
# beside: it sends 50 small packets a second on each of four pairs, and waits.

import collections
import contextlib
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from wg_lab import INITIATION, OUR4, RESPONSE, THEIR4, TRANSPORT, Pair, Stream, messages, netlab, udp_echo
from netlab import check

REKEY_AFTER = 120
LONGEST = REKEY_AFTER + 30
PER_SECOND = 50
# Name: who calls, and whose traffic it is. One-way: nobody answers but the protocol itself.
PAIRS = {"we-renew": ("ours", "ours", "echo"), "they-renew": ("theirs", "theirs", "echo"),
         "one-way-us": ("ours", "theirs", "sink"), "one-way-go": ("theirs", "ours", "sink"), "idle": ("ours", "ours", None)}


class Watched:
    """A pair, what runs through it, and what we know of it at the start."""

    def __init__(self, lab, number, caller, talker, kind):
        hosts = [lab.host(f"ours{number}", f"192.0.2.{10 + number}", offloads=False),  # every datagram whole
                 lab.host(f"theirs{number}", f"198.51.100.{10 + number}", offloads=False)]
        self.pair = Pair(*hosts, caller=caller)
        self.caller, self.kind = caller, kind
        self.pair.ping(caller)
        self.first_handshake, self.first_at = self.pair.their_handshake(), self.pair.node.handshake_at()
        mine, other = (OUR4, THEIR4) if talker == "ours" else (THEIR4, OUR4)
        speaker, listener = hosts if talker == "ours" else reversed(hosts)
        self.server = udp_echo(listener, other) if kind == "echo" else contextlib.nullcontext()
        self.stream = contextlib.nullcontext()
        if kind:
            self.stream = Stream(speaker, mine, other, per_second=PER_SECOND, listener=listener if kind == "sink" else None)


def everything():
    """Runs all pairs at once; the tests below look at what happened."""
    with netlab.Lab() as lab:
        watched = {name: Watched(lab, number, *what) for number, (name, what) in enumerate(PAIRS.items())}
        hosts = [w.pair.ours for w in watched.values()]
        with lab.capture(*hosts) as capture, contextlib.ExitStack() as running:
            for w in watched.values():
                running.enter_context(w.server)
                running.enter_context(w.stream)
            end = time.monotonic() + LONGEST
            busy = [w for w in watched.values() if w.kind]
            while time.monotonic() < end and not all(w.pair.node.sessions()[1] for w in busy):
                time.sleep(0.5)
            time.sleep(3)  # what a renewal breaks may show a little later
        for w in watched.values():
            w.sessions, w.last_at = w.pair.node.sessions(), w.pair.node.handshake_at()
            w.last_handshake = w.pair.their_handshake()
            w.drops = w.pair.node.drops()
            w.wire = [(kind, payload, packet.time, packet.src == w.pair.ours.ip4) for sender in (w.pair.ours, w.pair.theirs)
                      for kind, payload, packet in messages(capture, w.pair.ours, sender.ip4)]
            w.wire.sort(key=lambda seen: seen[2])
            w.pair.node.quit()
        check(capture.drops() == 0, "the recording missed frames")
        return watched


def renewed(name, caller):
    w = seen()[name]
    check(w.sessions == (1, 1), f"sessions and renewals: {w.sessions}")
    age = w.last_at - w.first_at
    check(REKEY_AFTER - 1 < age < REKEY_AFTER + 12, f"the second handshake came after {age:.1f} s")
    check(w.last_handshake - w.first_handshake >= REKEY_AFTER - 2, "wireguard-go knows of no second handshake")
    calls = [by_us for kind, _, _, by_us in w.wire if kind == INITIATION]
    check(calls == [caller == "ours"], f"who called during the stream: {calls}")
    counters_restart(w)
    lost = w.stream.lost()
    check(not lost, f"lost {len(lost)} of {len(w.stream.sent)}: {lost[:20]}, sent {[w.stream.sent[n] for n in lost[:20]]}, "
                    f"handshake at {w.last_at}")
    check(not w.drops, f"dropped: {w.drops}")
    around = [took * 1000 for number, took in w.stream.took.items() if abs(w.stream.sent[number] - w.last_at) < 1]
    call, answer = (at for kind, _, at, _ in w.wire if kind in (INITIATION, RESPONSE))
    return (f"after {age:.1f} s; handshake {(answer - call) * 1000:.1f} ms; 0 of {len(w.stream.sent)} packets lost, around the "
            f"renewal they took {statistics.median(around):.1f} ms, at most {max(around):.1f}")


def counters_restart(w):
    """Each receiver index is a key of its own; its counter starts at 0, rises by one, and the old key ends before long."""
    counters = collections.defaultdict(list)
    for kind, payload, at, by_us in w.wire:
        if kind == TRANSPORT:
            counters[by_us, payload[4:8]].append((int.from_bytes(payload[8:16], "little"), at))
    for by_us in (True, False):
        keys = [seen for (sender, _), seen in counters.items() if sender == by_us]
        who = "we" if by_us else "wireguard-go"
        check(len(keys) == 2, f"{who} used {len(keys)} keys")
        old, new = sorted(keys, key=lambda seen: seen[0][1])
        check(new[0][0] == 0, f"the second counter of {who} starts at {new[0][0]}")
        for numbers in ([n for n, _ in old], [n for n, _ in new]):
            check(sorted(numbers) == list(range(min(numbers), min(numbers) + len(numbers))), f"{who} left out or repeated a counter")
        check(old[-1][1] - new[0][1] < 0.5, f"{who} still used the old key long after the new one")


def we_renew_the_session_and_lose_nothing():
    return renewed("we-renew", "ours")


def they_renew_the_session_and_lose_nothing():
    return renewed("they-renew", "theirs")


def we_renew_it_when_only_they_send():
    return renewed("one-way-us", "ours")


def they_renew_it_when_only_we_send():
    return renewed("one-way-go", "theirs")


def an_idle_session_is_left_alone():
    w = seen()["idle"]
    check(w.sessions == (1, 0) and w.last_handshake == w.first_handshake, f"sessions and renewals: {w.sessions}")
    check(not [kind for kind, *_ in w.wire if kind in (INITIATION, RESPONSE)], "a handshake ran without any traffic")
    keepalives = sum(kind == TRANSPORT for kind, *_ in w.wire)
    check(keepalives <= 1, f"{keepalives} packets passed without any traffic")


_seen = []


def seen():
    """What everything() gave, or why it could not: it runs once."""
    if not _seen:
        try:
            _seen.append(everything())
        except Exception as error:
            _seen.append(error)
    if isinstance(_seen[0], Exception):
        raise _seen[0]
    return _seen[0]


netlab.enter()
sys.exit(netlab.run_tests([we_renew_the_session_and_lose_nothing, they_renew_the_session_and_lose_nothing,
                           we_renew_it_when_only_they_send, they_renew_it_when_only_we_send, an_idle_session_is_left_alone]))
