# SPDX-License-Identifier: Apache-2.0
"""IMA in the kernel: a file's ``security.ima``, the keyring ``_ima``, and the policy.

It carries bytes and says what the kernel said. What they mean is ``verity.formats.ima``; whether
they are good is for whoever calls. Nothing here can be taken back before a reboot but an xattr.
"""

import errno
import mmap
import os
import subprocess
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path

from verity.formats import ima
from verity.ports import gate_files
from verity.ports._conditions import Call, Condition
from verity.ports.kernel import ffi, lib
from verity.ports.osfile import closing, translate_oserror
from verity.values.errors import ContentError, HostError

DIRECTORY = Path("sys/kernel/security/ima")
POLICY = DIRECTORY / "policy"
_KEYRING = b"_ima"

_PRIVILEGE = Condition(
    HostError,
    "no-permission",
    "operation not permitted",
    "run as root on the host itself: security.* wants CAP_SYS_ADMIN there",
)
_XATTR = Call(
    "write security.ima of",
    {
        errno.EPERM: _PRIVILEGE,
        errno.EACCES: _PRIVILEGE,
        errno.EOPNOTSUPP: Condition(
            HostError,
            "no-xattrs",
            "its file system has no extended attributes for security",
            "ext4, btrfs, f2fs and xfs have them",
        ),
        errno.ENOSPC: Condition(
            HostError,
            "no-space",
            "no space is left for an extended attribute",
            "free some space; on ext4 all of a file's attributes share one block, so other"
            " attributes of it may have to go",
        ),
        errno.EDQUOT: Condition(
            HostError, "over-quota", "the disk quota is used up", "raise it or free some space"
        ),
        errno.EROFS: Condition(
            HostError,
            "read-only",
            "the file system is mounted read-only",
            "remount it writable for as long as this takes: mount -o remount,rw MOUNTPOINT",
        ),
        errno.EIO: Condition(
            HostError, "io-error", "input/output error", "look at the kernel log (dmesg)"
        ),
    },
)
_KEYS = Call(
    "put into the kernel's keyring",
    {
        errno.EPERM: _PRIVILEGE,
        errno.EACCES: _PRIVILEGE,
        errno.EDQUOT: Condition(
            HostError,
            "key-quota",
            "root's quota of keys is used up",
            "raise kernel.keys.root_maxkeys",
        ),
        errno.ENOPKG: Condition(
            HostError,
            "no-ecdsa",
            "the kernel can't check ECDSA P-256",
            "modprobe ecdsa_generic, then run it again",
        ),
        errno.ENOSYS: Condition(
            HostError, "no-keys", "this kernel has no keyrings", "it needs CONFIG_KEYS"
        ),
    },
)
_POLICY = Call(
    "load",
    {
        errno.EINVAL: Condition(
            ContentError,
            "bad-ima-policy",
            "the kernel doesn't know one of the rules",
            "sigv3 for fs-verity came with Linux 5.19, MMAP_CHECK_REQPROT with 6.3; dmesg names it",
        ),
        errno.EACCES: Condition(
            HostError,
            "policy-refused",
            "the kernel takes signed policies only, or none",
            "look at `verity lockdown ima status`, and at dmesg",
        ),
        errno.EPERM: _PRIVILEGE,
        errno.EBUSY: Condition(
            HostError, "busy", "somebody else is writing it at this moment", "run it again"
        ),
        errno.ENOENT: Condition(
            HostError,
            "policy-loaded",
            "a policy was loaded before, or this kernel has no IMA",
            "a kernel takes one policy until it reboots: `verity lockdown ima status`",
        ),
    },
)


class Loaded(StrEnum):
    """What the kernel shows of its policy."""

    UNREADABLE = "unreadable"  # it can't be seen from here
    ABSENT = "absent"  # no IMA here
    OPEN = "open"  # it would take a policy
    TAKEN = "taken"  # it took one, and shows it to nobody


def get(fd: int, *, label: str) -> bytes | None:
    """The xattr; None if there is none."""
    try:
        return os.getxattr(fd, ima.XATTR)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return None
        raise _XATTR.error(error.errno or 0, label) from error


def put(fd: int, value: bytes, *, label: str) -> None:
    """Write the xattr. It isn't durable before a syncfs."""
    try:
        os.setxattr(fd, ima.XATTR, value)
    except OSError as error:
        raise _XATTR.error(error.errno or 0, label) from error


def loaded(root: Path) -> Loaded:
    """Whether a policy was loaded since the boot, as far as the kernel shows it."""
    active = gate_files.small_text(root / gate_files.LSM)
    if active is None:
        return Loaded.UNREADABLE
    if not (root / DIRECTORY).is_dir() or "ima" not in active.split(","):
        return Loaded.ABSENT
    return Loaded.OPEN if (root / POLICY).exists() else Loaded.TAKEN


def appraises(root: Path) -> bool:
    """Whether the kernel's command line leaves appraisal enforcing."""
    text = gate_files.small_text(root / "proc/cmdline") or ""
    modes = [word.partition("=")[2] for word in text.split() if word.startswith("ima_appraise=")]
    return not modes or modes[-1] == "enforce"


def new_keyring(certificates: Sequence[bytes]) -> None:
    """A keyring ``_ima`` with these keys, to which nobody can add another.

    It hangs in this process's own keyring: it is gone when the process ends, unless the kernel has
    looked a key up in it by then, and holds it. Nobody finds it by name afterwards.
    """
    ring = _serial(lib.verity_keyring_new(_KEYRING), "the keyring _ima")
    for data in certificates:
        held = ffi.from_buffer("uint8_t[]", data)
        _serial(lib.verity_keyring_add(ring, held, len(data)), "a key for IMA")
    _serial(lib.verity_keyring_restrict(ring), "the end of the keyring _ima")


def _serial(result: int, label: str) -> int:
    if result < 0:
        raise _KEYS.error(-result, label)
    return result


def write_policy(text: str, root: Path = Path("/")) -> None:
    """Give the kernel its policy; it counts from the close on, until reboot, or not at all."""
    path = root / POLICY
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _POLICY.error(error.errno or 0, "a policy of IMA") from error
    try:
        with closing(fd):
            # A rule a write: of more the kernel takes the first, says its length, and is content.
            for rule in text.encode().splitlines(keepends=True):
                os.write(fd, rule)
    except OSError as error:
        raise _POLICY.error(error.errno or 0, "a policy of IMA") from error


def map_code(path: str) -> None:
    """Map a file executable, as the dynamic linker would; HostError if it is refused."""
    try:
        with closing(os.open(path, os.O_RDONLY | os.O_CLOEXEC)) as fd:
            _map(fd)
    except OSError as error:
        raise translate_oserror(error, path) from error


def refuses_unsigned() -> bool:
    """Whether a script in memory, which nobody can have signed, is refused to this process, to run
    and to map.

    By IMA with EACCES; the gate says EPERM, and what it refuses says nothing of IMA.
    """
    unable = HostError("no-probe", "unsigned code in memory can't be tried here")
    try:
        fd = os.memfd_create("verity-probe", 0)  # no CLOEXEC: its interpreter opens it, too
    except OSError as error:
        raise unable from error
    with closing(fd):
        try:
            os.write(fd, b"#!/bin/true\n")
            os.fchmod(fd, 0o700)
        except OSError as error:
            raise unable from error
        run = partial(
            subprocess.run, [f"/proc/self/fd/{fd}"], pass_fds=[fd], check=False, timeout=60
        )
        return _refuses(run, unable) and _refuses(partial(_map, fd), unable)


def _map(fd: int) -> None:
    protection = mmap.PROT_READ | mmap.PROT_EXEC
    mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=protection).close()


def _refuses(attempt: Callable[[], object], unable: HostError) -> bool:
    try:
        attempt()
    except PermissionError as error:
        if error.errno == errno.EACCES:
            return True
        raise HostError(
            "gate-refuses",
            "unsigned code: something other than IMA refused it first",
            hint="a gate is sealed here: `verity lockdown status`",
        ) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise unable from error
    return False


def running_code() -> dict[str, str]:
    """What processes of effective uid 0 have mapped executable: file name to a process of it.

    A process that ends meanwhile is left out. HostError if one can't be looked at.
    """
    found: dict[str, str] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if os.stat(folder).st_uid != 0:
                continue
            text = (folder / "maps").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        except OSError as error:
            raise translate_oserror(error, str(folder / "maps")) from error
        for line in text.split(b"\n"):
            fields = line.split(None, 5)
            if len(fields) == 6 and b"x" in fields[1] and fields[5].startswith(b"/"):
                found.setdefault(os.fsdecode(fields[5]), folder.name)
    return found
