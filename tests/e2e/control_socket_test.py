#!/usr/bin/python3
"""Who cannot reach the control socket: a program inside `run`, another local user, a web page."""

import json
import os
import socket
import subprocess
import tempfile
import time

from e2e import netlab, running_world
from macronet import program
from netlab import check

# Tries every way to the socket that a program without rights has; says which led there.  It runs on the same host, as the same user.
WAYS = r'''
import ctypes, glob, os, socket, sys
path = sys.argv[1]
def reaches(name):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(2)
    try:
        s.connect(name)
        s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"hello","params":{"version":1}}\n')
        return b'"result"' in s.recv(4096)
    except OSError:
        return False
ways = [path, os.path.basename(path), "\0" + path]
for process in glob.glob("/proc/[0-9]*"):
    ways += [process + "/root" + path, process + "/cwd/" + os.path.basename(path), process + "/cwd" + path]
    try:
        for fd in os.listdir(process + "/fd"):
            link = process + "/fd/" + fd
            ways += [link, link + "/" + os.path.basename(path), link + path]
    except OSError:
        pass
found = [way.replace("\0", "@") for way in dict.fromkeys(ways) if reaches(way)]
libc = ctypes.CDLL(None, use_errno=True)
attached = [pid for pid in map(int, (os.path.basename(p) for p in glob.glob("/proc/[0-9]*")))
            if pid not in (os.getpid(), os.getppid(), 1) and libc.ptrace(16, pid, 0, 0) == 0]
print("processes", len(glob.glob("/proc/[0-9]*")))
print("attached", attached)
print("reached", found)
'''


def said_by(text):
    return dict(line.split(" ", 1) for line in text.splitlines() if " " in line)


def a_program_inside_a_box_finds_no_way_to_the_socket():
    with running_world(relays=3, exits=1) as world:
        client = world.client
        path = f"{client.state}/run/control.sock"
        script = client.host.home / "ways.py"
        script.write_text(WAYS)
        search = ["/usr/bin/python3", str(script), path]
        # The same search outside of a box finds it: it can find something.
        outside = said_by(client.host.run(search, ordinary=True).stdout)
        check(path in outside["reached"], f"outside: {outside}")
        own_proc = client.command("run", "--", "sh", "-c", "test -e /proc/1/status && grep -c . /proc/1/cmdline; ls -d /proc/[0-9]*").stdout
        if own_proc.count("/proc/") > 20:
            raise netlab.Skip("this system lets a box have no /proc of its own")
        # From the home folder, and from the very folder of the socket.
        for where in (str(client.host.home), f"{client.state}/run"):
            inside = client.host.run(["/bin/sh", "-c", f"cd {where} && exec \"$0\" \"$@\"", *client.argv("run", "--", *search)], ordinary=True)
            found = said_by(inside.stdout)
            check(found["reached"] == "[]", f"from {where}: {found['reached']}")
            check(found["attached"] == "[]", f"ptrace took {found['attached']}")
            check(int(found["processes"]) <= 4, f"{found['processes']} processes are in sight")
        return f"outside {outside['processes']} processes in sight, inside {found['processes']}"


LOOK = r'''
import os, subprocess, sys, time
base = [sys.argv[1], "--state", sys.argv[2]]
subprocess.run([*base, "network", "init", "--lab"], check=True, stdout=subprocess.DEVNULL)
def seen(pid):
    found = []
    for what in ("fd", "root", "environ", "mem"):
        name = f"/proc/{pid}/{what}"
        try:
            if what == "fd":
                os.readlink(f"{name}/0")
            else:
                os.listdir(name) if what == "root" else open(name, "rb").close()
            found.append(what)
        except OSError:
            pass
    return found
daemon = subprocess.Popen([*base, "relay", "--listen", "127.0.0.1:51820", "--endpoint", "192.0.2.1:51820"], stderr=subprocess.DEVNULL)
other = subprocess.Popen(["/usr/bin/sleep", "20"])
for _ in range(250):
    if subprocess.run([*base, "status"], capture_output=True).returncode == 0:
        break
    time.sleep(0.02)
print("other", seen(other.pid))
print("daemon", seen(daemon.pid) if daemon.poll() is None else "does not run")
other.kill()
daemon.terminate()
daemon.wait(20)
'''


def the_daemon_is_closed_to_other_processes_of_its_user():
    with tempfile.TemporaryDirectory(prefix="control-") as folder:
        # Both in one user namespace: over its border the kernel refuses by itself.
        said = said_by(subprocess.run(["/usr/bin/unshare", "--user", "--map-user=1000", "--map-group=1000", "--", "/usr/bin/python3", "-c",
                                       LOOK, program(), f"{folder}/state"], capture_output=True, text=True, timeout=40).stdout)
    check(said.get("other") == "['fd', 'root', 'environ', 'mem']", f"an ordinary process is open, so the test can tell: {said}")
    check(said["daemon"] == "[]", f"of the daemon: {said['daemon']}")


def another_user_is_not_served_even_where_the_folder_is_open():
    if int(open("/proc/self/uid_map").read().split()[2]) < 2:
        raise netlab.Skip("needs another user, whom only root can become")
    with tempfile.TemporaryDirectory(prefix="control-") as folder:
        os.chmod(folder, 0o755)
        with own_daemon(f"{folder}/state") as path:
            talk = ("import socket, sys\n"
                    "s = socket.socket(socket.AF_UNIX); s.settimeout(5)\n"
                    "try: s.connect(sys.argv[1])\n"
                    "except PermissionError: print('closed'); raise SystemExit\n"
                    "try:\n"
                    "    s.sendall(b'{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\",\"params\":{\"version\":1}}\\n')\n"
                    "    print('answer' if s.recv(4096) else 'hung up')\n"
                    "except ConnectionError: print('hung up')\n")
            ask = ["/usr/bin/setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "--", "/usr/bin/python3", "-c", talk, path]
            said = subprocess.run(ask, capture_output=True, text=True, timeout=20)
            check(said.stdout.strip() == "closed", f"by its folder: {said}")
            os.chmod(os.path.dirname(path), 0o755), os.chmod(os.path.dirname(os.path.dirname(path)), 0o755), os.chmod(path, 0o666)
            said = subprocess.run(ask, capture_output=True, text=True, timeout=20)
            check(said.stdout.strip() == "hung up", f"by the kernel's word on who calls: {said}")
            answer = subprocess.run(ask[-4:], capture_output=True, text=True, timeout=20)
            check(answer.stdout.strip() == "answer", f"and its own user is served: {answer}")


class own_daemon:
    """A relay of the test's own; gives the path of its socket."""

    def __init__(self, state):
        self._base = [program(), "--state", state]
        self._path = f"{state}/run/control.sock"

    def __enter__(self):
        subprocess.run([*self._base, "network", "init", "--lab"], check=True, stdout=subprocess.DEVNULL)
        self.process = subprocess.Popen([*self._base, "relay", "--listen", "127.0.0.1:51820", "--endpoint", "192.0.2.1:51820"],
                                        stderr=subprocess.DEVNULL)
        for _ in range(250):
            if subprocess.run([*self._base, "status"], capture_output=True).returncode == 0:
                return self._path
            time.sleep(0.02)
        raise AssertionError("the relay did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)


def a_request_of_http_is_hung_up_on_with_what_is_hidden_in_it():
    with tempfile.TemporaryDirectory(prefix="control-") as folder, own_daemon(f"{folder}/state") as path:
        hello = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"version": 1}})
        stop = json.dumps({"jsonrpc": "2.0", "id": 2, "method": "stop"})
        for first in ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\r\n", "GET / HTTP/1.1\r\n", "\n", "{}\n"):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(path)
                s.sendall((first + "\n" + hello + "\n" + stop + "\n").encode())
                said = b""
                try:
                    while part := s.recv(4096):
                        said += part
                except ConnectionError:
                    pass
                check(b'"result"' not in said and said.count(b"\n") <= 1, f"after {first!r}: {said}")
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(path)
            s.sendall(hello.encode() + b"\n")
            check(b'"result"' in s.recv(4096), "the daemon is gone")


netlab.enter()
subprocess.run(["/usr/sbin/ip", "link", "set", "lo", "up"], check=True)
raise SystemExit(netlab.run_tests([
    a_program_inside_a_box_finds_no_way_to_the_socket,
    the_daemon_is_closed_to_other_processes_of_its_user,
    another_user_is_not_served_even_where_the_folder_is_open,
    a_request_of_http_is_hung_up_on_with_what_is_hidden_in_it,
]))
