"""What the tests with real programs share: a mount to work in, skipping aloud, runs that fail with what the program said."""
import argparse
import os
import random
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from world import World  # noqa: E402

SKIPPED = 77  # known to ctest


def skip(why):
    print(f"SKIP: {why}", flush=True)
    sys.exit(SKIPPED)


def run(*words, cwd=None, env=None, stdin=None, timeout=300, ok=(0,)):
    """Runs to the end; bytes of stdout. What fails says what it said."""
    done = subprocess.run([str(word) for word in words], cwd=cwd, env=env, timeout=timeout, capture_output=True,
                          **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}))
    if ok is not None and done.returncode not in ok:
        raise AssertionError(f"{' '.join(str(word) for word in words)}: exit {done.returncode}\n"
                             f"{done.stdout.decode(errors='replace')[-4000:]}\n{done.stderr.decode(errors='replace')[-4000:]}")
    return done.stdout


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def remount(world):
    """After an ordinary unmount or a kill of the daemon: mounted again."""
    if world.primary.poll() is None:
        world.run("umount", world.mount)
        world.primary.wait(60)
    world.start_primary()


def verify(world):
    """Unmounts; every byte of the volume has to be sound."""
    world.run("umount", world.mount)
    world.primary.wait(60)
    world.run("verify", world.volume)


def main(steps, needs=()):
    """Each step is called as step(world, dice) in a fresh mount of one volume."""
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--keep", action="store_true", help="what a failure leaves behind")
    options = parser.parse_args()
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        skip("no /dev/fuse here")
    missing = [program for program in needs if shutil.which(program) is None]
    if missing:
        skip(f"not installed: {', '.join(missing)}")
    print(f"seed {options.seed}", flush=True)
    world = World(options.binary)
    good = False
    try:
        world.run("init", world.volume)
        world.start_primary()
        for step in steps:
            began = time.monotonic()
            step(world, random.Random(options.seed))
            print(f"{step.__name__}: ok, {time.monotonic() - began:.1f} s", flush=True)
        verify(world)
        good = True
    finally:
        world.close(keep=options.keep and not good)
