#!/usr/bin/env python3
"""rsync and tar, there and back: a tree with everything a filesystem can hold is the same after each trip, in rsync's eyes.

usage: copies.py BINARY [--seed N]
"""
import os
import socket
import stat
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from program_test import check, main, remount, run, skip  # noqa: E402

EVERYTHING = ["-aHAXSx", "--numeric-ids"]
HOLE = 3 << 20


def plant(root, dice):
    """Made natively. Every kind of file, owner, mode, time, attribute; names of any bytes; holes; links; ACLs."""
    os.makedirs(root)
    for number in range(300):
        directory = os.path.join(root, f"d{number % 11}", f"e{number % 5}")
        os.makedirs(directory, exist_ok=True)
        path = os.path.join(directory, f"f{number}")
        with open(path, "wb") as file:
            file.write(dice.randbytes(dice.choice((0, 1, 511, 4096, 4097, 70_000))))
        os.chmod(path, dice.choice((0o644, 0o600, 0o755, 0o4755, 0o2755, 0o1644, 0o000)))
        os.chown(path, dice.randrange(3), dice.randrange(70000))
        os.chmod(path, dice.choice((0o644, 0o600, 0o755, 0o4755, 0o2755, 0o000)))
        second = dice.choice((-86_400, 0, 1, 1_700_000_000, 5_000_000_000)) + number
        os.utime(path, ns=(second * 10 ** 9 + number, second * 10 ** 9 + dice.randrange(10 ** 9)))
    os.makedirs(os.path.join(root, "empty"), mode=0o2770)
    for number in range(20):
        with open(os.path.join(root, f"sparse{number}"), "wb") as file:
            file.write(b"begin")
            file.seek(HOLE + number)
            file.write(b"middle")
            file.truncate(2 * HOLE + dice.randrange(9000))
    named = os.path.join(os.fsencode(root), b"n" * 255)
    with open(named, "wb"):
        pass
    for name in (b"line\nbreak", b"\xff\xfe not utf-8", b" -rf *", b"tab\t\"quote'\\"):
        os.symlink(name + b" nowhere", os.path.join(os.fsencode(root), b"link " + name))
        os.link(named, os.path.join(os.fsencode(root), name))
    os.mkfifo(os.path.join(root, "fifo"), 0o622)
    os.mknod(os.path.join(root, "device"), stat.S_IFCHR | 0o640, os.makedev(1, 7))
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(root)
        server.bind("socket")
        os.chdir("/")
    plant_attributes(root)


def plant_attributes(root):
    files = [os.path.join(root, f"sparse{number}") for number in range(8)]
    for number, path in enumerate(files):
        os.setxattr(path, "user.text", b"value %d" % number)
        os.setxattr(path, "user.bytes", bytes(range(256)) * (1 + number % 3))
        os.setxattr(path, "trusted.number", str(number).encode())
    run("setfacl", "-m", "u:1234:rw,g:4321:r,m:rw", *files[:4])
    run("setfacl", "-m", "d:u:1234:rwx,d:g::r-x,u:99:r-x", os.path.join(root, "empty"))
    # cap_net_raw+ep, as setcap(8) would write it
    os.setxattr(files[7], "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))


def same(here, there):
    """rsync, asked what it would have to do, by content: nothing."""
    said = run("rsync", *EVERYTHING, "--delete", "--checksum", "--dry-run", "--itemize-changes", here + "/", there + "/")
    check(said == b"", f"{there} differs from {here}:\n{said.decode(errors='replace')[:2000]}")


def native_tree(world):
    return os.path.join(world.root, "native")


def rsync_there_and_back(world, dice):
    native, inside, back = native_tree(world), os.path.join(world.mount, "rsync"), os.path.join(world.root, "back")
    plant(native, dice)
    run("rsync", *EVERYTHING, native + "/", inside + "/")
    same(native, inside)
    blocks = os.stat(os.path.join(inside, "sparse0")).st_blocks
    check(blocks * 512 < HOLE // 8, f"a sparse file takes {blocks} blocks")
    remount(world)
    same(native, inside)
    run("rsync", *EVERYTHING, inside + "/", back + "/")
    same(native, back)
    same(inside, back)


def overwrite_first_byte(path):
    with open(path, "r+b") as file:
        file.write(b"x")


def rsync_notices_a_change(world, dice):
    """Control: one byte, one time, one attribute or one ACL that differs is seen."""
    native, inside = native_tree(world), os.path.join(world.mount, "rsync")
    path = os.path.join(inside, "sparse1")
    about = os.stat(path)
    for change in (lambda: overwrite_first_byte(path), lambda: os.utime(path, (1, 1)),
                   lambda: os.setxattr(path, "user.text", b"other"), lambda: run("setfacl", "-m", "u:1234:r", path)):
        change()
        try:
            same(native, inside)
        except AssertionError:
            pass
        else:
            raise AssertionError("a change went unnoticed")
        run("rsync", *EVERYTHING, "--checksum", native + "/", inside + "/")
        same(native, inside)
    check(os.stat(path).st_mtime_ns == about.st_mtime_ns, "rsync did not bring the time back")


def tar_there_and_back(world, dice):
    native, inside, back = native_tree(world), os.path.join(world.mount, "tar"), os.path.join(world.root, "tar-back")
    os.unlink(os.path.join(native, "socket"))  # tar leaves sockets out
    for source, target in ((native, inside), (inside, back)):
        os.mkdir(target)
        script = ("set -o pipefail; tar -C \"$1\" --format=pax --xattrs '--xattrs-include=*' --acls --numeric-owner --sparse -cf - . |"
                  " tar -C \"$2\" --xattrs '--xattrs-include=*' --acls --numeric-owner --same-owner -xpf -")
        run("bash", "-c", script, "bash", source, target)
        same(source, target)
    same(native, back)


if __name__ == "__main__":
    if os.geteuid() != 0:
        skip("not root: owners and devices")
    main([rsync_there_and_back, rsync_notices_a_change, tar_there_and_back], needs=["rsync", "tar", "setfacl"])
