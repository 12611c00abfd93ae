#!/usr/bin/env python3
"""A disk of 256 MiB, filled until a write finds no room: a prune succeeds all the same, frees, and writing goes on.

usage: full_prune.py BINARY [--seed N]
"""
import argparse
import errno
import hashlib
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from disk import Disk, needs_root  # noqa: E402
from world import World  # noqa: E402

MIB = 1 << 20


def expect(condition, what, world):
    if not condition:
        raise AssertionError(what + world.tail())


class Full(World):
    def __init__(self, binary, dice):
        self.disk = None
        super().__init__(binary, place=self.make_disk)
        self.dice = dice
        self.held = {}

    def make_disk(self, root):
        self.disk = Disk(root, 256)
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

    def status(self):
        return json.loads(self.run("status", self.volume, "--json", ok=None).stdout)["volumes"][0]

    def prune(self):
        before = self.disk.free()
        self.run("prune", self.volume, "--to", "latest", "--yes")
        return self.disk.free() - before

    def finish(self):
        self.close(keep=True)
        self.disk.close()


def main():
    needs_root()
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--seed", type=int, default=20261128)
    given = parser.parse_args()
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
    print("full-prune: a full disk is pruned, and goes on")
    return 0


if __name__ == "__main__":
    sys.exit(main())
