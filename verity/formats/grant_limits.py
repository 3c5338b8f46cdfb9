# SPDX-License-Identifier: Apache-2.0
"""What a manifest alone says about the grants beside it: what they can't be, whatever the files.

A signer holds manifest and grants, and no file. From the manifest follow the digests that may be
granted at all, which of them can run or are modules, every elevation, and every configuration
path. Whether a program really is an ELF file or a script is in its first bytes: that is left to
``grant_rules.earned``, which those ask who hold the tree. Which programs are listed as interpreter
or jit is in no file: a signer is shown the latter by name.
"""

from collections.abc import Iterable, Sequence
from typing import NoReturn

from verity.formats import grant_rules
from verity.formats.dump import Entry, printable
from verity.formats.grants import Code, ConfigEntry, ConfigKind, ElevateEntry, Grants, Role
from verity.values.errors import ContentError

_EXECUTE = 0o111


def check(grants: Grants, entries: Sequence[Entry]) -> None:
    """Refuse grants (``grants-differ``) that no contents of these files would earn.

    1. Every granted digest is a file's, and may have each of its flags.
    2. Elevations are exactly those of the files that are granted to run.
    3. Every granted configuration path is there, as it is granted.
    """
    # 1. Digests and flags.
    flags = {entry.digest: entry.flags for entry in grants.code}
    allowed: dict[bytes, Code] = {}
    for entry in entries:
        if entry.digest is not None:
            allowed[entry.digest] = allowed.get(entry.digest, Code(0)) | _possible(entry)
    modules = {digest for digest, code in allowed.items() if code & Code.MODULE}
    for digest, code in flags.items():
        if digest not in allowed:
            _refuse(f"code for the digest {digest.hex()}, which no file of the manifest has")
        possible = allowed[digest] & (~grant_rules.LISTED | grant_rules.may_be_listed(code))
        if code & ~possible:
            _refuse(f"flags {int(code)} for {digest.hex()}, {int(possible)} are possible")
    for digest in modules if grants.role is Role.OS else ():
        if not flags.get(digest, Code(0)) & Code.MODULE:
            _refuse(f"the kernel module {digest.hex()} is not granted as one")
    # 2. Elevations.
    due = set(elevations(flags, entries))
    if due != set(grants.elevate):
        _refuse(
            f"{len(set(grants.elevate) - due)} elevations that no file has, and"
            f" {len(due - set(grants.elevate))} missing"
        )
    # 3. Configuration.
    there = {entry.path: entry for entry in entries} if grants.config else {}
    for item in grants.config:
        if not _as_granted(item, there.get(item.path)):
            _refuse(f"configuration {printable(item.path)}, which is not so in the manifest")


def elevations(flags: dict[bytes, Code], entries: Iterable[Entry]) -> list[ElevateEntry]:
    """How the files that have these flags raise privileges."""
    found = (elevation(flags, entry) for entry in entries)
    return [item for item in found if item is not None]


def elevation(flags: dict[bytes, Code], entry: Entry) -> ElevateEntry | None:
    """How one file would raise privileges, or None."""
    if entry.digest is None or not entry.mode & _EXECUTE:
        return None
    return grant_rules.elevation_of(entry, flags.get(entry.digest, Code(0)))


def jit_paths(grants: Grants, entries: Iterable[Entry]) -> tuple[str, ...]:
    """Every file that may have executable memory without a file, as paths are printed.

    It loosens, and no file says so: whoever signs or verifies is told, whatever policy they have.
    """
    digests = {one.digest for one in grants.code if one.flags & Code.JIT}
    return tuple(printable(entry.path) for entry in entries if entry.digest in digests)


def _possible(entry: Entry) -> Code:
    """All flags that the file might earn: without contents, it might be anything."""
    code = Code.LIBRARY
    if entry.mode & _EXECUTE:
        code |= grant_rules.RUNS | grant_rules.LISTED
    if grant_rules.is_module(entry):
        code |= Code.MODULE
    return code


def _as_granted(item: ConfigEntry, entry: Entry | None) -> bool:
    if entry is None:
        return False
    if item.kind is ConfigKind.FILE:
        return entry.digest == item.digest
    return entry.target == item.target


def _refuse(reason: str) -> NoReturn:
    raise ContentError(
        "grants-differ",
        f"grants: {reason}",
        hint="whoever prepared this granted something else than the manifest says: don't sign it",
    )
