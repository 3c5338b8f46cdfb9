# SPDX-License-Identifier: Apache-2.0
"""Any composefs-dump(5), as other tools write it, read into the entries of our profile.

Not to be used for what is signed: that is ``verity.formats.dump``, which takes one spelling only.
This one exists so that trees that mkcomposefs or composefs-info described can be compared and
signed with the rest. It is tolerant of spelling and strict about meaning:

* Any order in which a directory comes before what is in it; ``/`` is first. The last newline may
  be missing. All escapes of composefs-dump(5) are read, hex in both cases, and bytes that it would
  escape may stand there as they are.
* NLINK, MTIME, the SIZE of what has no contents, the RDEV of what is no device and the PAYLOAD of a
  regular file (where a composefs keeps the contents) are read and not kept.
* A hard link (``@``) becomes an entry like the file's that it leads to, wherever that stands.
* The digest of inline contents and of an empty file is computed; if DIGEST is there, too, it must
  be the same. A file with neither has no digest: it is read, and ``to_manifest`` refuses it.
* xattrs that no manifest holds are left out, as ``manifest make`` leaves them out, and named.
* Refused by line and reason: everything else.
"""

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from verity.formats import dump
from verity.formats.dump import Entry, printable
from verity.formats.fsverity import digest_bytes
from verity.values.errors import ContentError

MAX_LINE = 2**20  # an xattr's value has up to 64 KiB, escaped four times as much

_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|([\\nrt])|.|\Z)", re.DOTALL)
_NAMED = {b"\\": b"\\", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_DECIMAL = re.compile(rb"[0-9]{1,20}")
_MODE = re.compile(rb"(@?)([0-7]{1,12})")
_MTIME = re.compile(rb"-?[0-9]{1,19}\.[0-9]{1,9}")
_DIGEST = re.compile(rb"[0-9a-fA-F]{64}")
_BAD_COMPONENT = re.compile(rb"/\.{0,2}(?:/|\Z)")


@dataclass(frozen=True, kw_only=True)
class Found:
    """The entries, sorted by path, and the names of xattrs that were left out, sorted."""

    entries: tuple[Entry, ...]
    left_out: tuple[bytes, ...]


def to_manifest(found: Found) -> bytes:
    """The canonical manifest; ContentError for what none can say (``no-digest``, by name)."""
    without = [entry.path for entry in found.entries if entry.is_regular and entry.digest is None]
    if without:
        more = f" and {len(without) - 1} more files" if len(without) > 1 else ""
        raise ContentError(
            "no-digest",
            f"dump: {printable(without[0])}{more}: neither DIGEST nor CONTENT",
            hint="a manifest holds the fs-verity digest of every file: `verity manifest make DIR`",
        )
    return dump.serialise(found.entries)


class _RefusedError(Exception):
    """Why a line is refused; ``parse`` adds its number."""


@dataclass(frozen=True, kw_only=True)
class _Link:
    number: int
    path: bytes
    target: bytes


def parse(data: bytes) -> Found:
    """Read a dump. Raises ContentError (``bad-dump``) with the line number and the reason."""
    if not 0 < len(data) <= dump.MAX_SIZE:
        raise ContentError("bad-dump", f"dump: {len(data)} bytes, expected 1 to {dump.MAX_SIZE}")
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    if lines > dump.MAX_ENTRIES:
        raise ContentError(
            "too-many-entries", f"dump: {lines} entries, at most {dump.MAX_ENTRIES} are allowed"
        )
    entries: dict[bytes, Entry] = {}
    links: dict[bytes, _Link] = {}
    left_out: set[bytes] = set()
    for number, text in enumerate(_lines(data), 1):
        try:
            fields = text.split(b" ")
            if len(fields) < 11:
                raise _RefusedError(f"{len(fields)} fields, expected 11 and xattrs")
            path = _unescape(fields[0])
            _check_place(path, entries, links)
            linked, mode = _mode(fields[2])
            if linked:
                if stat.S_ISDIR(mode):
                    raise _RefusedError("a hard link to a directory")
                target = _optional(fields[8])
                if target is None:
                    raise _RefusedError("a hard link needs its target as PAYLOAD")
                links[path] = _Link(number=number, path=path, target=target)
                continue
            xattrs = _xattrs(fields[11:])
            left_out.update(name for name, _ in xattrs if not dump.counts_for_security(name))
            entries[path] = _entry(path, mode, fields, xattrs)
        except _RefusedError as refused:
            raise _bad(number, text[:60].split(b" ")[0], str(refused)) from None
    for link in links.values():
        entries[link.path] = _followed(link, entries, links)._replace(path=link.path)
    ordered = tuple(entries[path] for path in sorted(entries))
    return Found(entries=ordered, left_out=tuple(sorted(left_out)))


def _lines(data: bytes) -> Iterator[bytes]:
    start = number = 0
    while start < len(data):
        number += 1
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        if end - start > MAX_LINE:
            raise ContentError(
                "bad-dump", f"dump line {number}: {end - start} bytes, at most {MAX_LINE}"
            )
        yield data[start:end]
        start = end + 1


def _bad(number: int, place: bytes, reason: str) -> ContentError:
    return ContentError(
        "bad-dump",
        f"dump line {number} ({printable(place[:60])}): {reason}",
        hint="composefs-dump(5) is what is read; docs/formats.md section 2, what a manifest holds",
    )


def _check_place(path: bytes, entries: dict[bytes, Entry], links: dict[bytes, _Link]) -> None:
    if not path.startswith(b"/"):
        raise _RefusedError("the path is not absolute")
    if path in entries or path in links:
        raise _RefusedError("the path stands there twice")
    if path == b"/":
        return
    if b"\0" in path or _BAD_COMPONENT.search(path):
        raise _RefusedError("the path holds a NUL or an empty, '.' or '..' component")
    parent = entries.get(path[: path.rindex(b"/")] or b"/")
    if parent is None or not stat.S_ISDIR(parent.mode):
        raise _RefusedError("no directory above it stands before it")


def _entry(path: bytes, mode: int, fields: list[bytes], xattrs: list[tuple[bytes, bytes]]) -> Entry:
    kind = stat.S_IFMT(mode)
    if path == b"/" and kind != stat.S_IFDIR:
        raise _RefusedError("/ is no directory")
    size = _number(fields[1], "SIZE", 2**63 - 1)
    _number(fields[3], "NLINK", 2**32 - 1)
    rdev = _number(fields[6], "RDEV", 2**64 - 1)
    if not _MTIME.fullmatch(fields[7]):
        raise _RefusedError("MTIME is not SECONDS.NANOSECONDS")
    payload, content, digest = (_optional(field) for field in fields[8:11])
    if payload is not None and kind not in (stat.S_IFREG, stat.S_IFLNK):
        raise _RefusedError("PAYLOAD of what is neither a regular file nor a symlink")
    if kind != stat.S_IFREG and (content or digest is not None):
        raise _RefusedError("CONTENT or DIGEST of what is no regular file")
    if kind == stat.S_IFLNK and not payload:
        raise _RefusedError("a symlink needs its target as PAYLOAD")
    if kind == stat.S_IFLNK and payload and (b"\0" in payload or len(payload) > dump.MAX_PATH):
        raise _RefusedError(f"a target of {len(payload)} bytes, or with a NUL")
    measured = None
    if kind == stat.S_IFREG:
        measured = _measured(size, content, digest)
    elif kind == stat.S_IFLNK:
        size = len(payload or b"")
    else:
        size = 0
    return Entry(
        path=path,
        mode=mode,
        uid=_number(fields[4], "UID", 2**32 - 1),
        gid=_number(fields[5], "GID", 2**32 - 1),
        size=size,
        rdev=rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0,
        target=payload if kind == stat.S_IFLNK else None,
        digest=measured,
        xattrs=tuple(sorted(pair for pair in xattrs if dump.counts_for_security(pair[0]))),
    )


def _measured(size: int, content: bytes | None, digest: bytes | None) -> bytes | None:
    """The canonical fs-verity digest: as it stands there, or of the contents that do, or none."""
    if content is None and size == 0:
        content = b""
    if content is not None and len(content) != size:
        raise _RefusedError(f"CONTENT of {len(content)} bytes, SIZE says {size}")
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise _RefusedError("DIGEST is not 64 hex digits")
    stated = None if digest is None else bytes.fromhex(digest.decode())
    if content is None:
        return stated
    found = digest_bytes(content).value
    if stated not in (None, found):
        raise _RefusedError(f"DIGEST is not that of CONTENT, {found.hex()}")
    return found


def _followed(link: _Link, entries: dict[bytes, Entry], links: dict[bytes, _Link]) -> Entry:
    """The file at the end of a hard link, which may lead over others."""
    seen = {link.path}
    target = link.target
    while target in links and target not in seen:
        seen.add(target)
        target = links[target].target
    found = None if target in seen else entries.get(target)
    if found is None or stat.S_ISDIR(found.mode):
        raise _bad(link.number, link.path, "a hard link that leads to no file")
    return found


def _unescape(field: bytes) -> bytes:
    def one(match: re.Match[bytes]) -> bytes:
        if match[1] is not None:
            return bytes((int(match[1], 16),))
        if match[2] is None:
            raise _RefusedError("an escape that composefs-dump(5) does not have")
        return _NAMED[match[2]]

    return _ESCAPE.sub(one, field) if b"\\" in field else field


def _optional(field: bytes) -> bytes | None:
    return None if field == b"-" else _unescape(field)


def _number(field: bytes, name: str, most: int) -> int:
    if not _DECIMAL.fullmatch(field) or int(field) > most:
        raise _RefusedError(f"{name} is not a decimal number up to {most}")
    return int(field)


def _mode(field: bytes) -> tuple[bool, int]:
    match = _MODE.fullmatch(field)
    if match is None:
        raise _RefusedError("MODE is not an octal number")
    mode = int(match[2], 8)
    if not dump.is_mode(mode):
        raise _RefusedError("MODE has no known file type, or bits that no file has")
    return bool(match[1]), mode


def _xattrs(fields: list[bytes]) -> list[tuple[bytes, bytes]]:
    found: dict[bytes, bytes] = {}
    for field in fields:
        name, separator, value = field.partition(b"=")
        name = _unescape(name)
        if not separator or not name or b"\0" in name or name in found:
            raise _RefusedError("an xattr without name or value, or twice")
        if len(name) > dump.MAX_XATTR_NAME:
            raise _RefusedError(f"an xattr's name of {len(name)} bytes")
        found[name] = _unescape(value)
    return list(found.items())
