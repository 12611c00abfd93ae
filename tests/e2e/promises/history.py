#!/usr/bin/env python3
"""What a site of a sync pair has acknowledged stays there, damaged disk or not.

The site is killed, acknowledged records in its log are damaged (one flipped bit in a block, a header that is overwritten, a bit in the newest
record), and it is started again: nothing that was acknowledged is missing in the end, source and site say what was lost, and the copy
is sound. Without its source a damaged copy shows everything but the damaged block. A primary's own volume with a flipped bit in its last
segment mounts, and misses that block alone.

usage: history.py BINARY [--seed N] [--keep]
"""
import argparse
import json
import os
import random
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from world import World  # noqa: E402

FILES = 24
BLOCK = 4096
HEADER = 64
DATA = 3


class Story:
    def __init__(self, world, seed):
        self.world = world
        self.random = random.Random(seed)
        self.content = {}

    def write(self, count):
        """Files whose every byte was acknowledged as durable, here and at the site."""
        for _ in range(count):
            name = f"file{len(self.content)}"
            content = self.random.randbytes(BLOCK * self.random.randrange(8, 40))
            with open(os.path.join(self.world.mount, name), "wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            self.content[name] = content

    def copy(self):
        return os.path.join(self.world.site_dir, self.world.name)

    def records(self, directory=None):
        """(segment, byte, seq, type, size) of every record in the newest segment of the copy, or of another directory."""
        log = os.path.join(directory or self.copy(), "log")
        path = os.path.join(log, max(name for name in os.listdir(log) if name.endswith(".seg")))
        with open(path, "rb") as file:
            data = file.read()
        found, at = [], HEADER
        while at + HEADER <= len(data):
            kind, seq, stored = data[at + 4], struct.unpack_from("<Q", data, at + 16)[0], struct.unpack_from("<I", data, at + 44)[0]
            if kind == 0:
                break
            size = HEADER + (stored + 7) // 8 * 8
            found.append((path, at, seq, kind, size))
            at += size
        return found

    def flip(self, path, at):
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ (1 << self.random.randrange(8))]))

    def overwrite(self, path, at, size):
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(self.random.randbytes(size))

    def pair(self):
        for volume in json.loads(self.world.run("status", self.world.volume, "--json", ok=None).stdout)["volumes"]:
            for pair in volume["pairs"]:
                return pair
        raise AssertionError("there is no pair")

    def wait_duplex(self):
        self.world.wait(None, lambda: self.pair()["state"] == "duplex", "the pair to be duplex", 60)

    def messages(self):
        self.world.log.flush()
        with open(self.world.log.name, "rb") as file:
            return file.read().decode(errors="replace")


def data_record(story, after):
    """One in the middle of what follows byte `after`, with more behind it."""
    data = [record for record in story.records() if record[3] == DATA and record[1] >= after]
    return story.random.choice(data[len(data) // 4:len(data) // 2])


def end_of(story):
    path, at, _, _, size = story.records()[-1]
    return path, at + size


def damage_block(story, after):
    path, at, seq, _, size = data_record(story, after)
    story.flip(path, at + size - 8 - story.random.randrange(BLOCK - 16))
    return seq


def damage_header(story, after):
    path, at, seq, _, _ = data_record(story, after)
    story.overwrite(path, at, HEADER)
    return seq


def damage_newest(story, _):
    path, at, seq, _, size = story.records()[-1]
    story.overwrite(path, at + HEADER, size - HEADER)
    return seq


def healed(story, what, damage):
    world = story.world
    after = end_of(story)[1]
    story.write(FILES)
    time.sleep(0.5)  # times of files, too, are there by then
    world.kill_site()
    acknowledged = story.records()[-1][2]
    seq = damage(story, after)
    told_before = len(story.messages())
    world.start_site()
    story.wait_duplex()
    story.write(1)
    pair = story.pair()
    if pair["durable"] < acknowledged:
        raise AssertionError(f"{what}: durable {pair['durable']} of {acknowledged}")
    told = story.messages()[told_before:]
    for said in (f"the site has lost records {seq} to", ):
        if said not in told or said not in pair["cause"]:
            raise AssertionError(f"{what}: nobody says '{said}': {pair['cause']}{world.tail()}")
    if not world.equal():
        raise AssertionError(f"{what}: the copy differs{world.tail()}")
    world.kill_site()
    verdict = json.loads(world.run("verify", story.copy(), "--json", ok=None).stdout)
    if not verdict["sound"]:
        raise AssertionError(f"{what}: the copy is not sound: {verdict}")
    world.start_site()
    story.wait_duplex()
    print(f"{what}: record {seq} of {acknowledged} acknowledged ones damaged; sent again, and told", flush=True)


def unreadable(directory, content_of):
    """Names of files that answer with an error. What can be read must be right."""
    names = []
    for name, content in content_of.items():
        try:
            with open(os.path.join(directory, name), "rb") as file:
                if file.read() != content:
                    raise AssertionError(f"{name} reads wrong")
        except OSError:
            names.append(name)
    return names


def without_source(story):
    """Nobody sends anything again: the copy shows all but the block."""
    world = story.world
    after = end_of(story)[1]
    story.write(FILES)
    time.sleep(0.5)
    world.kill_site()
    world.kill_primary()
    acknowledged = story.records()[-1][2]
    seq = damage_block(story, after)
    shown = os.path.join(world.root, "shown")
    os.mkdir(shown)
    world.run("mount", story.copy() + "@latest", shown)
    try:
        wrong = unreadable(shown, story.content)
    finally:
        world.run("umount", shown)
    if len(wrong) != 1:
        raise AssertionError(f"without a source: {wrong} cannot be read; one of them is damaged")
    verdict = json.loads(world.run("verify", story.copy(), "--json", ok=(13,)).stdout)
    if not any(each["seq"] == seq for each in verdict["log_damage"]):
        raise AssertionError(f"without a source: record {seq} is not reported: {verdict['log_damage']}")
    print(f"without a source: {acknowledged} records kept, record {seq} reported, one file of {len(story.content)} lost", flush=True)


def in_the_last_segment(story):
    """The primary's own volume: a flipped bit in a file's content is that file's damage, not an outage."""
    world = story.world
    data = [record for record in story.records(world.volume) if record[3] == DATA]
    path, at, seq, _, size = story.random.choice(data[:-1])
    story.flip(path, at + size - 8 - story.random.randrange(BLOCK - 16))
    world.start_primary()
    if f"record {seq} is damaged" not in story.messages():
        raise AssertionError(f"nobody says that record {seq} is damaged{world.tail()}")
    wrong = unreadable(world.mount, story.content)
    if len(wrong) > 1:
        raise AssertionError(f"one flipped bit, and these cannot be read: {wrong}")
    print(f"primary: record {seq} damaged, mounted, unreadable: {wrong}", flush=True)
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    world = World(options.binary)
    story = Story(world, options.seed)
    good = False
    try:
        world.run("init", world.volume)
        world.start_site()
        world.start_primary()
        world.run("pair", "create", world.volume, "near", world.endpoint, "--mode", "sync")
        story.wait_duplex()
        story.write(2)
        healed(story, "a flipped bit in a block", damage_block)
        healed(story, "a header overwritten", damage_header)
        healed(story, "the newest record overwritten", damage_newest)
        without_source(story)
        in_the_last_segment(story)
        good = True
    finally:
        world.close(keep=options.keep or not good)
        if not good:
            print(f"kept: {world.root}", file=sys.stderr)


if __name__ == "__main__":
    main()
