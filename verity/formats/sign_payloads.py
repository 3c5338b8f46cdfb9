# SPDX-License-Identifier: Apache-2.0
"""What the payloads of a sign bundle say, and whether they say the same.

``read`` is what a signer's machine does before it shows anything: what is shown afterwards comes
from these values, so nobody signs something other than what they saw. It proves no signature's
owner and reads no tree: whether the grants are what the files earn is asked by whoever attaches.
"""

import hashlib
from dataclasses import dataclass, fields

from verity.formats import (
    dump,
    etc_manifest,
    grant_limits,
    grants,
    kernel_keys,
    kernel_policy,
    keyring,
    policy_document,
    policy_gate,
    revoke,
    sign_bundle,
    statement,
    unlock,
    waiver,
)
from verity.formats.commit import Commit
from verity.formats.dump import Entry
from verity.formats.grant_rules import check_role
from verity.formats.grants import Grants, Party, Role
from verity.formats.kernel_keys import KernelKeys
from verity.formats.kernel_policy import KernelPolicy
from verity.formats.keyring import Keyring
from verity.formats.policy import Policy
from verity.formats.revoke import Revoke
from verity.formats.sign_bundle import Bundle, BundleKind
from verity.formats.statement import Kind, Statement
from verity.formats.unlock import UnlockToken
from verity.formats.waiver import Waiver
from verity.values.errors import ContentError

_ANEW = "the bundle was altered, or made of parts of two: have it prepared anew"
SIGNER_OF = {
    BundleKind.COMMIT: (Kind.OS, Party.VENDOR, Role.OS),
    BundleKind.EXTENSION: (Kind.EXTENSION, Party.USER, Role.EXTENSION),
    BundleKind.ETC: (Kind.ETC, Party.USER, Role.ETC),
}
"""The kind of statement that each tree has, and who signs it."""


@dataclass(frozen=True, kw_only=True)
class TreeSaid:
    """A statement, the grants and the manifest that it names, for a commit the commit object."""

    statement: Statement
    grants: Grants
    entries: tuple[Entry, ...]
    commit: Commit | None


@dataclass(frozen=True, kw_only=True)
class PolicySaid:
    """A policy document, and what the gate is told of it."""

    document: Policy
    kernel: KernelPolicy

    @property
    def issued(self) -> int:
        """When, in seconds since 1970."""
        return self.document.issued

    @property
    def expires(self) -> int:
        """When it does."""
        return self.document.expires


Said = TreeSaid | PolicySaid | KernelKeys | Keyring | Revoke | Waiver | UnlockToken


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A bundle and what its payloads say, which agree with each other."""

    bundle: Bundle
    said: Said

    @property
    def signer(self) -> tuple[Party, Role]:
        """Whose keys sign this, and of which role."""
        if isinstance(self.said, PolicySaid | Waiver):
            return Party.USER, Role.POLICY
        if isinstance(self.said, KernelKeys | Keyring):
            return self.said.party, Role.ROOT
        if isinstance(self.said, Revoke):
            return self.said.party, self.said.role
        if isinstance(self.said, UnlockToken):
            return Party.USER, Role.UNLOCK
        _, party, role = SIGNER_OF[self.bundle.kind]
        return party, role


def open_bundle(data: bytes) -> Opened:
    """Read a bundle and its payloads from bytes."""
    bundle = sign_bundle.parse(data)
    return Opened(bundle=bundle, said=read(bundle))


def read(bundle: Bundle) -> Said:
    """Read the payloads. Raises ContentError, also if two of them contradict each other.

    Whether the blob beside a keyring is its projection is asked by ``verbs.sign_keyring``, where
    projections are made.
    """
    blob, payload = bundle.blob or b"", bundle.payload or b""
    match bundle.kind:
        case BundleKind.POLICY:
            return _read_policy(blob, payload)
        case BundleKind.KEYS:
            return kernel_keys.parse_keys(blob)
        case BundleKind.KEYRING:
            kernel_keys.parse_keys(blob)
            return keyring.parse(payload)
        case BundleKind.REVOKE:
            return revoke.parse(blob)
        case BundleKind.WAIVER:
            return waiver.parse(payload)
        case BundleKind.UNLOCK:
            return _read_token(blob, bundle.reason or "")
        case _:
            return _read_tree(bundle)


def _read_policy(blob: bytes, payload: bytes) -> PolicySaid:
    told = kernel_policy.parse(blob)
    document = policy_document.parse(payload)
    follows = policy_gate.project(document)
    if kernel_policy.encode(follows) != blob:
        names = [one.name for one in fields(follows)]
        differing = [name for name in names if getattr(follows, name) != getattr(told, name)]
        raise ContentError(
            "payloads-differ",
            f"sign bundle: its blob is not what follows from its policy (another"
            f" {', '.join(differing)})",
            hint=_ANEW,
        )
    return PolicySaid(document=document, kernel=told)


def _read_token(blob: bytes, reason: str) -> UnlockToken:
    token = unlock.parse(blob)
    found = unlock.reason_sha256(reason)
    if found != token.reason:
        _differ("reason", "SHA-256", found.hex(), token.reason.hex())
    return token


def _read_tree(bundle: Bundle) -> TreeSaid:
    """Read a tree's documents.

    1. The statement is of this kind, and names this manifest, these grants, this commit.
    2. The grants' header agrees with the statement.
    3. The manifest is of such a tree, and the boot list is its.
    4. The grants hold nothing that the role or the manifest rules out.
    """
    if bundle.payload is None or bundle.manifest is None or bundle.blob is None:
        raise TypeError(f"a bundle of the kind {bundle.kind} is not built without its payloads")
    # 1. What the statement names.
    said = statement.parse(bundle.payload)
    kind, party, role = SIGNER_OF[bundle.kind]
    if said.kind is not kind:
        _differ("statement", "kind", said.kind, kind)
    for name, data in (
        ("manifest", bundle.manifest),
        ("grants", bundle.blob),
        ("commit", bundle.commit),
    ):
        if data is not None:
            found, named = hashlib.sha256(data).hexdigest(), said.subjects[name].hex()
            if found != named:
                _differ(name, "SHA-256", found, named)
    # 2. The grants' header.
    granted = grants.parse(bundle.blob)
    for field, found_value, expected in (
        ("party", granted.party, party),
        ("role", granted.role, role),
        ("stream", granted.stream, said.stream),
        ("serial", granted.serial, said.serial),
        ("issued", granted.issued, said.issued),
        ("expires", granted.expires, said.expires),
        ("manifest", granted.manifest_sha256.hex(), said.subjects["manifest"].hex()),
    ):
        if found_value != expected:
            _differ("grants", field, found_value, expected)
    # 3. The manifest.
    entries = dump.parse(bundle.manifest)
    if kind is Kind.ETC:
        etc_manifest.check(entries)
    if "boot" in said.subjects:
        boot = hashlib.sha256(dump.boot_list(entries)).hexdigest()
        if boot != said.subjects["boot"].hex():
            _differ("boot list", "SHA-256", boot, said.subjects["boot"].hex())
    # 4. What can't be granted.
    check_role(granted)
    grant_limits.check(granted, entries)
    commit = None
    if bundle.commit is not None:
        commit = Commit.parse(bundle.commit, label="commit in the bundle")
    return TreeSaid(statement=said, grants=granted, entries=entries, commit=commit)


def _differ(what: str, field: str, found: object, expected: object) -> None:
    raise ContentError(
        "payloads-differ",
        f"sign bundle: the {field} of the {what} is {found}, expected {expected}",
        hint=_ANEW,
    )
