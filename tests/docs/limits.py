#!/usr/bin/env python3
"""docs/LIMITS.md says what the code does: every row's constant has the row's value. And every constant that a page names exists.

usage: limits.py PROGRAM TREE [--control]     (--control: the check finds a wrong value and a constant that does not exist)
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pages import Page  # noqa: E402

UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
         "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400}
CHRONO = {"nanoseconds": 1e-9, "microseconds": 1e-6, "milliseconds": 1e-3, "seconds": 1, "minutes": 60, "hours": 3600}
NAMED = {"INT64_MAX": str(2**63 - 1), "INT32_MAX": str(2**31 - 1)}
ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<value>[^|]+) \| `(?P<name>k\w+)` \| `(?P<path>[^`]+)` \| (?P<page>\w+) \|$", re.M)
CONSTANT = re.compile(r"\bconstexpr\s+(?P<type>[\w:]+(?: long| int)?)\s+(?P<name>k\w+)\s*(?:=\s*(?P<set>[^;]+)|\{(?P<braced>[^;]+)\});")


def value_of(text):
    """"4 KiB", "1,024", "30 s" as a number: bytes, a count, seconds."""
    match = re.fullmatch(r"([\d,]+)(?: (\w+))?", text.strip())
    if not match or (match[2] or "") not in UNITS:
        raise ValueError(f"'{text}' is not a number with a unit of {', '.join(filter(None, UNITS))}")
    return int(match[1].replace(",", "")) * UNITS[match[2] or ""]


def evaluate(kind, expression):
    """An initializer of C++ made of numbers, shifts, products and durations, as a number."""
    scale = 1
    duration = re.search(r"std::chrono::(\w+)", kind + " " + expression if kind != "std::chrono::nanoseconds" else expression + " " + kind)
    if duration:
        scale = CHRONO[duration[1]]
    expression = re.sub(r"std::chrono::\w+|\b(?:u?int\d+_t|size_t)\b", "", expression)
    expression = re.sub(r"(?<=\d)'(?=\d)", "", expression).replace("{", "(").replace("}", ")")
    expression = re.sub(r"\b(\d+)[uUlL]+\b", r"\1", expression)
    for name, number in NAMED.items():
        expression = expression.replace(name, number)
    if not re.fullmatch(r"[\d\s()*+\-/<]+", expression):
        raise ValueError(f"'{expression}' is more than this check can work out")
    return eval(expression) * scale  # noqa: S307: digits and operators alone


def constants(text):
    return {match["name"]: (match["type"], match["set"] or match["braced"]) for match in CONSTANT.finditer(text)}


def check_rows(page, read):
    faults = []
    rows = list(ROW.finditer(page))
    tabled = [line for line in page.splitlines() if line.startswith("| ") and "| ---" not in line and not line.startswith("| limit |")]
    for line in tabled:
        if not ROW.fullmatch(line):
            faults.append(f"not a row of limit, value, constant, file and page: {line}")
    for row in rows:
        try:
            found = constants(read(row["path"])).get(row["name"])
            if found is None:
                raise ValueError(f"{row['path']} has no constant {row['name']}")
            if abs(evaluate(*found) - value_of(row["value"])) > 1e-9:
                raise ValueError(f"{row['name']} in {row['path']} is {evaluate(*found):g}")
        except (ValueError, OSError) as fault:
            faults.append(f"{row['what'].strip()}: {row['value'].strip()}: {fault}")
    return len(rows), faults


def check_names(pages, known):
    return [f"{page.name}:{line}: {span} is not in the code" for page in pages for line, span in page.spans
            if re.fullmatch(r"k[A-Z]\w+", span) and span not in known]


def main():
    tree = sys.argv[2]

    def read(path):
        with open(os.path.join(tree, path), encoding="utf-8") as file:
            return file.read()

    limits = read("docs/LIMITS.md")
    names = subprocess.run(["git", "-C", tree, "ls-files", "*.md"], capture_output=True, text=True, check=True).stdout.split()
    sources = subprocess.run(["git", "-C", tree, "ls-files", "--cached", "--others", "--exclude-standard", "*.h", "*.cc", "*.c"],
                             capture_output=True, text=True, check=True).stdout.split()
    known = set()
    for path in sources:
        if os.path.exists(os.path.join(tree, path)):
            known.update(re.findall(r"\bk[A-Z]\w+", read(path)))
    if "--control" in sys.argv:
        wrong = limits.replace("| 255 |", "| 256 |").replace("`kPacksMax`", "`kNoSuchMax`")
        _, faults = check_rows(wrong, read)
        faults += check_names([Page("made-up.md", "as `kNoSuchLimit` says")], known)
        print("\n".join(faults))
        sys.exit(0 if len(faults) == 3 else 1)
    rows, faults = check_rows(limits, read)
    faults += check_names([Page(name, read(name)) for name in names], known)
    print("\n".join(faults + [f"{rows} limits, {len(names)} pages: {len(faults)} faults"]))
    sys.exit(1 if faults or rows < 40 else 0)


if __name__ == "__main__":
    main()
