#!/usr/bin/env python3
"""A disk of 256 MiB, filled until a write finds no room: a prune succeeds all the same, frees, and writing goes on. And one on which segments of
64 MiB are needed but for an eighth, and a third of one is free: the eighth goes, whatever kills the prune in between.

usage: full_prune.py BINARY [--seed N]
"""
import argparse
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from disk import Disk, needs_root  # noqa: E402
from world import World  # noqa: E402

MIB = 1 << 20


def expect(condition, what, world):
    if not condition:
        raise AssertionError(what + world.tail())


class Full(World):
    def __init__(self, binary, dice, mebibytes=256):
        self.disk = None
        self.mebibytes = mebibytes
        super().__init__(binary, place=self.make_disk)
        self.dice = dice
        self.held = {}

    def make_disk(self, root):
        self.disk = Disk(root, self.mebibytes)
        return self.disk.path

    def write(self, name, size):
        content = self.dice.randbytes(size)
        path = os.path.join(self.mount, name)
        try:
            with open(path, "wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
        except OSError:
            self.held[name] = None
            raise
        self.held[name] = hashlib.sha256(content).hexdigest()

    def fill(self, live):
        """Overwrites the same few files again and again; what stays in use is `live` MiB and what was written last."""
        for number in range(live):
            self.write(f"kept{number}", MIB)
        try:
            for number in range(100_000):
                self.write(f"again{number % 8}", MIB)
        except OSError as error:
            expect(error.errno == errno.ENOSPC, f"a full disk is {error}", self)
            return
        raise AssertionError("the disk is never full")

    def check(self):
        for name, expected in self.held.items():
            if expected is None:
                continue
            with open(os.path.join(self.mount, name), "rb") as stream:
                expect(hashlib.sha256(stream.read()).hexdigest() == expected, f"{name} is not what was fsynced", self)

    def check_all_of(self, held):
        self.check()
        expect(len(os.listdir(self.mount)) == len(held), "another number of files", self)

    def segments(self):
        directory = os.path.join(self.volume, "log")
        return {name: os.stat(os.path.join(directory, name)) for name in os.listdir(directory) if name.endswith(".seg")}

    def adopts(self):
        """Whether the floor has adopted segments: it has version 3 then (docs/LOG_FORMAT.md)."""
        with open(os.path.join(self.volume, "log", "floor"), "rb") as floor:
            return struct.unpack("<H", floor.read(10)[8:])[0] == 3

    def interrupted_prune(self, after, power):
        """The daemon that prunes is killed `after` so many seconds, and the disk loses power with it."""
        prune = subprocess.Popen([self.binary, "prune", self.volume, "--to", "latest", "--yes"], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(after)
        self.primary.send_signal(signal.SIGKILL)
        if power:
            self.disk.lose_power()
        self.kill_primary()
        prune.wait(60)
        subprocess.run(["umount", "-l", self.mount], capture_output=True)
        if power:
            self.disk.plug_in()
        self.start_primary()

    def status(self):
        return json.loads(self.run("status", self.volume, "--json", ok=None).stdout)["volumes"][0]

    def prune(self):
        before = self.disk.free()
        self.run("prune", self.volume, "--to", "latest", "--yes")
        return self.disk.free() - before

    def finish(self):
        self.close(keep=True)
        self.disk.close()
        shutil.rmtree(self.root, ignore_errors=True)


def overwritten(given):
    for live in (4, 60, 110):
        world = Full(given.binary, random.Random(given.seed))
        try:
            world.run("init", world.volume)
            world.start_primary()
            world.fill(live)
            for round_number in range(3):
                free = world.disk.free()
                freed = world.prune()
                print(f"{live} MiB in use, round {round_number}: {free >> 20} MiB free before, {freed >> 20} MiB freed", flush=True)
                expect(freed > 16 * MIB, f"a prune of a full disk freed {freed >> 20} MiB", world)
                world.check()
                world.held = {name: sum_ for name, sum_ in world.held.items() if sum_ is not None}
                try:
                    for number in range(100_000):
                        world.write(f"again{number % 8}", MIB)
                except OSError as error:
                    expect(error.errno == errno.ENOSPC, f"a full disk is {error}", world)
                    expect(number >= 8, f"only {number} files found room after a prune", world)
            world.kill_primary()
            world.start_primary()
            world.check()
            world.run("umount", world.mount)
            world.primary.wait(60)
            world.prune()
            world.run("verify", world.volume)
        finally:
            world.finish()


def mostly_needed(given, interruptions):
    """`interruptions`: how the prune is killed before one may end: with the disk's power, or alone."""
    dice = random.Random(given.seed)
    world = Full(given.binary, dice, mebibytes=1400)
    try:
        world.run("init", world.volume)
        world.start_primary()
        for number in range(200):
            world.write(f"kept{number}", MIB)
            if number % 8 == 7:
                world.write("again", MIB)
        longest = max(each.st_size for each in world.segments().values())
        expect(longest > 48 * MIB, f"the longest segment has {longest >> 20} MiB", world)
        world.disk.ballast(leave=24 * MIB)
        subprocess.run(["sync", "-f", world.disk.path], check=True)
        free = world.disk.free()
        for power in interruptions:
            world.interrupted_prune(dice.uniform(0.05, 1.5), power)
            world.check_all_of(world.held)
        world.prune()
        freed = world.disk.free() - free
        print(f"mostly needed, {len(interruptions)} interruptions: {free >> 20} MiB free before, {freed >> 20} MiB freed", flush=True)
        expect(freed > 12 * MIB, f"a prune of a full disk freed {freed >> 20} MiB", world)
        expect(world.adopts(), "nothing was adopted", world)
        world.check_all_of(world.held)
        world.kill_primary()
        world.start_primary()
        world.check_all_of(world.held)
        world.run("umount", world.mount)
        world.primary.wait(60)
        world.run("verify", world.volume)
        world.disk.drop_ballast()
        world.start_primary()
        for number in range(0, 200, 2):
            world.write(f"kept{number}", MIB)
        world.prune()
        world.check_all_of(world.held)
        world.run("umount", world.mount)
        world.primary.wait(60)
        world.run("verify", world.volume)
    finally:
        world.finish()


def main():
    needs_root()
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--seed", type=int, default=20261128)
    given = parser.parse_args()
    overwritten(given)
    mostly_needed(given, [])
    mostly_needed(given, [True, False, True])
    print("full-prune: a full disk is pruned, and goes on")
    return 0


if __name__ == "__main__":
    sys.exit(main())
