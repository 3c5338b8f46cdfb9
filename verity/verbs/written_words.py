# SPDX-License-Identifier: Apache-2.0
"""How one file that programs write differs from what was acknowledged, in words. Pure.

A password's digest is compared and never said.
"""

from collections.abc import Iterator, Mapping

from verity.formats.accounts import FILES, PASSWORD, PASSWORD_DIGEST
from verity.formats.acknowledged import Written
from verity.formats.escaped import printable
from verity.verbs import written

_VALUE = "value"
_SHOWN = 12


def differences(before: Written | None, now: Written | None) -> list[str]:
    """Each difference by itself; nothing for what is as it was."""
    if now is None:
        return [] if before is None else ["it is gone"]
    if before is None:
        return [f"it is new ({_kind(now)})", *_items({}, now.said, now.path)]
    if before == now:
        return []
    said = [
        f"{name} changed from {old} to {new}"
        for (name, old), (_, new) in zip(
            written.metadata(before), written.metadata(now), strict=True
        )
        if old != new
    ]
    if (before.target, before.digest is None) != (now.target, now.digest is None):
        return [*said, f"it was {_kind(before)}, and is {_kind(now)}"]
    if before.digest != now.digest:
        items = list(_items(before.said, now.said, now.path))
        said += items or ["its contents changed"]
    return said


def shortened(words: list[str]) -> str:
    """The words as one text; of very many, how many more there are."""
    more = len(words) - _SHOWN
    return "; ".join([*words[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])


def _kind(one: Written) -> str:
    if one.target is not None:
        return f"a link to {printable(one.target)}"
    return "a file" if one.digest is not None else "neither file nor link"


def _items(
    before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]], path: bytes
) -> Iterator[str]:
    noun = "account " if path in FILES else ""
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if new is None:
            yield f"{noun}{name} removed"
        elif old is None and _VALUE in new:
            yield f"{name}={_lines(new[_VALUE])}"
        elif old is None:
            yield f"{noun}{name} added ({_fields(new)})"
        elif _VALUE in new:
            yield f"{name} changed from {_lines(old.get(_VALUE, ''))} to {_lines(new[_VALUE])}"
        else:
            yield f"{noun}{name}: {', '.join(_changes(old, new))}"


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    names = [name for name in (*old, *(one for one in new if one not in old))]
    for name in names:
        if name == PASSWORD_DIGEST or old.get(name) == new.get(name):
            continue
        yield f"{name} changed from {old.get(name, 'nothing')} to {new.get(name, 'nothing')}"
    if old.get(PASSWORD) == new.get(PASSWORD) and (
        old.get(PASSWORD_DIGEST) != new.get(PASSWORD_DIGEST)
    ):
        yield f"{PASSWORD} changed" if PASSWORD in new else "the line changed"


def _fields(fields: Mapping[str, str]) -> str:
    said = [f"{name} {value}" for name, value in fields.items() if name != PASSWORD_DIGEST]
    return ", ".join(said) or "without any field"


def _lines(text: str) -> str:
    return " | ".join(text.split("\n"))
