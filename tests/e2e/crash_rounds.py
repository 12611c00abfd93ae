#!/usr/bin/env python3
"""Crashes on a real mount under a load like fsx, again and again: the daemon is killed, or the disk below loses power.

Shown: whatever is recovered, every block of every file is as it was at some moment since its last fsync that returned (file_load.py),
marks that were made are there, and the log verifies. With --power the volume lies on an ext4 of its own that is shut down as a power
loss would (what its journal had not written is gone, the index's files with it); without, the daemon gets SIGKILL.

--lie is the negative control: the daemon's fdatasync and fsync do nothing, so a loss of power must show.

usage: crash_rounds.py BINARY [--power [--lie]] [--seconds 30 | --rounds N] [--seed N] [--keep]
"""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import disk as disks  # noqa: E402
import file_load  # noqa: E402
from kill_rounds import make_mark  # noqa: E402
from world import World  # noqa: E402

WORKERS = 3
DISK_MIB = 4096
ROOM_MIB = 512             # a round begins with at least this much: what the log does on a full disk is disk_faults.py's
DAMAGED = 13               # exit code


LIE = "int fdatasync(int fd) { (void)fd; return 0; } int fsync(int fd) { (void)fd; return 0; }"


class Rounds:
    def __init__(self, binary, power, lie, seed):
        self.seed = seed
        self.dice = random.Random(seed)
        self.disk = None
        self.world = World(binary, place=self.make_disk if power else None)
        self.marks = []
        self.operations = 0
        if lie:
            library = os.path.join(self.world.root, "lie.so")
            subprocess.run(["cc", "-shared", "-fPIC", "-o", library, "-x", "c", "-"], input=LIE.encode(), check=True)
            self.world.preload = library

    def make_disk(self, root):
        self.disk = disks.Disk(root, DISK_MIB)
        return self.disk.path

    def folder(self, worker):
        return os.path.join(self.world.mount, f"worker-{worker}")

    def journal(self, worker):
        return os.path.join(self.world.root, f"journal-{worker}")

    def prepare(self):
        self.world.run("init", self.world.volume)
        self.world.start_primary()
        for worker in range(WORKERS):
            file_load.prepare(self.folder(worker))

    def mark(self, number):
        try:
            name = f"round-{number}-{len(self.marks)}"
            make_mark(self.world.mount, name)
            self.marks.append(name)
        except OSError:
            pass  # the crash came first: it was not made, or nobody was told

    def crash(self):
        """The moment itself. A machine without power has no processes either.

        The daemon dies first: an fdatasync under way while EXT4_IOC_SHUTDOWN comes may return 0 for what is lost (Linux 6.18: in 12 of 100
        shutdowns under one writer on a bare ext4), and nobody may be told of that one.
        """
        self.world.primary.send_signal(signal.SIGKILL)
        if self.disk:
            self.disk.lose_power()
        self.world.kill_primary()

    def one(self, number):
        seeds = [self.seed * 1_000_003 + number * WORKERS + worker for worker in range(WORKERS)]
        for worker in range(WORKERS):
            with open(self.journal(worker), "wb"):
                pass
        before = [file_load.contents(self.folder(worker)) for worker in range(WORKERS)]
        workers = [subprocess.Popen([sys.executable, file_load.__file__, self.folder(worker), str(seeds[worker]), self.journal(worker)])
                   for worker in range(WORKERS)]
        try:
            self.world.wait(self.world.primary, lambda: all(os.path.getsize(self.journal(worker)) > 20 for worker in range(WORKERS)),
                            "the load to begin", 60)
            end = time.monotonic() + self.dice.uniform(0.3, 1.2)
            while time.monotonic() < end:
                if self.dice.random() < 0.3:
                    self.mark(number)
                time.sleep(self.dice.uniform(0, 0.2))
            self.crash()
            codes = [worker.wait(60) for worker in workers]
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        if any(code not in (0, -7) for code in codes):  # -7: SIGBUS, a mapping of a dead mount
            raise AssertionError(f"round {number}: the load ended with {codes}{self.world.tail()}")
        self.recover(number)
        for worker in range(WORKERS):
            self.operations += file_load.check(self.folder(worker), seeds[worker], before[worker], self.journal(worker))

    def recover(self, number):
        if self.disk:
            subprocess.run(["umount", "-l", self.world.mount], capture_output=True)
            self.disk.plug_in()
        try:
            self.world.start_primary()
        except AssertionError as error:
            if self.world.primary.poll() == DAMAGED:
                raise file_load.Loss(f"round {number}: the volume is damaged: {error}") from error
            raise
        known = {mark["name"] for mark in self.world.json("mark", "list", self.world.mount)["marks"]}
        missing = [name for name in self.marks if name not in known]
        if missing:
            raise file_load.Loss(f"round {number}: marks that were made are gone: {missing}{self.world.tail()}")

    def room(self):
        return self.disk is None or self.disk.free() >> 20 >= ROOM_MIB

    def finish(self):
        self.world.run("umount", self.world.mount)
        verdict = self.world.run("verify", self.world.volume, ok=(0, DAMAGED))
        if verdict.returncode == DAMAGED:
            raise file_load.Loss(f"the volume is damaged: {verdict.stdout.decode()}{self.world.tail()}")

    def close(self, keep):
        self.world.close(keep=True)
        if self.disk:
            self.disk.close()
        if not keep:
            shutil.rmtree(self.world.root, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--power", action="store_true")
    parser.add_argument("--lie", action="store_true")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if options.power:
        disks.needs_root()
    if options.lie and not options.power:
        parser.error("a killed process loses nothing by lying: --lie goes with --power")
    again = f"{sys.argv[0]} BINARY {'--power ' if options.power else ''}{'--lie ' if options.lie else ''}--seed {options.seed}"
    print(f"seed {options.seed} (again: {again})", flush=True)
    rounds = Rounds(options.binary, options.power, options.lie, options.seed)
    good = False
    try:
        rounds.prepare()
        end = time.monotonic() + options.seconds
        number = 0
        while number < options.rounds and time.monotonic() < end and rounds.room():
            rounds.one(number)
            number += 1
        rounds.finish()
        if options.lie:
            raise AssertionError(f"{number} losses of power without a sync, and nothing was found to be lost")
        good = True
        print(f"{number} crashes, {rounds.operations} operations, {len(rounds.marks)} marks: nothing acknowledged was lost")
    except file_load.Loss as loss:
        if not options.lie:
            raise
        print(f"found, as it must be: {str(loss).splitlines()[0]}")
    finally:
        rounds.close(options.keep and not good)


if __name__ == "__main__":
    main()
