# SPDX-License-Identifier: Apache-2.0
"""What is seen through an overlay: the kernel tells no fs-verity digest through one.

systemd-sysext lays one over /usr, `ostree admin unlock` does, and composefs is one. The files below
may all have fs-verity, and nobody can ask for it by their paths: so for such a file "no fs-verity"
is no finding. It is hashed, and that nothing vouches for its contents is a gap, one for each
overlay. What differs from what is signed is a finding as anywhere.

Not to be confused with a root that is itself somewhere in an overlay, as a directory in a container
is: whoever audits that can copy it to a file system that has fs-verity.
"""

import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from verity.formats.escaped import printable
from verity.ports import kernel_files
from verity.values.errors import VerityError
from verity.values.findings import Finding, NotEvaluated

if TYPE_CHECKING:
    from verity.formats.procfs import Mount

# What systemd-sysext and systemd-confext put into the overlay to know what they have merged.
_MARKS = re.compile(rb"(/usr|/opt)/\.systemd-sysext(/[a-z_]+)?|/etc/\.systemd-confext(/[a-z_]+)?")
_HINTS = {
    b"sysext": "`systemd-sysext unmerge`, audit, `systemd-sysext merge`",
    b"confext": "`systemd-confext unmerge`, audit, `systemd-confext merge`",
}


class Overlays:
    """The overlays among the mounts at and below a root, and how many files were seen through
    each."""

    def __init__(self, root: Path | None = None) -> None:
        self._mounts = {} if root is None else _mounts_below(root)
        self._any = any(one.type == b"overlay" for one in self._mounts.values())
        self._known: dict[bytes, Mount | None] = {}
        self._counts: Counter[bytes] = Counter()

    def over(self, path: bytes) -> "Mount | None":
        """The overlay in which a path lies, None if it lies in none."""
        if not self._any:
            return None
        found = self._mounts.get(path)
        if found is None:
            folder = path.rpartition(b"/")[0]
            if folder not in self._known:
                self._known[folder] = self.over(folder) if folder else self._mounts.get(b"/")
            found = self._known[folder]
        return found if found is not None and found.type == b"overlay" else None

    def takes(self, path: bytes) -> bool:
        """Whether it is for an overlay that the kernel tells no digest of a file; counted then."""
        mount = self.over(path)
        if mount is None:
            return False
        self._counts[mount.point] += 1
        return True

    def keep(self, finding: Finding | None) -> Finding | None:
        """A finding, unless it only says what an overlay makes of every file, or has of its own."""
        if finding is None or finding.path is None:
            return finding
        if finding.check == "no-verity" and self.takes(finding.path):
            return None
        if finding.check == "unsigned-file" and _MARKS.fullmatch(finding.path):
            return finding if self.over(finding.path) is None else None
        return finding

    def gaps(self, check: str) -> tuple[NotEvaluated, ...]:
        """What could not be evaluated for them."""
        return tuple(
            NotEvaluated(
                check=check,
                object=printable(point),
                path=point,
                why=f"an overlay ({printable(self._mounts[point].source)}) is mounted here, and the"
                f" kernel tells no fs-verity digest through it: {count} files were hashed, and are"
                " as signed at this moment",
                hint=_HINTS.get(
                    self._mounts[point].source, "unmount it, or audit what lies below it"
                ),
            )
            for point, count in sorted(self._counts.items())
        )


def _mounts_below(root: Path) -> "dict[bytes, Mount]":
    """What is mounted on top at each place at and below a root, by its path there."""
    try:
        data = kernel_files.read(Path("/"), "proc/self/mountinfo") or b""
        if b" - overlay " not in data:
            return {}
        from verity.formats import procfs  # here: most hosts have none

        mounts = procfs.parse_mounts(data)
    except VerityError:
        return {}  # who can't see the mounts sees what is without fs-verity
    top = os.fsencode(root.resolve()).rstrip(b"/")
    below = [one for one in mounts if (one.point + b"/").startswith(top + b"/")]
    points = (one.point[len(top) :] or b"/" for one in below)
    return {point: replace(one, point=point) for point, one in zip(points, below, strict=True)}
