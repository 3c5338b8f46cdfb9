# SPDX-License-Identifier: Apache-2.0
"""What the gate is told of a policy: the document -> the values of the blob ``policy``.

It follows from the document alone, so whoever has both can tell whether they belong together.

1. The gate has no patterns: a guarded path stands for a tree, or, with one ``*`` at its end, for
   what begins so. Of several that match the longest counts, while in a policy the last one does; so
   a later line takes the earlier ones below it out of the table.
2. A line with another pattern is left out, and the gate asks there what it would without it: more,
   never less. Where that would be less, for any path that the pattern can match, it is refused.
3. /etc/verity is always signed.

Interpreters and links are not in it: grants say both.
"""

import os
from dataclasses import dataclass
from typing import NoReturn

from verity.formats import kernel_guarded
from verity.formats.etc_rules import ALWAYS_SIGNED, FileClass
from verity.formats.gate_status import Reason
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match
from verity.formats.kernel_policy import ActSet, KernelPolicy, UnlockLimit
from verity.formats.policy import (
    REACTIONS,
    Group,
    Guard,
    Policy,
    Reaction,
    Reacts,
    StreamLine,
    Unlock,
    Unprivileged,
)
from verity.values.errors import ContentError

_ALL = 2**64 - 1
_SLASH = ord("/")
_CLASS = {one: GuardedClass[one.name] for one in FileClass}
_STRICTNESS = {
    GuardedClass.SIGNED: 2,
    GuardedClass.MUTABLE: 1,
    GuardedClass.PRODUCED: 1,
    GuardedClass.IGNORED: 0,
}


@dataclass(frozen=True, kw_only=True)
class Table:
    """The guarded paths as the gate has them, and the lines that it can't be told."""

    guarded: tuple[Guarded, ...]
    left_out: tuple[Guard, ...]


def project(policy: Policy) -> KernelPolicy:
    """The blob's values. Raises ContentError (``bad-policy``) for what the gate can't hold."""
    observed = {REACTIONS[one.to] for one in policy.of(Reacts) if one.reaction is Reaction.OBSERVE}
    unprivileged = sum(one.capabilities for one in policy.of(Unprivileged))
    if not policy.of(StreamLine):
        _refuse("policy: no streams, so nothing could be granted", hint="[[stream]] or --stream")
    return KernelPolicy(
        mode=policy.mode,
        serial=policy.serial,
        issued=policy.issued,
        expires=policy.expires,
        privileged_caps=_ALL & ~unprivileged,
        groups=tuple(sorted(one.gid for one in policy.of(Group))),
        streams=tuple(sorted(one.stream for one in policy.of(StreamLine))),
        observed=frozenset(one for one in observed if isinstance(one, Reason)),
        observed_acts=ActSet(sum(one for one in observed if isinstance(one, ActSet))),
        unlock=tuple(
            sorted(
                UnlockLimit(scope=one.scope, seconds=one.seconds, owners=one.owners)
                for one in policy.of(Unlock)
                if one.seconds
            )
        ),
        guarded=table(policy).guarded,
    )


def table(policy: Policy) -> Table:
    """The guarded paths in the gate's terms. Raises ContentError (``bad-policy``)."""
    entries: dict[bytes, Guarded] = {}
    left_out: list[Guard] = []
    for line in policy.of(Guard):
        path, match = _literal(line.path)
        if match is None:
            if _is_lost(line, path, entries):
                left_out.append(line)
            continue
        around = _longest(entries, path)
        new = Guarded(
            path=path,
            file_class=_CLASS[line.file_class],
            match=match,
            required=line.required,
        )
        _put(entries, new, line)
        if line.file_class is FileClass.IGNORED and around is None:
            del entries[path]  # nothing is asked of it where nothing is asked around it
    around = _longest(entries, ALWAYS_SIGNED)
    always = Guarded(
        path=ALWAYS_SIGNED,
        file_class=GuardedClass.SIGNED,
        match=Match.TREE,
        required=around is not None and around.required,
    )
    _put(entries, always, None)
    if len(entries) > kernel_guarded.MAX_GUARDED:
        _refuse(
            f"policy: {len(entries)} guarded paths, the gate holds {kernel_guarded.MAX_GUARDED}",
            hint="name directories in place of the files in them",
        )
    return Table(guarded=tuple(sorted(entries.values())), left_out=tuple(left_out))


def _literal(pattern: str) -> tuple[bytes, Match | None]:
    """The bytes before the first wildcard, and what they stand for; None: not the pattern."""
    first = min((pattern.find(char) for char in "*?" if char in pattern), default=-1)
    if first < 0:
        return pattern.encode("utf-8"), Match.TREE
    exact = first == len(pattern) - 1 and pattern.endswith("*")
    return pattern[:first].encode("utf-8"), Match.PREFIX if exact else None


def _covers(entry: Guarded, path: bytes) -> bool:
    if entry.match is Match.PREFIX:
        return path.startswith(entry.path)
    return path == entry.path or path.startswith(entry.path + b"/")


def _longest(entries: dict[bytes, Guarded], path: bytes) -> Guarded | None:
    found = [one for one in entries.values() if _covers(one, path)]
    return max(found, key=lambda one: len(one.path), default=None)


def _put(entries: dict[bytes, Guarded], new: Guarded, line: Guard | None) -> None:
    before = entries.get(new.path)
    if before is not None and before.match is Match.PREFIX and new.match is Match.TREE:
        name = ALWAYS_SIGNED.decode() if line is None else f"{line.origin}: {line.path}"
        _refuse(
            f"{name}: another line has the same with a * behind it; the gate can't have both",
            hint="name the paths that are meant by the *",
        )
    for path in [one.path for one in entries.values() if _covers(new, one.path)]:
        del entries[path]
    entries[new.path] = new


def _is_lost(line: Guard, literal: bytes, entries: dict[bytes, Guarded]) -> bool:
    """Whether leaving a pattern out changes what is asked; refused if it would ask less."""
    # Each path that the pattern matches goes on behind the literal, so a tree of that name is not
    # around it.
    around = _longest(entries, literal + b"\xff")
    below = [one for one in entries.values() if one.path.startswith(literal)]
    instead = [around, *(one for one in below if one is not around and _meets(line.path, one))]
    for one in instead:
        if _STRICTNESS[_class(one)] < _STRICTNESS[_CLASS[line.file_class]]:
            name = "nothing" if one is None else one.path.decode("utf-8", "replace")
            _refuse(
                f"{line.origin}: {line.path}: the gate has no such patterns, and in its place"
                f" {name} would count, which is looser",
                hint=f"name the paths that have to be {line.file_class}",
            )
        if line.required and not (one is not None and one.required):
            _refuse(
                f"{line.origin}: {line.path}: the gate has no such patterns, and can't require what"
                " they match",
                hint="name the paths that have to stay, or the directory that they are in",
            )
    return any(
        _class(one) is not _CLASS[line.file_class]
        or (one is not None and one.required) is not line.required
        for one in instead
    )


def _class(entry: Guarded | None) -> GuardedClass:
    """What is asked where this entry counts; nothing where there is none."""
    return GuardedClass.IGNORED if entry is None else entry.file_class


def _meets(pattern: str, entry: Guarded) -> bool:
    """Whether a pattern, or what is below what it matches, can be a path that the entry covers."""
    tokens = os.fsencode(pattern)
    places = _behind_stars(tokens, {0})
    path = entry.path if entry.match is Match.PREFIX else entry.path + b"/"
    for char in path:
        if char == _SLASH and len(tokens) in places:
            return True  # it matches this directory, or the tree's own path
        moved = {at for at in places if tokens[at : at + 1] == b"*" and char != _SLASH}
        moved |= {
            at + 1
            for at in places
            if tokens[at : at + 1] == bytes([char])
            or (tokens[at : at + 1] == b"?" and char != _SLASH)
        }
        places = _behind_stars(tokens, moved)
    return bool(places)


def _behind_stars(tokens: bytes, places: set[int]) -> set[int]:
    """The places in a pattern, and those behind stars that stand for nothing."""
    found = set(places)
    for at in sorted(places):
        while tokens[at : at + 1] == b"*":
            at += 1
            found.add(at)
    return found


def _refuse(reason: str, *, hint: str) -> NoReturn:
    raise ContentError("bad-policy", reason, hint=hint)
