"""Ed25519 in a few lines (RFC 8032, 5.1), and descriptors of any age and form that are signed well: what no relay would write."""

import hashlib
import pathlib
import time

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P


def _add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(n, p):
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = _add(q, p)
        p, n = _add(p, p), n >> 1
    return q


def _base():
    y = 4 * pow(5, _P - 2, _P) % _P
    x2 = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(x2, (_P + 3) // 8, _P)
    if (x * x - x2) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    x = _P - x if x & 1 else x
    return x, y, 1, x * y % _P


_G = _base()


def _pack(p):
    inverse = pow(p[2], _P - 2, _P)
    x, y = p[0] * inverse % _P, p[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _number(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def sign(seed, message):
    digest = hashlib.sha512(seed).digest()
    secret = int.from_bytes(digest[:32], "little") & ~7 & ((1 << 254) - 1) | 1 << 254
    public = _pack(_times(secret, _G))
    r = _number(digest[32:], message) % _L
    point = _pack(_times(r, _G))
    s = (r + _number(point, public, message) % _L * secret) % _L
    return point + s.to_bytes(32, "little")


class Descriptor:
    """A relay's own descriptor, taken apart; `write` signs it again as of `age` seconds ago, with changed fields."""

    def __init__(self, state):
        state = pathlib.Path(state)
        lines = dict(line.split(" ", 1) for line in (state / "keys").read_text().splitlines() if line.startswith("identity"))
        self._seed = bytes.fromhex(lines["identity"])
        file, = (state / "descriptors").glob("*.descriptor")
        data = file.read_bytes()
        self.fields, at, end = {}, 2, 2 + int.from_bytes(data[:2], "little")
        while at < end:
            self.fields[data[at]] = data[at + 2:at + 2 + data[at + 1]]
            at += 2 + data[at + 1]

    def write(self, path, age=0, life=3600, **changed):
        long_ago = (int(time.time()) // 3600 - 240) * 3600  # the identity is older than whatever is signed here
        fields = {**self.fields, 7: long_ago.to_bytes(4, "little"), **{int(tag.removeprefix("tag")): value for tag, value in changed.items()}}
        body = b"".join(bytes([tag, len(value)]) + value for tag, value in sorted(fields.items()))
        signed = int(time.time()) - age
        times = signed.to_bytes(4, "little") + (signed + life).to_bytes(4, "little")
        signature = sign(self._seed, b"macrovpn descriptor 1" + hashlib.blake2b(body, digest_size=32).digest() + times)
        pathlib.Path(path).write_bytes(len(body).to_bytes(2, "little") + body + times + signature)
        return str(path)
