#!/usr/bin/python3
"""A note put on one computer is read on another, whatever happens to some of the relays that keep it; what goes wrong is said."""

import base64
import json
import os
import shlex
import signal
import time

import e2e  # noqa: F401  (the way to the laboratory)
import netlab
from macronet import World
from macronet.world import Node
from netlab import check

N = 9
TOO_LONG = 868 + 1


def answer(node, *words, **options):
    return json.loads(node.command("dht", *words, "--json", **options).stdout)


def refused(node, *words, says, status):
    said = node.command("dht", *words, check=False)
    check(said.returncode == status, f"{words} ended with {said.returncode}: {said.stdout}{said.stderr}")
    check(says in said.stderr and said.stderr.count("\n") == 1, f"{words}: {said.stderr!r}")


def what_one_puts_another_gets(world):
    world.owner = world.client.command("dht", "owner").stdout.strip()
    key = os.stat(f"{world.client.state}/records.key")
    check(key.st_mode & 0o077 == 0, "others can read the owner's key")
    started = time.monotonic()
    said = answer(world.client, "put", "--name", "door", "it is open")
    put = time.monotonic() - started
    check(said["owner"] == world.owner and said["outcome"] == "stored" and said["enough"], said)
    check(said["holders"] >= N - 4, f"{said}: all but those of its own circuit should have it")
    started = time.monotonic()
    raw = world.other.command("dht", "get", world.owner, "door").stdout
    check(raw == "it is open", repr(raw))
    got = time.monotonic() - started
    check(answer(world.other, "get", world.owner, "door")["value"] == "it is open", "JSON")
    held = [relay.status()["relay"]["records"] for relay in world.relays]
    check(sum(held) == said["holders"], f"{held} are kept, {said['holders']} said so")
    world.client.command("dht", "put", "--name", "door", "it is shut")
    check(world.other.command("dht", "get", world.owner, "door").stdout == "it is shut", "the later one does not count")
    check(world.client.command("dht", "get", "me", "door").stdout == "it is shut", "me")
    return f"{said['holders']} of {said['asked']} relays after {put * 1000:.0f} ms, read after {got * 1000:.0f} ms"


def all_bytes_come_as_they_were(world):
    value = bytes(range(256)) * 3 + b"x" * 100
    check(len(value) == TOO_LONG - 1, len(value))
    file = world.client.host.home / "value"
    file.write_bytes(value)
    argv = world.client.argv("dht", "put", "--name", "bytes", "-")
    world.client.host.run(["sh", "-c", 'exec "$@" < ' + str(file), "sh", *argv], ordinary=world.client._ordinary)
    said = answer(world.other, "get", world.owner, "bytes")
    check(base64.b64decode(said["value_base64"]) == value and "value" not in said, "the value is another one")


def a_dead_holder_costs_three_seconds(world):
    path = {hop["id"] for c in world.other.status()["circuits"] for hop in c["path"]}
    victim = next(relay for relay in world.relays if relay.relay_id not in path and relay.status()["relay"]["records"])
    victim.process.signal(signal.SIGKILL)
    victim.process.wait()
    started = time.monotonic()
    check(world.other.command("dht", "get", world.owner, "door").stdout == "it is shut", "not found")
    took = time.monotonic() - started
    check(2.5 < took < 5, f"{took:.1f} s")
    world.start_relay(victim)
    world._when_answering(victim)
    return f"found after {took:.1f} s"


def what_is_not_there_is_not_found(world):
    started = time.monotonic()
    refused(world.other, "get", world.owner, "window", says="no relay keeps a record \"window\" of that owner", status=1)
    refused(world.other, "get", "ab" * 32, "door", says="no relay keeps a record", status=1)
    refused(world.other, "get", world.owner, "door", "--service", "payments", says="no relay keeps a record", status=1)
    return f"said after {(time.monotonic() - started) / 3:.1f} s each"


def wrong_words_are_refused(world):
    refused(world.client, "put", "x" * TOO_LONG, says=f"too long: 868 bytes at most, this has {TOO_LONG}", status=2)
    refused(world.client, "put", "x", "--ttl", "25 h", says="--ttl", status=2)
    refused(world.client, "put", "x", "--ttl", "soon", says="--ttl", status=2)
    refused(world.client, "put", "x", "--name", "n" * 256, says="--name", status=2)
    refused(world.other, "get", "xyz", says="is no owner", status=2)
    refused(world.other, "get", world.owner[:-2], says="is no owner", status=2)
    key = world.client.host.home / "no.key"
    key.write_text("not a key\n")
    key.chmod(0o600)
    os.chown(key, os.stat(world.client.state).st_uid, -1)
    refused(world.client, "put", "x", "--key-file", str(key), says="holds no signing key", status=1)


def it_expires(world):
    world.client.command("dht", "put", "--name", "short", "--ttl", "4 s", "for a moment")
    check(world.other.command("dht", "get", world.owner, "short").stdout == "for a moment", "not there")
    time.sleep(4)
    refused(world.other, "get", world.owner, "short", says="no relay keeps", status=1)


def a_terminal_sees_no_control_characters(world):
    world.client.command("dht", "put", "--name", "evil", "\x1b]0;title\x07 \u009b31m red")
    words = shlex.join(world.other.argv("dht", "get", world.owner, "evil"))
    seen = world.other.host.run(["/usr/bin/script", "-qec", words, "/dev/null"]).stdout
    check("\x1b" not in seen.replace("\x1b[K", "") and "\u009b" not in seen and "\\x1b]0;title\\x07 \\x9b31m red" in seen, repr(seen))


def without_a_daemon_that_is_said(world):
    world.other.command("down", check=False)
    world.other.process.signal(signal.SIGTERM)
    world.other.process.wait()
    refused(world.other, "get", world.owner, "door", says="not connected: no daemon is running", status=3)


netlab.enter()
with netlab.Lab() as the_lab, World(the_lab, relays=N, exits=3, exit_v6=False, client_v6=False, live=True) as the_world:
    router = the_lab.nat("elsewhere", wan=["203.0.113.20"])
    the_world.other = Node(the_lab.host("other", behind="elsewhere"))
    the_world.up()
    the_world.join_by_invite(node=the_world.other)
    the_world.other.process = the_world.other.start("daemon")
    the_world._when_answering(the_world.other)
    the_world.other.wait("a circuit", lambda s: s["state"] == "connected")
    for one in (the_world.client, the_world.other):
        one.wait("knowing all relays", lambda s: s["relays_known"] >= N, 40)
    tests = [what_one_puts_another_gets, all_bytes_come_as_they_were, a_dead_holder_costs_three_seconds, what_is_not_there_is_not_found,
             wrong_words_are_refused, it_expires, a_terminal_sees_no_control_characters, without_a_daemon_that_is_said]

    def of_the_world(test):
        def run():
            return test(the_world)
        run.__name__ = test.__name__
        return run

    code = netlab.run_tests([of_the_world(test) for test in tests])
raise SystemExit(code)
