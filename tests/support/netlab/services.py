"""The servers that a laboratory's internet has: web and names. Each runs as a process in a host."""

import json
import time

from .errors import NetlabError


class WebServer:
    """See web_server.py for its pages."""

    def __init__(self, host, *ports):
        self.host = host
        self.process = host.python("netlab.web_server", *map(str, ports or (80,)))
        self.process.wait_for_output("ready")

    def requests(self):
        """[{"time", "client", "path", "host"}], oldest first."""
        return [json.loads(line) for line in self.process.output().splitlines() if line.startswith("{")]

    def clients(self):
        """The addresses that have called."""
        return {request["client"] for request in self.requests()}


class DnsServer:
    """`names`: {"example.test": ["198.51.100.80", "2001:db8::80"]}. Hosts ask it once they `host.resolve_with(dns.address)`."""

    def __init__(self, host, names=None):
        self.host, self.address = host, host.ip4 or host.ip6
        self.process = host.python("netlab.dns_server", *host.addresses, stdin=True)
        self.process.wait_for_output("ready")
        self._changes = 0
        for name, addresses in (names or {}).items():
            self.set(name, addresses)

    def set(self, name, addresses):
        """From now on the name has these addresses; none: it does not exist."""
        self._changes += 1
        self.process.stdin.write(json.dumps({"name": name.lower(), "addresses": list(addresses)}).encode() + b"\n")
        self.process.stdin.flush()
        deadline = time.monotonic() + 5
        while self.process.output().splitlines().count("ok") < self._changes:
            if time.monotonic() > deadline or not self.process.running:
                raise NetlabError(f"the name server did not take {name}: {self.process.output()}")
            time.sleep(0.002)

    def queries(self):
        """[{"name", "type", "client", "transport"}], oldest first."""
        return [json.loads(line) for line in self.process.output().splitlines() if line.startswith("{")]
