#!/usr/bin/python3
"""Programs of other users while the computer is up: they attach at the door of root's daemon (docs/decisions/0015)."""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile

from e2e import netlab
from macronet import Node, computer, program, socks, summary
from macronet.socks import Socks
from macronet.world import WEB_ADDRESSES, WEB_NAME
from netlab import check

ANNA, BEN = 12345, 12346  # user numbers that nobody has
_GROUPS = 15  # of a proxy at the door, beside its own
_PROXIES = 2  # of one user


class UserNode(Node):
    """Commands of a second real user, not of a namespace's."""

    def __init__(self, host, uid, folder):
        super().__init__(host, ordinary=False)
        self.uid = uid
        home = pathlib.Path(folder) / str(uid)
        home.mkdir(mode=0o700)
        os.chown(home, uid, uid)
        self.state, self._program = str(home), f"{folder}/macrovpn"

    def argv(self, *words):
        return self.words(self._program, "--state", self.state, *words)

    def words(self, *words):
        return ["/usr/bin/setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "--",
                "/usr/bin/env", f"HOME={self.state}", f"XDG_RUNTIME_DIR={self.state}", *map(str, words)]


class Proxy:
    """`macrovpn proxy` of a user on a computer."""

    def __init__(self, machine, node):
        self.machine, self.host, self.node = machine, machine.host, node
        self.process = node.start("proxy", "--json", "--listen", "127.0.0.1:0")
        said = self.process.wait_for_output("socks5", timeout=30)
        self.at, = json.loads(next(line for line in said.splitlines() if line.startswith("{")))["socks5"]
        self.port = int(self.at.rpartition(":")[2])

    def page(self, user="", target=f"http://{WEB_NAME}/", wrap=lambda *words: words):
        got = self.host.run(wrap("curl", "-sS", "--max-time", "10", "--proxy", f"socks5h://{user and user + ':x@'}{self.at}", target), check=False)
        return got.stdout if got.returncode == 0 else None

    def ask(self, user=None):
        """The reply code to a connection."""
        with self.host.inside():
            connection = Socks(("127.0.0.1", self.port), user)
        with connection as s:
            return s.ask(socks.CONNECT, WEB_ADDRESSES[0], 80)[0]

    def circuits(self):
        """slot -> circuit, as root's daemon tells."""
        return {c.get("slot", 0): c["id"] for c in self.machine.status()["circuits"] if "-proxy-" in c.get("group", "") and c["state"] == "ready"}


@contextlib.contextmanager
def folder_of_users():
    """A folder that every user may enter, with the program in it."""
    with tempfile.TemporaryDirectory(prefix="macronet-users-") as folder:
        os.chmod(folder, 0o755)
        shutil.copy(program(), f"{folder}/macrovpn")
        yield folder


def user_of_a_namespace(machine):
    user = Node(machine.host, ordinary=True)
    user.state = str(machine.host.home / "of-a-user")
    return user


def has_more_users():
    return os.geteuid() == 0 and any(int(line.split()[2]) > BEN for line in open("/proc/self/uid_map"))


def exits_of(machine):
    return {address for relay in machine.world.exits for address in relay.host.addresses}


def a_users_proxy_goes_through_the_computers_daemon_and_nowhere_else():
    with computer() as machine:
        machine.up()
        user = user_of_a_namespace(machine)
        said = user.command("proxy", "--mode", "fast", check=False)
        check(said.returncode == 1 and "leave out --mode" in said.stderr and len(said.stderr.splitlines()) == 1, said.stderr)
        with machine.world.lab.capture(machine.host) as capture:
            proxy = Proxy(machine, user)
            for target in (f"http://{WEB_NAME}/", *(f"http://{a}/" if "." in a else f"http://[{a}]/" for a in WEB_ADDRESSES)):
                page = proxy.page(target=target)
                check(page and page.split()[-1] in exits_of(machine), f"{target}: {page}")
            machine.kill_daemon()
            proxy.process.wait_for_output("the daemon has ended")
            check(proxy.ask() == socks.NO_NETWORK and proxy.page() is None, "a page without a daemon")
            machine.up()
            proxy.process.wait_for_output("a daemon runs again")
            check(proxy.page(), "no page after the daemon came back")
            machine.kill_daemon()
            refused = user.command("proxy", "--listen", "127.0.0.1:0", check=False)
            check(refused.returncode == 1 and "sudo macrovpn up" in refused.stderr, refused.stderr)
        leaked = machine.leaks(capture)
        check(leaked == [] and capture.drops() == 0, summary(leaked))
        machine.down()
        check(proxy.page() is None, "the proxy found another way out when the computer was no longer up")
        proxy.process.signal(15)
        check(proxy.process.wait(5) == 0, proxy.process.output())


def user_names_at_that_proxy_are_circuits_of_their_own_and_few():
    with computer() as machine:
        machine.up()
        proxy = Proxy(machine, user_of_a_namespace(machine))
        for name in ("", "annabel", "benedict", "annabel"):
            check(proxy.page(name), f"no page for {name or 'nobody'}")
        circuits = proxy.circuits()
        check(sorted(circuits) == [0, 1, 2] and len(set(circuits.values())) == 3, f"{circuits}")
        check(machine.world.exits[0].status()["relay"]["leases"] >= 4, "a lease for each, and the computer's")
        for n in range(_GROUPS - 2):
            check(proxy.ask(f"name{n}") == socks.SUCCEEDED, f"name {n + 3}")
        check(proxy.ask("one too many") == socks.FAILED, "more names than the door gives")
        check(proxy.ask("benedict") == socks.SUCCEEDED, "a name that was there")
        return f"{len(proxy.circuits())} circuits"


# Attaches a TUN at the door, asks for groups, and sends from the addresses of 40 of them.
_GREEDY = """
import array, fcntl, json, os, socket, struct, subprocess, sys, time
door = socket.socket(socket.AF_UNIX); door.connect(b"\\0macrovpn-system"); lines = door.makefile()
os.unshare(os.CLONE_NEWNET) if hasattr(os, "unshare") else __import__("ctypes").CDLL(None).unshare(0x40000000)
tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x1001))
def call(method, params, fds=()):
    door.sendmsg([json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\\n"],
                 [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
    return json.loads(lines.readline())
call("hello", {"version": 1})
said = call("attach", {"group": sys.argv[1], "kind": "tun", "device": "01" + "00" * 12, "groups": True}, [tun])
print(json.dumps(said), flush=True)
if "result" in said:
    for words in ("link set lo up", "link set tun0 up", "addr add 10.10.0.2/32 dev tun0", "route add default dev tun0", "route add local 10.10.128.0/24 dev lo"):
        subprocess.run(["/usr/sbin/ip", *words.split()], check=True)
    for n in range(1, 41):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((f"10.10.128.{n}", 0)); s.sendto(b"x", ("192.0.2.80", 9))
    print("sent", flush=True)
time.sleep(60)
"""


def a_greedy_user_gets_few_groups_and_few_proxies_and_the_computer_goes_on():
    with computer() as machine:
        machine.up()
        greedy = ["/usr/bin/unshare", "--user", "--map-root-user", "--", "/usr/bin/python3", "-u", "-c", _GREEDY]
        first = machine.host.start([*greedy, "first"], ordinary=True)
        said = first.wait_for_output("sent")
        check(json.loads(said.splitlines()[0])["result"]["groups"] == _GROUPS, said)
        with contextlib.suppress(netlab.NetlabError):  # it never happens
            machine.node.wait("more circuits", lambda s: len(groups_of(s)) > 1 + _GROUPS, timeout=3)
        groups = groups_of(machine.status())
        check(len(groups) == 1 + _GROUPS, f"{len(groups)} groups: {groups}")
        for n in range(1, _PROXIES):
            machine.host.start([*greedy, f"more{n}"], ordinary=True).wait_for_output("sent")
        last = machine.host.start([*greedy, "last"], ordinary=True).wait_for_output("}")
        check("no user may have more" in last, last)
        check(machine.page(), "the computer has no network")
        user = user_of_a_namespace(machine)
        check(user.command("run", "--", "curl", "-sS", f"http://{WEB_NAME}/").stdout.startswith("you are"), "`run` has no place")


def groups_of(status):
    return {(c["group"], c.get("slot", 0)) for c in status["circuits"] if c.get("group", "").startswith("user-")}


def two_real_users_share_the_door_and_nothing_else():
    """Users as a computer has them: another number, folders that are closed to each other, no namespace between."""
    if not has_more_users():
        raise netlab.Skip("needs root, to be two more users")
    with computer() as machine, folder_of_users() as folder:
        machine.up()
        anna, ben = (UserNode(machine.host, uid, folder) for uid in (ANNA, BEN))
        for user in (anna, ben):
            got = user.command("run", "--group", "mine", "--", "sh", "-c", f"id -u; curl -sS --max-time 10 http://{WEB_NAME}/", check=False)
            check(got.stdout.split()[:1] == [str(user.uid)] and got.stdout.split()[-1] in exits_of(machine), f"{got.stdout}{got.stderr}")
        # The same name at the same time is not the same group.
        sleepers = [user.start("run", "--group", "mine", "--", "sleep", "60") for user in (anna, ben)]
        status = machine.node.wait("both", lambda s: {d["group"] for d in s["devices"]} >= {f"user-{ANNA}-mine", f"user-{BEN}-mine"})
        circuits = {c["group"]: c["id"] for c in status["circuits"] if c.get("group", "").endswith("-mine")}
        check(len(set(circuits.values())) == 2, f"{circuits}")
        # One's own name a second time is taken; the other's cannot be said.
        again = anna.command("run", "--group", "mine", "--", "true", check=False)
        check(again.returncode == 125 and "another program runs in the group" in again.stderr, again.stderr)
        # Nobody's daemon but through the door.
        said = machine.host.run(anna.words(f"{folder}/macrovpn", "--state", machine.node.state, "status"), check=False)
        check(said.returncode != 0 and "Protected" not in said.stdout, f"{said.stdout}{said.stderr}")
        for method in ("hop", "stop", "detach", "system.detach", "descriptor.reload"):
            said = machine.host.run(anna.words("/usr/bin/python3", "-c", _ASK, method), check=False).stdout
            check("does not know" in said, f"{method} through the door: {said}")
        # A proxy of one's own, and of nobody else.
        proxy = Proxy(machine, anna)
        check((proxy.page(wrap=anna.words) or "").split()[-1:] and proxy.page(wrap=anna.words).split()[-1] in exits_of(machine), "Anna's proxy")
        check(proxy.page(wrap=ben.words) is None and proxy.page() is None, "somebody else got through Anna's proxy")
        check(len(proxy.circuits()) == 1, f"{proxy.circuits()}")
        for sleeper in sleepers:
            sleeper.stop()
        machine.node.wait("their end", lambda s: not any(d["group"].endswith("-mine") for d in s["devices"]))


# Whoever binds the door's name first; says what it was sent.
_FALSE_DOOR = """
import socket
s = socket.socket(socket.AF_UNIX); s.bind(b"\\0macrovpn-system"); s.listen(); print("open", flush=True)
while True: print("got", s.accept()[0].recv(100), flush=True)
"""


def a_strangers_door_gets_nothing():
    """A daemon that died leaves the name to whoever is first; a user's program must not hand him its packets."""
    if not has_more_users():
        raise netlab.Skip("needs root, to be two more users")
    with computer() as machine, folder_of_users() as folder:
        machine.up()
        anna, ben = (UserNode(machine.host, uid, folder) for uid in (ANNA, BEN))
        machine.kill_daemon()
        stranger = machine.host.start(anna.words("/usr/bin/python3", "-u", "-c", _FALSE_DOOR))
        stranger.wait_for_output("open")
        for words in (["run", "--", "true"], ["proxy", "--listen", "127.0.0.1:0"]):
            said = ben.command(*words, check=False)
            check(said.returncode != 0 and "belongs to another user" in said.stderr, f"{words}: {said.stderr}")
        check("attach" not in stranger.output() and "hello" not in stranger.output(), stranger.output())


_ASK = """
import json, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(b"\\0macrovpn-system"); f = s.makefile()
for method, params in (("hello", {"version": 1}), (sys.argv[1], {"group": "system"})):
    s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\\n")
    said = f.readline()
print(said)
"""


netlab.enter()
raise SystemExit(netlab.run_tests([
    a_users_proxy_goes_through_the_computers_daemon_and_nowhere_else,
    user_names_at_that_proxy_are_circuits_of_their_own_and_few,
    a_greedy_user_gets_few_groups_and_few_proxies_and_the_computer_goes_on,
    two_real_users_share_the_door_and_nothing_else,
    a_strangers_door_gets_nothing,
]))
