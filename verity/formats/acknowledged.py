# SPDX-License-Identifier: Apache-2.0
"""What a host's owner has acknowledged of what its programs write: bytes <-> values.

    verity-acknowledged 1 sha256:HEX       over the record
    ENVELOPE                               DSSE over digest and time of the record, or ``-``
    RECORD                                 canonical JSON (docs/formats.md, "Acknowledgement")

1. The digest of the first line is that of the record's bytes: damage is seen without a key.
2. The record has known fields only, its files are sorted and each there once, and its bytes are the
   only ones that the values can have.
3. Who signed is not judged here: ``verity.trust.acknowledged`` does.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from verity.formats import escaped, strictjson
from verity.formats.statement import format_time, parse_time
from verity.formats.strictjson import Fields

PAYLOAD_TYPE = "application/vnd.verity.acknowledged.v1+json"
MAX_SIZE = 64 << 20
MAX_PAYLOAD = 4096

_WHAT = "acknowledgement"
_HEAD = re.compile(rb"verity-acknowledged 1 sha256:([0-9a-f]{64})")
_UNSIGNED = b"-"
_MODE = re.compile(r"[0-7]{5,6}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


@dataclass(frozen=True, kw_only=True)
class Written:
    """One file: metadata, the fs-verity digest or a link's target, and what it says, item by
    item."""

    path: bytes
    mode: int
    uid: int
    gid: int
    digest: bytes | None = None
    target: bytes | None = None
    said: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Record:
    """All files of the mutable and produced places, sorted by path, and when they were looked at
    (seconds since 1970)."""

    issued: int
    files: tuple[Written, ...]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A record with its bytes' SHA-256, and the envelope over that; None if nobody signed."""

    record: Record
    sha256: bytes
    envelope: bytes | None


def encode(record: Record) -> bytes:
    """The canonical JSON of a record. Raises ContentError for what none may hold."""
    data = _written(record)
    parse_record(data)  # the writer is held to the reader's rules
    return data


def payload(record_sha256: bytes, issued: int) -> bytes:
    """What is signed: the record by its digest, and when."""
    return strictjson.canonical(
        {"issued": format_time(issued), "record": f"sha256:{record_sha256.hex()}"}
    )


def file_bytes(record: bytes, envelope: bytes | None) -> bytes:
    """The whole file."""
    digest = hashlib.sha256(record).hexdigest().encode()
    head = b"verity-acknowledged 1 sha256:" + digest
    return b"\n".join((head, _UNSIGNED if envelope is None else envelope, record))


def parse(data: bytes) -> Stored:
    """Read the whole file. Raises ContentError (``bad-document``)."""
    if len(data) > MAX_SIZE:
        _refuse(f"{len(data)} bytes, at most {MAX_SIZE} are allowed")
    head, _, rest = data.partition(b"\n")
    envelope, newline, record = rest.partition(b"\n")
    found = _HEAD.fullmatch(head)
    if found is None or not newline:
        _refuse("it doesn't begin with `verity-acknowledged 1 sha256:HEX` and an envelope or `-`")
    sha256 = hashlib.sha256(record).digest()
    if sha256 != bytes.fromhex(found[1].decode()):
        _refuse(f"the record has the SHA-256 {sha256.hex()}, its first line names {found[1]!r}")
    return Stored(
        record=parse_record(record),
        sha256=sha256,
        envelope=None if envelope == _UNSIGNED else envelope,
    )


def check_payload(data: bytes, stored: Stored) -> None:
    """Refuse a signed payload that isn't about this record (``bad-document``)."""
    if len(data) > MAX_PAYLOAD or data != payload(stored.sha256, stored.record.issued):
        _refuse("the signature is over another record, or over another time")


def parse_record(data: bytes) -> Record:
    """Read the record alone."""
    top = Fields(strictjson.parse(data, what=_WHAT, max_size=MAX_SIZE), what=_WHAT)
    issued = parse_time(top.text("issued"))
    files = tuple(_file(item) for item in top.array("files"))
    top.end()
    paths = [one.path for one in files]
    if paths != sorted(set(paths)):
        _refuse("its files are not sorted by path, or one is there twice")
    record = Record(issued=issued, files=files)
    if _written(record) != data:
        _refuse("not the canonical JSON: sorted keys, no spaces, UTF-8 without escapes")
    return record


def _file(item: Any) -> Written:
    fields = Fields(item, what=_WHAT)
    path = _name(fields.text("path"))
    mode = fields.text("mode")
    uid, gid = fields.integer("uid"), fields.integer("gid")
    digest: bytes | None = None
    target: bytes | None = None
    said: dict[str, dict[str, str]] = {}
    for name in fields.names():
        if name == "digest":
            found = _DIGEST.fullmatch(fields.text(name))
            if found is None:
                _refuse(f"{escaped.printable(path)}: no digest sha256:HEX")
            digest = bytes.fromhex(found[1])
        elif name == "target":
            target = _name(fields.text(name))
        elif name == "said":
            items = fields.object(name)
            for key in items.names():
                said[key] = _texts(items.object(key))
    fields.end()
    if not _MODE.fullmatch(mode) or not path.startswith(b"/"):
        _refuse(f"{escaped.printable(path)[:80]!r}: no absolute path with a mode")
    if uid < 0 or gid < 0 or (digest is not None and target is not None):
        _refuse(f"{escaped.printable(path)}: its owner or kind can't be")
    return Written(
        path=path, mode=int(mode, 8), uid=uid, gid=gid, digest=digest, target=target, said=said
    )


def _texts(fields: Fields) -> dict[str, str]:
    return {name: fields.text(name) for name in fields.names()}


def _name(text: str) -> bytes:
    try:
        data = text.encode("ascii")
    except UnicodeEncodeError:
        _refuse(f"the name {text[:80]!r} is not ASCII: other bytes are written \\xHH")
    name = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), data)
    if b"\0" in name or escaped.escape(name) != data:
        _refuse(f"the name {text[:80]!r} is not as a manifest has it")
    return name


def _written(record: Record) -> bytes:
    return strictjson.canonical(
        {
            "issued": format_time(record.issued),
            "files": [_fields(one) for one in record.files],
        }
    )


def _fields(one: Written) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "path": escaped.printable(one.path),
        "mode": f"{one.mode:o}",
        "uid": one.uid,
        "gid": one.gid,
    }
    if one.digest is not None:
        fields["digest"] = f"sha256:{one.digest.hex()}"
    if one.target is not None:
        fields["target"] = escaped.printable(one.target)
    if one.said:
        fields["said"] = {name: dict(texts) for name, texts in one.said.items()}
    return fields


def _refuse(reason: str) -> NoReturn:
    strictjson.refuse(_WHAT, reason)
