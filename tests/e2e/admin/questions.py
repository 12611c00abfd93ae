#!/usr/bin/env python3
"""What lets history or a copy go asks first: at a terminal it takes a "y", without one it takes --yes, and an amount of time or space without
a unit is refused before anything else.

usage: questions.py BINARY
"""
import os
import pty
import select
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from world import World  # noqa: E402

MIB = 1 << 20


def expect(condition, what, world):
    if not condition:
        raise AssertionError(what + world.tail())


class Questions(World):
    def at_terminal(self, answer, *words, seconds=60):
        """Exit code and everything shown, with `answer` typed once the question is there."""
        ours, theirs = pty.openpty()
        child = subprocess.Popen([self.binary, *words], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        shown, asked, end = b"", False, time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    more = os.read(ours, 4096)
                except OSError:  # EIO: the other end is closed
                    break
                shown += more
                if not more:
                    break
            if not asked and b"[y/N]" in shown:
                os.write(ours, answer.encode() + b"\n")
                asked = True
        code = child.wait(seconds)
        os.close(ours)
        return code, shown.decode(errors="replace")

    def base(self):
        return self.json("status", self.volume)["volumes"][0]["base"]

    def prepare(self):
        self.run("init", self.volume)
        self.start_primary()
        for number in range(3):
            with open(os.path.join(self.mount, "file"), "wb") as out:
                out.write(os.urandom(40 * MIB))
            self.run("mark", "create", self.mount, f"m{number}")

    def units(self):
        base = self.base()
        for words in (("--keep", "7"), ("--keep", "1"), ("--keep-bytes", "4096"), ("--keep", "7", "--yes")):
            done = self.run("prune", self.volume, *words, ok=None)
            expect(done.returncode == 2 and b"has no unit; write " in done.stderr, f"{words}: {done}", self)
        expect(self.base() == base, "history has gone", self)
        done = self.run("umount", self.mount, "--timeout", "10", ok=None)
        expect(done.returncode == 2, f"umount --timeout 10: {done}", self)
        config = os.path.join(self.root, "config")
        with open(config, "w", encoding="utf-8") as out:
            out.write("[history]\nretention = \"30d\"\nmax_log = 10737418240\n")
        done = self.run("--config", config, "status", self.volume, ok=None)
        checked = self.run("--config", config, "config", "check", ok=None)
        expect(checked.returncode != 0 and b"config:3:" in checked.stderr + checked.stdout, f"{checked}", self)
        expect(b'write "10737418240B"' in checked.stderr + checked.stdout, f"{checked} {done}", self)

    def prune(self):
        base = self.base()
        done = self.run("prune", self.volume, "--to", "m1", ok=None)
        expect(done.returncode == 2 and b"--yes" in done.stderr, f"without a terminal: {done}", self)
        expect(b"1 mark: m0" in done.stderr and b"before 20" in done.stderr, f"it does not say what goes: {done}", self)
        code, shown = self.at_terminal("n", "prune", self.volume, "--to", "m1")
        expect(code == 1 and "nothing was done" in shown and "1 mark: m0" in shown, f"no: {code} {shown}", self)
        code, shown = self.at_terminal("", "prune", self.volume, "--to", "m1")
        expect(code == 1, f"just Enter: {code} {shown}", self)
        expect(self.base() == base, "history has gone without a yes", self)
        code, shown = self.at_terminal("y", "prune", self.volume, "--to", "m1")
        expect(code == 0 and "the base has moved" in shown, f"yes: {code} {shown}", self)
        self.run("restore", self.volume + "@m0", "--target", os.path.join(self.root, "m0"), ok=(10,))
        self.run("prune", self.volume, "--to", "m1")  # nothing goes: nobody is asked
        self.run("prune", self.volume, "--to", "m2", "--yes")
        self.run("restore", self.volume + "@m1", "--target", os.path.join(self.root, "m1"), ok=(10,))

    def pair(self):
        self.run("pair", "create", self.volume, "away", self.endpoint)
        self.run("pair", "delete", self.volume, "nobody", ok=(10,))
        done = self.run("pair", "delete", self.volume, "away", ok=None)
        expect(done.returncode == 2 and b"--yes" in done.stderr, f"without a terminal: {done}", self)
        code, shown = self.at_terminal("n", "pair", "delete", self.volume, "away")
        expect(code == 1 and "deletes the pair" in shown, f"no: {code} {shown}", self)
        expect(len(self.json("pair", "list", self.volume)["pairs"]) == 1, "the pair has gone without a yes", self)
        code, shown = self.at_terminal("yes", "pair", "delete", self.volume, "away")
        expect(code == 0, f"yes: {code} {shown}", self)
        expect(self.json("pair", "list", self.volume)["pairs"] == [], "the pair is still there", self)


def main():
    if os.geteuid() != 0:
        print("SKIP: mounting needs root here")
        return 77
    world = Questions(sys.argv[1])
    try:
        world.prepare()
        world.units()
        world.prune()
        world.pair()
    finally:
        world.close()
    print("questions: nothing went without a yes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
