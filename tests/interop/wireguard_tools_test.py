#!/usr/bin/python3
"""`macrovpn wireguard` is what `wg`, `wg-quick` and programs written for wireguard-go expect. As root, or as a user who may open
/dev/net/tun.

    wireguard_tools_test.py [WORD...]     only tests with one of the words in their names
"""

import base64
import contextlib
import os
import pathlib
import secrets
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import wg_lab
from wg_lab import (INSIDE_THEIRS, OUR4, OUR6, OURS, PORT, THEIR4, THEIR6, THEIRS, WG, Ours, device, netlab, new_key, on, pair, pairs_of,
                    program, uapi, wait_until)
from netlab import check
from netlab.tools import installed


# ---- the configuration protocol

def hex_key(byte):
    return f"{byte:02x}" * 32


KEY, OTHER, THIRD = hex_key(0x42), hex_key(0x17), hex_key(0x99)
# Each is sent to a fresh device; afterwards it is asked for its state.
REQUESTS = [
    "set=1\n\n",
    f"set=1\nprivate_key={KEY}\n\n",
    f"set=1\nprivate_key={KEY}\n\nset=1\nprivate_key={'0' * 64}\n\n",
    "set=1\nlisten_port=1234\nfwmark=77\n\nset=1\nfwmark=0\n\n",
    "set=1\nlisten_port=0\n\n",
    f"set=1\npublic_key={OTHER}\nendpoint=192.0.2.9:5\npersistent_keepalive_interval=25\nallowed_ip=10.1.2.3/16\n"
    f"allowed_ip=fd00::1/64\npreshared_key={KEY}\nprotocol_version=1\n\n",
    f"set=1\npublic_key={OTHER}\nendpoint=[2001:db8::9]:5\nallowed_ip=10.0.0.0/8\n\nset=1\npublic_key={OTHER}\n"
    "replace_allowed_ips=true\nallowed_ip=10.0.0.1/32\n\n",
    f"set=1\npublic_key={OTHER}\npreshared_key={KEY}\n\nset=1\npublic_key={OTHER}\npreshared_key={'0' * 64}\n\n",
    f"set=1\npublic_key={OTHER}\nallowed_ip=10.0.0.0/8\npublic_key={THIRD}\nallowed_ip=10.0.0.0/8\n\n",
    f"set=1\npublic_key={OTHER}\npublic_key={THIRD}\n\nset=1\npublic_key={OTHER}\nremove=true\nallowed_ip=10.0.0.0/8\n\n",
    f"set=1\npublic_key={OTHER}\n\nset=1\nreplace_peers=true\npublic_key={THIRD}\n\n",
    f"set=1\npublic_key={OTHER}\nupdate_only=true\nallowed_ip=10.0.0.0/8\n\n",
    f"set=1\npublic_key={OTHER}\n\nset=1\npublic_key={OTHER}\nupdate_only=true\nallowed_ip=10.0.0.0/8\n\n",
    f"set=1\npublic_key={'0' * 64}\nallowed_ip=10.0.0.0/8\n\n",  # of low order
    # What is refused, and what of it holds.
    "set=1\nlisten_port\n\n", "set=1\nnonsense=1\n\n", "set=1\nlisten_port=65536\n\n", "set=1\nlisten_port=x\n\n",
    "set=1\nlisten_port=-1\n\n", "set=1\nfwmark=4294967296\n\n", "set=1\nfwmark=0x10\n\n", "set=1\nprivate_key=42\n\n",
    f"set=1\nprivate_key={KEY[:-1]}g\n\n", "set=1\nreplace_peers=false\n\n", "set=1\npublic_key=42\n\n",
    "set=1\nprotocol_version=1\n\n", "set=1\nendpoint=192.0.2.1:1\n\n",
    "set=1\nlisten_port=4321\nnonsense=1\nfwmark=5\n\n",
    f"set=1\npublic_key={OTHER}\nallowed_ip=10.0.0.0/8\nallowed_ip=10.0.0.0/33\nallowed_ip=11.0.0.0/8\n\n",
    *(f"set=1\npublic_key={OTHER}\n{line}\n\n" for line in (
        "endpoint=192.0.2.1", "endpoint=example.org:1", "endpoint=2001:db8::1:5x", "endpoint=192.0.2.1:65536", "endpoint=",
        "allowed_ip=10.0.0.0", "allowed_ip=10.0.0.0/-1", "allowed_ip=", "persistent_keepalive_interval=65536",
        "persistent_keepalive_interval=off", "remove=yes", "update_only=1", "replace_allowed_ips=false", "preshared_key=1",
        "protocol_version=2", "listen_port=1", "private_key=" + KEY, "rx_bytes=1", "allowed_ip=-10.0.0.0/8x")),
    "get=1\nx", "get=2\n\n", "hello\n",
]


def state_of(answer):
    """A device's answer without the order of its peers and allowed IPs."""
    peers, at = {}, ("device",)
    for key, value in pairs_of(answer):
        at = ("peer", value) if key == "public_key" else at
        # wireguard-go calls peers even without a key of its own, which the kernel's device and ours do not.
        if key not in ("tx_bytes", "rx_bytes", "errno"):
            peers.setdefault(at, []).append((key, value))
    return {name: sorted(lines) for name, lines in peers.items()}


def its_configuration_protocol_is_that_of_wireguard_go():
    """Every request to both, each time a device without settings; their answers and states afterwards are the same."""
    with netlab.Lab() as lab:
        hosts = {"ours": lab.host("ours", OURS), "theirs": lab.host("theirs", THEIRS)}
        ours, theirs = Ours(hosts["ours"], []), netlab.WireGuardGo(hosts["theirs"])
        clear = f"set=1\nprivate_key={'0' * 64}\nlisten_port=0\nfwmark=0\nreplace_peers=true\n\n"
        for request in REQUESTS:
            found = {}
            for who, host in hosts.items():
                check(uapi(host, clear) == "errno=0\n\n", f"{who}: cannot be cleared")
                parts = [part + "\n\n" for part in request.split("\n\n")[:-1]] or [request]
                answers, state = [uapi(host, part) for part in parts], state_of(uapi(host, "get=1\n\n"))
                if "listen_port=1234" not in request:  # another one for each
                    state["device",] = [line for line in state["device",] if line[0] != "listen_port"]
                found[who] = answers, state
            check(found["ours"] == found["theirs"], f"{request!r}:\nours   {found['ours']}\ntheirs {found['theirs']}")
        ours.quit()
        return f"{len(REQUESTS)} requests"


def an_allowed_ip_is_taken_away_alone():
    """The newer protocol's `allowed_ip=-`, which Debian's wireguard-go does not know yet."""
    with device() as d:
        said = uapi(d.host, f"set=1\npublic_key={OTHER}\nallowed_ip=10.0.0.0/8\nallowed_ip=11.0.0.0/8\nallowed_ip=-10.0.0.0/8\n\n")
        check(said == "errno=0\n\n", said)
        check("allowed_ip=10." not in uapi(d.host, "get=1\n\n") and "allowed_ip=11." in uapi(d.host, "get=1\n\n"), "the wrong one went")


def a_scope_is_refused_with_a_sentence():
    with device() as d:
        said = uapi(d.host, f"set=1\npublic_key={OTHER}\nendpoint=[fe80::1%eth0]:5\n\n")
        check(said == "errno=-22\n\n" and "an endpoint has a scope" in d.process.output(), said + d.process.output())


def a_hundred_thousand_allowed_ips_are_set_and_shown():
    with device() as d:
        started = time.monotonic()
        config = ["[Interface]", f"PrivateKey = {new_key()[0]}", "[Peer]", f"PublicKey = {new_key()[1]}"]
        config += [f"AllowedIPs = {a}.{b}.0.0/16,{a:x}::{b:x}/128" for a in range(1, 256) for b in range(256)]
        d.wg("setconf", "wg0", "/dev/stdin", input="\n".join(config))
        shown = d.wg("show", "wg0", "allowed-ips").split()
        check(len(shown) == 255 * 256 * 2 + 1, f"{len(shown)} words")
        many = ["[Interface]"] + [f"[Peer]\nPublicKey = {new_random_key()}\nAllowedIPs = 10.{a // 256}.{a % 256}.0/24" for a in range(2000)]
        d.wg("setconf", "wg0", "/dev/stdin", input="\n".join(many))
        check(len(d.wg("show", "wg0", "peers").split()) == 2000, "peers are missing")
        return f"{time.monotonic() - started:.1f} s"


def new_random_key():
    return base64.b64encode(secrets.token_bytes(32)).decode()


# ---- wg and wg-quick

def wg_reads_back_what_it_wrote():
    with device() as d:
        private, psk = new_key()[0], new_key()[0]
        peers = [new_key()[1] for _ in range(2)]
        config = (f"[Interface]\nListenPort = 4444\nFwMark = 0x77\nPrivateKey = {private}\n\n"
                  f"[Peer]\nPublicKey = {peers[0]}\nPresharedKey = {psk}\nAllowedIPs = 10.0.0.0/8, fd00::/16\n"
                  f"Endpoint = 198.51.100.1:5\nPersistentKeepalive = 25\n\n"
                  f"[Peer]\nPublicKey = {peers[1]}\nAllowedIPs = 0.0.0.0/0\nEndpoint = [2001:db8:2::1]:6\n\n")
        d.wg("setconf", "wg0", "/dev/stdin", input=config)
        check(d.wg("showconf", "wg0").strip() == config.strip(), d.wg("showconf", "wg0"))
        d.wg("set", "wg0", "fwmark", "0", "peer", peers[0], "remove", "peer", peers[1], "allowed-ips", "", "persistent-keepalive", "off")
        shown = d.wg("showconf", "wg0")
        check(peers[0] not in shown and "FwMark" not in shown and "AllowedIPs" not in shown and peers[1] in shown, shown)
        d.wg("syncconf", "wg0", "/dev/stdin", input=config)
        sections = lambda text: sorted(text.strip().split("\n\n"))
        check(sections(d.wg("showconf", "wg0")) == sections(config), d.wg("showconf", "wg0"))
        check("wg0" in d.wg("show", "interfaces").split(), "`wg` does not find the device")
        d.wg("set", "wg0", "private-key", "/dev/null")
        check(d.wg("show", "wg0", "private-key").strip() == "(none)", "the private key was not cleared")


def wg_quick_brings_it_up_with_everything_through_it_and_down_without_a_trace():
    if pathlib.Path("/sys/module/wireguard").exists():
        raise netlab.Skip("the kernel has WireGuard of its own, which wg-quick prefers")
    with netlab.Lab() as lab:
        ours, theirs = lab.host("ours", OURS), lab.host("theirs", THEIRS)
        go = netlab.WireGuardGo(theirs, addresses=INSIDE_THEIRS, listen_port=PORT)
        private, public = new_key()
        go.add_peer(public, [f"{OUR4}/32", f"{OUR6}/128"])
        config = ours.directory / "home" / "wg0.conf"
        config.write_text(f"[Interface]\nPrivateKey = {private}\nAddress = {OUR4}/24, {OUR6}/64\n[Peer]\nPublicKey = {go.public_key}\n"
                          f"AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = {on(THEIRS[0])}\nPersistentKeepalive = 25\n")
        config.chmod(0o600)
        link = ours.directory / "home" / "macrovpn-wireguard"
        link.symlink_to(program())
        env = {"WG_QUICK_USERSPACE_IMPLEMENTATION": str(link), "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        before = traces(ours)
        quick = lambda verb: ours.run([installed("wg-quick", "wireguard-tools"), verb, str(config)], env=env, check=False)
        said = quick("up")
        check(said.returncode == 0, said.stdout + said.stderr)
        wg_lab.ping(ours, THEIR4, count=3), wg_lab.ping(ours, THEIR6, count=3), wg_lab.ping(theirs, OUR4, count=3)
        check(ours.run([WG, "show", "wg0", "fwmark"]).stdout.strip() == "0xca6c", "wg-quick set no fwmark")
        check("table 51820" in ours.run(["ip", "route", "get", "203.0.113.99"]).stdout, "not everything goes through it")
        said = quick("down")
        check(said.returncode == 0, said.stdout + said.stderr)
        wait_until(lambda: not (ours.directory / "run/wireguard/wg0.sock").exists(), 3, "the socket was not deleted")
        wait_until(lambda: not processes("wg0", ours), 3, "the process did not end")
        check(traces(ours) == before, f"left behind: {traces(ours)}")


def traces(host):
    return host.run(["sh", "-c", "ip -o link; ip rule; ip -6 rule; ip route show table all; nft list ruleset"]).stdout


def processes(word, host):
    """Programs of ours with that word as their last, on that host."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().split(b"\0")[:-1]
            environment = (path / "environ").read_bytes()
            if words and words[-1] == word.encode() and b"macrovpn" in words[0] and f"NETLAB_HOST={host.name}".encode() in environment:
                found.append(int(path.name))
    return found


# ---- beginning and end

def start(host, *words, name="macrovpn-wireguard", env=None):
    """Runs it to the end, or until it is in the background."""
    link = host.directory / "home" / name
    if not link.exists():
        link.symlink_to(program())
    return host.run([str(link), *words], check=False, env=env)


def it_is_called_as_wireguard_go_is():
    netlab.need_tun()
    with netlab.Lab() as lab:
        host = lab.host("ours", OURS)
        said = start(host, "--version")
        check(said.returncode == 0 and said.stdout.startswith("macrovpn-wireguard "), said.stdout)
        for words in ([], ["-f"], ["-f", "a", "b"], ["wg0", "wg1"], ["--nonsense"]):
            said = start(host, *words)
            check(said.returncode == 2 and "Usage: " in said.stderr, f"{words}: {said}")
        said = start(host, "wg0")
        check(said.returncode == 0 and not said.stdout + said.stderr, f"{said}")
        check(host.run([WG, "show", "wg0"]).returncode == 0, "it returned before it answers")
        check("mtu 1420" in host.ip("link", "show", "wg0"), "the MTU is not 1420")
        (pid,) = processes("wg0", host)
        check(os.readlink(f"/proc/{pid}/fd/0") == os.readlink(f"/proc/{pid}/fd/2") == "/dev/null", "it kept our standard streams")
        # Deleting the socket ends it, and with it the device.
        (host.directory / "run/wireguard/wg0.sock").unlink()
        wait_until(lambda: "wg0" not in host.ip("link"), 3, "the device is still there")
        # A number for %d, as the kernel gives it.
        said = start(host, "wg%d")
        check(said.returncode == 0 and "wg0" in host.run([WG, "show", "interfaces"]).stdout.split(), f"{said}")
        said = start(host, "-f", "wg5", env={"WG_PROCESS_FOREGROUND": "1", "WG_TUN_FD": "99"})
        check(said.returncode == 1 and "WG_TUN_FD is not the number of an open descriptor" in said.stderr, said.stderr)


def descriptors_that_it_is_given_are_used():
    netlab.need_tun()
    with netlab.Lab() as lab:
        host = lab.host("ours", OURS)
        giver = pathlib.Path(__file__).resolve().parent / "give_descriptors.py"
        process = host.start(["/usr/bin/python3", str(giver), "wg3", program(), "wireguard", "wg3"])
        wait_until(lambda: host.run([WG, "show", "wg3"], check=False).returncode == 0, 5, process.output())
        host.ip("link", "set", "wg3", "up")
        wait_until(lambda: host.run([WG, "show", "wg3", "listen-port"]).stdout.strip() != "0", 3, "it does not see the device come up")
        check(process.stop() == 0, process.output())


def what_cannot_be_is_said_in_one_sentence():
    netlab.need_tun()
    with netlab.Lab() as lab:
        host = lab.host("ours", OURS)
        check(start(host, "wg0").returncode == 0, "no device")
        host.ip("link", "add", "other0", "type", "veth", "peer", "name", "other1")
        for name, sentence in (("wg0", "a name that no other device has"), ("other0", "a name that no other device has"),
                               ("a/b", "cannot be the name of a network device"), ("averyveryverylongname", "1 to 15 characters"),
                               ("..", "cannot be the name"), ("a b", "cannot be the name"), ("", "cannot be the name")):
            said = start(host, "-f", name)
            check(said.returncode == 1 and sentence in said.stderr and said.stderr.count("\n") == 1, f"{name!r}: {said.stderr}")
        other = lab.host("other", THEIRS)
        said = other.run(["/usr/bin/env", program(), "wireguard", "-f", "wg0"], ordinary=True, check=False)
        check(said.returncode == 1 and "needs root" in said.stderr, f"an ordinary user: {said.stderr}")
        check(host.run([WG, "show", "wg0"]).returncode == 0, "the first device suffered")


def what_a_killed_one_left_is_taken_over():
    netlab.need_tun()
    with netlab.Lab() as lab:
        host = lab.host("ours", OURS)
        check(start(host, "wg0").returncode == 0, "no device")
        (pid,) = processes("wg0", host)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "wg0" not in host.ip("link"), 3, "the device is still there")
        check((host.directory / "run/wireguard/wg0.sock").exists(), "nothing was left over, so this proves nothing")
        check(start(host, "wg0").returncode == 0 and host.run([WG, "show", "wg0"]).returncode == 0, "a left socket is in the way")


def a_name_is_free_as_soon_as_its_device_is_deleted():
    netlab.need_tun()
    with netlab.Lab() as lab:
        host = lab.host("ours", OURS)
        config = ["[Peer]", f"PublicKey = {new_random_key()}"]  # much to forget
        config += [f"AllowedIPs = {a}.{b}.0.0/16,{a:x}::{b:x}/128" for a in range(1, 256) for b in range(256)]
        for _ in range(3):
            said = start(host, "wg0")
            check(said.returncode == 0, said.stderr)
            host.run([WG, "setconf", "wg0", "/dev/stdin"], input="\n".join(config))
            host.ip("link", "del", "wg0")


def it_ends_well_however_it_ends():
    with device() as d:
        d.host.ip("link", "del", "wg0")
        check(d.process.wait(3) == 0, d.process.output())
        check(not (d.host.directory / "run/wireguard/wg0.sock").exists(), "the socket was left behind")
    for number in (signal.SIGTERM, signal.SIGINT):
        with device() as d:
            d.process.signal(number)
            check(d.process.wait(3) == 0 and "wg0" not in d.host.ip("link"), d.process.output())
            check(not (d.host.directory / "run/wireguard/wg0.sock").exists(), "the socket was left behind")


def its_log_names_no_key_and_no_address():
    with pair() as p:
        p.ping("ours")
        for words in (["private-key", "/dev/stdin"], ["peer", p.go.public_key, "endpoint", on(THEIRS[1])], ["fwmark", "5"]):
            p.node.wg("set", "wg0", *words, input=new_key()[0])
        uapi(p.ours, f"set=1\nprivate_key={KEY}\nnonsense={OTHER}\n\n")
        said = p.node.process.output()
        check("a session with a peer is up" in said and "a configuration was refused" in said, said)
        for secret in (*OURS, *THEIRS, OUR4, THEIR4, THEIR6, p.go.public_key, p.node.public_key, KEY[:16], OTHER[:16]):
            check(secret not in said, f"it says {secret}")


netlab.enter()
sys.exit(netlab.run_tests([
    its_configuration_protocol_is_that_of_wireguard_go, an_allowed_ip_is_taken_away_alone, a_scope_is_refused_with_a_sentence,
    a_hundred_thousand_allowed_ips_are_set_and_shown, wg_reads_back_what_it_wrote,
    wg_quick_brings_it_up_with_everything_through_it_and_down_without_a_trace, it_is_called_as_wireguard_go_is,
    descriptors_that_it_is_given_are_used, what_cannot_be_is_said_in_one_sentence, what_a_killed_one_left_is_taken_over,
    a_name_is_free_as_soon_as_its_device_is_deleted, it_ends_well_however_it_ends, its_log_names_no_key_and_no_address]))
