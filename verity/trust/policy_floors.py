# SPDX-License-Identifier: Apache-2.0
"""The floor of a host's policy, which has no stream: what the gate was told of it.

By the rules of ``floors``. It reads no file and no clock.
"""

import hashlib
from collections.abc import Sequence

from verity.formats import kernel_policy
from verity.trust import floors
from verity.trust.floors import Floor
from verity.trust.trusted import TrustedSet
from verity.values.errors import ContentError


def of_policy(
    blob: bytes, signatures: Sequence[bytes], trusted: TrustedSet, *, source: str
) -> Floor:
    """A floor from what the gate is told of a policy. Raises ContentError (``bad-floor``)."""
    try:
        said = kernel_policy.parse(blob)
        trusted.blob_signers(signatures, blob, what="policy")
    except ContentError as error:
        raise ContentError("bad-floor", f"{source}: {error.message}") from error
    subjects = {"policy": hashlib.sha256(blob).digest()}
    return Floor(source=source, serial=said.serial, issued=said.issued, subjects=subjects)


def check(blob: bytes, floor: Floor, *, label: str) -> None:
    """Refuse a blob of a policy that the floor rules out, as ``floors.check``."""
    subjects = {"policy": hashlib.sha256(blob).digest()}
    floors.compare(label, "the policy", kernel_policy.parse(blob).serial, subjects, floor)
