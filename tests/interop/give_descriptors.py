"""give_descriptors.py INTERFACE PROGRAM ARGUMENT...: becomes the program with a TUN device and a listening configuration socket as
open descriptors, the way wireguard-go hands them to itself."""

import fcntl
import os
import pathlib
import socket
import struct
import sys

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000

name, *command = sys.argv[1:]
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
path = pathlib.Path(f"/var/run/wireguard/{name}.sock")
path.parent.mkdir(parents=True, exist_ok=True)
listening = socket.socket(socket.AF_UNIX)
listening.bind(str(path))
listening.listen()
for fd in (tun, listening.fileno()):
    os.set_inheritable(fd, True)
os.environ.update(WG_TUN_FD=str(tun), WG_UAPI_FD=str(listening.fileno()), WG_PROCESS_FOREGROUND="1")
os.execv(command[0], command)
