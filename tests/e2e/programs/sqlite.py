#!/usr/bin/env python3
"""SQLite in the mount: several writers, each journal mode; the writers are killed, then the daemon is.

Shown: what was committed (synchronous=FULL) before the kill is there afterwards, money moved between accounts is neither made nor
lost, and SQLite's own integrity check is content. Control: with synchronous=OFF a killed daemon loses commits, and it is noticed.

usage: sqlite.py BINARY [--seed N]
"""
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from program_test import check, main, remount  # noqa: E402

ACCOUNTS = 100
BALANCE = 1000
WRITERS = 3


def connect(path):
    return sqlite3.connect(path, timeout=60, isolation_level=None)


def create(path, journal):
    database = connect(path)
    got = database.execute(f"pragma journal_mode={journal}").fetchone()[0]
    check(got == journal.lower(), f"asked for journal mode {journal}, got {got}")
    database.execute("create table account (id integer primary key, balance integer not null, note text)")
    database.execute("create table done (writer integer, number integer, primary key (writer, number))")
    database.executemany("insert into account values (?, ?, ?)",
                         [(i, BALANCE, "x" * 200) for i in range(ACCOUNTS)])
    database.close()


def write(path, writer, synchronous, seed):
    """A process of its own: says each transaction's number once its commit has returned."""
    dice = random.Random(seed)
    database = connect(path)
    database.execute(f"pragma synchronous={synchronous}")
    number = 0
    while True:
        number += 1
        database.execute("begin immediate")
        amount, giver, taker = dice.randrange(50), dice.randrange(ACCOUNTS), dice.randrange(ACCOUNTS)
        database.execute("update account set balance = balance - ?, note = ? where id = ?", (amount, "g" * number, giver))
        database.execute("update account set balance = balance + ? where id = ?", (amount, taker))
        database.execute("insert into done values (?, ?)", (writer, number))
        database.execute("commit")
        os.write(1, b"%d\n" % number)


class Writers:
    def __init__(self, path, synchronous, first, seed):
        self.numbers = range(first, first + WRITERS)
        self.processes = [subprocess.Popen([sys.executable, __file__, "--write", path, str(writer), synchronous,
                                            str(seed + writer)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                           stderr=subprocess.DEVNULL) for writer in self.numbers]

    def kill(self):
        for process in self.processes:
            process.send_signal(signal.SIGKILL)

    def acknowledged(self):
        """Each writer's last number that was said: its commit had returned."""
        last = {}
        for writer, process in zip(self.numbers, self.processes):
            said = process.stdout.read().split(b"\n")[:-1]
            process.wait()
            last[writer] = int(said[-1]) if said else 0
        return last


def lost(path, acknowledged):
    """Checks what must hold however little was kept; the writers that lack something they were promised."""
    missing = []
    # Closed whatever is found: an open file would keep the mount busy.
    with contextlib.closing(connect(path)) as database:
        check(database.execute("pragma integrity_check").fetchall() == [("ok",)], "SQLite's integrity check complains")
        total = database.execute("select sum(balance) from account").fetchone()[0]
        check(total == ACCOUNTS * BALANCE, f"{total} in all accounts together, {ACCOUNTS * BALANCE} were paid in")
        for writer, last in acknowledged.items():
            count, newest = database.execute("select count(*), coalesce(max(number), 0) from done where writer = ?",
                                             (writer,)).fetchone()
            check(count == newest, f"writer {writer}: a transaction is missing before number {newest}")
            if newest < last:
                missing.append(f"writer {writer}: {last} commits returned, {newest} are there")
    return missing


def rounds(world, dice, journal):
    path = os.path.join(world.mount, f"{journal}.db")
    create(path, journal)
    acknowledged = {}
    for number, kill_daemon in enumerate((False, True, True)):
        writers = Writers(path, "FULL", 1 + number * WRITERS, dice.randrange(1 << 30))
        time.sleep(1 + dice.random())
        if kill_daemon:
            world.kill_primary()
        writers.kill()
        acknowledged.update(writers.acknowledged())
        if kill_daemon:
            remount(world)
        missing = lost(path, acknowledged)
        check(not missing, f"{journal}: {missing}")
    check(sum(acknowledged.values()) > 10, f"{journal}: hardly anything was written: {acknowledged}")


def rollback_journal(world, dice):
    rounds(world, dice, "delete")


def write_ahead_log(world, dice):
    rounds(world, dice, "wal")


def control_without_syncs(world, dice):
    path = os.path.join(world.mount, "control.db")
    create(path, "wal")
    for attempt in range(5):
        writers = Writers(path, "OFF", 1 + attempt * WRITERS, dice.randrange(1 << 30))
        time.sleep(1 + dice.random())
        world.kill_primary()
        writers.kill()
        acknowledged = writers.acknowledged()
        remount(world)
        try:
            if lost(path, acknowledged):
                return
        except (AssertionError, sqlite3.DatabaseError):
            return
    raise AssertionError("commits that were never synced outlived five kills of the daemon: this test would miss a loss")


if __name__ == "__main__":
    if sys.argv[1] == "--write":
        try:
            write(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
        except (sqlite3.Error, OSError):
            sys.exit(1)  # the mount went away
    main([rollback_journal, write_ahead_log, control_without_syncs])
