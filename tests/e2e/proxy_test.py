#!/usr/bin/python3
"""`macrovpn proxy` with outsiders that know nothing of us: curl, ssh through ncat, git, dig, Chromium, and bare sockets."""

import atexit
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from e2e import netlab, running_world
from macronet import Parties
from macronet import socks
from macronet.socks import Association, Socks
from macronet.world import WEB_ADDRESSES, WEB_NAME
from netlab import check

V4, V6 = WEB_ADDRESSES
NOBODYS = "198.51.100.250"  # the Internet's router says so two times, then once a second
NOBODY = 12345  # a user that is not ours

# what it is, host, port, SOCKS reply, HTTP status of CONNECT
CASES = [
    ("IPv4", V4, 80, socks.SUCCEEDED, 200),
    ("IPv6", V6, 80, socks.SUCCEEDED, 200),
    ("name", WEB_NAME, 80, socks.SUCCEEDED, 200),
    ("name without an address", "nowhere.test", 80, socks.NO_HOST, 502),
    ("name that no DNS can hold", "a..test", 80, socks.NO_HOST, 400),
    ("closed port", V4, 81, socks.REFUSED, 502),
    ("closed port, IPv6", V6, 81, socks.REFUSED, 502),
    ("mail", V4, 25, socks.FORBIDDEN, 403),
    ("mail, IPv6", V6, 25, socks.FORBIDDEN, 403),
    ("mail by name", WEB_NAME, 25, socks.FORBIDDEN, 403),
    ("private address", "10.0.0.1", 80, socks.FORBIDDEN, 403),
    ("private address, IPv6", "fd00::1", 80, socks.FORBIDDEN, 403),
    ("inside of the tunnel", "10.10.0.3", 80, socks.FORBIDDEN, 403),
    ("the proxy's own network", "10.10.128.1", 80, socks.FORBIDDEN, 403),
    ("loopback", "127.0.0.1", 80, socks.FORBIDDEN, 403),
    ("loopback, IPv6", "::1", 80, socks.FORBIDDEN, 403),
    ("address of nobody", NOBODYS, 80, socks.NO_NETWORK, 502),
]


class Running:
    """A proxy on the client's computer."""

    def __init__(self, world, *flags):
        self.world, self.host = world, world.client.host
        self.process = world.client.start("proxy", "--json", "--listen", "127.0.0.1:0", "--listen", "[::1]:0", *flags)
        said = self.process.wait_for_output("socks5", timeout=30)
        line = next(line for line in said.splitlines() if line.startswith("{"))
        self.v4, self.v6 = json.loads(line)["socks5"]
        self.at = ("127.0.0.1", int(self.v4.rpartition(":")[2]))
        self.at6 = ("::1", int(self.v6.rpartition(":")[2]))

    def curl(self, proxy, url, *more, timeout=20):
        return self.host.run(["curl", "-sS", "--max-time", timeout, "--proxy", proxy, *more, url], check=False, timeout=timeout + 10)

    def socks(self, user=None, at=None):
        with self.host.inside():
            return Socks(at or self.at, user)

    def http(self, text, at=None):
        """All that the proxy answers to some bytes."""
        with self.host.inside():
            connection = socket.create_connection(at or self.at, 40)
        with connection:
            connection.sendall(text if isinstance(text, bytes) else text.encode())
            said = b""
            with contextlib.suppress(ConnectionResetError):
                while part := connection.recv(65536):
                    said += part
        return said.decode(errors="replace")


@contextlib.contextmanager
def running_proxy(*client_flags, proxy_flags=(), **settings):
    with running_world(*client_flags, **settings) as world:
        yield world, Running(world, *proxy_flags)


_shared = []


def shared_proxy():
    """One world for all tests that leave it as it was. They come first: another world ends this one."""
    if not _shared:
        stack = contextlib.ExitStack()
        _shared.append(stack)
        _shared.append(stack.enter_context(running_proxy(relays=4, exits=1)))
        atexit.register(shutil.rmtree, _shared[1][0].shared, ignore_errors=True)
    return _shared[1]


def needed(program, package):
    if not shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin"):
        raise netlab.Skip(f"{program} is not installed (Debian package {package})")


def has_other_users():
    """An ordinary user's namespace knows one user alone."""
    return os.geteuid() == 0 and any(int(line.split()[2]) > NOBODY for line in open("/proc/self/uid_map"))


def exit_addresses(world):
    return {address for relay in world.exits for address in relay.host.addresses}


# ---- the table of cases


def bare_sockets_get_the_reply_codes_of_the_standard():
    _, proxy = shared_proxy()
    before = len(proxy.world.dns.queries())
    for what, host, port, code, _http in CASES:
        for at in (proxy.at, proxy.at6) if host != NOBODYS else (proxy.at,):
            with proxy.socks(at=at) as s:
                got = s.ask(socks.CONNECT, host, port)[0]
                check(got == code, f"{what}: {got}, not {code}")
                if code == socks.SUCCEEDED:
                    check(s.get().startswith("you are "), what)
    for address in WEB_ADDRESSES:  # sent as a name
        with proxy.socks() as s:
            check(s.ask(socks.CONNECT, address, 80, as_name=True)[0] == socks.SUCCEEDED, f"{address} as a name")
    asked = {query["name"] for query in proxy.world.dns.queries()[before:]}
    check(asked <= {WEB_NAME, "nowhere.test"}, f"the exits' name server was asked for {asked}")
    with proxy.socks() as s:
        check(s.ask(socks.BIND, V4, 80)[0] == socks.NO_COMMAND, "BIND")
    with proxy.socks() as s:
        s.connection.sendall(b"\x05\x01\x00\x07abc")
        check(s.reply()[0] == socks.NO_TYPE, "an unknown type of address")
    with proxy.host.inside():
        connection = socket.create_connection(proxy.at, 5)
    with connection:
        connection.sendall(b"\x05\x01\x01")  # only GSSAPI
        check(socks.receive(connection, 2) == b"\x05\xff", "a method that we do not know")
    return f"{len(CASES)} cases"


def http_connect_gets_the_status_of_each_case():
    _, proxy = shared_proxy()
    for what, host, port, _code, status in CASES:
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        request = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"
        said = proxy.http(request + ("GET / HTTP/1.0\r\n\r\n" if status == 200 else ""))
        check(said.startswith(f"HTTP/1.1 {status} "), f"{what}: {said[:200]}")
        check("you are " in said if status == 200 else len(said.partition("\r\n\r\n")[2].splitlines()) == 1, f"{what}: {said}")


def curl_passes_the_cases_by_socks_and_by_http():
    world, proxy = shared_proxy()
    exits = exit_addresses(world)
    for what, host, port, code, status in CASES:
        url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
        if host == NOBODYS:
            continue
        for way in (f"socks5h://{proxy.v4}", f"socks5h://{proxy.v6}"):
            got = proxy.curl(way, url)
            if code == socks.SUCCEEDED:
                check(got.stdout.split()[-1:] and got.stdout.split()[-1] in exits, f"{what}: {got.stdout}{got.stderr}")
            elif host != "a..test":  # which curl does not send
                check(got.returncode == 97 and f"({code})" in got.stderr, f"{what}: {got.returncode} {got.stderr}")
        got = proxy.curl(f"http://{proxy.v4}", url, "--proxytunnel", "-w", "%{http_connect}")
        check(got.stdout.endswith(str(status)) or host == "a..test", f"{what}, CONNECT: {got.stdout}{got.stderr}")
        got = proxy.curl(f"http://{proxy.v4}", url, "-w", "%{http_code}")
        check(got.stdout.endswith(str(status)) or host == "a..test", f"{what}, forwarded: {got.stdout}{got.stderr}")
    got = proxy.curl(f"socks5://{proxy.v4}", f"http://{V4}/")
    check(got.stdout.split()[-1] in exits, got.stdout + got.stderr)


# What ncat says of a reply code of SOCKS, on standard error; of HTTP it tells the number.
NCAT_SAYS = {socks.FORBIDDEN: "connection not allowed by ruleset", socks.NO_NETWORK: "network unreachable",
             socks.NO_HOST: "host unreachable", socks.REFUSED: "connection refused"}


def ssh_through_ncat_passes_the_cases():
    """Every case of the table. Where a web server answers there, ssh calls its own server, on port 22 of the same computer."""
    needed("ncat", "ncat")
    needed("ssh", "openssh-client")
    needed("dropbear", "dropbear-bin")
    if not has_other_users():
        raise netlab.Skip("an ssh server needs to be root to let anybody in")
    world, proxy = shared_proxy()
    with tempfile.TemporaryDirectory() as folder:
        ssh = ssh_server(world.web_host, pathlib.Path(folder))
        for kind, at in (("socks5", proxy.v4), ("http", proxy.v4), ("socks5", proxy.v6)):
            for what, host, port, code, status in CASES:
                if at == proxy.v6 and host == NOBODYS:
                    continue  # the router would not say so as often
                way = f"ncat --proxy {at} --proxy-type {kind} --proxy-dns remote %h %p"
                words = [*ssh, "-o", f"ProxyCommand={way}", "-p", 22 if code == socks.SUCCEEDED else port, f"root@{host}", "echo", "$SSH_CONNECTION"]
                got = proxy.host.run(words, check=False, timeout=60)
                if code == socks.SUCCEEDED:
                    check(got.stdout.split()[:1] and got.stdout.split()[0] in exit_addresses(world), f"{kind}, {what}: {got.stdout}{got.stderr}")
                    continue
                why = NCAT_SAYS[code] if kind == "socks5" else f"status code {status}"
                check(got.returncode == 255 and got.stdout == "" and why in got.stderr.lower(), f"{kind}, {what}: {got.returncode} {got.stdout}{got.stderr}")
    return f"{len(CASES)} cases"


def ssh_server(host, folder):
    """Starts an ssh server with throw-away keys; gives the words of an ssh command that it lets in."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "user"], check=True)
    subprocess.run(["dropbearkey", "-t", "ed25519", "-f", folder / "host"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    # It reads the keys of those it lets in from root's folder, of which it sees one of its own.
    host.start(["sh", "-c", f"mount -t tmpfs -o mode=700 tmpfs /root && mkdir -m 700 /root/.ssh && cp {folder}/user.pub "
                f"/root/.ssh/authorized_keys && chmod 600 /root/.ssh/authorized_keys && exec dropbear -F -E -s -m -r {folder}/host -P {folder}/pid -p 22"])
    host.wait_for_port(22)
    return ["ssh", "-F", "none", "-i", folder / "user", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20"]


def git_clones_over_http_through_both_kinds():
    needed("git", "git")
    world, proxy = shared_proxy()
    with tempfile.TemporaryDirectory() as folder:
        site = pathlib.Path(folder) / "site"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
        subprocess.run(["git", "init", "-q", "-b", "main", f"{folder}/work"], **quiet)
        subprocess.run(["git", "-C", f"{folder}/work", "-c", "user.name=a", "-c", "user.email=a@a.test", "commit", "-q",
                        "--allow-empty", "-m", "first"], **quiet)
        subprocess.run(["git", "clone", "-q", "--bare", f"{folder}/work", site / "a.git"], **quiet)
        subprocess.run(["git", "-C", site / "a.git", "update-server-info"], **quiet)
        world.web_host.start(["/usr/bin/python3", "-m", "http.server", "8080", "--directory", site])
        world.web_host.wait_for_port(8080)
        for way in (f"socks5h://{proxy.v4}", f"http://{proxy.v4}"):
            target = f"{folder}/{way[:4]}"
            proxy.host.run(["git", "-c", f"http.proxy={way}", "clone", "-q", f"http://{WEB_NAME}:8080/a.git", target], timeout=60)
            said = subprocess.run(["git", "-C", target, "log", "--format=%s"], capture_output=True, text=True, check=True)
            check(said.stdout == "first\n", said.stdout)


def dig_asks_by_tcp_through_ncat_and_datagrams_go_by_an_association():
    world, proxy = shared_proxy()
    question = bytes.fromhex("123401000001000000000000") + b"\3www\4shop\4test\0\0\1\0\1"
    for at in (proxy.at, proxy.at6):
        with proxy.host.inside():
            association = Association(at)
        with association as a:
            a.send("10.0.0.1", 53, question)             # goes nowhere
            a.send("192.0.2.53", 53, question, fragment=1)  # nor does a fragment
            a.send("192.0.2.53", 53, question)
            data, source = a.receive()
            check(data[:2] == question[:2] and source == "192.0.2.53", f"{source}: {data.hex()}")
            a.send("10.10.0.1", 53, question)  # the tunnel's own resolver
            check(a.receive()[1] == "10.10.0.1", "the resolver did not answer")
    echo = world.web_host.start(["/usr/bin/python3", "-u", "-c", ECHO, "7"])
    echo.wait_for_output("ready")
    with proxy.host.inside():
        association = Association(proxy.at)
    with association as a:
        for host in (V4, V6, WEB_NAME):
            a.send(host, 7, b"x" * 1200)
            check(a.receive()[0] == b"x" * 1200, host)
        a.connection.close()  # the association ends with its connection
        time.sleep(0.3)
        a.send(V4, 7, b"late")
        a.socket.settimeout(1)
        try:
            check(False, f"it still answers: {a.receive()}")
        except (TimeoutError, ConnectionRefusedError):
            pass
    needed("dig", "bind9-dnsutils")
    needed("ncat", "ncat")
    way = f"ncat --proxy {proxy.v4} --proxy-type socks5 192.0.2.53 53"
    proxy.host.start(["ncat", "-lk", "127.0.0.1", "5353", "--sh-exec", way])
    proxy.host.wait_for_port(5353)
    for kind, address in zip(("A", "AAAA"), WEB_ADDRESSES):
        said = proxy.host.run(["dig", "+tcp", "+short", "+time=10", "-p", "5353", "@127.0.0.1", WEB_NAME, kind]).stdout
        check(said.strip() == address, said)


ECHO = """
import socket, sys, threading
def serve(family):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind(("", int(sys.argv[1])))
    while True: s.sendto(*s.recvfrom(65536))
for f in (socket.AF_INET, socket.AF_INET6): threading.Thread(target=serve, args=(f,)).start()
print("ready")
"""


def chromium_opens_a_page_by_name():
    needed("chromium", "chromium")
    world, proxy = shared_proxy()
    with Parties(world) as parties, tempfile.TemporaryDirectory() as folder:
        for way in ("socks5", "http"):
            said = proxy.host.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/{way}",
                                   "--disable-background-networking", f"--proxy-server={way}://{proxy.v4}", "--dump-dom",
                                   f"http://{WEB_NAME}/"], timeout=90, check=False)
            check("you are " in said.stdout, f"{way}: {said.stdout}{said.stderr[-2000:]}")
        check(exit_addresses(world) >= world.web.clients(), f"the site saw {world.web.clients()}")
        check(parties.left_the_client_outside_the_tunnel() == [], "packets outside of the tunnel")


# ---- who gets in


def another_users_connection_gets_nothing():
    if not has_other_users():
        raise netlab.Skip("needs root, to be two users")
    with running_proxy(relays=4, exits=1) as (world, proxy):
        as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
        curl = ["curl", "-sS", "--max-time", "5"]
        for way in (f"socks5h://{proxy.v4}", f"socks5h://{proxy.v6}", f"http://{proxy.v4}"):
            own = proxy.host.run([*curl, "--proxy", way, f"http://{V4}/"], check=False)
            check(own.returncode == 0, f"our own connection: {own.stderr}")
            got = proxy.host.run([*as_nobody, *curl, "--proxy", way, f"http://{V4}/"], check=False)
            check(got.returncode != 0 and got.stdout == "", f"another user got {got.stdout}")
        # Nor a datagram into an association of ours.
        with proxy.host.inside():
            association = Association(proxy.at)
        with association as a:
            question = bytes.fromhex("000000") + socks.encode_host("192.0.2.53", 53) + bytes.fromhex("abcd01000001000000000000") \
                + b"\3www\4shop\4test\0\0\1\0\1"
            send = ("import socket,sys; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2);"
                    f"s.sendto(bytes.fromhex('{question.hex()}'), {a.relay!r});"
                    "\ntry: print(s.recv(512)[:2])\nexcept OSError: print('nothing')")
            got = proxy.host.run([*as_nobody, "/usr/bin/python3", "-c", send])
            check(got.stdout.strip() == "nothing", f"another user's datagram was answered: {got.stdout}")
            check(all(q["name"] != WEB_NAME or q["transport"] != "udp" or q["client"] not in exit_addresses(world)
                      for q in world.dns.queries()), "another user's datagram went out")
            a.socket.sendto(question, a.relay)
            check(a.socket.recv(512), "our own datagram")
        proxy.process.stop()
        said = proxy.process.output()
        check("4 of other users refused" in said or "3 of other users refused" in said, said)


def a_web_page_gets_nothing():
    world, proxy = shared_proxy()
    before = len(world.web.requests())
    body = b"\x05\x01\x00\x05\x01\x00\x01" + socket.inet_aton(V4) + b"\x00\x50GET / HTTP/1.0\r\n\r\n"
    for request in (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.test\r\n\r\n",
                    b"OPTIONS / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccess-Control-Request-Method: POST\r\n\r\n",
                    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body),
                    b"POST /http://%s/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % V4.encode(),
                    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\nCONNECT %s:80 HTTP/1.1\r\n\r\n" % V4.encode()):
        said = proxy.http(request)
        check(said.startswith("HTTP/1.1 400 ") and "Access-Control" not in said and said.count("HTTP/1.1") == 1, said)
    check(world.web.requests()[before:] == [], f"something came through: {world.web.requests()[before:]}")
    # A second request on a forwarded connection goes nowhere either, least of all to the first one's server.
    first = f"GET http://{WEB_NAME}/slow/1 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic eDp5\r\n\r\n"
    second = f"GET http://{WEB_NAME}/secret HTTP/1.1\r\nHost: other.test\r\nCookie: secret\r\n\r\n"
    proxy.http(first + second)
    with proxy.host.inside():
        connection = socket.create_connection(proxy.at, 5)
    with connection:
        connection.sendall(first.encode())
        while not any(request["path"] == "/slow/1" for request in world.web.requests()[before:]):
            time.sleep(0.01)
        connection.sendall(second.encode())
        with contextlib.suppress(ConnectionResetError):
            check(connection.recv(1) == b"", "it was answered")
    check(all("secret" not in str(request) for request in world.web.requests()), f"{world.web.requests()}")


# ---- groups


def each_user_name_has_a_circuit_and_a_lease_of_its_own_at_the_same_exit():
    with running_proxy("--hops", "3", exits=1) as (world, proxy):
        def circuits():
            found = [c for c in world.client.status()["circuits"] if c.get("group", "").startswith("proxy-") and c["state"] == "ready"]
            return {c.get("slot", 0): c for c in found}
        for user in ("", "annabel:x@", "benedict:x@"):
            got = proxy.curl(f"socks5h://{user}{proxy.v4}", f"http://{WEB_NAME}/")
            check(got.stdout.startswith("you are "), f"{user}: {got.stdout}{got.stderr}")
        before = circuits()
        check(sorted(before) == [0, 1, 2] and len({c["id"] for c in before.values()}) == 3, f"{before}")
        leases = world.exits[0].status()["relay"]["leases"]
        check(leases >= 3, f"the exit has {leases} leases")
        # The same name by another protocol and another port is the same group; so is one by IPv6.
        got = proxy.curl(f"http://annabel:y@{proxy.v6}", f"http://[{V6}]/bytes/100000", "-o", "/dev/null", "-w", "%{size_download}")
        check(got.stdout == "100000", got.stdout + got.stderr)
        after = circuits()
        check(sorted(after) == [0, 1, 2], f"{after}")
        check(after[1]["bytes_in"] > before[1]["bytes_in"] + 100_000, f"annabel's circuit did not carry it: {before} {after}")
        check(after[2]["bytes_in"] < before[2]["bytes_in"] + 10_000 and after[0]["bytes_in"] < before[0]["bytes_in"] + 10_000,
              "another circuit carried some of it")
        # Datagrams and lookups of names too.
        with proxy.host.inside():
            association = Association(proxy.at, "cleopatra")
        with association as a:
            a.send("192.0.2.53", 53, bytes.fromhex("123401000001000000000000") + b"\3www\4shop\4test\0\0\1\0\1")
            a.receive()
        check(sorted(circuits()) == [0, 1, 2, 3], "the association has no circuit of its own")
        said = json.dumps(world.client.status()) + world.client.process.output() + proxy.process.output()
        check(not any(name in said for name in ("annabel", "benedict", "cleopatra")), "a user name is told")
        return f"{leases} leases"


# ---- what leaves


def nothing_leaves_outside_the_tunnel_and_nothing_at_all_without_a_daemon():
    with running_proxy() as (world, proxy):
        with Parties(world) as parties:
            for url in (f"http://{WEB_NAME}/", f"http://{V4}/", f"http://[{V6}]/", "http://nowhere.test/", f"http://{V4}:25/"):
                proxy.curl(f"socks5h://{proxy.v4}", url)
            with proxy.host.inside():
                association = Association(proxy.at)
            with association as a:
                a.send("192.0.2.53", 53, bytes.fromhex("123401000001000000000000") + b"\3www\4shop\4test\0\0\1\0\1")
                a.receive()
            world.client.process.kill9()
            started = time.monotonic()
            proxy.process.wait_for_output("the daemon has ended")
            with proxy.socks() as s:
                check(s.ask(socks.CONNECT, V4, 80)[0] == socks.NO_NETWORK, "connected without a daemon")
            check("503" in proxy.http(f"CONNECT {V4}:80 HTTP/1.1\r\n\r\n").partition("\r\n")[0], "HTTP without a daemon")
            check(time.monotonic() - started < 3, "it took long to say so")
            world.start_client()
            proxy.process.wait_for_output("a daemon runs again")
            got = proxy.curl(f"socks5h://{proxy.v4}", f"http://{WEB_NAME}/")
            check(got.stdout.startswith("you are "), f"after a restart: {got.stdout}{got.stderr}")
            time.sleep(0.3)
        check(parties.capture.drops() == 0, "the captures missed packets")
        leaked = parties.left_the_client_outside_the_tunnel()
        check(leaked == [], f"left the client: {leaked[:5]}")


def half_closed_connections_and_large_files_go_through():
    world, proxy = shared_proxy()
    server = world.web_host.start(["/usr/bin/python3", "-u", "-c", COUNT, "9"])
    server.wait_for_output("ready")
    with proxy.socks() as s:
        check(s.ask(socks.CONNECT, V4, 9)[0] == socks.SUCCEEDED, "no connection")
        s.connection.sendall(b"z" * 300_000)
        s.connection.shutdown(socket.SHUT_WR)
        check(socks.receive(s.connection, 6) == b"300000", "the end was not passed on")
    for way in (f"socks5h://{proxy.v4}", f"http://{proxy.v4}"):
        got = proxy.curl(way, f"http://{WEB_NAME}/bytes/20000000", "-o", "/dev/null", "-w", "%{size_download}")
        check(got.stdout == "20000000", got.stdout + got.stderr)
        got = proxy.curl(way, f"http://{WEB_NAME}/sink", "--data-binary", "@/etc/services", "-H", "Expect:")
        check(got.stdout.strip() == str(os.path.getsize("/etc/services")), got.stdout + got.stderr)


COUNT = """
import socket, sys
s = socket.create_server(("", int(sys.argv[1])))
print("ready")
c, _ = s.accept()
n = 0
while part := c.recv(65536): n += len(part)
c.sendall(str(n).encode())
"""


def bad_words_on_the_command_line_get_one_sentence():
    with running_world(relays=4, exits=1) as world:
        for flags, part in ((["--listen", "0.0.0.0:1080"], "loopback only"), (["--listen", f"{world.client.host.ip4}:1080"], "loopback only"),
                            (["--listen", "1080"], "needs an address and a port"), (["--device", "tap"], "must be tun or veth")):
            got = world.client.command("proxy", *flags, check=False)
            check(got.returncode != 0 and part in got.stderr and len(got.stderr.splitlines()) == 1, f"{flags}: {got.stderr}")
        proxy = Running(world)
        got = world.client.command("proxy", "--listen", proxy.v4, check=False)
        check(got.returncode == 1 and "is in use" in got.stderr and len(got.stderr.splitlines()) == 1, got.stderr)
        proxy.process.signal(15)
        check(proxy.process.wait(5) == 0, proxy.process.output())


netlab.enter()
raise SystemExit(netlab.run_tests([
    bare_sockets_get_the_reply_codes_of_the_standard,
    http_connect_gets_the_status_of_each_case,
    curl_passes_the_cases_by_socks_and_by_http,
    ssh_through_ncat_passes_the_cases,
    git_clones_over_http_through_both_kinds,
    dig_asks_by_tcp_through_ncat_and_datagrams_go_by_an_association,
    half_closed_connections_and_large_files_go_through,
    a_web_page_gets_nothing,
    chromium_opens_a_page_by_name,
    another_users_connection_gets_nothing,
    each_user_name_has_a_circuit_and_a_lease_of_its_own_at_the_same_exit,
    nothing_leaves_outside_the_tunnel_and_nothing_at_all_without_a_daemon,
    bad_words_on_the_command_line_get_one_sentence,
]))
