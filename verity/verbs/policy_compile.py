# SPDX-License-Identifier: Apache-2.0
"""policy compile: the blob that tells the gate its mode, who is privileged, and the streams.

What is compiled is what the caller names; drop-ins as its source are not read yet. It is signed
by keys of the user's role policy, and verified with their public halves before it is written.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from verity.formats import bundle, kernel_policy
from verity.formats.grants import Party, Role
from verity.formats.kernel_policy import KernelPolicy
from verity.formats.records import RecordKind
from verity.ports.keystore import SigningKey
from verity.ports.osfile import write_new_file
from verity.verbs import fragments


def compile_policy(policy: KernelPolicy, signing: Sequence[SigningKey], target: Path) -> str:
    """Write a fragment with the policy; the SHA-256 of the blob in hex."""
    blob = kernel_policy.encode(policy)
    fragment = fragments.sign(RecordKind.POLICY, blob, signing, party=Party.USER, role=Role.POLICY)
    write_new_file(target, bundle.encode([fragment]), mode=0o644)
    return hashlib.sha256(blob).hexdigest()
