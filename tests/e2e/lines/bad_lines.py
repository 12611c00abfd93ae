#!/usr/bin/env python3
"""Pairs over lines that are cut, silent, late, slow and doubled, with real processes that are killed meanwhile.

Everything heals to duplex and the trees are equal; a copy that is interrupted goes on where it was; what a sync pair acknowledged is at
its site; a bandwidth limit holds; a dead site is noticed within 5 seconds.

usage: bad_lines.py BINARY [--only SCENARIO] [--seed N] [--keep]
"""
import argparse
import errno
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from line import Line  # noqa: E402
from load import Load, journal_length  # noqa: E402
from sites import Sites  # noqa: E402

MIB = 1 << 20
UNDER_WAY = 0.6             # seconds of the line's rate that may be under way, and are sent again after a cut
NOTICED_MAX = 5.0           # seconds until a dead site is known as such


class Trouble:
    """What can happen to a line, and to the processes at its ends; the load goes on as long as there is a mount."""

    def __init__(self, sites, dice, lines):
        self.sites, self.dice, self.lines = sites, dice, lines
        self.load = None
        self.loads = 0
        self.did = []

    def start_load(self):
        self.loads += 1
        self.load = Load(self.sites.mount, self.dice.randrange(1 << 30))
        self.load.start()

    def cut(self, line):
        line.cut()

    def refuse(self, line):
        line.refusing = True
        line.cut()
        time.sleep(self.dice.uniform(0.1, 0.6))
        line.refusing = False

    def silence(self, line):
        line.silent = True
        time.sleep(self.dice.uniform(0.1, 1.2))
        if self.dice.random() < 0.5:
            line.cut()          # and never hears what was on its way
        line.silent = False

    def delay(self, line):
        line.delay = self.dice.uniform(0.005, 0.08)

    def throttle(self, line):
        line.rate = self.dice.randrange(200_000, 3_000_000)

    def double(self, line):
        line.doubles = True
        line.cut()

    def kill_site(self, _):
        site = self.dice.choice(self.sites.sites)
        site.kill()
        time.sleep(self.dice.uniform(0.0, 0.4))
        site.start()

    def kill_primary(self, _):
        self.sites.kill_primary()
        self.load.stop()
        acknowledged = self.load.acknowledged
        self.sites.start_primary()
        self.start_load()
        if self.load.acknowledged < acknowledged:
            raise AssertionError(f"{acknowledged} records were acknowledged, {self.load.acknowledged} are there")

    def go_on(self, seconds):
        """Each kind once, in random order, then any."""
        kinds = [self.cut, self.refuse, self.silence, self.delay, self.throttle, self.double, self.kill_site, self.kill_primary]
        self.dice.shuffle(kinds)
        end = time.monotonic() + seconds
        while kinds or time.monotonic() < end:
            line = self.dice.choice(self.lines)
            kind = kinds.pop() if kinds else self.dice.choice([self.cut, self.silence, self.double, self.kill_site])
            self.did.append(kind.__name__)
            kind(line)
            time.sleep(self.dice.uniform(0.1, 0.8))
            if self.dice.random() < 0.5:
                line.heal()
            if self.load.refused is not None:
                raise AssertionError(f"the application got {errno.errorcode[self.load.refused]} after {self.did}{self.sites.tail()}")

    def end(self):
        for line in self.lines:
            line.heal()
        self.load.stop()
        self.sites.run("mark", "create", self.sites.mount, "end")   # what the kernel still holds is written
        print(f"  {', '.join(self.did)}; {self.load.acknowledged} records acknowledged", flush=True)


def scenario_pair(sites, dice, lines):
    """A pair, asynchronous, its line as bad as it gets."""
    near = sites.site("near")
    lines.append(Line(near.port))
    sites.start_primary()
    sites.run("pair", "create", sites.volume, "near", lines[0].endpoint)
    trouble = Trouble(sites, dice, lines)
    trouble.start_load()
    trouble.go_on(8)
    trouble.end()
    sites.duplex("near")
    sites.compare(near)


def scenario_chain_and_fan_out(sites, dice, lines):
    """P → {near (sync), far (async)}, near → beyond (sync or async)."""
    near, far, beyond = (sites.site(name) for name in ("near", "far", "beyond"))
    lines.extend(Line(site.port) for site in (near, far, beyond))
    sites.start_primary()
    sites.run("pair", "create", sites.volume, "near", lines[0].endpoint, "--mode", "sync")
    sites.run("pair", "create", sites.volume, "far", lines[1].endpoint)
    sites.duplex("near", "far")
    sites.run("pair", "create", near.copy, "beyond", lines[2].endpoint, "--mode", dice.choice(["sync", "async"]))
    trouble = Trouble(sites, dice, lines)
    trouble.start_load()
    trouble.go_on(8)
    trouble.end()
    sites.duplex("near", "far")
    sites.duplex("beyond", directory=near.copy)
    sites.compare(near, far, beyond)
    sites.wait(lambda: any(site["site"] == "near/beyond" and site["state"] == "duplex" and site["exposed_records"] == 0
                           for site in sites.status()["downstream"]), "the primary to see the end of the chain", 5)


def scenario_initial_copy(sites, dice, lines):
    """Interrupted at random moments, by either end and in between, it goes on where it was."""
    size, interruptions = 96 * MIB, 4
    near = sites.site("near")
    line = Line(near.port)
    lines.append(line)
    sites.start_primary()
    for number in range(size // (8 * MIB)):
        with open(os.path.join(sites.mount, f"big{number}"), "wb") as out:
            out.write(dice.randbytes(8 * MIB))
            out.flush()
            os.fsync(out.fileno())
    line.rate = rate = 24 * MIB
    sites.run("pair", "create", sites.volume, "near", line.endpoint)
    shipped, moments = 0, sorted(dice.uniform(0.15, 0.9) for _ in range(interruptions))
    kinds = ["cut", "site", "primary", dice.choice(["cut", "site", "primary"])]
    dice.shuffle(kinds)
    for moment, kind in zip(moments, kinds):
        sites.wait(lambda: line.carried >= size * moment, f"{moment:.0%} of the copy", 60)
        before = sites.pair("near")
        if before["state"] not in ("copying", "duplex", "failure-suspended"):
            raise AssertionError(f"the pair is {before['state']} during its initial copy")
        if kind == "cut":
            line.cut()
        elif kind == "site":
            near.kill()
            near.start()
        else:
            shipped += before["shipped_bytes"]
            sites.kill_primary()
            sites.start_primary()
        sites.wait(lambda: sites.pair("near").get("connected"), "the pair to be connected again", 20)
        if sites.pair("near")["durable"] < before["durable"]:
            raise AssertionError(f"after {kind} the pair has forgotten how far it was")
    line.rate = 0
    sites.duplex("near")
    shipped += sites.pair("near")["shipped_bytes"]
    most = size * 1.03 + interruptions * (rate * UNDER_WAY + 2 * MIB)
    if not size <= line.carried <= most or not size / 2 <= shipped <= most:
        raise AssertionError(f"{line.carried / MIB:.0f} MiB went over, {shipped / MIB:.0f} MiB shipped, for {size / MIB:.0f} MiB "
                             f"interrupted {interruptions} times ({kinds} at {moments})")
    print(f"  {line.carried / MIB:.1f} MiB for {size / MIB:.0f} MiB, interrupted by {kinds}", flush=True)
    sites.compare(near)


def at_site(sites, site):
    with sites.shown(site) as shown:
        return journal_length(os.path.join(shown, "journal"))


def lose(sites, dice, lines, mode, fence):
    """A pair under load whose line falls silent, then is cut; then the primary is lost. What was acknowledged before the silence, in
    all, and what is at the site, from its directory alone."""
    near = sites.site("near")
    line = Line(near.port)
    lines.append(line)
    sites.start_primary()
    sites.run("pair", "create", sites.volume, "near", line.endpoint, "--mode", mode, *fence)
    sites.duplex("near")
    load = Load(sites.mount, dice.randrange(1 << 30), pause=0)
    load.start()
    time.sleep(dice.uniform(0.8, 2.0))
    before = load.acknowledged
    line.silent = True
    if mode == "async":
        time.sleep(1.5)
    else:
        sites.wait(lambda: sites.pair("near")["state"] == "failure-suspended", "the loss to be noticed", 10)
        time.sleep(0.3)
    load.stopping.set()
    sites.kill_primary()
    load.stop()
    near.kill()
    return near, line, load, before, at_site(sites, near)


def heal(sites, near, line):
    line.cut()
    line.heal()
    near.start()
    sites.start_primary()
    sites.duplex("near")
    sites.compare(near)


def scenario_sync_fence_data(sites, dice, lines):
    """Everything that was ever acknowledged is at the site, whatever happens to the line and then to the primary."""
    near, line, load, before, there = lose(sites, dice, lines, "sync", ["--fence", "data"])
    if not there >= load.acknowledged >= before > 10:
        raise AssertionError(f"{load.acknowledged} records were acknowledged ({before} before the silence), {there} are at the site")
    if load.refused not in (errno.EROFS, errno.ENOTCONN, errno.ECONNABORTED):
        raise AssertionError(f"writers were not refused: {load.refused}")
    print(f"  {load.acknowledged} acknowledged, {there} at the site", flush=True)
    heal(sites, near, line)


def scenario_sync_fence_never(sites, dice, lines):
    """Everything acknowledged before the line was lost is at the site; the application goes on within seconds."""
    near, line, load, before, there = lose(sites, dice, lines, "sync", ["--fence", "never"])
    if not there >= before > 10:
        raise AssertionError(f"{before} records were acknowledged before the silence, {there} are at the site")
    if load.acknowledged <= there or load.slowest > NOTICED_MAX + 1:
        raise AssertionError(f"the application did not go on: {load.acknowledged} records, {there} at the site, slowest fsync "
                             f"{load.slowest:.1f} s")
    print(f"  {before} of {load.acknowledged} before the silence, {there} at the site; slowest fsync {load.slowest:.1f} s", flush=True)
    heal(sites, near, line)


def scenario_async_control(sites, dice, lines):
    """The same check must find out a pair that does not wait."""
    near, line, load, before, there = lose(sites, dice, lines, "async", [])
    if there >= load.acknowledged:
        raise AssertionError(f"{load.acknowledged} acknowledged and {there} at a site that heard nothing: the check sees nothing")
    heal(sites, near, line)


def scenario_bandwidth(sites, dice, lines):
    """Never more than the limit, but for a second's worth saved up and a message; heartbeats go on meanwhile."""
    rate = 2 * MIB
    near = sites.site("near")
    line = Line(near.port)
    lines.append(line)
    sites.start_primary()
    sites.run("pair", "create", sites.volume, "near", line.endpoint, "--bandwidth", "2MiB")
    sites.duplex("near")
    since, carried = sites.pair("near")["since"], line.carried
    with open(os.path.join(sites.mount, "big"), "wb") as out:
        out.write(dice.randbytes(12 * MIB))
        out.flush()
        began = time.monotonic()
        os.fsync(out.fileno())
    while sites.pair("near").get("exposed_records") != 0:
        allowed = rate * (time.monotonic() - began + 1.5) + MIB
        if line.carried - carried > allowed:
            raise AssertionError(f"{line.carried - carried} bytes after {time.monotonic() - began:.1f} s, {allowed:.0f} are allowed")
        if time.monotonic() - began > 20:
            raise AssertionError("12 MiB at 2 MiB a second took more than 20 s")
        time.sleep(0.05)
    took = time.monotonic() - began
    if took < 4.0 or sites.pair("near")["since"] != since:
        raise AssertionError(f"12 MiB at 2 MiB a second in {took:.1f} s; the pair: {sites.pair('near')}")
    print(f"  12 MiB in {took:.1f} s", flush=True)


def scenario_several_lines(sites, dice, lines):
    """One session over three lines, each of another length, so that records arrive out of order; then the lines get bad."""
    near = sites.site("near")
    lines.extend(Line(near.port) for _ in range(3))
    for line, delay in zip(lines, (0.0, 0.03, 0.08)):
        line.delay = delay
    sites.start_primary()
    sites.run("pair", "create", sites.volume, "near", ",".join(line.endpoint for line in lines), "--mode", "sync")
    sites.duplex("near")
    sites.wait(lambda: all(line.connections for line in lines), "all lines to be connected", 15)
    before = [line.carried for line in lines]

    def all_carry():
        with open(os.path.join(sites.mount, "bulk"), "wb") as out:
            out.write(dice.randbytes(24 * MIB))
            os.fsync(out.fileno())
        return all(line.carried - one > 2 * MIB for line, one in zip(lines, before))
    sites.wait(all_carry, "all lines to carry their share", 60)
    sites.duplex("near")
    sites.compare(near)
    print("  MiB over each line: " + ", ".join(f"{(line.carried - one) / MIB:.0f}" for line, one in zip(lines, before)), flush=True)

    lines[0].refusing = True            # the first one is gone for good: the others go on
    lines[0].cut()
    with open(os.path.join(sites.mount, "bulk"), "wb") as out:
        out.write(dice.randbytes(4 * MIB))
        os.fsync(out.fileno())
    sites.duplex("near")
    lines[0].refusing = False
    trouble = Trouble(sites, dice, lines)
    trouble.start_load()
    trouble.go_on(6)
    trouble.end()
    sites.duplex("near")
    sites.compare(near)


def scenario_dead_peer(sites, dice, lines):
    """Silence, or a process that stands still, is noticed within 5 s, by an idle pair as well; and it heals by itself."""
    near, far = sites.site("near"), sites.site("far")
    lines.append(Line(near.port))
    sites.start_primary()
    sites.run("pair", "create", sites.volume, "near", lines[0].endpoint, "--mode", "sync")
    sites.run("pair", "create", sites.volume, "far", far.endpoint)
    sites.duplex("near", "far")
    time.sleep(dice.uniform(0, 1))
    began = time.monotonic()
    lines[0].silent = True
    far.process.send_signal(signal.SIGSTOP)
    noticed = {}

    def write():
        with open(os.path.join(sites.mount, "file"), "wb") as out:
            out.write(b"x")
            out.flush()
            os.fsync(out.fileno())

    writer = threading.Thread(target=write)
    writer.start()
    while len(noticed) < 2 and time.monotonic() - began < 10:
        for pair in sites.status()["pairs"]:
            if pair["state"] == "failure-suspended":
                noticed.setdefault(pair["site"], time.monotonic() - began)
    writer.join(10)
    if writer.is_alive() or len(noticed) < 2 or max(noticed.values()) > NOTICED_MAX:
        raise AssertionError(f"noticed after: {noticed}; the writer {'hangs' if writer.is_alive() else 'went on'}{sites.tail()}")
    print("  noticed after " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in noticed.items()), flush=True)
    lines[0].silent = False
    far.process.send_signal(signal.SIGCONT)
    sites.duplex("near", "far")
    sites.compare(near, far)


SCENARIOS = {name.removeprefix("scenario_"): run for name, run in list(globals().items()) if name.startswith("scenario_")}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--only", choices=SCENARIOS, action="append")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    for name in options.only or SCENARIOS:
        began, good = time.monotonic(), False
        lines = []
        sites = Sites(options.binary)
        try:
            print(name, flush=True)
            SCENARIOS[name](sites, random.Random(f"{options.seed}-{name}"), lines)
            good = True
            print(f"  {time.monotonic() - began:.1f} s", flush=True)
        finally:
            sites.close(options.keep and not good)
            for line in lines:
                line.close()
            if not good:
                print(f"again: {sys.argv[0]} {options.binary} --only {name} --seed {options.seed}"
                      + (f"; everything is in {sites.root}" if options.keep else " --keep"), flush=True)


if __name__ == "__main__":
    main()
