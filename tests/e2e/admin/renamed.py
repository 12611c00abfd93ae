#!/usr/bin/env python3
"""A volume's directory is renamed while it is mounted, and so is the directory above it: the mount goes on, and commands find it by the new path
and by the mount.

usage: renamed.py BINARY
"""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from world import World  # noqa: E402

MIB = 1 << 20


def expect(condition, what, world):
    if not condition:
        raise AssertionError(what + world.tail())


class Renamed(World):
    def write(self, name, mebibytes):
        """Durable on return, and more than one segment of the log where it is large."""
        with open(os.path.join(self.mount, name), "wb") as out:
            for _ in range(mebibytes):
                out.write(os.urandom(MIB))
            out.flush()
            os.fsync(out.fileno())

    def works(self, round_name):
        self.write("file-" + round_name, 150)
        os.mkdir(os.path.join(self.mount, "dir-" + round_name))
        os.unlink(os.path.join(self.mount, "file-" + round_name))
        self.write("kept-" + round_name, 1)
        for number, target in enumerate((self.mount, self.volume)):
            mark = f"m-{round_name}-{number}"
            expect(self.json("mark", "create", target, mark)["seq"] > 0, f"no mark at {target}", self)
            names = [one["name"] for one in self.json("mark", "list", target)["marks"]]
            expect(mark in names, f"{target} has marks {names}", self)
            begun = time.monotonic()
            status = self.json("status", target)["volumes"][0]
            expect(status["directory"] == self.volume, f"status {target} shows {status}", self)
            expect(status["mountpoint"] == self.mount, f"status {target} shows {status}", self)
            expect(status["healthy"], f"status {target} shows {status}", self)
            expect(time.monotonic() - begun < 5, "status waits", self)
            expect(mark.encode() in self.run("log", target, "--from", mark).stdout, f"log {target}", self)
        # What others have mounted on this machine is in it, and may be dead: the exit code is theirs as well.
        told = json.loads(self.run("status", "--json", ok=None).stdout)
        everything = [one["directory"] for one in told["volumes"] if "directory" in one]
        expect(self.volume in everything, f"status shows {everything}", self)
        back = os.path.join(self.root, "back-" + round_name)
        self.run("restore", f"{self.mount}@m-{round_name}-0", "--target", back)
        expect(os.path.exists(f"{back}/kept-{round_name}"), "nothing was restored", self)
        past = os.path.join(self.mount, ".tidemark", "at", f"m-{round_name}-0", "kept-" + round_name)
        expect(os.path.getsize(past) == MIB, "the past is not there", self)

    def prune(self, target):
        before = len(os.listdir(os.path.join(self.volume, "log")))
        self.run("prune", target, "--to", "latest", "--yes")
        after = len(os.listdir(os.path.join(self.volume, "log")))
        expect(after < before, f"{before} files before the prune, {after} after it", self)

    def move(self, to):
        os.rename(self.volume, to)
        self.volume = to

    def rounds(self):
        self.works("before")
        old = self.volume
        self.move(os.path.join(self.root, "elsewhere"))
        self.works("renamed")
        self.prune(self.volume)
        os.mkdir(os.path.join(self.root, "above"))
        self.move(os.path.join(self.root, "above", "moved"))
        self.run("init", old, "--name", "other")  # another volume takes the place that /proc/mounts still names
        os.rename(os.path.join(self.root, "above"), os.path.join(self.root, "beyond"))
        self.volume = os.path.join(self.root, "beyond", "moved")
        self.works("moved")
        self.prune(self.mount)
        self.run("mark", "create", old, "not-here")
        names = [one["name"] for one in self.json("mark", "list", self.mount)["marks"]]
        expect("not-here" not in names, f"the mount has marks {names}", self)

    def again(self):
        self.run("umount", self.mount)
        self.primary.wait(60)
        self.run("verify", self.volume)
        self.start_primary()
        for name in ("before", "renamed", "moved"):
            expect(os.path.getsize(f"{self.mount}/kept-{name}") == MIB, f"kept-{name} is gone", self)
        self.move(os.path.join(self.root, "last"))
        self.kill_primary()
        self.start_primary()
        self.works("last")


def main():
    if os.geteuid() != 0:
        print("SKIP: mounting needs root here")
        return 77
    world = Renamed(sys.argv[1])
    try:
        world.run("init", world.volume)
        world.start_primary()
        world.rounds()
        world.again()
    finally:
        world.close()
    print("renamed: a mount goes on in a directory that has another name")
    return 0


if __name__ == "__main__":
    sys.exit(main())
