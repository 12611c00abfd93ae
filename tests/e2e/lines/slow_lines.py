#!/usr/bin/env python3
"""Pairs over lines that are slow, long, or both: the log gets over at the line's pace, nobody takes a slow site for a dead one, a dead
one is noticed all the same, and what counts as shipped is what went over.

usage: slow_lines.py BINARY [--only SCENARIO] [--seed N] [--keep]
"""
import argparse
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cable import Cable  # noqa: E402
from sites import Sites  # noqa: E402

KIB, MIB = 1 << 10, 1 << 20
NOTICED_MAX = 6.0           # what was on its way when the cable was pulled still counts as heard


def start(sites, cable):
    near = sites.site("near", address=cable.address(1), within=cable.within(1), flags=sites.flags)
    sites.within = cable.within(0)
    sites.start_primary()
    return near


def pair(sites, near, *flags):
    sites.run("pair", "create", sites.volume, "near", near.endpoint, *sites.pair_flags, *flags)
    sites.wait(lambda: sites.pair("near").get("connected"), "the first contact", 30)


def write(sites, name, content):
    with open(os.path.join(sites.mount, name), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def follow(sites, seconds):
    """Until everything is there: how long that took, and how long the site was silent at most. The pair never fails meanwhile."""
    began = seen = time.monotonic()
    durable, longest = sites.pair("near")["durable"], 0.0
    while True:
        now = sites.pair("near")
        if now["state"] in ("failure-suspended", "simplex") or not now.get("connected"):
            raise AssertionError(f"after {time.monotonic() - began:.1f} s the pair was lost: {now}{sites.tail()}")
        if now["durable"] > durable:
            longest = max(longest, time.monotonic() - seen)
            durable, seen = now["durable"], time.monotonic()
        if now.get("exposed_records") == 0:
            return time.monotonic() - began, longest
        if time.monotonic() - began > seconds:
            raise AssertionError(f"after {seconds} s: {now}{sites.tail()}")
        time.sleep(0.05)


def scenario_modem(sites, dice, cable):
    """64 kbit/s and 300 ms there and back. A record of 64 KiB alone takes eight seconds."""
    cable.rate, cable.delay, size = 8_000, 0.15, 90 * KIB
    near = start(sites, cable)
    pair(sites, near)
    carried, before = cable.there.carried, sites.pair("near").get("shipped_bytes", 0)
    write(sites, "photo", dice.randbytes(size))
    took, longest = follow(sites, 90)
    carried = cable.there.carried - carried
    shipped = sites.pair("near")["shipped_bytes"] - before
    if not size <= carried <= size * 1.35 or not size <= shipped <= size * 1.1:
        raise AssertionError(f"{carried} bytes went over and {shipped} count as shipped, for {size}")
    print(f"  {size / KIB:.0f} KiB in {took:.1f} s, {carried / took:.0f} bytes/s; no news for {longest:.1f} s at most", flush=True)
    sites.compare(near)


def scenario_office(sites, dice, cable):
    """150 KB/s, no delay to speak of: an initial copy of many records, with a writer meanwhile."""
    cable.rate, cable.delay, size = 150_000, 0.01, 1536 * KIB
    near = start(sites, cable)
    write(sites, "old", dice.randbytes(size // 2))
    carried = cable.there.carried
    pair(sites, near)
    write(sites, "new", dice.randbytes(size // 2))
    took, longest = follow(sites, 60)
    shipped, carried = sites.pair("near")["shipped_bytes"], cable.there.carried - carried
    if longest > 4 or not size <= shipped <= size * 1.1 or carried > size * 1.35:
        raise AssertionError(f"no news for {longest:.1f} s; {carried} bytes over the line, {shipped} shipped, for {size}")
    print(f"  {size / KIB:.0f} KiB in {took:.1f} s; no news for {longest:.1f} s at most", flush=True)
    sites.compare(near)


def scenario_satellite(sites, dice, cable):
    """A fast line, 300 ms there and back: what is on its way has to grow, else the line is empty most of the time."""
    cable.rate, cable.delay, cable.queue_max, size = 4 * MIB, 0.15, 8 * MIB, 20 * MIB
    near = start(sites, cable)
    pair(sites, near)
    write(sites, "film", dice.randbytes(size))
    took, _ = follow(sites, 60)
    if took > 20:                       # 5 s at the line's own rate; with what is on its way at first it would be seven minutes
        raise AssertionError(f"{size / MIB:.0f} MiB took {took:.1f} s")
    print(f"  {size / MIB:.0f} MiB in {took:.1f} s", flush=True)
    cable.delay = 0.0
    sites.compare(near)


def scenario_slow_and_dead(sites, dice, cable):
    """The cable is pulled while a slow line is full: that is noticed as on any other."""
    cable.rate, cable.delay = 20_000, 0.05
    near = start(sites, cable)
    pair(sites, near)
    write(sites, "photo", dice.randbytes(256 * KIB))
    time.sleep(dice.uniform(3, 5))
    if sites.pair("near")["state"] == "failure-suspended":
        raise AssertionError(f"a slow line was taken for a dead one{sites.tail()}")
    began = time.monotonic()
    cable.pulled = True
    sites.wait(lambda: sites.pair("near")["state"] == "failure-suspended", "the loss to be noticed", 20)
    took = time.monotonic() - began
    if took > NOTICED_MAX:
        raise AssertionError(f"noticed after {took:.1f} s")
    print(f"  noticed after {took:.1f} s", flush=True)
    cable.pulled, cable.rate = False, 4 * MIB
    sites.duplex("near")
    sites.compare(near)


SCENARIOS = {name.removeprefix("scenario_"): run for name, run in list(globals().items()) if name.startswith("scenario_")}


def make_keys(sites):
    """Machines that are not this one want keys."""
    for name in ("near", "primary"):
        sites.run("keygen", os.path.join(sites.root, name + ".key"))
    near, primary = (os.path.join(sites.root, name + ".key") for name in ("near", "primary"))
    with open(primary + ".pub") as public, open(os.path.join(sites.root, "allow"), "w") as allow:
        allow.write(f"{public.read().split()[-1]} append,create,read groups=* primary\n")
    sites.flags = ("--key", near, "--allow", os.path.join(sites.root, "allow"))
    sites.keys = ("--server-key", near + ".pub", "--key", primary)
    sites.pair_flags = sites.keys


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
        cable = Cable()
        sites = Sites(options.binary)
        try:
            print(name, flush=True)
            make_keys(sites)
            SCENARIOS[name](sites, random.Random(f"{options.seed}-{name}"), cable)
            good = True
            print(f"  {time.monotonic() - began:.1f} s", flush=True)
        finally:
            sites.close(options.keep and not good)
            cable.close()
            if not good:
                print(f"again: {sys.argv[0]} {options.binary} --only {name} --seed {options.seed}"
                      + (f"; everything is in {sites.root}" if options.keep else " --keep"), flush=True)


if __name__ == "__main__":
    main()
