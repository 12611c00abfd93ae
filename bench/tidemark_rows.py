"""What only Tidemark does: marks, restore (beside cp -a of the same tree), and mounting a point."""
import pathlib
import shutil
import statistics
import time

import columns
from harness import FILES_PER_DIR, HERE, MIB, BenchError
from rows import Fio, asked, Row, attempt

MARK = Row("mark", "mark under light write load", "ms")
RESTORE_BIG = Row("restore-big", "restore, large files", "MiB/s")
RESTORE_SMALL = Row("restore-small", "restore, small files", "files/s")
MOUNT = Row("mount-point", "mount a point, until it answers", "ms")
ALL = (MARK, RESTORE_BIG, RESTORE_SMALL, MOUNT)
BIG_FILES = 4
MOUNTS = 5
POINT = "bench"


def describe_all():
    return [f"{r.key:20} {r.name}" for r in ALL]


def run(bench, results):
    wanted = [r for r in ALL if asked(bench, r)]
    asked_columns = bench.arguments.columns.split(",")
    if not wanted or (bench.arguments.columns and columns.Tidemark.key not in asked_columns):
        return
    if not bench.tidemark.exists():
        bench.skip(f"rows of Tidemark alone: {bench.tidemark} does not exist; build it first: ./dev build")
        return
    native, volume = columns.Native(bench), columns.Tidemark(bench)
    parts = ((marks, (MARK,)), (restore_big, (RESTORE_BIG,)), (restore_small_and_mount, (RESTORE_SMALL, MOUNT)))
    for function, rows in parts:
        if not any(r in wanted for r in rows):
            continue
        names = ", ".join(r.name for r in rows)
        if bench.repeats() == 0:
            bench.skip(f"row {names}: the budget of {bench.arguments.budget} s is spent")
            continue
        bench.say(names)
        attempt(bench, names, on_fresh, function, bench, native, volume, results)


def on_fresh(function, bench, native, volume, results):
    try:
        native.open()
        volume.open()
        function(bench, native, volume, results)
    finally:
        volume.close()
        native.close()


def marks(bench, _native, volume, results):
    z = bench.sizes
    helper = bench.compile(HERE / "marklat.c", "marklat", "-pthread", f"-I{HERE.parent / 'include'}")
    out = bench.check([helper, volume.path, z.marks, "bench", z.mark_load])
    ms = sorted(float(line) / 1000 for line in out.split())
    note = f"{len(ms)} marks through the ioctl, {z.mark_load} writes of 4 KiB a second beside them"
    results.add_alone("mark-p50", MARK.name + ", p50", percentile(ms, 50), "ms", note, ms)
    results.add_alone("mark-p99", MARK.name + ", p99", percentile(ms, 99), "ms")


def percentile(ordered, p):
    """Nearest rank: the least value that at least p % of all do not exceed."""
    return ordered[max(0, -(-len(ordered) * p // 100) - 1)]


# ---- restore


def restore_big(bench, native, volume, results):
    size = bench.sizes.restore_big
    fio = Fio(bench)

    def fill(column):
        for i in range(BIG_FILES):
            fio(column, f"--filename=big{i}", "--rw=write", "--bs=1m", f"--size={size // BIG_FILES}", "--end_fsync=1")

    freeze(bench, volume, fill)
    fill(native)
    compare(bench, native, volume, results, RESTORE_BIG, size / MIB)


def restore_small_and_mount(bench, native, volume, results):
    z = bench.sizes

    def fill(column):
        bench.check([bench.tools / "smallfiles", "create", column.path, z.restore_files, FILES_PER_DIR, z.file_bytes])

    freeze(bench, volume, fill)
    if asked(bench, MOUNT):
        mount_times(bench, volume, results)
    if asked(bench, RESTORE_SMALL):
        fill(native)
        compare(bench, native, volume, results, RESTORE_SMALL, z.restore_files)


def freeze(bench, volume, fill):
    """Fills the volume, marks it, and unmounts it: restore and mount start from a volume at rest."""
    fill(volume)
    bench.check([bench.tidemark, "mark", "create", volume.path, POINT])
    volume.unmount()


def compare(bench, native, volume, results, row, amount):
    """restore and cp -a of the same tree in turn, both cold, to the same disk, both timed until syncfs has returned."""
    if not bench.can_drop_caches:
        return
    targets = {"cp": volume.base / "target-cp", "restore": volume.base / "target-restore"}
    commands = {"cp": ["cp", "-a", native.path, targets["cp"]],
                "restore": [bench.tidemark, "restore", f"{volume.volume}@{POINT}", "--target", targets["restore"]]}
    rates = {"cp": [], "restore": []}
    for _ in range(bench.repeats() or 1):
        for which, command in commands.items():
            shutil.rmtree(targets[which], ignore_errors=True)
            bench.drop_caches()
            start = time.monotonic()
            bench.check(command)
            bench.check(["sync", "-f", targets[which]])
            rates[which].append(amount / (time.monotonic() - start))
    check_tree(targets["restore"], amount_of_files(targets["cp"]))
    ours, theirs = (statistics.median(rates[w]) for w in ("restore", "cp"))
    results.add_alone(row.key, row.name, ours, row.unit, f"cp -a: {theirs:,.0f} {row.unit} ({ours / theirs:.2f})",
                      rates["restore"])


def amount_of_files(top):
    files = [p for p in pathlib.Path(top).rglob("*") if p.is_file()]
    return len(files), sum(p.stat().st_size for p in files)


def check_tree(target, expected):
    found = amount_of_files(target)
    if found != expected:
        raise BenchError(f"restore wrote {found[0]} files of {found[1]} bytes; {expected[0]} of {expected[1]} are right")


# ---- mounting


def mount_times(bench, volume, results):
    for key, name, source, passed in (
            (MOUNT.key, MOUNT.name, f"{volume.volume}@{POINT}", ""),
            ("mount-volume", "mount the volume, until it answers", str(volume.volume), "")):
        times = [time_mount(bench, volume, source) for _ in range(MOUNTS)]
        note = passed or f"{bench.sizes.restore_files:,} files in it, kernel caches warm"
        results.add_alone(key, name, statistics.median(times), "ms", note, times)


def time_mount(bench, volume, source):
    start = time.monotonic()
    process = bench.mount([bench.tidemark, "mount", source, volume.path, "-f"], volume.path, "mount-point", poll_s=0.001)
    took = time.monotonic() - start
    bench.unmount(volume.path, process, [bench.tidemark, "umount", volume.path])
    return took * 1000
