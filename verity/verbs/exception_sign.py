# SPDX-License-Identifier: Apache-2.0
"""lockdown exception sign: a request becomes an extension of one file.

As `extension sign`, of which it has everything but the tree: the file itself is on another machine.
What is granted is the digest that the request names, and no more than it asks for. With a copy at
hand its contents are compared; without one the digest alone is signed, and that is said.

A stream's next serial takes the place of the one before: whatever that granted ends. So where the
host has a serial already, what was signed before is either taken along or given up in so many
words.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats import exception_request, grants
from verity.formats.dump import Entry, printable
from verity.formats.exception_request import Request, words_of
from verity.formats.grant_rules import Earned, Listed, code_flags, may_be_listed
from verity.formats.grants import Code, CodeEntry, Party, Role
from verity.formats.sign_bundle import BundleKind
from verity.formats.sign_payloads import Opened
from verity.ports import tree
from verity.ports.keystore import SigningKey
from verity.ports.osfile import read_file
from verity.ports.serials import SerialRecord
from verity.ports.tree import Tree
from verity.trust.trusted import TrustedSet
from verity.values.errors import CallerError, ContentError
from verity.verbs import documents, extension_read, sign_add, sign_attach, sign_proof, sign_serials
from verity.verbs.sign_prepare import Spot


@dataclass(frozen=True, kw_only=True)
class Read:
    """A request that was read, and what two people compare."""

    request: Request
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Before:
    """What the last serial of the stream granted, verified: its files and their flags."""

    serial: int
    entries: tuple[Entry, ...]
    code: tuple[CodeEntry, ...]


@dataclass(frozen=True, kw_only=True)
class SignedException:
    """What was written. ``kept`` counts the digests that were granted before and still are."""

    stream: str
    serial: int
    kept: int
    key_ids: tuple[str, ...]
    grants_sha256: str


def read(path: Path, *, fingerprint: str | None = None, host: str | None = None) -> Read:
    """Read a request, of this host and with this fingerprint where they are given."""
    data = read_file(path, max_size=exception_request.MAX_SIZE)
    request = exception_request.parse(data)
    found = exception_request.fingerprint(data)
    if fingerprint is not None and _digits(fingerprint) != _digits(found):
        raise ContentError(
            "altered",
            f"{path}: its fingerprint is {found}, expected {fingerprint[:40]}",
            hint="this is not the request that the host printed that of: have it sent again",
        )
    if host is not None and host not in (request.host, request.name):
        raise ContentError(
            "other-host",
            f"{path}: it is of the host {request.name} ({request.host}), expected {host[:80]}",
            hint="have that host make a request of its own: streams and serials are a host's",
        )
    return Read(request=request, fingerprint=found)


def compare(request: Request, copy: Path, listed: Listed) -> None:
    """Refuse (``other-contents``) a copy that isn't the file, or isn't what it is to be used as."""
    with Tree(copy.absolute().parent) as opened:
        node = opened.read(b"/" + os.fsencode(copy.name), tree.hashed)
    wanted = request.file
    if node.contents is None or node.contents.digest != wanted.digest:
        found = "no file" if node.contents is None else f"sha256:{node.contents.digest.hex()}"
        raise ContentError(
            "other-contents",
            f"{copy}: it has the digest {found}, the request names"
            f" sha256:{(wanted.digest or b'').hex()}",
            hint="this is another file than the one that was refused",
        )
    code = code_flags(wanted, node.contents.head)
    if code != request.code:
        raise ContentError(
            "other-contents",
            f"{copy}: by its contents it is {' and '.join(words_of(code)) or 'no code'}, the"
            f" request asks for {' and '.join(words_of(request.code))}",
            hint="the request was altered, or made by another version: have it made anew",
        )
    check_listed(request, listed)


def check_listed(request: Request, listed: Listed) -> None:
    """Refuse (``beyond-role``) what the policy lists: granted by an extension it lost its flag."""
    if listed(request.file) & may_be_listed(request.code):
        raise ContentError(
            "beyond-role",
            f"{printable(request.file.path)}: a program that the policy lists as interpreter or"
            " jit, which an extension may not bring",
            hint="only the vendor's role os grants such files",
        )


def stream_of(request: Request, wanted: str | None) -> tuple[str, int]:
    """The stream and its serial on the host: the one that was named, or the only one."""
    known = dict(request.streams)
    if wanted is None and len(known) == 1:
        return request.streams[0]
    names = ", ".join(known)
    if wanted is None:
        raise CallerError(
            "bad-arguments",
            f"the host's policy names {len(known)} streams for extensions: which one is it?",
            hint=f"--stream, one of {names}; one that exceptions have for themselves is best",
        )
    if wanted not in known:
        raise CallerError(
            "bad-stream",
            f"the stream {wanted[:80]!r} is not in the policy of the host {request.name}, whose"
            " gate would refuse it",
            hint=f"it names {names}",
        )
    return wanted, known[wanted]


def load_before(folder: Path, stream: str, serial: int, keys: Sequence[SigningKey]) -> Before:
    """What was signed last, from the directory that it was written to.

    1. It verifies with the keys that sign now.
    2. It is of this stream, and no older than what the host has.
    """
    # 1. Verify.
    trusted = TrustedSet.of_keys(
        [key.public for key in keys],
        party=Party.USER,
        role=Role.EXTENSION,
        threshold=1,
        allow_example_keys=True,  # whoever opened the keys has decided
    )
    verified = extension_read.load(folder, trusted)
    granted = verified.grants.grants
    # 2. Its place.
    if granted.stream != stream or granted.serial < serial:
        raise ContentError(
            "wrong-before",
            f"{folder}: stream {granted.stream} serial {granted.serial}, but the host has serial"
            f" {serial} of the stream {stream}",
            hint="name the directory that was signed last for this stream",
        )
    return Before(
        serial=granted.serial,
        entries=verified.manifest.entries,
        code=granted.code,
    )


def sign(
    request: Request,
    spot: Spot,
    keys: Sequence[SigningKey],
    target: Path,
    *,
    state: Path | None,
    threshold: int,
    before: Before | None,
) -> SignedException:
    """Sign the request into the new directory ``target``, by all of these keys.

    1. Refuse too few keys, and a serial that the host would not take.
    2. Make the documents: what was granted before, and this file.
    3. Add a signature by each key, verify, and write all at once.
    """
    # 1. Refuse.
    sign_add.check_keys(keys, threshold=threshold)
    _, there = stream_of(request, spot.stream)
    least = max(there, before.serial if before else 0) + 1
    if spot.serial is not None and spot.serial < least:
        raise CallerError(
            "old-serial",
            f"the serial {spot.serial} of the stream {spot.stream} is in use: the host would refuse"
            f" it, expected {least} or more",
            hint="--serial auto takes the next one",
        )
    # 2. Make.
    record = None if state is None else SerialRecord.of_file(state, spot.stream)
    entries = _entries(before, request)
    tables = Earned(code=_code(before, request, entries))

    def made(serial: int) -> Opened:
        place = spot.place(BundleKind.EXTENSION, serial)
        return documents.prepare(place, entries, {}, subjects={}, tables=tables)

    def in_use(history: bool) -> tuple[tuple[int, bytes], ...]:
        """What the host and the directory have, whatever the record knows."""
        return ((least - 1, b""),)

    if spot.serial is not None:
        opened = made(spot.serial)
    elif record is None:
        opened = made(least)
    else:
        opened = sign_serials.reserve(record, in_use, made)
    # 3. Sign.
    with sign_serials.given_back(record if spot.serial is None else None, opened):
        opened = sign_add.add_all(opened, keys)
        trusted = sign_proof.trusted_set(opened, [key.public for key in keys], len(keys))
        sign_attach.extension(opened, trusted, target, state=state, reread=None)
    said = sign_serials.tree_of(opened)
    return SignedException(
        stream=said.statement.stream,
        serial=said.statement.serial,
        kept=len(tables.code) - 1,
        key_ids=tuple(key.public.key_id for key in keys),
        grants_sha256=said.statement.subjects["grants"].hex(),
    )


def _entries(before: Before | None, request: Request) -> list[Entry]:
    """The files of before, with this one in the place of an older one of its path."""
    found = {entry.path: entry for entry in before.entries} if before else {}
    for entry in request.entries:
        old = found.get(entry.path)
        if old is None or entry.is_regular:
            found[entry.path] = entry
        elif not old.is_directory:
            raise CallerError(
                "bad-arguments",
                f"{printable(entry.path)}: a file in what was signed before, and a directory here",
            )
    return [found[path] for path in sorted(found)]


def _code(
    before: Before | None, request: Request, entries: Sequence[Entry]
) -> tuple[CodeEntry, ...]:
    digests = {entry.digest for entry in entries if entry.digest is not None}
    flags: dict[bytes, Code] = {}
    for one in before.code if before else ():
        if one.digest in digests:
            flags[one.digest] = one.flags
    digest = request.file.digest or b""
    flags[digest] = flags.get(digest, Code(0)) | request.code
    return grants.sorted_code(flags)


def _digits(text: str) -> str:
    return text.replace(" ", "").replace("-", "").lower()
