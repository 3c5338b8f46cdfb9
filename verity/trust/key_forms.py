# SPDX-License-Identifier: Apache-2.0
"""The forms that other programs give a public key: read into ours, and written for comparing.

Read: PEM SubjectPublicKeyInfo, an X.509 certificate in PEM or DER, and OSTree's base64 of a raw
Ed25519 key. A certificate is only a wrapping: its names, dates and signature are not looked at,
and whoever imports it says by that that the key counts. Anything else is refused, also a private
key, several keys in one file, and text around the base64.
"""

import base64
import binascii
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from verity.trust.keys import (
    MAX_KEY_FILE,
    KeyAlgorithm,
    PublicKey,
    of_public_key,
    parse_public_key,
)
from verity.values.errors import ContentError

_ED25519_SIZE = 32
# SubjectPublicKeyInfo of Ed25519 (RFC 8410) up to its 32 bytes.
_ED25519_HEAD = bytes.fromhex("302a300506032b6570032100")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{43}=\n?")


def parse_any(data: bytes, *, label: str) -> PublicKey:
    """A public key in any of the forms. Raises ContentError (``bad-key``)."""
    if len(data) > MAX_KEY_FILE:
        raise ContentError("bad-key", f"{label}: {len(data)} bytes are no public key")
    blocks = data.count(b"-----BEGIN ")
    if blocks > 1:
        raise ContentError("bad-key", f"{label}: {blocks} PEM blocks, expected one")
    if b"-----BEGIN CERTIFICATE-----" in data:
        return _of_certificate(data, label, pem=True)
    if blocks:
        return parse_public_key(data, label=label)
    if data.startswith(b"\x30"):
        return _of_certificate(data, label, pem=False)
    if _BASE64.fullmatch(data):
        return of_ostree(data, label=label)
    raise ContentError(
        "bad-key",
        f"{label}: no form of a public key that is known",
        hint="PEM (PUBLIC KEY), an X.509 certificate, or the base64 of OSTree's Ed25519 keys",
    )


def of_ostree(text: bytes, *, label: str) -> PublicKey:
    """OSTree's public key: the base64 of 32 bytes. Raises ContentError (``bad-key``)."""
    try:
        raw = base64.b64decode(text.removesuffix(b"\n"), validate=True)
    except binascii.Error as error:
        raise ContentError("bad-key", f"{label}: not base64") from error
    if len(raw) != _ED25519_SIZE:
        raise ContentError(
            "bad-key", f"{label}: {len(raw)} bytes, expected {_ED25519_SIZE} of an Ed25519 key"
        )
    return of_public_key(Ed25519PublicKey.from_public_bytes(raw), label=label)


def ostree(key: PublicKey, *, label: str) -> str:
    """OSTree's form of an Ed25519 key. Raises ContentError (``bad-key``) for any other."""
    if key.algorithm is not KeyAlgorithm.ED25519:
        raise ContentError(
            "bad-key",
            f"{label}: {key.algorithm}, but OSTree's own form is of ed25519 keys",
            hint="`verity key generate --algorithm ed25519 FILE` makes one",
        )
    return base64.b64encode(key.spki.removeprefix(_ED25519_HEAD)).decode()


def spki_base64(key: PublicKey) -> str:
    """SHA-256 of the SubjectPublicKeyInfo in base64, as HPKP and curl's --pinnedpubkey have it."""
    return base64.b64encode(bytes.fromhex(key.key_id)).decode()


def _of_certificate(data: bytes, label: str, *, pem: bool) -> PublicKey:
    from cryptography import x509  # takes long to import, and is seldom needed

    load = x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate
    try:
        key = load(data).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ContentError("bad-key", f"{label}: not an X.509 certificate") from error
    return of_public_key(key, label=label)
