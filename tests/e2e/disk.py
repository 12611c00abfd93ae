"""A small ext4 of its own in a file, on a loop device, for end-to-end tests that want a disk to be full, read-only or gone."""
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import sys

SKIPPED = 77
SHUTDOWN = 0x8004587D      # EXT4_IOC_SHUTDOWN: as if the machine had lost power; what the disk has not is gone
NO_FLUSH = 2


def skip(why):
    print(f"SKIP: {why}, so nothing was tested", flush=True)
    sys.exit(SKIPPED)


def command(*words, ok=True):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True)
    if ok and done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.stderr.decode(errors='replace')}")
    return done


class Disk:
    """Mounted at `self.path`; its image stands at `root`/disk.img."""

    def __init__(self, root, mebibytes):
        self.image = os.path.join(root, "disk.img")
        self.path = os.path.join(root, "disk")
        os.mkdir(self.path)
        with open(self.image, "wb") as image:
            image.truncate(mebibytes << 20)
        # No blocks kept for root: full means full, for everybody.
        command("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,nodiscard", self.image)
        done = command("mount", "-o", "loop", self.image, self.path, ok=False)
        if done.returncode != 0:
            skip("no loop device can be mounted here: " + done.stderr.decode(errors="replace").strip())

    def mount(self, options="loop"):
        command("mount", "-o", options, self.image, self.path)

    def unmount(self):
        command("umount", self.path)

    def free(self):
        held = os.statvfs(self.path)
        return held.f_bavail * held.f_frsize

    def ballast(self, leave=0):
        """Takes all the space there is but `leave` bytes. Goes with drop_ballast()."""
        path = os.path.join(self.path, "ballast")
        with open(path, "ab") as out:
            while self.free() > leave:
                step = min(1 << 20, max(4096, self.free() - leave))
                try:
                    os.posix_fallocate(out.fileno(), os.fstat(out.fileno()).st_size, step)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    if step <= 4096:
                        return
                    try:
                        os.posix_fallocate(out.fileno(), os.fstat(out.fileno()).st_size, 4096)
                    except OSError:
                        return

    def drop_ballast(self):
        os.unlink(os.path.join(self.path, "ballast"))

    def lose_power(self):
        """From here on nothing reaches the disk and every write fails. plug_in() shows what was on it."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NO_FLUSH))
        finally:
            os.close(fd)

    def plug_in(self, options="loop"):
        self.unmount()
        self.mount(options)

    def go_read_only(self):
        """What the kernel does to a file system it finds broken."""
        command("mount", "-o", "remount,abort", self.path, ok=False)

    def close(self):
        subprocess.run(["umount", "-l", self.path], capture_output=True)


def needs_root():
    if os.geteuid() != 0:
        skip("only root may mount a disk")
    for tool in ("mkfs.ext4", "mount"):
        if shutil.which(tool, path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin") is None:
            skip(f"{tool} is not installed")
