# SPDX-License-Identifier: Apache-2.0
"""A policy in plain words, for the person who is about to sign it, and what it changes.

As ``sign_summary``, of which it is a part: from the values that are signed, and from nothing else.
What loosens is listed whole, a line each; what asks for more is counted. What the gate does is said
by what the gate is told; interpreters and links, which it isn't told, by the document.
"""

from collections.abc import Hashable, Iterator
from hashlib import sha256

from verity.formats.dump import printable
from verity.formats.kernel_guarded import GuardedClass, Match
from verity.formats.kernel_policy import KernelPolicy, Mode
from verity.formats.policy import (
    Group,
    Interpreter,
    InterpreterKind,
    Line,
    Link,
    Policy,
    capability_names,
    lower,
)
from verity.formats.policy_document import fields_of
from verity.formats.sign_bundle import Bundle
from verity.formats.sign_payloads import PolicySaid
from verity.formats.statement import format_time

Words = tuple[str, str]

_MODES = {
    Mode.OBSERVE: "everything is decided and logged, NOTHING is refused",
    Mode.TRIAL: "what isn't granted is refused for one boot, and then only logged"
    " (by a gate of this version it is only logged)",
    Mode.SEALED: "what isn't granted is refused to whoever is privileged, until reboot",
}
_STARTED = {
    InterpreterKind.SHELL: "may be started with anything",
    InterpreterKind.INTERPRETER: "may be started for granted scripts",
    InterpreterKind.JIT: "may have executable memory without a file",
}


def lines(bundle: Bundle, said: PolicySaid) -> Iterator[Words]:
    """The summary as (word, text), without who signed."""
    told = said.kernel
    yield "what", f"policy sha256:{sha256(bundle.blob or b'').hexdigest()}"
    yield "document", f"sha256:{sha256(bundle.payload or b'').hexdigest()}"
    yield "mode", f"{lower(told.mode)}: {_MODES[told.mode]}"
    yield "serial", str(told.serial)
    yield "valid", f"from {format_time(told.issued)} until {format_time(told.expires)}"
    yield "profile", said.document.profile.value
    names = {one.gid: one.name for one in said.document.of(Group) if one.name}
    groups = [f"{gid} ({names[gid]})" if gid in names else str(gid) for gid in told.groups]
    yield "groups", f"privileged: {', '.join(groups) or 'none'}"
    exempt = ", ".join(capability_names(~told.privileged_caps))
    yield "caps", f"privileged: any but {exempt}" if exempt else "privileged: any"
    for stream in told.streams:
        yield "stream", f"{stream.name}={lower(stream.party)}:{lower(stream.role)}"
    yield from _loosens(told)
    yield from _lists(said.document)


def _loosens(told: KernelPolicy) -> Iterator[Words]:
    """What a policy exempts: whoever signs it answers for each."""
    for reason in sorted(told.observed, key=lambda one: one.number):
        yield "observed", f"{reason.value}: logged and not denied"
    for act in told.observed_acts:
        yield "observed", f"{lower(act)}: logged and not denied"
    for limit in told.unlock:
        owners = f"{limit.owners} owners" if limit.owners else "the threshold of the keys"
        yield "unlock", f"{lower(limit.scope)} for at most {limit.seconds} seconds, by {owners}"
    exempt = [one for one in told.guarded if one.file_class is not GuardedClass.SIGNED]
    yield "guarded", f"{len(told.guarded) - len(exempt)} paths signed"
    for one in told.guarded:
        if one.required:
            more = "*" if one.match is Match.PREFIX else ""
            yield "guarded", f"{printable(one.path)}{more}: what is signed there must stay"
    for one in exempt:
        more = "*" if one.match is Match.PREFIX else ""
        yield "guarded", f"{printable(one.path)}{more}: {lower(one.file_class)}"


def _lists(document: Policy) -> Iterator[Words]:
    for kind, may in _STARTED.items():
        paths = [one.path for one in document.of(Interpreter) if one.kind is kind]
        if paths:
            yield kind.value, f"{may}: {' '.join(paths)}"
    for link in document.of(Link):
        yield "link", f"{link.path} may lead to {link.target}"


def changes(said: Policy, before: Policy) -> Iterator[Words]:
    """What this says otherwise than an earlier one, a line for each line that differs.

    What stands in the same words is not told, whatever its reason and origin.
    """
    new, old = _by_key(said), _by_key(before)
    differing = [key for key in [*old, *new] if old.get(key) != new.get(key)]
    yield (
        "since",
        f"{len(dict.fromkeys(differing))} lines differ from serial {before.serial}"
        f" of profile {before.profile}",
    )
    for key in dict.fromkeys(differing):
        if key not in new:
            yield "removed", old[key]
        elif key not in old:
            yield "added", new[key]
        else:
            yield "changed", f"{old[key]} -> {new[key]}"
    if [key for key in old if key in new] != [key for key in new if key in old]:
        yield "order", "lines stand in another order, of which the last one about a path counts"


def _by_key(policy: Policy) -> dict[Hashable, str]:
    return {(type(line), line.key): text(line) for line in policy.lines}


def text(line: Line) -> str:
    """What a line says, in one line, without its reason and its origin."""
    fields = fields_of(line)
    kind = fields.pop("type")
    said = [
        f"{name} {', '.join(value) if isinstance(value, list) else value}"
        for name, value in fields.items()
        if name not in ("reason", "origin")
        and value not in ("", "standard")
        and (name, value) not in (("secret", 0), ("owners", 0))
    ]
    return f"{kind:14}{', '.join(said)}"
