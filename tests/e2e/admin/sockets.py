#!/usr/bin/env python3
"""A volume on a file system without sockets: it is mounted, and commands find the mount. (Simulated: bind(2) answers EPERM for a path.)

usage: sockets.py BINARY
"""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from world import World  # noqa: E402

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
int bind(int fd, const struct sockaddr* address, socklen_t size) {
  static int (*real)(int, const struct sockaddr*, socklen_t);
  if (!real) real = (int (*)(int, const struct sockaddr*, socklen_t))dlsym(RTLD_NEXT, "bind");
  const struct sockaddr_un* un = (const struct sockaddr_un*)address;
  if (address->sa_family == AF_UNIX && un->sun_path[0] == '/') { errno = EPERM; return -1; }
  return real(fd, address, size);
}
"""


def expect(condition, what, world):
    if not condition:
        raise AssertionError(what + world.tail())


def main():
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if os.geteuid() != 0 or compiler is None:
        print("SKIP: mounting needs root, and the simulation a C compiler")
        return 77
    world = World(sys.argv[1])
    try:
        source = os.path.join(world.root, "bind.c")
        with open(source, "w", encoding="utf-8") as out:
            out.write(SOURCE)
        world.preload = os.path.join(world.root, "bind.so")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", world.preload, source, "-ldl"], check=True)
        world.run("init", world.volume)
        for _ in range(2):
            world.start_primary()
            address = os.path.join(world.volume, "control.at")
            expect(not os.path.exists(world.volume + "/control"), "there is a socket after all: nothing was tested", world)
            expect(os.stat(address).st_mode & 0o777 == 0o600, "others may read where the socket is", world)
            for target in (world.mount, world.volume):
                status = world.json("status", target)["volumes"][0]
                expect(status["holder_pid"] == world.primary.pid, f"status {target} shows {status}", world)
            with open(os.path.join(world.mount, "file"), "w", encoding="utf-8") as out:
                out.write("content\n")
            world.run("mark", "create", world.volume, f"m{_}")
            world.kill_primary()  # what is left of it is in nobody's way
        world.run("mark", "list", world.volume)
        world.start_primary()
        world.run("umount", world.mount)
        world.primary.wait(60)
        expect(not os.path.exists(address), "the address of a socket that is gone is still there", world)
        world.run("verify", world.volume)
    finally:
        world.close()
    print("sockets: a volume is mounted where there are none")
    return 0


if __name__ == "__main__":
    sys.exit(main())
