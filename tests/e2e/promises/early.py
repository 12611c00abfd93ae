#!/usr/bin/env python3
"""A sync site has records before the source's own disk has them, and the source loses its power in that moment: nobody loses what he was
told is safe, and both come to the same history again, by the site giving up what the source lost. Every other time the source is back, and
writes, before the site is.

  promises/early.py BINARY [--rounds N] [--seed N]
"""
import argparse
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import disk as disks  # noqa: E402
from world import World  # noqa: E402

WRITERS = 4
LINE = 64
# Where the file is there, the source's disk is at a sync that does not end any more.
HANGING = """
#define _GNU_SOURCE
#include <unistd.h>
#include <sys/syscall.h>
int fdatasync(int fd) {
  while (access("%s", F_OK) == 0) usleep(1000);
  return (int)syscall(SYS_fdatasync, fd);
}
"""


class Writer(threading.Thread):
    """Appends numbered lines, each with an fsync. `told`: so many were acknowledged."""

    def __init__(self, path, first):
        super().__init__()
        self.path, self.told, self.stop = path, first, False

    def run(self):
        try:
            with open(self.path, "ab", buffering=0) as out:
                number = os.fstat(out.fileno()).st_size // LINE
                while not self.stop:
                    out.write(f"{number:<{LINE - 1}}\n".encode())
                    os.fsync(out.fileno())
                    number += 1
                    self.told = number
        except OSError:
            pass  # the crash


class Early:
    def __init__(self, binary, seed):
        self.dice = random.Random(seed)
        self.world = World(binary, place=self.make_disk)
        self.library = os.path.join(self.world.root, "hanging.so")
        self.hangs = os.path.join(self.world.root, "hangs")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.library, "-x", "c", "-"], input=(HANGING % self.hangs).encode(),
                       check=True)
        self.told = [0] * WRITERS
        self.world.run("init", self.world.volume)
        self.world.start_site()
        self.start_primary()
        self.world.run("pair", "create", self.world.volume, "site", self.world.endpoint, "--mode", "sync")

    def make_disk(self, root):
        self.disk = disks.Disk(root, 512)
        return self.disk.path

    def start_primary(self):
        self.world.preload = self.library
        self.world.start_primary()
        self.world.preload = ""

    def path(self, writer):
        return os.path.join(self.world.mount, f"file-{writer}")

    def state(self):
        return self.world.json("pair", "list", self.world.volume)["pairs"][0]["state"]

    def write(self, seconds):
        writers = [Writer(self.path(each), self.told[each]) for each in range(WRITERS)]
        for writer in writers:
            writer.start()
        time.sleep(seconds)
        return writers

    def note(self, writers):
        for each, writer in enumerate(writers):
            writer.stop = True
            writer.join(60)
            self.told[each] = max(self.told[each], writer.told)

    def check(self, when):
        for each in range(WRITERS):
            with open(self.path(each), "rb") as file:
                lines = file.read().splitlines()
            if len(lines) < self.told[each]:
                raise AssertionError(f"{when}: {self.told[each]} lines were safe, {len(lines)} are there{self.world.tail()}")
            for number, line in enumerate(lines):
                if line.strip() != str(number).encode():
                    raise AssertionError(f"{when}: line {number} is {line!r}{self.world.tail()}")

    def lose_power(self):
        """As in crash_rounds: the daemon dies first, for what the disk says while it goes away is not to be told to anybody."""
        self.world.primary.send_signal(signal.SIGKILL)
        self.disk.lose_power()
        self.world.kill_primary()
        subprocess.run(["umount", "-l", self.world.mount], capture_output=True)
        self.disk.plug_in()

    def one(self, number):
        self.world.wait(self.world.primary, lambda: self.state() == "duplex", "duplex", 60)
        writers = self.write(self.dice.uniform(0.2, 0.5))
        if self.dice.random() < 0.7:
            open(self.hangs, "wb").close()
            time.sleep(0.1)
        self.lose_power()
        if os.path.exists(self.hangs):
            os.unlink(self.hangs)
        self.note(writers)
        alone = number % 2 == 1
        if alone:
            self.world.kill_site()
        self.start_primary()
        self.check(f"round {number}, after the crash")
        if alone:
            writers = self.write(0.5)
            self.note(writers)
            self.world.start_site()
        self.world.wait(self.world.primary, lambda: self.state() == "duplex", "duplex again", 60)
        self.world.wait(self.world.primary, self.world.equal, "both to have the same history", 60)
        self.check(f"round {number}, at the end")

    def cuts(self):
        try:
            with open(os.path.join(self.world.site_dir, self.world.name, "log", "aside"), "rb") as aside:
                return struct.unpack_from("<Q", aside.read(40), 32)[0]
        except FileNotFoundError:
            return 0

    def finish(self):
        if self.cuts() == 0:
            raise AssertionError("the site was never ahead of its source: nothing was tested")
        self.world.run("umount", self.world.mount)
        self.world.run("verify", self.world.volume)
        self.world.kill_site()
        self.world.run("verify", os.path.join(self.world.site_dir, self.world.name))

    def close(self, keep):
        self.world.close(keep=True)
        self.disk.close()
        if not keep:
            subprocess.run(["rm", "-rf", self.world.root], check=False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    if os.geteuid() != 0:
        disks.skip("only root can mount a disk of its own")
    print(f"early: {options.rounds} rounds, seed {options.seed}", flush=True)
    early = Early(options.binary, options.seed)
    passed = False
    try:
        for number in range(options.rounds):
            early.one(number)
        early.finish()
        print(f"ok: {sum(early.told)} lines, the site was cut {early.cuts()} times in {options.rounds} power failures")
        passed = True
    finally:
        early.close(keep=not passed)


if __name__ == "__main__":
    main()
