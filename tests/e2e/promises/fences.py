#!/usr/bin/env python3
"""What a primary does not do: acknowledge past a fence, write on after its successor, go on with what an operator has suspended.

  fences.py BINARY PEER      PEER: replicator_peer, which says what it likes
"""
import contextlib
import errno
import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lines"))
from line import Line  # noqa: E402
from sites import Sites  # noqa: E402

PEER = os.path.abspath(sys.argv[2])
MIB = 1 << 20


@contextlib.contextmanager
def world(binary):
    made, lines = Sites(binary), []

    def line_to(site):
        lines.append(Line(site.port))
        return lines[-1]
    try:
        yield made, line_to
    except BaseException:
        print(made.tail(), file=sys.stderr)
        raise
    finally:
        made.close()
        for line in lines:
            line.close()


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def write(here, name, size=10):
    """Durable on return, or OSError."""
    with open(os.path.join(here.mount, name), "wb") as file:
        file.write(os.urandom(size))
        file.flush()
        os.fsync(file.fileno())


def is_refused(here, name):
    """Nothing is acknowledged; EROFS it is that says so."""
    try:
        write(here, name)
    except OSError as error:
        expect(error.errno == errno.EROFS, f"{name}: {error}")
        return True
    return False


def status(here, directory=None):
    """Of a volume that somebody has to see to, too: then the exit code is not 0."""
    return json.loads(here.run("status", directory or here.volume, "--json", ok=None).stdout)["volumes"][0]


def pair(here, site):
    return next(one for one in status(here)["pairs"] if one["site"] == site)


def restart_primary(here):
    here.kill_primary()
    here.start_primary()


def a_fence_stays_shut_after_a_restart(binary):
    with world(binary) as (here, line_to):
        site = here.site("near")
        line = line_to(site)
        here.start_primary()
        here.run("pair", "create", here.volume, "near", line.endpoint, "--mode", "sync", "--fence", "data")
        here.duplex("near")
        write(here, "one")
        # Much that nobody asked to be durable is durable here and not there: after the restart that takes a while.
        line.rate = 200_000
        with open(os.path.join(here.mount, "much"), "wb") as file:
            file.write(os.urandom(6 * MIB))
        here.wait(lambda: status(here)["durable"] > pair(here, "near")["durable"] + 2, "the commit timer", 10)
        restart_primary(here)
        here.wait(lambda: pair(here, "near")["state"] == "resyncing", "the pair to be resynchronised", 20)
        answered = []

        def ask():
            try:
                write(here, "two")
                answered.append(pair(here, "near")["state"])
            except OSError as error:
                answered.append(error.errno)
        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(1.5)
        before = pair(here, "near")
        # Refused counts as well: where the dead primary's last records were still on the line, the first session is lost at once.
        expect(not answered or answered[0] in ("duplex", errno.EROFS) or before["state"] != "resyncing",
               f"acknowledged while the pair is {before['state']}: {answered}")
        site.kill()
        asking.join(40)
        expect(answered and answered[0] != "resyncing", f"fsync was acknowledged without the site: {answered}")
        here.wait(lambda: pair(here, "near")["fenced"], "the fence", 20)
        expect(is_refused(here, "three"), "fsync was acknowledged though the site is gone")
        restart_primary(here)
        expect(is_refused(here, "four"), "fsync was acknowledged after a second restart")
        line.heal()
        site.start()
        here.duplex("near")
        write(here, "five")
        # And an operator may decide otherwise.
        site.kill()
        here.wait(lambda: pair(here, "near")["fenced"], "the fence", 20)
        expect(is_refused(here, "six"), "fsync was acknowledged though the site is gone")
        here.run("pair", "suspend", here.volume, "near")
        write(here, "seven")
        restart_primary(here)
        write(here, "eight")


def claim(here, site, epoch):
    """Somebody says at the site that he is the volume's primary in this epoch, and his history fits."""
    done = subprocess.run([PEER, "claim", here.volume, site.endpoint, str(epoch), "fits"], capture_output=True, timeout=60)
    expect(done.returncode == 0 and b"begun" in done.stdout, f"claim: {done.stdout.decode()}{done.stderr.decode()}")


def a_primary_with_a_successor_writes_no_more(binary):
    with world(binary) as (here, _):
        near, far = here.site("near"), here.site("far")
        here.start_primary()
        here.run("pair", "create", here.volume, "near", near.endpoint, "--mode", "sync", "--fence", "never")
        here.run("pair", "create", here.volume, "far", far.endpoint)
        here.duplex("near", "far")
        write(here, "one")
        here.duplex("near", "far")
        at_far = pair(here, "far")["durable"]
        claim(here, near, 2)
        expect(is_refused(here, "two"), "the old primary wrote on after it was told")
        here.wait(lambda: status(here).get("superseded", {}).get("epoch") == 2, "the number of the new epoch", 20)
        shown = status(here)
        expect(shown["role"] == "fenced" and shown["superseded"]["told_by"] == "near", f"{shown}")
        text = here.run("status", here.volume, ok=None).stdout.decode()
        expect("fenced" in text and "epoch 2" in text and "fenced.json" in text, text)
        for name in ("three", "four"):
            restart_primary(here)
            expect(is_refused(here, name), "it wrote again after a restart")
            with open(os.path.join(here.mount, "one"), "rb") as file:
                expect(len(file.read()) == 10, "what it holds can be read")
        expect(is_refused(here, "five"), "it wrote again")
        here.unmount()
        marked = here.run("mark", "create", here.volume, "late", ok=None)
        expect(marked.returncode != 0 and b"fenced" in marked.stderr, f"a mark was made: {marked}")
        held = status(here)
        expect(held["role"] == "fenced", f"{held}")
        # What it is worth: nothing of what was tried has gone anywhere.
        far.kill()
        expect(status(here, far.copy)["durable"] == at_far, "the other site was shipped to")
        # Who knows better takes the file away; the site that said so says it again.
        os.unlink(os.path.join(here.volume, "fenced.json"))
        here.start_primary()
        here.wait(lambda: status(here)["role"] == "fenced", "to be told again", 20)
        expect(is_refused(here, "six"), "it wrote after it was told again")
        near.kill()


def what_an_operator_suspends_stays_suspended(binary):
    with world(binary) as (here, line_to):
        site = here.site("near")
        line = line_to(site)
        here.start_primary()
        here.run("pair", "create", here.volume, "near", line.endpoint)
        here.duplex("near")
        line.rate = 300_000
        write(here, "before", 2 * MIB)
        here.run("pair", "suspend", here.volume, "near")
        expect(pair(here, "near")["wanted"] == "suspended", f"{pair(here, 'near')}")
        drains_to = status(here)["durable"]
        for _ in range(3):
            line.cut()
            time.sleep(0.4)
            expect(pair(here, "near")["state"] in ("suspending", "suspended"), f"{pair(here, 'near')}")
        listed = here.run("pair", "list", here.volume).stdout.decode()
        expect("suspend" in listed, listed)
        restart_primary(here)
        line.cut()
        line.heal()
        here.wait(lambda: pair(here, "near")["state"] == "suspended", "the pair to be suspended", 40)
        expect(pair(here, "near")["durable"] >= drains_to, f"it has not drained: {pair(here, 'near')}")
        write(here, "after")
        line.cut()
        restart_primary(here)
        time.sleep(1)
        now = pair(here, "near")
        expect(now["state"] == "suspended" and now["wanted"] == "suspended", f"{now}")
        here.run("pair", "resume", here.volume, "near")
        here.duplex("near")
        expect(pair(here, "near")["wanted"] == "run", f"{pair(here, 'near')}")
        here.compare(site)


def main():
    for scenario in (what_an_operator_suspends_stays_suspended, a_fence_stays_shut_after_a_restart,
                     a_primary_with_a_successor_writes_no_more):
        if len(sys.argv) > 3 and sys.argv[3] not in scenario.__name__:
            continue
        began = time.monotonic()
        scenario(sys.argv[1])
        print(f"ok {scenario.__name__.replace('_', ' ')} ({time.monotonic() - began:.0f} s)", flush=True)


main()
