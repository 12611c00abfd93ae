#!/usr/bin/env python3
"""A mount beside commands that read the volume, right after its daemon was killed, and beside another mount.

usage: beside.py BINARY [--mounts 40] [--kills 20]
"""
import argparse
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from world import World  # noqa: E402


def expect(condition, what, world):
    if not condition:
        raise AssertionError(what + world.tail())


class Beside(World):
    def mount_now(self, mount=None):
        """In the background, as an administrator does it."""
        return subprocess.run([self.binary, "mount", self.volume, mount or self.mount], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=90)

    def readers(self, stop):
        commands = (["log", self.volume, "--from", "seq:1"], ["status", self.volume], ["mark", "list", self.volume])
        failed = []

        def loop(words):
            while not stop.is_set():
                done = subprocess.run([self.binary, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=90)
                if done.returncode not in (0, 15):
                    failed.append((words, done.returncode, done.stderr))

        threads = [threading.Thread(target=loop, args=(words,)) for words in commands]
        for thread in threads:
            thread.start()
        return threads, failed

    def beside_readers(self, mounts):
        stop = threading.Event()
        threads, failed = self.readers(stop)
        refused = []
        longest = 0
        try:
            for number in range(mounts):
                begun = time.monotonic()
                done = self.mount_now()
                longest = max(longest, time.monotonic() - begun)
                if done.returncode != 0:
                    refused.append(done.stderr)
                    continue
                with open(os.path.join(self.mount, f"file{number}"), "w", encoding="utf-8") as out:
                    out.write("content\n")
                self.run("umount", self.mount)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        expect(not refused, f"{len(refused)} of {mounts} mounts failed beside readers: {refused[:2]}", self)
        expect(not failed, f"{len(failed)} readers failed beside mounts: {failed[:2]}", self)
        return longest

    def holder(self):
        return self.json("status", self.mount)["volumes"][0]["holder_pid"]

    def after_kills(self, kills):
        expect(self.mount_now().returncode == 0, "no mount", self)
        for number in range(kills):
            with open(os.path.join(self.mount, "killed"), "w", encoding="utf-8") as out:
                out.write(str(number))
            pid = self.holder()
            os.kill(pid, 9)
            done = self.mount_now()
            expect(done.returncode == 0, f"mount {number} right after kill -9 failed: {done.stderr.decode()}", self)
            expect(os.path.exists(os.path.join(self.mount, "file0")), "the mount shows something else", self)
        self.run("umount", self.mount)

    def two_at_once(self):
        other = os.path.join(self.root, "mnt2")
        os.mkdir(other)
        for _ in range(10):
            results = {}
            threads = [threading.Thread(target=lambda m=mount: results.__setitem__(m, self.mount_now(m)))
                       for mount in (self.mount, other)]
            begun = time.monotonic()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            codes = sorted(done.returncode for done in results.values())
            expect(codes == [0, 11], f"two mounts at once: {results}", self)
            expect(time.monotonic() - begun < 10, "two mounts at once take long", self)
            winner = next(mount for mount, done in results.items() if done.returncode == 0)
            loser = next(done for done in results.values() if done.returncode == 11)
            expect(winner in loser.stderr.decode(), f"busy does not name the holder: {loser.stderr.decode()}", self)
            self.run("umount", winner)


def main():
    if os.geteuid() != 0:
        print("SKIP: mounting needs root here")
        return 77
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--mounts", type=int, default=40)
    parser.add_argument("--kills", type=int, default=20)
    given = parser.parse_args()
    world = Beside(given.binary)
    try:
        world.run("init", world.volume)
        longest = world.beside_readers(given.mounts)
        world.after_kills(given.kills)
        world.two_at_once()
    finally:
        subprocess.run(["umount", "-l", world.mount], capture_output=True)
        world.close()
    print(f"beside: {given.mounts} mounts beside readers (the longest took {longest:.2f} s), {given.kills} right after kill -9")
    return 0


if __name__ == "__main__":
    sys.exit(main())
