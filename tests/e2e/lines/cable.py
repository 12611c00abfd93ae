"""Two machines (network namespaces) and a cable between them with a rate, a delay and an end: a pair of TUN devices. TCP on it is
the kernel's own."""
import collections
import fcntl
import os
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from network import ip, skip  # noqa: E402

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 0x0001, 0x1000
PACKET_MAX = 65536


class Way:
    """One direction: packets go out when the line has had time for them, and a delay later."""

    def __init__(self, cable, source, target):
        self.cable, self.source, self.target = cable, source, target
        self.packets = collections.deque()
        self.queued = 0             # bytes
        self.carried = 0            # bytes, so far
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=one, daemon=True) for one in (self.take, self.give)]
        for thread in self.threads:
            thread.start()

    def take(self):
        free = 0.0                  # when the line is
        while not self.cable.closed:
            try:
                packet = os.read(self.source, PACKET_MAX)
            except OSError:
                return
            cable, now = self.cable, time.monotonic()
            if cable.pulled or self.queued + len(packet) > cable.queue_max:
                continue            # lost, as in a router whose queue is full
            free = max(free, now) + (len(packet) / cable.rate if cable.rate else 0)
            with self.changed:
                self.packets.append((free + cable.delay, packet))
                self.queued += len(packet)
                self.changed.notify()

    def give(self):
        while True:
            with self.changed:
                while not self.packets and not self.cable.closed:
                    self.changed.wait(1)
                if self.cable.closed:
                    return
                due, packet = self.packets.popleft()
            time.sleep(max(0.0, due - time.monotonic()))
            self.queued -= len(packet)
            if self.cable.pulled:
                continue
            try:
                os.write(self.target, packet)
            except OSError:
                return
            self.carried += len(packet)


class Cable:
    """Machines 0 and 1. `rate`: bytes a second each way, 0 for no limit; `delay`: seconds each way; both may change."""

    def __init__(self, rate=0, delay=0.0, mtu=1500, queue_max=256 << 10):
        if os.geteuid() != 0:
            skip("only root makes network namespaces")
        if not os.path.exists("/dev/net/tun"):
            skip("the kernel has no TUN devices")
        self.rate, self.delay, self.queue_max = rate, delay, queue_max
        self.pulled = False         # what is sent is lost, and nobody is told
        self.closed = False
        self.prefix = f"tm{os.getpid()}-"
        self.made, self.ends = [], []
        try:
            for number in range(2):
                self.add(number, mtu)
        except BaseException:
            self.close()
            raise
        self.there = Way(self, self.ends[0], self.ends[1])
        self.back = Way(self, self.ends[1], self.ends[0])

    def add(self, number, mtu):
        name, device = f"{self.prefix}{number}", f"tm{os.getpid()}t{number}"
        done = ip("netns", "add", name, ok=False)
        if done.returncode != 0:
            skip("the kernel refuses network namespaces: " + done.stderr.decode(errors="replace").strip())
        self.made.append(name)
        end = os.open("/dev/net/tun", os.O_RDWR)
        self.ends.append(end)
        fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
        ip("link", "set", device, "netns", name)
        ip("-n", name, "address", "add", f"{self.address(number)}/24", "dev", device)
        ip("-n", name, "link", "set", device, "mtu", str(mtu), "up")
        ip("-n", name, "link", "set", "lo", "up")

    @staticmethod
    def address(number):
        return f"10.214.0.{number + 1}"

    def within(self, number):
        """Words before a command that is to run on that machine."""
        return ("nsenter", f"--net=/run/netns/{self.prefix}{number}")

    def close(self):
        self.closed = True
        for name in self.made:
            ip("netns", "delete", name, ok=False)
        for end in self.ends:
            os.close(end)           # the device goes with it, and whoever reads from it is told
        self.made, self.ends = [], []


if __name__ == "__main__":          # a look at the cable itself: what a bare TCP connection gets through it
    line = Cable(rate=int(sys.argv[1]), delay=float(sys.argv[2]), mtu=int(sys.argv[3]), queue_max=int(sys.argv[4]))
    code = "import socket,sys,time\ns=socket.create_server(('10.214.0.2',5000));c,_=s.accept();n=0;b=time.time()\n" \
           "while d:=c.recv(1<<20): n+=len(d)\nprint(n/(time.time()-b)/1e6,'MB/s',flush=True)"
    sink = subprocess.Popen([*line.within(1), sys.executable, "-c", code])
    time.sleep(0.5)
    code = "import socket,time\nc=socket.create_connection(('10.214.0.2',5000));e=time.time()+8\nwhile time.time()<e: c.sendall(bytes(1<<20))"
    subprocess.run([*line.within(0), sys.executable, "-c", code])
    sink.wait()
    line.close()
