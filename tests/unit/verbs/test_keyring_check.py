# SPDX-License-Identifier: Apache-2.0
"""keyring check: one thing wrong with a version, one finding."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.world import (
    EXPIRES,
    ISSUED,
    OTHER,
    ROOT,
    ROOT2,
    ROOT3,
    THIRD,
    VENDOR,
    World,
    envelope,
    keyring_of,
)
from verity.formats.grants import Role
from verity.formats.keyring import Keyring, Revoked
from verity.formats.statement import Kind
from verity.trust.keyring_version import unverified_set
from verity.trust.verified import verify_statement
from verity.values.findings import Finding
from verity.verbs import keyring_check
from verity.verbs.keyring_check import Candidate, Existing

ROOTS = ((Role.ROOT, "ann", ROOT), (Role.ROOT, "bob", ROOT2), (Role.ROOT, "cy", ROOT3))
TWO = {Role.ROOT: 2}
GOOD = keyring_of(*ROOTS, (Role.OS, "a", VENDOR), (Role.OS, "b", THIRD), thresholds=TWO)
NOW = ISSUED + 86400


def existing(world: World | None = None) -> Existing:
    return Existing(label="some statement", envelopes=((world or World()).envelope,))


def check(
    value: Keyring,
    *against: Existing,
    before: Keyring | None = GOOD,
    now: int = NOW,
) -> Sequence[Finding]:
    what = Candidate(value=replace(value, version=2), before=before)
    return keyring_check.check(what, against, now=now, soon_days=30).findings


def only(findings: Sequence[Finding], code: str) -> Finding:
    (finding,) = findings
    assert finding.check == code
    return finding


def test_nothing_wrong() -> None:
    assert check(GOOD, existing()) == ()
    assert check(GOOD, existing(), before=None) == ()


WITHOUT_A = keyring_of(*ROOTS, (Role.OS, "b", THIRD), (Role.OS, "c", OTHER), thresholds=TWO)


def test_a_key_that_is_removed() -> None:
    finding = only(check(WITHOUT_A, existing()), "orphaned")
    assert finding.found.startswith("bad-signature: ")
    assert finding.object == "some statement"


def test_a_key_that_is_revoked() -> None:
    value = replace(WITHOUT_A, revoked=Revoked(keys=(VENDOR.public.key_id,)))
    only(check(value, existing()), "orphaned")


def test_a_threshold_that_is_raised() -> None:
    value = replace(GOOD, roles={**GOOD.roles, Role.OS: replace(GOOD.roles[Role.OS], threshold=2)})
    finding = only(check(value, existing()), "orphaned")
    assert "signed by 1 of the trusted owners, 2 needed" in finding.found
    assert check(value, existing(World(signers=(VENDOR, THIRD)))) == ()


def test_a_serial_that_is_revoked() -> None:
    value = replace(GOOD, revoked=Revoked(serials={"os": 6}))
    assert only(check(value, existing()), "orphaned").found.startswith("revoked-serial: ")
    assert check(replace(GOOD, revoked=Revoked(serials={"os": 5})), existing()) == ()


def test_a_manifest_that_is_revoked() -> None:
    world = World()
    digest = verify_statement(
        existing().envelopes, unverified_set(GOOD, Role.OS)
    ).statement.subjects["manifest"]
    value = replace(GOOD, revoked=Revoked(digests=(digest,)))
    assert only(check(value, existing(world)), "orphaned").found.startswith("revoked-digest: ")


def test_a_stream_that_is_taken_away() -> None:
    rule = replace(GOOD.roles[Role.OS], streams=("other",))
    value = replace(GOOD, roles={**GOOD.roles, Role.OS: rule})
    assert only(check(value, existing()), "orphaned").found.startswith("wrong-stream: ")


def test_a_key_whose_time_is_cut() -> None:
    keys = tuple(replace(k, valid_until=ISSUED) if k.owner == "a" else k for k in GOOD.keys)
    finding = only(check(replace(GOOD, keys=keys), existing()), "orphaned")
    assert "valid until" in finding.found


def test_a_statement_that_never_counted() -> None:
    only(check(GOOD, existing(World(signers=(OTHER,)))), "does-not-count")
    only(check(WITHOUT_A, existing(), before=None), "does-not-count")


def test_a_statement_of_a_role_that_is_not_there() -> None:
    finding = only(check(GOOD, existing(World(kind=Kind.EXTENSION))), "does-not-count")
    assert finding.found.startswith("no-role: ")


@pytest.mark.parametrize("data", [b"{", envelope(b"{}", VENDOR)])
def test_what_is_no_statement(data: bytes) -> None:
    only(check(GOOD, Existing(label="x", envelopes=(data,))), "does-not-count")


def windows(*, until: int) -> Keyring:
    keys = tuple(replace(k, valid_until=until) if k.owner in "ab" else k for k in GOOD.keys)
    return replace(GOOD, keys=keys)


def test_a_role_that_cannot_be_met() -> None:
    finding = only(check(windows(until=NOW)), "role-unmet")
    assert "now too few owners" in finding.problem
    finding = only(check(windows(until=NOW + 1)), "role-unmet")
    assert "before it expires too few owners" in finding.problem
    assert check(windows(until=EXPIRES)) == ()


def test_expiry() -> None:
    month = 30 * 86400
    assert check(GOOD, now=EXPIRES - month - 1) == ()
    only(check(GOOD, now=EXPIRES - month), "expires-soon")
    only(check(GOOD, now=EXPIRES), "keyring-expired")


def test_a_root_of_one() -> None:
    value = keyring_of((Role.ROOT, "ann", ROOT), (Role.OS, "a", VENDOR))
    only(check(value, before=None), "root-threshold-of-one")


def test_a_root_without_a_spare_is_noted() -> None:
    value = keyring_of(*ROOTS[:2], (Role.OS, "a", VENDOR), thresholds=TWO)
    report = keyring_check.check(Candidate(value=value, before=None), [], now=NOW, soon_days=30)
    assert report.exit_status == 0
    assert "one lost key ends this keyring" in report.notes[0]


def test_revocations_that_are_taken_back() -> None:
    revoked = Revoked(keys=("ab" * 32,), digests=(b"\1" * 32,), serials={"os": 3})
    before = replace(GOOD, revoked=revoked)
    findings = check(GOOD, before=before)
    assert {finding.check for finding in findings} == {"revocation-taken-back"}
    assert [finding.expected for finding in findings] == [
        f"key {'ab' * 32}",
        f"digest sha256:{'01' * 32}",
        "stream os below serial 3",
    ]
    assert check(replace(GOOD, revoked=replace(revoked, serials={"os": 4})), before=before) == ()
