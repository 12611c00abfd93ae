#!/usr/bin/env python3
"""Runs the block "First real use" of README.md as it stands there, below a directory of its own.

usage: first_use.py PROGRAM TREE [--control]   --control: one line names a mark that was never made; exit code 10 ends it
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from pages import Page

LIMIT = 90  # seconds; it takes one

# What the lines of README promise, seen from outside.
EXPECTED = """
diff -r srv/data mnt/then
diff -r srv/data srv/back
diff -r srv/data srv/back-from-away
tidemark status WORK/srv/vol --json | grep -q '"away"'
"""


def block_of(readme):
    found = re.search(r"^## First real use\n+(```.*?^```)", readme, re.S | re.M)
    lines = [re.sub(r"\s+#.*", "", line) for line in Page("README.md", found[1] + "\n").blocks[0][1].splitlines()]
    assert lines[0].startswith("./dev build") and len(lines) > 8, "README.md: the block is not as it was"
    return lines[1:]  # built it is


def main():
    program, tree = os.path.abspath(sys.argv[1]), sys.argv[2]
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("SKIP: needs root and /dev/fuse")
        return 77
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with open(os.path.join(tree, "README.md")) as readme:
        lines = block_of(readme.read())
    work = tempfile.mkdtemp(prefix="tidemark-first-use-")
    for folder in ("srv/data/etc", "mnt/data", "mnt/then", "bin"):
        os.makedirs(os.path.join(work, folder))
    with open(os.path.join(work, "srv/data/etc/app.conf"), "w") as file:
        file.write("colour = green\n" * 1000)
    os.symlink(program, os.path.join(work, "bin/tidemark"))
    script = "\n".join(lines)
    if "--control" in sys.argv:
        script = script.replace("@before-upgrade", "@never-made", 1)
    script = re.sub(r"(?<![\w:])/(srv|mnt)/", rf"{work}/\1/", script).replace(":7400", f":{port}")
    # As an unsuspecting reader: line by line. At the end nothing of it is left running.
    script = f"""set -eux
cd {work}
end() {{ set +e; tidemark umount mnt/then; tidemark umount mnt/data; kill %1; wait; }} 2>/dev/null
trap end EXIT
{script}
{EXPECTED.replace("WORK", work)}"""
    environment = {**os.environ, "PATH": os.path.join(work, "bin") + ":" + os.environ["PATH"]}
    shell = subprocess.Popen(["bash", "-c", script], stdin=subprocess.DEVNULL, env=environment, start_new_session=True)
    try:
        result = shell.wait(LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGTERM)  # what hangs ends, and the shell comes to its own end
        result = f"(none within {LIMIT} s) {shell.wait(20)}"
    with open("/proc/self/mountinfo") as mounts:
        left = work in mounts.read()
    if not left:
        shutil.rmtree(work)
    print("exit code", result, "and a mount is left" if left else "")
    return 0 if not left and result == (10 if "--control" in sys.argv else 0) else 1


if __name__ == "__main__":
    sys.exit(main())
