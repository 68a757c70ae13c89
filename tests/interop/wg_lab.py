"""A network of two: our WireGuard device on one host, Debian's wireguard-go on another, both configured by `wg`."""

import contextlib
import hashlib
import os
import pathlib
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import netlab
from netlab.tools import installed

OURS = ["192.0.2.1", "2001:db8:1::1"]
THEIRS = ["198.51.100.1", "2001:db8:2::1"]
PORT = 51820
INSIDE_OURS = ["10.99.0.1/24", "fd00:99::1/64"]
INSIDE_THEIRS = ["10.99.0.2/24", "fd00:99::2/64"]
WG = installed("wg", "wireguard-tools")
INITIATION, RESPONSE, COOKIE_REPLY, TRANSPORT = 1, 2, 3, 4


def bare(addresses):
    return [address.partition("/")[0] for address in addresses]


OUR4, OUR6 = bare(INSIDE_OURS)
THEIR4, THEIR6 = bare(INSIDE_THEIRS)


def on(address, port=PORT):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def program():
    """macrovpn: $MACROVPN; or the one of $MACROVPN_BUILD; or the newest build, one without sanitizers first."""
    chosen, build = os.environ.get("MACROVPN"), os.environ.get("MACROVPN_BUILD")
    builds = [pathlib.Path(build)] if build else (pathlib.Path(__file__).resolve().parents[2] / "build").glob("*")
    found = [pathlib.Path(chosen)] if chosen else [path / "src/app/macrovpn" for path in builds]
    found = [path for path in found if os.access(path, os.X_OK)]
    if not found:
        raise netlab.NetlabError("macrovpn is not built. Build it with: cmake --preset dev && cmake --build --preset dev "
                                 "--target macrovpn (or set MACROVPN to it)")
    return str(max(found, key=lambda path: ("asan" not in path.parts[-4], path.stat().st_mtime)))


def new_key():
    """(private key, public key), or a private key that is used as a preshared one."""
    private = subprocess.run([WG, "genkey"], capture_output=True, text=True, check=True).stdout.strip()
    public = subprocess.run([WG, "pubkey"], input=private, capture_output=True, text=True, check=True).stdout.strip()
    return private, public


WORKERS = int(os.environ.get("MACROVPN_WIREGUARD_WORKERS") or 1)


class Ours(netlab.WireGuard):
    """Our program as wg0 of a host, which is configured as any other device.

    With several workers ($MACROVPN_WIREGUARD_WORKERS) it gets a peer that nobody is, so that worker 0 has that one and the real
    one's initiations, packets and settings are handed to another.
    """

    def __init__(self, host, addresses=INSIDE_OURS, listen_port=PORT, decoys=WORKERS - 1, workers=WORKERS, **options):
        env = {"LOG_LEVEL": "verbose", "MACROVPN_WIREGUARD_WORKERS": str(workers)}
        super().__init__(host, [program(), "wireguard", "-f"], addresses=addresses, listen_port=listen_port, env=env, **options)
        self.decoys = [new_key()[1] for _ in range(decoys)]
        for key in self.decoys:
            self.wg("set", self.ifname, "peer", key)

    def uapi(self, request):
        return uapi(self.host, request, self.ifname)

    def counters(self):
        """What it counted since its start; what never happened is missing or 0."""
        return {key: int(value) for key, value in pairs_of(self.uapi("counters=1\n\n"))}

    def drops(self, reason=None):
        """How much was refused, for that reason or {reason: count}."""
        found = {key[len("dropped_"):]: n for key, n in self.counters().items() if key.startswith("dropped_")}
        return found.get(reason, 0) if reason else found

    def sessions(self):
        """(handshakes after which there was a session for the first time, renewals)"""
        counters = self.counters()
        return counters["sessions"], counters["renewals"]

    def handshake_at(self):
        """When the last handshake with its only peer was done: unix time, with fractions."""
        got = dict(pairs_of(self.uapi("get=1\n\n")))
        return int(got["last_handshake_time_sec"]) + int(got["last_handshake_time_nsec"]) * 1e-9

    def quit(self):
        """Ends it properly, so that a build with sanitizers can tell what it lost."""
        self.process.signal(signal.SIGTERM)
        netlab.check(self.process.wait() == 0, f"our device ended with {self.process.exit_code}:\n{self.process.output()}")


def uapi(host, request, ifname="wg0"):
    """What a device answers on its configuration socket; nothing if it hangs up."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(host.directory / f"run/wireguard/{ifname}.sock"))
        sock.sendall(request.encode())
        answer = b""
        while not answer.endswith(b"\n\n") and (part := sock.recv(65536)):
            answer += part
    return answer.decode()


def pairs_of(answer):
    return [line.split("=", 1) for line in answer.splitlines() if "=" in line]


def wait_until(condition, timeout, complaint):
    deadline = time.monotonic() + timeout
    while not condition():
        netlab.check(time.monotonic() < deadline, f"{complaint} within {timeout} s")
        time.sleep(0.01)


class Pair:
    """Our device on `ours` and wireguard-go on `theirs`, each a peer of the other.

    `caller`: "ours" or "theirs" or "both": who knows the other's address, of family `outside`. `our_psk`, `their_psk`: preshared keys.
    `known`: whose key the other side has been told: "both", "ours" or "theirs".
    """

    def __init__(self, ours, theirs, caller="ours", outside=4, our_psk=None, their_psk=None, keepalive=None, known="both"):
        self.ours, self.theirs = ours, theirs
        self.node, self.go = Ours(ours), netlab.WireGuardGo(theirs, addresses=INSIDE_THEIRS, listen_port=PORT)
        stranger = new_key()[1]
        add_ours = lambda: self.node.add_peer(
            self.go.public_key if known != "ours" else stranger, [f"{THEIR4}/32", f"{THEIR6}/128"], preshared_key=our_psk,
            endpoint=on(getattr(theirs, f"ip{outside}")) if caller != "theirs" else None,
            keepalive=keepalive if caller != "theirs" else None)
        add_theirs = lambda: self.go.add_peer(
            self.node.public_key if known != "theirs" else stranger, [f"{OUR4}/32", f"{OUR6}/128"], preshared_key=their_psk,
            endpoint=on(getattr(ours, f"ip{outside}")) if caller != "ours" else None,
            keepalive=keepalive if caller != "ours" else None)
        # Whoever is called is there first.
        for add in (add_ours, add_theirs) if caller == "theirs" else (add_theirs, add_ours):
            add()

    def ping(self, caller="ours", family=4, **options):
        """Round trips in milliseconds; a packet that got no answer has none."""
        to = {"ours": (THEIR4, THEIR6), "theirs": (OUR4, OUR6)}[caller][family == 6]
        return ping(self.ours if caller == "ours" else self.theirs, to, **options)

    def one_session(self):
        """Exactly one handshake was done."""
        return self.node.sessions() == (1, 0)

    def their_handshake(self):
        return self.go.peers()[self.node.public_key].latest_handshake

    def their_endpoint(self):
        """Where wireguard-go believes us to be."""
        return self.go.peers()[self.node.public_key].endpoint

    def our_endpoint(self):
        """Where we believe wireguard-go to be."""
        return self.node.peers()[self.go.public_key].endpoint


@contextlib.contextmanager
def pair(ours=OURS, theirs=THEIRS, link=None, **settings):
    """A laboratory with one Pair, `pair.lab`; that our device ends well is checked."""
    with netlab.Lab() as lab:
        link = {"offloads": False} | (link or {})  # every datagram whole, as on a wire
        made = Pair(lab.host("ours", ours, **link), lab.host("theirs", theirs, **link), **settings)
        made.lab = lab
        yield made
        if made.node.process.running:
            made.node.quit()


@contextlib.contextmanager
def device(*arguments, **settings):
    """One device of ours, wg0, on a host of its own."""
    with netlab.Lab() as lab:
        d = Ours(lab.host("ours", OURS), *arguments, **settings)
        d.lab = lab
        yield d
        if d.process.running:
            d.quit()


def ping(host, to, count=1, timeout=2, check=True, interval=0.05, source=None, size=56):
    """One after the other, each as soon as the last was answered or given up."""
    kind, protocol, request = (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128) if ":" in to else (
        socket.AF_INET, socket.IPPROTO_ICMP, 8)
    answered = []
    with host.inside():
        sock = socket.socket(kind, socket.SOCK_DGRAM, protocol)
    with sock:
        if source:
            sock.bind((source, 0))
        for number in range(count):
            started = time.monotonic()
            sock.sendto(struct.pack(">BBHHH", request, 0, 0, 0, number) + secrets.token_bytes(size), (to, 0))
            while (left := started + timeout - time.monotonic()) > 0 and select.select([sock], [], [], left)[0]:
                if sock.recv(65536)[6:8] == struct.pack(">H", number):
                    answered.append((time.monotonic() - started) * 1000)
                    break
            time.sleep(interval if number + 1 < count else 0)
    netlab.check(not check or len(answered) == count, f"{host.name} got {len(answered)} of {count} answers from {to}")
    return answered


def keep_to_one_cpu(process):
    """So that a flood can be faster than it; threads that it starts later stay there too."""
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        os.sched_setaffinity(int(thread), {min(os.sched_getaffinity(0))})


# ---- the wire

def messages(capture, host, sender):
    """(type, payload, packet) of each WireGuard message from the address `sender` on the host's link."""
    for packet in capture.packets(host):
        if packet.proto == "udp" and packet.src == sender and packet.payload[1:4] == b"\0\0\0":
            yield packet.payload[0], packet.payload, packet


def move(host, old, new):
    """The host's address is another one from here on; the laboratory knows both since it drew the host."""
    family = "-6" if ":" in new else "-4"
    gateway = "fe80::1" if ":" in new else "169.254.0.1"
    host.ip(family, "route", "replace", "default", "via", gateway, "dev", "eth0", "onlink", "src", new)
    host.ip("address", "del", f"{old}/{128 if ':' in old else 32}", "dev", "eth0")


# ---- traffic

@contextlib.contextmanager
def udp_echo(host, address, port=7777):
    """Sends back what comes, in a thread, for as long as the block runs."""
    stop_read, stop_write = os.pipe()
    sock = udp_socket(host, address, port)

    def echo():
        while stop_read not in (ready := select.select([sock, stop_read], [], [])[0]):
            with contextlib.suppress(OSError):
                data, sender = ready[0].recvfrom(4096)
                sock.sendto(data, sender)

    thread = threading.Thread(target=echo)
    thread.start()
    try:
        yield
    finally:
        os.write(stop_write, b"x")
        thread.join()
        sock.close(), os.close(stop_read), os.close(stop_write)


def udp_socket(host, address, port=0):
    with host.inside():
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind((address, port))
    return sock


class Stream:
    """Numbered datagrams at a steady pace to an echo, or to `listener`, who only counts; which of them came, and how late."""

    def __init__(self, host, address, to, port=7777, per_second=100, size=200, listener=None):
        self._sock = udp_socket(host, address)
        self._arrivals = udp_socket(listener, to, port) if listener else self._sock
        self._to, self._size, self._gap = (to, port), size, 1 / per_second
        self.sent, self.took = {}, {}  # number: unix time, seconds
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._send, self._receive)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._sock.close(), self._arrivals.close()

    def lost(self):
        """Numbers that did not come; ask when the block has ended."""
        return sorted(self.sent.keys() - self.took.keys())

    def _send(self):
        due = time.monotonic()
        number = 0
        while not self._stop.wait(max(0, due - time.monotonic())):
            self.sent[number] = time.time()
            self._sock.sendto(struct.pack(">Q", number).ljust(self._size, b"."), self._to)
            number, due = number + 1, due + self._gap

    def _receive(self):
        end = None
        while end is None or time.monotonic() < end:
            if self._stop.is_set() and end is None:
                end = time.monotonic() + 0.5  # for what is under way
            if select.select([self._arrivals], [], [], 0.1)[0]:
                number = struct.unpack(">Q", self._arrivals.recv(4096)[:8])[0]
                self.took[number] = time.time() - self.sent[number]


class Trap:
    """Waits on a host's eth0 for a WireGuard message of one type over IPv4; set it before the message can come."""

    def __init__(self, host, message_type):
        self._type = message_type
        with host.inside():
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
            self._sock.bind(("eth0", 0x0800))

    def wait(self, timeout):
        """The first message with its source, or (None, None)."""
        deadline = time.monotonic() + timeout
        with self._sock:
            while (left := deadline - time.monotonic()) > 0 and select.select([self._sock], [], [], left)[0]:
                packet = self._sock.recv(2048)
                if packet[9] == socket.IPPROTO_UDP and packet[28:32] == bytes([self._type, 0, 0, 0]):
                    return packet[28:], (socket.inet_ntoa(packet[12:16]), int.from_bytes(packet[20:22], "big"))
        return None, None


def blake2s(data, key=b"", size=32):
    return hashlib.blake2s(data, key=key, digest_size=size).digest()


def nonsense_initiation(public_key):
    """Random, but for its mac1: what anybody can make who knows a public key. It costs the called side the most."""
    message = struct.pack("<II", INITIATION, secrets.randbits(32)) + secrets.token_bytes(108)
    return message + blake2s(message, blake2s(b"mac1----" + public_key), 16) + bytes(16)


class Flood:
    """Nonsense initiations from a host, for as long as the block runs, and at most half a minute."""

    BURST = 512

    def __init__(self, host, to, public_key, per_second):
        self._sock = udp_socket(host, host.ip6 if ":" in to else host.ip4)
        self._to = (to, PORT)
        self._messages = [nonsense_initiation(public_key) for _ in range(4 * self.BURST)]
        self._gap = self.BURST / per_second
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.sent = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._sock.close()

    def _send(self):
        end = time.monotonic() + 30
        while not self._stop.wait(self._gap) and time.monotonic() < end:
            for _ in range(self.BURST):
                self._sock.sendto(self._messages[self.sent % len(self._messages)], self._to)
                self.sent += 1
