# SPDX-License-Identifier: Apache-2.0
"""Waivers in an audit: a finding that one covers is counted as waived, and shown.

A waiver covers a finding of one check on one file with one digest, on a host or on all, until it
expires (``trust.waivers``). A finding without a path, or of what is no regular file, can't be
waived. One that has expired, is not signed or can't be read is a finding itself: whoever relies on
it has to know. Waivers change what is reported, and never what is enforced.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from verity.formats.dump import printable
from verity.formats.grants import Party, Role
from verity.formats.statement import MAX_ENVELOPE, format_time
from verity.ports import places
from verity.ports.osfile import check_below, closing, read_file, translate_oserror
from verity.ports.tree import Tree, measured
from verity.values.audit import Area, AreaResult, Check, Severity, Waived
from verity.values.errors import HostError, VerityError
from verity.values.findings import Finding, Link
from verity.verbs.audit_collect import Collector
from verity.verbs.audit_host import AuditedHost

if TYPE_CHECKING:
    from verity.trust.waivers import VerifiedWaiver

CHECKS = (
    Check(
        id="waiver",
        area=Area.TRUST,
        severity=Severity.MEDIUM,
        title="each waiver is signed by the user's role policy",
    ),
    Check(
        id="waiver-expired",
        area=Area.TRUST,
        severity=Severity.LOW,
        title="no waiver has expired",
    ),
)
_SUFFIX = ".json"


@dataclass(frozen=True, kw_only=True)
class _Held:
    """A waiver that counts, and the file that it is in."""

    label: str
    waiver: "VerifiedWaiver"


@dataclass(frozen=True, kw_only=True)
class Applied:
    """The areas without what is waived, and that; ``own`` is what is to be said of the waivers."""

    areas: tuple[AreaResult, ...]
    waived: tuple[Waived, ...]
    own: AreaResult


def apply(
    host: AuditedHost, host_id: str, areas: Sequence[AreaResult], named: Sequence[Path]
) -> Applied:
    """Move what a waiver covers, those of the host and those that are ``named``.

    Raises HostError for one that is named and can't be read.
    """
    found = Collector(Area.TRUST, CHECKS)
    held = _load(host, found, named)
    used: set[str] = set()
    waived: list[Waived] = []
    left = []
    for area in areas:
        kept = []
        for finding in area.findings:
            by = _covering(host, host_id, finding, held)
            if by is None:
                kept.append(finding)
                continue
            used.add(by.label)
            waived.append(
                Waived(
                    finding=finding,
                    reason=by.waiver.waiver.reason,
                    signers=tuple(sorted(key.key_id for key in by.waiver.signers.values())),
                    expires=by.waiver.waiver.expires,
                )
            )
        left.append(replace(area, findings=tuple(kept)))
    found.notes += [
        f"{one.label}: it covers no finding of this audit" for one in held if one.label not in used
    ]
    if held:
        found.counts["waivers"] = len(held)
    return Applied(areas=tuple(left), waived=tuple(waived), own=found.result())


def _load(host: AuditedHost, found: Collector, named: Sequence[Path]) -> list[_Held]:
    """Those that verify and haven't expired; the others are findings."""
    files = [(str(path), read_file(path, max_size=MAX_ENVELOPE)) for path in named]
    folder = host.root / places.WAIVERS
    for name in _names(folder, found):
        try:
            check_below(host.root, places.WAIVERS / name)
            files.append((str(folder / name), read_file(folder / name, max_size=MAX_ENVELOPE)))
        except VerityError as error:
            found.error("waiver", error, Link.SIGNATURE, str(folder / name))
    if not files:
        found.skip("there are no waivers", *(check.id for check in CHECKS))
        return []
    from verity.trust.waivers import verify_waiver  # here: most hosts have none

    try:
        if host.roots is None or host.roots.unknown is not None:
            raise HostError("no-keyring", "whose signature counts isn't known: see the keyrings")
        trusted = host.roots.of(Role.POLICY, Party.USER)
    except VerityError as error:
        for label, _ in files:
            found.gap("waiver", label, error.message, error.hint or "")
        return []
    held = []
    for label, data in files:
        try:
            one = verify_waiver(data, trusted)
        except VerityError as error:
            found.error("waiver", error, Link.SIGNATURE, label, "have it signed, or remove it")
            continue
        if one.expired(host.now):
            found.add(
                "waiver-expired",
                Link.STATEMENT,
                label,
                f"the waiver for {printable(one.waiver.path)} has expired, so it covers nothing",
                expected=f"a time before {format_time(one.waiver.expires)}",
                found=format_time(host.now),
                remedy="mend what it waived, or have a new one signed; then remove this one",
            )
            continue
        held.append(_Held(label=label, waiver=one))
    return held


def _names(folder: Path, found: Collector) -> list[str]:
    try:
        return sorted(one.name for one in folder.iterdir() if one.name.endswith(_SUFFIX))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        problem = translate_oserror(error, str(folder))
        found.gap("waiver", str(folder), problem.message, problem.hint or "")
        return []


def _covering(
    host: AuditedHost, host_id: str, finding: Finding, held: Sequence[_Held]
) -> _Held | None:
    path = finding.path
    asked = [
        one
        for one in held
        if (one.waiver.waiver.check, one.waiver.waiver.path) == (finding.check, path)
    ]
    if not asked or path is None:
        return None
    digest = _digest(host.root, path)
    for one in asked:
        if digest is not None and one.waiver.covers(
            host=host_id, check=finding.check, path=path, digest=digest, now=host.now
        ):
            return one
    return None


def _digest(root: Path, path: bytes) -> bytes | None:
    """The digest of a file as it is now; None if it isn't there or no regular file."""
    try:
        with Tree(root) as tree, closing(tree.open(path)) as fd:
            return measured(fd, path).digest
    except VerityError:
        return None  # then no waiver covers it, and the finding stays
