# SPDX-License-Identifier: Apache-2.0
"""How IMA knows a key: its id, and the X.509 for the keyring; both follow from the public key."""

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from verity.formats import ima
from verity.trust.keys import PublicKey
from verity.values.errors import ContentError


def key_id(public: PublicKey) -> bytes:
    """The four bytes by which a signature names its key: a hint, as every key id."""
    return _subject(public)[-ima.KEY_ID_SIZE :]


def certificate(public: PublicKey) -> bytes:
    """The X.509 that IMA's keyring takes."""
    subject = _subject(public)
    return ima.certificate(key_id=public.key_id, spki=public.spki, subject=subject)


def _subject(public: PublicKey) -> bytes:
    key = load_der_public_key(public.spki)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ContentError(
            "bad-key",
            f"key {public.key_id}: {public.algorithm}, expected ecdsa-p256, which IMA is given",
            hint="`verity key generate FILE` makes one",
        )
    bits = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return ima.subject_key_id(bits)
