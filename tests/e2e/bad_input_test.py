#!/usr/bin/python3
"""What goes wrong is said in one sentence that says what to do, with an exit status that is not 0, and nothing is left or changed."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import e2e  # noqa: F401  (the way to the laboratory)
import netlab
from macronet import program
from macronet.signing import Descriptor
from netlab import check, kernel

STRANGER = "12345"
ADDRESS, PORT, DEVICE_PORT = "192.0.2.1", 51820, 51821


def real_root():
    if int(pathlib.Path("/proc/self/uid_map").read_text().split()[2]) < 2:
        raise netlab.Skip("needs another user, whom only root can become")


def command(state, *words, prefix=(), timeout=40, env=None):
    return subprocess.run([*prefix, PROGRAM, "--state", str(state), *map(str, words)], capture_output=True, text=True,
                          timeout=timeout, stdin=subprocess.DEVNULL, cwd="/", env={**os.environ, **(env or {})})


def files(folder):
    """What is there, but for the sockets and locks of a daemon, its copy of the directory and what it saw of relays."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.is_file() and "run" not in path.relative_to(folder).parts and not path.name.startswith(("directory.db", "observations", "liveness")):
            found[str(path.relative_to(folder))] = (oct(path.stat().st_mode), path.stat().st_uid, path.stat().st_mtime_ns,
                                                   hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def sentence_of(said, words):
    besides = ("macrovpn: connecting", "macrovpn: no daemon was running", "macrovpn: Finding relays", "macrovpn: the directory cannot be saved")
    lines = [line for line in said.stderr.splitlines() if not line.startswith(besides)]
    check(len(lines) == 1 and lines[0].startswith("macrovpn: "), f"not one sentence: {said.stderr!r}")
    for word in words:
        check(word in lines[0], f"'{word}' is not in: {lines[0]}")
    check(len(lines[0]) < 420, f"too long: {lines[0]}")


def refused(state, *arguments, says, status=1, **options):
    before = files(state)
    said = command(state, *arguments, **options)
    check(said.returncode == status, f"{arguments} ended with {said.returncode}: {said.stdout}{said.stderr}")
    sentence_of(said, says)
    after = files(state)
    check(before == after, f"{arguments} changed {sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))}")


@contextlib.contextmanager
def daemon(state, *words):
    process = subprocess.Popen([PROGRAM, "--state", str(state), *map(str, words)], stdin=subprocess.DEVNULL, cwd="/",
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(200):
            if command(state, "status").returncode == 0:
                break
            check(process.poll() is None, process.stderr.read() if process.poll() is not None else "")
            time.sleep(0.02)
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(2)


@contextlib.contextmanager
def places():
    """A relay's folder and a client's, in one network; the relay has run, so that there is a descriptor."""
    with tempfile.TemporaryDirectory(prefix="bad-input-") as folder:
        os.chmod(folder, 0o755)
        relay, client = pathlib.Path(folder) / "relay", pathlib.Path(folder) / "client"
        for words in ((relay, "network", "init", "--lab"), (client, "network", "add", relay / "network.toml"), (client, "key", "show")):
            said = command(*words)
            check(said.returncode == 0, said.stderr)
        with daemon(relay, "relay", "--listen", f"{ADDRESS}:{PORT}"):
            pass
        yield relay, client


# ---- files

def a_malformed_setting_is_named_with_file_line_and_the_nearest_key():
    with places() as (_, client):
        for text, says in (("[relay]\n\nrat = \"1 MB/s\"\n", ["settings.toml:3:", "unknown setting 'relay.rat'", "Did you mean 'relay.rate'?"]),
                           ("[client]\nhops = \"three\"\n", ["settings.toml:2:", "'client.hops'", "number from 0 to 5"]),
                           ("[relay]\nhours = \"10-25\"\n", ["settings.toml:2:", "22:00-07:00"]),
                           ("[relay]\nmemory = \"1 MB\"\n", ["settings.toml:2:", "64 MiB"]),
                           ("[client\nmode = 1\n", ["settings.toml:1:"])):
            (client / "settings.toml").write_text(text)
            for words in (["daemon"], ["config", "get"], ["relay", "--endpoint", f"{ADDRESS}:1"]):
                refused(client, *words, says=says)
        (client / "settings.toml").unlink()
        refused(client, "config", "set", "relay.monthamount", "1 GB", says=["unknown setting", "Did you mean 'relay.month_amount'?"])
        refused(client, "config", "set", "relay.rate", "fast", says=["100 Mbit/s"])


def keys_that_others_can_read_are_refused():
    with places() as (_, client):
        os.chmod(client / "keys", 0o644)
        for words in (["daemon"], ["key", "show"]):
            refused(client, *words, says=["other users can read the keys", "chmod 600"])


def a_file_of_another_user_or_open_to_all_is_refused_and_left_alone():
    with places() as (_, client):
        (client / "settings.toml").write_text("")
        os.chmod(client / "settings.toml", 0o666)
        refused(client, "config", "get", says=["every user can write to", "chmod o-w"])
        os.chmod(client / "settings.toml", 0o644)
        real_root()
        said = command(client, "config", "set", "client.mode", "fast")
        check(said.returncode == 0, said.stderr)
        for path in (client, *client.rglob("*")):
            os.chown(path, int(STRANGER), int(STRANGER))
        for folder_mode, file_mode in ((0o700, 0o600), (0o755, 0o644)):
            os.chmod(client, folder_mode)
            for name in ("settings.toml", "settings-set.toml"):
                os.chmod(client / name, file_mode)
            for words in (["config", "get"], ["config", "set", "client.mode", "private"], ["daemon"], ["key", "show"]):
                refused(client, *words, says=["belongs to another user", "--state"])
        # Nothing but the folder is another's: whoever owns it can put there what they like.
        empty = client.parent / "empty"
        empty.mkdir()
        os.chown(empty, int(STRANGER), int(STRANGER))
        refused(empty, "key", "show", says=["empty belongs to another user", "--state"])
        # The folder is ours, a file in it is not.
        stranger = ["/usr/bin/setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", "--"]
        os.chown(client / "settings.toml", 4321, 4321)
        refused(client, "config", "get", says=["settings.toml belongs to another user"], prefix=stranger)


def damaged_counters_and_guards_are_refused_and_not_reset():
    with places() as (relay, client):
        (relay / "traffic").write_text("macrovpn traffic 1\nday 5\n")
        refused(relay, "relay", "--listen", f"{ADDRESS}:{PORT}", says=["traffic counters", "damaged", "move that file away"])
        (client / "guards").write_bytes(b"nothing of ours")
        refused(client, "daemon", says=["entry relays", "damaged", "move that file away"])
        (client / "guards").unlink()
        (client / "devices").write_text("macrovpn devices 1\nphone\n")
        refused(client, "daemon", says=["devices saved in", "damaged", "move that file away"])


def a_full_disk_is_named_and_the_old_files_stay():
    with tempfile.TemporaryDirectory(prefix="full-disk-") as folder:
        kernel.mount("tmpfs", folder, "tmpfs", 0, "size=256k")
        try:
            state = pathlib.Path(folder) / "state"
            for words in (("network", "init", "--lab"), ("key", "show"), ("config", "set", "client.hops", "3")):
                check(command(state, *words).returncode == 0, f"{words}")
            with contextlib.suppress(OSError), open(pathlib.Path(folder) / "filler", "wb", buffering=0) as filler:
                while True:
                    filler.write(b"x" * 4096)
            says = ["the disk is full", "free some space"]
            refused(state, "config", "set", "client.hops", "2", says=says)
            refused(state, "relay", "--listen", "127.0.0.1:51820", "--endpoint", f"{ADDRESS}:{PORT}", says=says)
            fresh = pathlib.Path(folder) / "fresh"
            for words in (("key", "show"), ("network", "init", "--lab"), ("config", "set", "client.hops", "2")):
                refused(fresh, *words, says=says)
        finally:
            subprocess.run(["/usr/bin/umount", folder], check=True)


# ---- devices

def a_device_that_cannot_be_added_is_refused_and_nothing_is_kept():
    with places() as (_, client):
        add = lambda *words, **options: refused(client, "device", "add", *words, **options)
        add("phone", status=3, says=["no daemon is running", "macrovpn daemon"])
        for name in ("", "my phone", "sixteen-letters-", "../phone", ".x"):
            add(name, says=["1 to 15 letters"])
        for endpoint in ("host:0", "host:port", "1.2.3:4", "host\nPostUp = x", "[::1"):
            add("phone", "--endpoint", endpoint, says=["--endpoint must be like"])
        with daemon(client, "daemon"):
            # The daemon looks after more than this: its guards, once relays are known. None are.
            there = client.parent / "there"
            there.write_text("mine")
            add("phone", "--endpoint", "host", "--output", there, says=[str(there), "not overwritten"])
            check(there.read_text() == "mine", "a file was overwritten")
            add("phone", "--endpoint", "host", "--output", client.parent / "no" / "folder", says=["no such file or folder"])
            refused(client, "device", "remove", "phone", says=["no such device", "device list"])
            check("No devices" in command(client, "device", "list").stdout, "a device was kept that nobody has")
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as taken:
                taken.bind(("::", DEVICE_PORT))
                add("phone", "--endpoint", "host", says=[f"UDP port {DEVICE_PORT}", "device.port"])
            # This computer has no way out here.
            add("phone", says=["no way to other networks", "--endpoint"])
            for n in range(16):
                said = command(client, "device", "add", f"phone{n}", "--endpoint", "host")
                check(said.returncode == 0 and "PrivateKey" in said.stdout, said.stderr)
            add("phone3", "--endpoint", "host", says=["there is a device phone3 already", "device remove phone3"])
            add("phone16", "--endpoint", "host", says=["16 devices already", "device remove"])


def a_port_that_is_taken_costs_only_devices():
    with places() as (_, client):
        with daemon(client, "daemon"):
            check(command(client, "device", "add", "phone", "--endpoint", "host").returncode == 0, "not added")
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as taken:
            taken.bind(("::", DEVICE_PORT))
            with daemon(client, "daemon") as process:
                said = command(client, "device", "list").stdout + command(client, "status").stdout
                check(said.count(f"UDP port {DEVICE_PORT} is taken") == 2, said)
                taken.close()
                deadline = time.monotonic() + 15
                while "taken" in command(client, "device", "list").stdout:
                    check(time.monotonic() < deadline, "the port is free and was not opened")
                    time.sleep(0.1)
                process.terminate()
                check(f"UDP port {DEVICE_PORT} is taken" in process.communicate()[1], "the daemon did not say so")


# ---- the system

def a_port_in_use_is_named():
    with places() as (relay, _), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((ADDRESS, PORT))
        refused(relay, "relay", "--listen", f"{ADDRESS}:{PORT}", says=[f"UDP port {PORT}", "another program uses it", "--listen"])


def refused_user_namespaces_are_named_and_nothing_runs():
    # The limit of a user namespace of the test's own: nothing of the host changes.
    script = ("echo 0 >/proc/sys/user/max_user_namespaces && "
              "exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs -- \"$@\"")
    prefix = ["/usr/bin/unshare", "--user", "--map-root-user", "--", "/bin/sh", "-c", script, "sh"]
    with places() as (_, client):
        refused(client, "run", "--", "true", status=125, prefix=prefix, says=["user namespaces", "sysctl"])
        said = command(client, "status")
        check(said.returncode == 3, "a daemon was left behind")


def a_closed_tun_is_replaced_by_a_veth_pair():
    with places() as (_, client):
        shut = os.path.isdir("/dev/net")
        if shut:
            kernel.mount("tmpfs", "/dev/net", "tmpfs", 0, "size=4k")
        try:
            checks = {c["check"]: c for c in json.loads(command(client, "doctor", "--json").stdout)}
            box = checks["private network"]
            check(box["ok"] and "veth" in box["text"], f"{box}")
            said = command(client, "run", "--wait", "0", "--", "cat", "/proc/net/dev")
            command(client, "daemon", "--stop")
            check(said.returncode == 0 and "mv0p:" in said.stdout, f"{said.stdout}{said.stderr}")
            refused(client, "run", "--device", "tun", "--", "true", status=125, says=["tun"])
        finally:
            if shut:
                subprocess.run(["/usr/bin/umount", "/dev/net"], check=True)


# ---- descriptors

def expired_forged_foreign_and_newer_descriptors_are_refused():
    with places() as (relay, client):
        own = Descriptor(relay)
        good = own.write(relay.parent / "good")
        forged = bytearray(pathlib.Path(good).read_bytes())
        forged[-1] ^= 1
        (relay.parent / "forged").write_bytes(forged)
        (relay.parent / "cut").write_bytes(forged[:50])
        cases = ((own.write(relay.parent / "expired", age=7200), ["has expired", "new one"]),
                 (relay.parent / "forged", ["signature", "wrong"]),
                 (relay.parent / "cut", ["cut off", "copy it again"]),
                 (own.write(relay.parent / "foreign", tag2=bytes(8)), ["another network", "network file"]),
                 (own.write(relay.parent / "future", age=-3600), ["in the future", "clock"]),
                 (own.write(relay.parent / "version", tag1=b"\2"), ["version", "update macrovpn"]))
        for file, says in cases:
            refused(client, "descriptor", "add", file, says=[str(file), *says])
        check(command(client, "descriptor", "add", good).returncode == 0, "and a good one is taken")
        refused(client, "descriptor", "add", own.write(relay.parent / "older", age=600), says=["newer descriptor"])


# ---- relays

def an_unknown_relay_in_a_path_is_named():
    with places() as (relay, client):
        for words, status in ((["daemon"], 1), (["run"], 125)):
            tail = ["--", "true"] if words == ["run"] else []
            refused(client, *words, "--path", "00" * 20, *tail, status=status, says=["00000000", "not known", "descriptor add"])
            refused(client, *words, "--path", "xyz", *tail, status=status, says=["40 hexadecimal digits", "descriptor list"])
        check(command(client, "status").returncode == 3, "a daemon was left behind")


def an_exit_that_refuses_is_named_and_the_program_is_not_started():
    with places() as (relay, client), daemon(relay, "relay", "--listen", f"{ADDRESS}:{PORT}"):
        name, = (path.name for path in (relay / "descriptors").glob("*.descriptor"))
        check(command(client, "descriptor", "add", relay / "descriptors" / name).returncode == 0, "adding")
        mark = client.parent / "started"
        refused(client, "run", "--wait", "3", "--path", name.split(".")[0], "--", "touch", str(mark), status=125,
                says=["the relay is no exit", "the program was not started"])
        check(not mark.exists(), "the program ran")
        for _ in range(100):
            if command(client, "status").returncode == 3:
                return
            time.sleep(0.02)
        check(False, "the daemon that was started for it was left behind")


# ---- the daemon

def without_a_daemon_commands_say_how_to_start_one():
    with places() as (_, client):
        for words in (["hop"], ["daemon", "--stop"]):
            refused(client, *words, status=3, says=["no macrovpn daemon is running", "macrovpn daemon"])


def a_daemon_of_another_user_is_refused():
    real_root()
    with places() as (relay, _), daemon(relay, "relay", "--listen", f"{ADDRESS}:{PORT}"):
        stranger = ["/usr/bin/setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", "--"]
        os.chmod(relay, 0o755)
        for words in (["status"], ["hop"]):
            refused(relay, *words, prefix=stranger, says=["another user", "--state"])


def a_daemon_of_another_version_is_refused():
    with places() as (_, client):
        answers = {"error": {"code": -32002, "message": "the daemon speaks another version of the control protocol; restart it after an update"}}, \
                  {"result": {"version": 0, "program": "macrovpn", "release": "0.0.1"}}
        for answer in answers:
            path = client / "run" / "control.sock"
            path.unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                listener.listen()

                def serve():
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, **answer}).encode() + b"\n")

                thread = threading.Thread(target=serve)
                thread.start()
                refused(client, "hop", says=["another version", "restart it"])
                thread.join()


netlab.enter()
PROGRAM = program()
subprocess.run(["/usr/sbin/ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["/usr/sbin/ip", "addr", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
with tempfile.TemporaryDirectory(prefix="bad-input-program-") as own:
    os.chmod(own, 0o755)
    PROGRAM = shutil.copy(PROGRAM, own)  # where another user can start it
    code = netlab.run_tests([
        a_malformed_setting_is_named_with_file_line_and_the_nearest_key,
        keys_that_others_can_read_are_refused,
        a_file_of_another_user_or_open_to_all_is_refused_and_left_alone,
        damaged_counters_and_guards_are_refused_and_not_reset,
        a_full_disk_is_named_and_the_old_files_stay,
        a_device_that_cannot_be_added_is_refused_and_nothing_is_kept,
        a_port_that_is_taken_costs_only_devices,
        a_port_in_use_is_named,
        refused_user_namespaces_are_named_and_nothing_runs,
        a_closed_tun_is_replaced_by_a_veth_pair,
        expired_forged_foreign_and_newer_descriptors_are_refused,
        an_unknown_relay_in_a_path_is_named,
        an_exit_that_refuses_is_named_and_the_program_is_not_started,
        without_a_daemon_commands_say_how_to_start_one,
        a_daemon_of_another_user_is_refused,
        a_daemon_of_another_version_is_refused,
    ])
raise SystemExit(code)
