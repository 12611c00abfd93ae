"""A load like fsx, with a model of its own: random writes, truncations, holes, shared mappings, copies and fsyncs on a few files.

Run as a program it is one worker (a killed daemon may take it along: a page fault on a dead mount is SIGBUS). What it does follows from
its seed and from what the files held at the start, so another process that knows both can say afterwards what may be there: it needs
only the journal, which says how far the worker came.

What a crash may leave of a file: each block as it was at some moment since the last fsync that returned, and a size between the
smallest and the largest since then. (Pages that nobody synced are written back in any order, as on any local filesystem.)
"""
import ctypes
import mmap
import os
import random
import struct
import sys

BLOCK = 4096
SIZE_MAX = 256 * 1024
UNSYNCED_MAX = 24          # operations on one file until it is synced
FILES = 4
FALLOC_PUNCH = 3           # PUNCH_HOLE | KEEP_SIZE

libc = ctypes.CDLL(None, use_errno=True)


def punch(fd, at, size):
    if libc.fallocate(fd, FALLOC_PUNCH, ctypes.c_long(at), ctypes.c_long(size)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


class Loss(AssertionError):
    """What was acknowledged is not there."""


class File:
    """The content as the program knows it, and every content since the last fsync."""

    def __init__(self, content):
        self.now = bytearray(content)
        self.since_sync = [bytes(content)]

    def changed(self):
        self.since_sync.append(bytes(self.now))

    def synced(self):
        self.since_sync = [bytes(self.now)]

    def store(self, at, data):
        if len(self.now) < at + len(data):
            self.now.extend(bytes(at + len(data) - len(self.now)))
        self.now[at:at + len(data)] = data

    def why_impossible(self, found):
        """"" if a crash may have left `found`."""
        sizes = [len(one) for one in self.since_sync]
        if not min(sizes) <= len(found) <= max(sizes):
            return f"its size is {len(found)}, since the last fsync it was {min(sizes)} to {max(sizes)}"
        for at in range(0, len(found), BLOCK):
            block = found[at:at + BLOCK]
            # A shorter state of the file reads as zeros where it was extended later.
            if not any(one[at:at + len(block)].ljust(len(block), b"\0") == block for one in self.since_sync):
                return f"block {at // BLOCK} is none of the {len(self.since_sync)} it was since the last fsync"
        return ""


class Script:
    """The operations of one worker, one after the other: step() does the next to the model and returns how to do it to the files."""

    def __init__(self, seed, contents):
        self.random = random.Random(seed)
        self.files = [File(content) for content in contents]

    def step(self):
        number = self.random.randrange(FILES)
        file = self.files[number]
        kind = self.random.random()
        size = len(file.now)
        if len(file.since_sync) > UNSYNCED_MAX or kind < 0.15:
            return number, ("msync" if self.random.random() < 0.3 and size > 0 else "fsync",), file.synced
        if kind < 0.50:
            return number, *self.write(file)
        if kind < 0.60:
            end = self.random.randrange(SIZE_MAX)
            return number, ("truncate", end), lambda: self.truncate(file, end)
        if kind < 0.70 and size > 0:
            at = self.random.randrange(size)
            length = self.random.randrange(1, size - at + 1)
            return number, ("punch", at, length), lambda: self.put(file, at, bytes(length))
        if kind < 0.85 and size >= 8:
            at = self.random.randrange(size // 8) * 8
            word = self.random.randbytes(8)
            return number, ("store", at, word), lambda: self.put(file, at, word)
        if kind < 0.92 and size > 0:
            return number, *self.copy(file)
        return number, ("read",), lambda: None

    def write(self, file):
        at = self.random.randrange(SIZE_MAX)
        length = self.random.choice([self.random.randrange(1, 600), self.random.randrange(1, 40_000), BLOCK])
        if length == BLOCK:
            at = at // BLOCK * BLOCK
        data = self.random.randbytes(min(length, SIZE_MAX - at))
        return ("write", at, data), lambda: self.put(file, at, data)

    def copy(self, file):
        size = len(file.now)
        source = self.random.randrange(size)
        length = self.random.randrange(1, min(size - source, 30_000) + 1)
        target = self.random.randrange(SIZE_MAX - length)
        if target < source + length and source < target + length:
            return ("read",), lambda: None  # the kernel refuses ranges that overlap
        data = bytes(file.now[source:source + length])
        return ("copy", source, target, length), lambda: self.put(file, target, data)

    @staticmethod
    def put(file, at, data):
        file.store(at, data)
        file.changed()

    @staticmethod
    def truncate(file, end):
        if end < len(file.now):
            del file.now[end:]
        else:
            file.now.extend(bytes(end - len(file.now)))
        file.changed()


def paths(folder):
    return [os.path.join(folder, f"file-{number}") for number in range(FILES)]


def contents(folder):
    held = []
    for path in paths(folder):
        with open(path, "rb") as stream:
            held.append(stream.read())
    return held


def prepare(folder):
    os.makedirs(folder, exist_ok=True)
    for path in paths(folder):
        fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        os.fsync(fd)
        os.close(fd)
    for above in (folder, os.path.dirname(folder)):
        fd = os.open(above, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(fd)
        os.close(fd)


def perform(fd, action):
    """Does to a file what a step says. Returns what was read, or None."""
    kind, *rest = action
    if kind == "fsync":
        os.fsync(fd)
    elif kind == "write":
        at, data = rest
        done = 0
        while done < len(data):
            done += os.pwrite(fd, data[done:], at + done)
    elif kind == "truncate":
        os.ftruncate(fd, rest[0])
    elif kind == "punch":
        punch(fd, *rest)
    elif kind == "copy":
        source, target, length = rest
        done = 0
        while done < length:
            done += os.copy_file_range(fd, fd, length - done, source + done, target + done)
    elif kind in ("store", "msync"):
        with mmap.mmap(fd, 0) as shared:
            if kind == "store":
                struct.pack_into("8s", shared, rest[0], rest[1])  # one machine store: it cannot be half-written back
            else:
                shared.flush()
    else:
        return os.pread(fd, SIZE_MAX + 1, 0)
    return None


def check(folder, seed, before, journal):
    """Loss unless the files are what a crash may have left of the worker's work. Returns the number of its operations."""
    with open(journal, "rb") as stream:
        marks = stream.read()
    begun, ended = marks.count(b"b"), marks.count(b"e")
    script = Script(seed, before)
    for number in range(begun):
        _, action, apply = script.step()
        # What had begun may be there in part; only what returned was promised.
        if number < ended or action[0] not in ("fsync", "msync"):
            apply()
    try:
        held = contents(folder)
    except FileNotFoundError as gone:
        raise Loss(f"{gone.filename}, whose directory was made durable, is gone") from gone
    for file, path, found in zip(script.files, paths(folder), held):
        why = file.why_impossible(found)
        if why:
            raise Loss(f"{path}, seed {seed}, after {ended} operations: {why}")
    return ended


def work(folder, seed, journal):
    script = Script(seed, contents(folder))
    fds = [os.open(path, os.O_RDWR) for path in paths(folder)]
    log = os.open(journal, os.O_WRONLY | os.O_APPEND)
    while True:
        number, action, apply = script.step()
        os.write(log, b"b")
        try:
            found = perform(fds[number], action)
            if found is not None and found != script.files[number].now:
                os.fsync(fds[number])  # fails where the disk is gone: what was not written back is not there any more, as it were
                found = perform(fds[number], action)
        except OSError:
            return 0  # the mount is gone, or its disk is
        os.write(log, b"e")
        apply()
        if found is not None and found != script.files[number].now:
            print(f"{folder}, seed {seed}: file-{number} reads otherwise than it was written", flush=True)
            return 3


if __name__ == "__main__":
    sys.exit(work(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
