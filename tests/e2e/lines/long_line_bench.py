#!/usr/bin/env python3
"""How much of a long fast line a pair fills. A figure, not a test.

usage: long_line_bench.py BINARY [--rate BYTES_A_SECOND] [--round-trip SECONDS] [--seconds N] [--bare]
"""
import argparse
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cable import Cable  # noqa: E402
from sites import Sites  # noqa: E402
from slow_lines import make_keys, pair, start  # noqa: E402

MIB = 1 << 20
SETTLES = 20                # round trips until what is on its way has grown, TCP's share of it included
BUFFERS = "4096 131072 67108864"

SINK = """import socket, sys
listener = socket.create_server((sys.argv[1], 5000))
print("ready", flush=True)
connection, _ = listener.accept()
while connection.recv(1 << 20):
    pass
"""
SOURCE = """import socket, sys
connection = socket.create_connection((sys.argv[1], 5000))
piece = bytes(1 << 20)
try:
    while True:
        connection.sendall(piece)
except OSError:
    pass
"""


def settle_seconds(cable):
    return 1 + SETTLES * 2 * cable.delay


def measure(cable, seconds):
    time.sleep(settle_seconds(cable))
    began, before = time.monotonic(), cable.there.carried
    time.sleep(seconds)
    return (cable.there.carried - before) / (time.monotonic() - began)


def bare(cable, seconds):
    """The same line with one TCP connection that does nothing else: what can be had."""
    sink = subprocess.Popen([*cable.within(1), sys.executable, "-c", SINK, cable.address(1)], stdout=subprocess.PIPE)
    sink.stdout.readline()
    source = subprocess.Popen([*cable.within(0), sys.executable, "-c", SOURCE, cable.address(1)])
    try:
        return measure(cable, seconds)
    finally:
        for process in (source, sink):
            process.kill()
            process.wait()


def shipped(binary, cable, seconds, size):
    sites = Sites(binary)
    try:
        make_keys(sites)
        near = start(sites, cable)
        dice = random.Random(1)
        for number in range(size // (64 * MIB)):
            with open(os.path.join(sites.mount, f"film{number}"), "wb") as out:
                out.write(dice.randbytes(64 * MIB))
                out.flush()
                os.fsync(out.fileno())
        pair(sites, near)
        figure = measure(cable, seconds)
        state = sites.pair("near")
        if state["state"] != "copying":
            raise AssertionError(f"the copy ended, or never began, before the measurement did: {state}")
        return figure
    finally:
        sites.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--rate", type=int, default=125_000_000)
    parser.add_argument("--round-trip", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--buffers", default=BUFFERS, help="net.ipv4.tcp_wmem and tcp_rmem at both ends")
    parser.add_argument("--bare", action="store_true", help="only the line itself")
    options = parser.parse_args()
    cable = Cable(rate=options.rate, delay=options.round_trip / 2, mtu=65535, queue_max=64 * MIB)
    try:
        for end in (0, 1):
            for name in ("tcp_wmem", "tcp_rmem"):
                subprocess.run([*cable.within(end), "sysctl", "-q", "-w", f"net.ipv4.{name}={options.buffers}"], check=True)
        line = bare(cable, options.seconds)
        print(f"{options.rate / 1e6:.0f} MB/s, {options.round_trip * 1e3:.0f} ms: one TCP connection carries {line / 1e6:.1f} MB/s", flush=True)
        if options.bare:
            return
        size = int(options.rate * (settle_seconds(cable) + options.seconds) * 1.3)
        figure = shipped(options.binary, cable, options.seconds, size)
        print(f"a pair carries {figure / 1e6:.1f} MB/s: {figure / options.rate:.0%} of the line's rate, {figure / line:.0%} of what "
              "one connection gets", flush=True)
    finally:
        cable.close()


if __name__ == "__main__":
    main()
