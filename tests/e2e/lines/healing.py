#!/usr/bin/env python3
"""A site whose copy is damaged on its disk heals itself: a scrub, or whoever reads there, comes upon it, and the site fetches what
stood there from its source, over the session that this one opened, or from its own target. Where nobody has it the block is an error,
and status says which.

usage: healing.py BINARY [--seed N] [--keep]
"""
import argparse
import glob
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sites import Sites  # noqa: E402

FILES = 12
SIZE = 8 << 20  # more than a segment in all, so that one is sealed
SPOILT = b"sixteen bad byte"  # more than one bit, which recovery would put right by itself


def fill(sites, dice):
    content = {}
    for number in range(FILES):
        name = f"file{number}"
        content[name] = dice.randbytes(SIZE)
        with open(os.path.join(sites.mount, name), "wb") as out:
            out.write(content[name])
            os.fsync(out.fileno())
    return content


def spoil(site, content, name, dice):
    """Overwrites a piece of a block of the file in the site's sealed segment. Returns where, and what stood there."""
    at = 4096 * dice.randrange(SIZE // 4096) + 1000
    wanted = content[name][at:at + len(SPOILT)]
    for segment in sorted(glob.glob(os.path.join(site.copy, "log", "*.seg"))):
        with open(segment, "r+b") as file:
            found = file.read().find(wanted)
            if found < 0:
                continue
            file.seek(found)
            file.write(SPOILT)
            file.flush()
            os.fsync(file.fileno())
            return segment, found, wanted
    raise AssertionError(f"no segment of {site.name} holds {name}")


def healed(wound):
    segment, at, wanted = wound
    with open(segment, "rb") as file:
        file.seek(at)
        return file.read(len(wanted)) == wanted


def scrubbed(sites, site):
    told = sites.run("status", site.copy, "--json", ok=None)  # somebody may have to act, which is not the matter here
    return json.loads(told.stdout)["volumes"][0]["scrub"]


def read_there(sites, site, name, ok=True):
    """Has the site read the file, and give it: true where it is what was written."""
    target = os.path.join(sites.root, f"restored-{time.monotonic_ns()}")
    done = sites.run("restore", f"{site.endpoint}/{sites.name}", "--target", target, "--include", name, ok=None)
    if ok and done.returncode != 0:
        raise AssertionError(f"restoring {name} from {site.name}: {done.stderr.decode()}{sites.tail()}")
    if done.returncode != 0:
        return None
    with open(os.path.join(target, name), "rb") as file:
        return file.read()


def by_scrub_from_the_source(sites, near, content, dice):
    wound = spoil(near, content, "file1", dice)
    began = time.monotonic()
    sites.wait(lambda: healed(wound), "a scrub to find the damage and heal it from the source", 120)
    print(f"  a scrub found it and healed it from the source after {time.monotonic() - began:.1f} s", flush=True)
    sites.wait(lambda: scrubbed(sites, near)["last_pass"] != "", "a whole pass", 120)
    sites.wait(lambda: scrubbed(sites, near)["healed"] >= 1, "status to tell", 30)
    told = scrubbed(sites, near)
    assert told["found"] == told["healed"] == 1 and told["damaged"] == [], told
    text = sites.run("status", near.copy, ok=None).stdout.decode()
    assert "last complete pass" in text and "damage found: 1, repaired: 1" in text, text


def by_reading_from_the_source(sites, far, content, dice):
    """`far` does not scrub."""
    wound = spoil(far, content, "file2", dice)
    assert read_there(sites, far, "file2") == content["file2"]
    assert healed(wound)
    print("  a reader came upon it, and it was healed from the source", flush=True)


def from_the_target(sites, near, content, dice):
    sites.kill_primary()
    wound = spoil(near, content, "file3", dice)
    assert read_there(sites, near, "file3") == content["file3"]
    assert healed(wound)
    print("  without its source the site healed itself from its own target", flush=True)


def from_nobody(sites, near, far, content, dice):
    far.kill()
    wound = spoil(near, content, "file4", dice)
    assert read_there(sites, near, "file4", ok=False) is None
    assert read_there(sites, near, "file5") == content["file5"]  # nothing else is lost
    sites.wait(lambda: len(scrubbed(sites, near)["damaged"]) == 1, "status to tell the damage", 120)
    place = scrubbed(sites, near)["damaged"][0]
    assert place["file"] == os.path.basename(wound[0]) and place["seq"] > 0, place
    text = sites.run("status", near.copy, ok=None).stdout.decode()
    assert "DAMAGED" in text and place["file"] in text, text
    assert not healed(wound)
    print(f"  nobody has it: an error, and status says {place['file']}, record {place['seq']}", flush=True)
    far.start()
    sites.wait(lambda: healed(wound), "the damage to be healed once there is another copy", 120)
    sites.wait(lambda: scrubbed(sites, near)["damaged"] == [], "status to tell that", 120)
    print("  healed once the target was back", flush=True)


def story(sites, dice):
    near = sites.site("near", flags=("--scrub", "2s"))
    far = sites.site("far", flags=("--scrub", "off"))
    sites.start_primary()
    sites.run("pair", "create", sites.volume, "near", near.endpoint)
    content = fill(sites, dice)
    sites.duplex("near")
    sites.run("pair", "create", near.copy, "far", far.endpoint)
    sites.wait(lambda: os.path.isdir(far.copy), "the far copy", 30)
    sites.duplex("far", directory=near.copy)
    by_scrub_from_the_source(sites, near, content, dice)
    by_reading_from_the_source(sites, far, content, dice)
    from_the_target(sites, near, content, dice)
    from_nobody(sites, near, far, content, dice)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    if not os.path.exists("/dev/fuse"):
        print("SKIP: there is no /dev/fuse here")
        return 77
    print(f"seed {arguments.seed}", flush=True)
    sites = Sites(arguments.binary)
    try:
        story(sites, random.Random(arguments.seed))
    finally:
        sites.close(arguments.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
