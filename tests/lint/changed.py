#!/usr/bin/env python3
"""clang++ (warnings and thread safety, without making code) and then clang-tidy on some files, for so many seconds at most.

usage: changed.py BUILD SECONDS FILE…   BUILD has the compile_commands.json of clang++; for a header, a file is taken that includes it.
                                        What is not reached in time is said, and is no fault. Exit code 1: something was found
       changed.py --self-test           needs clang++-14; 77: it is not there
"""
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time


def units(build, files):
    """The translation units of the files, as {path: compile command}, in order. A header stands for one that includes it."""
    root = os.getcwd()
    with open(os.path.join(build, "compile_commands.json")) as database:
        commands = {os.path.relpath(entry["file"], root): entry for entry in json.load(database)}
    chosen = {}
    for file in files:
        unit = file
        if file.endswith(".h"):
            unit = file[:-2] + ".cc"
            if unit not in commands:
                include = re.compile(rf'^\s*#\s*include\s+["<](?:include/)?{re.escape(file.removeprefix("include/"))}[">]', re.M)
                unit = next((other for other in commands if os.path.isfile(other) and include.search(open(other).read())), None)
        if unit in commands:
            chosen.setdefault(unit, commands[unit])
    return chosen


def syntax_only(entry):
    words = shlex.split(entry["command"])
    at = words.index("-o")
    return words[:at] + words[at + 2:] + ["-fsyntax-only"]


def run_all(jobs, deadline):
    """Runs [(name, command, directory)] on all processors until the deadline; (found something, names not reached)."""
    found, missed = False, []

    def one(job):
        name, command, directory = job
        left = deadline - time.monotonic()
        if left <= 0:
            return name, None, ""
        try:
            done = subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=left)
        except subprocess.TimeoutExpired:
            return name, None, ""
        return name, done.returncode == 0, done.stdout or done.stderr

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        for name, sound, output in threads.map(one, jobs):
            if sound is None:
                missed.append(name)
            elif not sound:
                found = True
                print(f"{name}:\n{output}", flush=True)
    return found, missed


def check(build, seconds, files):
    deadline = time.monotonic() + seconds
    chosen = units(build, files)
    steps = [("clang++", [(name, syntax_only(entry), entry["directory"]) for name, entry in chosen.items()])]
    if shutil.which("clang-tidy-14"):
        steps.append(("clang-tidy", [(name, ["clang-tidy-14", "-p", build, "--quiet", name], None) for name in chosen]))
    result = 0
    for tool, jobs in steps:
        found, missed = run_all(jobs, deadline)
        result = 1 if found else result
        print(f"{tool}: {len(jobs) - len(missed)} of {len(jobs)} changed files", file=sys.stderr)
        if missed:
            print(f"{tool} did not reach in {seconds} s: {' '.join(missed[:20])}{' …' if len(missed) > 20 else ''}", file=sys.stderr)
    return result


SAMPLE = """
class __attribute__((capability("mutex"))) Mutex { public: void lock() __attribute__((acquire_capability())); };
struct Guarded { Mutex mutex; int value __attribute__((guarded_by(mutex))); };
int value_of(Guarded& guarded) {
  %s
  return guarded.value;
}
"""


def self_test():
    if not shutil.which("clang++-14"):
        print("SKIP: there is no clang++-14")
        return 77
    with tempfile.TemporaryDirectory(prefix="tidemark-lint-") as work:
        os.chdir(work)
        database = []
        for name, text in {"sound.cc": '#include "only.h"\n', "only.h": "int only_declared();\n", "unlocked.cc": SAMPLE % ""}.items():
            with open(name, "w") as file:
                file.write(text)
            if name.endswith(".cc"):
                command = f"clang++-14 -Wthread-safety -Werror -o {name}.o -c {work}/{name}"
                database.append({"directory": work, "file": f"{work}/{name}", "command": command})
        with open("compile_commands.json", "w") as file:
            json.dump(database, file)
        assert list(units(work, ["only.h", "gone.cc", "unlocked.cc"])) == ["sound.cc", "unlocked.cc"]
        jobs = [(name, syntax_only(entry), work) for name, entry in units(work, ["sound.cc", "unlocked.cc"]).items()]
        assert run_all(jobs[:1], time.monotonic() + 60) == (False, [])
        assert run_all(jobs, time.monotonic() + 60) == (True, []), "a read without the lock is not found out"
        assert run_all(jobs, time.monotonic()) == (False, ["sound.cc", "unlocked.cc"])
        assert run_all([("slow", ["sleep", "60"], work)], time.monotonic() + 0.2) == (False, ["slow"])
        os.chdir("/")
    print("self-test passed")
    return 0


if __name__ == "__main__":
    sys.exit(self_test() if sys.argv[1:] == ["--self-test"] else check(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
