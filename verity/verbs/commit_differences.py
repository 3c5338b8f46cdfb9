# SPDX-License-Identifier: Apache-2.0
"""What differs between the signed manifest and a commit's tree, and between grants and what is due.

A finding names the file, the field and both values. Nothing is read here, and nothing is judged:
any difference is a finding.
"""

import stat
from collections.abc import Iterable, Iterator, Set

from verity.formats import dump, grant_limits
from verity.formats.dump import Entry, printable
from verity.formats.grant_rules import Earned
from verity.formats.grants import CodeEntry, ConfigEntry, ElevateEntry, Grants
from verity.values.findings import Finding, Link

_NONE = "none"


def of_manifest(
    signed: tuple[Entry, ...], tree: tuple[Entry, ...], skip: Set[bytes]
) -> list[Finding]:
    """Each field of each path that the signed manifest has otherwise than the commit's tree."""
    if signed == tree:
        return []
    expected = {entry.path: entry for entry in signed}
    there = {entry.path: entry for entry in tree}
    return [
        Finding(
            check="manifest-differs",
            link=Link.MANIFEST,
            object=printable(path),
            path=path,
            problem=f"{field}: the signed manifest and the commit's tree disagree",
            expected=one,
            found=other,
            remedy="the commit was not signed as it is: have it signed anew",
        )
        for path in sorted(expected.keys() | there.keys())
        if path not in skip
        for field, one, other in fields(expected.get(path), there.get(path))
    ]


def fields(due: Entry | None, found: Entry | None) -> Iterator[tuple[str, str, str]]:
    """The fields that differ: name, value due, value found, both as a manifest spells them."""
    if due == found:
        return
    if due is None or found is None:
        yield "path", _there(due), _there(found)
        return
    for name, one, other in (
        ("type", _type(due), _type(found)),
        ("mode", f"{stat.S_IMODE(due.mode):04o}", f"{stat.S_IMODE(found.mode):04o}"),
        ("uid", str(due.uid), str(found.uid)),
        ("gid", str(due.gid), str(found.gid)),
        ("size", str(due.size), str(found.size)),
        ("device", str(due.rdev), str(found.rdev)),
        ("target", _bytes(due.target), _bytes(found.target)),
        ("digest", _hex(due.digest), _hex(found.digest)),
    ):
        if one != other:
            yield name, one, other
    ours, theirs = dict(due.xattrs), dict(found.xattrs)
    for xattr in sorted(ours.keys() | theirs.keys()):
        if ours.get(xattr) != theirs.get(xattr):
            yield f"xattr {printable(xattr)}", _bytes(ours.get(xattr)), _bytes(theirs.get(xattr))


def _there(entry: Entry | None) -> str:
    return "no such file" if entry is None else dump.line(entry).decode("ascii").rstrip("\n")


def _type(entry: Entry) -> str:
    return f"{stat.S_IFMT(entry.mode):o}"


def _bytes(value: bytes | None) -> str:
    return _NONE if value is None else printable(value)


def _hex(value: bytes | None) -> str:
    return _NONE if value is None else value.hex()


def of_grants(
    given: Grants, due: Earned, manifest: tuple[Entry, ...], unknown: Set[bytes]
) -> list[Finding]:
    """Each entry of the grants that manifest and contents earn otherwise.

    A file that could not be read (its path is ``unknown``) is reported as such, and what its
    contents earn is not judged.
    """
    paths: dict[bytes, bytes] = {}
    for entry in manifest:
        if entry.digest is not None:
            paths.setdefault(entry.digest, entry.path)
    untold = {entry.digest for entry in manifest if entry.path in unknown}
    found = []
    for table, one, other in (
        ("code", _code(due.code), _code(given.code)),
        ("elevate", _elevate(due.elevate), _elevate(given.elevate)),
    ):
        for digest in sorted((one.keys() | other.keys()) - untold):
            if one.get(digest) != other.get(digest):
                path = paths.get(digest)
                found.append(
                    _grant(table, path, digest, one.get(digest, ""), other.get(digest, ""))
                )
    due_config, given_config = _config(due.config), _config(given.config)
    for path in sorted((due_config.keys() | given_config.keys()) - unknown):
        due_here, given_here = due_config.get(path, ""), given_config.get(path, "")
        if due_here != given_here:
            found.append(_grant("config", path, b"", due_here, given_here))
    return found


def jit_notes(given: Grants, entries: Iterable[Entry]) -> list[str]:
    """What the grants loosen by a policy's word, which is in no file: each by name."""
    return [
        f"granted executable memory without a file (jit): {path}"
        for path in grant_limits.jit_paths(given, entries)
    ]


def _code(entries: Iterable[CodeEntry]) -> dict[bytes, str]:
    return {entry.digest: f"flags {entry.flags:d}" for entry in entries}


def _elevate(entries: Iterable[ElevateEntry]) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    for entry in entries:
        text = (
            f"set bits {entry.set_bits:o} uid {entry.uid} gid {entry.gid}"
            f" capabilities {entry.capabilities:x}"
        )
        found[entry.digest] = "; ".join(filter(None, (found.get(entry.digest), text)))
    return found


def _config(entries: Iterable[ConfigEntry]) -> dict[bytes, str]:
    return {
        entry.path: (
            f"link to {printable(entry.target)}"
            if entry.target
            else f"file sha256:{entry.digest.hex()}"
        )
        for entry in entries
    }


def _grant(table: str, path: bytes | None, digest: bytes, due: str, given: str) -> Finding:
    return Finding(
        check="grants-differ",
        link=Link.GRANTS,
        object=printable(path) if path is not None else f"digest {digest.hex()}",
        path=path,
        problem=f"{table}: the grants are not what manifest and contents earn"
        + (f" (digest {digest.hex()})" if digest and path is not None else ""),
        expected=due or "no entry",
        found=given or "no entry",
        remedy="have the commit signed anew with `verity commit sign`",
    )
