# SPDX-License-Identifier: Apache-2.0
"""From a bundle with signatures to documents that a host accepts from the keys that count.

The last step before anything is written, by the same functions that verify later: the types of
``trust.verified`` are what lets documents out of here. Signatures by keys that don't count stay
behind and are named.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from verity.formats import bundle as fragments
from verity.formats.grants import Party, Role
from verity.formats.records import Fragment, RecordKind
from verity.formats.sign_bundle import SHAPES, Bundle, BundleKind, Signature
from verity.formats.sign_payloads import Opened, TreeSaid
from verity.trust.keys import PublicKey
from verity.trust.trusted import TrustedSet
from verity.trust.verified import verify_grants, verify_manifest, verify_statement
from verity.values.errors import CallerError, ContentError

_RECORD_OF = {BundleKind.POLICY: RecordKind.POLICY, BundleKind.KEYS: RecordKind.KEYS}


@dataclass(frozen=True, kw_only=True)
class Proven:
    """Documents as they are stored, who signed them, and whose signatures stay behind.

    ``notes`` say which signatures went along and don't count, as out of a key's time.
    """

    envelope: bytes
    fragment: Fragment
    key_ids: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def trusted_set(opened: Opened, keys: Sequence[PublicKey], threshold: int) -> TrustedSet:
    """These keys, each its own owner, for the party and role that the bundle is for."""
    party, role = opened.signer
    return TrustedSet.of_keys(
        keys,
        party=party,
        role=role,
        threshold=threshold,
        allow_example_keys=True,  # whoever read or opened the keys has decided
    )


def prove(opened: Opened, trusted: TrustedSet) -> Proven:
    """Verify a bundle's signatures as a host will.

    1. The keys are of the party and role that sign this.
    2. Signatures by keys that don't count are left out.
    3. Statement, manifest and grants verify in this order; any other blob by itself.
    """
    # 1. Party and role.
    if (trusted.party, trusted.role) != opened.signer:
        raise CallerError(
            "wrong-role",
            f"sign bundle: signed by the {_name(*opened.signer)}, the keys given are of the"
            f" {_name(trusted.party, trusted.role)}",
        )
    # 2. Whose signatures.
    bundle = opened.bundle
    known = {one.key.key_id for one in trusted.keys} - trusted.revocations.keys
    kept = [one for one in bundle.signatures if one.key_id in known]
    left_out = tuple(one.key_id for one in bundle.signatures if one.key_id not in known)
    pkcs7s = tuple(one.pkcs7 for one in kept)
    if not kept:
        raise ContentError(
            "bad-signature",
            f"sign bundle: none of its {len(bundle.signatures)} signatures is by a key that counts",
            hint="`verity sign show` lists who signed; `verity sign add` adds a signature",
        )
    # 3. Verify.
    if bundle.payload is not None and bundle.manifest is not None:
        kind = RecordKind.GRANTS
        envelope = _envelope(bundle, kept)
        statement = verify_statement([envelope], trusted)
        granted = verify_grants(
            bundle.blob, pkcs7s, verify_manifest(bundle.manifest, statement), trusted
        )
        notes = statement.skipped + granted.skipped
    else:
        kind, envelope = _RECORD_OF[bundle.kind], b""
        _, notes = trusted.blob_signers(
            pkcs7s, bundle.blob, what=bundle.kind.value, issued=_issued(opened)
        )
    fragment = Fragment(kind=kind, blob=bundle.blob, signatures=pkcs7s)
    return Proven(
        envelope=envelope,
        fragment=fragment,
        key_ids=tuple(one.key_id for one in kept),
        left_out=left_out,
        notes=notes,
    )


def fragment_bytes(proven: Proven) -> bytes:
    """The blob and its signatures as `lockdown bundle` takes them."""
    return fragments.encode([proven.fragment])


def _issued(opened: Opened) -> int:
    said = opened.said
    return said.statement.issued if isinstance(said, TreeSaid) else said.issued


def _envelope(bundle: Bundle, signatures: Sequence[Signature]) -> bytes:
    from securesystemslib.dsse import Envelope  # here, because importing it takes long
    from securesystemslib.signer import Signature as DsseSignature

    envelope = Envelope(
        bundle.payload or b"",
        SHAPES[bundle.kind].payload_type or "",
        {one.key_id: DsseSignature(one.key_id, (one.pae or b"").hex()) for one in signatures},
    )
    return json.dumps(envelope.to_dict(), sort_keys=True).encode()


def _name(party: Party, role: Role) -> str:
    return f"{party.name}'s role {role.name}".lower()
