#!/usr/bin/env python3
"""A pool of directories for the log: taken into use by itself when the volume's own disk has no room or the log is at its limit, survives
SIGKILL and a loss of power, is given back by a prune, and is missed by name.

usage: pool.py BINARY [--seed N] [--keep]
"""
import argparse
import errno
import glob
import hashlib
import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from disk import Disk, needs_root  # noqa: E402
from world import World  # noqa: E402

MIB = 1 << 20
SEGMENT = 64 * MIB


class Volume(World):
    """On a disk of its own, its pool elsewhere."""

    def __init__(self, binary, mebibytes):
        self.disk = None
        super().__init__(binary, place=lambda root: self.make_disk(root, mebibytes))
        self.pool = os.path.join(self.root, "pool")
        os.mkdir(self.pool)
        self.held = {}
        self.run("init", self.volume)

    def make_disk(self, root, mebibytes):
        self.disk = Disk(root, mebibytes)
        return self.disk.path

    def start(self, *flags, size=""):
        self.primary = self.spawn("mount", "-f", self.volume, self.mount, "--pool", self.pool + size, *flags)
        self.wait(self.primary, self.mounted, "the mount")

    def write(self, name, size, dice):
        """Durable on return."""
        content = dice.randbytes(size)
        with open(os.path.join(self.mount, name), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        self.held[name] = hashlib.sha256(content).hexdigest()

    def check(self):
        for name, expected in self.held.items():
            with open(os.path.join(self.mount, name), "rb") as stream:
                if hashlib.sha256(stream.read()).hexdigest() != expected:
                    raise AssertionError(f"{name} is not what was fsynced{self.tail()}")

    def status(self):
        return json.loads(self.run("status", self.volume, "--json", ok=(0, 15)).stdout)["volumes"][0]  # 15: an alert

    def in_pool(self):
        return glob.glob(os.path.join(self.pool, "*.seg"))

    def links(self):
        return [path for path in glob.glob(os.path.join(self.volume, "log", "*.seg")) if os.path.islink(path)]

    def sound(self):
        self.run("verify", self.volume)
        targets = sorted(os.readlink(path) for path in self.links())
        if targets != sorted(self.in_pool()):
            raise AssertionError(f"links lead to {targets}, in the pool there are {self.in_pool()}")

    def unmount(self):
        self.run("umount", self.mount)
        self.primary.wait(60)

    def finish(self, keep):
        self.close(keep=True)
        self.disk.close()
        if not keep:
            subprocess.run(["rm", "-rf", self.root], check=False)


def expect(condition, what, volume):
    if not condition:
        raise AssertionError(what + volume.tail())


def short_of_space(volume, dice):
    """The disk fills up while a segment is being written, by somebody else's doing: the log goes on in the pool."""
    volume.start()
    volume.write("first", 20 * MIB, dice)
    expect(not volume.links(), "the pool is in use while there is room", volume)
    volume.disk.ballast(leave=70 * MIB)     # 64 MiB are the reserve
    for number in range(20):
        volume.write(f"more{number}", 8 * MIB, dice)
    use = volume.status()["pool"][0]
    expect(volume.links() and use["in_use"] and use["segments"] == len(volume.links()), f"the pool is not in use: {use}", volume)
    expect("is now in use" in volume.tail() or "ALERT" in volume.run("status", volume.volume).stdout.decode(),
           "nobody was told", volume)
    volume.sound()
    volume.kill_primary()
    volume.start()
    volume.check()
    volume.write("after", 30 * MIB, dice)
    volume.disk.drop_ballast()
    volume.check()


def loses_power(volume, dice):
    """Of the volume's disk: what was acknowledged is there, and nothing is left over in the pool."""
    volume.write("acknowledged", 50 * MIB, dice)
    volume.disk.lose_power()
    volume.kill_primary()
    subprocess.run(["umount", "-l", volume.mount], capture_output=True)
    volume.disk.plug_in()
    volume.start()
    volume.check()
    volume.unmount()
    volume.sound()


def missing_pool(volume):
    os.rename(volume.pool, volume.pool + ".gone")
    os.mkdir(volume.pool)
    for command in (("mount", volume.volume, volume.mount), ("restore", volume.volume, "--target", volume.root + "/r")):
        done = volume.run(*command, ok=None)
        expect(done.returncode != 0 and volume.pool.encode() in done.stderr, f"{command}: {done.stderr}", volume)
    os.rmdir(volume.pool)
    done = volume.run("mount", volume.volume, volume.mount, "--pool", volume.pool, ok=None)
    expect(done.returncode != 0 and volume.pool.encode() in done.stderr, f"mount: {done.stderr}", volume)
    os.rename(volume.pool + ".gone", volume.pool)


def given_back(volume):
    """By a prune, without the flag as well."""
    expect(volume.in_pool(), "nothing is in the pool", volume)
    for name in list(volume.held)[1:]:
        os.unlink(os.path.join(volume.mount, name))
        del volume.held[name]
    volume.run("prune", volume.mount, "--to", "latest", "--yes")
    expect(len(volume.in_pool()) <= 1, f"left in the pool: {volume.in_pool()}", volume)
    volume.check()
    volume.unmount()
    volume.sound()


def at_the_limit(volume, dice):
    """The log's limit is what the pool holds more: writing goes on there, and ends at the limit of both."""
    volume.start("--max-log", "128MiB", "--on-full", "block-writes", size=":128MiB")
    written = 0
    try:
        while written < 700 * MIB:
            volume.write("churn", 8 * MIB, dice)
            written += 8 * MIB
    except OSError as error:
        expect(error.errno == errno.ENOSPC, f"errno {error.errno}", volume)
    status = volume.status()
    expect(status["log_limit"] == (128 + 128) * MIB and status["log_pressure"] == "full", f"status: {status}", volume)
    expect(len(volume.in_pool()) == 2 and written >= 200 * MIB, f"{written} bytes, in the pool: {volume.in_pool()}", volume)
    os.unlink(os.path.join(volume.mount, "churn"))
    volume.held.pop("churn", None)
    volume.run("prune", volume.mount, "--to", "latest", "--yes")
    volume.write("again", 8 * MIB, dice)
    volume.check()
    volume.unmount()
    volume.sound()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    needs_root()
    dice = random.Random(options.seed)
    volume, good = Volume(options.binary, 600), False
    try:
        short_of_space(volume, dice)
        loses_power(volume, dice)
        missing_pool(volume)
        volume.start()
        volume.check()
        given_back(volume)
        good = True
    finally:
        volume.finish(options.keep and not good)
    volume, good = Volume(options.binary, 1200), False
    try:
        at_the_limit(volume, dice)
        good = True
    finally:
        volume.finish(options.keep and not good)


if __name__ == "__main__":
    main()
