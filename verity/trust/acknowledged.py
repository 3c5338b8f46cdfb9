# SPDX-License-Identifier: Apache-2.0
"""Who signed what was acknowledged: the owner's role etc, or nobody.

It makes no verified type: what an audit compares with is told as signed or not, and nothing on a
host obeys a record. It reads no file and no clock.
"""

from collections.abc import Mapping

from verity.formats import acknowledged, statement
from verity.formats.acknowledged import PAYLOAD_TYPE, Stored
from verity.formats.grants import Party, Role
from verity.trust.keys import PublicKey
from verity.trust.trusted import TrustedSet
from verity.values.errors import CallerError, ContentError


def verify(stored: Stored, trusted: TrustedSet) -> Mapping[str, PublicKey]:
    """The owners who signed; none if there is no signature at all.

    1. The keys are of the user's role etc.
    2. The envelope is over this very record.
    3. At least the threshold of distinct owners signed it, by keys that count and were valid then.

    Raises ContentError: ``bad-document``, ``bad-signature``.
    """
    # 1. Whose.
    if (trusted.party, trusted.role) != (Party.USER, Role.ETC):
        raise CallerError("bad-trust", "what was acknowledged is signed by the user's role etc")
    if stored.envelope is None:
        return {}
    # 2. This record.
    envelope = statement.parse_envelope(stored.envelope)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise ContentError(
            "bad-document",
            f"acknowledgement: the payload type is {envelope.payload_type[:80]!r}, expected"
            f" {PAYLOAD_TYPE!r}",
        )
    acknowledged.check_payload(envelope.payload, stored)
    # 3. Signatures.
    usable, _ = envelope.readable("the acknowledgement")
    judged = trusted.judge(usable, envelope.pae(), issued=stored.record.issued)
    if len(judged.signers) < trusted.threshold:
        hint = "look at what is there, and have the owner acknowledge it anew"
        raise trusted.too_few(judged, "acknowledgement", hint=hint)
    return judged.signers
