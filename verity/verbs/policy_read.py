# SPDX-License-Identifier: Apache-2.0
"""The policy of a host: its drop-ins, and the signed document that counts.

Drop-ins come with the program, from /usr/lib/verity/policy.d and from /etc/verity/policy.d; the
same name replaces, a link to /dev/null masks, all names sort together. They are source: what
counts on a host is the document that its owner signed, and what isn't signed can only tighten it
(``tightened``).
"""

from dataclasses import dataclass, replace
from pathlib import Path

from verity.formats import bundle, kernel_policy, policy, policy_gate, policy_source
from verity.formats.etc_rules import DropIn, FileClass
from verity.formats.policy import (
    Group,
    Guard,
    Line,
    ModeLine,
    Policy,
    Profile,
    Reaction,
    Reacts,
    Unlock,
    Unprivileged,
)
from verity.formats.records import RecordKind
from verity.formats.statement import MAX_ENVELOPE
from verity.ports import places, policy_files
from verity.ports.osfile import is_there, read_file
from verity.trust import policy as trust_policy
from verity.trust.policy import VerifiedPolicy
from verity.trust.trusted import TrustedSet
from verity.values.errors import ContentError
from verity.verbs import policy_floor
from verity.verbs.serial_floors import HostState

BUILT_IN = "built-in"
OPTION = "--"
"""How the origin of a line begins that comes with the program, or from an option."""


@dataclass(frozen=True, kw_only=True)
class Shadowed:
    """A drop-in that doesn't count, and the one of the same name that took its place."""

    origin: str
    by: str
    masked: bool


@dataclass(frozen=True, kw_only=True)
class Source:
    """What the drop-ins of a host say. ``replaced`` are lines that later ones took the place of."""

    lines: tuple[Line, ...]
    replaced: tuple[Line, ...]
    shadowed: tuple[Shadowed, ...]
    profile: Profile


def as_one(source: Source) -> Policy:
    """The policy that drop-ins make, before it has a serial and times."""
    return Policy(serial=1, issued=0, expires=1, profile=source.profile, lines=source.lines)


def source(root: Path, profile: Profile) -> Source:
    """Read the drop-ins of a host. Raises HostError, ContentError (``bad-policy``)."""
    by_name: dict[str, DropIn] = {}
    shadowed: list[Shadowed] = []
    for place, found in (
        (None, policy_files.built_in()),
        (places.VENDOR_POLICY, policy_files.read(root / places.VENDOR_POLICY)),
        (places.OWNER_POLICY, policy_files.read(root / places.OWNER_POLICY)),
    ):
        for one in found:
            # As on the host: the same input gives the same bytes, wherever its root is.
            origin = f"{BUILT_IN}/{one.name}" if place is None else f"/{place}/{one.name}"
            before = by_name.get(one.name)
            if before is not None:
                masked = not one.data
                shadowed.append(Shadowed(origin=before.origin, by=origin, masked=masked))
            by_name[one.name] = replace(one, origin=origin)
    lines, replaced = policy.count(policy_source.parse(by_name.values()), profile)
    return Source(lines=lines, replaced=replaced, shadowed=tuple(shadowed), profile=profile)


def installed(root: Path, trusted: TrustedSet) -> VerifiedPolicy:
    """The policy that a host has, verified with the gate's blob beside it, not below its floor.

    Raises HostError (``not-found`` without one) and what ``trust.policy`` and the floors do.
    """
    found = load(root / places.POLICY, root / places.POLICY_BLOB, trusted)
    blob = kernel_policy.encode(policy_gate.project(found.policy))
    looked = policy_floor.hold(HostState.at(root), blob, trusted, label=str(root / places.POLICY))
    for finding in looked.findings:
        raise ContentError(finding.check, finding.problem, hint=finding.remedy)
    return found


def is_installed(root: Path) -> bool:
    """Whether a host has a signed policy; a link that leads nowhere is one, too."""
    return is_there(root / places.POLICY)


def load(document: Path, blob: Path | None, trusted: TrustedSet) -> VerifiedPolicy:
    """Verify the document, and the blob (a fragment of a boot bundle) if there is one."""
    found = trust_policy.verify_policy(read_file(document, max_size=MAX_ENVELOPE), trusted)
    if blob is not None:
        data = read_file(blob, max_size=bundle.MAX_SIZE)
        fragment = bundle.parse_fragment(data, label=str(blob))
        if fragment.kind is not RecordKind.POLICY:
            raise ContentError("bad-bundle", f"{blob}: it holds no policy")
        trust_policy.verify_blob(fragment.blob, fragment.signatures, found, trusted)
    return found


@dataclass(frozen=True, kw_only=True)
class Effective:
    """A signed policy with what unsigned lines tighten, and those that count for nothing."""

    policy: Policy
    tightened: tuple[Line, ...]
    ignored: tuple[Line, ...]


def tightened(signed: Policy, unsigned: Source) -> Effective:
    """What counts of both: a line that nobody signed may only ask more.

    One about something that the signed policy says nothing of counts if it is one more group that
    is privileged, or one more path that has to be signed. Every other one is ``ignored``.
    """
    keys = {(type(line), line.key): line for line in signed.lines}
    counting: dict[Line, Line] = {line: line for line in signed.lines}
    tighter: list[Line] = []
    ignored: list[Line] = []
    for line in unsigned.lines:
        before = keys.get((type(line), line.key))
        if before is not None and _says(line) == _says(before):
            continue
        adds = isinstance(line, Group) or (
            isinstance(line, Guard) and line.file_class is FileClass.SIGNED
        )
        if before is None and adds:
            counting[line] = line
        elif before is not None and _is_tighter(line, before):
            counting[before] = line
        else:
            ignored.append(line)
            continue
        tighter.append(line)
    return Effective(
        policy=replace(signed, lines=tuple(counting.values())),
        tightened=tuple(tighter),
        ignored=tuple(ignored),
    )


def _says(line: Line) -> object:
    """What a line says, without who says it and why."""
    return replace(line, reason="", origin="")


def _is_tighter(new: Line, old: Line) -> bool:
    match new, old:
        case ModeLine(mode=mode), ModeLine(mode=before):
            return mode > before
        case Reacts(reaction=reaction), Reacts(reaction=before):
            return reaction is Reaction.DENY and before is not Reaction.DENY
        case Unlock(), Unlock():
            more = new.owners >= old.owners or not new.seconds
            return new.seconds <= old.seconds and more
        case Unprivileged(capabilities=bits), Unprivileged(capabilities=before):
            return not bits & ~before
        case Group(), Group():
            return True  # the same number: only the name beside it differs
        case Guard(file_class=file_class), Guard():
            return file_class is FileClass.SIGNED
    return False


def loosened(signed: Policy, unsigned: Source) -> tuple[tuple[Line, Line], ...]:
    """Unsigned lines that would ask less than the signed one about the same, with that one.

    A default that an option of `policy compile` overrode is none of them.
    """
    keys = {(type(line), line.key): line for line in signed.lines}
    found = []
    for line in unsigned.lines:
        before = keys.get((type(line), line.key))
        if before is None or _says(line) == _says(before) or _is_tighter(line, before):
            continue
        if not (line.origin.startswith(BUILT_IN) and before.origin.startswith(OPTION)):
            found.append((line, before))
    return tuple(found)


def is_source_of(source: Source, signed: Policy) -> bool:
    """Whether the signed policy was made of these drop-ins, but for what options replaced."""
    given = {type(line) for line in signed.lines if line.origin.startswith(OPTION)}
    before, after = (
        [line for line in lines if type(line) not in given]
        for lines in (source.lines, signed.lines)
    )
    return before == after
