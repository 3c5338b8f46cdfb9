# SPDX-License-Identifier: Apache-2.0
"""Three states of /etc held against each other: the vendor's default, the signed, what is there.

Pure: takes entries by path, reads nothing. Frames (what leads to a home) are equal by making.
"""

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from verity.formats.dump import Entry
from verity.verbs.audit_files_compare import metadata_differences

Entries = Mapping[bytes, Entry]


class Change(StrEnum):
    """What happened to a file from one state to the other."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class Vendor(StrEnum):
    """How the vendor's default stands to the two."""

    UNKNOWN = "unknown"
    NOT_THERE = "not there"
    AS_SIGNED = "as signed"
    AS_NOW = "as now"
    ANOTHER = "another"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One file that isn't as signed. ``what`` names the aspects that differ."""

    path: bytes
    change: Change
    what: tuple[str, ...]
    vendor: Vendor
    default: Entry | None
    signed: Entry | None
    now: Entry | None


def differences(signed: Entries, now: Entries, vendor: Entries | None) -> Iterator[Difference]:
    """Every file that isn't as signed, sorted by path; ``vendor`` is None without a default."""
    for path in sorted(signed.keys() | now.keys()):
        due, found = signed.get(path), now.get(path)
        if due != found:
            default = None if vendor is None else vendor.get(path)
            change, what = _change(due, found)
            yield Difference(
                path=path,
                change=change,
                what=what,
                vendor=Vendor.UNKNOWN if vendor is None else _stands(default, due, found),
                default=default,
                signed=due,
                now=found,
            )


def from_vendor(vendor: Entries, signed: Entries, now: Entries) -> Iterator[Difference]:
    """Every file whose signed state isn't the vendor's default, and how it differs from that."""
    for path in sorted(vendor.keys() | signed.keys()):
        default, due, found = vendor.get(path), signed.get(path), now.get(path)
        if default != due:
            change, what = _change(default, due)
            yield Difference(
                path=path,
                change=change,
                what=what,
                vendor=_stands(default, due, found),
                default=default,
                signed=due,
                now=found,
            )


def _change(before: Entry | None, after: Entry | None) -> tuple[Change, tuple[str, ...]]:
    if before is None:
        return Change.ADDED, ()
    if after is None:
        return Change.REMOVED, ()
    return Change.CHANGED, aspects(before, after)


def aspects(due: Entry, found: Entry) -> tuple[str, ...]:
    """The names of what differs between two entries of one path."""
    if stat.S_IFMT(due.mode) != stat.S_IFMT(found.mode):
        return ("type",)
    names = [name for name, _, _ in metadata_differences(due, found)]
    if due.digest != found.digest:
        names.insert(0, "content")
    return tuple(names)


def _stands(default: Entry | None, due: Entry | None, found: Entry | None) -> Vendor:
    if default is None:
        return Vendor.NOT_THERE
    if default == due:
        return Vendor.AS_SIGNED
    return Vendor.AS_NOW if default == found else Vendor.ANOTHER
