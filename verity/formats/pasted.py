# SPDX-License-Identifier: Apache-2.0
"""What somebody handed over in the place of a token or a challenge, told by its first bytes.

It only names: nothing is parsed here, and what it takes for a token may be none.
"""

import re
from enum import StrEnum

from verity.formats import typed_token, unlock


class Pasted(StrEnum):
    """What it looks like; for what is neither of ours, with words for the message."""

    NOTHING = "nothing at all"
    TOKEN = "an unlock token"  # noqa: S105 - no secret: a token is public once it is signed
    TYPED = "a typed token"
    CHALLENGE = "a challenge"
    BUNDLE = "a sign bundle, which is not signed by all yet"
    FRAGMENT = "another signed document of verity"
    OPENPGP = "an OpenPGP message"
    SSH = "an SSH key or signature"
    PEM = "a PEM file, such as a key or a certificate"
    WEB_TOKEN = "a token of some web service"  # noqa: S105 - likewise
    OTHER = "something else"


_RECORD = 8  # kind and length, in front of the blob
_CHALLENGE = re.compile(rb"(?m)^[\s>|]*(?:verity_challenge|boot_nonce|boot_clock_s)\b")
_WEB = re.compile(rb"\s*(?:ey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.|gh[pousr]_|xox[abp]-)")
_MARKS = (
    (b"-----BEGIN PGP", Pasted.OPENPGP),
    (b"-----BEGIN SSH", Pasted.SSH),
    (b"-----BEGIN OPENSSH", Pasted.SSH),
    (b"ssh-", Pasted.SSH),
    (b"-----BEGIN", Pasted.PEM),
)


def kind_of(data: bytes) -> Pasted:
    """What these bytes look like."""
    if not data.strip():
        return Pasted.NOTHING
    if data[_RECORD:].startswith(unlock.KIND):
        return Pasted.TOKEN
    if data[_RECORD:].startswith(b"\x93verity-"):
        return Pasted.FRAGMENT
    if b"verity.sign-bundle" in data[:200]:
        return Pasted.BUNDLE
    for mark, found in _MARKS:
        if mark in data[:4096] if mark.startswith(b"-") else data.lstrip().startswith(mark):
            return found
    if _CHALLENGE.search(data):
        return Pasted.CHALLENGE
    if typed_token.looks_typed(data) or typed_token.BEGIN.encode() in data.lower():
        return Pasted.TYPED
    if _WEB.match(data):
        return Pasted.WEB_TOKEN
    return Pasted.OTHER
