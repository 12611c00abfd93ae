"""The four things compared. Each gives a directory to work in, fresh for every scenario, on the same backing filesystem."""
import os
import shutil
import socket
import time

from harness import BenchError

PAIR_TIMEOUT_S = 60


class Native:
    """A directory of the backing filesystem itself."""

    key = "native"
    title = "native"
    is_tidemark = False

    def __init__(self, bench):
        self.bench = bench
        self.base = bench.work / self.key
        self.path = self.base / "data"

    def open(self):
        self.path.mkdir(parents=True)

    def processes(self):
        return []

    def remount(self):
        """Leaves no cache of the daemon; the kernel's are dropped apart from this."""

    def close(self):
        shutil.rmtree(self.base, ignore_errors=True)


class Passthrough(Native):
    """FUSE without protection: libfuse's passthrough_ll with writeback cache, and caches that survive as ours do."""

    key = "passthrough"
    title = "passthrough_ll"
    options = "writeback,cache=always,timeout=86400,default_permissions" + (",allow_other" if os.geteuid() == 0 else "")

    def __init__(self, bench):
        super().__init__(bench)
        self.source = self.base / "source"
        self.program = bench.compile_passthrough()
        self.process = None

    def open(self):
        self.source.mkdir(parents=True)
        self.path.mkdir()
        self.mount()

    def mount(self):
        command = [self.program, "-f", "-o", f"source={self.source},{self.options}", self.path]
        self.process = self.bench.mount(command, self.path, self.key)

    def processes(self):
        return [self.process] if self.process else []

    def unmount(self):
        if self.process:
            self.bench.unmount(self.path, self.process)
            self.process = None

    def remount(self):
        self.unmount()
        self.mount()

    def close(self):
        self.unmount()
        super().close()


class Tidemark(Passthrough):
    """A Tidemark volume without a site."""

    key = "tidemark"
    title = "tidemark"
    is_tidemark = True

    def __init__(self, bench):
        Native.__init__(self, bench)
        self.volume = self.base / f"volume-{self.key}"
        self.program = bench.tidemark
        self.process = None

    def open(self):
        self.path.mkdir(parents=True)
        self.bench.check([self.program, "init", self.volume])
        self.mount()

    def mount(self):
        self.process = self.bench.mount([self.program, "mount", self.volume, self.path, "-f"], self.path, self.key)

    def unmount(self):
        if self.process:
            self.bench.unmount(self.path, self.process, [self.program, "umount", self.path])
            self.process = None


class TidemarkWithSite(Tidemark):
    """The same with an asynchronous pair to a site: another process, over TCP on loopback, on the same disk."""

    key = "site"
    title = "tidemark+site"

    def __init__(self, bench):
        super().__init__(bench)
        self.site_dir = self.base / "site"
        self.site = None

    def open(self):
        endpoint = f"tcp://127.0.0.1:{free_port()}"
        self.site_dir.mkdir(parents=True)
        self.site = self.bench.start([self.program, "serve", "--dir", self.site_dir, "--listen", endpoint], "site-serve")
        wait_listening(self.bench, self.site, endpoint)
        super().open()
        self.bench.check([self.program, "pair", "create", self.volume, "bench", endpoint])
        self.wait_duplex()

    def wait_duplex(self):
        end = time.monotonic() + PAIR_TIMEOUT_S
        while True:
            listed = self.bench.check([self.program, "pair", "list", self.volume, "--json"])
            if "duplex" in listed:
                return
            self.bench.expect_alive(self.site)
            self.bench.expect_alive(self.process)
            if time.monotonic() > end:
                raise BenchError(f"the pair is not duplex after {PAIR_TIMEOUT_S} s: {listed.strip()[-300:]}")
            time.sleep(0.1)

    def processes(self):
        return super().processes() + ([self.site] if self.site else [])

    def remount(self):
        super().remount()
        self.wait_duplex()

    def close(self):
        self.unmount()
        if self.site:
            self.bench.stop(self.site)
            self.site = None
        Native.close(self)


KINDS = (Native, Passthrough, Tidemark, TidemarkWithSite)
KEYS = tuple(kind.key for kind in KINDS)


def usable(bench):
    """The columns asked for that can be measured here; a loud message for each that cannot."""
    asked = [k for k in bench.arguments.columns.split(",") if k] or KEYS
    found = []
    for kind in KINDS:
        if kind.key not in asked:
            continue
        if kind.is_tidemark and not bench.tidemark.exists():
            bench.skip(f"column {kind.title}: {bench.tidemark} does not exist; build it first: ./dev build")
            continue
        try:
            found.append(kind(bench))
        except BenchError as e:
            bench.skip(f"column {kind.title}: {e}")
    return found


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_listening(bench, process, endpoint, timeout=15):
    host, port = endpoint.removeprefix("tcp://").split(":")
    end = time.monotonic() + timeout
    while True:
        bench.expect_alive(process)
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except OSError as e:
            if time.monotonic() > end:
                raise BenchError(f"the site does not listen on {endpoint} after {timeout} s: {e}") from e
            time.sleep(0.05)
