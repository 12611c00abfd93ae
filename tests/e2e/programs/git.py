#!/usr/bin/env python3
"""git in the mount: clone, gc, fsck, checkout of old commits, worktrees; commits that returned outlive a kill of the daemon.

usage: git.py BINARY [--seed N]
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from program_test import check, main, remount, run  # noqa: E402

COMMITS = 400
FILES = 150
ENVIRONMENT = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a",
               "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}


def git(directory, *words, **options):
    return run("git", "-C", directory, "-c", "gc.auto=0", *words, env=ENVIRONMENT, **options)


def history(dice):
    """A history for git fast-import: files that come, change and go, some large, some executable, in directories."""
    stream = bytearray()
    for number in range(1, COMMITS + 1):
        message = f"commit {number}".encode()
        stream += b"commit refs/heads/main\nmark :%d\ncommitter a <a@example.org> %d +0000\n" % (number, 1_700_000_000 + number)
        stream += b"data %d\n%s\n" % (len(message), message)
        if number > 1:
            stream += b"from :%d\n" % (number - 1)
        for _ in range(dice.randrange(1, 8)):
            name = dice.randrange(FILES)
            path = b"d%d/e%d/f%d" % (name % 7, name % 3, name)
            if number > 50 and dice.random() < 0.1:
                stream += b"D %s\n" % path
                continue
            content = (b"%d line of %d\n" % (name, number)) * dice.choice((1, 40, 4000)) + dice.randbytes(dice.randrange(3000))
            stream += b"M %s inline %s\ndata %d\n%s\n" % (dice.choice((b"100644", b"100755")), path, len(content), content)
    return bytes(stream)


def source_of(world):
    return os.path.join(world.root, "source.git")


def clone(world, dice):
    source = source_of(world)
    run("git", "init", "-q", "--bare", "-b", "main", source, env=ENVIRONMENT)
    git(source, "fast-import", "--quiet", stdin=history(dice))
    target = os.path.join(world.mount, "clone")
    run("git", "clone", "-q", "--no-local", source, target, env=ENVIRONMENT)
    check(int(git(target, "rev-list", "--count", "HEAD")) == COMMITS, "the clone lacks commits")
    git(target, "fsck", "--full", "--strict")
    check(git(target, "status", "--porcelain") == b"", "a fresh clone is not clean")


def checkout(world, dice):
    target = os.path.join(world.mount, "clone")
    for number in [dice.randrange(COMMITS) for _ in range(6)] + [0]:
        commit = f"origin/main~{number}"
        git(target, "checkout", "-q", "--detach", commit)
        git(target, "update-index", "-q", "--really-refresh")
        check(git(target, "status", "--porcelain") == b"", f"{commit} is not clean after checkout")
        native = os.path.join(world.root, f"native-{number}")
        os.makedirs(native, exist_ok=True)
        run("tar", "-x", "-C", native, stdin=git(source_of(world), "archive", f"main~{number}"))
        run("diff", "-r", "--exclude=.git", native, target)


def gc_and_worktrees(world, dice):
    target = os.path.join(world.mount, "clone")
    git(target, "checkout", "-q", "main")
    tree = os.path.join(world.mount, "tree")
    git(target, "worktree", "add", "-q", "-b", "side", tree, f"main~{COMMITS // 2}")
    with open(os.path.join(tree, "new"), "w") as file:
        file.write("in a worktree\n")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "side")
    git(tree, "rebase", "-q", "main")
    git(target, "merge", "-q", "--ff-only", "side")
    git(target, "gc", "-q", "--prune=now")
    git(target, "fsck", "--full", "--strict")
    remount(world)
    git(target, "fsck", "--full", "--strict")
    git(target, "worktree", "remove", tree)
    check(not os.path.exists(tree), "the worktree is still there")
    check(int(git(target, "rev-list", "--count", "main")) == COMMITS + 1, "a commit got lost")


def commits_outlive_the_daemon(world, dice):
    """With core.fsync=all a commit that returned is on disk; the shell says so after each."""
    repository = os.path.join(world.mount, "kill")
    run("git", "init", "-q", "-b", "main", repository, env=ENVIRONMENT)
    script = """n=0; while n=$((n + 1)); do
        head -c $((n * 977 % 50000)) /dev/urandom >file$((n % 9)) && git add -A && git commit -q -m "$n" || exit 1
        echo $n; done"""
    environment = {**ENVIRONMENT, "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "core.fsync", "GIT_CONFIG_VALUE_0": "all",
                   "GIT_CONFIG_KEY_1": "gc.auto", "GIT_CONFIG_VALUE_1": "0"}
    shell = subprocess.Popen(["sh", "-c", script], cwd=repository, env=environment, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    time.sleep(2 + dice.random())
    world.kill_primary()
    said = shell.stdout.read().split()
    shell.wait()
    remount(world)
    check(len(said) > 3, "hardly a commit was made")
    for lock in ("index.lock", "HEAD.lock", "refs/heads/main.lock"):  # as after any crash
        if os.path.exists(os.path.join(repository, ".git", lock)):
            os.unlink(os.path.join(repository, ".git", lock))
    git(repository, "fsck", "--full", "--strict")
    count = int(git(repository, "rev-list", "--count", "HEAD"))
    check(count >= int(said[-1]), f"{said[-1].decode()} commits returned, {count} are there")


if __name__ == "__main__":
    main([clone, checkout, gc_and_worktrees, commits_outlive_the_daemon], needs=["git", "tar", "diff"])
