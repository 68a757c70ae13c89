"""The name server of the laboratory: A, AAAA and PTR, over UDP and TCP. Run in a host: see services.DnsServer.

Standard input takes lines of JSON, {"name": "example.test", "addresses": ["192.0.2.1", "2001:db8::1"]}, each answered by "ok"; no
addresses: the name is gone. Each query is one line of JSON on standard output.
"""

import ipaddress
import json
import socket
import socketserver
import struct
import sys
import threading

A, PTR, AAAA = 1, 12, 28
TYPES = {A: "A", PTR: "PTR", AAAA: "AAAA"}
NO_SUCH_NAME = 3
SECONDS_TO_LIVE = 1

zone = {}
zone_lock = threading.Lock()
output_lock = threading.Lock()


def say(text):
    with output_lock:
        print(text, flush=True)


def encode_name(name):
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def question_of(message):
    """(name, type, end of the question); queries hold no compressed names."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode("ascii", "replace"))
        at += 1 + message[at]
    return ".".join(labels).lower(), int.from_bytes(message[at + 1:at + 3], "big"), at + 5


def records(name, kind):
    """(known, [record data])"""
    with zone_lock:
        if kind == PTR:
            names = [n for n, addresses in zone.items() if name in {a.reverse_pointer for a in addresses}]
            return bool(names), [encode_name(n) for n in names]
        addresses = zone.get(name)
    version = {A: 4, AAAA: 6}.get(kind)
    return addresses is not None, [a.packed for a in addresses or () if a.version == version]


def answer(message, client, transport):
    name, kind, end = question_of(message)
    say(json.dumps({"name": name, "type": TYPES.get(kind, str(kind)), "client": client, "transport": transport}))
    known, found = records(name, kind)
    flags = 0x8580 | (0 if known else NO_SUCH_NAME)
    reply = message[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0) + message[12:end]
    for data in found:
        reply += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, SECONDS_TO_LIVE, len(data)) + data
    return reply


class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        message, sock = self.request
        reply = answer(message, self.client_address[0].removeprefix("::ffff:"), "udp")
        if len(reply) > 1232:  # truncated: come back over TCP
            end = question_of(message)[2]
            reply = reply[:2] + struct.pack(">HHHHH", 0x8780, 1, 0, 0, 0) + message[12:end]
        sock.sendto(reply, self.client_address)


class Tcp(socketserver.StreamRequestHandler):
    timeout = 30

    def handle(self):
        while len(size := self.rfile.read(2)) == 2:
            message = self.rfile.read(int.from_bytes(size, "big"))
            reply = answer(message, self.client_address[0].removeprefix("::ffff:"), "tcp")
            self.wfile.write(struct.pack(">H", len(reply)) + reply)


class DualStack:
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request, client_address):
        pass  # a message that is no query gets no answer


class UdpServer(DualStack, socketserver.ThreadingUDPServer):
    pass


class TcpServer(DualStack, socketserver.ThreadingTCPServer):
    pass


def main():
    # A server per own address and not one for all: the answer must come from the address that was asked.
    for address in sys.argv[1:]:
        mapped = address if ":" in address else "::ffff:" + address
        for server in (UdpServer((mapped, 53), Udp), TcpServer((mapped, 53), Tcp)):
            threading.Thread(target=server.serve_forever, daemon=True).start()
    say("ready")
    for line in sys.stdin:
        change = json.loads(line)
        with zone_lock:
            zone.pop(change["name"], None)
            if change["addresses"]:
                zone[change["name"]] = [ipaddress.ip_address(text) for text in change["addresses"]]
        say("ok")


if __name__ == "__main__":
    main()
