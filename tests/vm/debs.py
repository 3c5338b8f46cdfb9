# SPDX-License-Identifier: Apache-2.0
"""Further packages of the guest's own Debian, for a machine that runs: the image stays as it is.

apt on this host resolves them against what the guest has, from the guest's own sources; nothing is
installed here. A package that needs a newer version of one of the guest's brings it along.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from . import cache
from .debian import run
from .image import Image
from .machine import Machine

_INSTALL_TIMEOUT_S = 900.0
_CONFIGURATION = """\
Debug::NoLocking "true";
Dir::State "{partial}";
Dir::State::lists "{partial}/lists";
Dir::State::status "{tree}/var/lib/dpkg/status";
Dir::Cache "{partial}";
Dir::Cache::archives "{partial}/archives";
Dir::Etc::sourcelist "{tree}/etc/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trustedparts "{tree}/usr/share/keyrings";
Acquire::Languages "none";
"""


def packages(image: Image, *names: str) -> Path:
    """A directory with the .deb files of `names` and of what they need, from the cache or fetched.

    Raises VmError when apt can't fetch them.
    """
    made = image.path / f"debs-{hashlib.sha256(' '.join(names).encode()).hexdigest()[:16]}"
    cache.entry(made, lambda partial: _fetch(image.tree, names, partial))
    return made


def version(debs: Path, name: str) -> str:
    """The version of a package among them."""
    (file,) = debs.glob(f"{name}_*.deb")
    return run(["dpkg-deb", "--field", str(file), "Version"]).strip()


def install(machine: Machine, debs: Path) -> None:
    """Installs them in the machine."""
    machine.push(debs, "/run/debs")
    quiet = "DEBIAN_FRONTEND=noninteractive dpkg --install --force-confnew"
    machine.run(f"{quiet} /run/debs/*.deb && rm -r /run/debs", timeout_s=_INSTALL_TIMEOUT_S)


def _fetch(tree: Path, names: tuple[str, ...], partial: Path) -> None:
    for folder in ("lists/partial", "archives/partial"):
        (partial / folder).mkdir(parents=True)
    configuration = partial / "apt.conf"
    configuration.write_text(_CONFIGURATION.format(partial=partial, tree=tree))
    apt = ["env", f"APT_CONFIG={configuration}", "apt-get", "-qq"]
    run([*apt, "update"])
    run([*apt, "--yes", "--no-install-recommends", "--download-only", "install", *names])
    for file in (partial / "archives").glob("*.deb"):
        file.rename(partial / file.name)
    for leftover in ("lists", "archives"):
        cache.remove_tree(partial / leftover)
    for file in partial.iterdir():
        if file.suffix != ".deb":
            file.unlink()
