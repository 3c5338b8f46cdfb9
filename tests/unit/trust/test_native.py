# SPDX-License-Identifier: Apache-2.0
"""OSTree's own signatures by their byte layouts: what each element is worth, one by one."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from verity.formats.commit import DetachedMetadata
from verity.formats.gvariant import Variant
from verity.trust.keys import KeyAlgorithm, PublicKey, of_public_key
from verity.trust.native import (
    MAX_SIGNATURES,
    Engine,
    Verdict,
    engine_for,
    judge,
    parse_keys,
    verifies,
)
from verity.values.errors import ContentError

COMMIT = b"the raw bytes of a commit"
ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER_ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\1")
P256 = ec.derive_private_key(7, ec.SECP256R1())
P384 = ec.derive_private_key(7, ec.SECP384R1())
P521 = ec.derive_private_key(7, ec.SECP521R1())
RSA = rsa.generate_private_key(65537, 2048)


def public(
    key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
) -> PublicKey:
    return of_public_key(key.public_key(), label="test", any_curve=True)


def raw(key: ed25519.Ed25519PrivateKey) -> bytes:
    return base64.b64encode(key.public_key().public_bytes_raw())


def by(key: object, data: bytes = COMMIT) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def detached(engine: Engine, *signatures: bytes) -> DetachedMetadata:
    return DetachedMetadata().with_byte_arrays(engine.key, signatures)


def verdicts(
    engine: Engine,
    signatures: tuple[bytes, ...],
    *keys: PublicKey,
    revoked: tuple[PublicKey, ...] = (),
    revoked_ids: tuple[str, ...] = (),
) -> list[str]:
    found = judge(
        engine,
        detached(engine, *signatures),
        COMMIT,
        keys,
        revoked=revoked,
        revoked_ids=revoked_ids,
    )
    assert [one.number for one in found] == list(range(1, len(signatures) + 1))
    return [one.verdict.value for one in found]


def test_the_bytes_of_one_ed25519_signature() -> None:
    """The layout that stock ostree writes, taken apart by hand."""
    data = detached(Engine.ED25519, by(ED)).encode()
    assert len(data) == 95
    assert data[:20] == b"ostree.sign.ed25519\0"
    assert data[20:24] == bytes(4)
    assert data[24:88] == by(ED)
    assert data[88:] == b"\x40\0aay\x14\x5e"


def test_the_example_in_the_document() -> None:
    text = Path("docs/formats.md").read_text().partition("```ed25519\n")[2].partition("```")[0]
    data = bytes.fromhex("".join(line.split("  ")[1] for line in text.splitlines()))
    assert data == detached(Engine.ED25519, by(ED)).encode()


@pytest.mark.parametrize(
    ("engine", "key"),
    [
        (Engine.ED25519, ED),
        (Engine.SPKI, ED),
        (Engine.SPKI, P256),
        (Engine.SPKI, P384),
        (Engine.SPKI, P521),
        (Engine.SPKI, RSA),
    ],
    ids=["ed25519", "spki-ed25519", "spki-p256", "spki-p384", "spki-p521", "spki-rsa"],
)
def test_every_kind_of_key(engine: Engine, key: ed25519.Ed25519PrivateKey) -> None:
    good, other = by(key), by(key, b"something else")
    assert verdicts(engine, (good, other), public(key)) == ["good", "no-key"]
    assert verdicts(engine, (good,), public(OTHER_ED)) == ["no-key"]
    (judged,) = judge(engine, detached(engine, good), COMMIT, [public(key)], revoked=())
    assert judged.by == public(key).key_id


def test_which_engine_a_key_signs_for() -> None:
    assert engine_for(public(ED)) is Engine.ED25519
    assert engine_for(public(P256)) is engine_for(public(RSA)) is Engine.SPKI
    assert [engine.key for engine in Engine] == [
        "ostree.sign.ed25519",
        "ostree.sign.spki",
        "ostree.gpgsigs",
    ]


def test_a_key_of_another_kind_is_not_asked() -> None:
    assert not verifies(Engine.ED25519, public(P256), by(P256), COMMIT)


@pytest.mark.parametrize("bad", [b"", bytes(63), bytes(65)], ids=["empty", "63-bytes", "65-bytes"])
@pytest.mark.parametrize("engine", [Engine.ED25519, Engine.SPKI], ids=str)
def test_a_malformed_one_hides_no_good_one(engine: Engine, bad: bytes) -> None:
    assert verdicts(engine, (bad, by(ED)), public(ED)) == ["malformed", "good"]
    assert verdicts(engine, (by(ED), bad), public(ED)) == ["good", "malformed"]


def test_zeros_are_no_signature_and_no_error() -> None:
    assert verdicts(Engine.ED25519, (bytes(64), by(ED)), public(ED)) == ["no-key", "good"]


def test_a_revoked_key_is_never_good() -> None:
    signatures = (by(ED), by(OTHER_ED))
    keys = (public(ED), public(OTHER_ED))
    assert verdicts(Engine.ED25519, signatures, *keys, revoked=(public(ED),)) == ["revoked", "good"]
    ours = (public(OTHER_ED).key_id,)
    assert verdicts(Engine.ED25519, signatures, *keys, revoked_ids=ours) == ["good", "revoked"]
    # And it is known as revoked where nobody names it as trusted.
    found = verdicts(Engine.ED25519, signatures, public(OTHER_ED), revoked=(public(ED),))
    assert found == ["revoked", "good"]


def test_an_array_that_is_none() -> None:
    metadata = DetachedMetadata().with_value(Engine.SPKI.key, Variant("s", "not a list"))
    (one,) = judge(Engine.SPKI, metadata, COMMIT, [public(ED)], revoked=())
    assert (one.number, one.verdict) == (0, Verdict.MALFORMED)
    assert "of the type s, expected aay" in one.detail
    twice = DetachedMetadata(detached(Engine.SPKI, by(ED)).entries * 2)
    (one,) = judge(Engine.SPKI, twice, COMMIT, [public(ED)], revoked=())
    assert (one.number, one.verdict) == (0, Verdict.MALFORMED)


def test_more_signatures_than_are_looked_at() -> None:
    many = detached(Engine.ED25519, *[bytes(63)] * MAX_SIGNATURES, by(ED))
    *front, last = judge(Engine.ED25519, many, COMMIT, [public(ED)], revoked=())
    assert len(front) == MAX_SIGNATURES
    assert {one.verdict for one in front} == {Verdict.MALFORMED}
    assert (last.number, last.detail) == (0, "1 more are not looked at")


def test_key_files_of_ostree() -> None:
    lines = raw(ED) + b"\n" + raw(OTHER_ED) + b"\n"
    assert parse_keys(lines, label="f") == (public(ED), public(OTHER_ED))
    pem = (public(P256).pem + "\n# a comment\n" + public(ED).pem).encode()
    assert parse_keys(pem, label="f") == (public(P256), public(ED))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "f: no key in it"),
        (b"\n\n", "f: no key in it"),
        (b"not base64!\n", "f, line 1: neither PEM nor 32 bytes in base64"),
        (base64.b64encode(bytes(31)), "f, line 1: "),
        (raw(ED) + b"\n" + base64.b64encode(bytes(64)), "f, line 2: "),
        (b"-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n", "f: not a public key"),
        (b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n", "f: a private key"),
        (b"-----BEGIN PUBLIC KEY-----\n", "f: not a public key"),
        (b"A" * 70_000, "f: 70000 bytes are no list of keys"),
    ],
    ids=["empty", "blank", "text", "short", "secret", "bad-pem", "private", "half-pem", "long"],
)
def test_key_files_that_are_none(data: bytes, words: str) -> None:
    with pytest.raises(ContentError) as caught:
        parse_keys(data, label="f")
    assert caught.value.code == "bad-key"
    assert words in caught.value.message


@pytest.mark.parametrize(
    "curve", [ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1()], ids=lambda curve: curve.name
)
def test_keys_on_any_curve(curve: ec.EllipticCurve) -> None:
    key = ec.derive_private_key(7, curve).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (found,) = parse_keys(pem, label="test")
    assert (found.algorithm, engine_for(found)) == (KeyAlgorithm.ECDSA, Engine.SPKI)
    assert not found.verifies(signature=by(ec.derive_private_key(7, curve)), data=COMMIT)


def test_a_curve_that_is_too_short() -> None:
    key = ec.derive_private_key(7, ec.SECP192R1()).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ContentError, match="neither ECDSA"):
        parse_keys(pem, label="test")
