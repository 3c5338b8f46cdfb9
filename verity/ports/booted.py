# SPDX-License-Identifier: Apache-2.0
"""Which commit of OSTree a host has booted, by the command line of its kernel.

    ostree=/ostree/boot.1/OS/BOOTCSUM/0  ->  ../../../deploy/OS/deploy/COMMIT.SERIAL

The link is OSTree's own; nothing here asks whether the kernel or the link is honest. Below another
root it is what files there say, and an offline tree without /proc says nothing.
"""

import os
import re
from pathlib import Path

from verity.ports import deployments
from verity.ports.osfile import read_file, translate_oserror
from verity.values.errors import ContentError, HostError, VerityError

CMDLINE = Path("proc/cmdline")
LEFT_TO_HOST = (b"/boot", b"/var")
"""Directories of a deployment over which OSTree mounts the host's own: what a commit has in them
gets there at most once, when an empty /var is first deployed to, and no update changes it."""
_MAX_SIZE = 1 << 16
_ARGUMENT = "ostree="
_DEPLOYMENT = re.compile(r"(?P<commit>[0-9a-f]{64})\.[0-9]+")


def commit(root: Path) -> str | None:
    """The checksum of the booted commit; None if the host is not booted by OSTree.

    Raises ContentError (``bad-deployment``) or HostError if it is and can't be told.
    """
    found = _link(root)
    return None if found is None else found[1]


def is_deployed(root: Path) -> bool:
    """Whether OSTree made this tree from a commit: it has booted it, or deployed it just there."""
    try:
        return commit(root) is not None or deployments.commit_of(root) is not None
    except VerityError:
        return True  # the command line names a deployment, and it can't be told which


def deployment(root: Path) -> Path | None:
    """Where the booted deployment lies in OSTree's own tree, which isn't read-only as /usr is; for
    the running host alone. None and errors as for ``commit``."""
    found = _link(root)
    return None if found is None else found[0].resolve()


def _link(root: Path) -> tuple[Path, str] | None:
    """The link that the command line names, and the commit that it leads to."""
    try:
        line = read_file(root / CMDLINE, max_size=_MAX_SIZE).decode("utf-8", "surrogateescape")
    except HostError as error:
        if error.code == "not-found":
            return None
        raise
    given = [word for word in line.split() if word.startswith(_ARGUMENT)]
    if not given:
        return None
    path = root / given[-1].removeprefix(_ARGUMENT).lstrip("/")
    try:
        target = os.readlink(path)
    except OSError as error:
        raise translate_oserror(error, str(path)) from error
    found = _DEPLOYMENT.fullmatch(os.path.basename(target))
    if found is None:
        raise ContentError(
            "bad-deployment",
            f"{path}: it leads to {target!r}, expected a deployment named COMMIT.SERIAL",
            hint="`ostree admin status` shows what this host can boot",
        )
    return path, found["commit"]
