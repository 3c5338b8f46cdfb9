# SPDX-License-Identifier: Apache-2.0
"""Where a repair changes files: a ReplaceTree for each directory of the root, and one for the root.

So a file is prepared on the file system where it will be, and the root itself, which OSTree keeps
immutable, is written to only for what stands right in it. It decides nothing.
"""

import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from verity.formats.dump import Entry, printable
from verity.ports import kernel
from verity.ports.osfile import closing, open_directory_below, translate_oserror
from verity.ports.replace_tree import ReplaceTree
from verity.ports.tree import Node
from verity.values.errors import HostError

OWN = frozenset(
    b"/etc /var /run /proc /sys /dev /tmp /home /root /mnt /media /srv /sysroot /ostree".split()
)
"""Where what nobody signed is the host's own business."""
_OWNERS_ACT = (
    "on an OSTree host deploy the commit again (`ostree admin deploy REF`, then reboot); elsewhere"
    " `mount -o remount,rw` is the owner's to decide"
)


class Trees:
    """A ReplaceTree for each directory of the root, and one for the root itself: a file is prepared
    on the file system where it will be."""

    def __init__(self, root: Path, nodes: Mapping[bytes, Node], stack: ExitStack) -> None:
        self._root, self._nodes, self._stack = root, nodes, stack
        self._tops = {
            path
            for path, node in nodes.items()
            if path.count(b"/") == 1 and path != b"/" and node.entry.is_directory
        }
        self._trees: dict[bytes, ReplaceTree] = {}

    def top(self, path: bytes) -> bytes:
        """The directory in which what belongs to a path is prepared."""
        end = path.find(b"/", 1)
        top = path[:end] if end > 0 else b"/"
        return top if top in self._tops else b"/"

    def of(self, path: bytes) -> ReplaceTree:
        """The tree of a path."""
        top = self.top(path)
        if top not in self._trees:
            self._trees[top] = self._stack.enter_context(ReplaceTree(self._root, top))
        return self._trees[top]

    def check(self, entry: Entry) -> None:
        """Refuse what can't be replaced, or lies in a directory that can't be changed."""
        if self.top(entry.path) == b"/":
            self._check_root(entry)
        self.of(entry.path).check(entry)
        above = entry.path.rpartition(b"/")[0]
        folder = self._nodes.get(above)
        if folder is not None and folder.entry.is_directory:
            self.of(above).check(folder.entry)

    def _check_root(self, entry: Entry) -> None:
        try:
            with closing(open_directory_below(self._root, b"/")) as fd:
                flags = kernel.inode_flags(fd, label=str(self._root))
        except OSError as error:
            raise translate_oserror(error, str(self._root)) from error
        except HostError:
            return  # a file system without such flags
        if flags & (kernel.IMMUTABLE_FL | kernel.APPEND_FL):
            raise HostError(
                "immutable",
                f"{printable(entry.path)}: the root is immutable, as OSTree makes it",
                hint=f"chattr -i {self._root}, repair, and chattr +i again",
            )

    def clear_all(self) -> None:
        """Remove what runs before prepared, also where this one has nothing to do."""
        for top in (b"/", *sorted(self._tops - OWN)):
            with suppress(HostError):  # a directory that can't be changed holds nothing of ours
                ReplaceTree(self._root, top).clear()

    def clear(self) -> None:
        """Remove what this run prepared."""
        for one in self._trees.values():
            one.clear()

    def sync(self) -> None:
        """Make all of it durable."""
        for one in self._trees.values():
            one.sync()


def refuse_read_only(root: Path, top: bytes) -> None:
    """Raise HostError (``read-only``) if nothing can be changed there."""
    try:
        with closing(open_directory_below(root, top)) as fd:
            read_only = os.fstatvfs(fd).f_flag & os.ST_RDONLY
    except OSError as error:
        raise translate_oserror(error, printable(top)) from error
    if read_only:
        raise HostError(
            "read-only",
            f"{printable(top)}: it is mounted read-only, and nothing was changed",
            hint=_OWNERS_ACT,
        )
