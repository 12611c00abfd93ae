"""A primary and any number of sites as real processes, in network namespaces where wanted. Ends only what it started."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from world import free_port, is_served  # noqa: E402


class Site:
    """`tidemark serve`, killed and started again at the same address."""

    def __init__(self, sites, name, address="127.0.0.1", within=(), flags=()):
        self.sites, self.name, self.within, self.flags = sites, name, within, flags
        self.directory = os.path.join(sites.root, name)
        self.copy = os.path.join(self.directory, sites.name)
        self.port = free_port()
        self.endpoint = f"tcp://{address}:{self.port}"
        self.process = None

    def start(self):
        self.process = self.sites.spawn(self.within, "serve", "--dir", self.directory, "--listen", self.endpoint, *self.flags)

    def kill(self):
        self.sites.kill(self.process)


class Sites:
    def __init__(self, binary, name="shop"):
        self.binary = os.path.abspath(binary)
        self.name = name
        self.root = tempfile.mkdtemp(prefix="tidemark-lines-", dir="/var/tmp")
        self.volume = os.path.join(self.root, name)
        self.mount = os.path.join(self.root, "mnt")
        self.log = open(os.path.join(self.root, "messages"), "ab")
        self.sites = []
        self.primary = None
        self.within = ()        # words before the primary's command: where it runs
        self.keys = ()          # flags of whoever reads from a site
        os.mkdir(self.mount)
        self.run("init", self.volume)

    # --- processes --------------------------------------------------------------------------------------------------------
    def spawn(self, within, *words):
        return subprocess.Popen([*within, self.binary, *words], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                start_new_session=True)

    @staticmethod
    def kill(process):
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def site(self, name, **where):
        made = Site(self, name, **where)
        self.sites.append(made)
        made.start()
        return made

    def start_primary(self, *flags):
        self.primary = self.spawn(self.within, "mount", "-f", self.volume, self.mount, *flags)
        self.wait(self.mounted, "the mount", 30)

    def kill_primary(self):
        self.kill(self.primary)

    def unmount(self):
        """In order: what is durable goes over first, within moments."""
        self.run("umount", self.mount)
        self.primary.wait(60)

    def mounted(self):
        if self.primary.poll() is not None:
            raise AssertionError(f"the mount ended with {self.primary.returncode}{self.tail()}")
        return is_served(self.mount)

    # --- commands ---------------------------------------------------------------------------------------------------------
    def run(self, *words, within=(), ok=(0,)):
        done = subprocess.run([*within, self.binary, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        if ok is not None and done.returncode not in ok:
            raise AssertionError(f"tidemark {' '.join(words)}: exit {done.returncode}\n{done.stderr.decode()}{self.tail()}")
        return done

    def status(self, directory=None):
        """Of a volume that somebody has to see to, too: then the exit code is not 0."""
        return json.loads(self.run("status", directory or self.volume, "--json", ok=None).stdout)["volumes"][0]

    def pair(self, site, directory=None):
        return next(pair for pair in self.status(directory)["pairs"] if pair["site"] == site)

    def duplex(self, *names, directory=None):
        """Everything that is durable here is there, and the pair says so."""
        def stands():
            pairs = {pair["site"]: pair for pair in self.status(directory)["pairs"]}
            return all(pairs[name]["state"] == "duplex" and pairs[name].get("exposed_records") == 0 for name in names)
        self.wait(stands, f"{', '.join(names)} to be duplex", 60)

    def tail(self):
        self.log.flush()
        with open(self.log.name, "rb") as messages:
            return "\n--- messages ---\n" + messages.read()[-6000:].decode(errors="replace")

    def wait(self, condition, what, seconds):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds} s for {what}{self.tail()}")
            time.sleep(0.02)

    def shown(self, site):
        """The newest point of a site's copy, from its directory alone: a context with the path."""
        return Shown(self, site)

    # --- are they equal ---------------------------------------------------------------------------------------------------
    def against(self, site):
        return self.run("verify", self.volume, "--against", f"{site.endpoint}/{self.name}", "--json", *self.keys, ok=None,
                        within=self.within)

    def compare(self, *sites):
        """The sites' trees are the volume's, to the last byte and attribute; nobody writes meanwhile. By three witnesses."""
        for site in sites:
            against = self.against(site)
            # The kernel writes times back, and the daemon frees what was removed, when nobody expects it: that is on its way.
            end = time.monotonic() + 10
            while b'"behind"' in against.stdout and time.monotonic() < end:
                time.sleep(0.1)
                against = self.against(site)
            if against.returncode != 0:
                raise AssertionError(f"{site.name} has another history: {against.stdout.decode()}{against.stderr.decode()}")
            with self.shown(site) as shown:
                witness("diff", "-r", "--no-dereference", self.mount, shown)
                witness("rsync", "-naHAX", "--checksum", "--delete", "--itemize-changes", self.mount + "/", shown + "/")

    def close(self, keep=False):
        if self.primary is not None and self.primary.poll() is None:
            subprocess.run([self.binary, "umount", self.mount], capture_output=True, timeout=60)
        self.kill(self.primary)
        for site in self.sites:
            site.kill()
        for place in (self.mount, os.path.join(self.root, "shown")):
            subprocess.run(["umount", "-l", place], capture_output=True)
        self.log.close()
        if not keep:
            shutil.rmtree(self.root, ignore_errors=True)


class Shown:
    def __init__(self, sites, site):
        self.sites, self.source, self.path = sites, site.copy + "@latest", os.path.join(sites.root, "shown")

    def __enter__(self):
        os.mkdir(self.path)
        self.sites.run("mount", self.source, self.path)
        return self.path

    def __exit__(self, *_):
        self.sites.run("umount", self.path)
        os.rmdir(self.path)


def witness(*words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    if done.returncode != 0 or done.stdout:
        raise AssertionError(f"{' '.join(words)}:\n{done.stdout.decode(errors='replace')[:3000]}"
                             f"{done.stderr.decode(errors='replace')[:1000]}")
