#!/usr/bin/env python3
"""How long the next mount takes after a SIGKILL in the middle of writing, cold (as root).

  bench/crash_mount.py BINARY [GIB] [DIR] [ROUNDS]     10 GiB of incompressible data, below /var/tmp; three times
"""
import os
import sys
import time

from volume import Volume, drop_caches

MIB = 1 << 20
FILE = 1 << 30


def write(path, bytes_all):
    block = os.urandom(16 * MIB)
    stamp = 0
    for number in range(-(-bytes_all // FILE)):
        fd = os.open(os.path.join(path, f"f{time.monotonic_ns()}-{number}"), os.O_WRONLY | os.O_CREAT)
        for _ in range(min(FILE, bytes_all - number * FILE) // len(block)):
            stamp += 1
            os.write(fd, stamp.to_bytes(8, "little") + block[8:])
        os.close(fd)


def main():
    binary = sys.argv[1]
    gib = float(sys.argv[2]) if len(sys.argv) > 2 else 10
    parent = sys.argv[3] if len(sys.argv) > 3 else "/var/tmp"
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    for _ in range(rounds):
        volume = Volume(binary, parent)
        try:
            volume.mount()
            began = time.monotonic()
            write(volume.path, int(gib * (1 << 30)))
            seconds = time.monotonic() - began
            volume.kill()
            drop_caches()
            ready = volume.mount()
            print(f"{gib:g} GiB written in {seconds:.0f} s, killed; the next mount answers after {ready:.2f} s", flush=True)
            volume.unmount()
        finally:
            volume.remove()


if __name__ == "__main__":
    main()
