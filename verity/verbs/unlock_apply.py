# SPDX-License-Identifier: Apache-2.0
"""unlock apply, relock: a token to the gate, and its end before its time.

The gate verifies the token; nothing here widens what it says. Order, so that a slip costs nothing
and every effect has its line in the ledger before it:

1. What was handed over is a token at all, whole, well formed, and for this host, boot and policy.
2. The ledger says that it is going to be applied.
3. The gate takes it or refuses it, and uses its id up only if every signature was right.
4. The ledger says which, then the journal, then who logs in.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from verity.formats import pkcs7, records, typed_token, unlock
from verity.formats.ledger import Event
from verity.formats.pasted import Pasted, kind_of
from verity.formats.records import RecordKind
from verity.formats.unlock import UnlockToken
from verity.formats.unlock_request import operand_text, scope_name
from verity.ports import bpf, notice
from verity.values.errors import ContentError, VerityError
from verity.verbs import unlock_host, unlock_words
from verity.verbs.unlock_host import UnlockHost

MAX_SIZE = 64 * 2**10
_HINTS = {
    Pasted.NOTHING: "`verity unlock apply FILE`, or paste the groups of the token",
    Pasted.CHALLENGE: "send it to who may unlock: `verity unlock sign --challenge FILE`; what comes"
    " back is the token",
    Pasted.BUNDLE: "the next signer goes on with `verity unlock sign --bundle FILE`",
    Pasted.FRAGMENT: "`verity lockdown import` takes grants and revocations",
}
_UNASKED = "the gate took it, and can't be asked what came of it: {}"
_NO_TOKEN = "expected the file that `verity unlock sign` wrote, or its typed groups"  # noqa: S105


@dataclass(frozen=True, kw_only=True)
class SignedToken:
    """A token as the gate takes it; nobody has verified the signatures yet."""

    blob: bytes
    signatures: tuple[bytes, ...]
    token: UnlockToken


def read(data: bytes, host: UnlockHost, *, label: str) -> SignedToken:
    """What was handed over, as a token. Raises ContentError that says what it is instead."""
    found = kind_of(data)
    try:
        if found is Pasted.TYPED:
            blob, signatures = typed_token.rebuild(typed_token.decode(data), host.challenge)
        elif found is Pasted.TOKEN:
            blob, signatures = _file(data, label)
        else:
            raise ContentError(
                "no-token", f"this is {found}, and no token", hint=_HINTS.get(found, _NO_TOKEN)
            )
        for signature in signatures:
            pkcs7.parse(signature)
        return SignedToken(blob=blob, signatures=signatures, token=unlock.parse(blob))
    except ContentError as error:
        hint = error.hint or "have it made anew: it was altered, or made by another version"
        raise ContentError(error.code, f"{label}: {error.message}", hint=hint) from error


def check(token: UnlockToken, host: UnlockHost) -> None:
    """Refuse (ContentError) what the gate would for its place: another host, boot, policy, time.

    The gate asks all of it again. Here it costs nothing, and the answer names both sides.
    """
    here = host.challenge
    anew = "print a challenge here, and have that one signed: `verity unlock challenge`"
    if token.host_id != here.host_id:
        _other("other-host", "another host", token.host_id.hex(), here.host_id.hex(), anew)
    if token.boot_nonce != here.boot_nonce:
        nonce = here.boot_nonce.hex()
        _other("other-boot", "another boot", token.boot_nonce.hex(), nonce, anew)
    if token.policy_serial != here.policy_serial:
        serials = str(token.policy_serial), str(here.policy_serial)
        _other("other-policy", "another policy", *serials, anew)
    if here.boot_clock_s >= token.apply_before_s:
        raise ContentError(
            "too-late",
            f"the token had to be applied before second {token.apply_before_s} of this boot, and it"
            f" is second {here.boot_clock_s}",
            hint=anew,
        )
    if token.token_id in {one.token_id for one in host.gate.unlocks}:
        raise ContentError(
            "used", f"the token {token.token_id.hex()} was applied before", hint=anew
        )


def apply(host: UnlockHost, signed: SignedToken) -> tuple[str, ...]:
    """Hand it over; what could not be written down. The gate's refusal is raised.

    The caller has asked ``check`` already.
    """
    token = signed.token
    fields = {
        "token": token.token_id.hex(),
        "scope": scope_name(token.scope),
        "operand": operand_text(token.scope, token.operand) if token.operand else "",
        "reason_sha256": token.reason.hex(),
    }
    # 2. Before the effect.
    notes = unlock_host.record(
        host, host.entry(Event.APPLY, fields, numbers={"duration_s": token.duration_s})
    )
    # 3. The gate.
    try:
        bpf.unlock(signed.blob, signed.signatures)
    except VerityError as error:
        refused(host, error, fields["token"])
        raise
    # 4. What became of it. It is open now: what can't be asked or written ends nothing.
    try:
        after = unlock_host.look(host.root, host.now)
    except VerityError as error:
        return (*notes, _UNASKED.format(error.message))
    if token.duration_s:
        shown = [one for one in after.gate.unlocks if one.token_id == token.token_id]
        notes += unlock_host.record(
            after,
            unlock_host.granting(after, shown[0]) if shown else after.entry(Event.GRANT, fields),
        )
        said = unlock_words.granted(after, token)
    else:
        notes += unlock_host.record(after, after.entry(Event.DRILL, {"token": fields["token"]}))
        said = "unlock drill: the gate took a token that changes nothing"
    return (*notes, *tell(after, said))


def refused(host: UnlockHost, error: VerityError, token: str = "") -> tuple[str, ...]:
    """Write down that something was refused, and by which name."""
    return unlock_host.record(host, host.entry(Event.REFUSED, {"token": token, "why": error.code}))


def relock(host: UnlockHost, token_id: bytes | None) -> tuple[str, ...]:
    """End one unlock, or all; what could not be written down."""
    if token_id is not None and token_id not in {one.token_id for one in host.live}:
        raise ContentError(
            "not-unlocked",
            f"unlock {token_id.hex()}: it is not live",
            hint="`verity unlock status` lists those that are",
        )
    notes = unlock_host.record(
        host, host.entry(Event.RELOCK, {"token": "all" if token_id is None else token_id.hex()})
    )
    bpf.relock(token_id)
    try:
        after = unlock_host.look(host.root, host.now)
    except VerityError as error:
        return (*notes, _UNASKED.format(error.message))
    notes += unlock_host.carry_over(after)
    what = "every unlock" if token_id is None else f"the unlock {token_id.hex()}"
    return (*notes, *tell(after, f"relock: {what} was ended before its time"))


def tell(host: UnlockHost, said: str) -> tuple[str, ...]:
    """The journal, and who logs in; what didn't work is said and stops nothing."""
    return (*unlock_host.journal(host, said), *show(host))


def show(host: UnlockHost) -> tuple[str, ...]:
    """Have who logs in read what is unlocked now."""
    try:
        notice.write(host.root, unlock_words.motd(host))
    except VerityError as error:
        return (error.message,)
    return ()


def _file(data: bytes, label: str) -> tuple[bytes, tuple[bytes, ...]]:
    found: Sequence[records.Fragment] = ()
    with contextlib.suppress(ContentError):
        found = records.split(data, label=label)
    if not found:
        raise ContentError(
            "no-token",
            "the token is damaged: a part was cut off, or changed on the way",
            hint="take the file once more, as a file and not as text; or have it typed",
        )
    if len(found) > 1 or found[0].kind is not RecordKind.UNLOCK or not found[0].signatures:
        raise ContentError(
            "no-token",
            "more than one token, or one without a signature",
            hint="one file is one token: take it as `verity unlock sign` wrote it",
        )
    return found[0].blob, found[0].signatures


def _other(code: str, what: str, found: str, here: str, hint: str) -> None:
    raise ContentError(
        code, f"the token is for {what}: {found[:16]}, and here it is {here[:16]}", hint=hint
    )
