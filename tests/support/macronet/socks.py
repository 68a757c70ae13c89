"""A SOCKS5 client of our own (RFC 1928, 1929), to see the very reply codes and to send what no library would."""

import ipaddress
import socket
import struct

CONNECT, BIND, UDP_ASSOCIATE = 1, 2, 3
SUCCEEDED, FAILED, FORBIDDEN, NO_NETWORK, NO_HOST, REFUSED, TIMED_OUT, NO_COMMAND, NO_TYPE = range(9)


def encode_host(host, port, as_name=False):
    """Addresses as addresses unless `as_name`."""
    try:
        address = None if as_name else ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is None:
        name = host.encode()
        return bytes([3, len(name)]) + name + struct.pack(">H", port)
    return bytes([1 if address.version == 4 else 4]) + address.packed + struct.pack(">H", port)


def receive(connection, size):
    got = b""
    while len(got) < size:
        part = connection.recv(size - len(got))
        if not part:
            raise ConnectionError(f"the proxy closed after {got.hex() or 'nothing'}")
        got += part
    return got


class Socks:
    """One connection to the proxy."""

    def __init__(self, proxy, user=None, timeout=20):
        self.connection = socket.create_connection(proxy, timeout)
        self.connection.sendall(b"\x05\x01\x00" if user is None else b"\x05\x02\x00\x02")
        method = receive(self.connection, 2)
        assert method == (b"\x05\x00" if user is None else b"\x05\x02"), method
        if user is not None:
            name = user.encode()
            self.connection.sendall(bytes([1, len(name)]) + name + b"\x01x")
            assert receive(self.connection, 2) == b"\x01\x00"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def ask(self, command, host, port, as_name=False):
        """(reply code, bound address, bound port)"""
        self.connection.sendall(bytes([5, command, 0]) + encode_host(host, port, as_name))
        return self.reply()

    def reply(self):
        version, code, reserved, kind = receive(self.connection, 4)
        assert (version, reserved) == (5, 0)
        bound = str(ipaddress.ip_address(receive(self.connection, 4 if kind == 1 else 16)))
        return code, bound, struct.unpack(">H", receive(self.connection, 2))[0]

    def get(self, path="/", host="x"):
        """An HTTP page, once connected."""
        self.connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        said = b""
        while part := self.connection.recv(65536):
            said += part
        return said.partition(b"\r\n\r\n")[2].decode()


class Association(Socks):
    """A UDP association."""

    def __init__(self, proxy, user=None):
        super().__init__(proxy, user)
        code, address, port = self.ask(UDP_ASSOCIATE, "0.0.0.0", 0)
        assert code == SUCCEEDED, code
        self.relay = (address, port)
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(8)

    def __exit__(self, *_):
        self.socket.close()
        super().__exit__()

    def send(self, host, port, data, fragment=0):
        self.socket.sendto(bytes([0, 0, fragment]) + encode_host(host, port) + data, self.relay)

    def receive(self):
        """(data, who sent it)"""
        datagram = self.socket.recv(65536)
        size = {1: 4, 4: 16}[datagram[3]]
        return datagram[4 + size + 2:], str(ipaddress.ip_address(datagram[4:4 + size]))
