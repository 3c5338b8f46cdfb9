# SPDX-License-Identifier: Apache-2.0
"""keyring check: what a version would break, looked at before it is published.

It looks at the version that waits for signatures, or at the newest, beside the one before. It
trusts nothing and grants nothing; `keyring verify` is what tells whether a version counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats import statement
from verity.formats.grants import Party, Role
from verity.formats.keyring import Keyring
from verity.formats.statement import MAX_ENVELOPE, format_time
from verity.ports.osfile import read_file
from verity.ports.ostree_repo import Repository
from verity.trust.keyring_version import read, unverified_set
from verity.trust.verified import ROLE_OF, verify_statement
from verity.values.errors import ContentError
from verity.values.findings import Finding, Link, Report
from verity.verbs import keyring_versions, signed

_DAY = 86400


@dataclass(frozen=True, kw_only=True)
class Existing:
    """The envelopes of one statement that is out there, and what to call it."""

    label: str
    envelopes: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The version that is looked at, and the one before it, if any."""

    value: Keyring
    before: Keyring | None


def candidate(directory: Path, party: Party) -> Candidate:
    """The version that waits for signatures in a directory, or else the newest."""
    source = keyring_versions.load(directory, party)
    found = keyring_versions.waiting(source)
    if found is not None:
        return Candidate(value=found[0].keyring, before=source.newest)
    value = keyring_versions.newest(source)
    before = read(source.versions[-2])[1] if len(source.versions) > 1 else None
    return Candidate(value=value, before=before)


def of_file(path: Path) -> Existing:
    """A statement in a file of its own, as `extension sign` writes it."""
    return Existing(label=str(path), envelopes=(read_file(path, max_size=MAX_ENVELOPE),))


def of_commit(repository: Repository, revision: str) -> Existing:
    """The statement of a commit."""
    checksum = repository.resolve(revision)
    return Existing(
        label=f"commit {checksum[:12]}",
        envelopes=signed.envelopes(repository.read_detached(checksum), checksum),
    )


def check(what: Candidate, existing: Sequence[Existing], *, now: int, soon_days: int) -> Report:
    """Look at a version as it would be from ``now`` (seconds since 1970).

    1. Statements that it would orphan, and those that count under no version.
    2. Roles that can't be met by keys that are valid now, or when it expires.
    3. Expiry, within ``soon_days``.
    4. A root that one owner alone can use, or that one lost key makes unusable.
    5. Revocations that it takes back.
    """
    value = what.value
    label = f"keyring of the {_name(value.party)}, version {value.version}"
    findings: list[Finding] = []
    notes: list[str] = []
    # 1. Statements.
    for one in existing:
        findings += _orphaned(one, what)
    # 2. Roles.
    for role in sorted(value.roles):
        findings += _unmet(value, role, now, label)
    # 3. Expiry.
    if now >= value.expires - soon_days * _DAY:
        ended = now >= value.expires
        findings.append(
            Finding(
                check="keyring-expired" if ended else "expires-soon",
                link=Link.KEY,
                object=label,
                problem="it has expired" if ended else f"it expires within {soon_days} days",
                expected=f"later than {format_time(now + soon_days * _DAY)}",
                found=format_time(value.expires),
                remedy="publish the next version with a later time: any change has --days",
            )
        )
    # 4. The root.
    root = value.roles[Role.ROOT]
    owners = {key.owner for key in value.of_role(Role.ROOT)}
    if root.threshold == 1:
        findings.append(
            Finding(
                check="root-threshold-of-one",
                link=Link.KEY,
                object=label,
                problem="one root owner alone can change everything, and so can a thief of the key",
                expected="2 or more",
                found="1",
                remedy="`verity keyring add-key --role root:2=OWNER=FILE.pub`, for two owners",
            )
        )
    if root.threshold == len(owners):
        notes.append(
            f"{label}: every root owner is needed, so one lost key ends this keyring for good"
        )
    # 5. Revocations.
    if what.before is not None:
        findings += _taken_back(what.before, value, label)
    return Report(
        counts={"statements": len(existing), "roles": len(value.roles)},
        findings=tuple(findings),
        notes=tuple(notes),
    )


def _orphaned(one: Existing, what: Candidate) -> list[Finding]:
    now_refused = refusal(one, what.value)
    if now_refused is None:
        return []
    before_refused = "there is no version before" if what.before is None else None
    if what.before is not None:
        then = refusal(one, what.before)
        before_refused = then.message if then is not None else None
    orphaned = before_refused is None
    version = what.value.version
    return [
        Finding(
            check="orphaned" if orphaned else "does-not-count",
            link=signed.LINK_OF.get(now_refused.code, Link.SIGNATURE),
            object=one.label,
            problem=f"it counts under version {version - 1} and not under version {version}"
            if orphaned
            else f"it does not count under version {version}",
            expected="a statement that counts",
            found=f"{now_refused.code}: {now_refused.message}",
            remedy="have it signed anew before this version is published, or keep its key for an"
            " overlap: `verity keyring rotate --overlap-days`"
            if orphaned
            else "have it signed by keys of this keyring",
        )
    ]


def refusal(one: Existing, value: Keyring) -> ContentError | None:
    """Why this keyring would not let the statement count; None if it would."""
    try:
        role = role_of(one)
        if role not in value.roles:
            return ContentError("no-role", f"the keyring has no role {_name(role)}")
        verify_statement(one.envelopes, unverified_set(value, role))
    except ContentError as error:
        return error
    return None


def role_of(one: Existing) -> Role:
    """The role that signs such a statement. Raises ContentError for none that can be read."""
    parsed = [statement.parse_envelope(data) for data in one.envelopes]
    ours = [envelope for envelope in parsed if statement.is_ours(envelope)]
    if not ours:
        raise ContentError("no-statement", f"{one.label}: it holds no statement of verity")
    return ROLE_OF[statement.parse(ours[0].payload).kind]


def _unmet(value: Keyring, role: Role, now: int, label: str) -> list[Finding]:
    threshold = value.roles[role].threshold
    for when, moment in (("now", now), ("before it expires", value.expires - 1)):
        owners = {
            trusted.owner
            for trusted in unverified_set(value, role).keys
            if trusted.why_not(moment) is None
        }
        if len(owners) < threshold:
            return [
                Finding(
                    check="role-unmet",
                    link=Link.KEY,
                    object=f"{label}, role {_name(role)}",
                    problem=f"{when} too few owners have a key that is valid",
                    expected=f"{threshold} owners at {format_time(moment)}",
                    found=f"{len(owners)} owners",
                    remedy="add a key that is valid then: `verity keyring add-key`",
                )
            ]
    return []


def _taken_back(before: Keyring, value: Keyring, label: str) -> list[Finding]:
    gone = [f"key {one}" for one in before.revoked.keys if one not in value.revoked.keys]
    gone += [
        f"digest sha256:{one.hex()}"
        for one in before.revoked.digests
        if one not in value.revoked.digests
    ]
    gone += [
        f"stream {stream} below serial {serial}"
        for stream, serial in sorted(before.revoked.serials.items())
        if value.revoked.serials.get(stream, 0) < serial
    ]
    return [
        Finding(
            check="revocation-taken-back",
            link=Link.KEY,
            object=label,
            problem="the version before revokes it, this one doesn't",
            expected=one,
            found="not revoked",
            remedy="revoke it again, unless it was revoked by mistake",
        )
        for one in gone
    ]


def _name(value: Party | Role) -> str:
    return value.name.lower()
