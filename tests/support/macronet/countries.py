"""A small country database in MaxMind's format (version 2.0): a trie of 24-bit records over 128-bit addresses, IPv4 at ::/96."""

import ipaddress


def _text(s):
    return bytes([0x40 | len(s)]) + s.encode()


def _number(kind, value):  # 5: 16 bits, 6: 32 bits; 9: 64 bits, an extended type
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return (bytes([kind << 5 | len(data)]) if kind < 8 else bytes([len(data), kind - 7])) + data


def write_countries(path, countries):
    """countries: {"192.0.2.0/24": "NO"}; prefixes do not overlap."""
    nodes, data, offsets = [[None, None]], b"", {}
    for prefix, code in countries.items():
        net = ipaddress.ip_network(prefix)
        skip = 96 if net.version == 4 else 0
        bits = f"{int(net.network_address):0128b}"[:skip + net.prefixlen]
        if code not in offsets:
            offsets[code] = len(data)
            data += b"\xe1" + _text("country_code") + _text(code)
        at = 0
        for bit in map(int, bits[:-1]):
            if nodes[at][bit] is None:
                nodes.append([None, None])
                nodes[at][bit] = len(nodes) - 1
            at = nodes[at][bit]
        nodes[at][int(bits[-1])] = ("data", offsets[code])
    count = len(nodes)
    trie = b"".join((count if r is None else count + 16 + r[1] if isinstance(r, tuple) else r).to_bytes(3, "big") for node in nodes for r in node)
    about = {"binary_format_major_version": _number(5, 2), "binary_format_minor_version": _number(5, 0), "build_epoch": _number(9, 1_790_000_000),
             "database_type": _text("Country"), "description": b"\xe0", "ip_version": _number(5, 6), "languages": b"\x00\x04",
             "node_count": _number(6, count), "record_size": _number(5, 24)}
    metadata = bytes([0xe0 | len(about)]) + b"".join(_text(k) + v for k, v in about.items())
    path.write_bytes(trie + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + metadata)
