"""A phone: Debian's wireguard-go with the configuration that `macrovpn device add` made, and a reader of QR codes."""

import contextlib
import ctypes
import ctypes.util

import netlab
from netlab.tools import installed


class Phone:
    """Takes the configuration to a host as wg-quick would: keys by `wg setconf`, and everything into the tunnel."""

    def __init__(self, host, config, mtu=None):
        self.host, self.config = host, config
        self.settings = settings_of(config)
        self._strip_and_load(config)
        for address in self.settings["Address"]:
            host.ip("address", "add", address, "dev", "wg0")
        host.ip("link", "set", "wg0", "mtu", str(mtu or self.settings["MTU"][0]), "up")
        self._lead_everything_into_the_tunnel()
        host.resolve_with(*self.settings["DNS"])

    def _strip_and_load(self, config):
        self.device = netlab.WireGuardGo(self.host, mtu=1280)
        file, stripped = self.host.home / "phone.conf", self.host.home / "stripped.conf"
        file.write_text(config)
        file.chmod(0o600)
        # wg-quick takes its own words out, and must understand all of it for that.
        stripped.write_text(self.host.run([installed("wg-quick", "wireguard-tools"), "strip", str(file)]).stdout)
        self.device.wg("setconf", "wg0", str(stripped))

    def _lead_everything_into_the_tunnel(self):
        node = self.settings["Endpoint"][0].rpartition(":")[0].strip("[]")
        family, gateway = ("-6", "fe80::1") if ":" in node else ("-4", None)
        default = self.host.ip(family, "route", "show", "default").split()
        gateway = default[default.index("via") + 1] if "via" in default else gateway
        self.host.ip(family, "route", "add", node, "via", gateway, "dev", "eth0", "onlink")
        for version in ("-4", "-6"):
            self.host.ip(version, "route", "replace", "default", "dev", "wg0")

    def page(self, target, timeout=10, *words):
        """What curl got; None if nothing came."""
        got = self.host.run(["curl", "-sS", "--max-time", str(timeout), *words, target], check=False, timeout=timeout + 10)
        return got.stdout if got.returncode == 0 else None

    def handshake(self):
        """When the last one was: unix time; 0: there was none."""
        return next(iter(self.device.peers().values())).latest_handshake

    def stop(self):
        self.device.stop()


def settings_of(config):
    """{key: [values]} of a wg-quick file, whose sections have no key in common."""
    pairs = (line.split("=", 1) for line in config.splitlines() if "=" in line)
    return {key.strip(): [value.strip() for value in values.split(",")] for key, values in pairs}


# ---- QR codes

_BLOCKS = {" ": (1, 1), "\u2584": (1, 0), "\u2580": (0, 1), "\u2588": (0, 0)}  # (upper, lower): 1 is dark
_SCALE = 4


def read_qr_code(half_blocks):
    """What libzbar reads from the picture that these lines of half blocks are on a terminal with light text."""
    rows = []
    for line in half_blocks.rstrip("\n").splitlines():
        for half in (0, 1):
            rows.append(b"".join((b"\x00" if _BLOCKS[char][half] else b"\xff") * _SCALE for char in line))
    return _zbar(len(rows[0]), len(rows) * _SCALE, b"".join(row * _SCALE for row in rows))


def _zbar(width, height, grey):
    name = ctypes.util.find_library("zbar")
    if name is None:
        raise netlab.NetlabError("libzbar is missing; install it with: apt-get install libzbar0")
    zbar = ctypes.CDLL(name)
    for function in ("zbar_image_scanner_create", "zbar_image_create", "zbar_image_first_symbol", "zbar_symbol_next"):
        getattr(zbar, function).restype = ctypes.c_void_p
    zbar.zbar_symbol_get_data.restype = ctypes.c_char_p
    scanner, image = ctypes.c_void_p(zbar.zbar_image_scanner_create()), ctypes.c_void_p(zbar.zbar_image_create())
    pixels = ctypes.create_string_buffer(grey, len(grey))
    zbar.zbar_image_set_format(image, ctypes.c_ulong(int.from_bytes(b"Y800", "little")))
    zbar.zbar_image_set_size(image, width, height)
    zbar.zbar_image_set_data(image, pixels, ctypes.c_ulong(len(grey)), None)
    found = []
    try:
        zbar.zbar_scan_image(scanner, image)
        symbol = zbar.zbar_image_first_symbol(image)
        while symbol:
            found.append(zbar.zbar_symbol_get_data(ctypes.c_void_p(symbol)).decode())
            symbol = zbar.zbar_symbol_next(ctypes.c_void_p(symbol))
    finally:
        with contextlib.suppress(Exception):
            zbar.zbar_image_destroy(image)
            zbar.zbar_image_scanner_destroy(scanner)
    if len(found) != 1:
        raise netlab.NetlabError(f"{len(found)} QR codes were found, and not one")
    return found[0]
