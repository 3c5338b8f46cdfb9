# SPDX-License-Identifier: Apache-2.0
"""The chain from a key to grants: one changed field, one right refusal."""

import base64
from dataclasses import replace
from inspect import signature

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tests.world import (
    EXPIRES,
    JUST_VENDOR,
    OTHER,
    THIRD,
    VENDOR,
    Signer,
    World,
    envelope,
    trusted,
)
from verity.formats import pkcs7
from verity.formats.grants import Party, Role
from verity.formats.statement import Kind
from verity.trust.keys import PublicKey, of_public_key, parse_public_key
from verity.trust.trusted import TrustedSet
from verity.trust.verified import (
    VerifiedGrants,
    VerifiedManifest,
    VerifiedStatement,
    verify_grants,
    verify_manifest,
    verify_statement,
)
from verity.values.errors import CallerError, ContentError


def verified_manifest(world: World) -> VerifiedManifest:
    return verify_manifest(world.manifest, verify_statement([world.envelope], JUST_VENDOR))


def test_the_whole_chain() -> None:
    world = World()
    source = verify_statement([world.envelope], JUST_VENDOR)
    assert set(source.signers) == {"vendor"}
    assert not source.expired(EXPIRES - 1)
    assert source.expired(EXPIRES)
    manifest = verify_manifest(world.manifest, source)
    found = verify_grants(world.grants, world.grants_signatures, manifest, JUST_VENDOR)
    assert found.grants.serial == 5
    assert [entry.path for entry in manifest.entries] == [b"/", b"/tool"]


def refused(code: str, envelopes: list[bytes], keys: TrustedSet = JUST_VENDOR) -> ContentError:
    with pytest.raises(ContentError) as caught:
        verify_statement(envelopes, keys)
    assert caught.value.code == code
    return caught.value


def test_foreign_key() -> None:
    error = refused("bad-signature", [World(signers=(OTHER,)).envelope])
    assert OTHER.public.key_id in error.message


def test_altered_statement() -> None:
    world = World()
    forged = world.envelope.replace(
        base64.b64encode(world.statement),
        base64.b64encode(world.statement.replace(b'"serial":5', b'"serial":6')),
    )
    assert forged != world.envelope
    refused("bad-signature", [forged])


def test_the_signature_is_over_the_payload_type_too() -> None:
    world = World()
    other = envelope(world.statement, VENDOR, payload_type="application/json")
    refused("bad-signature", [other.replace(b"application/json", b"application/vnd.in-toto+json")])


def test_key_ids_are_only_hints() -> None:
    world = World()
    renamed = world.envelope.replace(VENDOR.public.key_id.encode(), b"some other name")
    assert verify_statement([renamed], JUST_VENDOR).signers


def test_a_malformed_signature_in_front_is_skipped_and_reported() -> None:
    bad = ({"keyid": "x", "sig": "***"}, {"keyid": "y", "sig": "AAAA"})
    found = verify_statement([envelope(World().statement, VENDOR, extra=bad)], JUST_VENDOR)
    assert found.skipped == ("signature 1 of the statement: malformed base64",)


TWO_OWNERS = trusted(("alice", VENDOR), ("bob", OTHER), threshold=2)


def test_threshold() -> None:
    refused("bad-signature", [World(signers=(VENDOR,)).envelope], TWO_OWNERS)
    refused("bad-signature", [World(signers=(VENDOR, VENDOR)).envelope], TWO_OWNERS)
    assert len(verify_statement([World(signers=(VENDOR, OTHER)).envelope], TWO_OWNERS).signers) == 2


def test_one_owner_with_two_keys_counts_once() -> None:
    keys = trusted(("alice", VENDOR), ("alice", THIRD), ("bob", OTHER), threshold=2)
    refused("bad-signature", [World(signers=(VENDOR, THIRD)).envelope], keys)


def test_role_of_the_kind() -> None:
    world = World(kind=Kind.EXTENSION)
    refused("wrong-role", [world.envelope])
    extension = trusted(("vendor", VENDOR), role=Role.EXTENSION)
    assert verify_statement([world.envelope], extension).statement.kind is Kind.EXTENSION


ROLES = {Kind.OS: Role.OS, Kind.ETC: Role.ETC, Kind.EXTENSION: Role.EXTENSION}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("kind", Kind)
def test_a_kind_is_signed_by_its_own_role_alone(kind: Kind, role: Role) -> None:
    world = World(kind=kind)
    keys = trusted(("vendor", VENDOR), role=role)
    if ROLES[kind] is role:
        assert verify_statement([world.envelope], keys).statement.kind is kind
    else:
        message = refused("wrong-role", [world.envelope], keys).message
        assert f"of the kind {kind}, which keys of the role {role.name.lower()}" in message


HEX = "0" * 64
WELL_SIGNED = {
    "two manifests": (
        b'"subject":[', b'"subject":[{"name":"manifest","digest":{"sha256":"%b"}},', "there twice"
    ),
    "two kinds": (b'"kind":"os"', b'"kind":"os","kind":"etc"', "there twice"),
    "a subject of a later version": (
        b'"subject":[', b'"subject":[{"name":"oci","digest":{"sha256":"%b"}},', "has exactly"
    ),
    "an unknown field": (b'"serial":', b'"critical":1,"serial":', "unknown field 'critical'"),
    "a float": (b'"serial":5', b'"serial":5.0', "the float 5.0"),
    "a time of another zone": (b'Z","kind"', b'+01:00","kind"', "not of the form"),
    "no subjects": (b'"subject":[', b'"subject":[],"subjects":[', "unknown field 'subjects'"),
}  # fmt: skip


@pytest.mark.parametrize("name", WELL_SIGNED)
def test_a_good_signature_does_not_mend_a_bad_statement(name: str) -> None:
    old, new, reason = WELL_SIGNED[name]
    payload = World().statement
    assert payload.count(old) == 1
    changed = payload.replace(old, new.replace(b"%b", HEX.encode()))
    assert reason in refused("bad-document", [envelope(changed, VENDOR)]).message


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"\xef\xbb\xbf{}", b"[" * 60_000, b'{"predicateType":1}', b"\xff"],
    ids=["empty", "list", "byte order mark", "deep", "other type", "not UTF-8"],
)
def test_a_payload_that_is_no_statement_does_not_hide_one(payload: bytes) -> None:
    bad = envelope(payload, VENDOR)
    with pytest.raises(ContentError):
        verify_statement([bad], JUST_VENDOR)
    assert verify_statement([bad, World().envelope], JUST_VENDOR).statement.serial == 5


def test_a_statement_under_another_payload_type_is_none() -> None:
    other = envelope(World().statement, VENDOR, payload_type="application/json")
    refused("no-statement", [other])
    assert verify_statement([other, World().envelope], JUST_VENDOR).statement.serial == 5


def test_number_of_statements() -> None:
    world = World()
    provenance = envelope(b'{"predicateType":"https://slsa.dev/provenance/v1"}', OTHER)
    refused("no-statement", [])
    refused("no-statement", [provenance])
    refused("no-statement", [world.envelope, world.envelope])
    assert verify_statement([provenance, world.envelope], JUST_VENDOR).statement.serial == 5


def test_a_malformed_envelope_beside_a_good_one_is_skipped_and_reported() -> None:
    world = World()
    # Provenance may quote our predicate type without being ours.
    quoting = envelope(b'{"predicateType":"x","about":"urn:x-verity:content:v1"}', OTHER)
    broken = envelope(b'{"predicateType":"urn:x-verity:content:v1"', OTHER)
    found = verify_statement([b"{", quoting, broken, world.envelope], JUST_VENDOR)
    assert found.statement.serial == 5
    assert [note.split(":")[0] for note in found.skipped] == ["envelope 1", "envelope 3"]
    refused("bad-document", [b"{"])


def test_manifest_of_another_commit() -> None:
    source = verify_statement([World().envelope], JUST_VENDOR)
    other = World(entries=World().entries[:1])
    with pytest.raises(ContentError, match="manifest: SHA-256") as caught:
        verify_manifest(other.manifest, source)
    assert caught.value.code == "wrong-manifest"


def test_a_signed_manifest_that_is_not_canonical_is_refused() -> None:
    class Sloppy(World):
        @property
        def manifest(self) -> bytes:
            return super().manifest.replace(b"40755", b"040755", 1)

    with pytest.raises(ContentError) as caught:
        verified_manifest(Sloppy())
    assert caught.value.code == "bad-manifest"


def grants_refused(code: str, world: World, manifest: VerifiedManifest | None = None) -> str:
    with pytest.raises(ContentError) as caught:
        verify_grants(
            world.grants,
            world.grants_signatures,
            manifest or verified_manifest(world),
            JUST_VENDOR,
        )
    assert caught.value.code == code
    return caught.value.message


def test_grants_of_another_statement() -> None:
    other = World(grants_changes={"code": ()})
    grants_refused("wrong-grants", other, verified_manifest(World()))


def test_grants_signed_by_nobody_or_a_foreign_key() -> None:
    grants_refused("bad-signature", World(grants_signers=()))
    grants_refused("bad-signature", World(grants_signers=(OTHER,)))


def test_grants_signed_under_the_serial_of_another_key() -> None:
    # Nobody signs the serial, and by it the kernel looks the key up.
    world = World()
    manifest = verify_manifest(world.manifest, verify_statement([world.envelope], JUST_VENDOR))
    (good,) = world.grants_signatures
    moved = pkcs7.encode(key_id=OTHER.public.key_id, signature=pkcs7.parse(good).value)
    with pytest.raises(ContentError, match="under the serial of another key") as caught:
        verify_grants(world.grants, [moved], manifest, JUST_VENDOR)
    assert caught.value.code == "bad-signature"
    found = verify_grants(world.grants, [moved, good], manifest, JUST_VENDOR)
    assert len(found.signers) == len(found.skipped) == 1


def test_grants_with_a_signature_outside_the_template() -> None:
    class Padded(World):
        @property
        def grants_signatures(self) -> list[bytes]:
            return [signature + b"\0" for signature in super().grants_signatures]

    assert "template" in grants_refused("bad-signature", Padded())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("party", Party.USER),
        ("role", Role.ETC),
        ("stream", "other"),
        ("serial", 6),
        ("issued", 1),
        ("expires", EXPIRES + 1),
        ("manifest_sha256", bytes(32)),
    ],
)
def test_grants_that_disagree_with_the_statement(field: str, value: object) -> None:
    message = grants_refused("wrong-grants", World(grants_changes={field: value}))
    assert field.removesuffix("_sha256") in message


@pytest.mark.parametrize("kind", [VerifiedStatement, VerifiedManifest, VerifiedGrants])
def test_verified_types_are_not_made_by_hand(kind: type) -> None:
    fields = dict.fromkeys(signature(kind).parameters)
    assert "proof" in fields
    with pytest.raises(TypeError, match="made by verifying"):
        kind(**fields)


def test_a_verified_thing_cannot_be_changed_into_another() -> None:
    source = verify_statement([World().envelope], JUST_VENDOR)
    with pytest.raises(AttributeError):
        source.payload = b""  # type: ignore[misc]  # frozen is what is tested
    with pytest.raises((TypeError, ValueError), match="proof"):
        replace(source, skipped=())  # type: ignore[call-arg]  # that is what is tested


@pytest.mark.parametrize("threshold", [0, -1, 2])
def test_a_threshold_that_cannot_be_met(threshold: int) -> None:
    with pytest.raises(CallerError, match="threshold"):
        trusted(("alice", VENDOR), ("alice", OTHER), threshold=threshold)


def test_no_keys_is_never_everything() -> None:
    with pytest.raises(CallerError, match="0 owners"):
        TrustedSet.of_keys([], party=Party.VENDOR, role=Role.OS)


def test_the_same_key_twice_is_one_owner() -> None:
    with pytest.raises(CallerError):
        TrustedSet.of_keys(
            [VENDOR.public, VENDOR.public], party=Party.VENDOR, role=Role.OS, threshold=2
        )


def test_other_algorithms_are_read_but_do_not_count() -> None:
    key = of_public_key(ed25519.Ed25519PrivateKey.generate().public_key(), label="x")
    assert not key.verifies(signature=b"x" * 64, data=b"")
    with pytest.raises(ContentError, match="ecdsa-p256"):
        TrustedSet.of_keys([key], party=Party.VENDOR, role=Role.OS)


def test_public_key_files() -> None:
    signer = Signer(99)
    assert parse_public_key(signer.public.pem.encode(), label="x") == signer.public
    for data, reason in {
        b"": "not a public key",
        b"-----BEGIN PRIVATE KEY-----": "a private key",
        b"x" * 100_000: "100000 bytes",
    }.items():
        with pytest.raises(ContentError, match=reason):
            parse_public_key(data, label="x")
    p384 = ec.derive_private_key(5, ec.SECP384R1()).public_key()
    with pytest.raises(ContentError, match="neither"):
        of_public_key(p384, label="x")


def test_each_signature_over_a_blob_is_verified_once_by_each_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(grants_signers=(VENDOR, OTHER))
    keys = trusted(("a", VENDOR), ("b", OTHER), threshold=2)
    asked = []
    real = PublicKey.verifies

    def counted(self: PublicKey, *, signature: bytes, data: bytes) -> bool:
        asked.append((self.key_id, signature))
        return real(self, signature=signature, data=data)

    monkeypatch.setattr(PublicKey, "verifies", counted)
    signers, refused = keys.blob_signers(world.grants_signatures, world.grants, what="grants")
    assert (set(signers), refused) == ({"a", "b"}, ())
    assert len(asked) == len(set(asked)) == 4
