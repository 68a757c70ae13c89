"""Reads what netlab-capture wrote."""

import dataclasses
import socket
import struct

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}
_IPV6_EXTENSIONS = {0, 43, 60}
_FRAGMENT = 44


@dataclasses.dataclass(frozen=True, slots=True)
class Packet:
    time: float       # seconds since 1970
    src: str          # address; for frames that are not IP, the MAC address
    dst: str
    proto: str        # tcp, udp, icmp, icmp6, arp, or a number
    sport: int        # 0 where there are no ports
    dport: int
    length: int       # of the whole frame on the wire
    payload: bytes    # what the snap length left of what follows the transport header
    ttl: int          # or hop limit; 0 when not IP
    tos: int = 0      # DSCP and ECN; or traffic class
    mac: str = ""     # whose frame it is


def read(path):
    """Yields a Packet for each frame."""
    with open(path, "rb") as file:
        magic, *_ = struct.unpack("<IHHiIII", file.read(24))
        if magic != 0xA1B23C4D:
            raise ValueError(f"{path} is not a nanosecond pcap file of this machine")
        while len(header := file.read(16)) == 16:
            seconds, nanoseconds, kept, length = struct.unpack("<IIII", header)
            frame = file.read(kept)
            if len(frame) < kept:
                return  # still being written
            yield parse(seconds + nanoseconds / 1e9, frame, length)


def parse(time, frame, length):
    kind = int.from_bytes(frame[12:14], "big")
    if kind == 0x0800 and len(frame) >= 34:
        header = (frame[14] & 15) * 4
        first_fragment = int.from_bytes(frame[20:22], "big") & 0x1FFF == 0
        src, dst = socket.inet_ntop(socket.AF_INET, frame[26:30]), socket.inet_ntop(socket.AF_INET, frame[30:34])
        packet = _transport(time, frame, length, src, dst, frame[23], 14 + header if first_fragment else None, frame[22])
        return dataclasses.replace(packet, tos=frame[15]) if frame[15] else packet
    if kind == 0x86DD and len(frame) >= 54:
        src, dst = socket.inet_ntop(socket.AF_INET6, frame[22:38]), socket.inet_ntop(socket.AF_INET6, frame[38:54])
        protocol, at = _skip_extensions(frame)
        packet = _transport(time, frame, length, src, dst, protocol, at, frame[21])
        tos = int.from_bytes(frame[14:16], "big") >> 4 & 0xff
        return dataclasses.replace(packet, tos=tos) if tos else packet
    name = "arp" if kind == 0x0806 else f"0x{kind:04x}"
    return Packet(time, frame[6:12].hex(":"), frame[:6].hex(":"), name, 0, 0, length, frame[14:], 0, mac=frame[6:12].hex(":"))


def _skip_extensions(frame):
    """The transport protocol and where its header begins; None in a later fragment."""
    protocol, at = frame[20], 54
    while protocol in _IPV6_EXTENSIONS and len(frame) >= at + 8:
        protocol, at = frame[at], at + 8 + frame[at + 1] * 8
    if protocol == _FRAGMENT and len(frame) >= at + 8:
        later = int.from_bytes(frame[at + 2:at + 4], "big") & 0xFFF8
        protocol, at = frame[at], None if later else at + 8
    return protocol, at


def _transport(time, frame, length, src, dst, protocol, at, ttl):
    name = _PROTOCOLS.get(protocol, str(protocol))
    sport = dport = 0
    payload = b""
    if at is not None and name in ("tcp", "udp") and len(frame) >= at + 8:
        sport, dport = struct.unpack_from(">HH", frame, at)
        data = at + 8 if name == "udp" else at + (frame[at + 12] >> 4) * 4 if len(frame) > at + 12 else len(frame)
        payload = frame[data:]
    elif at is not None:
        payload = frame[at:]
    return Packet(time, src, dst, name, sport, dport, length, payload, ttl, mac=frame[6:12].hex(":"))
