"""System calls that Python 3.11 has no name for. Nothing here knows about laboratories."""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8

_libc = ctypes.CDLL(None, use_errno=True)
_SIOCETHTOOL = 0x8946
# TX checksum, TCP segmentation, generic segmentation: with these off, every frame on the veth is whole and has its checksum.
_ETHTOOL_OFF = (0x17, 0x1F, 0x24)
_PR_SET_PDEATHSIG = 1
_SIOCGIFFLAGS, _IFF_RUNNING = 0x8913, 0x40


def _check(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def unshare(flags):
    _check(_libc.unshare(flags), "unshare")


def setns(descriptor, kind):
    _check(_libc.setns(descriptor, kind), "setns")


def mount(source, target, kind=None, flags=0, options=None):
    def text(value):
        return None if value is None else os.fsencode(value)

    _check(_libc.mount(text(source), text(target), text(kind), ctypes.c_ulong(flags), text(options)), f"mount on {target}")


def die_with_parent(signal_number):
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl")


@contextlib.contextmanager
def inside_network(path):
    """The calling thread is in the network namespace at `path` for as long as the block runs."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(there, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(there)
        os.close(home)


def turn_offloads_off(interface):
    """For an interface of the current network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in _ETHTOOL_OFF:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP", interface.encode(), ctypes.addressof(value)).ljust(40, b"\0")
            fcntl.ioctl(sock, _SIOCETHTOOL, request)


def carries_frames(interface):
    """For an interface of the current network namespace. One that is up drops everything until the kernel's link watcher, which
    runs a little later, has seen its carrier."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16s24x", interface.encode()))
    return bool(struct.unpack_from("16xH", answer)[0] & _IFF_RUNNING)


def write_sysctl(name, value):
    """In the current network namespace; `name` is written with dots."""
    with open("/proc/sys/" + name.replace(".", "/"), "w") as file:
        file.write(str(value))
