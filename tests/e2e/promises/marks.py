#!/usr/bin/env python3
"""Marks on a volume that nobody has mounted: what its sync pairs promise holds for them as well.

A mark, a hold and a release are at the site of a sync pair when the command returns; where that is not there, the command names it, says
whether the mark was made, and ends with exit code 14 within its timeout. With fence=data nothing is changed without the site.

usage: marks.py BINARY [--keep]
"""
import argparse
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from world import World  # noqa: E402


class Story:
    def __init__(self, world):
        self.world = world

    def mark(self, *words, ok=(0,)):
        return self.world.run("mark", *words, ok=ok)

    def create(self, name, *words, ok=(0,)):
        done = self.mark("create", self.world.volume, name, "--json", *words, ok=ok)
        return json.loads(done.stdout) if done.stdout else None, done.stderr.decode()

    def marks(self, source):
        return {mark["name"]: mark for mark in self.world.json("mark", "list", source)["marks"]}

    def here(self):
        return self.marks(self.world.volume)

    def there(self):
        """What is durable at the site: it is killed and started again first."""
        self.world.kill_site()
        self.world.start_site()
        return self.marks(self.world.remote())

    def make_duplex(self, *flags):
        """A pair that has been in duplex, and a volume that is not mounted."""
        world = self.world
        world.start_primary()
        world.run("pair", "create", world.volume, "near", world.endpoint, *flags)
        with open(os.path.join(world.mount, "file"), "w") as out:
            out.write("content")
        world.wait(world.primary, self.is_duplex, "the pair to be duplex")
        self.unmount()

    def pair(self):
        return self.world.json("pair", "list", self.world.volume)["pairs"][0]

    def is_duplex(self):
        return self.pair()["state"] == "duplex"

    def unmount(self):
        self.world.run("umount", self.world.mount)
        self.world.primary.wait()


def confirmed_by_the_site(story):
    made, _ = story.create("closed")
    assert made["confirmed"] and made["seq"] > 0, made
    story.mark("hold", story.world.volume, "closed")
    there = story.there()
    assert there["closed"]["seq"] == made["seq"] and there["closed"]["held"], there
    story.mark("release", story.world.volume, "closed")
    assert not story.there()["closed"]["held"]
    print("a mark, a hold and a release are at the site when the command returns")


def two_at_once(story):
    codes, said = [], []

    def make(n):
        done = story.mark("create", story.world.volume, f"both-{n}", ok=None)
        codes.append(done.returncode)
        said.append(done.stderr.decode())

    threads = [threading.Thread(target=make, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0], (codes, said)
    assert {"both-0", "both-1"} <= set(story.there())
    print("two such commands wait for one another")


def refused_without_the_site(story):
    """fence=data."""
    story.world.kill_site()
    before = story.here()
    for command in (("create", story.world.volume, "lost"), ("hold", story.world.volume, "closed")):
        began = time.monotonic()
        done = story.mark(*command, "--timeout", "2s", ok=(14,))
        took = time.monotonic() - began
        said = done.stderr.decode()
        assert "'near'" in said and ("no mark was made" in said or "the mark was not held" in said), said
        assert took < 20, took
    assert story.here() == before, "something was changed without the site"
    story.world.start_site()
    story.create("back")
    assert "back" in story.there()
    print("fence=data: without the site nothing is changed, and the command names it")


def made_without_the_site(story):
    """fence=never."""
    world = story.world
    world.run("pair", "delete", world.volume, "near", "--yes")
    story.make_duplex("--mode", "sync")
    world.kill_site()
    made, said = story.create("alone", "--timeout", "2s", ok=(14,))
    assert not made["confirmed"] and made["seq"] > 0, made
    assert "'near'" in said and "the mark is made and durable here" in said, said
    assert story.here()["alone"]["seq"] == made["seq"]
    said = story.mark("hold", world.volume, "alone", "--timeout", "2s", ok=(14,)).stderr.decode()
    assert "'near'" in said and "the mark is held here" in said, said
    world.start_site()
    story.create("again")
    there = story.there()
    assert there["alone"]["held"] and "again" in there, there
    world.kill_site()
    world.run("pair", "suspend", world.volume, "near")
    made, _ = story.create("on-my-own", "--timeout", "2s")
    world.run("pair", "resume", world.volume, "near")
    world.start_site()
    print("fence=never: the mark is made, and the command says where it is not; a suspended pair is not waited for")


def confirmed_where_asked(story):
    world = story.world
    world.run("pair", "delete", world.volume, "near", "--yes")
    for wait in ("all", "near"):
        done = story.mark("create", world.volume, "nobody", "--wait", wait, ok=(10,))
        assert b"no mark was made" in done.stderr, done.stderr
    world.run("pair", "create", world.volume, "far", world.endpoint)
    made, _ = story.create("asked", "--wait", "far")
    assert made["confirmed"] and "asked" in story.there()
    world.kill_site()
    made, said = story.create("unheard", "--wait", "all", "--timeout", "2s", ok=(14,))
    assert not made["confirmed"] and made["seq"] > 0 and "far" in said, (made, said)
    print("--wait works without a mount; nobody to wait for is an error, and no mark")


def through_the_mount(story):
    world = story.world
    world.start_primary()
    done = world.run("mark", "create", world.mount, "late", "--wait", "far", "--timeout", "1s", "--json", ok=(14,))
    made = json.loads(done.stdout)
    assert made["seq"] == story.here()["late"]["seq"] > 0 and not made["confirmed"], made
    world.run("pair", "delete", world.volume, "far", "--yes")
    done = world.run("mark", "create", world.mount, "nobody", "--wait", "all", ok=(10,))
    assert b"no mark was made" in done.stderr, done.stderr
    print("through the mount: a mark that is not confirmed has its seq, and nobody to wait for is an error")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if not os.path.exists("/dev/fuse"):
        print("SKIP: no /dev/fuse here")
        return 77
    world = World(options.binary)
    story = Story(world)
    try:
        world.run("init", world.volume)
        world.start_site()
        story.make_duplex("--mode", "sync", "--fence", "data")
        confirmed_by_the_site(story)
        two_at_once(story)
        refused_without_the_site(story)
        made_without_the_site(story)
        confirmed_where_asked(story)
        through_the_mount(story)
    finally:
        world.close(keep=options.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
