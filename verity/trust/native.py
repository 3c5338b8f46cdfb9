# SPDX-License-Identifier: Apache-2.0
"""OSTree's own signatures of a commit: by Ed25519 and by keys in SubjectPublicKeyInfo.

They are over the raw bytes of the commit object and lie as ``aay`` in its detached metadata
(docs/formats.md section 8). They are for stock ostree: shown, and never counted towards a
threshold of ours.

Rules:

* Each element is tried with every key that can have made it, so a malformed one hides no other.
* A key that is revoked is never good, wherever it is named as trusted.
* A list of revoked keys that cannot be read is an error; stock ostree goes on as if it were empty.

It reads no file, and OpenPGP is gpg's business (``verity.ports.gpg``).
"""

import base64
import binascii
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from verity.formats.commit import DetachedMetadata
from verity.trust.keys import MAX_KEY_FILE, KeyAlgorithm, PublicKey, of_public_key, parse_public_key
from verity.values.errors import ContentError

MAX_SIGNATURES = 64  # of one engine, tried with each key: what is behind them is reported

_ED25519_SIZE = 64
_RSA_SIZES = range(256, 1025)  # of keys from 2048 to 8192 bits
_PEM = re.compile(rb"-----BEGIN [^-]+-----.*?-----END [^-]+-----", re.DOTALL)


class Engine(StrEnum):
    """What made a signature, by the name that stock ostree prints."""

    ED25519 = "ed25519"
    SPKI = "spki"
    GPG = "gpg"

    @property
    def key(self) -> str:
        """Where its signatures lie in the detached metadata."""
        return "ostree.gpgsigs" if self is Engine.GPG else f"ostree.sign.{self}"


class Verdict(StrEnum):
    """What one signature is worth, which is also the reason."""

    GOOD = "good"
    REVOKED = "revoked"
    EXPIRED = "expired"
    BAD = "bad"
    NO_KEY = "no-key"
    MALFORMED = "malformed"


@dataclass(frozen=True, kw_only=True)
class NativeSignature:
    """One of them. ``number`` counts from 1 within its array, 0 is the array itself.

    ``by`` is a key id, for GPG a fingerprint; empty if no key is known that made it.
    """

    engine: Engine
    number: int
    verdict: Verdict
    by: str = ""
    detail: str = ""


def engine_for(key: PublicKey) -> Engine:
    """The engine that a key signs for."""
    return Engine.ED25519 if key.algorithm is KeyAlgorithm.ED25519 else Engine.SPKI


def parse_keys(data: bytes, *, label: str) -> tuple[PublicKey, ...]:
    """Public keys as ostree keeps them: PEM, or a line of base64 for each Ed25519 key.

    Raises ContentError (``bad-key``), also for a file without any: nobody means an empty list.
    """
    if len(data) > MAX_KEY_FILE:
        raise ContentError("bad-key", f"{label}: {len(data)} bytes are no list of keys")
    if b"-----" in data:
        blocks = _PEM.findall(data)
        found = [parse_public_key(one, label=label, any_curve=True) for one in blocks or [data]]
    else:
        lines = [line for line in data.split(b"\n") if line]
        found = [_raw(line, f"{label}, line {number}") for number, line in enumerate(lines, 1)]
    if not found:
        raise ContentError("bad-key", f"{label}: no key in it")
    return tuple(found)


def _raw(line: bytes, label: str) -> PublicKey:
    try:
        value = base64.b64decode(line, validate=True)
        key = ed25519.Ed25519PublicKey.from_public_bytes(value)
    except (binascii.Error, ValueError) as error:
        raise ContentError(
            "bad-key",
            f"{label}: neither PEM nor 32 bytes in base64, expected a public key",
            hint="the .pub file of a key, or a file as /etc/ostree/trusted.ed25519",
        ) from error
    return of_public_key(key, label=label)


def judge(
    engine: Engine,
    detached: DetachedMetadata,
    data: bytes,
    keys: Iterable[PublicKey],
    *,
    revoked: Collection[PublicKey],
    revoked_ids: Collection[str] = (),
) -> tuple[NativeSignature, ...]:
    """Every signature of an engine over ``data``, the raw commit, in order.

    ``revoked`` are keys of ostree's lists, ``revoked_ids`` key ids of our own revocations.
    """
    try:
        values = detached.get_byte_arrays(engine.key)
    except ContentError as error:
        return (_malformed(engine, 0, error.message),)
    never = {key.key_id for key in revoked} | set(revoked_ids)
    by_id = {key.key_id: key for key in (*keys, *revoked)}
    found = []
    for number, value in enumerate(values[:MAX_SIGNATURES], 1):
        problem = _problem(engine, value)
        if problem:
            found.append(_malformed(engine, number, problem))
            continue
        by = next((one for one, key in by_id.items() if verifies(engine, key, value, data)), "")
        verdict = Verdict.NO_KEY if not by else Verdict.REVOKED if by in never else Verdict.GOOD
        found.append(NativeSignature(engine=engine, number=number, verdict=verdict, by=by))
    if len(values) > MAX_SIGNATURES:
        more = f"{len(values) - MAX_SIGNATURES} more are not looked at"
        found.append(_malformed(engine, 0, more))
    return tuple(found)


def verifies(engine: Engine, key: PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether this key made the signature for this engine."""
    if engine is Engine.ED25519 and key.algorithm is not KeyAlgorithm.ED25519:
        return False
    public = load_der_public_key(key.spki)
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, data)
        elif isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(public, ec.EllipticCurvePublicKey):
            # With SHA-256 on every curve: OpenSSL's default digest, which ostree leaves it at.
            public.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _problem(engine: Engine, signature: bytes) -> str:
    """Why no key at all can have made it; empty if one can."""
    size = len(signature)
    if size == _ED25519_SIZE:
        return ""
    if engine is Engine.ED25519:
        return f"{size} bytes, an Ed25519 signature has {_ED25519_SIZE}"
    if size in _RSA_SIZES:
        return ""
    try:
        decode_dss_signature(signature)
    except ValueError:
        return f"{size} bytes that are neither Ed25519, ECDSA in DER nor RSA"
    return ""


def _malformed(engine: Engine, number: int, detail: str) -> NativeSignature:
    return NativeSignature(engine=engine, number=number, verdict=Verdict.MALFORMED, detail=detail)
