# SPDX-License-Identifier: Apache-2.0
"""Public keys: reading them, naming them, checking one signature with them.

The key id is the SHA-256 of the DER SubjectPublicKeyInfo. What a statement or a blob for the
kernel is signed with is ECDSA P-256; other kinds can be read and shown, and are refused where a
signature counts. Private keys never come into this room.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from verity.values.errors import ContentError

MAX_KEY_FILE = 64 * 2**10
_MIN_RSA_BITS = 2048
_MIN_CURVE_BITS = 256


class KeyAlgorithm(StrEnum):
    """The key algorithms that verity knows."""

    P256 = "ecdsa-p256"
    ECDSA = "ecdsa"  # on any other curve: read for OSTree's own signatures, and signs nothing here
    ED25519 = "ed25519"
    RSA = "rsa"


@dataclass(frozen=True)
class PublicKey:
    """A public key by its canonical bytes, the DER SubjectPublicKeyInfo."""

    algorithm: KeyAlgorithm
    spki: bytes

    @property
    def key_id(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, 64 hex digits."""
        return hashlib.sha256(self.spki).hexdigest()

    @property
    def pem(self) -> str:
        """The key as PEM."""
        return (
            load_der_public_key(self.spki)
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def verifies(self, *, signature: bytes, data: bytes) -> bool:
        """Whether ``signature`` (DER ECDSA-Sig-Value, SHA-256) over ``data`` is by this key.

        False for every key that isn't P-256: no other algorithm signs what we verify.
        """
        key = load_der_public_key(self.spki)
        if not isinstance(key, ec.EllipticCurvePublicKey) or self.algorithm != KeyAlgorithm.P256:
            return False
        try:
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


def parse_public_key(data: bytes, *, label: str, any_curve: bool = False) -> PublicKey:
    """Read a PEM SubjectPublicKeyInfo; ``any_curve``: also of ECDSA on another curve than P-256.

    Raises ContentError (``bad-key``); a private key gets an error that says so.
    """
    if len(data) > MAX_KEY_FILE:
        raise ContentError("bad-key", f"{label}: {len(data)} bytes are no public key")
    if b"PRIVATE KEY" in data:
        raise ContentError(
            "bad-key",
            f"{label}: a private key, expected a public one",
            hint="name the .pub file beside it; `verity key show FILE` tells which is which",
        )
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ContentError(
            "bad-key",
            f"{label}: not a public key in PEM",
            hint="expected the .pub file that `verity key generate` writes",
        ) from error
    return of_public_key(key, label=label, any_curve=any_curve)


def parse_spki(data: bytes, *, label: str) -> PublicKey:
    """Read a DER SubjectPublicKeyInfo, as it stands in a blob for the kernel.

    Raises ContentError (``bad-key``), also for a point that isn't on its curve.
    """
    try:
        key = load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ContentError("bad-key", f"{label}: not a public key in DER") from error
    return of_public_key(key, label=label)


def of_public_key(key: object, *, label: str, any_curve: bool = False) -> PublicKey:
    """Wrap a public key of the ``cryptography`` library; ``any_curve`` as above."""
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        algorithm = KeyAlgorithm.P256
    elif (
        any_curve
        and isinstance(key, ec.EllipticCurvePublicKey)
        and key.curve.key_size >= _MIN_CURVE_BITS
    ):
        algorithm = KeyAlgorithm.ECDSA
    elif isinstance(key, ed25519.Ed25519PublicKey):
        algorithm = KeyAlgorithm.ED25519
    elif isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _MIN_RSA_BITS:
            raise ContentError(
                "bad-key",
                f"{label}: RSA of {key.key_size} bits, expected at least {_MIN_RSA_BITS}",
            )
        algorithm = KeyAlgorithm.RSA
    else:
        raise ContentError(
            "bad-key", f"{label}: neither ECDSA P-256, Ed25519 nor RSA, which are what is known"
        )
    return PublicKey(algorithm, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
