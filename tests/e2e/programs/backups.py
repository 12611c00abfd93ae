#!/usr/bin/env python3
"""Backups of files that stay open: a database, a disk of a virtual machine, a log. What tar, rsync, cp and bsdtar read of them while
another process goes on having them open for writing is what is in them, and du knows that there is something.

usage: backups.py BINARY [--seed N]
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from program_test import check, main, run  # noqa: E402

# Writes on command and never forks: a fork's copies of the descriptors are closed again, and closing makes the kernel ask anew.
WRITER = """
import mmap, os, sys
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Writer:
    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def does(self, statement):
        self.process.stdin.write(statement + "\n")
        self.process.stdin.flush()
        check(self.process.stdout.readline() == "done\n", f"the writer failed at: {statement}")

    def ends(self):
        self.process.stdin.close()
        check(self.process.wait(60) == 0, "the writer failed")


def content(path):
    with open(path, "rb") as file:
        return file.read()


def copies(world, directory):
    """Every way to back up `directory`; yields (how, where the copy is)."""
    tree = os.path.join(world.root, "backup")
    for how, script in (("tar -S", 'tar -C "$1" -cSf - . | tar -C "$2" -xf -'),
                        ("bsdtar -S", 'bsdtar -C "$1" --read-sparse -cf - . | tar -C "$2" -xf -'),
                        ("rsync -S", 'rsync -aS "$1/" "$2/"'),
                        ("cp --sparse=auto", 'cp -a --sparse=auto "$1/." "$2/"'),
                        ("cp --sparse=always", 'cp -a --sparse=always "$1/." "$2/"')):
        run("rm", "-rf", tree)
        os.mkdir(tree)
        run("bash", "-c", "set -o pipefail; " + script, "bash", directory, tree)
        yield how, tree


def backed_up_while_open(world, dice):
    directory = os.path.join(world.mount, "open")
    os.mkdir(directory)
    path = {name: os.path.join(directory, name) for name in ("fresh", "synced", "mapped", "appended", "rewritten", "idle")}
    for name in ("appended", "rewritten"):
        with open(path[name], "wb") as file:
            file.write(b"" if name == "appended" else b"old" * 1000)
        os.stat(path[name])  # the kernel has their attributes from before the writer comes
    size = 200_000
    writer = Writer()
    writer.does(f"fresh = os.open({path['fresh']!r}, os.O_WRONLY | os.O_CREAT); os.write(fresh, b'a' * {size})")
    writer.does(f"synced = os.open({path['synced']!r}, os.O_RDWR | os.O_CREAT); os.write(synced, b'b' * {size}); os.fsync(synced)")
    writer.does(f"fd = os.open({path['mapped']!r}, os.O_RDWR | os.O_CREAT); os.ftruncate(fd, {size}); "
                f"mapped = mmap.mmap(fd, {size}); mapped[:] = b'c' * {size}")
    writer.does(f"appended = os.open({path['appended']!r}, os.O_WRONLY | os.O_APPEND); os.write(appended, b'd' * {size})")
    writer.does(f"rewritten = os.open({path['rewritten']!r}, os.O_WRONLY | os.O_TRUNC); os.write(rewritten, b'e' * {size})")
    writer.does(f"idle = os.open({path['idle']!r}, os.O_RDWR | os.O_CREAT); os.ftruncate(idle, 0)")
    wanted = {"fresh": b"a" * size, "synced": b"b" * size, "mapped": b"c" * size, "appended": b"d" * size,
              "rewritten": b"e" * size, "idle": b""}
    check(os.stat(path["synced"]).st_blocks == 392, f"a synced file of 200,000 bytes: {os.stat(path['synced']).st_blocks} blocks")
    check(os.stat(path["idle"]).st_blocks == 0, "an empty file has blocks")
    for name in wanted:
        check(name == "idle" or os.stat(path[name]).st_blocks > 0, f"{name} has no blocks")
        check(name == "idle" or run("du", path[name]).split()[0] != b"0", f"du says 0 for {name}")
    for how, tree in copies(world, directory):
        for name, right in wanted.items():
            there = content(os.path.join(tree, name))
            check(there == right, f"{how}: {name} has {len(there)} bytes, {there.count(0)} of them zeros")
    writer.does("[os.fsync(each) for each in (fresh, fd, appended, rewritten)]")
    for name in ("fresh", "mapped", "appended", "rewritten"):
        check(os.stat(path[name]).st_blocks == 392, f"{name}, synced: {os.stat(path[name]).st_blocks} blocks")
    writer.does("os.ftruncate(fresh, 5000)")
    check(os.stat(path["fresh"]).st_blocks == 16, "a cut file's blocks")
    writer.does("os.lseek(fresh, 1 << 20, 0); os.write(fresh, b'f'); os.fsync(fresh)")
    check(os.stat(path["fresh"]).st_blocks == 24, "a file with a hole that grew")
    writer.ends()


def closed_again(world, dice):
    """Nothing is made up of what nobody writes to."""
    for name, size in (("empty", 0), ("sparse", 1 << 30)):
        path = os.path.join(world.mount, name)
        with open(path, "wb") as file:
            file.truncate(size)
        os.sync()
        check(os.stat(path).st_blocks == 0, f"{name} has {os.stat(path).st_blocks} blocks")


if __name__ == "__main__":
    main([backed_up_while_open, closed_again], needs=["tar", "rsync", "bsdtar", "du"])
