"""netlab: a network of many computers on one, for tests, benchmarks and the demo. See ../README.md."""

from .capture import Capture
from .enter import enter
from .errors import NetlabError, Skip
from .host import Host
from .lab import Lab
from .pcap import Packet
from .process import Process
from .services import DnsServer, WebServer
from .suite import check, run_tests
from .wire import WireSettings
from .wireguard import WireGuard, WireGuardGo, need_tun

__all__ = ["Capture", "DnsServer", "Host", "Lab", "NetlabError", "Packet", "Process", "Skip", "WebServer", "WireGuard",
           "WireGuardGo", "WireSettings", "check", "enter", "need_tun", "run_tests"]
