#!/usr/bin/python3
"""What a relay's operator allows holds under load: rate, monthly amount, hours, and an end that nobody notices."""

import pathlib
import signal
import time

import e2e  # noqa: F401  (the way to the laboratory)
import netlab
from macronet import World
from macronet.world import WEB_NAME
from netlab import check


def wait_for(what, condition, timeout):
    deadline = time.monotonic() + timeout
    while not condition():
        check(time.monotonic() < deadline, f"{what} did not happen within {timeout} s")
        time.sleep(0.02)


def restart(world, relay, *words):
    """The relay runs again, with these limits."""
    relay.process.stop()
    command = ["relay", "--listen", f"{relay.host.ip4}:51820", *words]
    if relay in world.exits:
        command += ["--exit", "--accept-exit-risk", "--exit-kind", "rootless"]
    relay.process = relay.start(*command)
    world._when_answering(relay)


def pinned_world(lab, **settings):
    """Three relays, one way through them; the client does not run yet."""
    world = World(lab, relays=3, exits=1, **settings)
    world.make_network()
    world.start_relays()
    return world


def pin(world):
    world.start_client("--path", ",".join(relay.relay_id for relay in world.relays))


def download(world, target, size, *options):
    return world.start_run("curl", "-sS", "--max-time", "60", *options, "-o", str(target), f"http://{WEB_NAME}/bytes/{size}")


def carried(relay):
    return relay.status()["relay"]["total_bytes"]


def a_rate_of_20_mbit_s_holds_at_the_guard_and_at_the_exit():
    rate, said = 2_500_000, []
    for place in (0, 2):
        with netlab.Lab() as lab, pinned_world(lab, delay_ms=10) as world:
            relay = world.relays[place]
            restart(world, relay, "--rate", "20 Mbit/s")
            pin(world)
            target = pathlib.Path(world.client.host.home) / "download"
            process = download(world, target, 200_000_000)
            wait_for("the download", lambda: target.exists() and target.stat().st_size > 500_000, 20)
            time.sleep(1)  # the first burst is over
            began, before, file_before = time.monotonic(), carried(relay), target.stat().st_size
            time.sleep(5)
            bytes_, file_bytes = carried(relay) - before, target.stat().st_size - file_before
            seconds = time.monotonic() - began
            process.stop()
            share, good = bytes_ / seconds / rate, file_bytes / seconds / rate
            check(share <= 1.08, f"{relay.name} carried {share:.2f} of its rate")
            check(file_bytes / seconds <= rate * 1.08, f"the download took {file_bytes / seconds * 8e-6:.1f} Mbit/s")
            check(good >= 0.5, f"only {good:.2f} of the rate was useful")
            check(relay.status()["relay"]["packets_over_the_rate"] > 0, "nothing was over the rate")
            said.append(f"{relay.name} carried {share:.3f} of its rate, the download got {good:.2f}")
    return "; ".join(said)


def the_monthly_amount_ends_service_and_survives_kill_9():
    amount = 20_000_000
    with netlab.Lab() as lab, pinned_world(lab) as world:
        middle = world.relays[1]
        restart(world, middle, "--month", "20 MB", "--drain", "5")
        pin(world)
        target = pathlib.Path(world.client.host.home) / "download"
        process = download(world, target, 100_000_000, "--limit-rate", "8M")
        wait_for("half of the amount", lambda: carried(middle) > amount // 2, 20)
        before = carried(middle)
        middle.process.kill9()
        restart(world, middle, "--month", "20 MB", "--drain", "5")
        after = carried(middle)
        # 1/200 of the amount, and what came in a tick of 250 ms and before the kill.
        check(after >= before - amount // 200 - 2_000_000, f"{before} bytes were counted before the kill, {after} after it")
        process.stop()
        process = download(world, target, 100_000_000)
        status = middle.wait("resting", lambda s: s["relay"]["service"] == "closed", 30)["relay"]
        process.stop()
        check(status["why"] == "amount" and amount <= status["month_bytes"] <= amount * 1.02, f"{status}")
        check(status["legs"] == 0, "legs are left")
        middle.process.kill9()
        restart(world, middle, "--month", "20 MB")
        status = middle.wait("resting again", lambda s: s["relay"]["service"] == "closed", 10)["relay"]
        text = middle.command("status").stdout
        check("the month's amount is used up" in text and "of 20.0 MB this month" in text, text)
        return f"{status['month_bytes']} bytes of {amount}; {before - after} bytes less after kill -9"


def a_relay_that_ends_moves_its_circuits_first():
    with netlab.Lab() as lab, World(lab, relays=7, delay_ms=5) as world:
        world.up()
        target = pathlib.Path(world.client.host.home) / "download"
        size = 60_000_000
        process = download(world, target, size, "--limit-rate", "8M")
        wait_for("the download", lambda: target.exists() and target.stat().st_size > 5_000_000, 30)
        old = world.active()
        middle = world.path_of(old)[1]
        ended = time.monotonic()
        middle.process.signal(signal.SIGTERM)
        wait_for("leaving the middle", lambda: (now := world.active()) and now["id"] != old["id"], 5)
        took = time.monotonic() - ended
        check(middle.relay_id not in [hop["id"] for hop in world.active()["path"]], "the new circuit uses it again")
        check(middle.process.wait(20) == 0, f"it ended with {middle.process.exit_code}")
        drained = time.monotonic() - ended
        check(drained < 10, f"it took {drained:.1f} s to end")
        largest, last, stall = 0.0, target.stat().st_size, time.monotonic()
        while process.running:
            time.sleep(0.01)
            grown = target.stat().st_size
            if grown != last:
                largest, last, stall = max(largest, time.monotonic() - stall), grown, time.monotonic()
        check(process.wait(60) == 0 and target.stat().st_size == size, f"the download broke: {process.output()[-300:]}")
        leases = world.client.status()["leases"]
        check(leases["lost"] == 0 and leases["moved"] >= 1, f"{leases}")
        check(took < 1.5, f"the lease moved only after {took:.2f} s")  # a crash is noticed after 1 s at the earliest
        return f"the circuit was replaced {took * 1000:.0f} ms after SIGTERM, the relay ended after {drained:.1f} s"


def an_exit_that_ends_is_left_for_another_and_a_second_signal_ends_at_once():
    with netlab.Lab() as lab, World(lab, relays=6) as world:
        world.up()
        program = world.start_run("sh", "-c", f"while :; do curl -sS -o /dev/null --max-time 3 http://{WEB_NAME}/ && echo page; sleep 0.1; done")
        wait_for("a page", lambda: "page" in program.output(), 15)
        old = world.active()
        exit_node = world.path_of(old)[-1]
        exit_node.process.signal(signal.SIGTERM)
        wait_for("another exit", lambda: (now := world.active()) and now["path"][-1]["id"] != exit_node.relay_id, 5)
        check(exit_node.process.wait(15) == 0, "the exit did not end well")
        pages = program.output().count("page")
        wait_for("pages by the other exit", lambda: program.output().count("page") > pages, 10)
        # The last exit: there is nowhere to go, so it would wait; a second signal ends it.
        last = world.path_of(world.active())[-1]
        last.process.signal(signal.SIGTERM)
        time.sleep(0.5)
        check(last.process.running and last.status()["relay"]["service"] == "draining", "it does not drain")
        check("it was told to end" in last.command("status").stdout, "status does not say why")
        last.process.signal(signal.SIGTERM)
        began = time.monotonic()
        check(last.process.wait(5) == 0 and time.monotonic() - began < 1, "the second signal did not end it at once")
        program.stop()


def outside_of_its_hours_a_relay_rests_and_says_so_in_its_descriptor():
    with netlab.Lab() as lab, World(lab, relays=2, exits=1) as world:
        world.make_network()
        world.start_relays()
        relay = world.relays[0]
        now = time.localtime()
        minute = (now.tm_hour * 60 + now.tm_min + 120) % 1440  # begins in two hours, for one
        hours = f"{minute // 60:02}:{minute % 60:02}-{(minute // 60 + 1) % 24:02}:{minute % 60:02}"
        restart(world, relay, "--hours", hours)
        status = relay.wait("resting", lambda s: s["relay"]["service"] == "closed", 10)["relay"]
        check(status["why"] == "hours", f"{status}")
        listed = world.relays[1].command("descriptor", "list").stdout
        row = next(line for line in listed.splitlines() if line.startswith(relay.relay_id))
        check("guard" not in row and "middle" not in row, row)
        relay.process.stop()
        restart(world, relay)
        relay.wait("serving", lambda s: s["relay"]["service"] == "open", 10)
        listed = world.relays[1].command("descriptor", "list").stdout
        check("guard,middle" in next(line for line in listed.splitlines() if line.startswith(relay.relay_id)), listed)


netlab.enter()
raise SystemExit(netlab.run_tests([
    a_rate_of_20_mbit_s_holds_at_the_guard_and_at_the_exit,
    the_monthly_amount_ends_service_and_survives_kill_9,
    a_relay_that_ends_moves_its_circuits_first,
    an_exit_that_ends_is_left_for_another_and_a_second_signal_ends_at_once,
    outside_of_its_hours_a_relay_rests_and_says_so_in_its_descriptor,
]))
