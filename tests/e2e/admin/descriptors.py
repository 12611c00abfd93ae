#!/usr/bin/env python3
"""Few open files: a mount and a site refuse to start, or work; running out later is an error of what needed one, and ends no daemon.

usage: descriptors.py BINARY
"""
import os
import resource
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from world import World  # noqa: E402

MIB = 1 << 20


def expect(condition, what, world):
    if not condition:
        raise AssertionError(what + world.tail())


class Few(World):
    def spawn_with(self, limit, *words):
        return subprocess.Popen([self.binary, *words], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                start_new_session=True,
                                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, 32), limit)))

    def limits(self, process):
        """Lowers the limit of a running process to what it has open, and a little."""
        held = len(os.listdir(f"/proc/{process.pid}/fd"))
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (held + 2, 160))

    def too_few(self):
        for limit in (16, 32, 48, 64, 96, 112, 120):
            process = self.spawn_with(limit, "mount", "-f", self.volume, self.mount)
            end = time.monotonic() + 20
            while process.poll() is None and not self.mounted() and time.monotonic() < end:
                time.sleep(0.02)
            if process.poll() is None:
                self.run("umount", self.mount)
                process.wait(30)
            expect(process.returncode >= 0, f"with {limit} files the mount ended by signal {-process.returncode}", self)
            if limit <= 96:
                expect(process.returncode != 0, f"a mount with {limit} files", self)
        expect(b"ulimit -n" in open(self.log.name, "rb").read(), "nobody is told of the limit", self)

    def load(self, count):
        for number in range(count):
            name = f"file{number}"
            self.whole.discard(name)  # truncated, and nobody has said yet that the rest is there
            with open(os.path.join(self.mount, name), "wb") as out:
                out.write(os.urandom(MIB))
                out.flush()
                os.fsync(out.fileno())
            self.whole.add(name)

    def works_with_few(self):
        self.primary = self.spawn_with(160, "mount", "-f", self.volume, self.mount)
        self.wait(self.primary, self.mounted, "the mount")
        self.whole = set()  # names of files whose fsync has returned
        self.load(200)  # several segments
        self.json("mark", "create", self.mount, "few")
        expect(self.primary.poll() is None, "the daemon has ended", self)
        soft = resource.prlimit(self.primary.pid, resource.RLIMIT_NOFILE)
        expect(soft[0] == soft[1] == 160, f"the soft limit is {soft}", self)

    def runs_out(self):
        """Commands, pairs and new segments, with nothing left to open."""
        self.limits(self.primary)
        for number in range(3):
            self.run("pair", "create", self.volume, f"away{number}", f"tcp://127.0.0.1:{self.port}", ok=None)
        try:
            self.load(80)
        except OSError:
            pass
        for words in (("status", self.volume), ("mark", "create", self.mount, "none"), ("prune", self.volume, "--to", "few", "--yes")):
            try:
                self.run(*words, ok=None, timeout=30)
            except subprocess.TimeoutExpired:
                pass
        expect(self.primary.poll() is None, f"the daemon has ended: {self.primary.returncode}", self)
        resource.prlimit(self.primary.pid, resource.RLIMIT_NOFILE, (160, 160))
        time.sleep(1)
        try:
            self.load(10)
        except OSError as error:  # a log whose sync failed stays failed, as it says
            print(f"after running out: {error}")
        self.run("umount", self.mount)
        self.primary.wait(60)
        expect(self.primary.returncode >= 0, f"the daemon ended by signal {-self.primary.returncode}", self)
        self.run("verify", self.volume)
        self.start_primary()
        expect(len(self.whole) >= 190, f"only {len(self.whole)} files were written", self)
        for name in self.whole:
            expect(os.path.getsize(os.path.join(self.mount, name)) == MIB, f"{name} is not whole", self)

    def a_site(self):
        for limit in (16, 48, 96):
            site = self.spawn_with(limit, "serve", "--dir", self.site_dir, "--listen", self.endpoint)
            expect(site.wait(20) > 0, f"a site with {limit} files", self)
        self.site = self.spawn_with(160, "serve", "--dir", self.site_dir, "--listen", self.endpoint)
        self.wait(self.site, self.site_listens, "the site to listen")
        self.limits(self.site)
        for _ in range(20):
            self.run("verify", self.volume, "--against", self.remote(), ok=None, timeout=60)
        expect(self.site.poll() is None, "the site has ended", self)


def main():
    if os.geteuid() != 0:
        print("SKIP: mounting needs root here")
        return 77
    world = Few(sys.argv[1])
    try:
        world.run("init", world.volume)
        world.too_few()
        world.works_with_few()
        world.runs_out()
        world.a_site()
    finally:
        world.close()
    print("descriptors: too few are an error, never an abort")
    return 0


if __name__ == "__main__":
    sys.exit(main())
