# SPDX-License-Identifier: Apache-2.0
"""Revocations, a waiver and an unlock token in plain words, for the person who is about to sign.

As ``sign_summary``, of which it is a part: from the values that are signed, and from nothing else.
Nothing is counted here: each of these documents is short, and each of its lines has an effect.
"""

from collections.abc import Iterator
from hashlib import sha256

from verity.formats.dump import printable
from verity.formats.durations import lasting
from verity.formats.revoke import Revoke
from verity.formats.sign_bundle import Bundle
from verity.formats.statement import format_time
from verity.formats.unlock import PATH_SCOPES, Scope, UnlockToken
from verity.formats.waiver import EVERY_HOST, Waiver

Line = tuple[str, str]

_OPENS = {
    Scope.DIGEST: "the file of the digest sha256:{} may run and be mapped",
    Scope.PATH_PREFIX: "what is at or below {} may run and be mapped",
    Scope.CONFIG_PATH: "the guarded configuration {} may be another one, and be changed",
    Scope.SESSION: "one login session may do what the policy refuses; it is killed at the end",
    Scope.OBSERVE_ONLY: "the WHOLE HOST: everything is still decided and logged, nothing refused",
    Scope.OFF: "the WHOLE HOST: nothing is refused but what the gate guards itself, and this boot"
    " is marked",
}


def lines(bundle: Bundle, said: Revoke | Waiver | UnlockToken) -> Iterator[Line]:
    """The summary as (word, text), without who signed."""
    if isinstance(said, Revoke):
        return _revoke(bundle, said)
    if isinstance(said, Waiver):
        return _waiver(bundle, said)
    return _unlock(bundle, said)


def _revoke(bundle: Bundle, said: Revoke) -> Iterator[Line]:
    party = said.party.name.lower()
    yield "what", f"revocations of the {party} sha256:{sha256(bundle.blob or b'').hexdigest()}"
    yield "serial", f"{said.serial}, issued {format_time(said.issued)}; it never expires"
    yield "instead", "of the list before it, from the next boot on: what isn't in it counts again"
    for key in said.keys:
        yield "revokes", f"key {key.hex()}: whatever it signed"
    for digest in said.digests:
        yield "revokes", f"digest {digest.hex()}: files of these contents"
    for one in said.streams:
        yield "revokes", f"stream {one.stream}: every serial below {one.lowest}"
    if not (said.keys or said.digests or said.streams):
        yield "revokes", "nothing at all"


def _waiver(bundle: Bundle, said: Waiver) -> Iterator[Line]:
    yield "what", f"waiver sha256:{sha256(bundle.payload or b'').hexdigest()}"
    yield "host", "EVERY HOST" if said.host == EVERY_HOST else said.host
    yield "waives", f"findings of the check {said.check}"
    yield "object", f"{printable(said.path)} with the digest sha256:{said.digest.hex()}"
    yield "because", said.reason
    yield "valid", f"from {format_time(said.issued)} until {format_time(said.expires)}"


def _unlock(bundle: Bundle, said: UnlockToken) -> Iterator[Line]:
    yield "what", f"unlock token {said.token_id.hex()}"
    operand = printable(said.operand) if said.scope in PATH_SCOPES else said.operand.hex()
    yield "opens", _OPENS[said.scope].format(operand)
    yield "for", f"{said.duration_s} seconds ({lasting(said.duration_s)}) once it is applied"
    yield "because", bundle.reason or ""
    yield "host", said.host_id.hex()
    yield "boot", f"nonce {said.boot_nonce.hex()}: no other boot takes it"
    yield "policy", f"serial {said.policy_serial}"
    uptime = lasting(said.apply_before_s)
    yield "before", f"{said.apply_before_s} seconds on the boot clock ({uptime} after the boot)"
