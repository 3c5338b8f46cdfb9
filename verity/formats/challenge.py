# SPDX-License-Identifier: Apache-2.0
"""A challenge, bytes -> values: which boot of which host an unlock token will be for.

Text, a `key value` a line, LF at the end of each (docs/formats.md, "Unlock token"), so that a copy
of what the gate says about itself serves as one. It is a print-out of public state: nothing in it
is secret, and nothing verified. Unknown keys are ignored, as everywhere in what the gate says; a
key that is needed must be there once.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from verity.values.errors import ContentError

MAX_SIZE = 512 * 2**10

_HEX = re.compile(r"[0-9a-f]{64}")  # 32 bytes, as both the nonce and the host id have
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
_NEEDED = ("boot_nonce", "host_id", "policy_serial", "boot_clock_s")


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """The boot nonce and the host id have 32 bytes; ``boot_clock_s`` is when it was printed."""

    boot_nonce: bytes
    host_id: bytes
    policy_serial: int
    boot_clock_s: int


def parse(data: bytes) -> Challenge:
    """Read a challenge. Raises ContentError (``bad-challenge``)."""
    if len(data) > MAX_SIZE:
        _refuse(f"{len(data)} bytes, at most {MAX_SIZE} are allowed")
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        _refuse("not ASCII")
    if not text.endswith("\n"):
        _refuse("it does not end with a line feed: a part of it is missing")
    values: dict[str, str] = {}
    for line in text.split("\n"):
        key, _, value = line.partition(" ")
        if key in values:
            _refuse(f"the key {key} stands there twice")
        if key in _NEEDED:
            values[key] = value
    missing = [key for key in _NEEDED if key not in values]
    if missing:
        _refuse(f"the key {missing[0]} is missing")
    return of_texts(values)


def of_texts(values: Mapping[str, str]) -> Challenge:
    """A challenge from the text of each of its values. Raises ContentError (``bad-challenge``)."""
    for key in ("boot_nonce", "host_id"):
        if not _HEX.fullmatch(values[key]):
            _refuse(f"{key} {values[key][:80]!r} is not 64 lower-case hex digits")
    for key in ("policy_serial", "boot_clock_s"):
        if not _NUMBER.fullmatch(values[key]) or int(values[key]) >= 2**53:
            _refuse(f"{key} {values[key][:80]!r} is not a decimal number below 2^53")
    return Challenge(
        boot_nonce=bytes.fromhex(values["boot_nonce"]),
        host_id=bytes.fromhex(values["host_id"]),
        policy_serial=int(values["policy_serial"]),
        boot_clock_s=int(values["boot_clock_s"]),
    )


def _refuse(reason: str) -> NoReturn:
    raise ContentError("bad-challenge", f"challenge: {reason}")
