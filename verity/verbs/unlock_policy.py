# SPDX-License-Identifier: Apache-2.0
"""What the policy of a host's boot bundle lets tokens open, and who signs them, for people.

Nobody verifies the bundle here: the gate has its own copy of the policy, and alone decides. So what
is found here is a hint on a card or a warning before a token is asked for in vain, and no more.
"""

from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle, kernel_keys, kernel_policy
from verity.formats.durations import lasting
from verity.formats.grants import Party, Role
from verity.formats.kernel_keys import KernelKeys
from verity.formats.kernel_policy import KernelPolicy
from verity.formats.records import RecordKind
from verity.formats.unlock_request import Request, scope_name
from verity.ports import places
from verity.ports.osfile import read_file
from verity.values.errors import VerityError


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The policy and the user's keys, or why they are not known."""

    policy: KernelPolicy | None = None
    keys: KernelKeys | None = None
    problem: str = ""


def read(root: Path) -> Rules:
    """What the host's boot bundle has."""
    policy = keys = None
    try:
        data = read_file(root / places.BUNDLE, max_size=bundle.MAX_SIZE)
        for fragment in bundle.parse(data):
            if fragment.kind is RecordKind.POLICY:
                policy = kernel_policy.parse(fragment.blob)
            elif fragment.kind is RecordKind.KEYS:
                found = kernel_keys.parse_keys(fragment.blob)
                keys = found if found.party is Party.USER else keys
    except VerityError as error:
        return Rules(problem=error.message)
    return Rules(policy=policy, keys=keys)


def warning(root: Path, request: Request) -> str:
    """Why the gate would refuse a token for this, as far as can be told; empty if none is known."""
    policy = read(root).policy
    if policy is None or policy.serial != request.challenge.policy_serial:
        return ""
    limits = {limit.scope: limit for limit in policy.unlock if limit.seconds}
    if request.scope not in limits:
        opened = ", ".join(scope_name(scope) for scope in sorted(limits)) or "nothing"
        return f"the policy never opens this scope; it opens {opened}"
    longest = limits[request.scope].seconds
    if (request.duration_s or 0) > longest:
        return f"the policy opens this scope for {lasting(longest)} at the most"
    return ""


def signers(rules: Rules) -> tuple[str, ...]:
    """Who unlocks, in lines."""
    if rules.keys is None:
        return (f"who signs is not known: {rules.problem or 'the boot bundle has no keys'}",)
    found = [key for key in rules.keys.keys if key.role is Role.UNLOCK]
    if not found:
        return ("NO KEY OF THIS HOST MAY UNLOCK IT: add the role unlock to the user's keys",)
    lines = [f"{rules.keys.thresholds[Role.UNLOCK]} of these owners must sign:"]
    for owner in sorted({key.owner for key in found}):
        ids = " or ".join(key.key_id.hex()[:16] for key in found if key.owner == owner)
        lines.append(f"   owner {owner}: key {ids}...   who, phone: ______________________________")
    return tuple(lines)


def limits(rules: Rules) -> tuple[str, ...]:
    """What tokens may open, in lines."""
    if rules.policy is None:
        return (f"not known: {rules.problem or 'the boot bundle has no policy'}",)
    return tuple(
        f"{scope_name(limit.scope)}: {lasting(limit.seconds)} at the most"
        + (f", signed by {limit.owners} at least" if limit.owners else "")
        for limit in rules.policy.unlock
        if limit.seconds
    ) or ("nothing: the policy takes no token at all",)
