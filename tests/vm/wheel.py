# SPDX-License-Identifier: Apache-2.0
"""Puts a wheel and its Python dependencies into a Debian tree, for the tree's Python.

The host's Python may be older or newer than the guest's, so pip on the host is told what the guest
is, and takes binary wheels only. Nothing of the wheel runs on the host.
"""

from __future__ import annotations

import configparser
import email
import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .cache import cache_root, entry
from .errors import VmError

_SITE = PurePosixPath("usr/lib/python3/dist-packages")
_PLATFORMS = ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux2014_x86_64")
# Where the schemes of a wheel's NAME.data directory go.
_SCHEMES = {"purelib": _SITE, "platlib": _SITE, "data": PurePosixPath("usr")}
_SCRIPT = """#!/usr/bin/python3 -I
import sys

from {module} import {function}

sys.exit({function}())
"""
PIP_TIMEOUT_S = 600


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A wheel's bytes and what its metadata says."""

    path: Path
    digest: str
    requirements: tuple[str, ...]
    scripts: tuple[tuple[str, str], ...]


def read_wheel(path: Path) -> Wheel:
    """Reads the metadata of the wheel `path`; raises VmError if that isn't one."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            metadata = email.message_from_bytes(archive.read(_info(names, "METADATA")))
            points = configparser.ConfigParser()
            if any(name.endswith(".dist-info/entry_points.txt") for name in names):
                points.read_string(archive.read(_info(names, "entry_points.txt")).decode())
    except (OSError, zipfile.BadZipFile) as error:
        raise VmError(f"{path}: not a wheel that can be read: {error}") from error
    wanted = [text for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text]
    scripts = points["console_scripts"].items() if points.has_section("console_scripts") else ()
    return Wheel(
        path=path,
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
        requirements=tuple(sorted(wanted)),
        scripts=tuple(scripts),
    )


def install(wheel: Wheel, tree: Path) -> None:
    """Unpacks the wheel and its dependencies into the Debian `tree`, compiled (needs root)."""
    unpack(wheel, tree, debian=tree)


def unpack(wheel: Wheel, tree: Path, *, debian: Path) -> None:
    """Puts the wheel and its dependencies into `tree`, compiled by the Python of `debian`."""
    version = python_version(debian)
    site = tree / _SITE
    site.mkdir(parents=True, exist_ok=True)
    if wheel.requirements:
        dependencies = _dependencies(wheel.requirements, version)
        # Never through a hard link into the base tree, here and below.
        _run(["cp", "-a", "--remove-destination", f"{dependencies}/.", str(site)])
    with zipfile.ZipFile(wheel.path) as archive:
        for member in archive.infolist():
            target = tree / _destination(PurePosixPath(member.filename))
            if member.is_dir():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            target.write_bytes(archive.read(member))
            target.chmod(0o755 if member.external_attr >> 16 & 0o111 else 0o644)
    for name, point in wheel.scripts:
        module, _, function = point.partition(":")
        script = tree / "usr/bin" / name
        script.parent.mkdir(parents=True, exist_ok=True)
        script.unlink(missing_ok=True)
        script.write_text(_SCRIPT.format(module=module.strip(), function=function.strip()))
        script.chmod(0o755)
    # By no time stamp: git, OSTree and wheels all change those. Nobody edits a module in an image,
    # so its source isn't read at all. Without this the guest would compile at every start, which
    # is slow under emulation.
    loader = [debian / "lib64/ld-linux-x86-64.so.2", "--library-path"]
    python = [*loader, debian / "usr/lib/x86_64-linux-gnu", debian / f"usr/bin/python{version}"]
    compiled = "-S -m compileall -q --invalidation-mode unchecked-hash -p / -s".split()
    home = f"PYTHONHOME={debian / 'usr'}"
    _run(["env", home, *map(str, python), *compiled, str(tree), str(site)])


def python_version(tree: Path) -> str:
    """The version of the tree's Python, as in 3.13."""
    target = (tree / "usr/bin/python3").readlink().name
    return target.removeprefix("python")


def _dependencies(requirements: tuple[str, ...], version: str) -> Path:
    name = hashlib.sha256("\n".join((version, *_PLATFORMS, *requirements)).encode()).hexdigest()
    path = cache_root() / "dependencies" / name[:16]

    def build(partial: Path) -> None:
        platforms = [f"--platform={platform}" for platform in _PLATFORMS]
        _run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"),
                *("--disable-pip-version-check", "--root-user-action=ignore"),
                *("--implementation=cp", f"--python-version={version}", "--only-binary=:all:"),
                *platforms,
                f"--target={partial}",
                *requirements,
            ]
        )
        # Launchers of the dependencies name the host's Python.
        if (partial / "bin").is_dir():
            for script in (partial / "bin").iterdir():
                script.unlink()
            (partial / "bin").rmdir()

    entry(path, build)
    return path


def _destination(member: PurePosixPath) -> PurePosixPath:
    if member.is_absolute() or ".." in member.parts:
        raise VmError(f"the wheel's member {member} points out of it")
    if not member.parts[0].endswith(".data"):
        return _SITE / member
    scheme = member.parts[1]
    if scheme not in _SCHEMES:
        raise VmError(f"the wheel's member {member} has the scheme {scheme}, which is not handled")
    return _SCHEMES[scheme].joinpath(*member.parts[2:])


def _info(names: list[str], file: str) -> str:
    found = [name for name in names if name.endswith(f".dist-info/{file}")]
    if len(found) != 1:
        raise VmError(f"the wheel holds {len(found)} files named {file}, expected one")
    return found[0]


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PIP_TIMEOUT_S)
    if done.returncode != 0:
        raise VmError(f"{argv}: exit status {done.returncode}\n{done.stderr[-2000:]}")
