"""What every part of the benchmark shares: settings, compiled helpers, processes, mounts, caches, and cleaning up."""
import gzip
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
EXAMPLES = pathlib.Path("/usr/share/doc/libfuse3-dev/examples")
NOFILE_WANTED = 1 << 16
NOFILE_SPARE = 500  # descriptors passthrough_ll needs beside one per file
FILES_PER_DIR = 200
COMMAND_TIMEOUT_S = 180
QUIET_WINDOW_S = 0.05
WATCHDOG_S = 120  # beyond the budget, after which a daemon that hangs is killed
MIB = 1 << 20


class BenchError(Exception):
    """Something expected went wrong; the text says what and where."""


class Sizes:
    """How much each row does. Chosen so that a run stays within its budget on two cores and a 300 MiB/s disk."""

    def __init__(self, quick, most_files):
        self.sequential = (128 if quick else 512) * MIB
        self.random_file = (64 if quick else 256) * MIB
        self.random_io = (16 if quick else 64) * MIB
        self.read_file = (128 if quick else 512) * MIB
        self.warm_io = (256 if quick else 1024) * MIB
        self.seconds_max = 2 if quick else 8  # a cap on rows bounded by size
        self.seconds = 1 if quick else 3  # of rows bounded by time
        self.files = min(4000 if quick else 20000, most_files)
        self.file_bytes = 1024
        self.marks = 50 if quick else 200
        self.mark_load = 200  # 4 KiB writes a second
        self.restore_big = (64 if quick else 256) * MIB
        self.restore_files = min(2000 if quick else 10000, most_files)
        self.settle_s = 10 if quick else 30


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.build = pathlib.Path(arguments.build_dir).resolve()
        self.tidemark = self.build / "tidemark"
        self.work = pathlib.Path(arguments.dir).resolve() if arguments.dir else self.build / "bench-work"
        self.tools = self.work / "tools"
        self.logs = self.work / "logs"
        self.started = time.monotonic()
        self.skipped = []
        self.notes = []
        self.processes = []
        self.mounts = []
        self.owns_work = False
        self.sizes = Sizes(arguments.quick, raise_descriptor_limit())
        self.can_drop_caches = os.access("/proc/sys/vm/drop_caches", os.W_OK)

    # ---- messages and time

    def say(self, text):
        print(f"[{self.elapsed():5.0f} s] {text}", file=sys.stderr, flush=True)

    def skip(self, text):
        """Says loudly, now and again under the table, that something asked for is missing from it."""
        self.skipped.append(text)
        self.say(f"*** SKIPPED: {text} ***")

    def note(self, text):
        """Something the reader of the table must know, though nothing is missing from it."""
        self.notes.append(text)
        self.say(f"*** {text} ***")

    def elapsed(self):
        return time.monotonic() - self.started

    def repeats(self):
        """How many repeats the next row may have; 0 when the budget is spent."""
        if self.elapsed() > self.arguments.budget:
            return 0
        return self.arguments.repeats if self.elapsed() < 0.8 * self.arguments.budget else 1

    # ---- preparation

    def prepare(self):
        if "@" in str(self.work):
            raise BenchError(f"{self.work}: a work directory may not have @ in its path; give another with --dir")
        if shutil.which("fio") is None:
            raise BenchError("fio is missing: apt-get install fio")
        if self.work.exists() and any(self.work.iterdir()):
            raise BenchError(f"{self.work} is not empty (an earlier run with --keep?): remove it or give --dir")
        self.start_watchdog()
        self.work.mkdir(parents=True, exist_ok=True)
        self.owns_work = True
        self.tools.mkdir()
        self.logs.mkdir()
        self.check_room()
        self.compile(HERE / "smallfiles.c", "smallfiles")
        if not self.can_drop_caches:
            self.skip("cold rows and restore need root, to drop the kernel's caches")

    def check_room(self):
        free = shutil.disk_usage(self.work).free
        need = 32 * self.sizes.sequential
        if free < need:
            raise BenchError(f"{self.work}: {free // MIB} MiB are free, {need // MIB} are needed; give another --dir")
        kind = self.filesystem()
        if kind in ("tmpfs", "ramfs", "overlay"):
            self.note(f"{self.work} is on {kind}: figures with fsync mean nothing there; give --dir on a disk")
        if os.getloadavg()[0] > 0.5:
            self.note(f"the load average was {os.getloadavg()[0]:.1f} at the start: other work distorts the figures")

    def filesystem(self):
        best = ("", "?")
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            left, right = line.split(" - ", 1)
            point = left.split()[4]
            inside = str(self.work) == point or str(self.work).startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best[0]):
                best = (point, right.split()[0])
        return best[1]

    def compile(self, source, name, *flags):
        self.check(["gcc", "-O2", "-o", self.tools / name, source, *flags])
        return self.tools / name

    def compile_passthrough(self):
        """libfuse's example as Debian ships it, or with a hash table for its list of inodes: see docs/PERFORMANCE.md."""
        self.copy_examples()
        source = self.tools / "passthrough_ll.c"
        if self.arguments.hashed_passthrough:
            source.write_text(with_hash_table(source.read_text()))
        flags = self.check(["pkg-config", "fuse3", "--cflags", "--libs"]).split()
        return self.compile(source, "passthrough_ll", *flags)

    def copy_examples(self):
        for name in ("passthrough_ll.c", "passthrough_helpers.h"):
            plain = EXAMPLES / name
            packed = EXAMPLES / (name + ".gz")
            if plain.exists():
                shutil.copy(plain, self.tools / name)
            elif packed.exists():
                (self.tools / name).write_bytes(gzip.decompress(packed.read_bytes()))
            else:
                raise BenchError(f"{plain} is missing: apt-get install libfuse3-dev "
                                 "(images that strip /usr/share/doc need path-include for it in dpkg.cfg.d)")

    # ---- processes

    def check(self, command, timeout=COMMAND_TIMEOUT_S, **kw):
        """Runs to the end and returns stdout; anything but success is a BenchError that carries its stderr."""
        command = [str(c) for c in command]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, **kw)
        except FileNotFoundError as e:
            raise BenchError(f"{command[0]}: {e.strerror}") from e
        except subprocess.TimeoutExpired as e:
            raise BenchError(f"{' '.join(command)}: not done after {timeout} s") from e
        if done.returncode != 0:
            tail = (done.stderr.strip() or done.stdout.strip())[-600:]
            raise BenchError(f"{' '.join(command)}: exit code {done.returncode}: {tail}")
        return done.stdout

    def start(self, command, name):
        log = self.logs / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                       start_new_session=True)
        process.log = log
        process.title = name
        self.processes.append(process)
        return process

    def expect_alive(self, process):
        if process.poll() is not None:
            tail = process.log.read_text(errors="replace").strip()[-600:]
            raise BenchError(f"{process.title} ended with exit code {process.returncode}: {tail}")

    def stop(self, process, grace=30):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        self.wait_end(process, grace)

    def wait_end(self, process, grace):
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            self.say(f"*** {process.title} (pid {process.pid}) did not end within {grace} s: killed ***")
            process.kill()
            process.wait()
        if process in self.processes:
            self.processes.remove(process)

    # ---- mounts

    def mount(self, command, mountpoint, name, timeout=60, poll_s=0.01):
        """Starts a foreground daemon and returns it once the mount answers."""
        process = self.start(command, name)
        self.mounts.append(mountpoint)
        try:
            self.wait_mounted(process, mountpoint, timeout, poll_s)
        except BenchError:
            self.force_unmount(mountpoint)
            self.stop(process)
            raise
        return process

    def wait_mounted(self, process, mountpoint, timeout, poll_s):
        end = time.monotonic() + timeout
        while not is_mounted(mountpoint):
            self.expect_alive(process)
            if time.monotonic() > end:
                raise BenchError(f"{process.title}: not mounted after {timeout} s")
            time.sleep(poll_s)
        os.listdir(mountpoint)

    def unmount(self, mountpoint, process, command=None):
        """Ends a mount and waits for its process, whose log or descriptors may outlive the mount itself."""
        for attempt in range(20):
            try:
                self.check(command or ["fusermount3", "-u", mountpoint], timeout=120)
                break
            except BenchError as e:
                if attempt == 19 or "imed out" in str(e) or not is_mounted(mountpoint):
                    self.say(f"*** {e} ***")
                    self.force_unmount(mountpoint)
                    break
                time.sleep(0.1)
        self.wait_end(process, 60)
        if mountpoint in self.mounts:
            self.mounts.remove(mountpoint)

    def force_unmount(self, mountpoint):
        if is_mounted(mountpoint):
            subprocess.run(["fusermount3", "-uz", str(mountpoint)], capture_output=True, check=False)

    # ---- quiet and cold

    def settle(self, processes):
        """Waits until the column's own processes rest and nothing is dirty. Returns the seconds it took."""
        start = time.monotonic()
        pids = [p.pid for p in processes if p.poll() is None]
        quiet = 0
        while pids and quiet < 2 and time.monotonic() - start < self.sizes.settle_s:
            before = cpu_ticks(pids)
            time.sleep(QUIET_WINDOW_S)
            quiet = quiet + 1 if cpu_ticks(pids) - before <= 1 and not any(map(in_disk_wait, pids)) else 0
        took = time.monotonic() - start
        os.sync()
        return took

    def drop_caches(self):
        os.sync()
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")

    # ---- the end

    def start_watchdog(self):
        """A daemon that hangs would hang whoever touches its mount, this process too: kill ours when all is overdue."""
        timer = threading.Timer(self.arguments.budget + WATCHDOG_S, self.kill_all)
        timer.daemon = True
        timer.start()

    def kill_all(self):
        self.note("overdue: killing every process this run started")
        for process in list(self.processes):
            if process.poll() is None:
                process.kill()

    def clean_up(self):
        """Ends every mount and process this run started, whatever state they are in; never anything else."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for mountpoint in list(self.mounts):
            self.force_unmount(mountpoint)
        for process in list(self.processes):
            self.stop(process, grace=10)
        left = [m for m in self.mounts if is_mounted(m)]
        if left:
            self.say(f"*** still mounted, not removed: {', '.join(map(str, left))} ***")
        elif self.owns_work and not self.arguments.keep:
            shutil.rmtree(self.work, ignore_errors=True)
        elif self.owns_work:
            self.say(f"kept: {self.work}")
        signal.signal(signal.SIGINT, signal.default_int_handler)


def raise_descriptor_limit():
    """passthrough_ll holds a descriptor for every inode the kernel knows: returns how many files that allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, NOFILE_WANTED), max(hard, NOFILE_WANTED)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    room = limit - NOFILE_SPARE
    most = room - room // FILES_PER_DIR
    return max(FILES_PER_DIR, most // 1000 * 1000 or most)


def with_hash_table(source):
    """passthrough_ll.c with its one list of inodes, searched at every lookup, spread over many by inode number."""
    heads = """
static struct lo_inode *lo_head(ino_t ino)
{
	enum { BUCKETS = 1 << 16 };
	static struct lo_inode heads[BUCKETS];
	struct lo_inode *head = &heads[ino % BUCKETS];

	if (head->next == NULL) /* under lo->mutex, as every use */
		head->next = head->prev = head;
	return head;
}

"""
    search = "static struct lo_inode *lo_find("
    edits = (("p = lo->root.next; p != &lo->root;", "p = lo_head(st->st_ino)->next; p != lo_head(st->st_ino);"),
             ("prev = &lo->root;", "prev = lo_head(inode->ino);"), (search, heads + search))
    for old, new in edits:
        if source.count(old) != 1:
            raise BenchError(f"--hashed-passthrough does not know this passthrough_ll.c: {old!r} is not in it once")
        source = source.replace(old, new)
    return source


def is_mounted(path):
    text = re.sub(r"([ \\])", lambda m: "\\%03o" % ord(m.group(1)), str(path))
    return any(line.split()[4] == text for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines())


def stat_fields(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None


def cpu_ticks(pids):
    fields = [f for f in map(stat_fields, pids) if f]
    return sum(int(f[11]) + int(f[12]) for f in fields)


def in_disk_wait(pid):
    try:
        tasks = list(pathlib.Path(f"/proc/{pid}/task").iterdir())
        return any((t / "stat").read_text().rsplit(")", 1)[1].split()[0] == "D" for t in tasks)
    except OSError:
        return False
