# SPDX-License-Identifier: Apache-2.0
"""unlock sign: from a challenge to a token, by those who may open the host.

What is granted is decided here, on the operator's machine: the host only asks. Its name is the one
of the operator's own list; whatever the host says of itself is shown as its claim. Signatures are
made and checked as for every other document (``sign_add``, ``sign_proof``); whose keys count on
that host is for its gate to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from verity.formats import typed_token
from verity.formats import unlock as tokens
from verity.formats.inventory import KnownHost
from verity.formats.pkcs7 import parse as parse_pkcs7
from verity.formats.records import Fragment
from verity.formats.sign_payloads import Opened
from verity.formats.unlock import Scope, UnlockToken
from verity.formats.unlock_request import Request
from verity.trust.keys import parse_spki
from verity.values.errors import CallerError, ContentError
from verity.verbs import sign_documents, sign_proof, sign_summary

DRILL = "NOTHING: this is a drill. The token is verified and used up, and changes nothing"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the operator grants, where it isn't what the host asks for."""

    scope: Scope | None = None
    operand: bytes = b""
    duration_s: int | None = None
    reason: str | None = None
    within_s: int = 3600


def granted(request: Request, terms: Terms) -> Request:
    """The request with the operator's own terms; CallerError for what neither says."""
    if terms.scope is not None:
        request = replace(request, scope=terms.scope, operand=terms.operand)
    if terms.duration_s is not None:
        request = replace(request, duration_s=terms.duration_s)
    if terms.reason is not None:
        request = replace(request, reason=terms.reason)
    for option, value in (
        ("--scope", request.scope),
        ("--for", request.duration_s),
        ("--reason", request.reason),
    ):
        if value is None:
            raise CallerError(
                "bad-arguments",
                f"the challenge asks for nothing itself, and {option} is missing",
                hint="a challenge of `verity-unlock` or of the status alone has no request in it",
            )
    return request


def known(
    inventory: Mapping[bytes, KnownHost], host_id: bytes, *, insecure_unknown: bool
) -> KnownHost:
    """Whose challenge it is, by the operator's own list; ContentError (``unknown-host``)."""
    found = inventory.get(host_id)
    if found is not None:
        return found
    if not insecure_unknown:
        raise ContentError(
            "unknown-host",
            f"host {host_id.hex()}: the inventory doesn't have it",
            hint="if you know by other means whose it is, add it: [hosts.ID] with name = ..., or"
            " sign with --insecure-unknown-host",
        )
    return KnownHost(name="an UNKNOWN HOST, which is not in your inventory", is_unknown=True)


def prepare(request: Request, terms: Terms, token_id: bytes) -> Opened:
    """The token that grants a request, unsigned."""
    return sign_documents.token(
        request.challenge,
        token_id=token_id,
        scope=request.scope or Scope.DIGEST,
        operand=request.operand,
        duration_s=request.duration_s or 0,
        apply_within_s=terms.within_s,
        reason=request.reason or "",
    )


def token_of(opened: Opened) -> UnlockToken:
    """The token in a bundle; CallerError for a bundle of anything else."""
    if not isinstance(opened.said, UnlockToken):
        raise CallerError(
            "bad-arguments",
            f"a sign bundle of the kind {opened.bundle.kind}, expected one of an unlock",
            hint="`verity sign add` signs it",
        )
    return opened.said


def words(
    opened: Opened, host: KnownHost, asked: Request | None, terms: Terms
) -> list[tuple[str, str]]:
    """What is going to be signed, for people: the host by the operator's name for it."""
    token = token_of(opened)
    found = []
    for word, text in sign_summary.lines(opened):
        if word == "host":
            found.append((word, f"{host.name} (id {text})"))
            if asked is not None and asked.host_name is not None:
                found.append(("", f"it calls itself {asked.host_name}, which proves nothing"))
            if asked is not None and asked.level is not None:
                found.append(("level", f"{asked.level}  (so the host says)"))
        elif word == "opens" and not token.duration_s:
            found.append((word, DRILL))
        elif word == "because" and asked is not None and terms.reason is None:
            found.append((word, f"{text}  (so the host says; ask who called you)"))
        else:
            found.append((word, text))
    return found


def finish(opened: Opened, owners: int) -> bytes | None:
    """The token's file once so many have signed; None before."""
    keys = [parse_spki(one.public, label="a signer's key") for one in opened.bundle.signatures]
    if len(keys) < owners:
        return None
    trusted = sign_proof.trusted_set(opened, keys, owners)
    return sign_proof.fragment_bytes(sign_proof.prove(opened, trusted))


def groups(fragment: Fragment) -> tuple[str, ...]:
    """A token as it is typed."""
    signatures = [parse_pkcs7(one) for one in fragment.signatures]
    return typed_token.encode(typed_token.of_token(tokens.parse(fragment.blob), signatures))
