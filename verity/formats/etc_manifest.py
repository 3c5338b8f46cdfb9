# SPDX-License-Identifier: Apache-2.0
"""What a manifest of the kind etc may hold: /etc, and dotfiles of homes, and nothing else.

``/`` and the directories down to a home are frames: they say where a home is, and must say nothing
more. Whatever reads such a manifest begins with ``check``, so that no signature brings a manifest
of something else to where one of /etc is expected.
"""

from collections.abc import Iterable
from typing import NoReturn

from verity.formats.dump import Entry, printable
from verity.values.errors import ContentError

ETC = b"/etc"
FRAME_MODE = 0o40755


def homes_of(paths: Iterable[bytes]) -> tuple[bytes, ...]:
    """The homes that a manifest has part in, by its paths: the innermost frames."""
    frames = {path for path in paths if path != b"/" and _is_frame(path)}
    inner = {path for path in frames if not any(one.startswith(path + b"/") for one in frames)}
    return tuple(sorted(inner))


def check(entries: Iterable[Entry]) -> None:
    """Refuse (ContentError ``not-etc``) what is no manifest of /etc.

    1. There is /etc, and it is a directory.
    2. A frame is a directory of root's with the mode 0755, and no more.
    3. Every other path is in /etc, or is a dotfile of a home or below one.
    """
    there = {entry.path: entry for entry in entries}
    # 1. /etc.
    top = there.get(ETC)
    if top is None or not top.is_directory:
        _refuse("it has no directory /etc")
    for path, entry in there.items():
        # 2. Frames.
        if _is_frame(path):
            if entry != Entry(path=path, mode=FRAME_MODE, uid=0, gid=0):
                _refuse(f"{printable(path)} is not a directory 40755 of root's without more")
        # 3. Dotfiles. Their home is there: a manifest has all parents.
        elif path.startswith(b"/."):
            _refuse(f"{printable(path)} is neither in /etc nor a dotfile of a home")


def _is_frame(path: bytes) -> bool:
    return path != ETC and not path.startswith(ETC + b"/") and b"/." not in path


def _refuse(reason: str) -> NoReturn:
    raise ContentError(
        "not-etc",
        f"manifest: of the kind etc, but {reason}",
        hint="it was not made by `verity etc sign` or `sign prepare etc`: don't sign it",
    )
