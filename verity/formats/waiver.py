# SPDX-License-Identifier: Apache-2.0
"""The waiver, bytes <-> values: one finding that a host's owner has looked at and lives with.

The payload of a DSSE envelope (docs/formats.md, "Waiver"). It names a host (or all), a check and
one object by path and digest, says why, and expires. The parser is strict: unknown fields are
refused, and the bytes are the only ones that the values can have. Whose signature counts is judged
in the trust room, which alone makes a ``VerifiedWaiver``. No waiver reaches the kernel.
"""

import re
from dataclasses import dataclass
from typing import Any

from verity.formats import escaped, strictjson
from verity.formats.statement import format_time, parse_time
from verity.formats.strictjson import Fields, refuse
from verity.values.digest import CANONICAL, Digest
from verity.values.errors import ContentError

PAYLOAD_TYPE = "application/vnd.verity.waiver.v1+json"
MAX_WAIVER = 32 * 2**10
MAX_REASON = 1000
MAX_PATH = 4095  # PATH_MAX, without the NUL
EVERY_HOST = "*"

_WHAT = "waiver"
_HOST = re.compile(r"[0-9a-f]{64}")
_CHECK = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """``host`` is a host id (64 hex digits) or ``*``; ``digest`` the fs-verity digest (32 bytes) of
    the file that is at ``path``; times are seconds since 1970."""

    host: str
    check: str
    path: bytes
    digest: bytes
    reason: str
    issued: int
    expires: int


def encode(waiver: Waiver) -> bytes:
    """The JSON of a waiver. Raises ContentError (``bad-document``) for what none may hold."""
    _check_reason(waiver.reason)  # first: what came of other bytes than UTF-8 has no JSON
    data = _written(waiver)
    if parse(data) != waiver:  # the writer is held to the reader's rules
        refuse(_WHAT, "the values do not survive their own encoding")
    return data


def parse(data: bytes) -> Waiver:
    """Read a waiver. Raises ContentError (``bad-document``).

    1. Fields of known names and types, and nothing else.
    2. A host or all, a check, one file, a reason: none of them empty.
    3. It expires after it was issued.
    4. The bytes are the canonical ones.
    """
    # 1. Fields.
    top = Fields(strictjson.parse(data, what=_WHAT, max_size=MAX_WAIVER), what=_WHAT)
    host = top.text("host")
    check = top.text("check")
    subject = top.object("object")
    path_text = subject.text("path")
    digest_text = subject.text("digest")
    subject.end()
    reason = top.text("reason")
    issued = parse_time(top.text("issued"))
    expires = parse_time(top.text("expires"))
    top.end()
    # 2. What it is for.
    if host != EVERY_HOST and not _HOST.fullmatch(host):
        refuse(_WHAT, f"the host {host[:80]!r} is neither 64 lower-case hex digits nor `*`")
    if len(check) > 63 or not _CHECK.fullmatch(check):
        refuse(_WHAT, f"the check {check[:80]!r} is not 1 to 63 of a-z 0-9, with - between")
    _check_reason(reason)
    # 3. Times.
    if issued >= expires:
        refuse(_WHAT, "it does not expire after it was issued")
    found = Waiver(
        host=host,
        check=check,
        path=_path(path_text),
        digest=_digest(digest_text),
        reason=reason,
        issued=issued,
        expires=expires,
    )
    # 4. One spelling.
    if _written(found) != data:
        refuse(_WHAT, "not the canonical JSON: sorted keys, no spaces, UTF-8 without escapes")
    return found


def _check_reason(text: str) -> None:
    if not text.isprintable() or not text.strip() or len(text.encode()) > MAX_REASON:
        refuse(_WHAT, f"the reason is not one line of 1 to {MAX_REASON} bytes of printable text")


def _path(text: str) -> bytes:
    """A path in the escapes of a manifest, so that one that isn't UTF-8 has a spelling, too."""
    try:
        written = text.encode("ascii")
    except UnicodeEncodeError:
        refuse(_WHAT, f"the path {text[:80]!r} is not ASCII: other bytes are written \\xHH")
    path = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), written)
    parts = path.split(b"/")
    if (
        len(path) > MAX_PATH
        or parts[0]
        or len(parts) < 2
        or any(part in (b"", b".", b"..") or b"\0" in part for part in parts[1:])
        or escaped.escape(path) != written
    ):
        refuse(_WHAT, f"the path {text[:80]!r} is not absolute, or not as a manifest has it")
    return path


def _digest(text: str) -> bytes:
    try:
        found = Digest.parse(text)
    except ContentError as error:
        raise ContentError("bad-document", f"{_WHAT}: {error.message}") from error
    if found.algorithm is not CANONICAL.algorithm:
        refuse(_WHAT, f"a {found.algorithm} digest, expected {CANONICAL.algorithm}")
    return found.value


def _written(waiver: Waiver) -> bytes:
    fields: dict[str, Any] = {
        "host": waiver.host,
        "check": waiver.check,
        "object": {
            "path": escaped.printable(waiver.path),
            "digest": str(Digest(CANONICAL.algorithm, waiver.digest)),
        },
        "reason": waiver.reason,
        "issued": format_time(waiver.issued),
        "expires": format_time(waiver.expires),
    }
    return strictjson.canonical(fields)
