# SPDX-License-Identifier: Apache-2.0
"""Public keys in the forms of other programs: read into ours, shown for comparing, refused."""

import base64
import datetime
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.world import OTHER, VENDOR
from verity.trust import key_forms
from verity.trust.keys import KeyAlgorithm, PublicKey, of_public_key
from verity.values.errors import ContentError

# RFC 8032, 7.1, TEST 1: the public key.
RAW = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
ED25519 = of_public_key(ed25519.Ed25519PublicKey.from_public_bytes(RAW), label="RFC 8032")
OSTREE = b"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
PRIVATE = VENDOR.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate(encoding: Encoding, key: object = None) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "anybody")])
    day = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)  # long expired: not looked at
    public = VENDOR.private.public_key() if key is None else key
    assert isinstance(public, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
    return (
        x509.CertificateBuilder(name, name, public, 1, day, day)
        .sign(OTHER.private, hashes.SHA256())
        .public_bytes(encoding)
    )


GOOD = {
    "pem": (VENDOR.public.pem.encode(), VENDOR.public),
    "pem-with-a-text-before": (b"vendor's key\n" + VENDOR.public.pem.encode(), VENDOR.public),
    "certificate": (certificate(Encoding.PEM), VENDOR.public),
    "certificate-in-der": (certificate(Encoding.DER), VENDOR.public),
    "ostree": (OSTREE, ED25519),
    "ostree-with-newline": (OSTREE + b"\n", ED25519),
    "ed25519-pem": (ED25519.pem.encode(), ED25519),
}

P384 = ec.derive_private_key(5, ec.SECP384R1()).public_key()
BAD = {
    "nothing": (b"", "no form"),
    "text": (b"nonsense", "no form"),
    "huge": (b"x" * 70_000, "70000 bytes"),
    "private": (PRIVATE, "a private key"),
    "two": (VENDOR.public.pem.encode() * 2, "2 PEM blocks"),
    "key-and-certificate": (
        VENDOR.public.pem.encode() + certificate(Encoding.PEM),
        "2 PEM blocks",
    ),
    "cut": (VENDOR.public.pem.encode()[:60], "not a public key in PEM"),
    "cut-certificate": (certificate(Encoding.DER)[:-1], "not an X.509 certificate"),
    "certificate-and-more": (certificate(Encoding.DER) + b"\0", "not an X.509 certificate"),
    "spki-in-der": (VENDOR.public.spki, "not an X.509 certificate"),
    "short-base64": (base64.b64encode(bytes(31)), "no form"),
    "ostree-secret": (base64.b64encode(bytes(64)), "no form"),
    "two-ostree-keys": (OSTREE + b"\n" + OSTREE + b"\n", "no form"),
    "base64-with-a-space": (b" " + OSTREE, "no form"),
    "base64-with-two-newlines": (OSTREE + b"\n\n", "no form"),
    "p384": (
        P384.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "neither ECDSA P-256",
    ),
    "p384-certificate": (certificate(Encoding.PEM, P384), "neither ECDSA P-256"),
    "rsa-1024": (
        certificate(
            Encoding.DER,
            rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key(),  # noqa: S505 - refused
        ),
        "RSA of 1024 bits, expected at least 2048",
    ),
    "openssh": (
        VENDOR.private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "no form",
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_read(name: str) -> None:
    data, key = GOOD[name]
    assert key_forms.parse_any(data, label="k") == key


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name: str) -> None:
    data, words = BAD[name]
    with pytest.raises(ContentError) as caught:
        key_forms.parse_any(data, label="the file")
    assert caught.value.code == "bad-key"
    assert caught.value.message.startswith("the file: ")
    assert words in caught.value.message


def test_ostrees_form() -> None:
    assert key_forms.ostree(ED25519, label="k").encode() == OSTREE
    assert key_forms.of_ostree(OSTREE, label="k") == ED25519
    with pytest.raises(ContentError, match="of ed25519 keys"):
        key_forms.ostree(VENDOR.public, label="k")


@pytest.mark.parametrize("text", [b"", b"nonsense!", base64.b64encode(bytes(64)), OSTREE[:-1]])
def test_what_is_no_ostree_key(text: bytes) -> None:
    with pytest.raises(ContentError) as caught:
        key_forms.of_ostree(text, label="k")
    assert caught.value.code == "bad-key"


@pytest.mark.parametrize("key", [VENDOR.public, ED25519])
def test_the_fingerprint_in_base64(key: PublicKey) -> None:
    digest = hashlib.sha256(key.spki).digest()
    assert key_forms.spki_base64(key) == base64.b64encode(digest).decode()
    assert key.key_id == digest.hex()
    assert key.algorithm in KeyAlgorithm
