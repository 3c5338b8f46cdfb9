# SPDX-License-Identifier: Apache-2.0
"""Makes the Debian tree of the recipe with mmdebstrap. A change here makes a new tree."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import recipe
from .cache import remove_tree
from .errors import VmError

_BUILD_TIMEOUT_S = 900


def build_tree(partial: Path, packages: Sequence[str] = recipe.PACKAGES) -> None:
    """Fills `partial` with tree/ and about.json (what is in the tree). Needs root."""
    tree = partial / "tree"
    hooks = [f"--customize-hook={line}" for line in recipe.CUSTOMIZE]
    run(
        [
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory"),
            f"--include={','.join(packages)}",
            *(f"--dpkgopt={option}" for option in recipe.DPKG_OPTIONS),
            *hooks,
            recipe.SUITE,
            str(tree),
            *filter(None, [recipe.mirror()]),
        ]
    )
    # After mmdebstrap, whose hooks still see mounts there. OSTree takes no devices.
    for leftover in (*(tree / "dev").iterdir(), *(tree / "run").iterdir()):
        if leftover.is_dir() and not leftover.is_symlink():
            remove_tree(leftover)
        else:
            leftover.unlink()
    listing = run(["dpkg-query", f"--admindir={tree}/var/lib/dpkg", "--show"])
    versions = dict(line.split("\t") for line in listing.splitlines())
    about = {"suite": recipe.SUITE, "packages": versions}
    (partial / "about.json").write_text(json.dumps(about, indent=1))


def run(argv: list[str]) -> str:
    """Runs a step of a build with the recipe's date; raises VmError with its last words."""
    date = recipe.SOURCE_DATE_EPOCH
    dates = {"SOURCE_DATE_EPOCH": date, "E2FSPROGS_FAKE_TIME": date, "LC_ALL": "C"}
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        env={**os.environ, **dates},
        timeout=_BUILD_TIMEOUT_S,
    )
    if done.returncode != 0:
        raise VmError(f"{argv[0]}: exit status {done.returncode}\n{done.stderr[-3000:]}")
    return done.stdout
