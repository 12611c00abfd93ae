#!/usr/bin/env python3
"""Nothing is ever restored over a volume: neither into a volume's own directory, nor into a site's, by whatever name, link or bind mount
it is reached, with --force or without.

usage: targets.py BINARY
"""
import hashlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from world import World  # noqa: E402

REFUSED = 2


def sums(directory):
    """Of every file but the lock, which says who looked last, and RocksDB's own messages."""
    found = {}
    for where, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(where, name)
            if name in ("lock", "LOCK", "control") or "LOG" in name or os.path.islink(path):
                continue
            with open(path, "rb") as stream:
                found[os.path.relpath(path, directory)] = hashlib.sha256(stream.read()).hexdigest()
    return found


class Targets(World):
    def restore(self, target, *more):
        return self.run("restore", self.other + "@good", "--target", target, "--force", *more, ok=None)

    def refused(self, target, *more):
        done = self.restore(target, *more)
        said = done.stderr.decode()
        if done.returncode != REFUSED or "holds a Tidemark volume" not in said and "copy of one" not in said:
            raise AssertionError(f"--target {target} {more}: exit {done.returncode}: {said}")

    def prepare(self):
        """A tree with the names that hurt most: those that a volume and a site use themselves."""
        source = os.path.join(self.root, "from")
        for name in ("index", "volume", "here"):
            os.makedirs(os.path.join(source, name), exist_ok=True)
        for name in ("group.json", "log", "index/CURRENT", "volume/group.json", "volume/log", "here/file"):
            with open(os.path.join(source, name), "w", encoding="utf-8") as out:
                out.write("not a volume's\n")
        os.symlink("/nowhere", os.path.join(source, "index", "link"))
        self.other = os.path.join(self.root, "other")
        self.run("init", self.other, "--from", source)
        self.run("mark", "create", self.other, "good")
        self.run("init", self.volume)
        self.start_site()
        self.start_primary()
        with open(os.path.join(self.mount, "precious"), "w", encoding="utf-8") as out:
            out.write("kept\n" * 1000)
        self.run("mark", "create", self.mount, "before")
        self.run("pair", "create", self.volume, "site", self.endpoint)
        copy = os.path.join(self.site_dir, self.name)
        self.wait(None, lambda: os.path.exists(copy + "/group.json") and self.equal(), "the copy")
        self.run("umount", self.mount)
        self.primary.wait(60)
        self.kill_site()
        self.before = [sums(self.volume), sums(self.site_dir)]

    def unharmed(self):
        after = [sums(self.volume), sums(self.site_dir)]
        if after != self.before:
            raise AssertionError(f"the refused restores have changed the volume or the copy: {after} was {self.before}")

    def unmounted(self):
        link = os.path.join(self.root, "link")
        os.symlink(self.volume, link)
        os.symlink(self.volume + "/log", link + "2")
        os.mkdir(os.path.join(self.root, "beside"))
        for place in (self.volume, link, link + "2", self.volume + "/log", self.volume + "/log/new", self.volume + "/index",
                      self.volume + "/new", os.path.join(self.root, "beside", "..", self.name), self.site_dir,
                      os.path.join(self.site_dir, self.name), os.path.join(self.site_dir, self.name, "log", "x")):
            self.refused(place)
        for place in (self.volume + "/log/new", self.volume + "/new", link + "/new",
                      os.path.join(self.site_dir, self.name, "new")):
            self.refused(place, "--as", "volume")
            done = self.run("init", place, "--from", os.path.join(self.root, "from"), ok=None)
            if done.returncode != REFUSED or os.path.exists(place):
                raise AssertionError(f"init {place}: exit {done.returncode}: {done.stderr.decode()}")
        done = self.run("init", os.path.join(self.root, "copy"), "--from", self.volume, ok=None)
        if done.returncode != REFUSED or b"mount it" not in done.stderr:
            raise AssertionError(f"init --from a volume's directory: exit {done.returncode}: {done.stderr.decode()}")
        # A name of the tree is in the way of a volume: the target itself holds none, a directory below it does.
        below = os.path.join(self.root, "target", "here")
        os.makedirs(below)
        self.run("init", below + "/file")
        kept = sums(below)
        self.refused(os.path.join(self.root, "target"))
        if sums(below) != kept:
            raise AssertionError("the volume that was in the way is not what it was")
        self.unharmed()

    def bound(self):
        """In a mount namespace of its own, so that nothing is left mounted."""
        for inner in ("", "/log", "/index"):
            place = os.path.join(self.root, "bound")
            os.makedirs(place, exist_ok=True)
            script = 'mount --bind "$1" "$2" && exec "$3" restore "$4" --target "$2" --force'
            done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", self.volume + inner, place, self.binary,
                                   self.other + "@good"], capture_output=True, timeout=60)
            if done.returncode != REFUSED:
                raise AssertionError(f"through a bind mount of {inner}: exit {done.returncode}: {done.stderr.decode()}")
        self.unharmed()

    def while_mounted(self):
        self.start_primary()
        for place in (self.volume, self.volume + "/log"):
            self.refused(place)
        done = self.run("restore", self.volume + "@before", "--target", self.mount, "--force", ok=None)
        if done.returncode != REFUSED or b"is the mountpoint of" not in done.stderr:
            raise AssertionError(f"into its own mountpoint: exit {done.returncode}: {done.stderr.decode()}")
        self.run("restore", self.volume + "@before", "--target", self.mount + "/back")  # a directory in the mount is fine
        self.run("restore", self.other + "@good", "--target", self.mount, "--force")     # and so is another volume's mount
        with open(os.path.join(self.mount, "precious"), encoding="utf-8") as stream:
            if stream.read() != "kept\n" * 1000:
                raise AssertionError("a file of the mounted volume has changed")
        self.run("umount", self.mount)
        self.primary.wait(60)
        self.run("verify", self.volume)


def main():
    if os.geteuid() != 0:
        print("SKIP: mounting needs root here")
        return 77
    world = Targets(sys.argv[1])
    try:
        world.prepare()
        world.unmounted()
        world.bound()
        world.while_mounted()
    finally:
        world.close()
    print("targets: every place of a volume or a site was refused, and is unharmed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
