"""A volume of the scripts that measure one thing by hand: mounted below a directory that goes with it."""
import os
import shutil
import signal
import subprocess
import tempfile
import time


def run(*command):
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stderr.decode().strip()}")
    return done.stdout.decode()


class Volume:
    """In DIR/vol, mounted at DIR/mnt; DIR is made below `parent`."""

    def __init__(self, binary, parent, *init):
        self.binary = os.path.abspath(binary)
        self.root = tempfile.mkdtemp(prefix="tidemark-bench-", dir=parent)
        self.directory = os.path.join(self.root, "vol")
        self.path = os.path.join(self.root, "mnt")
        os.mkdir(self.path)
        run(self.binary, "init", self.directory, *init)
        self.process = None

    def mount(self):
        """Seconds until the mount answers."""
        began = time.monotonic()
        self.process = subprocess.Popen([self.binary, "mount", self.directory, self.path, "-f"], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        parent = os.stat(self.root).st_dev
        while True:
            try:
                if os.stat(self.path).st_dev != parent:
                    return time.monotonic() - began
            except OSError:
                pass  # a mount whose process was killed
            if self.process.poll() is not None:
                raise SystemExit(f"the mount ended with {self.process.returncode}")
            time.sleep(0.001)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def unmount(self):
        if self.process is None:
            return
        run(self.binary, "umount", self.path)
        self.process.wait()
        self.process = None

    def remove(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        subprocess.run(["umount", "-l", self.path], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.root, ignore_errors=True)


class Site:
    """A site on loopback, in DIR/site."""

    def __init__(self, binary, root, *flags):
        self.process = subprocess.Popen([os.path.abspath(binary), "serve", "--dir", os.path.join(root, "site"), "--listen",
                                         "tcp://127.0.0.1:*", *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        self.endpoint = self.process.stdout.readline().decode().strip().removeprefix("listening on ")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as knob:
        knob.write("3\n")
