# SPDX-License-Identifier: Apache-2.0
"""The manifest: our canonical profile of composefs-dump(5), bytes <-> entries.

``parse`` accepts exactly what ``serialise`` writes: an entry has one spelling, a tree one
manifest. Whatever else a composefs tool may write (another order, real times, other escapes) is
refused with line number and reason. Nothing here touches a file or a digest's meaning.

There are two readers. ``_read_carefully`` says what a manifest is, line by line, and what is wrong
with one. ``_read_quickly`` takes most lines by one pattern, and leaves what it doesn't take to the
other: it takes nothing that the other would refuse or read otherwise (a test compares them).

The byte-exact description is docs/formats.md, section 2.
"""

import functools
import itertools
import operator
import re
import stat
from binascii import hexlify, unhexlify
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from verity.formats.escaped import MUST_ESCAPE, escape, escaped
from verity.formats.escaped import printable as printable
from verity.values.errors import ContentError

MAX_SIZE = 256 * 2**20
MAX_ENTRIES = 2**20
"""An entry takes some 300 bytes of memory: without this, the smallest lines would take 2.5 GB."""
MAX_LINE = 64 * 2**10
MAX_PATH = 4095  # of Linux: PATH_MAX without the NUL; a symlink's target, too
MAX_XATTR_NAME = 255
_MAX_ID = 2**32 - 1
_MAX_MODE = 0o177777

_MUST_ESCAPE_NAME = re.compile(rb"[^\x21-\x3c\x3e-\x5b\x5d-\x7e]")
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,19}")
_OCTAL = re.compile(rb"[1-7][0-7]{0,6}")
_HEX_DIGEST = re.compile(rb"[0-9a-f]{64}")

_BAD_COMPONENT = re.compile(rb"/(?:\.{0,2}(?:/|\Z)|[^/]{256})", re.DOTALL)

_KNOWN_TYPES = {
    stat.S_IFREG,
    stat.S_IFDIR,
    stat.S_IFLNK,
    stat.S_IFCHR,
    stat.S_IFBLK,
    stat.S_IFIFO,
    stat.S_IFSOCK,
}


class Entry(NamedTuple):  # no dataclass: that takes four times as long to make and to compare
    """One line. ``mode`` is a whole st_mode; ``size`` and ``rdev`` are 0 unless they matter.

    ``digest`` is the canonical fs-verity digest (32 bytes) of a regular file, ``target`` the
    bytes of a symlink; both are None for everything else. Name the fields when you make one.
    """

    path: bytes
    mode: int
    uid: int
    gid: int
    size: int = 0
    rdev: int = 0
    target: bytes | None = None
    digest: bytes | None = None
    xattrs: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def is_regular(self) -> bool:
        """A regular file, the only kind with contents."""
        return stat.S_ISREG(self.mode)

    @property
    def is_directory(self) -> bool:
        """A directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_symlink(self) -> bool:
        """A symbolic link."""
        return stat.S_ISLNK(self.mode)


_PATH = operator.attrgetter("path")


def count_files(entries: Iterable[Entry]) -> int:
    """How many files there are, as every verb counts them: regular ones, by their names."""
    return sum(entry.is_regular for entry in entries)


def counts_for_security(name: bytes) -> bool:
    """Whether an xattr of this name stands in a manifest."""
    return (
        name
        in (
            b"security.capability",
            b"security.selinux",
            b"system.posix_acl_access",
            b"system.posix_acl_default",
        )
        or name.startswith(b"user.")
    ) and name != b"user.ostreemeta"


def is_mode(mode: int) -> bool:
    """Whether this is a whole st_mode: a known file type, and no bits above it."""
    # S_IFMT looks at four bits and lets all above them through.
    return mode <= _MAX_MODE and stat.S_IFMT(mode) in _KNOWN_TYPES


def line(entry: Entry, *, payload: bytes | None = None) -> bytes:
    """One entry as its line, LF included. The entry is expected to be valid.

    ``payload`` is for composefs: where the contents of a regular file lie. No manifest has it.
    """
    place = entry.target if payload is None else payload
    xattrs = b""
    for name, value in entry.xattrs:
        xattrs += b" %b=%b" % (
            _MUST_ESCAPE_NAME.sub(escaped, name),
            MUST_ESCAPE.sub(escaped, value),
        )
    return b"%b %d %o 1 %d %d %d 0.0 %b - %b%b\n" % (
        escape(entry.path),
        entry.size,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.rdev,
        b"-" if place is None else escape(place),
        b"-" if entry.digest is None else hexlify(entry.digest),
        xattrs,
    )


def serialise(entries: Iterable[Entry]) -> bytes:
    """The manifest of these entries, sorted here; refuses what no manifest may hold."""
    data = b"".join(map(line, sorted(entries, key=_PATH)))
    parse(data)  # the writer is held to the reader's rules: nothing else is ever signed
    return data


@functools.lru_cache(maxsize=2)
def parse(data: bytes) -> tuple[Entry, ...]:
    """Read a canonical manifest; the same bytes as lately give the same entries.

    Who writes one parses it, and who verifies it does again: in one process that is the same work.

    Raises ContentError (``bad-manifest``) with the line number and the reason, and for too many
    lines ``too-many-entries``, before any is looked at.
    """
    if len(data) > MAX_SIZE:
        raise ContentError(
            "bad-manifest", f"manifest: {len(data)} bytes, at most {MAX_SIZE} are allowed"
        )
    if not data.endswith(b"\n"):
        raise ContentError("bad-manifest", "manifest: empty, or without a final newline")
    lines = data.count(b"\n")
    if lines > MAX_ENTRIES:
        raise ContentError(
            "too-many-entries",
            f"manifest: {lines} entries, at most {MAX_ENTRIES} are allowed",
            hint="sign the tree in parts, each with a stream of its own",
        )
    entries = _read_quickly(data)
    return _read_carefully(data) if entries is None else entries


# What nearly every line is: a regular file without escapes and xattrs, so that its spelling is
# canonical if this matches, and its path, but for the length, as _check_path wants it. The other
# alternative takes any line, so that no byte of the data is passed over.
_LINE = re.compile(
    rb"(?:((?:/(?!\.\.?[/ ])[!-.0-\x5b\x5d-~]{1,255})+) (0|[1-9][0-9]{0,17})"
    rb" (10[0-7]{4} 1 (?:0|[1-9][0-9]{0,8}) (?:0|[1-9][0-9]{0,8})) 0 0\.0 - - ([0-9a-f]{64})"
    rb"|([^\n]*))\n"
)
_PART = 1 << 20  # bytes whose lines are in memory, cut into fields, at once


def _read_quickly(data: bytes) -> tuple[Entry, ...] | None:
    """The entries; None if ``_read_carefully`` has to look closer, and may refuse."""
    entries: list[Entry] = []
    owners: dict[bytes, tuple[int, int, int]] = {}
    new, start = tuple.__new__, 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + _PART) + 1
        if not end:
            return None
        for path, size, owner, digest, other in _LINE.findall(data, start, end):
            if not owner:
                entry = _canonical(other)
                if entry is None:
                    return None
                entries.append(entry)
                continue
            known = owners.get(owner)
            if known is None:
                mode, _, uid, gid = owner.split(b" ")
                known = owners[owner] = int(mode, 8), int(uid), int(gid)
            mode, uid, gid = known
            # Past Entry.__new__, which takes half of the time.
            entries.append(
                new(Entry, (path, mode, uid, gid, int(size), 0, None, unhexlify(digest), ()))
            )
        start = end
    paths = list(map(_PATH, entries))
    directories = {entry.path for entry in entries if stat.S_ISDIR(entry.mode)}
    if (
        max(map(len, paths)) <= MAX_PATH
        and all(map(operator.lt, paths, itertools.islice(paths, 1, None)))
        # In the end the parent is /, which has itself for a parent, and sorts first.
        and {path[: path.rindex(b"/")] or b"/" for path in paths} <= directories
    ):
        return tuple(entries)
    return None


def _canonical(text: bytes) -> Entry | None:
    """The entry of one line; None if it has none, or another spelling."""
    if len(text) > MAX_LINE:
        return None
    try:
        entry = _entry(text)
    except _RefusedError:
        return None
    return entry if line(entry)[:-1] == text else None


def _read_carefully(data: bytes) -> tuple[Entry, ...]:
    """The entries, one line after another; what is refused is named."""
    entries: list[Entry] = []
    directories: set[bytes] = set()
    previous = b""
    for number, text in enumerate(_lines(data), 1):
        try:
            entry = _entry(text)
            path = entry.path
            if number == 1:
                if path != b"/" or not stat.S_ISDIR(entry.mode):
                    raise _RefusedError("the first entry must be the directory /")
            else:
                if path == previous:
                    raise _RefusedError("the path stands there twice")
                if path < previous:
                    raise _RefusedError("not sorted by path")
                parent = path[: path.rindex(b"/")] or b"/"
                if parent not in directories:
                    raise _RefusedError(f"its parent {printable(parent)} is no directory above it")
            if line(entry)[:-1] != text:
                raise _RefusedError("not in the canonical spelling")
        except _RefusedError as refused:
            raise ContentError(
                "bad-manifest",
                f"manifest line {number} ({_excerpt(text)}): {refused}",
                hint="only the canonical profile of docs/formats.md section 2 is accepted",
            ) from None
        if stat.S_ISDIR(entry.mode):
            directories.add(path)
        previous = path
        entries.append(entry)
    return tuple(entries)


class _RefusedError(Exception):
    """Why one line is refused; ``parse`` adds its number."""


def _excerpt(text: bytes) -> str:
    return printable(text[:60].split(b" ")[0])


def _lines(data: bytes) -> Iterator[bytes]:
    start = 0
    number = 0
    while start < len(data):
        number += 1
        end = data.index(b"\n", start)
        if end - start > MAX_LINE:
            raise ContentError(
                "bad-manifest",
                f"manifest line {number}: {end - start} bytes, at most {MAX_LINE} are allowed",
            )
        yield data[start:end]
        start = end + 1


def _unescape(field: bytes) -> bytes:
    if b"\\" not in field:
        return field
    return _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), field)


def _number(field: bytes, name: str, most: int) -> int:
    if not _NUMBER.fullmatch(field) or int(field) > most:
        raise _RefusedError(f"{name} is not a decimal number up to {most}")
    return int(field)


def _entry(text: bytes) -> Entry:
    fields = text.split(b" ")
    if len(fields) < 11:
        raise _RefusedError(f"{len(fields)} fields, expected 11 and xattrs")
    path = _unescape(fields[0])
    _check_path(path)
    if not _OCTAL.fullmatch(fields[2]):
        raise _RefusedError("MODE is not an octal number")
    mode = int(fields[2], 8)
    kind = stat.S_IFMT(mode)
    if not is_mode(mode):
        raise _RefusedError("MODE has no known file type, or bits that no file has")
    for index, name, fixed in ((3, "NLINK", b"1"), (7, "MTIME", b"0.0"), (9, "CONTENT", b"-")):
        if fields[index] != fixed:
            raise _RefusedError(f"{name} must be {fixed.decode()}")
    size = _number(fields[1], "SIZE", 2**63 - 1)
    rdev = _number(fields[6], "RDEV", 2**64 - 1)
    if rdev and kind not in (stat.S_IFCHR, stat.S_IFBLK):
        raise _RefusedError("RDEV on something that is no device")
    target = digest = None
    if kind == stat.S_IFLNK:
        target = _unescape(fields[8])
        if fields[8] == b"-" or not target or b"\0" in target:
            raise _RefusedError("a symlink needs its target as PAYLOAD")
        if len(target) > MAX_PATH:
            raise _RefusedError(f"a target of {len(target)} bytes, at most {MAX_PATH} are allowed")
        if size != len(target):
            raise _RefusedError("SIZE of a symlink is the length of its target")
    elif fields[8] != b"-":
        raise _RefusedError("PAYLOAD must be - for anything but a symlink")
    if kind == stat.S_IFREG:
        if not _HEX_DIGEST.fullmatch(fields[10]):
            raise _RefusedError(
                "a regular file needs its fs-verity digest, 64 lower-case hex digits"
            )
        digest = bytes.fromhex(fields[10].decode())
    elif fields[10] != b"-":
        raise _RefusedError("DIGEST must be - for anything but a regular file")
    if size and kind not in (stat.S_IFREG, stat.S_IFLNK):
        raise _RefusedError("SIZE must be 0 for anything but a regular file or a symlink")
    return Entry(
        path=path,
        mode=mode,
        uid=_number(fields[4], "UID", _MAX_ID),
        gid=_number(fields[5], "GID", _MAX_ID),
        size=size,
        rdev=rdev,
        target=target,
        digest=digest,
        xattrs=_xattrs(fields[11:]),
    )


def _check_path(path: bytes) -> None:
    if not path.startswith(b"/"):
        raise _RefusedError("the path is not absolute")
    if path == b"/":
        return
    if b"\0" in path or len(path) > MAX_PATH:
        raise _RefusedError(f"the path holds a NUL or is longer than {MAX_PATH} bytes")
    if _BAD_COMPONENT.search(path):
        raise _RefusedError("the path has an empty, '.', '..' or over-long component")


def _xattrs(fields: list[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    result: list[tuple[bytes, bytes]] = []
    for field in fields:
        name, separator, value = field.partition(b"=")
        name = _unescape(name)
        if (
            not separator
            or not counts_for_security(name)
            or name == b"user."
            or b"\0" in name
            or len(name) > MAX_XATTR_NAME
        ):
            raise _RefusedError("an xattr that no manifest may hold")
        if result and name <= result[-1][0]:
            raise _RefusedError("xattrs are not sorted, or one stands there twice")
        result.append((name, _unescape(value)))
    return tuple(result)


def boot_list(entries: Iterable[Entry]) -> bytes:
    """The digest list of what goes to /boot (docs/formats.md, "The boot list")."""
    return b"".join(
        b"%b %b\n" % (entry.digest.hex().encode(), escape(entry.path))
        for entry in entries
        if entry.digest is not None and _goes_to_boot(entry.path)
    )


def boot_list_of(data: bytes) -> bytes:
    """The same of a canonical manifest's bytes, of which only the lines that it needs are read."""
    lines = [
        *below(data, _BOOT[0]).splitlines(),
        *(match[0] for match in _MODULES_BOOT_LINE.finditer(below(data, _MODULES))),
        *below(data, _BOOT[1]).splitlines(),
    ]
    return boot_list(map(entry_of_line, lines))


def entry_of_line(text: bytes) -> Entry:
    """The entry of one line, without its LF, of a manifest that is known to be canonical."""
    try:
        return _entry(text)
    except _RefusedError as refused:
        raise ValueError(f"not a canonical line: {refused}") from None


def digests(data: bytes) -> set[bytes]:
    """The digest of each regular file of a canonical manifest, of which no entry is made."""
    # No other place in a line has these fields: a name and a value of an xattr stand around a =.
    return set(map(unhexlify, re.findall(rb" 0\.0 - - ([0-9a-f]{64})(?=[ \n])", data)))


def below(data: bytes, prefix: bytes) -> bytes:
    """The lines of a canonical manifest whose path begins so: nothing else sorts between them."""
    first, last = _range(data, prefix)
    return data[first:last]


def without(data: bytes, places: Iterable[bytes]) -> bytes:
    """A canonical manifest without the lines of what is below these directories."""
    for place in places:
        first, last = _range(data, place + b"/")
        if first < last:
            data = data[:first] + data[last:]
    return data


def _range(data: bytes, prefix: bytes) -> tuple[int, int]:
    size = len(prefix)
    first = _first_line(data, lambda path: path >= prefix)
    return first, _first_line(data, lambda path: path[:size] > prefix)


def _first_line(data: bytes, is_there: Callable[[bytes], bool]) -> int:
    """Where the first line begins for whose path this is so, as for all that follow; by halving."""
    low, high = 0, len(data)
    while low < high:
        start = data.rfind(b"\n", low, (low + high) // 2) + 1 or low
        if is_there(_unescape(data[start : data.index(b" ", start)])):
            high = start
        else:
            low = data.index(b"\n", start) + 1
    return low


_BOOT = (b"/boot/", b"/usr/lib/ostree-boot/")
_MODULES = b"/usr/lib/modules/"
_MODULES_BOOT = re.compile(_MODULES + rb"[^/]+/(vmlinuz|initramfs\.img|initramfs)")
_MODULES_BOOT_LINE = re.compile(rb"^" + _MODULES_BOOT.pattern + rb" .*$", re.MULTILINE)


def _goes_to_boot(path: bytes) -> bool:
    if path.startswith(_MODULES):
        return bool(_MODULES_BOOT.fullmatch(path))
    return path.startswith(_BOOT)
