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
from verity.formats.revoke import Revoke
from verity.formats.sign_bundle import SHAPES, Bundle, BundleKind, Signature
from verity.formats.sign_payloads import Opened, PolicySaid, TreeSaid
from verity.formats.statement import format_time
from verity.formats.unlock import UnlockToken
from verity.trust.keys import PublicKey
from verity.trust.policy import verify_blob, verify_policy
from verity.trust.trusted import TrustedSet
from verity.trust.verified import verify_grants, verify_manifest, verify_statement
from verity.trust.waivers import verify_waiver
from verity.values.errors import CallerError, ContentError

_RECORD_OF = {
    BundleKind.KEYS: RecordKind.KEYS,
    BundleKind.REVOKE: RecordKind.REVOKE,
    BundleKind.UNLOCK: RecordKind.UNLOCK,
}


@dataclass(frozen=True, kw_only=True)
class Proven:
    """Documents as they are stored, who signed them, and whose signatures stay behind.

    ``notes`` say which signatures went along and don't count, as out of a key's time.
    ``envelope`` is empty and ``fragment`` None where a kind has none.
    """

    envelope: bytes
    fragment: Fragment | None
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
    2. Signatures by keys that don't count are left out; enough owners are among the others.
    3. Statement, manifest and grants verify in this order; so do a policy and its blob; a waiver
       and any other blob by itself.
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
    pkcs7s = tuple(one.pkcs7 for one in kept if one.pkcs7 is not None)
    _check_enough(bundle, trusted, kept)
    # 3. Verify.
    blob = bundle.blob or b""
    envelope = b"" if bundle.payload is None else _envelope(bundle, kept)
    if bundle.manifest is not None:
        kind = RecordKind.GRANTS
        statement = verify_statement([envelope], trusted)
        granted = verify_grants(blob, pkcs7s, verify_manifest(bundle.manifest, statement), trusted)
        notes = statement.skipped + granted.skipped
    elif bundle.kind is BundleKind.WAIVER:
        notes = verify_waiver(envelope, trusted).skipped
    elif isinstance(opened.said, PolicySaid):
        kind = RecordKind.POLICY
        policy = verify_policy(envelope, trusted)
        notes = (*policy.skipped, *verify_blob(blob, pkcs7s, policy, trusted))
    else:
        kind = _RECORD_OF[bundle.kind]
        what, issued = bundle.kind.value, _issued(opened)
        _, notes = trusted.blob_signers(pkcs7s, blob, what=what, issued=issued)
    return Proven(
        envelope=envelope,
        fragment=None if not blob else Fragment(kind=kind, blob=blob, signatures=pkcs7s),
        key_ids=tuple(one.key_id for one in kept),
        left_out=left_out,
        notes=notes,
    )


def fragment_of(proven: Proven) -> Fragment:
    """The blob and its signatures, of a kind that has a blob."""
    if proven.fragment is None:
        raise TypeError("a kind without a blob has no fragment")
    return proven.fragment


def fragment_bytes(proven: Proven) -> bytes:
    """The same as a file, as `lockdown bundle` takes it."""
    return fragments.encode([fragment_of(proven)])


def check_current(opened: Opened, latest: int) -> None:
    """Refuse (``expired``) to accept anew what had expired at ``latest``, the reference time.

    What was accepted before stays. A revocation never expires; a token ends on the boot clock.
    """
    said = opened.said
    if isinstance(said, Revoke | UnlockToken):
        return
    expires = said.statement.expires if isinstance(said, TreeSaid) else said.expires
    if latest >= expires:
        raise ContentError(
            "expired",
            f"sign bundle: what it holds expired at {format_time(expires)}, it is"
            f" {format_time(latest)}",
            hint="have it prepared and signed anew",
        )


def _check_enough(bundle: Bundle, trusted: TrustedSet, kept: Sequence[Signature]) -> None:
    """Too few signatures are no bad ones: say how many there are and how many it takes."""
    if not kept and bundle.signatures:
        raise ContentError(
            "bad-signature",
            f"sign bundle: none of its {len(bundle.signatures)} signatures is by a key that counts",
            hint="`verity sign show` lists who signed; `verity sign add` adds a signature",
        )
    key_ids = {one.key_id for one in kept}
    owners = {one.owner for one in trusted.keys if one.key.key_id in key_ids}
    if len(owners) < trusted.threshold:
        raise ContentError(
            "too-few-signatures",
            f"sign bundle: {len(owners)} of {trusted.threshold} owners have signed",
            hint="`verity sign add` adds a signature, `verity sign merge` those of another copy",
        )


def _issued(opened: Opened) -> int | None:
    said = opened.said
    if isinstance(said, UnlockToken):
        return None  # it knows no time but the boot clock
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
