#!/usr/bin/env python3
"""Kills primary and site with SIGKILL at random moments, again and again, under load.

Shown: nothing acknowledged is lost (every fsync that returned), every mark whose call returned is there, both sites end with equal
(epoch, seq, chain), and a restore from the site at every mark equals what the volume held when the mark was made.

usage: kill_rounds.py BINARY [--kills 50] [--seed N]
"""
import argparse
import fcntl
import hashlib
import os
import random
import shutil
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import World  # noqa: E402

BLOCK = 4096
DATABASE_BLOCKS = 256
MARK_SIZE = 4512
IOC_MARK = (3 << 30) | (MARK_SIZE << 16) | (ord("T") << 8) | 0x4D


def make_mark(path, name):
    """The mark ioctl, as any application would call it. Returns its seq."""
    request = bytearray(MARK_SIZE)
    struct.pack_into("<II", request, 0, MARK_SIZE, 0)
    request[24:24 + len(name)] = name.encode()
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(fd, IOC_MARK, request)
    finally:
        os.close(fd)
    return struct.unpack_from("<Q", request, 16)[0]


def database_block(number, version):
    """A block that says what it is: a torn or foreign one is recognised."""
    head = struct.pack("<QQ", number, version)
    body = hashlib.sha256(head).digest() * ((BLOCK - 48) // 32)
    filler = (head + body)[:BLOCK - 32].ljust(BLOCK - 32, b"\0")
    return filler + hashlib.sha256(filler).digest()


def block_version(data, number):
    if data == bytes(BLOCK):
        return 0
    if hashlib.sha256(data[:-32]).digest() != data[-32:]:
        raise AssertionError(f"database block {number} is torn")
    found, version = struct.unpack_from("<QQ", data)
    if found != number:
        raise AssertionError(f"database block {number} holds block {found}")
    return version


def tree(root):
    """What a directory holds: relative path → (type and mode, content sum or target)."""
    held = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            if os.path.isdir(path):
                content = ""
            else:
                with open(path, "rb") as stream:
                    content = hashlib.sha256(stream.read()).hexdigest()
            held[os.path.relpath(path, root)] = (info.st_mode, content)
    return held


class Load:
    """One application: whole files with fsync, a database overwritten in place, files it never syncs, marks between."""

    def __init__(self, world, seed):
        self.world = world
        self.random = random.Random(seed)
        self.acknowledged_files = {}      # path → content sum, after fsync of file and directory
        self.acknowledged_versions = {}   # block → newest version whose fsync returned
        self.version = 0
        self.files = 0
        self.marks = {}                   # name → tree at the mark
        self.stop = threading.Event()
        self.steps = 0

    def path(self, name):
        return os.path.join(self.world.mount, name)

    def prepare(self):
        os.makedirs(self.path("files"), exist_ok=True)
        os.makedirs(self.path("loose"), exist_ok=True)
        with open(self.path("database"), "wb") as database:
            database.truncate(DATABASE_BLOCKS * BLOCK)
            os.fsync(database.fileno())

    def sync_directory(self, name):
        fd = os.open(self.path(name), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def write_file(self):
        self.files += 1
        name = f"files/{self.files:06d}"
        content = self.random.randbytes(self.random.randrange(1, 60_000))
        with open(self.path(name + ".new"), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.rename(self.path(name + ".new"), self.path(name))
        self.sync_directory("files")
        self.acknowledged_files[name] = hashlib.sha256(content).hexdigest()

    def remove_file(self):
        if len(self.acknowledged_files) < 40:
            return
        name = self.random.choice(list(self.acknowledged_files))
        del self.acknowledged_files[name]  # from here on both are allowed until the removal is durable
        os.unlink(self.path(name))
        self.sync_directory("files")

    def write_database(self):
        self.version += 1
        touched = [self.random.randrange(DATABASE_BLOCKS) for _ in range(self.random.randrange(1, 9))]
        fd = os.open(self.path("database"), os.O_WRONLY)
        try:
            for number in touched:
                os.pwrite(fd, database_block(number, self.version), number * BLOCK)
            os.fsync(fd)
        finally:
            os.close(fd)
        for number in touched:
            self.acknowledged_versions[number] = self.version

    def write_loose(self):
        with open(self.path(f"loose/{self.random.randrange(20)}"), "wb") as out:
            out.write(self.random.randbytes(self.random.randrange(30_000)))

    def mark(self):
        name = f"mark-{len(self.marks) + 1}-{self.steps}"
        held = tree(self.world.mount)  # nobody else writes: what is there now is what the mark must hold
        make_mark(self.world.mount, name)
        self.marks[name] = held

    def run(self):
        """Until stopped or the mount dies beneath."""
        try:
            while not self.stop.is_set():
                self.steps += 1
                dice = self.random.random()
                if dice < 0.25:
                    self.write_file()
                elif dice < 0.60:
                    self.write_database()
                elif dice < 0.80:
                    self.write_loose()
                elif dice < 0.90:
                    self.remove_file()
                elif self.steps % 5 == 0:
                    self.mark()
        except OSError:
            if not self.stop.is_set() and self.world.primary.poll() is None:
                time.sleep(0.5)  # the kill may be a moment away
                if self.world.primary.poll() is None:
                    raise

    def check(self):
        """Everything acknowledged is there, after a crash."""
        for name, expected in self.acknowledged_files.items():
            with open(self.path(name), "rb") as stream:
                if hashlib.sha256(stream.read()).hexdigest() != expected:
                    raise AssertionError(f"{name} is not what was fsynced")
        with open(self.path("database"), "rb") as database:
            for number in range(DATABASE_BLOCKS):
                version = block_version(database.read(BLOCK), number)
                if version < self.acknowledged_versions.get(number, 0):
                    raise AssertionError(f"database block {number}: version {version}, "
                                         f"{self.acknowledged_versions[number]} was acknowledged")


def one_round(world, load, dice, victims):
    """Loads, kills, starts again, checks."""
    failure = []

    def body():
        try:
            load.run()
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            failure.append(error)

    load.stop.clear()
    worker = threading.Thread(target=body)
    worker.start()
    time.sleep(dice.uniform(0.02, 0.5))
    if "site" in victims:
        world.kill_site()
    if "primary" in victims:
        world.kill_primary()
    else:
        time.sleep(dice.uniform(0.0, 0.2))
        load.stop.set()
    worker.join(60)
    if worker.is_alive():
        raise AssertionError("the application hangs" + world.tail())
    if failure:
        raise failure[0]
    if "site" in victims:
        world.start_site()
    if "primary" in victims:
        world.start_primary()
    load.check()


def check_marks(world, load):
    known = {mark["name"] for mark in world.json("mark", "list", world.remote())["marks"]}
    missing = set(load.marks) - known
    if missing:
        raise AssertionError(f"marks that were made are not at the site: {sorted(missing)}")
    for name, expected in load.marks.items():
        target = os.path.join(world.root, "restored-" + name)
        world.run("restore", world.remote("@" + name), "--target", target)
        got = tree(target)
        if got != expected:
            different = sorted(path for path in set(got) | set(expected) if got.get(path) != expected.get(path))
            raise AssertionError(f"restore at {name} differs from the volume at that time in: {different[:10]}")
        world.run("restore", f"{world.volume}@{name}", "--target", target + "-local")
        if tree(target + "-local") != expected:
            raise AssertionError(f"local restore at {name} differs")
        for made in (target, target + "-local"):
            shutil.rmtree(made)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    dice = random.Random(options.seed)
    world = World(options.binary)
    good = False
    try:
        world.run("init", world.volume)
        world.start_site()
        world.start_primary()
        world.run("pair", "create", world.volume, "site", world.endpoint)
        load = Load(world, options.seed)
        load.prepare()
        kills = 0
        while kills < options.kills:
            victims = dice.choice([("primary",), ("site",), ("primary", "site")])
            one_round(world, load, dice, victims)
            kills += len(victims)
        world.wait(world.primary, world.equal, "the site to have everything", 60)
        check_marks(world, load)
        good = True
        print(f"{kills} kills, {load.steps} steps, {len(load.acknowledged_files)} files and "
              f"{len(load.marks)} marks kept and restored: ok")
    finally:
        world.close(keep=options.keep and not good)


if __name__ == "__main__":
    main()
