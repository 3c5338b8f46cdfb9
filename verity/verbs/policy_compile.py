# SPDX-License-Identifier: Apache-2.0
"""policy compile: the one policy document, signed, and beside it what the gate is told of it.

Both are signed by the same keys of the user's role policy, and verified with their public halves
before anything is written: the document as DSSE, in ``OUT.json``, and the blob that follows from it
as a fragment of a boot bundle, in ``OUT``. The document and the blob are the same bytes for the
same lines, serial and times; a signature of ECDSA is another one each time.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle, kernel_policy, policy_document, policy_gate, strictjson
from verity.formats.grants import Party, Role
from verity.formats.kernel_policy import KernelPolicy
from verity.formats.policy import Policy
from verity.formats.records import Fragment, RecordKind
from verity.formats.statement import pae
from verity.ports.keystore import SigningKey
from verity.trust import policy as trust_policy
from verity.trust.trusted import TrustedSet
from verity.verbs import fragments, policy_write


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """What was written: SHA-256 of blob and document in hex, and what the gate is told."""

    sha256: str
    document_sha256: str
    kernel: KernelPolicy


def compile_policy(source: Policy, signing: Sequence[SigningKey], target: Path) -> Compiled:
    """Write document and blob; neither if one of them can't be written."""
    envelope, fragment = sign(source, signing)
    policy_write.write(target, bundle.encode([fragment]), envelope)
    return Compiled(
        sha256=hashlib.sha256(fragment.blob).hexdigest(),
        document_sha256=hashlib.sha256(policy_document.encode(source)).hexdigest(),
        kernel=policy_gate.project(source),
    )


def sign(source: Policy, signing: Sequence[SigningKey]) -> tuple[bytes, Fragment]:
    """The signed document, and what the gate is told; both are verified before they are given."""
    payload = policy_document.encode(source)
    kernel = policy_gate.project(source)
    blob = kernel_policy.encode(kernel)
    fragment = fragments.sign(RecordKind.POLICY, blob, signing, party=Party.USER, role=Role.POLICY)
    envelope = _envelope(payload, signing)
    trusted = TrustedSet.of_keys(
        [key.public for key in signing],
        party=Party.USER,
        role=Role.POLICY,
        threshold=len(signing),
        allow_example_keys=True,  # whoever opened the keys has decided
    )
    verified = trust_policy.verify_policy(envelope, trusted)
    trust_policy.verify_blob(fragment.blob, fragment.signatures, verified, trusted)
    return envelope, fragment


def _envelope(payload: bytes, signing: Sequence[SigningKey]) -> bytes:
    over = pae(payload, policy_document.PAYLOAD_TYPE)
    return strictjson.canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": policy_document.PAYLOAD_TYPE,
            "signatures": [
                {"keyid": key.public.key_id, "sig": base64.b64encode(key.sign(over)).decode()}
                for key in signing
            ],
        }
    )
