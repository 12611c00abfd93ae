#!/usr/bin/env python3
"""A mount served over NFSv3 (nfs-ganesha, its VFS backend). An NFS client comes back to a directory with nothing but a cookie, and the
server opens the directory anew for it: what is removed or made meanwhile hides no other name and shows none twice.

Server and client live in a network namespace of their own, with a portmapper and a /run of their own.

usage: nfs.py BINARY [--seed N]
"""
import contextlib
import json
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import nfs_client  # noqa: E402
from program_test import check, main, run, skip  # noqa: E402

FILES, LISTED = 5000, 2000
CALLS_MAX = FILES
NFS_PORT, MOUNT_PORT = 2049, 20048
START_SECONDS = 20
BACKEND = ("/usr/lib/x86_64-linux-gnu/ganesha/libfsalvfs.so", "/usr/lib/aarch64-linux-gnu/ganesha/libfsalvfs.so",
           "/usr/lib/ganesha/libfsalvfs.so")
SETTINGS = """
NFS_CORE_PARAM {{ Protocols = 3; NFS_Port = {nfs}; MNT_Port = {mount}; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }}
EXPORT {{ Export_Id = 1; Path = {path}; Pseudo = /volume; Access_Type = RW; Squash = No_Root_Squash; SecType = sys; Protocols = 3;
  Transports = TCP; FSAL {{ Name = VFS; }} }}
"""


# --- inside the namespace -------------------------------------------------------------------------------------------------

def listens(port):
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def process(words, ready, what, log):
    with open(log, "ab") as said:
        started = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if started.poll() is not None or time.monotonic() > deadline:
                with open(log, errors="replace") as said:
                    raise AssertionError(f"{what} does not start:\n{said.read()[-4000:]}")
            time.sleep(0.05)
        yield
    finally:
        started.terminate()
        try:
            started.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextlib.contextmanager
def served(path, root):
    """The root of `path` as a client has it."""
    run("ip", "link", "set", "lo", "up")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    if os.path.isdir("/var/lib/nfs"):
        run("mount", "-t", "tmpfs", "tmpfs", "/var/lib/nfs")
    os.mkdir("/run/rpcbind")
    os.mkdir("/run/ganesha")
    settings, log = os.path.join(root, "ganesha.conf"), os.path.join(root, "ganesha.log")
    with open(settings, "w") as file:
        file.write(SETTINGS.format(nfs=NFS_PORT, mount=MOUNT_PORT, path=path))
    ganesha = ["ganesha.nfsd", "-F", "-f", settings, "-L", log, "-p", "/run/ganesha.pid", "-N", "NIV_EVENT"]
    with process(["rpcbind", "-f"], lambda: listens(111), "rpcbind", os.path.join(root, "rpcbind.log")), \
            process(ganesha, lambda: listens(NFS_PORT) and listens(MOUNT_PORT), "nfs-ganesha", log):
        yield nfs_client.mount(path, MOUNT_PORT, NFS_PORT)


def remove_while_listing(directory):
    """As rm -rf on an NFS mount does: some names, these removed, the names after them. Names that were not found when removed."""
    gone = []
    for names in directory.pages(CALLS_MAX):
        for name in names:
            try:
                directory.remove(name)
            except nfs_client.Refused as refused:
                if refused.status != nfs_client.NO_ENTRY:
                    raise
                gone.append(name)
    return gone


def list_while_changing(directory, native):
    """Every name that was there all the time, as often as it was listed, while others come and go beside the server."""
    seen = []
    for number, names in enumerate(directory.pages(CALLS_MAX)):
        seen += names
        os.unlink(os.path.join(native, f"old{number}"))
        with open(os.path.join(native, f"new{number}"), "x"):
            pass
    return [name for name in seen if name.startswith("f")]


def inside(mount, root):
    with served(mount, root) as export:
        gone = remove_while_listing(export.lookup("removed"))
        seen = list_while_changing(export.lookup("changing"), os.path.join(mount, "changing"))
    print(json.dumps({"gone": gone, "seen": seen}))


# --- the test -------------------------------------------------------------------------------------------------------------

def within(*words):
    """In namespaces of its own for the network and for mounts; what is unmounted outside is so inside."""
    return run("unshare", "--net", "--mount", "--propagation", "slave", *words, timeout=120)


def make(directory, count, *prefixes):
    os.mkdir(directory)
    for prefix in prefixes:
        for number in range(count):
            os.mknod(os.path.join(directory, f"{prefix}{number}"))


def nothing_is_left(world, dice):
    make(os.path.join(world.mount, "removed"), FILES, "f")
    make(os.path.join(world.mount, "changing"), LISTED, "f", "old")
    found = json.loads(within(sys.executable, os.path.abspath(__file__), "--inside", world.mount, world.root))
    left = os.listdir(os.path.join(world.mount, "removed"))
    check(not left, f"removed while it was listed: {len(left)} of {FILES} names are left, as {sorted(left)[:3]}")
    check(not found["gone"], f"{len(found['gone'])} names were listed twice, as {found['gone'][:3]}")
    wanted = sorted(f"f{number}" for number in range(LISTED))
    seen = sorted(found["seen"])
    check(seen == wanted, f"listed while others came and went: {len(set(wanted) - set(seen))} of {LISTED} names missing, "
                          f"{len(seen) - len(set(seen))} doubled")


def need_a_server():
    if os.geteuid() != 0:
        skip("only root makes namespaces, and serves by file handles")
    if not any(os.path.exists(backend) for backend in BACKEND):
        skip("not installed: nfs-ganesha-vfs")
    done = subprocess.run(["unshare", "--net", "--mount", "true"], stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        skip("the kernel refuses namespaces: " + done.stderr.decode(errors="replace").strip())


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "--inside":
        inside(*sys.argv[2:])
    else:
        need_a_server()
        main([nothing_is_left], needs=("ganesha.nfsd", "rpcbind", "unshare", "ip"))
