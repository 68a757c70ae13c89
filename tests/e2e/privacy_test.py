#!/usr/bin/python3
"""After a whole session nothing that was written names whom it concerned; root's kernel exit works as the rootless one."""

import ipaddress
import os
import pathlib

from e2e import netlab, running_world
from macronet.world import HOME_ADDRESS, WEB_ADDRESSES, WEB_NAME
from netlab import check


def forms_of(address):
    packed = ipaddress.ip_address(address).packed
    return [address.encode(), packed] if len(packed) == 16 else [address.encode(), packed, packed.hex().encode()]


def files_under(folder):
    return [path for path in pathlib.Path(folder).rglob("*") if path.is_file() and not path.is_symlink()]


def no_file_and_no_line_names_a_party_that_the_user_did_not_configure():
    with running_world() as world:
        world.run("curl", "-sS", "-o", "/dev/null", "--max-time", "10", f"http://{WEB_NAME}/bytes/100000")
        world.run("curl", "-sS", "-o", "/dev/null", "--max-time", "10", f"http://[{WEB_ADDRESSES[1]}]/", check=False)
        world.client.command("hop", check=False)
        world.run("curl", "-sS", "-o", "/dev/null", "--max-time", "10", f"http://{WEB_ADDRESSES[0]}/")
        world.run("curl", "-sS", "-o", "/dev/null", "--max-time", "3", "http://no-such-name.test/", check=False)
        status = world.client.command("status").stdout + world.client.command("status", "--json").stdout
        nodes = [world.client, *world.relays]
        for node in nodes:
            node.process.stop()
        # The user, the site, its name, and that it was looked up where.  Relays' own addresses are in descriptors and
        # settings: the directory, and what their operators configured.
        secrets = [form for address in (HOME_ADDRESS, *WEB_ADDRESSES, *world.client.host.addresses) for form in forms_of(address)]
        secrets += [WEB_NAME.encode(), b"shop", b"no-such-name"]
        searched = 0
        for node in nodes:
            files = files_under(node.state) + files_under(node.host.home) + [node.process.log]
            for path in set(files):
                data = path.read_bytes()
                searched += 1
                for secret in secrets:
                    check(secret not in data, f"{path.name} of {node.name} holds {secret!r}")
            if node is not world.client:
                continue
            # The client's own log and state name no relay either.
            for path in [node.process.log, *(p for p in files_under(node.state) if "descriptors" not in str(p))]:
                for relay in world.relays:
                    check(relay.host.ip4.encode() not in path.read_bytes(), f"{path.name} names a relay's address")
        for secret in secrets:
            check(secret not in status.encode(), f"status shows {secret!r}")
        check(searched > 20, f"only {searched} files were searched")
        return f"{searched} files"


def the_kernel_exit_carries_tcp_udp_and_names_as_root():
    if os.environ.get("NETLAB_OUTER_UID", str(os.getuid())) != "0":
        raise netlab.Skip("needs root's own network namespaces")
    with running_world(exit_kind="kernel", ordinary_relays=False) as world:
        for target in (f"http://{WEB_NAME}/", f"http://[{WEB_ADDRESSES[1]}]/"):
            got = world.run("curl", "-sS", "--max-time", "10", target, check=False)
            check(got.returncode == 0 and got.stdout.startswith("you are "), f"{target}: {got.stderr}")
        refused = world.run("curl", "-sS", "--max-time", "4", "http://10.0.0.1/", check=False)
        check(refused.returncode != 0, "a private address was reached")
        world.client.process.stop()  # or the exits would wait for it
        for relay in world.exits:
            relay.process.stop()
            check("macrovpn" not in relay.host.run(["/usr/sbin/nft", "list", "tables"]).stdout, "rules were left behind")


netlab.enter()
raise SystemExit(netlab.run_tests([
    no_file_and_no_line_names_a_party_that_the_user_did_not_configure,
    the_kernel_exit_carries_tcp_udp_and_names_as_root,
]))
