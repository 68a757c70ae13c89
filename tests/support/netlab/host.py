"""A computer of the laboratory: a network namespace, a directory of its own, programs."""

import os
import pathlib
import signal
import subprocess
import tempfile
import time

from . import kernel
from .enter import LAB_DIRECTORY
from .errors import NetlabError
from .process import Process
from .tools import PYTHON_PATH

_RESOLV_CONF = "/etc/resolv.conf"
# A program without any rights over its network, as when an ordinary user starts it: in a user namespace of its own, as user 1000.
_ORDINARY = ["/usr/bin/unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]


def netns_path(name):
    return f"/run/netns/{name}"


class Host:
    """Made by `lab.host()`.

    Programs see the host's own /run, /etc/resolv.conf and HOME and no console, so that two hosts can run the same daemon.
    """

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.ip4 = self.ip6 = None  # first addresses, without prefix length
        self.addresses = []
        self.wire = None            # set by the lab; see wire.py
        self.tap = None             # (network namespace, interface) where captures listen
        self.directory = pathlib.Path(LAB_DIRECTORY) / "hosts" / name
        self.home = self.directory / "home"
        self._starts = 0
        self._make_directories()

    def __repr__(self):
        return f"<host {self.name} {' '.join(self.addresses)}>"

    # -- programs

    def run(self, argv, timeout=30, check=True, env=None, input=None, ordinary=False):
        """Runs to the end and returns subprocess.CompletedProcess (text). `ordinary`: without rights over the network."""
        argv = self._argv(argv, ordinary)
        # Files and not pipes: a program may leave a daemon behind that keeps the pipe open, and we would wait for the daemon.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write((input or "").encode())
            given.seek(0)
            popen = self._popen(argv, given, out, err, env)
            ended = self._wait(popen, timeout)
            out.seek(0), err.seek(0)
            said = [file.read().decode(errors="replace") for file in (out, err)]
        if not ended:
            raise NetlabError(f"{self.name}: {' '.join(argv)} did not end within {timeout} s\n{''.join(said)}")
        if check and popen.returncode != 0:
            raise NetlabError(f"{self.name}: {' '.join(argv)} ended with {popen.returncode}\n{''.join(said)}")
        return subprocess.CompletedProcess(argv, popen.returncode, *said)

    def start(self, argv, log=None, env=None, stdin=False, ordinary=False):
        """Starts and returns a Process. `log`: a file name for its output (default: in the lab's log directory)."""
        argv = self._argv(argv, ordinary)
        self._starts += 1
        name = pathlib.Path(argv[0] if not ordinary else argv[len(_ORDINARY)]).name
        log = pathlib.Path(log or self.lab.log_directory / f"{self.name}-{self._starts}-{name}.log")
        with open(log, "wb") as out:
            popen = self._popen(argv, subprocess.PIPE if stdin else subprocess.DEVNULL, out, subprocess.STDOUT, env)
        return self.lab.adopt(Process(f"{name} on {self.name}", popen, log))

    def python(self, module, *arguments, **options):
        """Starts a module of this package, e.g. `host.python("netlab.web_server", ...)`."""
        return self.start(["/usr/bin/python3", "-u", "-m", module, *arguments], **options)

    # -- the network, seen from inside

    def inside(self):
        """A `with` block in which the calling thread is on this host: sockets opened there belong to it."""
        return kernel.inside_network(netns_path(self.name))

    def wait_for_port(self, port, proto="tcp", timeout=10):
        """Until a program of this host's own network namespace listens (tcp) or is bound (udp) there."""
        deadline = time.monotonic() + timeout
        while not self._port_is_open(port, proto):
            if time.monotonic() > deadline:
                raise NetlabError(f"{self.name}: nothing opened port {port}/{proto} within {timeout} s")
            time.sleep(0.01)

    def sysctl(self, name, value):
        with self.inside():
            kernel.write_sysctl(name, value)

    def nft(self, rules):
        self.run(["/usr/sbin/nft", "-f", "-"], input=rules)

    def ip(self, *arguments):
        return self.run(["/usr/sbin/ip", *arguments]).stdout

    def resolve_with(self, *servers):
        """Writes the host's /etc/resolv.conf."""
        # In place: programs that run already have the file itself mounted.
        with open(self._resolv_file, "w") as out:
            out.writelines(f"nameserver {server}\n" for server in servers)
            out.write("options timeout:1 attempts:2\n")

    # -- inside

    def _make_directories(self):
        run = self.directory / "run"
        for path in (self.home, run / "netlab", run / "lock", run / "wireguard", run / "user" / "0"):
            path.mkdir(parents=True, mode=0o700)
        kernel.mount(LAB_DIRECTORY, str(run / "netlab"), flags=kernel.MS_BIND)
        target = os.path.realpath(_RESOLV_CONF)
        # Where a resolver daemon owns the file, it is a link into /run, which is ours already.
        in_run = target.startswith("/run/")
        self._resolv_file = run / target[len("/run/"):] if in_run else self.directory / "resolv.conf"
        self._resolv_file.parent.mkdir(parents=True, exist_ok=True)
        self._resolv_file.write_text("")
        self._mounts = [(str(run), "/run", kernel.MS_BIND | kernel.MS_REC)]
        if not in_run and os.path.exists(target):
            self._mounts.insert(0, (str(self._resolv_file), target, kernel.MS_BIND))
        # Without a log daemon, syslog(3) of a router's programs writes to the machine's console.  On a serial line that is slow enough
        # to stop a processor for minutes.
        if os.path.exists("/dev/console"):
            self._mounts.append(("/dev/null", "/dev/console", kernel.MS_BIND))

    def _port_is_open(self, port, proto):
        listening = "0A" if proto == "tcp" else "07"  # states of include/net/tcp_states.h; a bound UDP socket shows as 07
        with self.inside():
            rows = [line.split() for table in (proto, proto + "6")
                    for line in pathlib.Path(f"/proc/thread-self/net/{table}").read_text().splitlines()[1:]]
        return any(row[1].endswith(f":{port:04X}") and row[3] == listening for row in rows)

    @staticmethod
    def _wait(popen, timeout):
        try:
            popen.wait(timeout)
            return True
        except subprocess.TimeoutExpired:
            os.killpg(popen.pid, signal.SIGKILL)
            popen.wait()
            return False

    def _argv(self, argv, ordinary):
        argv = [str(word) for word in argv]
        return _ORDINARY + argv if ordinary else argv

    def _environment(self, extra):
        env = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
        env.update(HOME=str(self.home), XDG_RUNTIME_DIR="/run/user/0", PYTHONPATH=PYTHON_PATH, NETLAB_HOST=self.name,
                   NETLAB_LAB=self.lab.mark)
        # Debian's programs first, whatever else the person has in PATH.
        env["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:" + env.get("PATH", "")
        for way_out in ("SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY",
                        "HTTPS_PROXY", "ALL_PROXY"):
            env.pop(way_out, None)
        env.update(extra or {})
        return env

    def _popen(self, argv, stdin, stdout, stderr, env):
        network = os.open(netns_path(self.name), os.O_RDONLY | os.O_CLOEXEC)
        mounts = self._mounts

        def become_this_host():
            kernel.setns(network, kernel.CLONE_NEWNET)
            kernel.unshare(kernel.CLONE_NEWNS)
            for source, target, flags in mounts:
                kernel.mount(source, target, flags=flags)

        try:
            return subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr, env=self._environment(env),
                                    cwd=self.home, start_new_session=True, preexec_fn=become_this_host)
        except (FileNotFoundError, PermissionError):
            raise NetlabError(f"{self.name}: cannot start {argv[0]}: there is no such program that this user may run") from None
        finally:
            os.close(network)
