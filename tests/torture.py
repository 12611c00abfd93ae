#!/usr/bin/env python3
"""Crashes for as long as one likes: every test of power failures with new seeds, and real mounts that are killed or lose power.

A failure prints what went wrong and the command that repeats it, and ends with 1.

usage: torture.py BUILD_DIRECTORY [--minutes 10] [--seed N]
"""
import argparse
import os
import random
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SEEDS_PER_LAP = 2000      # more than any test takes rounds
E2E_SECONDS = 20
SKIPPED = 77

# Catch2 programs and their cases that run rounds under --rng-seed.
SIMULATED = [("tests/log/log_test", "power failures*"),
             ("tests/volume/test_volume", "power failures*,an index that a crash*,after a sync that failed*,after a write that failed*"),
             ("tests/restore/restore_power_test", "power failures*"),
             ("tests/replicator/replicator_crash_test", "a site that lost power*,pairs.json*")]
REAL = [["crash_rounds.py"], ["crash_rounds.py", "--power"]]


def commands(build, seed):
    for program, cases in SIMULATED:
        yield [os.path.join(build, program), "--rng-seed", str(seed), cases]
    for script, *options in REAL:
        yield [sys.executable, os.path.join(HERE, "e2e", script), os.path.join(build, "tidemark"), *options,
               "--seconds", str(E2E_SECONDS), "--seed", str(seed)]


def repeat_of(words, output):
    """The command, from the seed of the round that failed on where that is known."""
    failed = re.search(r"\(--rng-seed (\d+) repeats it\)", output)
    words = [failed.group(1) if failed and before == "--rng-seed" else word for before, word in zip([None, *words], words)]
    return " ".join(f"'{word}'" if re.search(r"[*, ]", word) else word for word in words)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1 << 31))
    options = parser.parse_args()
    end = time.monotonic() + options.minutes * 60
    seed, rounds, crashes = options.seed, 0, 0
    print(f"torture: {options.minutes:g} minutes from seed {seed} on", flush=True)
    while True:
        for words in commands(options.build, seed):
            if time.monotonic() >= end:
                print(f"torture: {rounds} simulated power failures and {crashes} crashes of real mounts: nothing was lost")
                return 0
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
            if done.returncode == SKIPPED:
                print(done.stdout.strip().splitlines()[-1], flush=True)
                continue
            if done.returncode != 0:
                print(f"{done.stdout[-6000:]}\n{done.stderr[-8000:]}\ntorture: FAILED; again with:\n  {repeat_of(words, done.stdout)}")
                return 1
            rounds += sum(int(count) for count in re.findall(r": (\d+) rounds, seeds", done.stdout))
            crashes += sum(int(count) for count in re.findall(r"^(\d+) crashes", done.stdout, re.MULTILINE))
        print(f"torture: seed {seed}: {rounds} simulated power failures, {crashes} crashes so far", flush=True)
        seed += SEEDS_PER_LAP


if __name__ == "__main__":
    sys.exit(main())
