# SPDX-License-Identifier: Apache-2.0
"""The deployments of an OSTree system, and what the boot loader can start: as their files say.

    ostree/deploy/OS/deploy/COMMIT.N            a deployment, and COMMIT.N.origin beside it
    ostree/boot.V/OS/BOOTCSUM/N  ->  ../../../deploy/OS/deploy/COMMIT.N
    boot/loader  ->  loader.V,  boot/loader/entries/*.conf

Everything is opened below one root, by descriptor, and no symlink is followed on the way; the two
that are OSTree's own are read as text. Nothing is verified. Source of the layout: libostree's
ostree-sysroot.c and the Boot Loader Specification.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verity.ports.osfile import closing, open_directory_below, read_head, translate_oserror
from verity.ports.tree import Tree
from verity.values.errors import ContentError, HostError

_DEPLOYMENT = re.compile(r"(?P<commit>[0-9a-f]{64})\.(?P<number>[0-9]{1,9})")
_LOADER = re.compile(r"loader\.[01]")
_ARGUMENT = "ostree="
_DEPLOY = "ostree/deploy"
_ENTRY = ".conf"
_MOST = 1 << 16
_SUFFIX = ".origin"
# Keys of an entry that load something beside kernel and initramfs (the Boot Loader Specification).
_LOADED = frozenset({"efi", "uki", "uki-url", "devicetree", "devicetree-overlay", "fdtdir"})


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A deployed commit. ``path`` is below the system's root; ``ref`` what it is updated from, as
    its origin says (REMOTE:REF), empty without one."""

    os: str
    commit: str
    number: int
    path: str
    ref: str

    @property
    def label(self) -> str:
        """What to call it."""
        return f"{self.os} {self.commit[:12]}.{self.number}"


@dataclass(frozen=True, kw_only=True)
class BootEntry:
    """An entry of the boot loader, first the one that is started next.

    ``linux`` and ``initrds`` are below /boot. ``deployment`` is the path that ``ostree=`` leads to,
    as ``Deployment.path``; None if it has no such argument, or that leads to none. ``options`` is
    the kernel's command line. ``other`` are keys that name something else to be loaded.
    """

    name: str
    version: int
    linux: str
    initrds: tuple[str, ...]
    argument: str
    deployment: str | None
    options: str = ""
    other: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class System:
    """All deployments, sorted by path; and the entries, None with ``unread`` where there is no
    /boot to be seen below ``boot``."""

    boot: Path
    deployments: tuple[Deployment, ...]
    entries: tuple[BootEntry, ...] | None
    unread: str = ""


def read(host: Path) -> System | None:
    """The system of a host, booted or not; None if OSTree deploys nothing there.

    Raises HostError for what can't be read, ContentError (``bad-boot-entry``) for what is none.
    """
    root = physical_root(host)
    # Once it is booted its /boot is where the root is, and may be a file system of its own.
    boot = host if os.path.lexists(host / "boot/loader") else root
    names = _names(root, _DEPLOY)
    if names is None:
        return None
    found = [
        Deployment(
            os=name,
            commit=match["commit"],
            number=int(match["number"]),
            path=f"{_DEPLOY}/{name}/deploy/{folder}",
            ref=_ref(root, f"{_DEPLOY}/{name}/deploy/{folder}{_SUFFIX}"),
        )
        for name in names
        for folder in _names(root, f"{_DEPLOY}/{name}/deploy") or ()
        if (match := _DEPLOYMENT.fullmatch(folder)) is not None
    ]
    if not found:
        return None
    deployments = tuple(sorted(found, key=lambda one: one.path))
    try:
        entries, unread = _entries(root, boot), ""
    except HostError as error:
        entries, unread = None, error.message
    return System(boot=boot, deployments=deployments, entries=entries, unread=unread)


def physical_root(root: Path) -> Path:
    """Where OSTree's own files lie: below /sysroot of a booted system, else below the root, or
    above it where the root is a deployment that nobody booted."""
    sysroot = root / "sysroot"
    if (sysroot / _DEPLOY).is_dir() and not (sysroot / _DEPLOY).is_symlink():
        return sysroot
    above = root.absolute()
    if (
        _DEPLOYMENT.fullmatch(above.name)
        and len(above.parents) > 4
        and above.parents[2] == above.parents[4] / "ostree" / "deploy"
    ):
        return above.parents[4]
    return root


def commit_of(root: Path) -> str | None:
    """The commit that is deployed at this very root, by its name; None if it is no deployment."""
    if physical_root(root) in (root, root / "sysroot"):
        return None
    match = _DEPLOYMENT.fullmatch(root.absolute().name)
    return None if match is None else match["commit"]


def unmounted_var(root: Path) -> Path | None:
    """The /var of the host whose deployment this root is, if it isn't mounted at the root's /var;
    None for what is no deployment, or booted."""
    if commit_of(root) is None:
        return None
    own = root.absolute().parents[1] / "var"
    try:
        due, top = os.lstat(own), os.lstat(root)
        found = os.lstat(root / "var")
    except OSError:
        return own if os.path.isdir(own) else None
    # A file system of its own that is mounted there has another inode than the directory.
    mounted = found.st_dev != top.st_dev or os.path.samestat(found, due)
    return None if mounted else own


@contextlib.contextmanager
def opened(root: Path, path: str) -> Iterator[int]:
    """A descriptor of a regular file below the root, closed at the end of the block."""
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise HostError("bad-path", f"{root / path}: no path of a file below {root}")
    with Tree(root) as tree, closing(tree.open(os.fsencode("/" + path))) as fd:
        yield fd


def _names(root: Path, folder: str) -> list[str] | None:
    """What is in a directory; None if it isn't there."""
    try:
        with closing(open_directory_below(root, os.fsencode("/" + folder))) as fd:
            return sorted(os.listdir(fd))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise translate_oserror(error, str(root / folder)) from error


def _text(root: Path, path: str) -> str:
    with opened(root, path) as fd:
        data = read_head(fd, _MOST + 1, label=str(root / path))
    if len(data) > _MOST:
        raise HostError("too-large", f"{root / path}: more than {_MOST} bytes")
    return data.decode("utf-8", "replace")


def _ref(root: Path, path: str) -> str:
    """The refspec of an origin, a GKeyFile of which one line counts."""
    try:
        text = _text(root, path)
    except HostError:
        return ""  # an origin is not needed to boot; without one nothing is updated
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "refspec":
            return value.strip()
    return ""


def _entries(root: Path, boot: Path) -> tuple[BootEntry, ...]:
    """Every entry, the one that is started next first."""
    try:
        with closing(open_directory_below(boot, b"/boot")) as fd:
            loader = os.readlink("loader", dir_fd=fd)
    except OSError as error:
        raise translate_oserror(error, str(boot / "boot/loader")) from error
    if not _LOADER.fullmatch(loader):
        raise ContentError(
            "bad-boot-entry",
            f"{boot / 'boot/loader'}: it leads to {loader!r}, expected loader.0 or loader.1",
            hint="`ostree admin status` shows what this host can boot",
        )
    folder = f"boot/{loader}/entries"
    found = [
        _entry(root, _text(boot, f"{folder}/{name}"), name)
        for name in _names(boot, folder) or ()
        if name.endswith(_ENTRY)
    ]
    return tuple(sorted(found, key=lambda one: (-one.version, one.name)))


def _entry(root: Path, text: str, name: str) -> BootEntry:
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        if key and not key.startswith("#"):
            values.setdefault(key, []).append(value.strip())
    version = (values.get("version") or ["0"])[-1]
    options = " ".join(values.get("options", [])).split()
    argument = next((word for word in reversed(options) if word.startswith(_ARGUMENT)), "")
    argument = argument.removeprefix(_ARGUMENT)
    linux = (values.get("linux") or [""])[-1]
    return BootEntry(
        name=name,
        version=int(version) if version.isascii() and version.isdigit() else 0,
        linux=_below_boot(linux),
        initrds=tuple(_below_boot(one) for one in values.get("initrd", [])),
        argument=argument,
        deployment=_leads_to(root, argument),
        options=" ".join(options),
        other=tuple(sorted(values.keys() & _LOADED)),
    )


def _below_boot(path: str) -> str:
    """A path of an entry: it is below the partition of /boot, or spelled with /boot."""
    return path.lstrip("/").removeprefix("boot/")


def _leads_to(root: Path, argument: str) -> str | None:
    """The deployment of an ``ostree=``: the last name is a link, as is boot.V on the way."""
    parts = argument.strip("/").split("/")
    if len(parts) != 5 or parts[0] != "ostree" or any(one in ("", ".", "..") for one in parts):
        return None
    _, version, name, checksum, number = parts
    try:
        with closing(open_directory_below(root, b"/ostree")) as fd:
            folder = os.readlink(version, dir_fd=fd)
        if "/" in folder or not folder.startswith(version):
            return None
        there = os.fsencode(f"/ostree/{folder}/{name}/{checksum}")
        with closing(open_directory_below(root, there)) as fd:
            target = os.readlink(number, dir_fd=fd)
    except OSError:
        return None
    match = re.fullmatch(r"\.\./\.\./\.\./deploy/([^/]+)/deploy/([^/]+)", target)
    if match is None or not _DEPLOYMENT.fullmatch(match[2]):
        return None
    return f"{_DEPLOY}/{match[1]}/deploy/{match[2]}"
