"""The rows every column has: what each does, and how they are repeated, interleaved over the columns."""
import dataclasses
import json
import subprocess
from typing import Callable

from harness import FILES_PER_DIR, MIB, BenchError

# The same for every column. refill_buffers matters: fio otherwise repeats one buffer with a few bytes changed, which LZ4
# shrinks 24 times. fallocate=none: nobody is handed space in advance. end_fsync counts into the time where it is set.
FIO = ("--name=bench", "--ioengine=psync", "--refill_buffers", "--fallocate=none", "--randrepeat=1", "--group_reporting",
       "--output-format=json", "--eta=never")


@dataclasses.dataclass
class Row:
    key: str
    name: str
    unit: str


@dataclasses.dataclass
class Step:
    """Measured together, in one repeat: `run(column)` returns {row key: value} or {row key: (value, details)}."""

    rows: list
    run: Callable
    prepare: Callable = lambda column: None
    cold: bool = False


@dataclasses.dataclass
class Scenario:
    """Steps on one fresh directory or volume of each column."""

    name: str
    steps: list


class Fio:
    def __init__(self, bench):
        self.bench = bench

    def __call__(self, column, *options):
        command = ["fio", *FIO, f"--directory={column.path}", *options]
        out = self.bench.check(command, timeout=120)
        try:
            return json.loads(out[out.index("{"):])["jobs"][0]
        except (ValueError, KeyError, IndexError) as e:
            raise BenchError(f"fio printed no figures: {out[-300:]}") from e

    def write(self, column, *options):
        return self(column, *options)["write"]

    def read(self, column, *options):
        return self(column, *options)["read"]


def mib_per_s(figures):
    return figures["bw_bytes"] / MIB


def tail_ms(figures, section="clat_ns"):
    percentiles = figures.get(section, {}).get("percentile", {})
    return {f"p{float(p):g}_ms": ns / 1e6 for p, ns in percentiles.items() if float(p) in (50.0, 99.0)}


def fresh(column, *names):
    for name in names:
        (column.path / name).unlink(missing_ok=True)


def writes(bench):
    fio, z = Fio(bench), bench.sizes

    def sequential(key, block, *more):
        def run(column):
            fresh(column, "seq")
            return {key: mib_per_s(fio.write(column, "--filename=seq", "--rw=write", f"--bs={block}", "--end_fsync=1",
                                             f"--size={z.sequential}", f"--runtime={z.seconds_max}", *more))}
        return run

    half = ("--buffer_compress_percentage=50", "--buffer_compress_chunk=512")
    return Scenario("writes", [
        Step([Row("seq-write-1m", "sequential write, 1 MiB", "MiB/s")], sequential("seq-write-1m", "1m")),
        Step([Row("seq-write-1m-half", "sequential write, 1 MiB, half compressible", "MiB/s")],
             sequential("seq-write-1m-half", "1m", *half)),
        Step([Row("seq-write-4k", "sequential write, 4 KiB", "MiB/s")], sequential("seq-write-4k", "4k")),
    ])


def random_writes(bench):
    fio, z = Fio(bench), bench.sizes

    def prepare(column):
        fio(column, "--filename=random", "--rw=write", "--bs=1m", f"--size={z.random_file}", "--end_fsync=1")

    def run(column):
        return {"rand-write-4k": mib_per_s(fio.write(
            column, "--filename=random", "--rw=randwrite", "--bs=4k", f"--size={z.random_file}",
            f"--io_size={z.random_io}", "--end_fsync=1", f"--runtime={z.seconds_max}"))}

    return Scenario("random writes", [
        Step([Row("rand-write-4k", "random write, 4 KiB, existing file", "MiB/s")], run, prepare)])


def syncs(bench):
    fio, z = Fio(bench), bench.sizes

    def sync_writes(key, jobs):
        def run(column):
            names = [f"sync{i}" for i in range(jobs)]
            fresh(column, *names)
            job = fio(column, "--filename_format=sync$jobnum", f"--numjobs={jobs}", "--rw=write", "--bs=4k", "--fsync=1",
                      f"--size={256 * MIB // jobs}", f"--runtime={z.seconds}")
            return {key: (job["write"]["iops"], tail_ms(job.get("sync", {}), "lat_ns"))}
        return run

    return Scenario("write and fsync", [
        Step([Row("fsync-1", "4 KiB write + fsync, 1 job", "/s")], sync_writes("fsync-1", 1)),
        Step([Row("fsync-8", "4 KiB write + fsync, 8 jobs", "/s")], sync_writes("fsync-8", 8))])


def reads(bench):
    fio, z = Fio(bench), bench.sizes
    file = ("--filename=read", f"--size={z.read_file}")
    capped = f"--runtime={z.seconds_max}"

    def prepare(column):
        if not (column.path / "read").exists():
            fio(column, *file, "--rw=write", "--bs=1m", "--end_fsync=1")

    def prepare_warm(column):
        prepare(column)
        fio(column, *file, "--rw=read", "--bs=1m", "--invalidate=0")

    def read(key, *options):
        return lambda column: {key: mib_per_s(fio.read(column, *file, *options))}

    random = ("--rw=randread", "--bs=4k")
    return Scenario("reads", [
        Step([Row("cold-seq-read", "sequential read, 1 MiB, cold", "MiB/s")],
             read("cold-seq-read", "--rw=read", "--bs=1m", capped), prepare, cold=True),
        Step([Row("cold-rand-read", "random read, 4 KiB, cold", "MiB/s")],
             read("cold-rand-read", *random, f"--io_size={z.random_io}", f"--runtime={z.seconds}"), prepare, cold=True),
        Step([Row("warm-seq-read", "sequential read, 1 MiB, warm", "MiB/s")],
             read("warm-seq-read", "--rw=read", "--bs=1m", "--invalidate=0", f"--io_size={z.warm_io}", capped),
             prepare_warm),
        Step([Row("warm-rand-read", "random read, 4 KiB, warm", "MiB/s")],
             read("warm-rand-read", *random, "--invalidate=0", f"--runtime={z.seconds}"), prepare_warm),
    ])


def small_files(bench):
    z = bench.sizes

    def helper(column, what):
        return z.files / float(bench.check([bench.tools / "smallfiles", what, column.path, z.files, FILES_PER_DIR,
                                            z.file_bytes]))

    def create_and_remove(column):
        return {"files-create": helper(column, "create"), "files-remove": helper(column, "remove")}

    def prepare_stat(column):
        if not any(column.path.glob("d*")):
            helper(column, "create")

    def prepare_warm(column):
        prepare_stat(column)
        helper(column, "stat")

    n = f"{z.files:,}"
    return Scenario("small files", [
        Step([Row("files-create", f"create {n} files of 1 KiB", "files/s"),
              Row("files-remove", f"remove {n} files", "files/s")], create_and_remove),
        Step([Row("files-stat-cold", f"list and stat {n} files, cold", "files/s")],
             lambda column: {"files-stat-cold": helper(column, "stat")}, prepare_stat, cold=True),
        Step([Row("files-stat-warm", f"list and stat {n} files, warm", "files/s")],
             lambda column: {"files-stat-warm": helper(column, "stat")}, prepare_warm),
    ])


def scenarios(bench):
    """What the asked rows need: a step stays when one of its rows matches, a scenario when one of its steps stays."""
    found = []
    for make in (writes, random_writes, syncs, reads, small_files):
        scenario = make(bench)
        scenario.steps = [s for s in scenario.steps if any(asked(bench, r) for r in s.rows)]
        if scenario.steps:
            found.append(scenario)
    return found


def asked(bench, row):
    return bool(bench.arguments.pattern.search(row.key) or bench.arguments.pattern.search(row.name))


def describe_all():
    class Sizes:
        def __getattr__(self, _name):
            return 20000

    class Nothing:
        sizes = Sizes()

    return [f"{r.key:20} {r.name}" for make in (writes, random_writes, syncs, reads, small_files)
            for s in make(Nothing).steps for r in s.rows]


# ---- running


def run_scenario(bench, scenario, columns, results):
    bench.say(scenario.name)
    ready = []
    try:
        for column in columns:
            if attempt(bench, f"{scenario.name}: {column.title}", column.open):
                ready.append(column)
        for step in scenario.steps:
            run_step(bench, step, ready, results)
    finally:
        for column in columns:
            attempt(bench, f"{scenario.name}: cleaning up {column.title}", column.close)


def run_step(bench, step, columns, results):
    names = ", ".join(r.name for r in step.rows)
    if step.cold and not bench.can_drop_caches:
        return
    repeats = bench.repeats()
    if repeats == 0:
        bench.skip(f"row {names}: the budget of {bench.arguments.budget} s is spent")
        return
    bench.say(f"  {names}")
    working = [c for c in columns if attempt(bench, f"{names}: {c.title}", step.prepare, c)]
    for column in working:
        bench.settle(column.processes())
    for done in range(repeats):
        if done and bench.repeats() <= done:
            bench.note(f"row {names}: {done} of {repeats} repeats, for lack of time")
            break
        for column in list(working):
            if not attempt(bench, f"{names}: {column.title}", repeat_once, bench, step, column, results):
                working.remove(column)


def repeat_once(bench, step, column, results):
    if step.cold:
        column.remount()
        bench.settle(column.processes())
        bench.drop_caches()
    values = step.run(column)
    # Work left behind, of the column's own daemons, is not in the value: it is kept beside it, and ends before the next.
    behind = bench.settle(column.processes())
    for row in step.rows:
        value, details = values[row.key] if isinstance(values[row.key], tuple) else (values[row.key], {})
        if asked(bench, row):
            results.add(row, column.key, value, dict(details, settled_after_s=round(behind, 2)))


def attempt(bench, what, function, *arguments):
    """One column's failure is said loudly and does not end the others' measurement."""
    try:
        function(*arguments)
        return True
    except (BenchError, OSError, subprocess.SubprocessError) as e:
        bench.skip(f"{what}: {e}")
        return False
