#!/usr/bin/env python3
"""What a mark costs beside an fsync where the kernel knows many inodes.

  bench/mark_many.py BINARY [FILES] [DIR]     a million files, below /var/tmp; about ten minutes

Makes the files natively, takes them over with `init --from`, has the kernel look at all of them, and then, in turn, appends 4 KiB and
fsyncs, and appends 4 KiB and marks. The same before that, with the kernel knowing next to none.
"""
import fcntl
import os
import shutil
import statistics
import struct
import sys
import tempfile
import time

from volume import Volume

PER_DIRECTORY = 1000
SAMPLES = 200
SIZE = 4512
IOC_MARK = (3 << 30) | (SIZE << 16) | (ord("T") << 8) | 0x4D


def make_files(root, count):
    for number in range(count):
        if number % PER_DIRECTORY == 0:
            directory = os.path.join(root, f"d{number // PER_DIRECTORY}")
            os.mkdir(directory)
        os.mknod(os.path.join(directory, f"f{number}"))


def look_at_all(path):
    seen = 0
    for entry in os.scandir(path):
        if entry.is_dir(follow_symlinks=False):
            for file in os.scandir(entry.path):
                file.stat()
                seen += 1
    return seen


def mark(fd, name):
    request = bytearray(SIZE)
    struct.pack_into("I", request, 0, SIZE)
    request[24:24 + len(name)] = name.encode()
    fcntl.ioctl(fd, IOC_MARK, request)


def compare(path, prefix):
    """Medians of fsync and mark in ms, each after an append of 4 KiB, in turn."""
    fd = os.open(os.path.join(path, "load"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    times = {"fsync": [], "mark": []}
    for i in range(SAMPLES):
        for what in times:
            os.write(fd, os.urandom(4096))
            began = time.monotonic()
            if what == "fsync":
                os.fsync(fd)
            else:
                mark(fd, f"{prefix}-{i}")
            times[what].append((time.monotonic() - began) * 1000)
    os.close(fd)
    return {what: statistics.median(values) for what, values in times.items()}


def report(known, medians):
    print(f"{known:>9,} inodes known: fsync {medians['fsync']:.2f} ms, mark {medians['mark']:.2f} ms, "
          f"ratio {medians['mark'] / medians['fsync']:.2f}", flush=True)


def main():
    binary = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    parent = sys.argv[3] if len(sys.argv) > 3 else "/var/tmp"
    native = tempfile.mkdtemp(prefix="tidemark-native-", dir=parent)
    volume = None
    try:
        began = time.monotonic()
        make_files(native, count)
        print(f"made {count:,} files in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        began = time.monotonic()
        volume = Volume(binary, parent, "--from", native)
        print(f"took them over in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        volume.mount()
        report(1, compare(volume.path, "few"))
        began = time.monotonic()
        seen = look_at_all(volume.path)
        print(f"looked at {seen:,} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        for round in range(3):
            report(seen, compare(volume.path, f"many{round}"))
        volume.unmount()
    finally:
        shutil.rmtree(native, ignore_errors=True)
        if volume is not None:
            volume.remove()


if __name__ == "__main__":
    main()
