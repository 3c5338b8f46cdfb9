# SPDX-License-Identifier: Apache-2.0
"""Which serials of a stream were given out, and to what: the signer's record, bytes <-> values.

A JSON document, kept by whoever signs (docs/formats.md, section "Record of serials"). It is not
signed, and no host reads it: it keeps two pipelines from signing different things under one
serial. Of each serial it holds the SHA-256 of the statement that has it. The newest ``KEPT`` are
kept.
"""

import re
from collections.abc import Mapping
from typing import NoReturn

from verity.formats import strictjson
from verity.formats.grants import is_stream_name
from verity.formats.strictjson import Fields
from verity.values.errors import ContentError

MEDIA_TYPE = "application/vnd.verity.serials.v1+json"
MAX_SIZE = 2**20
MAX_SERIAL = 2**53 - 1
KEPT = 4096
_WHAT = "record of serials"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def encode(stream: str, given: Mapping[int, bytes]) -> bytes:
    """The document: SHA-256 of the statement (32 bytes) by serial."""
    newest = sorted(given)[-KEPT:]
    data = strictjson.canonical(
        {
            "_type": MEDIA_TYPE,
            "stream": stream,
            "given": [{"serial": number, "statement": given[number].hex()} for number in newest],
        }
    )
    parse(data, stream=stream)  # the writer is held to the reader's rules
    return data + b"\n"


def parse(data: bytes, *, stream: str) -> dict[int, bytes]:
    """Read the record of this stream. Raises ContentError (``bad-document``)."""
    top = Fields(strictjson.parse(data, what=_WHAT, max_size=MAX_SIZE), what=_WHAT)
    if top.text("_type") != MEDIA_TYPE:
        _refuse(f"its _type is not {MEDIA_TYPE}")
    found = top.text("stream")
    if not is_stream_name(found) or found != stream:
        _refuse(f"it is of the stream {found[:80]!r}, expected {stream!r}")
    given: dict[int, bytes] = {}
    last = 0
    for item in top.array("given"):
        fields = Fields(item, what=_WHAT)
        serial, digest = fields.integer("serial"), fields.text("statement")
        fields.end()
        if serial <= last:
            _refuse(f"the serial {serial} after {last}: not sorted, or twice")
        if not _SHA256.fullmatch(digest):
            _refuse(f"the statement of serial {serial} is not a SHA-256 in lower-case hex")
        given[serial] = bytes.fromhex(digest)
        last = serial
    top.end()
    return given


def _refuse(reason: str) -> NoReturn:
    raise ContentError("bad-document", f"{_WHAT}: {reason}")
