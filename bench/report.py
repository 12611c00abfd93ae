"""Collects the repeats, prints the tables, writes the JSON."""
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess

import columns

NOISY = 0.3  # repeats spread wider than this share of their median are marked
LEAST_SHARE = 0.5  # of passthrough_ll
REFERENCE = columns.Passthrough.key


class Results:
    def __init__(self, bench):
        self.bench = bench
        self.rows = {}  # key → (Row, {column key: [(value, details)]})
        self.lone = []  # rows of Tidemark alone, each with the text of its comparison
        self.facts = machine(bench)

    def add(self, row, column, value, details):
        self.rows.setdefault(row.key, (row, {}))[1].setdefault(column, []).append((value, details))

    def add_alone(self, key, name, value, unit, compared="", repeats=()):
        self.lone.append({"key": key, "name": name, "value": value, "unit": unit, "compared": compared,
                          "repeats": list(repeats)})

    # ---- text

    def print_text(self, out):
        for name, value in self.facts.items():
            print(f"{name + ':':16}{value}", file=out)
        if self.rows:
            self.print_table(out)
        if self.lone:
            self.print_alone(out)
        for text in self.bench.notes:
            print(f"NOTE: {text}", file=out)
        for text in self.bench.skipped:
            print(f"SKIPPED: {text}", file=out)

    def print_table(self, out):
        shown = [k for k in columns.KINDS if any(k.key in c for _, c in self.rows.values())]
        width = max(len(row.name) for row, _ in self.rows.values())
        print(f"\n  {'':{width}}  {'':7}" + "".join(f"{k.title:>21}" for k in shown), file=out)
        for row, cells in self.rows.values():
            flag = "!" if too_slow(cells) else " "
            line = "".join(f"{cell_text(cells, kind.key):>21}" for kind in shown)
            print(f"{flag} {row.name:{width}}  {row.unit:7}{line}", file=out)
        print(f"\nMedian of the repeats, more is better; (ratio to {columns.Passthrough.title}). "
              f"! tidemark is below {LEAST_SHARE} of it.\n~ the repeats spread over more than {NOISY:.0%} of the median. "
              "Data incompressible unless said otherwise.", file=out)

    def print_alone(self, out):
        width = max(len(r["name"]) for r in self.lone)
        print("\nTidemark alone", file=out)
        for r in self.lone:
            print(f"  {r['name']:{width}}  {number(r['value']):>10} {r['unit']:8} {r['compared']}", file=out)

    # ---- JSON

    def write_json(self, path):
        body = {"machine": self.facts, "quick": self.bench.arguments.quick, "seconds": round(self.bench.elapsed(), 1),
                "sizes": vars(self.bench.sizes), "skipped": self.bench.skipped,
                "notes": self.bench.notes, "tidemark_alone": self.lone,
                "rows": [row_json(row, cells) for row, cells in self.rows.values()]}
        pathlib.Path(path).write_text(json.dumps(body, indent=2) + "\n")


def median(cells, column):
    return statistics.median(v for v, _ in cells[column]) if column in cells else None


def ratio(cells, column):
    ours, reference = median(cells, column), median(cells, REFERENCE)
    return ours / reference if ours is not None and reference else None


def too_slow(cells):
    share = ratio(cells, columns.Tidemark.key)
    return share is not None and share < LEAST_SHARE


def cell_text(cells, column):
    value = median(cells, column)
    if value is None:
        return "-"
    values = [v for v, _ in cells[column]]
    noisy = "~" if value and (max(values) - min(values)) / value > NOISY else ""
    share = ratio(cells, column)
    return f"{noisy}{number(value)} {f'({share:.2f})' if share is not None else '      '}"


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def row_json(row, cells):
    return {"key": row.key, "name": row.name, "unit": row.unit, "flagged": too_slow(cells),
            "columns": {c: {"median": median(cells, c), "ratio": ratio(cells, c),
                            "repeats": [dict(d, value=v) for v, d in cells[c]]} for c in cells}}


def machine(bench):
    cpu = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": run(["git", "-C", str(pathlib.Path(__file__).parent), "describe", "--always", "--dirty"]),
        "machine": f"{os.cpu_count()} x {cpu}, {memory:.0f} GiB",
        "kernel": platform.release(),
        "backing": bench.filesystem(),
        "fio": run(["fio", "--version"]),
        "passthrough_ll": "with a hash table" if bench.arguments.hashed_passthrough else "as shipped",
        "run": f"{'quick' if bench.arguments.quick else 'full'}, {bench.arguments.repeats} repeats",
        "load at start": f"{os.getloadavg()[0]:.2f}",
    }


def run(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
