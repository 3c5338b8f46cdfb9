# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: T201 - a command line prints
"""python3 -m tests.vm: build the image, get a shell in it, run a command, time a boot, clean up."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

from . import cache
from .errors import VmError
from .image import Image, build_image, prune
from .machine import Machine
from .shell import ESCAPE_NAME, interactive

COULD_NOT = 3


def main() -> int:
    """Dispatches to the command; 3 when the harness could not do it."""
    options = _parser().parse_args()
    try:
        if options.command == "prune":
            for line in prune(everything=options.all):
                print(line)
            return 0
        started = time.monotonic()
        image = build_image(options.wheel)
        if options.command == "build":
            print(f"{image.path} ({time.monotonic() - started:.1f} s)")
            return 0
        return _with_machine(options, image)
    except (VmError, OSError) as error:
        print(f"tests.vm: {error}", file=sys.stderr)
        return COULD_NOT
    except KeyboardInterrupt:
        return 130


def _with_machine(options: argparse.Namespace, image: Image) -> int:
    started = time.monotonic()
    with Machine.boot(
        options.kind,
        image,
        memory_mib=options.memory,
        fresh=options.fresh or options.command == "boot",
        work=options.work,
        share=options.share,
    ) as machine:
        ready = f"{options.kind} machine ready in {time.monotonic() - started:.1f} s"
        if options.share is not None:
            machine.mount_share()
        if options.command == "boot":
            print(ready)
            return 0
        if options.command == "shell":
            print(f"{ready}; leave with `exit` or {ESCAPE_NAME}, the machine ends then")
            return interactive(machine)
        done = machine.run(options.argv, timeout_s=options.timeout, check=False)
        sys.stdout.buffer.write(done.stdout)
        sys.stdout.buffer.flush()
        sys.stderr.buffer.write(done.stderr)
        if done.status < 0:
            print(f"{shlex.join(done.argv)}: ended by signal {-done.status}", file=sys.stderr)
        return done.status if done.status >= 0 else 128 - done.status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.vm",
        description=f"Test machines. The cache is {cache.cache_root()} ($VERITY_CACHE).",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    image = argparse.ArgumentParser(add_help=False)
    image.add_argument("--wheel", type=Path, metavar="FILE", help="our wheel, put into the image")
    machine = argparse.ArgumentParser(add_help=False, parents=[image])
    machine.add_argument("--kind", choices=["system", "bare"], default="system")
    machine.add_argument("--memory", type=int, default=1536, metavar="MIB")
    machine.add_argument("--fresh", action="store_true", help="really boot, use no snapshot")
    machine.add_argument("--work", type=Path, metavar="DIR", help="keep the disk here")
    machine.add_argument("--share", type=Path, metavar="DIR", help="read-only at /run/share")

    commands.add_parser("build", parents=[image], help="build the image unless it's cached")
    commands.add_parser("shell", parents=[machine], help="an interactive root shell")
    commands.add_parser(
        "boot", parents=[machine], help="really boot once, and say how long it took"
    )
    run = commands.add_parser("run", parents=[machine], help="run one command: run -- id -u")
    run.add_argument("--timeout", type=float, default=600, metavar="SECONDS")
    run.add_argument("argv", nargs="+")
    clean = commands.add_parser("prune", help="remove what earlier recipes and killed runs left")
    clean.add_argument("--all", action="store_true", help="remove everything that is not in use")
    return parser


if __name__ == "__main__":
    sys.exit(main())
