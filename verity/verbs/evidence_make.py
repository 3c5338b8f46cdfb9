# SPDX-License-Identifier: Apache-2.0
"""audit --evidence: a capsule, signed, verified as an auditor will, and written as a new file.

What goes into it ``evidence_collect`` says.
"""

from collections.abc import Sequence
from pathlib import Path

from verity.formats import evidence
from verity.formats.evidence import Evidence
from verity.formats.grants import Party, Role
from verity.ports import capsules
from verity.ports.keystore import SigningKey
from verity.trust.evidence import VerifiedEvidence, verify_evidence
from verity.trust.trusted import TrustedSet
from verity.verbs import sign_add


def write(found: Evidence, keys: Sequence[SigningKey], target: Path) -> VerifiedEvidence:
    """Sign a capsule with each of these keys, and write it as a new file.

    1. There is a key, and none twice.
    2. Sign, and verify as an auditor will.
    3. Write all of it or nothing.
    """
    # 1. Keys.
    sign_add.check_keys(keys, threshold=len(keys))
    # 2. Sign and verify.
    payload = evidence.encode(found)
    over = evidence.over(payload)
    sealed = evidence.seal(payload, [(key.public.key_id, key.sign(over)) for key in keys])
    trusted = TrustedSet.of_keys(
        [key.public for key in keys],
        party=Party.USER,
        role=Role.EVIDENCE,
        threshold=len(keys),
        allow_example_keys=True,  # whoever opened the keys has decided
    )
    verified = verify_evidence(sealed, [trusted])
    # 3. Write.
    capsules.write(target, sealed)
    return verified
