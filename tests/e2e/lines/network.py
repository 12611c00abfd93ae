"""Machines of their own for sites: network namespaces behind one switch, as far as the kernel allows."""
import os
import shutil
import subprocess
import sys

SKIPPED = 77


def skip(why):
    print(f"SKIP: {why}, so nothing was tested", flush=True)
    sys.exit(SKIPPED)


def ip(*words, ok=True):
    done = subprocess.run(["ip", *words], stdin=subprocess.DEVNULL, capture_output=True)
    if ok and done.returncode != 0:
        raise AssertionError(f"ip {' '.join(words)}: {done.stderr.decode(errors='replace')}")
    return done


class Network:
    """Namespaces NAME0, NAME1 … with addresses 10.213.0.1, .2 …; each hangs on the switch by a cable that can be pulled."""

    def __init__(self, machines):
        if os.geteuid() != 0:
            skip("only root makes network namespaces")
        if shutil.which("ip") is None or shutil.which("nsenter") is None:
            skip("ip (iproute2) or nsenter (util-linux) is not installed")
        self.prefix = f"tm{os.getpid()}-"
        self.made = []
        done = ip("netns", "add", self.prefix + "switch", ok=False)
        if done.returncode != 0:
            skip("the kernel refuses network namespaces: " + done.stderr.decode(errors="replace").strip())
        self.made.append(self.prefix + "switch")
        try:
            self.connect(machines)
        except BaseException:
            self.close()
            raise

    def connect(self, machines):
        switch = self.prefix + "switch"
        done = ip("-n", switch, "link", "add", "bridge", "type", "bridge", ok=False)
        if done.returncode != 0:
            skip("the kernel has no bridges: " + done.stderr.decode(errors="replace").strip())
        ip("-n", switch, "link", "set", "bridge", "up")
        for number in range(machines):
            name = self.prefix + str(number)
            ip("netns", "add", name)
            self.made.append(name)
            ip("-n", switch, "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth", "netns", name)
            ip("-n", switch, "link", "set", f"port{number}", "master", "bridge")
            ip("-n", switch, "link", "set", f"port{number}", "up")
            ip("-n", name, "address", "add", f"{self.address(number)}/24", "dev", "eth")
            ip("-n", name, "link", "set", "eth", "up")
            ip("-n", name, "link", "set", "lo", "up")

    @staticmethod
    def address(number):
        return f"10.213.0.{number + 1}"

    def within(self, number):
        """Words before a command that is to run on that machine. Its files and mounts are everybody's: `ip netns exec` would hide them."""
        return ("nsenter", f"--net=/run/netns/{self.prefix}{number}")

    def pull(self, number):
        """Nobody is told: what is sent is lost."""
        ip("-n", self.prefix + "switch", "link", "set", f"port{number}", "down")

    def plug(self, number):
        ip("-n", self.prefix + "switch", "link", "set", f"port{number}", "up")

    def close(self):
        for name in reversed(self.made):
            ip("netns", "delete", name, ok=False)
        self.made.clear()
