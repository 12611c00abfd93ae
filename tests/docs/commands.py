#!/usr/bin/env python3
"""Everything the pages name is there: commands and their flags, mount options, ./dev verbs, scripts, paths, links.

usage: commands.py PROGRAM TREE            checks README.md, CONTRIBUTING.md, docs/ and the README.md of each folder
       commands.py PROGRAM TREE --control  a page full of faults: each of them has to be found
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

from pages import Page, flags

FOLDERS = ("base", "log", "volume", "fs", "replicator", "restore", "cli", "include", "tests", "bench", "docs", "examples")

PROGRAM = ("tidemark", "build/tidemark", "/usr/local/bin/tidemark")


def output_of(*words):
    """What a command prints when asked for help; None where it fails."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    return done.stdout if done.returncode == 0 else None


class Command:
    """`tidemark WORD…` as its own help tells it."""

    def __init__(self, program, words=()):
        self.words = words
        text = output_of(program, *words, "--help")
        assert text, f"tidemark {' '.join(words)} --help fails"
        self.flags = set()
        for names in re.findall(r"^  (-[\w,-]+)", text, re.M):
            self.flags.update(names.strip(",").split(","))
        listed = re.search(r"^Subcommands:\n((?:  .*\n)+)", text, re.M)
        names = re.findall(r"^  (\w[\w-]*)", listed[1], re.M) if listed else []
        self.below = {name: Command(program, (*words, name)) for name in names}

    def all_flags(self):
        return self.flags.union(*(command.all_flags() for command in self.below.values()))


class Tree:
    """What there is: the program, ./dev, the files."""

    def __init__(self, program, root):
        self.program = os.path.abspath(program)
        self.root = os.path.abspath(root)
        self.tidemark = Command(self.program)
        usage = output_of(os.path.join(self.root, "dev"), "help")
        self.verbs = {}
        for verb, rest in re.findall(r"^\./dev (\w+)(.*)", usage, re.M):
            self.verbs[verb] = self.verbs.get(verb, "") + rest
        self.ctest = output_of("ctest", "--help")
        self.bench = output_of(os.path.join(self.root, "bench/run"), "--help")
        self.targets = set()
        for file in glob.glob(self.root + "/**/CMakeLists.txt", recursive=True):
            with open(file) as text:
                self.targets.update(re.findall(r"(?:tidemark_test|add_executable|add_custom_target)\((\w+)", text.read()))

    def path(self, *parts):
        return os.path.normpath(os.path.join(self.root, *parts))

    def usage_fault(self, words):
        """Runs a command where nothing is that it names: that may be its only fault, wrong usage (exit code 2) is one of the page."""
        with tempfile.TemporaryDirectory(prefix="tidemark-docs-") as work:
            open(os.path.join(work, "new.toml"), "w").close()
            words = [re.sub(r"^/(?=srv/|mnt/|etc/)", work + "/", word) for word in words]
            words = [re.sub(r"tcp://[\w.*-]+:\d+", "tcp://127.0.0.1:1", word) for word in words]
            done = subprocess.run([self.program, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, cwd=work)
        return done.stderr.strip().split("\n")[0] if done.returncode == 2 else None

    def mount_option_fault(self, option):
        """The program names the first option it does not know, before it looks at anything else."""
        with tempfile.TemporaryDirectory(prefix="tidemark-docs-") as work:
            volume, mountpoint = os.path.join(work, "v"), os.path.join(work, "m")
            os.mkdir(mountpoint)
            subprocess.run([self.program, "init", volume], stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=30)
            done = subprocess.run([self.program, "mount", "-o", option + ",the-last-one", volume, mountpoint],
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        assert done.returncode == 2, f"mount -o {option},the-last-one: exit {done.returncode}: {done.stderr}"
        return None if "'the-last-one'" in done.stderr else done.stderr.strip()


class Check:
    """The faults of one page."""

    def __init__(self, tree, page):
        self.tree = tree
        self.page = page
        self.faults = []
        self.count = 0
        self.foreign = {flag for _, words in page.commands() if not words[0].startswith("-") and not self.is_ours(words)
                        for flag in flags(words[1:])}

    def fault(self, line, text):
        self.faults.append(f"{self.page.name}:{line}: {text}")

    def is_ours(self, words):
        return (os.path.basename(words[0]) in ("tidemark", "dev") or words[0] in self.tree.tidemark.below or
                (not words[0].startswith("build/") and os.path.isfile(self.tree.path(words[0]))))

    def run(self):
        for line, words in self.page.commands():
            self.count += 1
            self.command(line, words)
        faulty = {int(fault.split(":")[1]) for fault in self.faults}
        for line, words in self.page.commands(blocks_only=True):
            # serve and demo would stay, or take a minute: they have tests of their own.
            if line not in faulty and words[0] in PROGRAM and words[1:] and words[1] not in ("serve", "demo"):
                if fault := self.tree.usage_fault(words[1:]):
                    self.fault(line, f"{' '.join(words)}: {fault}")
        for line, path in self.page.paths(FOLDERS):
            self.count += 1
            found = [self.tree.path(path), self.tree.path(path + ".*"), self.tree.path(os.path.dirname(self.page.name), path)]
            if re.search(r"_test\b", path):
                found.append(self.tree.path("tests", path))
            # In the directory of a group there is a log, too: docs say DIR/log, or name its files.
            in_group = re.match(r"log/(?!.*\.(?:cc|h)$)[^/]*$", path)
            placeholder = os.path.basename(path).split(".")[0] in ("NAME", "TARGET")
            if not in_group and not placeholder and not any(glob.glob(pattern) for pattern in found):
                self.fault(line, f"there is no {path}")
        for line, target in self.page.links():
            self.count += 1
            self.link(line, target)
        return self.faults

    def command(self, line, words):
        name = os.path.basename(words[0])
        if name == "tidemark" and words[0] in PROGRAM:
            self.tidemark(line, words[1:])
        elif words[0] in self.tree.tidemark.below and any(flags(words)):
            self.tidemark(line, words)
        elif words[0] == "./dev":
            self.dev(line, words[1:])
        elif words[0].startswith("-"):
            self.bare_flags(line, words)
        elif words[0].startswith("build/"):
            if name not in self.tree.targets and name != "fuzz_TARGET" and words[0].startswith("build/tests/"):
                self.fault(line, f"nothing builds {words[0]}")
        elif "/" in words[0] and len(words) > 1 and os.path.isfile(self.tree.path(words[0])):
            self.script(line, words)

    def tidemark(self, line, words):
        command = self.tree.tidemark
        rest = list(words)
        while rest and command.below and not rest[0].startswith("-"):
            if rest[0] not in command.below:
                self.fault(line, f"there is no command: tidemark {' '.join((*command.words, rest[0]))}")
                return
            command = command.below[rest.pop(0)]
        known = command.flags | ({"--version"} if command is self.tree.tidemark else set()) | {"--config"}
        for flag in flags(rest):
            if flag not in known:
                self.fault(line, f"tidemark {' '.join(command.words)} has no {flag}")
        if command.words == ("mount",):
            self.mount_options(line, rest)

    def mount_options(self, line, words):
        for before, options in zip(words, words[1:]):
            for option in options.split(",") if before == "-o" else ():
                option = option + "root" if option == "mark=" else option
                fault = self.tree.mount_option_fault(option)
                if fault:
                    self.fault(line, fault)

    def bare_flags(self, line, words):
        """A flag without its command: some command has it, or stands with it elsewhere on the page."""
        known = self.tree.tidemark.all_flags() | self.foreign
        texts = [self.tree.bench, *self.tree.verbs.values(), *self.scripts()]
        for flag in flags(words):
            if flag not in known and not any(re.search(rf"(?<![\w-]){flag}(?![\w-])", text) for text in texts):
                self.fault(line, f"nothing has a flag {flag}")
        self.mount_options(line, words)

    def scripts(self):
        for _, path in self.page.paths(("tests", "bench", "examples")):
            if path.endswith((".py", ".sh")) and os.path.isfile(self.tree.path(path)):
                with open(self.tree.path(path)) as text:
                    yield text.read()

    def dev(self, line, words):
        if not words:
            return
        verb, rest = words[0], words[1:]
        if not re.fullmatch(r"[a-z][a-z0-9]*", verb):
            return
        if verb not in self.tree.verbs:
            self.fault(line, f"there is no ./dev {verb}")
            return
        text = self.tree.verbs[verb]
        passed_on = {"[CTEST…]": self.tree.ctest, "[ARG…]": self.tree.bench if verb == "bench" else ""}
        text += "".join(more for mark, more in passed_on.items() if mark in text)
        for flag in flags(rest):
            if not re.search(rf"(?<![\w-]){flag}(?![\w-])", text):
                self.fault(line, f"./dev {verb} has no {flag}")

    def script(self, line, words):
        with open(self.tree.path(words[0])) as file:
            text = file.read()
        for flag in flags(words[1:]):
            shell = len(flag) == 2 and re.search(rf"getopts \S*{flag[1]}", text)
            if f'"{flag}"' not in text and not re.search(rf"(?<![\w-]){flag}(?![\w-])", text) and not shell:
                self.fault(line, f"{words[0]} has no {flag}")

    def link(self, line, target):
        if "://" in target:
            return
        file, _, anchor = target.partition("#")
        path = self.tree.path(os.path.dirname(self.page.name), file) if file else self.tree.path(self.page.name)
        if not os.path.exists(path):
            self.fault(line, f"the link leads nowhere: {target}")
        elif anchor and path.endswith(".md"):
            text = self.page.text if not file else open(path).read()
            if anchor not in Page(path, text).anchors():
                self.fault(line, f"there is no heading for {target}")


CONTROL = """# Faults
`tidemark nosuch` and `tidemark mark nosuch /srv/vol`, `tidemark
status --nosuch`; `verify --nosuch2` and bare `--nosuch3`.
`tidemark mount -o nosuch4 DIR MOUNTPOINT`, `-o sync,nosuch5`
`./dev nosuch6`, `./dev fuzz --nosuch7 1`
`tests/e2e/kill_rounds.py build/tidemark --nosuch8 50`
`log/write/nosuch9.h`, (fs/nosuch10.cc), `fs/nosuch11`, `build/tests/volume/nosuch12 --rng-seed 1`
[a](NOSUCH13.md) [b](#nosuch14)
```
tidemark init /srv/vol && sudo true; tidemark nosuch15 /srv/vol     # two in a line
ExecStart=/usr/local/bin/tidemark mount --nosuch16 /srv/vol /mnt/data
tidemark prune /srv/vol --keep 7d --nosuch17=3
```
"""
CONTROL_FAULTS = ["tidemark nosuch", "tidemark mark nosuch", "status has no --nosuch", *(f"nosuch{n}" for n in range(2, 13)), "NOSUCH13",
                  *(f"nosuch{n}" for n in range(14, 18))]
USAGE = """# Sound names, wrong usage
```
tidemark mount /srv/vol                        # where to?
tidemark pair create /srv/vol away
tidemark mark create /mnt/data a b c
tidemark restore /srv/vol@m --target /srv/back --as tarball
tidemark status /srv/vol --rpo 5m
```
"""

SOUND = """# Sound
`tidemark status --json`, `tidemark mark create DIR NAME --wait local`, `verify --against`, `--max-log`, `-o sync,noexec`, `-o mark=`,
`./dev test -R log`, `tests/e2e/kill_rounds.py build/tidemark --kills 50`, `log/write/writer.cc`, `fs/ops`, [a](docs/GUIDE.md#begin),
`tidemark mount DIR@-10m MOUNTPOINT`, `df -i`
"""


def control(tree):
    faults = Check(tree, Page("control.md", CONTROL)).run()
    missed = [name for name in CONTROL_FAULTS if not any(re.search(re.escape(name) + r"\b", fault) for fault in faults)]
    for name in missed:
        print(f"not found out: {name}")
    false_alarms = Check(tree, Page("sound.md", SOUND)).run()
    for fault in false_alarms:
        print(f"false alarm: {fault}")
    if len(faults) != len(CONTROL_FAULTS):
        print("\n".join(faults), f"\n{len(faults)} faults, {len(CONTROL_FAULTS)} expected")
        return 1
    faults += (usage := Check(tree, Page("usage.md", USAGE)).run())
    if [int(fault.split(":")[1]) for fault in usage] != [3, 4, 5, 6]:
        print("wrong usage:", *usage, sep="\n")
        return 1
    print(f"{len(faults)} faults found out")
    return 1 if missed or false_alarms else 0


def main():
    tree = Tree(sys.argv[1], sys.argv[2])
    if sys.argv[3:] == ["--control"]:
        return control(tree)
    names = ["README.md", "CONTRIBUTING.md", *sorted(glob.glob("docs/**/*.md", root_dir=tree.root, recursive=True)),
             *sorted(f"{folder}/README.md" for folder in FOLDERS if folder != "docs" and os.path.isfile(tree.path(folder, "README.md")))]
    faults, count = [], 0
    for name in names:
        with open(tree.path(name)) as text:
            check = Check(tree, Page(name, text.read()))
        faults += check.run()
        count += check.count
    print("\n".join(faults) if faults else f"{count} commands, paths and links on {len(names)} pages: all of them are there")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
