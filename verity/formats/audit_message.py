# SPDX-License-Identifier: Apache-2.0
"""A message for the kernel's audit, as its netlink protocol has it (linux/{netlink,audit}.h).

One request: an ``AUDIT_USER_AVC`` with a text of ``name=value`` words, and the acknowledgement that
answers it. The kernel puts the text between single quotes and itself says who sent it. Values of
others are written as libaudit does: plain ones between double quotes, any other in hexadecimal
without, so that none can end the text or look like a field of it.
"""

import re
import struct
from collections.abc import Mapping

from verity.values.errors import ContentError

USER_AVC = 1107
MAX_TEXT = 8000  # the kernel takes 8560 (AUDIT_MESSAGE_TEXT_MAX), and cuts the rest off

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port; of the host's byte order
_ERROR = struct.Struct("=i")
_REQUEST, _ACK = 1, 4
_NLMSG_ERROR = 2
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_WORD = re.compile(r"[A-Za-z0-9_./+:@%,-]+")
_PLAIN = re.compile(rb"[A-Za-z0-9_./+:@%,=-]+")


def text(fields: Mapping[str, str | int | bytes]) -> bytes:
    """The words. Bytes are a value of somebody else's; text and numbers are ours (ValueError)."""
    words = ["verity:"]
    for name, value in fields.items():
        if isinstance(value, bytes):
            word = f'"{value.decode("ascii")}"' if _PLAIN.fullmatch(value) else value.hex().upper()
        else:
            word = str(value)
            if not _WORD.fullmatch(word):
                raise ValueError(f"{word!r} is no word of a message")
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a field")
        words.append(f"{name}={word or '?'}")
    found = " ".join(words).encode("ascii")
    if len(found) > MAX_TEXT:
        raise ValueError(f"a message of {len(found)} bytes, at most {MAX_TEXT} are possible")
    return found


def request(message: bytes, sequence: int) -> bytes:
    """The datagram that asks for an acknowledgement."""
    ended = message + b"\0"  # the kernel ends the text there, and takes a byte of it if it must
    padded = ended + b"\0" * (-len(ended) % 4)
    return _HEADER.pack(_HEADER.size + len(ended), USER_AVC, _REQUEST | _ACK, sequence, 0) + padded


def answer(data: bytes, sequence: int) -> int | None:
    """The errno of the acknowledgement, 0 for a message that was taken; None if it is no answer
    to this request."""
    if len(data) < _HEADER.size + _ERROR.size:
        raise ContentError("bad-netlink", f"audit: an answer of {len(data)} bytes")
    _, kind, _, answered, _ = _HEADER.unpack_from(data)
    if kind != _NLMSG_ERROR or answered != sequence:
        return None
    (code,) = _ERROR.unpack_from(data, _HEADER.size)
    return -int(code)
