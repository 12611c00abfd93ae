#!/usr/bin/env python3
"""Damage under a live mount, and its repair from a site.

Bits of the primary's segments are flipped on disk while the volume is mounted. Without a site a read gives EIO and the log names segment,
byte, record, inode and file; everything else reads as before. With a site the same read gives the right bytes, the log says
what was repaired, and verify finds nothing afterwards. A volume that does not open at all is salvaged, and repaired with
`verify --repair`.

usage: repair.py BINARY [--seed N] [--keep]
"""
import argparse
import errno
import glob
import json
import os
import random
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import World  # noqa: E402

FILES = 12
SECRET = b"damage me: "


def drop(path):
    """Forgets what the kernel holds of a file, so that the next read asks for it."""
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


class Story:
    def __init__(self, world, seed):
        self.world = world
        self.random = random.Random(seed)
        self.content = {}

    def path(self, name):
        return os.path.join(self.world.mount, name)

    def fill(self):
        os.makedirs(self.path("dir"), exist_ok=True)
        for number in range(FILES):
            name = f"dir/file{number}"
            # Every file has blocks nobody else has: where they lie in the segments is found by looking for them.
            content = b"".join(SECRET + f"{name} {block} ".encode() + self.random.randbytes(4096 - 40)
                               for block in range(24))
            with open(self.path(name), "wb") as out:
                out.write(content)
                os.fsync(out.fileno())
            self.content[name] = content

    def segments(self):
        return sorted(glob.glob(os.path.join(self.world.volume, "log", "*.seg")))

    def packs(self):
        return sorted(glob.glob(os.path.join(self.world.volume, "log", "*.pack")))

    def flip_in(self, name):
        """One bit of one block of the file, in whatever segment or pack it lies. Returns the name of that."""
        block = 4096 * self.random.randrange(len(self.content[name]) // 4096)
        wanted = self.content[name][block + 64:block + 164]
        for segment in self.segments() + self.packs():
            with open(segment, "r+b") as file:
                data = file.read()
                at = data.find(wanted)
                if at < 0:
                    continue
                at += self.random.randrange(100)
                file.seek(at)
                file.write(bytes([data[at] ^ (1 << self.random.randrange(8))]))
                return os.path.basename(segment)
        raise AssertionError(f"no segment and no pack holds {name}")

    def read(self, name):
        drop(self.path(name))
        with open(self.path(name), "rb", buffering=0) as file:
            data = b""
            while chunk := file.read(1 << 20):
                data += chunk
            return data

    def check_all(self, but=()):
        for name, content in self.content.items():
            if name not in but and self.read(name) != content:
                raise AssertionError(f"{name} does not read as it was written")

    def messages(self):
        self.world.log.flush()
        with open(self.world.log.name, "rb") as file:
            return file.read().decode(errors="replace")


def without_a_site(story):
    world = story.world
    victim = "dir/file3"
    segment = story.flip_in(victim)
    try:
        story.read(victim)
    except OSError as error:
        assert error.errno == errno.EIO, error
    else:
        raise AssertionError("a damaged block was read without an error")
    story.check_all(but=[victim])
    time.sleep(0.1)
    said = [line for line in story.messages().splitlines() if victim in line and segment in line]
    assert said, "the log does not name the file and the segment" + world.tail()
    assert re.search(r"inode \d+\), byte \d+: (segment|pack) [-\d]+\.(seg|pack), byte \d+, seq \d+: ", said[0]), said[0]
    found = world.run("verify", world.volume, "--json", ok=(13,))
    verdict = json.loads(found.stdout)
    assert any(each["path"] == victim for each in verdict["file_damage"]), verdict
    assert any(each["path"] == victim and each["until"] is None for each in verdict["affected"]), verdict
    print(f"without a site: EIO, and the log says: {said[0].split(': ', 1)[1]}")


def repaired_under_load(story, rounds):
    world = story.world
    for _ in range(rounds):
        victim = story.random.choice(list(story.content))
        segment = story.flip_in(victim)
        if story.read(victim) != story.content[victim]:
            raise AssertionError(f"{victim} was not repaired" + world.tail())
        kind = "pack" if segment.endswith(".pack") else "segment"
        assert re.search(rf"repaired: {kind} {segment}, byte \d+, record \d+, from site 'away'", story.messages()), \
            "the log does not tell of the repair" + world.tail()
    story.check_all()
    print(f"with a site: {rounds} damaged blocks repaired while they were read")


def repaired_in_packs(story):
    """What a prune has moved, from a site that still has the segments, and from one that was pruned as well."""
    world = story.world
    for _ in range(3):  # enough for the segments of the files to go
        with open(story.path("filler"), "wb") as out:
            out.write(story.random.randbytes(30 << 20))
            os.fsync(out.fileno())
    os.unlink(story.path("filler"))
    world.wait(world.primary, lambda: at_site(world), "the pair")
    for volume in (world.volume, os.path.join(world.site_dir, world.name)):
        world.run("prune", volume, "--to", "latest", "--yes")
        assert story.packs(), "nothing was packed"
        repaired_under_load(story, 5)
    with open(story.packs()[0], "r+b") as file:  # the header of its first record
        file.seek(88 + 30)
        byte = file.read(1)
        file.seek(88 + 30)
        file.write(bytes([byte[0] ^ 16]))
    repaired = json.loads(world.run("verify", world.volume, "--repair", "--from", world.remote(), "--json", ok=None).stdout)
    assert repaired["sound"] and any(text.startswith("pack ") for text in repaired["repaired"]), repaired
    floor = os.path.join(world.volume, "log", "floor")
    with open(floor, "r+b") as file:
        sound = file.read()
        file.seek(60)
        file.write(bytes([sound[60] ^ 1]))
    told = json.loads(world.run("verify", world.volume, "--json", ok=(13,)).stdout)
    assert [each["file"] for each in told["damaged_files"]] == ["log/floor"], told
    world.run("umount", world.mount)
    world.primary.wait()
    world.run("verify", world.volume, ok=(13,))  # which opens it, and so puts it right
    assert open(floor, "rb").read() == sound, "the floor is not what it was"
    with open(floor, "r+b") as file:
        file.seek(len(sound) - 10)
        file.write(b"~")
    image, = glob.glob(os.path.join(world.volume, "base", "*.base"))
    rows = open(image, "rb").read()
    with open(image, "r+b") as file:
        file.seek(200)
        file.write(bytes([rows[200] ^ 2]))
    repaired = world.json("verify", world.volume, "--repair", "--from", world.remote())
    assert repaired["sound"] and open(floor, "rb").read() == sound and open(image, "rb").read() == rows, repaired
    world.start_primary()
    print("in packs: repaired from a site's segments and from its packs")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if not os.path.exists("/dev/fuse"):
        print("SKIP: no /dev/fuse here")
        return 77
    print(f"seed {options.seed}", flush=True)
    world = World(options.binary)
    story = Story(world, options.seed)
    try:
        world.run("init", world.volume)
        tell(world, story)
    finally:
        world.close(keep=options.keep)
    return 0


def at_site(world):
    """True when everything durable here is durable at the site."""
    done = world.run("status", world.volume, "--json", ok=None)
    if done.returncode != 0:
        return False
    volume = json.loads(done.stdout)["volumes"][0]
    return any(pair["state"] == "duplex" and pair["durable"] >= volume["position"]["seq"] for pair in volume["pairs"])


def tell(world, story):
    # With a site from the beginning, so that it has everything.
    world.start_primary()
    world.start_site()
    world.run("pair", "create", world.volume, "away", world.endpoint)
    story.fill()
    world.wait(world.primary, lambda: at_site(world), "the pair")
    repaired_under_load(story, 20)
    repaired_in_packs(story)
    verdict = world.json("verify", world.volume)
    assert verdict["sound"], verdict

    world.kill_site()
    without_a_site(story)
    world.start_site()
    world.run("umount", world.mount)
    world.primary.wait()

    closed(world, story)


def closed(world, story):
    """A volume that is not mounted: verify --repair, also of what keeps it from opening."""
    verdict = json.loads(world.run("verify", world.volume, "--json", ok=(13,)).stdout)
    assert verdict["log_damage"], verdict
    repaired = world.json("verify", world.volume, "--repair", "--from", world.remote())
    assert repaired["sound"] and repaired["repaired"], repaired

    sound = {path: open(path, "rb").read() for path in story.segments()}
    last = story.segments()[-1]
    with open(last, "r+b") as file:  # the header of a record of the last segment: the volume does not open any more
        file.seek(64 + 20)  # more than one bit: that alone would be put right
        bytes_there = file.read(8)
        file.seek(64 + 20)
        file.write(bytes(byte ^ 0x5a for byte in bytes_there))
    refused = world.run("mount", world.volume, world.mount, ok=None)
    assert refused.returncode == 13, refused
    assert world.run("restore", world.volume, "--target", os.path.join(world.root, "back"), ok=None).returncode == 13

    lost = "dir/file5"
    story.flip_in(lost)
    world.run("mount", world.volume, world.mount, "-o", "salvage")
    try:
        story.check_all(but=[lost])
        try:
            story.read(lost)
        except OSError as error:
            assert error.errno == errno.EIO, error
        else:
            raise AssertionError("a damaged block was read without an error")
    finally:
        world.run("umount", world.mount)
    saved = world.run("restore", world.volume, "--salvage", "--target", os.path.join(world.root, "saved"), ok=(3,))
    assert b"damaged" in saved.stderr, saved.stderr
    for name, content in story.content.items():
        path = os.path.join(world.root, "saved", name)
        if name == lost:
            assert not os.path.exists(path), "a damaged file was restored"
            assert name.encode() in saved.stderr, f"{name} is left out and nobody says so"
        else:
            assert open(path, "rb").read() == content, f"{name} was salvaged wrong"

    repaired = world.json("verify", world.volume, "--repair", "--from", world.remote())
    assert repaired["sound"], repaired
    for path, content in sound.items():
        assert open(path, "rb").read() == content, f"{path} is not what it was"

    path = os.path.join(world.volume, "group.json")
    before = open(path, "rb").read()
    with open(path, "r+b") as file:
        file.seek(before.index(b'"name": "') + 10)
        file.write(b"~")
    verdict = json.loads(world.run("verify", world.volume, "--json", ok=(13,)).stdout)
    assert [each["file"] for each in verdict["damaged_files"]] == ["group.json"], verdict
    assert world.json("verify", world.volume, "--repair", "--from", world.remote())["sound"]
    assert open(path, "rb").read() == before

    world.start_primary()
    story.check_all()
    print("closed: verify --repair put back records, a record's header and group.json; salvage told what it left out")


if __name__ == "__main__":
    sys.exit(main())
