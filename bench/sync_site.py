#!/usr/bin/env python3
"""What a site that has to confirm costs: 4 KiB write + fsync, on a volume without a site, with an async and with a sync one, in turn.

  bench/sync_site.py BINARY [SECONDS] [ROUNDS] [DIR]     3 s each, five rounds, below /var/tmp; the site is on the same machine and disk
"""
import json
import os
import statistics
import sys
import threading
import time

from volume import Site, Volume, run

BLOCK = 4096
CASES = ("alone", "async", "sync")


def writer(path, until, counts, slot):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    done = 0
    while time.monotonic() < until:
        os.write(fd, os.urandom(BLOCK))
        os.fsync(fd)
        done += 1
    os.close(fd)
    counts[slot] = done


def rate(path, jobs, seconds, round):
    counts = [0] * jobs
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=writer, args=(os.path.join(path, f"r{round}-{jobs}-{i}"), until, counts, i))
               for i in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def wait_for_duplex(binary, directory):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        pairs = json.loads(run(binary, "pair", "list", directory, "--json"))
        pairs = pairs.get("pairs", pairs) if isinstance(pairs, dict) else pairs
        if all(pair["state"] == "duplex" for pair in pairs):
            return
        time.sleep(0.05)
    raise SystemExit("the pair does not become duplex")


def main():
    binary = os.path.abspath(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    parent = sys.argv[4] if len(sys.argv) > 4 else "/var/tmp"
    volumes, sites = {}, []
    try:
        for case in CASES:
            volumes[case] = volume = Volume(binary, parent)
            volume.mount()
            if case == "alone":
                continue
            sites.append(Site(binary, volume.root))
            run(binary, "pair", "create", volume.directory, "away", sites[-1].endpoint, "--mode", case)
            wait_for_duplex(binary, volume.directory)
        rates = {(case, jobs): [] for case in CASES for jobs in (1, 8)}
        for round in range(rounds):
            for jobs in (1, 8):
                for case in CASES:
                    rates[case, jobs].append(rate(volumes[case].path, jobs, seconds, round))
        for jobs in (1, 8):
            alone = statistics.median(rates["alone", jobs])
            print(f"4 KiB write + fsync, {jobs} job{'s' if jobs > 1 else ''}: " + ", ".join(
                f"{case} {statistics.median(rates[case, jobs]):,.0f}/s ({statistics.median(rates[case, jobs]) / alone:.2f})"
                for case in CASES), flush=True)
        for volume in volumes.values():
            volume.unmount()
    finally:
        for site in sites:
            site.stop()
        for volume in volumes.values():
            volume.remove()


if __name__ == "__main__":
    main()
