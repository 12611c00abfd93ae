#!/usr/bin/env python3
"""`tidemark status` does not lie: one word for each volume, and an exit code that is 0 only where nobody has to act.

  status.py BINARY [SCENARIO…]
"""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import datetime, timezone

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lines"))
from sites import Sites  # noqa: E402

MIB = 1 << 20
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


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


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def ask(here, *words, within=()):
    """Exit code, volumes."""
    done = here.run("status", *words, "--json", within=within, ok=None)
    expect(done.stdout, f"status {words}: exit {done.returncode}, {done.stderr.decode()}")
    answer = json.loads(done.stdout)
    return done.returncode, answer["volumes"]


def one(here, *words, within=()):
    code, volumes = ask(here, *words, within=within)
    expect(len(volumes) == 1, f"{volumes}")
    return code, volumes[0]


def among_all(here, within=()):
    """What a plain `status` says of our own volume; others are on this machine as well."""
    code, volumes = ask(here, within=within)
    ours = [volume for volume in volumes if volume.get("mountpoint") == here.mount]
    expect(len(ours) == 1, f"{volumes}")
    return code, ours[0]


def stands(here, word, code, *words, within=()):
    got, volume = one(here, *words, within=within)
    expect(volume["standing"] == word and got == code, f"{words}: exit {got}, {volume}")
    reasons = [reason for reason in volume["reasons"] if reason["standing"] == word]
    expect(bool(reasons) == (word not in ("PROTECTED", "LOCAL")), f"{volume['reasons']}")
    text = here.run("status", *words, within=within, ok=None)
    expect(f": {word}\n".encode() in text.stdout, f"{text}")
    return volume


def write(here, name, size=10):
    with open(os.path.join(here.mount, name), "wb") as file:
        file.write(os.urandom(size))
        file.flush()
        os.fsync(file.fileno())


def listens(here, site):
    """Before that, whoever reads its directory could hold the lock that it wants."""
    def answers():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", site.port)) == 0
    here.wait(answers, "the site to listen", 20)


def since(text):
    """Seconds since a time as status shows it."""
    head, _, fraction = text.rstrip("Z").partition(".")
    at = datetime.strptime(head, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
    return time.time() - at - float("0." + (fraction or "0"))


def a_daemon_that_was_killed_is_down(binary):
    with world(binary) as here:
        here.start_primary()
        write(here, "one")
        for words in ((here.volume,), (here.mount,)):
            stands(here, "LOCAL", 0, *words)
        expect(among_all(here)[1]["standing"] == "LOCAL", "a mounted volume without pairs")
        here.kill_primary()
        for words in ((here.volume,), (here.mount,)):
            volume = stands(here, "DOWN", 1, *words)
            expect("umount" in volume["reasons"][0]["to_do"], f"{volume}")
        code, volume = among_all(here)
        expect(code != 0 and volume["standing"] == "DOWN", f"exit {code}, {volume}")
        here.run("umount", here.mount)
        stands(here, "LOCAL", 0, here.volume)


def a_daemon_that_hangs_is_down(binary):
    with world(binary) as here:
        here.start_primary()
        here.primary.send_signal(19)
        try:
            began = time.monotonic()
            code, volume = one(here, here.volume)
            expect(code != 0 and volume["standing"] == "DOWN", f"exit {code}, {volume}")
            expect(time.monotonic() - began < 60, "status waits for what hangs")
        finally:
            here.primary.send_signal(18)
        here.wait(lambda: one(here, here.volume)[0] == 0, "it to go on", 30)


def a_fence_is_down(binary):
    with world(binary) as here:
        site = here.site("near")
        here.start_primary()
        here.run("pair", "create", here.volume, "near", site.endpoint, "--mode", "sync", "--fence", "data")
        here.duplex("near")
        write(here, "one")
        stands(here, "PROTECTED", 0, here.volume)
        site.kill()
        here.wait(lambda: here.pair("near")["fenced"], "the fence", 20)
        volume = stands(here, "DOWN", 1, here.volume)
        expect(volume["writable"] is False and "pair suspend" in json.dumps(volume["reasons"]), f"{volume}")
        expect(volume["pairs"][0]["copy"] == "unknown" and volume["pairs"][0]["copy_since"], f"{volume['pairs']}")
        here.run("pair", "suspend", here.volume, "near")
        volume = stands(here, "AT RISK", 3, here.volume)
        expect("pair resume" in volume["reasons"][0]["to_do"], f"{volume}")
        write(here, "two")
        expect(here.pair("near")["copy"] == "behind", "a suspended pair whose site lacks records")
        # Within what the operator allows it is no reason for an exit code, and the word stays.
        stands(here, "AT RISK", 0, here.volume, "--rpo", "1h")


def a_full_disk_is_down(binary):
    with world(binary) as here:
        small = os.path.join(here.root, "small")
        os.mkdir(small)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", "none", small], check=True)
        try:
            here.volume = os.path.join(small, here.name)
            here.run("init", here.volume)
            here.start_primary()
            write(here, "one")
            stands(here, "LOCAL", 0, here.volume)
            with open(os.path.join(small, "filler"), "wb") as filler:
                left = os.statvfs(small).f_bavail * os.statvfs(small).f_frsize - 20 * MIB
                filler.write(bytes(left))
            try:
                write(here, "two", 8 * MIB)
                raise AssertionError("the disk was not full")
            except OSError:
                pass
            volume = stands(here, "DOWN", 1, here.volume)
            expect(volume["writable"] is False and "full" in volume["refusal"], f"{volume}")
            expect(volume["healthy"] is True, "a full disk is no failure of the log")
            os.remove(os.path.join(small, "filler"))
            write(here, "three")
            stands(here, "LOCAL", 0, here.volume)
            here.unmount()
        finally:
            here.kill_primary()
            subprocess.run(["umount", "-l", here.mount], capture_output=True)
            subprocess.run(["umount", "-l", small], check=True)


def a_killed_primary_is_seen_at_the_site(binary):
    with world(binary) as here:
        site = here.site("near")
        here.start_primary()
        here.run("pair", "create", here.volume, "near", site.endpoint)
        here.duplex("near")
        write(here, "one")
        here.duplex("near")
        remote = f"{site.endpoint}/{here.name}"
        places = (site.copy, remote)
        for place in places:
            here.wait(lambda: one(here, place)[1].get("source", {}).get("state") == "duplex", "the site to know", 10)
            stands(here, "PROTECTED", 0, place)
        expect(one(here, site.directory)[1]["source"]["heard_seconds"] < 3, "the source speaks every second")
        here.kill_primary()
        killed = time.monotonic()
        time.sleep(1.6)  # long before the silence counts
        for place in places:
            volume = stands(here, "AT RISK", 3, place)
            expect(volume["source"]["copy"] == "unknown" and volume["source"]["copy_since"], f"{volume['source']}")
        expect(here.run("status", site.directory, "--rpo", "1s", ok=None).returncode == 15, "longer silent than may be")
        expect(here.run("status", site.directory, "--rpo", "1h", ok=None).returncode == 0, "it may be silent for an hour")
        expect(one(here, site.copy)[1]["source"]["state"] == "duplex" or time.monotonic() - killed > 4,
               "this was to be asked before the silence is noticed")
        here.wait(lambda: one(here, site.copy)[1]["source"]["state"] == "failure-suspended", "the silence", 30)
        stands(here, "AT RISK", 3, site.copy)
        # An orderly end is no alarm: the site has everything, and knows it.
        subprocess.run(["umount", "-l", here.mount], capture_output=True)
        here.start_primary()
        here.duplex("near")
        write(here, "two")
        with open(os.path.join(here.mount, "three"), "wb") as file:
            file.write(b"not synced")
        here.unmount()
        for place in places:
            here.wait(lambda: one(here, place)[1]["source"]["ended"], "the good-bye", 10)
            volume = stands(here, "PROTECTED", 0, place)
            expect(volume["source"]["copy"] == "up to date", f"{volume}")
        stands(here, "PROTECTED", 0, here.volume)


def an_ordinary_user_is_told_what_he_may_know(binary):
    with world(binary) as here:
        # Where he may run it from: the build may lie where he may not go.
        program = "/var/tmp/tidemark-" + os.path.basename(here.root)
        shutil.copy(binary, program)
        os.chmod(program, 0o755)
        mine, here.binary = here.binary, program
        try:
            os.chmod(here.root, 0o755)
            here.start_primary()
            code, volume = among_all(here, within=NOBODY)
            # 12 for it alone; what else is mounted on this machine may be worse.
            expect(code != 0 and volume["standing"] == "UNKNOWN" and volume.get("role") != "point", f"exit {code}, {volume}")
            text = here.run("status", within=NOBODY, ok=None).stdout.decode()
            ours = next(line for line in text.splitlines() if here.mount in line)
            expect("read-only" not in ours and "UNKNOWN" in ours, ours)
            os.mkdir(os.path.join(here.root, "past"))
            here.run("mount", here.volume + "@latest", os.path.join(here.root, "past"))
            _, volumes = ask(here, within=NOBODY)
            past = next(volume for volume in volumes if volume.get("mountpoint") == os.path.join(here.root, "past"))
            expect(past["role"] == "point", f"{past}")
            here.run("umount", os.path.join(here.root, "past"))
            here.kill_primary()
            code, volume = among_all(here, within=NOBODY)
            expect(code != 0 and volume["standing"] == "DOWN", f"exit {code}, {volume}")
        finally:
            here.binary = mine
            os.remove(program)


def a_damaged_group_hides_no_other(binary):
    with world(binary) as here:
        site = here.site("near")
        other = os.path.join(here.root, "other")
        for volume in (here.volume, other):
            if volume == other:
                here.run("init", other)
            here.run("pair", "create", volume, "near", site.endpoint)
            here.run("mark", "create", volume, "there", "--wait", "all", "--timeout", "30s")
        _, volumes = ask(here, site.directory)
        expect([volume["name"] for volume in volumes] == ["other", "shop"], f"{volumes}")
        site.kill()
        record = os.path.join(site.directory, "other", "group.json")
        with open(record, "r+b") as file:
            file.seek(20)
            file.write(b"#")
        code, volumes = ask(here, site.directory)
        expect(len(volumes) == 2 and code == 13, f"exit {code}, {volumes}")
        damaged, sound = volumes
        expect(damaged["standing"] == "DOWN" and "group.json" in damaged["error"], f"{damaged}")
        expect(sound["name"] == "shop" and "position" in sound, f"{sound}")
        site.start()
        listens(here, site)
        code, volumes = ask(here, site.directory)
        expect(volumes[0]["standing"] == "DOWN" and code == 13 and volumes[1]["served"], f"exit {code}, {volumes}")


def what_is_behind_a_killed_site_is_unknown(binary):
    with world(binary) as here:
        near, far = here.site("near"), here.site("far")
        here.start_primary()
        here.run("pair", "create", here.volume, "near", near.endpoint)
        here.duplex("near")
        here.run("pair", "create", near.copy, "far", far.endpoint)

        def behind(directory=None):
            sites = one(here, directory or here.volume)[1]["downstream"]
            return sites[0] if sites else {}
        here.wait(lambda: behind().get("copy") == "up to date", "the site behind to follow", 20)
        stands(here, "PROTECTED", 0, here.volume)
        near.kill()
        here.wait(lambda: not here.pair("near")["connected"], "the loss", 20)
        volume = stands(here, "AT RISK", 3, here.volume)
        shown = volume["downstream"][0]
        expect(shown["site"] == "near/far" and shown["copy"] == "unknown" and not shown["connected"] and shown["copy_since"],
               f"{shown}")
        # At the one that was killed, from its directory: its source, and when that was last heard.
        code, copy = one(here, near.copy)
        expect(code == 1 and copy["standing"] == "DOWN" and not copy["served"], f"exit {code}, {copy}")
        expect(copy["source"]["source"] and since(copy["source"]["heard"]) < 30, f"{copy['source']}")
        near.start()
        here.wait(lambda: behind().get("copy") == "up to date", "the site behind to follow again", 30)
        # And one that is behind it no longer is not shown for ever.
        near.kill()
        here.run("pair", "delete", near.copy, "far", "--yes")
        near.start()
        here.duplex("near")
        here.wait(lambda: not behind(), "the site behind to be forgotten", 20)
        stands(here, "PROTECTED", 0, here.volume)


def an_exposure_outlives_its_record(binary):
    with world(binary) as here:
        site = here.site("near")
        here.start_primary("--max-log", "128MiB")
        here.run("pair", "create", here.volume, "near", site.endpoint)
        here.duplex("near")
        site.kill()
        here.wait(lambda: here.pair("near")["state"] == "failure-suspended", "the loss", 20)
        write(here, "first")
        began = time.monotonic()
        time.sleep(2)
        durable = here.pair("near")["durable"]
        for count in range(1000):
            write(here, "big", 8 * MIB)
            if here.status()["base"] > durable + 1:
                break
        else:
            raise AssertionError("the log limit did not drop the pair")
        for _ in range(2):
            pair = here.pair("near")
            expect(pair["parked"] and pair["exposed_records"] > 0, f"{pair}")
            expect(pair["exposed_seconds"] >= time.monotonic() - began - 1, f"{pair['exposed_seconds']} s: {pair}")
            done = here.run("status", here.volume, "--rpo", "1s", ok=None)
            expect(done.returncode == 15 and b"exposes the last" in done.stderr or b"for" in done.stderr, f"{done}")
            here.unmount()
            here.start_primary("--max-log", "128MiB")


def a_site_that_was_killed_says_when_its_source_was_heard(binary):
    with world(binary) as here:
        site = here.site("near")
        here.start_primary()
        here.run("pair", "create", here.volume, "near", site.endpoint)
        here.duplex("near")
        time.sleep(5)  # nothing is written: heartbeats are all that comes
        here.kill_primary()
        site.kill()
        killed = time.time()
        volume = stands(here, "DOWN", 1, site.copy)
        heard = time.time() - since(volume["source"]["heard"])
        expect(killed - 4 < heard <= killed, f"killed at {killed}, heard at {heard}: {volume['source']}")
        expect(volume["source"]["newest"] >= volume["durable"] > 0 and volume["source"]["copy"] == "unknown", f"{volume}")
        text = here.run("status", site.copy, ok=None).stdout
        expect(b"last heard 20" in text, f"{text.decode()}")


def main():
    binary, wanted = sys.argv[1], sys.argv[2:]
    if not os.path.exists("/dev/fuse") or os.geteuid() != 0:
        print("SKIP: needs /dev/fuse and root")
        return 77
    for scenario in (a_daemon_that_was_killed_is_down, a_daemon_that_hangs_is_down, a_fence_is_down, a_full_disk_is_down,
                     a_killed_primary_is_seen_at_the_site, an_ordinary_user_is_told_what_he_may_know,
                     a_damaged_group_hides_no_other, what_is_behind_a_killed_site_is_unknown, an_exposure_outlives_its_record,
                     a_site_that_was_killed_says_when_its_source_was_heard):
        if wanted and scenario.__name__ not in wanted:
            continue
        began = time.monotonic()
        scenario(binary)
        print(f"{scenario.__name__}: ok, {time.monotonic() - began:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
