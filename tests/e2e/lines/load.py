"""An application that writes, and knows what the volume has acknowledged."""
import os
import random
import struct
import threading
import time
import zlib

RECORD = 4096


class Load(threading.Thread):
    """Files made, overwritten, renamed and removed, and a journal whose record N is acknowledged once its fsync has returned.
    An error ends it: the mount was killed beneath it, or refuses writes (`refused` says which errno)."""

    def __init__(self, mount, seed, pause=0.002):
        super().__init__(daemon=True)
        self.mount, self.random, self.pause = mount, random.Random(seed), pause
        self.stopping = threading.Event()
        self.refused = None
        self.acknowledged = journal_length(os.path.join(mount, "journal"))
        self.slowest = 0.0      # seconds an fsync took

    def run(self):
        try:
            os.makedirs(os.path.join(self.mount, "files"), exist_ok=True)
            with open(os.path.join(self.mount, "journal"), "ab", buffering=0) as journal:
                journal.truncate(self.acknowledged * RECORD)
                while not self.stopping.is_set():
                    self.change_files()
                    began = time.monotonic()
                    journal.write(journal_record(self.acknowledged + 1))
                    os.fsync(journal.fileno())
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    self.acknowledged += 1
                    time.sleep(self.pause)
        except OSError as error:
            self.refused = error.errno

    def change_files(self):
        dice, name = self.random.random(), os.path.join(self.mount, "files", str(self.random.randrange(40)))
        if dice < 0.15 and os.path.exists(name):
            os.unlink(name)
        elif dice < 0.25 and os.path.exists(name):
            os.rename(name, os.path.join(self.mount, "files", f"renamed-{self.random.randrange(10)}"))
        elif dice < 0.35:
            with open(name, "ab") as out:
                out.truncate(self.random.randrange(100_000))
        else:
            with open(name, "ab") as out:
                out.write(self.random.randbytes(self.random.randrange(30_000)))

    def stop(self):
        self.stopping.set()
        self.join(60)
        if self.is_alive():
            raise AssertionError("the application hangs")


def journal_record(number):
    body = struct.pack("<Q", number) * (RECORD // 8 - 1)
    return body + struct.pack("<Q", zlib.crc32(body))


def journal_length(path):
    """Whole records from the beginning; one in the wrong place or torn in the middle is an error."""
    try:
        with open(path, "rb") as journal:
            content = journal.read()
    except FileNotFoundError:
        return 0
    count = len(content) // RECORD
    for number in range(1, count + 1):
        record = content[(number - 1) * RECORD:number * RECORD]
        if record != journal_record(number):
            if number == count:     # the last one may be half there
                return count - 1
            raise AssertionError(f"record {number} of the journal is not what was written")
    return count
