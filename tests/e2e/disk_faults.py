#!/usr/bin/env python3
"""A mounted volume whose disk fills up, turns read-only or stops answering, and daemons that may open or hold too little.

Shown for each: the application gets the errno a local filesystem would give, messages say what, where and what to do; what was
acknowledged is there, at once or after the disk is back; and where space was all that lacked, work goes on without a new mount.

usage: disk_faults.py BINARY [SCENARIO…]
"""
import argparse
import contextlib
import errno
import hashlib
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import disk as disks  # noqa: E402
from kill_rounds import make_mark  # noqa: E402
from world import World  # noqa: E402

MIB = 1 << 20


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class Case:
    """A volume on a disk of its own, mounted, and the files whose fsync returned."""

    def __init__(self, binary, mebibytes):
        self.disk = None
        self.world = World(binary, place=lambda root: self.make_disk(root, mebibytes))
        self.kept = {}
        self.random = random.Random(mebibytes)
        self.world.run("init", self.world.volume)
        self.world.start_primary()

    def make_disk(self, root, mebibytes):
        self.disk = disks.Disk(root, mebibytes)
        return self.disk.path

    def path(self, name):
        return os.path.join(self.world.mount, name)

    def write(self, name, size):
        """Writes, syncs and remembers a file. OSError as the application meets it."""
        content = self.random.randbytes(size)
        fd = os.open(self.path(name), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
        try:
            try:
                view = memoryview(content)
                while view:
                    view = view[os.write(fd, view):]
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError:
            self.kept.pop(name, None)
            raise
        self.kept[name] = hashlib.sha256(content).hexdigest()

    def fill(self, size=8 * MIB):
        """Writes until an error comes. Returns its errno."""
        for number in range(100_000):
            try:
                self.write(f"fill-{number}", size)
            except OSError as error:
                return error.errno
        raise AssertionError("the disk does not fill up")

    def check_one(self, name):
        with open(self.path(name), "rb") as stream:
            found = hashlib.sha256(stream.read()).hexdigest()
        expect(found == self.kept[name], f"{name} is not what was fsynced{self.world.tail()}")

    def check(self):
        for name in self.kept:
            self.check_one(name)

    def expect_error(self, action, *wanted):
        try:
            action()
        except OSError as error:
            expect(error.errno in wanted, f"{errno.errorcode[error.errno]} instead of {[errno.errorcode[one] for one in wanted]}")
            return
        raise AssertionError(f"no error, {[errno.errorcode[one] for one in wanted]} expected{self.world.tail()}")

    def eventually(self, action, what, seconds=20):
        end = time.monotonic() + seconds
        while True:
            try:
                return action()
            except OSError as error:
                if time.monotonic() > end:
                    raise AssertionError(f"{what}: still {error} after {seconds} s{self.world.tail()}") from error
                time.sleep(0.2)

    def restart(self):
        self.world.kill_primary()
        subprocess.run(["umount", "-l", self.world.mount], capture_output=True)
        self.world.start_primary()

    def messages(self):
        return self.world.tail()

    @contextlib.contextmanager
    def point(self, point="latest"):
        """The volume at a point, mounted read-only beside the live one."""
        where = os.path.join(self.world.root, "point")
        os.makedirs(where, exist_ok=True)
        self.world.run("mount", f"{self.world.volume}@{point}", where)
        try:
            yield where
        finally:
            self.world.run("umount", where)

    def close(self):
        self.world.close(keep=True)
        self.disk.close()
        shutil.rmtree(self.world.root, ignore_errors=True)


def full(case):
    """Full: ENOSPC; reading, removing and status go on; with more room writing goes on in the same mount."""
    case.disk.ballast(leave=160 * MIB)
    expect(case.fill() == errno.ENOSPC, "the error of a full disk is not ENOSPC")
    expect("make room outside the volume or enlarge the disk" in case.messages(), "nothing says what helps" + case.messages())
    case.check()
    space = os.statvfs(case.world.mount)
    expect(space.f_bavail * space.f_frsize < 16 * MIB, "df shows space that cannot be used")
    for name in list(case.kept)[:3]:
        os.unlink(case.path(name))
        del case.kept[name]
    status = json.loads(case.world.run("status", case.world.volume, "--json", ok=(1,)).stdout)["volumes"][0]
    expect(status["healthy"] is True, "a full disk is no failure of the log")
    expect(status["standing"] == "DOWN" and "full" in status["refusal"], f"status says {status}")
    case.disk.drop_ballast()
    case.eventually(lambda: case.write("afterwards", 20 * MIB), "writing after room was made")
    # The first mark after it says that pages were lost; the next has nothing to complain about.
    case.eventually(lambda: make_mark(case.world.mount, "afterwards"), "a mark after room was made")
    case.check()
    case.restart()
    case.check()


def full_to_the_brim(case):
    """Somebody else takes the last byte: reading goes on, points can be mounted, a killed daemon costs nothing."""
    case.write("before", 30 * MIB)
    make_mark(case.world.mount, "before")
    case.write("behind the mark", 3 * MIB)
    case.disk.ballast()
    case.expect_error(lambda: case.write("too much", 5 * MIB), errno.ENOSPC)
    case.check()
    case.world.run("status", case.world.volume, ok=(1,))
    case.world.kill_primary()
    for point in ("before", "latest"):
        with case.point(point) as where:
            with open(os.path.join(where, "before"), "rb") as stream:
                expect(hashlib.sha256(stream.read()).hexdigest() == case.kept["before"], "a point on a full disk reads otherwise")
            expect(os.path.exists(os.path.join(where, "behind the mark")) == (point == "latest"), "another point is shown")
    case.world.run("status", case.world.volume, ok=(1,))
    case.world.run("mark", "list", case.world.volume)
    mounted = case.world.run("mount", case.world.volume, case.world.mount, ok=None)
    if mounted.returncode != 0:
        expect(b"No space left" in mounted.stderr or b"full" in mounted.stderr, "not a word of space: " + mounted.stderr.decode())
    else:
        case.check()
        case.world.run("umount", case.world.mount)
    case.disk.drop_ballast()
    case.world.start_primary()
    case.check()
    case.write("afterwards", 5 * MIB)
    case.check()


def full_index(case):
    """The index cannot be written although the log could: ENOSPC, and it goes on by itself when there is room."""
    for number in range(3000):
        os.close(os.open(case.path(f"small-{number}"), os.O_CREAT | os.O_WRONLY, 0o644))
    case.write("before", 5 * MIB)
    case.disk.ballast()
    # Makes the daemon flush its index, which fails.
    flushed = case.world.run("mark", "list", case.world.volume)
    expect(b"newest changes may not be shown" in flushed.stderr, "the index was written on a full disk: " + flushed.stderr.decode())
    case.expect_error(lambda: case.write("too much", 5 * MIB), errno.ENOSPC)
    case.expect_error(lambda: os.mkdir(case.path("too much as well")), errno.ENOSPC)
    case.check()
    case.disk.drop_ballast()
    case.eventually(lambda: case.write("afterwards", 5 * MIB), "writing after room was made")
    make_mark(case.world.mount, "afterwards")
    names = set(os.listdir(case.world.mount))
    expect(all(f"small-{number}" in names for number in range(3000)), "names are missing")
    case.check()
    case.restart()
    case.check()
    case.world.run("verify", case.world.volume)


def dead(case):
    """The disk stops answering, with all it has not written: EIO, from then on; back again nothing acknowledged is missing."""
    for turn in range(4):
        case.write(f"before-{turn}", 3 * MIB)
        make_mark(case.world.mount, f"before-{turn}")
        if turn == 2:
            case.world.run("mark", "list", case.world.volume)  # an index that is flushed
        for number in range(50):
            os.close(os.open(case.path(f"loose-{turn}-{number}"), os.O_CREAT | os.O_WRONLY, 0o644))
        case.disk.lose_power()
        case.expect_error(lambda: case.write("too late", MIB), errno.EIO)
        case.expect_error(lambda: os.mkdir(case.path("too late as well")), errno.EIO)
        case.expect_error(lambda: make_mark(case.world.mount, "never"), errno.EIO)
        expect("accepts nothing until it is reopened" in case.messages(), "the log does not say that it failed")
        for whom in (case.world.mount, case.world.volume):
            told = case.world.run("status", whom, ok=None)
            expect(told.returncode == 1 and os.strerror(errno.EIO).encode() in told.stderr, f"status says {told}")
        case.world.kill_primary()
        subprocess.run(["umount", "-l", case.world.mount], capture_output=True)
        case.disk.plug_in()
        case.world.start_primary()
        case.check()
        marks = {mark["name"] for mark in case.world.json("mark", "list", case.world.mount)["marks"]}
        expect({f"before-{one}" for one in range(turn + 1)} <= marks and "never" not in marks, f"marks: {marks}")
    case.world.run("umount", case.world.mount)
    case.world.run("verify", case.world.volume)


def read_only(case):
    """The kernel turns the disk read-only under a live mount, and later it is only mounted read-only."""
    case.write("before", 5 * MIB)
    make_mark(case.world.mount, "before")
    case.disk.go_read_only()
    case.expect_error(lambda: case.write("too late", MIB), errno.EIO, errno.EROFS)
    case.check()
    told = case.world.run("status", case.world.volume, ok=None)
    expect(told.returncode == 1 and b"the log has failed" in told.stderr, f"status says {told}")
    case.world.kill_primary()
    subprocess.run(["umount", "-l", case.world.mount], capture_output=True)
    case.disk.plug_in()  # mends the journal, which takes writing
    case.disk.plug_in("loop,ro")
    mounted = case.world.run("mount", case.world.volume, case.world.mount, ok=None)
    expect(mounted.returncode == 1 and b"ead-only" in mounted.stderr, "mounting on a read-only disk: " + mounted.stderr.decode())
    for point in ("before", "latest"):
        with case.point(point) as where:
            with open(os.path.join(where, "before"), "rb") as stream:
                expect(hashlib.sha256(stream.read()).hexdigest() == case.kept["before"], "a point on a read-only disk reads otherwise")
    case.world.run("status", case.world.volume)
    case.world.run("restore", f"{case.world.volume}@before", "--target", os.path.join(case.world.root, "restored"))
    case.disk.plug_in()
    case.world.start_primary()
    case.check()


def limited(case, kind, limit):
    """Mounts with a resource limit and loads it. True if it could be mounted at all."""
    case.world.kill_primary()
    subprocess.run(["umount", "-l", case.world.mount], capture_output=True)
    case.world.primary = subprocess.Popen(
        [case.world.binary, "mount", "-f", case.world.volume, case.world.mount], stdin=subprocess.DEVNULL, stdout=case.world.log,
        stderr=case.world.log, start_new_session=True, preexec_fn=lambda: resource.setrlimit(kind, (limit, limit)))
    try:
        case.world.wait(case.world.primary, case.world.mounted, "the mount")
    except AssertionError:
        return False
    try:
        for number in range(60):
            case.write(f"limit-{limit}-{number}", 2 * MIB)
            case.check_one(f"limit-{limit}-{number}")
    except OSError as error:
        # ENOTCONN and its like: it ended. Anything else is an error it gave, and it goes on.
        expect(error.errno in (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOTCONN, errno.ECONNABORTED),
               f"{error}{case.messages()}")
    return True


def few_files(case):
    """A daemon that may open few files: an error that says so, or it works; never a loss."""
    outcomes = set()
    for limit in (6, 14, 32, 100, 130, 160, 256):
        outcomes.add(limited(case, resource.RLIMIT_NOFILE, limit))
        if not outcomes & {True}:
            expect("open files" in case.messages(), "nothing says that files are few" + case.messages())
        case.restart()
        case.check()
    expect(outcomes == {True, False}, f"some limits must be too low and some must do: {outcomes}")


def little_memory(case):
    """A daemon that may map little: it cannot be mounted, gives errors or ends; never a loss."""
    with open(case.world.binary, "rb") as program:
        if re.search(rb"__[at]san_init", program.read()):
            print("little-memory: left out, a sanitizer maps more than any limit")
            return
    outcomes = set()
    for mebibytes in (150, 400, 700, 4000):
        outcomes.add(limited(case, resource.RLIMIT_AS, mebibytes * MIB))
        case.restart()
        case.check()
    expect(True in outcomes, "no limit does")


SCENARIOS = {"full": (full, 300), "full-to-the-brim": (full_to_the_brim, 300), "full-index": (full_index, 300), "dead": (dead, 400),
             "read-only": (read_only, 300), "few-files": (few_files, 1500), "little-memory": (little_memory, 1500)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("scenarios", nargs="*", default=[])
    options = parser.parse_args()
    disks.needs_root()
    for name in options.scenarios or SCENARIOS:
        scenario, mebibytes = SCENARIOS[name]
        begun = time.monotonic()
        case = Case(options.binary, mebibytes)
        try:
            scenario(case)
        finally:
            case.close()
        print(f"{name}: ok ({time.monotonic() - begun:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
