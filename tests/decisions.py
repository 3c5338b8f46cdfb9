# SPDX-License-Identifier: Apache-2.0
"""The decision vectors, tests/vectors/decisions.toml, as facts and what they must lead to.

Here and not beside one test, because the same vectors run through Python, through the C header
and in a test machine. The reader refuses words that it doesn't know, so no row is quietly empty.
"""

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from verity.formats.gate_status import Act, Reason, State
from verity.formats.grants import Code
from verity.formats.kernel_guarded import GuardedClass
from verity.trust.decide import DigestState, Facts, Mapped, Prot, Unlocked

VECTORS = Path(__file__).parent / "vectors" / "decisions.toml"
UNKNOWN_ACT = "unknown"

_FIELDS = frozenset(Facts.__dataclass_fields__)
_TRUE = frozenset(
    {"privileged", "jit", "raises", "covered", "chained", "traced", "revoked", "placed", "trust"}
)
_CLASSES = {one.name.lower(): one.value for one in GuardedClass}
_DIGESTS = {state.name.lower().replace("_", "-"): state.value for state in DigestState}
_FLAGS: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "grant": ("granted", {str(flag.name).lower(): flag.value for flag in Code}),
    "prot": ("prot", {str(flag.name).lower(): flag.value for flag in Prot}),
    "observed": ("observed", {str(reason): 1 << reason.number for reason in Reason}),
    "unlocked": (
        "unlocked",
        {str(flag.name).lower().replace("_", "-"): flag.value for flag in Unlocked},
    ),
    "mapped": ("mapped", {str(flag.name).lower(): flag.value for flag in Mapped}),
}


@dataclass(frozen=True, kw_only=True)
class Vector:
    """One decision, in one state."""

    name: str
    facts: Facts
    reason: Reason
    denied: bool
    unlocked: bool


def vectors() -> list[Vector]:
    """Every row, with its alternatives multiplied, in every state."""
    document = tomllib.loads(VECTORS.read_text())
    from_load = {Reason(name) for name in document["from-load"]}
    return [
        vector
        for group in document["group"]
        for row in group["rows"]
        for vector in _of_row(group["act"], row, from_load)
    ]


def _of_row(act: str, row: str, from_load: set[Reason]) -> Iterator[Vector]:
    words, arrow, said = row.partition(" -> ")
    assert arrow, f"{row}: FACTS -> REASON"
    said, lifted, rest = said.partition(" lifted")
    assert not rest, f"{row}: {rest}"
    reason = Reason(said)
    for chosen in itertools.product(*(word.split("|") for word in words.split())):
        values = {} if act == UNKNOWN_ACT else {"act": Act(act).number}
        for word in chosen:
            field, value = _fact(word)
            assert field not in values, f"{row}: {field} is said twice"
            values[field] = value
        for state in State:
            enforcing = state in (State.SEALED, State.BOOT)
            denies = state is not State.OFF if reason in from_load else enforcing
            observed = values.get("observed", 0) >> reason.number & 1
            yield Vector(
                name=f"{act} {' '.join(chosen)}, {state.name.lower()}",
                facts=Facts(state=state.number, **values),
                reason=reason,
                denied=denies and not reason.allow and not observed and not lifted,
                unlocked=denies and not reason.allow and not observed and bool(lifted),
            )


def _fact(word: str) -> tuple[str, int]:
    name, equals, value = word.partition("=")
    if not equals:
        if name in _TRUE:
            return name, 1
        if name in _CLASSES:
            return "guarded", _CLASSES[name]
        return "digest", _DIGESTS[name]
    field, flags = _FLAGS.get(name, (name, {}))
    assert field in _FIELDS, f"{word}: no fact of this name"
    if value.isdigit():
        return field, int(value)
    return field, sum(flags[flag] for flag in value.split("+"))
