# SPDX-License-Identifier: Apache-2.0
"""Where the gate's files are on a host, below any root, and their bytes.

The texts that the gate writes are read whole within a bound and given out as bytes: what they
mean is for ``verity.formats.gate_status``. The one thing written here is the kernel's lockdown.
All places honour a root: then they are files of an offline tree, and say nothing of the kernel
that runs.
"""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

from verity.ports.osfile import read_file, translate_oserror
from verity.values.errors import HostError

STATUS = Path("sys/fs/bpf/verity/status")
DENIALS = Path("sys/fs/bpf/verity/denials")
SCRIPTS = Path("sys/fs/bpf/verity/links/verity_scripts")
LOCKDOWN = Path("sys/kernel/security/lockdown")
LSM = Path("sys/kernel/security/lsm")
BOOT_ID = Path("proc/sys/kernel/random/boot_id")
_SMALL = 4096
_MAX_SCRIPTS = 1 << 20
_BOOT = re.compile(r"[0-9a-f]{32}")

Reader = Callable[[Path], bytes | None]
"""``read_status`` or ``read_denials``."""


def read_status(root: Path) -> bytes | None:
    """The gate's status text; None if there is no such file, so no gate that shows itself."""
    from verity.formats.gate_status import MAX_STATUS  # here: the other texts need none of it

    return _read(root / STATUS, MAX_STATUS)


def read_denials(root: Path) -> bytes | None:
    """The gate's denials text; None if there is no such file."""
    from verity.formats.gate_status import MAX_DENIALS  # here: as above

    return _read(root / DENIALS, MAX_DENIALS)


def script_tasks(root: Path) -> frozenset[int]:
    """The tasks that run an interpreter which the gate, before the seal, let start for a granted
    script (docs/adr/0063); none without a gate that says it."""
    data = _read(root / SCRIPTS, _MAX_SCRIPTS) or b""
    return frozenset(int(line) for line in data.split() if line.isdigit())


def mark(root: Path) -> str | None:
    """What tells this load of the gate from another one in the same boot; None without a gate.

    The pin of the denials: the kernel gives a new one another number, and nobody can choose it.
    """
    try:
        found = os.stat(root / DENIALS)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise translate_oserror(error, str(root / DENIALS)) from error
    return f"{found.st_dev:x}.{found.st_ino:x}"


def boot_id(root: Path) -> str:
    """The kernel's name for this boot, 32 hex digits; HostError if it doesn't say."""
    path = root / BOOT_ID
    text = read_file(path, max_size=_SMALL).decode("ascii", "replace").strip().replace("-", "")
    if not _BOOT.fullmatch(text):
        raise HostError("bad-boot-id", f"{path}: {text[:80]!r} is no id of a boot")
    return text


def kernel_lockdown(root: Path) -> str | None:
    """``none``, ``integrity`` or ``confidentiality``; None if the host doesn't say."""
    text = small_text(root / LOCKDOWN)
    if text is None:
        return None
    return text.partition("[")[2].partition("]")[0] or text


def raise_lockdown(root: Path) -> None:
    """Set the kernel's lockdown to integrity, until reboot; fine if it is there or above.

    HostError where the kernel does not take it: no lockdown LSM, no privilege.
    """
    if kernel_lockdown(root) in ("integrity", "confidentiality"):
        return
    path = root / LOCKDOWN
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"integrity")
        finally:
            os.close(fd)
    except OSError as error:
        raise translate_oserror(error, str(path)) from error


def small_text(path: Path) -> str | None:
    """The text of a small kernel file, None if it can't be read."""
    try:
        return read_file(path, max_size=_SMALL).decode("utf-8", "replace").strip()
    except HostError:
        return None


def _read(path: Path, most: int) -> bytes | None:
    try:
        return read_file(path, max_size=most)
    except HostError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise
