"""Everything that programs of a computer may try to send, again and again, until SIGTERM; then the counts as JSON.

Run as a program on a host: macronet.traffic WEB4 WEB6 WEB_NAME ENTRY4 OWN4 LAN_SERVER. Answers do not matter to most of it: it
tries every way out that an ordinary program has, and some that need root.
"""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time

QUESTION = bytes.fromhex("123401000001000000000000") + b"\3www\4shop\4test\0\0\1\0\1"
EVERY = 0.1
_SO_BINDTODEVICE = 25
_ECHO4, _ECHO6 = bytes.fromhex("0800f7ff00000000"), bytes.fromhex("8000000000000000")


def udp(address, port, data=QUESTION, device=None, source=None, broadcast=False, interface=None, kind=socket.SOCK_DGRAM, proto=0):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind, proto) as s:
        s.setblocking(False)
        if device:
            s.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, device.encode())
        if source:
            s.bind((source, 0))
        if broadcast:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if interface and family == socket.AF_INET:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
        to = (address, port, 0, socket.if_nametoindex("eth0")) if address.startswith("ff02") else (address, port)
        s.sendto(data, to)


def tcp(address, port, device=None, source=None):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.setblocking(False)
        if device:
            s.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, device.encode())
        if source:
            s.bind((source, 0))
        s.connect_ex((address, port))


def attempts(web4, web6, entry, own, lan_server):
    """name -> what to do once."""
    echo = {"kind": socket.SOCK_DGRAM}
    return {
        "dns to a public server": lambda: udp("192.0.2.53", 53),
        "dns to a server of the LAN": lambda: udp(lan_server, 53),
        "dns over tcp": lambda: tcp("192.0.2.53", 53),
        "dns over tls": lambda: (tcp("192.0.2.53", 853), tcp(lan_server, 853)),
        "udp, IPv4 and IPv6": lambda: (udp(web4, 443), udp(web6, 443)),
        "ping": lambda: (udp(web4, 0, _ECHO4, proto=socket.IPPROTO_ICMP, **echo), udp(web6, 0, _ECHO6, proto=socket.IPPROTO_ICMPV6, **echo)),
        "the entry's address on other ports": lambda: (tcp(entry, 443), udp(entry, 53), udp(entry, 4444)),
        "the entry's own port": lambda: (tcp(entry, 51820), udp(entry, 51820)),
        "bound to the device": lambda: udp(web4, 443, device="eth0"),
        "bound to the device, to the entry": lambda: udp(entry, 51820, device="eth0"),
        "bound to the device, tcp": lambda: tcp(web6, 80, device="eth0"),
        "bound to the own address": lambda: udp(web4, 443, source=own),
        "bound to the own address, tcp": lambda: tcp(web4, 80, source=own),
        "mDNS": lambda: udp("224.0.0.251", 5353, interface=own),
        "mDNS over IPv6": lambda: udp("ff02::fb", 5353),
        "broadcast": lambda: udp("255.255.255.255", 137, broadcast=True, device="eth0"),
        "the LAN": lambda: (tcp("192.168.1.1", 80), udp("192.168.1.255", 137, broadcast=True)),
    }


def main():
    web4, web6, name, entry, own, lan_server = sys.argv[1:]
    ended = []  # and no Event: a second signal, while the first one sets it, would wait for itself
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    counts, pages = {}, {"pages": 0, "pages by name": 0, "pages over IPv6": 0}

    def fetch(what, url):
        while not ended:
            # curl waits for the system's resolver longer than it was told to.
            with contextlib.suppress(subprocess.TimeoutExpired):
                got = subprocess.run(["curl", "-sS", "-o", "/dev/null", "--max-time", "2", url], stderr=subprocess.DEVNULL, check=False,
                                     timeout=3)
                pages[what] += got.returncode == 0
            time.sleep(EVERY)

    fetchers = [threading.Thread(target=fetch, args=(what, url)) for what, url in
                (("pages", f"http://{web4}/"), ("pages by name", f"http://{name}/"), ("pages over IPv6", f"http://[{web6}]/"))]
    for thread in fetchers:
        thread.start()
    print("ready", flush=True)
    while not ended:
        for what, attempt in attempts(web4, web6, entry, own, lan_server).items():
            counts[what] = counts.get(what, 0) + 1
            with contextlib.suppress(OSError):
                attempt()
        time.sleep(EVERY)
    for thread in fetchers:
        thread.join()
    print(json.dumps({**pages, "attempts": sum(counts.values()), "at": time.time()}), flush=True)


if __name__ == "__main__":
    main()
