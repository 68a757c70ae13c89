"""A WireGuard device in a host, configured by wg(8)."""

import dataclasses
import os
import socket
import time

from .errors import NetlabError, Skip
from .tools import installed


@dataclasses.dataclass(frozen=True)
class PeerStatus:
    public_key: str
    endpoint: str
    latest_handshake: int   # seconds since 1970; 0: none yet
    received: int
    sent: int


def need_tun():
    """Raises Skip where this user may not open /dev/net/tun."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        raise Skip(f"/dev/net/tun cannot be opened ({error.strerror}); run as root, or: chmod 0666 /dev/net/tun") from None


class WireGuard:
    """Starts a WireGuard program and gives the interface its key, port and addresses; then `add_peer`.

    `command`: what stands before the interface's name.
    """

    def __init__(self, host, command, ifname="wg0", addresses=(), listen_port=0, mtu=1420, private_key=None, env=None):
        need_tun()
        self.host, self.ifname = host, ifname
        self._wg = installed("wg", "wireguard-tools")
        self.process = host.start([*command, ifname], env=env)
        self._wait_until_it_answers()
        self.private_key = private_key or self._run("genkey").strip()
        self.public_key = self._run("pubkey", input=self.private_key).strip()
        self._run("set", ifname, "listen-port", str(listen_port), "private-key", "/dev/stdin", input=self.private_key)
        for address in addresses:
            host.ip("address", "add", address, "dev", ifname)
        host.ip("link", "set", ifname, "mtu", str(mtu), "up")

    def add_peer(self, public_key, allowed_ips, endpoint=None, keepalive=None, preshared_key=None):
        """`allowed_ips` also become routes, as wg-quick would do (but for a default route)."""
        words = ["peer", public_key, "allowed-ips", ",".join(allowed_ips)]
        words += ["endpoint", endpoint] if endpoint else []
        words += ["persistent-keepalive", str(keepalive)] if keepalive else []
        words += ["preshared-key", "/dev/stdin"] if preshared_key else []
        self._run("set", self.ifname, *words, input=preshared_key)
        for network in allowed_ips:
            if not network.endswith("/0"):
                self.host.ip("route", "replace", network, "dev", self.ifname)

    def peers(self):
        """{public key: PeerStatus}"""
        rows = [line.split("\t") for line in self._run("show", self.ifname, "dump").splitlines()[1:]]
        return {row[0]: PeerStatus(row[0], row[2], int(row[4]), int(row[5]), int(row[6])) for row in rows}

    def stop(self):
        self.process.stop()

    def wg(self, *arguments, input=None):
        """What `wg` prints."""
        return self._run(*arguments, input=input)

    def _run(self, *arguments, input=None):
        return self.host.run([self._wg, *arguments], input=input).stdout

    def _wait_until_it_answers(self):
        deadline = time.monotonic() + 5
        # wg(8) deletes a socket that refuses it, so one that is bound and does not listen yet: it may ask only then.
        while (not self._listens() or self.host.run([self._wg, "show", self.ifname], check=False).returncode != 0):
            if time.monotonic() > deadline or not self.process.running:
                raise NetlabError(f"{self.process.name} did not start: {self.process.output()}")
            time.sleep(0.02)

    def _listens(self):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(str(self.host.directory / f"run/wireguard/{self.ifname}.sock")) == 0


class WireGuardGo(WireGuard):
    """Debian's wireguard-go."""

    def __init__(self, host, *arguments, **options):
        # The nag text tells users of kernels that have WireGuard to use it instead; it is not for us.
        env = {"WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1"}
        super().__init__(host, [installed("wireguard-go", "wireguard-go"), "-f"], *arguments, env=env, **options)
