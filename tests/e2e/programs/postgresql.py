#!/usr/bin/env python3
"""PostgreSQL with its data directory in the mount: pgbench, kill -9 of the server, kill -9 of the daemon, a second server from the past.

Shown, after each: the server recovers by itself, every transaction that pgbench saw committed is there, the four sums pgbench keeps
are equal, and amcheck finds every index and table sound. A copy of `/.tidemark/at/MARK`, made while pgbench ran, is a server as of the
mark. Run as root: the server runs as the user postgres, as the package has it.

usage: postgresql.py BINARY [--seed N]
"""
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from program_test import check, main, remount, run, skip  # noqa: E402

SCALE = 4


def programs():
    """Debian keeps them out of PATH, by version."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: float(path.split("/")[4]))
    return os.path.dirname(found[-1]) if found else None


class Server:
    def __init__(self, directory, port):
        self.directory = directory
        self.port = port
        self.process = None

    def run(self, program, *words, **options):
        return run("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "env", "-C", "/",
                   os.path.join(programs(), program), *words, **options)

    def start(self, log):
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "env", "-C", "/",
                   os.path.join(programs(), "postgres"), "-D", self.directory, "-p", str(self.port), "-k", SOCKETS,
                   "-c", "listen_addresses=", "-c", "fsync=on"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + 90
        while time.monotonic() < until:
            check(self.process.poll() is None, f"the server ended while starting ({self.process.returncode})")
            if subprocess.run([os.path.join(programs(), "pg_isready"), "-q", "-h", SOCKETS, "-p", str(self.port)]).returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError("the server was not ready in 90 s")

    def kill(self):
        """The postmaster; its children notice and end by themselves, which is waited for: their group is the session."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        session = self.process.pid
        until = time.monotonic() + 60
        while members(session):
            check(time.monotonic() < until, "the server's children did not end")
            for pid in members(session):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGINT)  # a fast shutdown
        self.process.wait(60)

    def arguments(self):
        return "-h", SOCKETS, "-p", str(self.port), "-U", "postgres"

    def query(self, text, database="bench"):
        rows = self.run("psql", *self.arguments(), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text)
        return rows.decode().split()

    def start_pgbench(self, seconds):
        return subprocess.Popen([os.path.join(programs(), "pgbench"), *self.arguments(), "-n", "-c", "4", "-j", "2",
                                 "-T", str(seconds), "bench"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)

    def check(self, committed, what):
        sums = self.query("select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers), "
                          "(select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from pgbench_history)"
                          )[0].split("|")
        check(len(set(sums)) == 1, f"{what}: the sums pgbench keeps equal are {sums}")
        count = int(self.query("select count(*) from pgbench_history")[0])
        check(count >= committed, f"{what}: {committed} transactions were committed, {count} are there")
        self.run("pg_amcheck", *self.arguments(), "--install-missing", "--heapallindexed", "-d", "bench")
        return count


def members(session):
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as file:
                state, _, _, sid = file.read().rsplit(")", 1)[1].split()[:4]
        except OSError:
            continue
        if int(sid) == session and state != "Z":
            found.append(int(entry))
    return found


def transactions(pgbench):
    """What pgbench saw committed; it prints that also when its connections break."""
    said = pgbench.communicate(timeout=120)[0].decode(errors="replace")
    found = re.search(r"number of transactions actually processed: (\d+)", said)
    check(found, f"pgbench said: {said[-2000:]}")
    return int(found.group(1))


SOCKETS = "/tmp"
STATE = {}


def initialise(world, dice):
    global SOCKETS
    os.chmod(world.root, 0o711)
    SOCKETS = os.path.join(world.root, "sockets")
    os.mkdir(SOCKETS)
    shutil.chown(SOCKETS, "postgres", "postgres")
    directory = os.path.join(world.mount, "pg")
    os.mkdir(directory, 0o700)
    shutil.chown(directory, "postgres", "postgres")
    server = Server(directory, 5432)
    server.run("initdb", "-D", directory, "-U", "postgres", "--auth=trust", "--data-checksums", "--no-instructions")
    server.start(world.log)
    server.query("create database bench", database="postgres")
    server.run("pgbench", *server.arguments(), "-i", "-q", "-s", SCALE, "bench")
    STATE.update(server=server, committed=0)


def bench(world, dice):
    STATE["committed"] += transactions(STATE["server"].start_pgbench(3))
    check(STATE["committed"] > 20, f"only {STATE['committed']} transactions")
    STATE["server"].check(STATE["committed"], "after pgbench")


def killed_server(world, dice):
    server = STATE["server"]
    pgbench = server.start_pgbench(30)
    time.sleep(2 + dice.random())
    server.kill()
    STATE["committed"] += transactions(pgbench)
    server.start(world.log)
    STATE["committed"] = server.check(STATE["committed"], "after kill -9 of the server")


def killed_daemon(world, dice):
    """In the middle of which a mark was made, with what was certainly committed then."""
    server = STATE["server"]
    pgbench = server.start_pgbench(30)
    time.sleep(1 + dice.random())
    STATE["at_mark"] = int(server.query("select count(*) from pgbench_history")[0])
    world.run("mark", "create", world.mount, "busy")
    time.sleep(1 + dice.random())
    world.kill_primary()
    STATE["committed"] += transactions(pgbench)
    server.kill()
    remount(world)
    server.start(world.log)
    STATE["committed"] = server.check(STATE["committed"], "after kill -9 of the daemon")


def server_of_the_past(world, dice):
    copy = os.path.join(world.root, "then")
    run("cp", "-a", os.path.join(world.mount, ".tidemark/at/busy/pg"), copy)
    os.unlink(os.path.join(copy, "postmaster.pid"))
    then = Server(copy, 5433)
    then.start(world.log)
    count = then.check(STATE["at_mark"], "the server as of the mark")
    check(count <= STATE["committed"], "the past has more than the present")
    then.stop()
    STATE["server"].stop()


def main_or_skip():
    if os.geteuid() != 0:
        skip("not root: the server has to run as postgres")
    if programs() is None:
        skip("not installed: postgresql")
    try:
        main([initialise, bench, killed_server, killed_daemon, server_of_the_past], needs=["setpriv"])
    finally:
        server = STATE.get("server")
        if server is not None and server.process is not None and server.process.poll() is None:
            server.kill()


if __name__ == "__main__":
    main_or_skip()
