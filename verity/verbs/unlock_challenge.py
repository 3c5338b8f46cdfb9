# SPDX-License-Identifier: Apache-2.0
"""unlock challenge: public state of this boot, and what is asked for. It costs nothing.

No check of the request is one of permission: the gate has the policy, and whoever signs decides. A
request that no token could hold is refused here, so that it needn't travel.
"""

from verity.formats import unlock
from verity.formats.escaped import printable
from verity.formats.gate_status import State
from verity.formats.ledger import Event
from verity.formats.unlock import Scope, UnlockToken
from verity.formats.unlock_request import Request, operand_text, scope_name
from verity.ports import host as hosts
from verity.values.errors import ContentError
from verity.verbs import unlock_host
from verity.verbs.unlock_host import UnlockHost

TRUSTED = (
    *(b"/etc/verity", b"/usr/lib/verity", b"/var/lib/verity"),
    *(b"/boot", b"/sys/fs/bpf/verity"),
)


def make(
    host: UnlockHost, *, scope: Scope, operand: bytes, duration_s: int, reason: str, level: str
) -> Request:
    """The request; ContentError (``bad-unlock``, ``not-sealed``) for one that can't be."""
    if host.gate.state is not State.SEALED:
        raise ContentError(
            "not-sealed",
            f"the gate's state is {host.gate.state}: it refuses nothing that could be unlocked",
            hint="`verity lockdown status` shows it",
        )
    here = host.challenge
    if scope in unlock.PATH_SCOPES and _is_trusted(operand):
        raise ContentError(
            "bad-unlock",
            f"{printable(operand)}: no token opens keys, policy, ledger and what boots",
            hint="they change by what is signed: `verity keyring`, `verity policy`",
        )
    unlock.encode(  # for its refusals; the id is the signer's to draw
        UnlockToken(
            boot_nonce=here.boot_nonce,
            token_id=b"\xff" * unlock.TOKEN_ID_SIZE,
            host_id=here.host_id,
            policy_serial=max(here.policy_serial, 1),
            scope=scope,
            duration_s=duration_s,
            apply_before_s=here.boot_clock_s + 1,
            reason=unlock.reason_sha256(reason),
            operand=operand,
        )
    )
    return Request(
        challenge=here,
        host_name=hosts.host_name(host.root),
        level=level,
        scope=scope,
        operand=operand,
        duration_s=duration_s,
        reason=reason,
    )


def _is_trusted(path: bytes) -> bool:
    """Whether it is one of the places that no unlock opens, or below one (policy/gate/unlock.h)."""
    return any(path == place or path.startswith(place + b"/") for place in TRUSTED)


def record(host: UnlockHost, request: Request) -> tuple[str, ...]:
    """The ledger's line of it, for root; what couldn't be written."""
    scope = request.scope or Scope.OFF
    return unlock_host.record(
        host,
        host.entry(
            Event.CHALLENGE,
            {
                "scope": scope_name(scope),
                "operand": operand_text(scope, request.operand) if request.operand else "",
                "reason": request.reason or "",
            },
            numbers={"duration_s": request.duration_s or 0},
        ),
    )
