# SPDX-License-Identifier: Apache-2.0
"""What a capsule proves, and what contradicts the signed documents in it."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from tests.evidence_world import (
    EVERYTHING,
    FINDING,
    GOOD,
    HEAD,
    HOST_KEY,
    MADE,
    NONCE,
    USER_ROOT,
    Made,
    by_key,
    by_pins,
    line_of,
    once,
    pins,
    policy,
    user_keyring,
    vendor_keyring,
    version,
)
from tests.ostree_world import refused
from tests.world import (
    EXPIRES,
    JUST_VENDOR,
    OTHER,
    ROOT,
    ROOT2,
    VENDOR,
    World,
    keyring_of,
)
from verity.formats import kernel_policy, policy_document, policy_gate, statement
from verity.formats.evidence import BundleSaid
from verity.formats.grants import Party, Role
from verity.formats.statement import Kind
from verity.trust.evidence import Demands
from verity.values.audit import Area, AreaResult, Covered, Waived
from verity.values.errors import CallerError, ContentError, HostError
from verity.verbs import evidence_verify
from verity.verbs.evidence_said import Basis, Judged
from verity.verbs.evidence_trust import Accepted

GATE = b"""\
version 5
state sealed
boot_clock_s 99
policy_serial 4
policy_mode sealed
keys vendor 1
keys user 1
code 1 120000
elevations 0 4096
config 0 8192
revoked_keys 0 1024
revoked_digests 0 8192
foreign_programs 0
denied 2
observed 0
lost 0
""".decode()
WITH_FINDING = replace(GOOD, areas=(AreaResult(area=Area.FILES, findings=(FINDING,)),))
MANIFEST = hashlib.sha256(World().manifest).digest()


def state_of(world: World, bundle_policy: str | None = None) -> str:
    sha256 = hashlib.sha256(world.manifest).hexdigest()
    line = f"os os {sha256}\n".encode()
    rest = f"policy - {bundle_policy or 'none'}\n".encode()
    return hashlib.sha256(line + rest).hexdigest()


def gate_blob() -> bytes:
    """What the gate is told of the policy in the capsule."""
    value = policy_document.parse(statement.parse_envelope(policy()).payload)
    return kernel_policy.encode(policy_gate.project(value))


def verify(
    made: Made | None = None,
    accepted: Accepted | None = None,
    demands: Demands | None = None,
    *,
    now: int = MADE + 10,
    manifest: bytes | None = None,
) -> Judged:
    return evidence_verify.verify(
        (made or Made()).capsule,
        accepted or by_pins(),
        demands or Demands(),
        now=now,
        manifest_of=None if manifest is None else lambda _: manifest,
    )


def checks(judged: Judged) -> list[str]:
    return [one.check for one in judged.findings]


def basis(judged: Judged, what: str) -> tuple[Basis, str]:
    (found,) = [one for one in judged.said if one.what == what]
    return found.basis, found.depends


def test_all_of_it_by_pins_alone() -> None:
    judged = verify(demands=Demands(nonce=NONCE))
    assert (checks(judged), judged.gaps, judged.exit_status) == ([], [], 0)
    for what in ("keyring of the vendor", "keyring of the user", "statement of os os", "policy"):
        assert basis(judged, what)[0] is Basis.SIGNATURES
        assert basis(judged, what)[1] != ""
    assert basis(judged, "nonce")[0] is Basis.SIGNATURES
    for what in ("host", "boot", "made", "what was found", "auditor's program"):
        assert basis(judged, what) == (Basis.HOST_KEY, "all of it")


def test_a_nonce_that_nobody_compares_proves_nothing() -> None:
    assert basis(verify(), "nonce")[0] is Basis.HOST_KEY


def test_findings_and_gaps_of_the_audit_are_in_the_exit_status() -> None:
    assert verify(Made(audit=WITH_FINDING)).exit_status == 1
    gaps = replace(EVERYTHING.areas[0], findings=())
    assert verify(Made(audit=replace(GOOD, areas=(gaps,)))).exit_status == 3
    left_out = verify(Made(changes={"left_out": {"policy": "it is a directory"}}))
    assert [one.check for one in left_out.gaps] == ["left-out"]
    assert left_out.exit_status == 3


def test_what_was_not_asked_for_is_not_looked_at() -> None:
    refused(ContentError, "wrong-nonce", lambda: verify(demands=Demands(nonce=b"12345678")))


# --- whom one trusts


def test_by_keys_alone_nothing_but_the_os_is_verified() -> None:
    accepted = Accepted(pins={}, evidence=by_key(), statements=JUST_VENDOR)
    judged = verify(Made(changes={"policy": None}), accepted)
    assert (checks(judged), judged.exit_status) == ([], 0)
    assert basis(judged, "keyring of the vendor") == (Basis.HOST_KEY, "all of it")
    assert basis(judged, "statement of os os")[0] is Basis.SIGNATURES
    with_policy = verify(None, accepted)
    assert [one.object for one in with_policy.gaps] == ["policy"]
    without = verify(Made(changes={"policy": None}), replace(accepted, statements=None))
    assert [one.check for one in without.gaps] == ["no-pin"]
    assert without.exit_status == 3


EVIL_VENDOR = keyring_of((Role.ROOT, "root", ROOT2), (Role.OS, "vendor", VENDOR))
REFUSED: dict[str, tuple[type[Any], str, Accepted, Made]] = {
    "nobody": (HostError, "no-evidence-key", Accepted(pins={}), Made()),
    "a vendor whose keyring has no such role": (
        HostError,
        "no-evidence-key",
        by_pins(pins={Party.VENDOR: pins()[Party.VENDOR]}, without_user=True),
        Made(),
    ),
    "a user who may have revoked": (
        CallerError,
        "no-user-pin",
        by_pins(pins={Party.VENDOR: pins()[Party.VENDOR]}),
        Made(),
    ),
    "no keyring of a pin": (
        ContentError,
        "no-keyring",
        by_pins(),
        Made(changes={"keyrings": {Party.USER: (version(user_keyring(), USER_ROOT),)}}),
    ),
    "roots that are not pinned": (
        ContentError,
        "wrong-pin",
        by_pins(),
        Made(
            changes={
                "keyrings": {
                    Party.USER: (version(user_keyring(), USER_ROOT),),
                    Party.VENDOR: (version(EVIL_VENDOR, ROOT2),),
                }
            }
        ),
    ),
    "a key of another role": (
        ContentError,
        "bad-signature",
        by_pins(),
        Made(signers=(VENDOR,)),
    ),
    "another host's key": (ContentError, "bad-signature", by_pins(), Made(signers=(OTHER,))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    kind, code, accepted, made = REFUSED[name]
    refused(kind, code, lambda: verify(made, accepted))


def test_what_the_user_revoked_since_counts_for_the_key_that_is_named(tmp_path: Any) -> None:
    later = user_keyring(
        version=2,
        revoked=replace(user_keyring().revoked, keys=(HOST_KEY.public.key_id,)),
    )
    later = replace(
        later,
        keys=tuple(key for key in later.keys if key.key_id != HOST_KEY.public.key_id),
        roles={role: rule for role, rule in later.roles.items() if role is not Role.EVIDENCE},
    )
    (tmp_path / "user").mkdir()
    for number, value in ((1, user_keyring()), (2, later)):
        (tmp_path / f"user/{number}.keyring.json").write_bytes(version(value, USER_ROOT))
    accepted = by_pins(evidence=by_key(), directories=[tmp_path])
    error = refused(ContentError, "bad-signature", lambda: verify(None, accepted))
    assert "revoked" in error.message


def test_a_capsule_with_an_older_keyring_than_the_auditor_has(tmp_path: Any) -> None:
    (tmp_path / "vendor").mkdir()
    later = version(vendor_keyring(version=2), ROOT)
    (tmp_path / "vendor/2.keyring.json").write_bytes(later)
    judged = verify(None, by_pins(directories=[tmp_path]))
    assert checks(judged) == ["keyring-behind"]
    assert judged.findings[0].expected == "version 2"
    other = version(vendor_keyring(expires=EXPIRES - 1), ROOT)
    (tmp_path / "vendor/1.keyring.json").write_bytes(other)
    refused(ContentError, "bad-chain", lambda: verify(None, by_pins(directories=[tmp_path])))


# --- the documents in it


def etc_statement(**changes: Any) -> bytes:
    world = World(kind=Kind.ETC, statement_changes=changes)
    return once(world.statement, OTHER)


BAD_DOCUMENTS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "a statement by a stranger": (
        ["bad-signature"],
        {"statements": (once(World().statement, OTHER),)},
    ),
    "no statement": (["bad-document"], {"statements": (b"{}",)}),
    "a floor by a stranger": (["bad-signature"], {"floors": (once(World().statement, OTHER),)}),
    "a policy by a stranger": (
        ["bad-signature"],
        {
            "policy": once(
                statement.parse_envelope(policy()).payload,
                OTHER,
                payload_type=policy_document.PAYLOAD_TYPE,
            )
        },
    ),
    "a kind whose role nobody has": (["no-role"], {"statements": (etc_statement(),)}),
    "two of one serial": (
        ["equivocation"],
        {"floors": (once(World(statement_changes={"expires": EXPIRES - 1}).statement, VENDOR),)},
    ),
    "below its floor": (
        ["below-floor"],
        {"floors": (once(World(statement_changes={"serial": 6}).statement, VENDOR),)},
    ),
    "expired when it was made": (
        ["keyring-expired", "keyring-expired", "expired", "policy-expired"],
        {"issued": EXPIRES},
    ),
    "another policy in the boot bundle": (
        ["wrong-policy"],
        {"bundle": BundleSaid(sha256=b"\x01" * 32, policy=b"\x02" * 32)},
    ),
    "a gate's text that is none": (["bad-gate-status"], {"gate": "version 4\n"}),
}


@pytest.mark.parametrize("name", BAD_DOCUMENTS)
def test_a_document_that_is_not_good_is_a_finding(name: str) -> None:
    expected, changes = BAD_DOCUMENTS[name]
    judged = verify(Made(changes=changes), now=changes.get("issued", MADE) + 10)
    assert checks(judged) == expected
    assert judged.exit_status == 1
    for finding in judged.findings:
        assert finding.expected
        assert finding.found
        assert finding.remedy


def test_floors_that_agree() -> None:
    older = once(World(statement_changes={"serial": 4}).statement, VENDOR)
    judged = verify(Made(changes={"floors": (once(World().statement, VENDOR), older)}))
    assert checks(judged) == []
    serials = [one.value for one in judged.said if one.what == "serial floor of os"]
    assert serials == ["5", "4"]


# --- the state checksum


def test_the_state_follows_from_the_documents() -> None:
    judged = verify(Made(audit=replace(GOOD, state=state_of(World()))))
    assert (checks(judged), judged.gaps) == ([], [])
    assert basis(judged, "state checksum")[0] is Basis.SIGNATURES


def test_and_from_the_policy_of_the_boot_bundle() -> None:
    blob = hashlib.sha256(gate_blob()).digest()
    bundle = BundleSaid(sha256=b"\x01" * 32, policy=blob)
    state = state_of(World(), blob.hex())
    judged = verify(Made(audit=replace(GOOD, state=state), changes={"bundle": bundle}))
    assert checks(judged) == []
    assert basis(judged, "state checksum")[0] is Basis.SIGNATURES
    none = verify(Made(audit=replace(GOOD, state=state_of(World())), changes={"bundle": bundle}))
    assert checks(none) == ["contradiction"]


def test_a_state_that_no_document_gives() -> None:
    judged = verify(Made(audit=replace(GOOD, state="0" * 64)))
    assert checks(judged) == ["contradiction"]
    assert basis(judged, "state checksum") == (Basis.HOST_KEY, "all of it")


def test_a_state_beside_findings_of_files() -> None:
    audit = replace(WITH_FINDING, state=state_of(World()))
    assert checks(verify(Made(audit=audit))) == ["contradiction"]
    waived = Waived(finding=FINDING, reason="r", signers=("ann",), expires=EXPIRES)
    audit = replace(GOOD, waived=(waived,), state=state_of(World()))
    assert checks(verify(Made(audit=audit))) == ["contradiction"]
    # What is wrong elsewhere leaves the files as they are.
    areas = (AreaResult(area=Area.POSTURE, findings=(FINDING,)),)
    assert checks(verify(Made(audit=replace(audit, areas=areas, waived=())))) == []


def test_a_state_whose_documents_nobody_could_verify() -> None:
    accepted = Accepted(pins={}, evidence=by_key())
    judged = verify(Made(audit=replace(GOOD, state="0" * 64)), accepted)
    assert "state-not-derived" in [one.check for one in judged.gaps]
    assert checks(judged) == []


# --- lines of the manifest


def lines_of(*lines: str) -> dict[str, Any]:
    return {"lines": {MANIFEST: lines}}


def test_lines_are_the_hosts_word_until_the_manifest_is_there() -> None:
    made = Made(audit=WITH_FINDING, changes=lines_of(line_of(b"/tool")))
    what = "what is signed of the findings' files"
    assert basis(verify(made), what)[0] is Basis.HOST_KEY
    judged = verify(made, manifest=World().manifest)
    assert basis(judged, what) == (Basis.SIGNATURES, "")
    assert checks(judged) == []


@pytest.mark.parametrize(
    "lines",
    [(), (line_of(b"/tool").replace("01" * 32, "02" * 32),)],
    ids=["withheld", "forged"],
)
def test_a_line_that_is_not_as_signed(lines: tuple[str, ...]) -> None:
    made = Made(audit=WITH_FINDING, changes=lines_of(*lines) if lines else {})
    judged = verify(made, manifest=World().manifest)
    assert set(checks(judged)) == {"contradiction"}


def test_a_line_that_was_added() -> None:
    forged = line_of(b"/tool").replace("/tool", "/tool2")
    made = Made(audit=WITH_FINDING, changes=lines_of(line_of(b"/tool"), forged))
    judged = verify(made, manifest=World().manifest)
    assert [(one.check, one.object) for one in judged.findings] == [
        ("contradiction", "line of /tool2")
    ]


def test_lines_of_a_manifest_that_nobody_signed_stay_the_hosts_word() -> None:
    lines = {MANIFEST: (line_of(b"/tool"),), b"\x01" * 32: (line_of(b"/tool"),)}
    made = Made(audit=WITH_FINDING, changes={"lines": lines})
    judged = verify(made, manifest=World().manifest)
    assert basis(judged, "what is signed of the findings' files")[0] is Basis.HOST_KEY


def test_another_manifest() -> None:
    error = refused(
        ContentError, "wrong-manifest", lambda: verify(None, manifest=World().manifest + b"x")
    )
    assert "the signed statement names" in error.message


def test_a_manifest_and_no_statement_that_names_it() -> None:
    judged = verify(Made(changes={"statements": ()}), manifest=World().manifest)
    assert [one.check for one in judged.gaps] == ["manifest", "no-statement"]


# --- the gate


def test_a_sealed_gate_is_enforced_as_far_as_told() -> None:
    areas = (AreaResult(area=Area.FILES, coverage={Covered.ENFORCED: 3}),)
    audit = replace(GOOD, head=replace(HEAD, enforced=True), areas=areas)
    judged = verify(Made(audit=audit, changes={"gate": GATE}))
    assert checks(judged) == []
    assert basis(judged, "gate")[0] is Basis.KERNEL
    assert basis(judged, "gate")[1] != ""
    assert basis(judged, "files enforced by the kernel")[0] is Basis.KERNEL


@pytest.mark.parametrize("gate", [None, GATE.replace("state sealed", "state observe")])
def test_enforced_without_a_sealed_gate(gate: str | None) -> None:
    audit = replace(GOOD, head=replace(HEAD, enforced=True))
    judged = verify(Made(audit=audit, changes={"gate": gate}))
    assert checks(judged) == ["contradiction"]
