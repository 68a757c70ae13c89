"""Recording the access links of hosts, and asking what was on them."""

import json

from . import pcap
from .errors import NetlabError
from .tools import built


class Capture:
    """Made by `lab.capture(...)`; records until `stop()` or the end of its `with` block, and can be read after that.

    A host's link is recorded at the far end of its cable: what the host sent and what reached it, nothing of its inside.
    """

    def __init__(self, lab, hosts, snap_length=128, ring_mib=16):
        self._files, self._processes, self._drops = {}, [], None
        by_namespace = {}
        for host in hosts:
            place, interface = host.tap
            self._files[host.name] = lab.capture_directory / f"{host.name}-{lab.next_number()}.pcap"
            by_namespace.setdefault(place, []).append(f"{interface}={self._files[host.name]}")
        for place, words in by_namespace.items():
            self._processes.append(place.start([built("netlab-capture"), snap_length, ring_mib, *words]))
        for process in self._processes:
            process.wait_for_output("ready")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Returns the number of frames that the recording missed; a test that proves absence insists on 0."""
        if self._drops is None:
            self._drops = sum(self._stop(process) for process in self._processes)
        return self._drops

    def drops(self):
        return self.stop()

    def file(self, host):
        """The pcap file, e.g. to keep for a person with Wireshark."""
        name = getattr(host, "name", host)
        if name not in self._files:
            raise NetlabError(f"the link of {name} was not captured; captured: {', '.join(self._files)}")
        return self._files[name]

    def packets(self, host=None):
        """Yields the packets of one host's link (it may be left out when only one was captured)."""
        self.stop()
        if host is None:
            (host,) = self._files
        return pcap.read(self.file(host))

    def seen_pairs(self, host=None):
        """The set of (source, destination) addresses of IP packets on the host's link, neighbour discovery left out."""
        return {(p.src, p.dst) for p in self.packets(host) if p.ttl and not _is_link_local_chatter(p)}

    def peers_of(self, host):
        """The addresses at the other side of everything that the host's link carried."""
        own = set(host.addresses)
        return {address for pair in self.seen_pairs(host) for address in pair} - own

    @staticmethod
    def _stop(process):
        if not process.running:
            raise NetlabError(f"the capture ended by itself: {process.output()}")
        process.stop(timeout=30)
        lines = [json.loads(line) for line in process.output().splitlines() if line.startswith("{")]
        if not lines:
            raise NetlabError(f"the capture did not end well: {process.output()}")
        return sum(line["drops"] for line in lines)


def _is_link_local_chatter(packet):
    """Neighbour discovery and multicast membership: every interface does it, and no router passes it on."""
    if packet.proto == "icmp6":
        return packet.src.startswith(("fe80:", "::")) or packet.dst.startswith(("ff02:", "fe80:"))
    return packet.proto == "2"
