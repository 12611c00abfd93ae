#!/usr/bin/env python3
"""How long a site with many groups takes to start and to stop, and what it costs: at rest, and with a source connected to every group.

  bench/site_start.py BINARY PEER [COUNT] [SERVE FLAG …]     PEER: build/tests/replicator/replicator_peer

With a policy each group has somebody who prunes it as well: try --retention 1h.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time


def figures(pid):
    with open(f"/proc/{pid}/status") as status:
        text = status.read()
    number = {name: int(re.search(rf"{name}:\s+(\d+)", text).group(1)) for name in ("VmRSS", "VmHWM", "Threads")}
    return f"{number['VmRSS'] // 1024} MiB resident (at most {number['VmHWM'] // 1024}), {number['Threads']} threads"


def ship(peer, directory, endpoint, pid):
    source = subprocess.Popen([peer, "ship", directory, endpoint], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    count = source.stdout.readline().decode().strip()
    print(f"  {count or 'no'} sources connected, {figures(pid)}", flush=True)
    source.kill()
    source.wait()


def start(binary, peer, directory, flags):
    began = time.monotonic()
    site = subprocess.Popen([binary, "serve", "--dir", directory, "--listen", "tcp://127.0.0.1:*", *flags],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    line = site.stdout.readline().decode().strip()
    seconds = time.monotonic() - began
    if not line.startswith("listening on "):
        raise SystemExit(f"the site did not start: {line}")
    time.sleep(2)
    print(f"up after {seconds:.2f} s, {figures(site.pid)}", flush=True)
    ship(peer, directory, line.removeprefix("listening on "), site.pid)
    began = time.monotonic()
    site.terminate()
    site.wait()
    print(f"  down after {time.monotonic() - began:.2f} s", flush=True)


def main():
    binary, peer = map(os.path.abspath, sys.argv[1:3])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    root = tempfile.mkdtemp(prefix="tidemark-start-", dir="/var/tmp")
    try:
        directory = os.path.join(root, "site")
        subprocess.run([peer, "copies", directory, str(count)], check=True, stderr=subprocess.DEVNULL)
        print(f"{count} groups", flush=True)
        for _ in range(3):
            start(binary, peer, directory, sys.argv[4:])
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
