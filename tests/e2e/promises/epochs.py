#!/usr/bin/env python3
"""Who may end a primary's work at a site, and who may not; and a site that forwards with fence=data keeps its word.

  epochs.py BINARY PEER      PEER: replicator_peer, which says what it likes
"""
import contextlib
import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lines"))
from sites import Sites  # noqa: E402

PEER = os.path.abspath(sys.argv[2])


@contextlib.contextmanager
def world(binary):
    made = Sites(binary)
    try:
        yield made
    except BaseException:
        print(made.tail(), file=sys.stderr)
        raise
    finally:
        made.close()


def claim(world, site, epoch, history):
    """What the site answers to HELLO and BEGIN of somebody who says that the volume is his."""
    done = subprocess.run([PEER, "claim", world.volume, site.endpoint, str(epoch), history], capture_output=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"claim: {done.stderr.decode()}{world.tail()}")
    return done.stdout.decode().splitlines()


def epoch_at(site):
    try:
        with open(os.path.join(site.copy, "site.json")) as record:
            return json.load(record)["epoch"]
    except FileNotFoundError:
        return 0


def write(world, name, size=10):
    """Durable on return, or OSError."""
    path = os.path.join(world.mount, name)
    with open(path, "wb") as file:
        file.write(os.urandom(size))
        file.flush()
        os.fsync(file.fileno())


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def nobody_is_disturbed_by_a_claim_that_does_not_fit(binary):
    with world(binary) as here:
        site = here.site("near")
        here.start_primary()
        here.run("pair", "create", here.volume, "near", site.endpoint, "--mode", "sync", "--fence", "data")
        here.duplex("near")
        write(here, "one")
        since = here.pair("near")["since"]
        for epoch, history in ((99, "diverged"), (2, "diverged"), (10**6, "fits"), (2**64 - 1, "fits")):
            answers = claim(here, site, epoch, history)
            expect(answers[-1].startswith("refused "), f"epoch {epoch}, {history}: {answers}")
        expect(epoch_at(site) <= 1, f"the epoch went to {epoch_at(site)}")
        write(here, "two")
        pair = here.pair("near")
        expect(pair["state"] == "duplex" and pair["since"] == since, f"the pair was disturbed: {pair}")
        here.compare(site)


def a_higher_epoch_ends_the_session_below_it(binary):
    with world(binary) as here:
        site = here.site("near")
        here.start_primary()
        here.run("pair", "create", here.volume, "near", site.endpoint, "--mode", "sync", "--fence", "data")
        here.duplex("near")
        write(here, "one")
        answers = claim(here, site, 2, "fits")
        expect(answers == ["welcome behind", "begun"], f"{answers}")
        expect(epoch_at(site) == 2, f"the site promised epoch {epoch_at(site)}")
        try:
            write(here, "two")
        except OSError:
            pass
        else:
            raise AssertionError("the old primary got an acknowledgement after the higher epoch was promised")
        here.wait(lambda: "epoch 2" in json.dumps(here.status()), "the primary to say that it was replaced", 30)
        site.kill()
        site.start()
        for name in ("three", "four"):
            try:
                write(here, name)
            except OSError:
                time.sleep(1)
            else:
                raise AssertionError("the old primary got an acknowledgement after the site was started again")
        expect(epoch_at(site) == 2, "the site has forgotten its promise")


def a_difference_ends_although_a_refused_primary_asks_all_the_time(binary):
    with world(binary) as here:
        here.start_primary()
        write(here, "large", 6 << 20)
        for i in range(20):
            write(here, f"small{i}", 1000)
        here.run("mark", "create", here.mount, "base")
        here.run("prune", here.volume, "--to", "base", "--yes")
        site = here.site("near")
        here.run("pair", "create", here.volume, "near", site.endpoint, "--bandwidth", "2MiB", ok=(0, 14))
        ended = threading.Event()
        asked = []

        def ask():
            while not ended.wait(0.3):
                if os.path.exists(os.path.join(site.copy, "group.json")):
                    asked.append(claim(here, site, 0, "diverged")[-1])
        asking = threading.Thread(target=ask)
        asking.start()
        try:
            here.duplex("near")
        finally:
            ended.set()
            asking.join()
        expect(any(answer.startswith("refused ") for answer in asked), f"nobody was refused: {asked}")
        here.compare(site)


def a_site_that_forwards_vouches_for_its_target(binary):
    with world(binary) as here:
        near, far = here.site("near"), here.site("far")
        here.start_primary()
        here.run("pair", "create", here.volume, "near", near.endpoint, "--mode", "sync", "--fence", "data")
        here.duplex("near")
        here.run("pair", "create", near.copy, "far", far.endpoint, "--mode", "sync", "--fence", "data")
        here.duplex("far", directory=near.copy)
        write(here, "one")
        far.kill()
        here.wait(lambda: here.pair("far", near.copy)["state"] == "failure-suspended", "the loss to be seen", 30)
        acknowledged = threading.Event()

        def attempt():
            with contextlib.suppress(OSError):
                write(here, "two")
                acknowledged.set()
        attempting = threading.Thread(target=attempt)
        attempting.start()
        expect(not acknowledged.wait(6), "a write was acknowledged that the site's own target lacks")
        attempting.join(60)
        expect(not acknowledged.is_set(), "a write was acknowledged that the site's own target lacks")
        far.start()
        here.duplex("far", directory=near.copy)
        here.duplex("near")
        write(here, "three")
        here.compare(near, far)


def main():
    binary = sys.argv[1]
    for test in (nobody_is_disturbed_by_a_claim_that_does_not_fit, a_higher_epoch_ends_the_session_below_it,
                 a_difference_ends_although_a_refused_primary_asks_all_the_time, a_site_that_forwards_vouches_for_its_target):
        began = time.monotonic()
        test(binary)
        print(f"{test.__name__.replace('_', ' ')}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
