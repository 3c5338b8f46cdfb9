# SPDX-License-Identifier: Apache-2.0
"""What the `revoke` blobs of a boot bundle take away, and from whom, as the gate holds it.

A revocation holds for what its signer could have said: a role's for this role of its party, the
vendor's root's for the vendor, the user's root's for everybody (ADR 27). Whether those who signed
are trusted at all is ``trust.boot_bundle``'s to ask first.
"""

from collections.abc import Iterable

from verity.formats import revoke
from verity.formats.grants import Party, Role
from verity.formats.records import Fragment, RecordKind
from verity.formats.revoke import Revoke
from verity.trust.revocations import NOTHING, Revocations
from verity.trust.trusted import TrustedSet
from verity.values.errors import CallerError, ContentError

_INSTEAD = {
    RecordKind.KEYS: "take keys that were signed with root keys which still count, and a pin of"
    " these: `verity lockdown pin`",
    RecordKind.POLICY: "have the policy signed anew with a key that still counts:"
    " `verity policy compile`",
    RecordKind.REVOKE: "name it before the one that revokes its key (--revoke), or have it signed"
    " with a key that still counts",
}


class GateRevocations:
    """The revocations of a bundle so far, added in the order in which the gate gets them."""

    def __init__(self) -> None:
        self._said: dict[tuple[Party, Role], Revocations] = {}

    def add(self, said: Revoke, label: str) -> None:
        """Count a blob.

        Raises CallerError (``bad-arguments``) for a second one of a role, ContentError
        (``too-many-revoked``) where the gate's tables end.
        """
        place = (said.party, said.role)
        if place in self._said:
            source = f"{said.party.name} {said.role.name}".lower()
            raise CallerError("bad-arguments", f"{label}: a second revoke blob of {source}")
        self._said[place] = Revocations.of_blob(said)
        everybody = self._all(self._said)
        _check_room(label, "keys", len(everybody.keys), revoke.ROOM_KEYS)
        _check_room(label, "digests", len(everybody.digests), revoke.ROOM_DIGESTS)

    def holding_for(self, party: Party, role: Role) -> Revocations:
        """What of it takes something from what this role of this party signs."""
        return self._all({(party, role), (party, Role.ROOT), (Party.USER, Role.ROOT)})

    def check_signed(self, fragment: Fragment, trusted: TrustedSet, label: str) -> None:
        """Refuse keys, a policy or a list that too few signed with a key which isn't revoked.

        Of an owner the first key counts, as in the gate. Raises ContentError ``revoked-key``.
        """
        signers, _ = trusted.blob_signers(fragment.signatures, fragment.blob, what=label)
        revoked = self.holding_for(trusted.party, trusted.role).keys
        gone = sorted(key.key_id for key in signers.values() if key.key_id in revoked)
        left = len(signers) - len(gone)
        if left < trusted.threshold:
            raise ContentError(
                "revoked-key",
                f"{label}: signed by {left} of the trusted owners without the keys that the bundle"
                f" revokes ({', '.join(gone)}), {trusted.threshold} needed",
                hint=_INSTEAD[fragment.kind],
            )

    def _all(self, places: Iterable[tuple[Party, Role]]) -> Revocations:
        found = NOTHING
        for place in places:
            found |= self._said.get(place, NOTHING)
        return found


def _check_room(label: str, what: str, count: int, room: int) -> None:
    if count > room:
        raise ContentError(
            "too-many-revoked",
            f"{label}: with it the bundle revokes {count} {what}, the gate holds {room}",
            hint="revoke serials in their place (--lowest), and leave out what no keys and no"
            " grants have any more",
        )
