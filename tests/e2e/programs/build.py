#!/usr/bin/env python3
"""A part of Tidemark is configured, compiled and tested inside the mount: sources, objects and programs all live there.

usage: build.py BINARY SOURCES
"""
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from program_test import check, main, remount, run  # noqa: E402

FOLDERS = ["include", "base", "log"]
SOURCES = os.path.abspath(sys.argv.pop(2))


def copy(world, dice):
    target = os.path.join(world.mount, "source")
    os.makedirs(os.path.join(target, "tests"))
    shutil.copy(os.path.join(SOURCES, "CMakeLists.txt"), target)
    for folder in FOLDERS + ["tests/log", "tests/support"]:
        shutil.copytree(os.path.join(SOURCES, folder), os.path.join(target, folder))
    for name in ("CMakeLists.txt", "main.cc", "pch.cc"):
        shutil.copy(os.path.join(SOURCES, "tests", name), os.path.join(target, "tests"))


def check_up_to_date(target, environment):
    said = run("cmake", "--build", target, env=environment)
    check(b"no work to do" in said, f"built, and yet there is something to build: {said.decode()[-500:]}")


def build(world, dice):
    source, target = os.path.join(world.mount, "source"), os.path.join(world.mount, "build")
    environment = {**os.environ, "CCACHE_DISABLE": "1", "TMPDIR": world.mount}
    # Neither debug information nor optimisation: what is tried is the filesystem.
    run("cmake", "-S", source, "-B", target, "-G", "Ninja", "-DTIDEMARK_FOLDERS=base;log", "-DCMAKE_BUILD_TYPE=None",
        "-DCMAKE_CXX_FLAGS=-O0", env=environment)
    run("cmake", "--build", target, "--parallel", "2", env=environment, timeout=900)
    check_up_to_date(target, environment)
    run("ctest", "--test-dir", target, "--output-on-failure", "--no-tests=error", "-j", "2", env=environment, timeout=900)


def nothing_to_build_after_a_remount(world, dice):
    """Times are what make(1) and ninja(1) live by."""
    remount(world)
    target = os.path.join(world.mount, "build")
    check_up_to_date(target, os.environ)
    run("ctest", "--test-dir", target, "-R", "record", "--no-tests=error")


if __name__ == "__main__":
    main([copy, build, nothing_to_build_after_a_remount], needs=["cmake", "ninja", "g++"])
