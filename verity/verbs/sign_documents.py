# SPDX-License-Identifier: Apache-2.0
"""Bundles of what no tree gives: revocations, waivers, unlock tokens, policies. Nothing is signed
here.

A party's revocations stand in its keyring and, for the kernel, in a blob; ``revoke_of`` is the one
place that makes the second of the first, as ``keyring_project`` does with its keys.
"""

from pathlib import Path

from verity.formats import (
    kernel_policy,
    policy_document,
    policy_gate,
    revoke,
    sign_payloads,
    statement,
    unlock,
    waiver,
)
from verity.formats.challenge import Challenge
from verity.formats.grants import Role
from verity.formats.keyring import Keyring
from verity.formats.policy import Policy
from verity.formats.revoke import Revoke, StreamFloor
from verity.formats.sign_bundle import Bundle, BundleKind
from verity.formats.sign_payloads import Opened
from verity.formats.unlock import Scope, UnlockToken
from verity.formats.waiver import Waiver
from verity.ports.osfile import read_file
from verity.values.errors import CallerError, ContentError


def revoke_of(keyring: Keyring) -> Revoke:
    """What a version of a keyring revokes, for the kernel: signed by root, with its version."""
    return Revoke(
        party=keyring.party,
        role=Role.ROOT,
        serial=keyring.version,
        issued=keyring.issued,
        keys=tuple(map(bytes.fromhex, keyring.revoked.keys)),
        digests=keyring.revoked.digests,
        streams=tuple(
            StreamFloor(stream=stream, lowest=lowest)
            for stream, lowest in sorted(keyring.revoked.serials.items())
        ),
    )


def revocations(value: Revoke) -> Opened:
    """A bundle of revocations; CallerError for a role of the party that may not revoke."""
    if value.role not in revoke.SIGNERS[value.party]:
        known = ", ".join(role.name.lower() for role in sorted(revoke.SIGNERS[value.party]))
        raise CallerError(
            "wrong-role",
            f"the {value.party.name.lower()}'s role {value.role.name.lower()} may not revoke,"
            f" expected one of {known}",
        )
    made = Bundle(kind=BundleKind.REVOKE, blob=revoke.encode(value))
    return Opened(bundle=made, said=value)


def check_in_step(opened: Opened, keyring: Keyring | None) -> None:
    """Refuse root's revocations (``not-in-step``) that are not those of its keyring."""
    said = opened.said
    if keyring is None or not isinstance(said, Revoke) or said.role is not Role.ROOT:
        return
    if said != revoke_of(keyring):
        raise ContentError(
            "not-in-step",
            f"sign bundle: its revocations, of serial {said.serial}, are not those of version"
            f" {keyring.version} of the keyring",
            hint="`sign prepare revoke --keyring DIR` makes them from the newest version",
        )


def exemption(value: Waiver) -> Opened:
    """A bundle of a waiver."""
    made = Bundle(kind=BundleKind.WAIVER, payload=waiver.encode(value))
    return Opened(bundle=made, said=value)


def token(
    challenge: Challenge,
    *,
    token_id: bytes,
    scope: Scope,
    operand: bytes,
    duration_s: int,
    apply_within_s: int,
    reason: str,
) -> Opened:
    """A bundle of an unlock token that answers a challenge.

    It can be applied until ``apply_within_s`` after the challenge was printed.
    """
    value = UnlockToken(
        boot_nonce=challenge.boot_nonce,
        token_id=token_id,
        host_id=challenge.host_id,
        policy_serial=challenge.policy_serial,
        scope=scope,
        duration_s=duration_s,
        apply_before_s=challenge.boot_clock_s + apply_within_s,
        reason=unlock.reason_sha256(reason),
        operand=operand,
    )
    made = Bundle(kind=BundleKind.UNLOCK, blob=unlock.encode(value), reason=reason)
    return Opened(bundle=made, said=value)


def read_policy(path: Path) -> Opened:
    """Take the policy that `policy compile` wrote as OUT.json, without its signatures.

    They don't say by which public key: who made them signs once more.
    """
    data = read_file(path, max_size=statement.MAX_ENVELOPE)
    try:
        envelope = statement.parse_envelope(data)
        if envelope.payload_type != policy_document.PAYLOAD_TYPE:
            raise ContentError(
                "bad-document", f"the payload type is {envelope.payload_type[:80]!r}, no policy's"
            )
        return policy(policy_document.parse(envelope.payload))
    except ContentError as error:
        raise ContentError(
            error.code,
            f"{path}: {error.message}",
            hint=error.hint or "the document is the OUT.json of `verity policy compile`",
        ) from error


def policy(source: Policy) -> Opened:
    """A bundle of a policy, and beside it what the gate is told of it: both are signed together.

    Raises ContentError (``bad-policy``) for what the gate can't be told.
    """
    made = Bundle(
        kind=BundleKind.POLICY,
        payload=policy_document.encode(source),
        blob=kernel_policy.encode(policy_gate.project(source)),
    )
    return Opened(bundle=made, said=sign_payloads.read(made))
