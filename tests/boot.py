# SPDX-License-Identifier: Apache-2.0
"""A boot bundle in memory, of two parties, for tests that change one thing in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.world import EXPIRES, ISSUED, Signer
from verity.formats import grants, kernel_keys, kernel_policy, pkcs7, revoke
from verity.formats.grants import Code, CodeEntry, Grants, Party, Role
from verity.formats.kernel_keys import KernelKeys, KeyEntry, Pin, sorted_keys
from verity.formats.kernel_policy import KernelPolicy, Mode, Stream
from verity.formats.records import Fragment, RecordKind
from verity.formats.revoke import Revoke
from verity.trust.boot_bundle import Labelled, check
from verity.values.errors import VerityError

NOW = (ISSUED + EXPIRES) // 2
VENDOR_ROOT, USER_ROOT, SECOND_ROOT = Signer(21), Signer(22), Signer(23)
OS, EXTENSION, POLICY = Signer(24), Signer(25), Signer(26)
STRANGER = Signer(27)
USER_KEYS = {Role.EXTENSION: [EXTENSION], Role.POLICY: [POLICY]}


def held(roles: Mapping[Role, Sequence[Signer]]) -> tuple[KeyEntry, ...]:
    """The keys of these roles, each with an owner of its own."""
    return sorted_keys(
        {role: {str(s.number): [s.public.spki] for s in signers} for role, signers in roles.items()}
    )


def pin(party: Party, *signers: Signer, threshold: int = 1) -> Pin:
    return Pin(party=party, threshold=threshold, keys=held({Role.ROOT: signers}))


def signed(label: str, kind: RecordKind, blob: bytes, *signers: Signer) -> Labelled:
    signatures = tuple(
        pkcs7.encode(key_id=s.public.key_id, signature=s.sign(blob)) for s in signers
    )
    return Labelled(label=label, fragment=Fragment(kind=kind, blob=blob, signatures=signatures))


def keys_blob(party: Party, roles: Mapping[Role, Sequence[Signer]], **changes: Any) -> bytes:
    values: dict[str, Any] = {
        "party": party,
        "version": 3,
        "issued": ISSUED,
        "expires": EXPIRES,
        "thresholds": {role: 1 for role in roles},
        "keys": held(roles),
    }
    return kernel_keys.encode_keys(KernelKeys(**{**values, **changes}))


def policy_blob(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "mode": Mode.SEALED,
        "serial": 4,
        "issued": ISSUED,
        "expires": EXPIRES,
        "privileged_caps": kernel_policy.PRIVILEGED_CAPS,
        "groups": (6, 42),
        "streams": (
            Stream(name="os", party=Party.VENDOR, role=Role.OS),
            Stream(name="tools", party=Party.USER, role=Role.EXTENSION),
        ),
    }
    return kernel_policy.encode(KernelPolicy(**{**values, **changes}))


def grants_blob(party: Party, role: Role, stream: str, **changes: Any) -> bytes:
    values: dict[str, Any] = {
        "party": party,
        "role": role,
        "stream": stream,
        "serial": 5,
        "issued": ISSUED,
        "expires": EXPIRES,
        "manifest_sha256": bytes(32),
        "code": (CodeEntry(b"\x01" * 32, Code.EXEC),),
    }
    return grants.encode(Grants(**{**values, **changes}))


def vendor_keys(*signers: Signer, **changes: Any) -> Labelled:
    blob = keys_blob(Party.VENDOR, {Role.OS: [OS]}, **changes)
    return signed("v.keys", RecordKind.KEYS, blob, *(signers or (VENDOR_ROOT,)))


def user_keys(
    *signers: Signer, roles: Mapping[Role, Sequence[Signer]] = USER_KEYS, **changes: Any
) -> Labelled:
    blob = keys_blob(Party.USER, roles, **changes)
    return signed("u.keys", RecordKind.KEYS, blob, *(signers or (USER_ROOT,)))


def policy(*signers: Signer, **changes: Any) -> Labelled:
    return signed("policy", RecordKind.POLICY, policy_blob(**changes), *(signers or (POLICY,)))


def revoked(party: Party, role: Role, signer: Signer, **changes: Any) -> Labelled:
    values: dict[str, Any] = {"party": party, "role": role, "serial": 2, "issued": ISSUED}
    blob = revoke.encode(Revoke(**{**values, **changes}))
    return signed(f"{party.name}.{role.name}.revoke".lower(), RecordKind.REVOKE, blob, signer)


def os_grants(*signers: Signer, stream: str = "os", **changes: Any) -> Labelled:
    blob = grants_blob(Party.VENDOR, Role.OS, stream, **changes)
    return signed("os.grants", RecordKind.GRANTS, blob, *(signers or (OS,)))


def extension_grants(*signers: Signer, stream: str = "tools", **changes: Any) -> Labelled:
    blob = grants_blob(Party.USER, Role.EXTENSION, stream, **changes)
    return signed("tools.grants", RecordKind.GRANTS, blob, *(signers or (EXTENSION,)))


@dataclass
class Bundle:
    """Everything that the check takes. Change a field, then check."""

    keys: list[Labelled] = field(default_factory=lambda: [vendor_keys(), user_keys()])
    policies: list[Labelled] = field(default_factory=lambda: [policy()])
    revocations: list[Labelled] = field(default_factory=list)
    grants: list[Labelled] = field(default_factory=lambda: [os_grants(), extension_grants()])
    pins: dict[Party, Pin] = field(
        default_factory=lambda: {
            Party.VENDOR: pin(Party.VENDOR, VENDOR_ROOT),
            Party.USER: pin(Party.USER, USER_ROOT),
        }
    )

    @property
    def labelled(self) -> list[Labelled]:
        return [*self.keys, *self.policies, *self.revocations, *self.grants]


def two_keys_of_one(*signers: Signer) -> tuple[KeyEntry, ...]:
    return tuple(replace(entry, owner=0) for entry in held({Role.ROOT: signers}))


def altered(item: Labelled) -> Labelled:
    """One bit of the blob flipped, in a place that every parser takes: the last digit of issued."""
    at = 40
    blob = bytearray(item.fragment.blob)
    blob[at] ^= 1
    return replace(item, fragment=replace(item.fragment, blob=bytes(blob)))


def garbled(item: Labelled) -> Labelled:
    """Kept kind, broken length."""
    return replace(item, fragment=replace(item.fragment, blob=item.fragment.blob + b"\0"))


def caught(bundle: Bundle) -> VerityError:
    with pytest.raises(VerityError) as found:
        check(bundle.labelled, bundle.pins, now=NOW)
    return found.value
