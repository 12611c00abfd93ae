#!/usr/bin/env python3
"""What lies in a mount says nothing about the mount: files called group.json, or whole copies of a volume's directory, change no command on a
path in it.

usage: names.py BINARY
"""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from world import World  # noqa: E402


def expect(condition, what, world):
    if not condition:
        raise AssertionError(what + world.tail())


class Names(World):
    def works(self, path, mark):
        made = self.json("mark", "create", path, mark)
        expect(made["seq"] > 0, f"no mark at {path}: {made}", self)
        status = json.loads(self.run("status", path, "--json").stdout)["volumes"][0]
        expect(status["directory"] == self.volume, f"status {path} shows {status}", self)
        expect(b"genesis" in self.run("log", path).stdout, f"log {path}", self)
        names = [one["name"] for one in self.json("mark", "list", path)["marks"]]
        expect(mark in names, f"{path} has marks {names}", self)
        self.run("prune", path, "--to", "seq:1", "-n")
        back = os.path.join(self.root, "back-" + mark)
        self.run("restore", path + "@" + mark, "--target", back)
        expect(os.path.exists(back + "/file"), "nothing was restored", self)

    def files(self):
        with open(os.path.join(self.mount, "file"), "w", encoding="utf-8") as out:
            out.write("content\n")
        os.makedirs(os.path.join(self.mount, "a", "b"))
        self.works(self.mount, "plain")
        for number, content in enumerate(("", "{}", "not even JSON\n", open(self.volume + "/group.json", encoding="utf-8").read())):
            for place in ("", "a", "a/b"):
                with open(os.path.join(self.mount, place, "group.json"), "w", encoding="utf-8") as out:
                    out.write(content)
            for place in ("", "a", "a/b", "a/b/group.json"):
                self.works(os.path.join(self.mount, place), f"m{number}{place.replace('/', '-')}")
        shutil.copytree(self.other, self.mount, dirs_exist_ok=True)  # another volume, whole, in the root
        self.works(self.mount, "copied")
        shutil.rmtree(os.path.join(self.mount, "log"))

    def kept_inside(self):
        """A volume may be kept in another one's mount, or in a file system that is mounted there."""
        inner = os.path.join(self.mount, "a", "volume")
        self.run("init", inner)
        self.run("mark", "create", inner, "inner")
        names = [one["name"] for one in self.json("mark", "list", inner)["marks"]]
        expect(names == ["inner"], f"the volume in the mount has marks {names}", self)
        over = os.path.join(self.mount, "over")
        os.mkdir(over)
        subprocess.run(["mount", "-t", "tmpfs", "none", over], check=True)
        try:
            self.run("mark", "list", over, ok=(10,))
            self.run("init", over + "/volume")
            self.run("mark", "create", over + "/volume", "over")
        finally:
            subprocess.run(["umount", over], check=True)


def main():
    if os.geteuid() != 0:
        print("SKIP: mounting needs root here")
        return 77
    world = Names(sys.argv[1])
    try:
        world.run("init", world.volume)
        world.other = os.path.join(world.root, "other")
        world.run("init", world.other)
        world.start_primary()
        world.files()
        world.kept_inside()
        world.run("umount", world.mount)
        world.primary.wait(60)
    finally:
        world.close()
    print("names: a mount is known by what mounted it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
