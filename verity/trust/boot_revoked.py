# SPDX-License-Identifier: Apache-2.0
"""Whether a boot bundle holds anything that a keyring revokes: keys, serials, digests.

The gate reads no keyring: what is revoked has to stay out of the bundle, but for single digests
that a `revoke` in the same bundle names, with effect for who grants them: which is how one file of
many is taken back. It verifies no signature: ``trust.boot_bundle`` did. It reads no file.
"""

import hashlib
from collections.abc import Mapping, Sequence

from verity.formats import grants, kernel_keys, revoke
from verity.formats.grants import Grants, Party
from verity.formats.kernel_keys import Pin
from verity.formats.records import RecordKind
from verity.trust.boot_bundle import Labelled
from verity.trust.gate_revocations import GateRevocations
from verity.trust.revocations import NOTHING, Revocations
from verity.values.errors import ContentError


def check(
    labelled: Sequence[Labelled],
    pins: Mapping[Party, Pin],
    revoked: Mapping[Party, Revocations],
) -> None:
    """Refuse what is revoked, by the revocations that hold for its party.

    1. No key of `keys`, and not as many owners of a pin as could sign alone. A pin that has fewer
       revoked ones is good until its owner replaces it by hand.
    2. No serial of a stream that has grants.
    3. Neither the grants, nor their manifest, nor a digest in them of which the bundle doesn't
       tell the gate itself, by somebody whose revocations hold for these grants.

    Raises ContentError ``revoked-key``, ``revoked-serial``, ``revoked-digest``.
    """
    # 1. Keys.
    for party, pin in sorted(pins.items()):
        gone = [e for e in pin.keys if e.key_id.hex() in revoked.get(party, NOTHING).keys]
        if len({entry.owner for entry in gone}) >= pin.threshold:
            named = ", ".join(entry.key_id.hex() for entry in gone)
            raise ContentError(
                "revoked-key",
                f"the {party.name.lower()}'s pin: its root keys {named} are revoked, and"
                f" {pin.threshold} of them sign alone",
                hint="put a pin of the new root keys in its place: `verity lockdown pin`",
            )
    told = GateRevocations()
    for item in labelled:
        if item.fragment.kind is RecordKind.REVOKE:
            told.add(revoke.parse(item.fragment.blob), item.label)
    for item in labelled:
        blob = item.fragment.blob
        if item.fragment.kind is RecordKind.KEYS:
            keys = kernel_keys.parse_keys(blob)
            for entry in keys.keys:
                _check_key(entry.key_id, revoked.get(keys.party, NOTHING), item.label)
        elif item.fragment.kind is RecordKind.GRANTS:
            granted = grants.parse(blob)
            of_party = revoked.get(granted.party, NOTHING)
            known = told.holding_for(granted.party, granted.role).digests
            _check_grants(granted, blob, of_party, known, item.label)


def _check_key(key_id: bytes, revocations: Revocations, label: str) -> None:
    if key_id.hex() in revocations.keys:
        raise ContentError(
            "revoked-key",
            f"{label}: it has the key {key_id.hex()}, which the keyring revokes",
            hint="use the keys of the newest version, N.keys beside its N.keyring.json",
        )


def _check_grants(
    granted: Grants, blob: bytes, revocations: Revocations, known: frozenset[bytes], label: str
) -> None:
    # 2. The serial.
    lowest = revocations.serials.get(granted.stream, 0)
    if granted.serial < lowest:
        raise ContentError(
            "revoked-serial",
            f"{label}: serial {granted.serial} of the stream {granted.stream} is revoked, the"
            f" lowest that counts is {lowest}",
            hint="take the grants of a newer one",
        )
    # 3. Digests.
    revocations.check_digest(granted.manifest_sha256, f"{label}: its manifest")
    revocations.check_digest(hashlib.sha256(blob).digest(), f"{label}: it")
    digests = {entry.digest for entry in granted.code}
    digests |= {entry.digest for entry in granted.elevate}
    digests |= {entry.digest for entry in granted.config}
    for digest in sorted(digests - known):
        revocations.check_digest(digest, f"{label}: an entry")
