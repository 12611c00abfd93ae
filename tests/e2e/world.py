"""A primary, a site and their mount as real processes, for end-to-end tests. Ends only what it started."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_served(mount):
    """Asks first and looks then: between a dead mount and the new one the directory below answers as well."""
    try:
        os.statvfs(mount)  # asks the daemon; a stat might be answered from the kernel's cache for a dead one
    except OSError:
        return False
    with open("/proc/self/mountinfo") as mounts:
        return any(f" {mount} " in line for line in mounts)


class World:
    """One volume at `self.mount`, one site; each can be killed and started again. `place`: where the volume is kept, if elsewhere."""

    def __init__(self, binary, name="volume", place=None):
        self.binary = os.path.abspath(binary)
        self.name = name
        self.root = tempfile.mkdtemp(prefix="tidemark-e2e-")
        self.volume = os.path.join(place(self.root) if place else self.root, name)
        self.mount = os.path.join(self.root, "mnt")
        self.site_dir = os.path.join(self.root, "site")
        self.port = free_port()
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        self.log = open(os.path.join(self.root, "messages"), "ab")
        self.primary = None
        self.site = None
        self.preload = ""  # a library for the processes that are spawned
        os.mkdir(self.mount)

    # --- commands -----------------------------------------------------------------------------------------------------
    def run(self, *words, timeout=120, ok=(0,)):
        done = subprocess.run([self.binary, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
        if ok is not None and done.returncode not in ok:
            raise AssertionError(f"tidemark {' '.join(words)}: exit {done.returncode}\n{done.stderr.decode()}{self.tail()}")
        return done

    def json(self, *words):
        return json.loads(self.run(*words, "--json").stdout)

    def tail(self):
        self.log.flush()
        with open(self.log.name, "rb") as messages:
            return "\n--- messages ---\n" + messages.read()[-4000:].decode(errors="replace")

    def spawn(self, *words):
        return subprocess.Popen([self.binary, *words], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                start_new_session=True, env=self.environment())

    def environment(self):
        if not self.preload:
            return None
        sanitizer = "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")
        return {**os.environ, "LD_PRELOAD": self.preload, "ASAN_OPTIONS": sanitizer}

    # --- processes ----------------------------------------------------------------------------------------------------
    def start_site(self):
        self.site = self.spawn("serve", "--dir", self.site_dir, "--listen", self.endpoint)
        self.wait(self.site, self.site_listens, "the site to listen")

    def site_listens(self):
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def start_primary(self):
        self.primary = self.spawn("mount", "-f", self.volume, self.mount)
        self.wait(self.primary, self.mounted, "the mount")

    def mounted(self):
        return is_served(self.mount)

    def wait(self, process, condition, what, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            if process is not None and process.poll() is not None:
                raise AssertionError(f"the process ended ({process.returncode}) while waiting for {what}{self.tail()}")
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds} s for {what}{self.tail()}")
            time.sleep(0.02)

    @staticmethod
    def kill(process):
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def kill_primary(self):
        self.kill(self.primary)

    def kill_site(self):
        self.kill(self.site)

    # --- where sites stand --------------------------------------------------------------------------------------------
    def remote(self, point=""):
        return f"{self.endpoint}/{self.name}{point}"

    def equal(self):
        return self.run("verify", self.volume, "--against", self.remote(), ok=None).returncode == 0

    def close(self, keep=False):
        if self.primary is not None and self.primary.poll() is None:
            subprocess.run([self.binary, "umount", self.mount], capture_output=True, timeout=60)
        self.kill(self.primary)
        self.kill(self.site)
        subprocess.run(["umount", "-l", self.mount], capture_output=True)
        self.log.close()
        if not keep:
            shutil.rmtree(self.root, ignore_errors=True)
