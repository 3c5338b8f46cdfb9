# SPDX-License-Identifier: Apache-2.0
"""Lists of file names as ``find -print0`` writes them: each name with a NUL behind it.

It only cuts such a list into blocks. Names are bytes and stay as they are; a name may hold
anything but a NUL, newlines too.
"""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from verity.values.errors import ContentError

_BLOCK = 1 << 17
_LONGEST = 1 << 16
_AT_ONCE = 1024


def blocks_of_file(file: BinaryIO, *, label: str) -> Iterator[bytes]:
    """Blocks of whole names, as they arrive; the last name may lack its NUL."""
    rest = b""
    while data := file.read(_BLOCK):
        data = rest + data
        whole = data.rfind(b"\0") + 1
        if whole:
            yield data[:whole]
        rest = data[whole:]
        if len(rest) > _LONGEST:
            raise ContentError(
                "bad-name-list",
                f"{label}: a name of more than {_LONGEST} bytes, expected names with a NUL"
                " behind each",
                hint="`find DIR -type f -print0` makes such a list",
            )
    if rest:
        yield rest + b"\0"


def blocks_of(names: Sequence[bytes]) -> Iterator[bytes]:
    """The same from names."""
    for at in range(0, len(names), _AT_ONCE):
        yield b"".join(name + b"\0" for name in names[at : at + _AT_ONCE])
