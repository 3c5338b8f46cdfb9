# SPDX-License-Identifier: Apache-2.0
"""The sign bundle, bytes <-> values: what travels from signer to signer.

One JSON document (docs/formats.md, section "Sign bundle"): the payloads exactly as they will be
signed, what the last step needs beside them, and the signatures collected so far. It carries no
summary: ``sign_payloads`` computes one from the payloads on every machine. Rules:

* The document is canonical: sorted keys, no spaces, nothing behind it. One bundle, one spelling,
  but for the zlib stream of the manifest.
* The kind says exactly which payloads are there.
* Signatures are sorted by key id, each key once. Each brings its public key, so that whoever adds
  one sees whether the payloads are still those that the others signed. Whom to trust is not
  decided here: a key in a bundle is nobody's yet.
"""

import base64
import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NoReturn

from verity.formats import (
    grants,
    kernel_keys,
    kernel_policy,
    keyring,
    packed,
    policy_document,
    revoke,
    statement,
    strictjson,
    unlock,
    waiver,
)
from verity.formats.records import MAX_SIGNATURES
from verity.formats.strictjson import Fields
from verity.values.errors import ContentError

MEDIA_TYPE = "application/vnd.verity.sign-bundle.v1+json"
MAX_SIZE = 128 * 2**20
MAX_COMMIT = 2**20
MAX_PUBLIC = 4096
MAX_SIGNATURE = 16 * 2**10
_WHAT = "sign bundle"


class BundleKind(StrEnum):
    """What a bundle asks signatures for."""

    COMMIT = "commit"
    EXTENSION = "extension"
    ETC = "etc"
    KEYRING = "keyring"
    KEYS = "keys"
    POLICY = "policy"
    REVOKE = "revoke"
    WAIVER = "waiver"
    UNLOCK = "unlock"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Which payloads a kind has: a DSSE payload of this type, a blob of this kind, both.

    ``has_reason``: the text whose SHA-256 is in the blob, for the signers to read.
    """

    blob_kind: bytes | None = None
    payload_type: str | None = None
    has_manifest: bool = False
    has_commit: bool = False
    has_reason: bool = False


_TREE = Shape(blob_kind=grants.KIND, payload_type=statement.PAYLOAD_TYPE, has_manifest=True)
SHAPES: Mapping[BundleKind, Shape] = {
    BundleKind.COMMIT: replace(_TREE, has_commit=True),
    BundleKind.EXTENSION: _TREE,
    BundleKind.ETC: _TREE,
    BundleKind.KEYRING: Shape(blob_kind=kernel_keys.KEYS_KIND, payload_type=keyring.PAYLOAD_TYPE),
    BundleKind.KEYS: Shape(blob_kind=kernel_keys.KEYS_KIND),
    BundleKind.POLICY: Shape(
        blob_kind=kernel_policy.KIND, payload_type=policy_document.PAYLOAD_TYPE
    ),
    BundleKind.REVOKE: Shape(blob_kind=revoke.KIND),
    BundleKind.WAIVER: Shape(payload_type=waiver.PAYLOAD_TYPE),
    BundleKind.UNLOCK: Shape(blob_kind=unlock.KIND, has_reason=True),
}


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One key's signatures: over the PAE of the DSSE payload (DER), over the blob (PKCS#7).

    ``public`` is the DER SubjectPublicKeyInfo. ``pae`` is None if the kind has no DSSE payload,
    ``pkcs7`` if it has no blob.
    """

    public: bytes
    pae: bytes | None
    pkcs7: bytes | None

    @property
    def key_id(self) -> str:
        """SHA-256 of the public key, as 64 hex digits."""
        return hashlib.sha256(self.public).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Payloads and signatures. ``payload`` is signed as DSSE, ``blob`` for the kernel.

    ``commit`` is the raw commit object, which stock ostree's signatures are over; those are in
    ``gpg``.
    """

    kind: BundleKind
    blob: bytes | None = None
    payload: bytes | None = None
    manifest: bytes | None = None
    commit: bytes | None = None
    reason: str | None = None
    signatures: tuple[Signature, ...] = ()
    gpg: tuple[bytes, ...] = ()

    @property
    def pae(self) -> bytes | None:
        """What a DSSE signature is over."""
        payload_type = SHAPES[self.kind].payload_type
        if payload_type is None or self.payload is None:
            return None
        return statement.pae(self.payload, payload_type)

    def with_signature(self, signature: Signature) -> "Bundle":
        """A copy with one more, in its place."""
        return replace(
            self,
            signatures=tuple(sorted((*self.signatures, signature), key=lambda one: one.key_id)),
        )


def encode(bundle: Bundle) -> bytes:
    """The document, with a line feed at its end."""
    fields: dict[str, Any] = {
        "_type": MEDIA_TYPE,
        "kind": bundle.kind.value,
        "signatures": [_signature_fields(one) for one in bundle.signatures],
    }
    shape = SHAPES[bundle.kind]
    if bundle.blob is not None:
        fields["blob"] = _written(bundle.blob)
    if shape.payload_type is not None and bundle.payload is not None:
        fields["payload"] = _written(bundle.payload)
        fields["payloadType"] = shape.payload_type
    if bundle.manifest is not None:
        fields["manifest"] = _written(packed.pack(bundle.manifest))
    if bundle.commit is not None:
        fields["commit"] = _written(bundle.commit)
        fields["gpg"] = [_written(one) for one in bundle.gpg]
    if bundle.reason is not None:
        fields["reason"] = bundle.reason
    data = strictjson.canonical(fields) + b"\n"
    if parse(data) != bundle:  # the writer is held to the reader's rules
        _refuse("the values do not survive their own encoding")
    return data


def parse(data: bytes) -> Bundle:
    """Read a bundle. Raises ContentError (``bad-document``, ``bad-manifest``).

    1. One JSON object, in its canonical spelling.
    2. A known kind, with exactly its payloads, each of the right type.
    3. Signatures: sorted, each key once, no more than the gate takes.
    """
    # 1. One spelling.
    value = strictjson.parse(data, what=_WHAT, max_size=MAX_SIZE)
    top = Fields(value, what=_WHAT)
    if strictjson.canonical(value) + b"\n" != data:
        _refuse("not in its canonical spelling (sorted keys, no spaces, one line feed)")
    # 2. Payloads.
    if top.text("_type") != MEDIA_TYPE:
        _refuse(f"its _type is not {MEDIA_TYPE}")
    kind = _kind(top.text("kind"))
    shape = SHAPES[kind]
    blob = payload = manifest = commit = reason = None
    if shape.blob_kind is not None:
        blob = _read(top, "blob", grants.MAX_SIZE)
        if not blob.startswith(shape.blob_kind):
            _refuse(f"its blob is not of the kind {_label(shape.blob_kind)}")
    gpg: tuple[bytes, ...] = ()
    if shape.payload_type is not None:
        payload = _read(top, "payload", statement.MAX_STATEMENT)
        if top.text("payloadType") != shape.payload_type:
            _refuse(f"its payloadType is not {shape.payload_type}")
    if shape.has_manifest:
        manifest = packed.unpack(_read(top, "manifest", MAX_SIZE))
    if shape.has_commit:
        commit = _read(top, "commit", MAX_COMMIT)
        gpg = tuple(_bytes(one, "gpg", MAX_SIGNATURE) for one in top.array("gpg"))
    if shape.has_reason:
        reason = top.text("reason")
    items = top.array("signatures")
    top.end()
    # 3. Signatures.
    if len(items) > MAX_SIGNATURES or len(gpg) > MAX_SIGNATURES:
        _refuse(f"more than {MAX_SIGNATURES} signatures")
    signatures = tuple(_signature(item, shape) for item in items)
    for one, other in itertools.pairwise(signatures):
        if one.key_id >= other.key_id:
            _refuse("its signatures are not sorted by key id, or a key is there twice")
    return Bundle(
        kind=kind,
        blob=blob,
        payload=payload,
        manifest=manifest,
        commit=commit,
        reason=reason,
        signatures=signatures,
        gpg=gpg,
    )


def _kind(text: str) -> BundleKind:
    if text not in BundleKind._value2member_map_:
        _refuse(f"the kind {text[:40]!r} is unknown, expected one of {', '.join(BundleKind)}")
    return BundleKind(text)


def _signature_fields(signature: Signature) -> dict[str, str]:
    fields = {"keyid": signature.key_id, "public": _written(signature.public)}
    if signature.pkcs7 is not None:
        fields["pkcs7"] = _written(signature.pkcs7)
    if signature.pae is not None:
        fields["sig"] = _written(signature.pae)
    return fields


def _signature(item: Any, shape: Shape) -> Signature:
    fields = Fields(item, what=f"{_WHAT}, a signature")
    key_id = fields.text("keyid")
    found = Signature(
        public=_read(fields, "public", MAX_PUBLIC),
        pkcs7=_read(fields, "pkcs7", MAX_SIGNATURE) if shape.blob_kind is not None else None,
        pae=_read(fields, "sig", MAX_SIGNATURE) if shape.payload_type is not None else None,
    )
    fields.end()
    if found.key_id != key_id:
        _refuse(f"a public key under the key id {key_id[:80]!r} has the id {found.key_id}")
    return found


def _written(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _read(fields: Fields, name: str, most: int) -> bytes:
    return _bytes(fields.text(name), name, most)


def _bytes(text: Any, name: str, most: int) -> bytes:
    value = statement.parse_base64(text) if isinstance(text, str) else None
    if value is None or not 0 < len(value) <= most:
        _refuse(f"{name} is not 1 to {most} bytes in standard base64 with padding")
    return value


def _label(kind: bytes) -> str:
    return kind[1:].rstrip(b"\0").decode()


def _refuse(reason: str) -> NoReturn:
    raise ContentError("bad-document", f"{_WHAT}: {reason}")
