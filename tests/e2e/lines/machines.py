#!/usr/bin/env python3
"""A chain and a fan-out between machines of their own (network namespaces), with keys, whose cables are pulled and whose processes
are killed under load: noticed within 5 seconds, healed by themselves, equal in the end.

usage: machines.py BINARY [--seed N] [--keep]
"""
import argparse
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from load import Load  # noqa: E402
from network import Network  # noqa: E402
from sites import Sites  # noqa: E402

NOTICED_MAX = 5.0
PRIMARY, NEAR, FAR, BEYOND = range(4)
NAMES = ("near", "far", "beyond")


def make_keys(sites):
    """Each machine has a key pair, and each site a list of who may come in."""
    keys = {}
    for name in ("primary",) + NAMES:
        keys[name] = os.path.join(sites.root, name + ".key")
        sites.run("keygen", keys[name])
    with open(os.path.join(sites.root, "allow"), "w") as allow:
        for name, file in keys.items():
            with open(file + ".pub") as public:
                allow.write(f"{public.read().split()[-1]} append,create,read groups=shop {name}\n")
    return keys


def start(sites, network, keys):
    made = {}
    for number, name in enumerate(NAMES, 1):
        flags = ("--key", keys[name], "--allow", os.path.join(sites.root, "allow"))
        made[name] = sites.site(name, address=network.address(number), within=network.within(number), flags=flags)
    sites.within = network.within(PRIMARY)
    sites.start_primary()
    return made


def pair(sites, directory, site, keys, own, *flags):
    sites.run("pair", "create", directory, site.name, site.endpoint, "--server-key", keys[site.name] + ".pub", "--key",
              keys[own], *flags)


def until_failed(sites, site, directory=None):
    began = time.monotonic()
    sites.wait(lambda: sites.pair(site, directory)["state"] == "failure-suspended", f"the loss of {site} to be noticed", 10)
    took = time.monotonic() - began
    if took > NOTICED_MAX:
        raise AssertionError(f"the loss of {site} was noticed after {took:.1f} s")
    print(f"  {site}: noticed after {took:.1f} s", flush=True)


def compare(sites, made, keys):
    for name, site in made.items():
        sites.keys = ("--server-key", keys[name] + ".pub", "--key", keys["primary"])
        sites.compare(site)


def story(sites, network, dice):
    keys = make_keys(sites)
    made = start(sites, network, keys)
    near = made["near"]
    pair(sites, sites.volume, near, keys, "primary", "--mode", "sync")
    pair(sites, sites.volume, made["far"], keys, "primary")
    sites.duplex("near", "far")
    pair(sites, near.copy, made["beyond"], keys, "near")
    sites.duplex("beyond", directory=near.copy)
    load = Load(sites.mount, dice.randrange(1 << 30))
    load.start()
    time.sleep(0.5)

    network.pull(NEAR)          # half open: both of its pairs hear nothing
    until_failed(sites, "near")
    network.plug(NEAR)
    time.sleep(dice.uniform(0, 1.5))
    network.pull(BEYOND)
    until_failed(sites, "beyond", near.copy)
    network.plug(BEYOND)
    made["far"].kill()          # a machine that answers: it is gone
    until_failed(sites, "far")
    made["far"].start()
    near.kill()
    network.pull(PRIMARY)
    time.sleep(dice.uniform(0.2, 1))
    sites.kill_primary()
    load.stop()
    near.start()
    network.plug(PRIMARY)
    acknowledged = load.acknowledged
    sites.start_primary()
    load = Load(sites.mount, dice.randrange(1 << 30))
    if load.acknowledged < acknowledged:
        raise AssertionError(f"{acknowledged} records were acknowledged, {load.acknowledged} are there")
    load.start()
    time.sleep(1)
    load.stop()
    if load.refused is not None:
        raise AssertionError(f"the application got error {load.refused}")
    sites.run("mark", "create", sites.mount, "end")
    sites.duplex("near", "far")
    sites.duplex("beyond", directory=near.copy)
    compare(sites, made, keys)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    network = Network(4)
    sites, good = Sites(options.binary), False
    try:
        story(sites, network, random.Random(options.seed))
        good = True
    finally:
        sites.close(options.keep and not good)
        network.close()


if __name__ == "__main__":
    main()
