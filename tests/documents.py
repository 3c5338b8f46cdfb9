# SPDX-License-Identifier: Apache-2.0
"""The vectors of the formats: good and bad documents of tests/vectors/, as bytes.

tests/vectors/README.md says how a document is written down there. The reader refuses keys that it
doesn't know and changes that change nothing, so no row says something else than it seems to.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parent / "vectors"
_SOURCES = {"text", "hex", "repeat", "from"}
_CHANGES = ("swap", "put", "cut", "add")
_KEYS = {"name", "code", "reason", "kind", "canonical", *_SOURCES, *_CHANGES}


@dataclass(frozen=True, kw_only=True)
class Document:
    """One vector. A good one has no ``code``; ``kind`` says which parser, where there are many.

    ``canonical`` is the one spelling of what a good document says, where that has several.
    """

    name: str
    data: bytes
    kind: str = ""
    code: str = ""
    reason: str = ""
    canonical: bytes | None = None


def load(name: str) -> tuple[Mapping[str, Document], Mapping[str, Document]]:
    """The good and the bad documents of tests/vectors/NAME.toml, by their names."""
    found = tomllib.loads((VECTORS / f"{name}.toml").read_text("utf-8"))
    if set(found) != {"format", "code", "good", "bad"}:
        raise ValueError(f"{name}: {sorted(found)}")
    good: dict[str, Document] = {}
    for row in found["good"]:
        _add(good, row, _made(row, good), code="")
    bad: dict[str, Document] = {}
    for row in found["bad"]:
        _add(bad, row, _made(row, good), code=row.get("code", found["code"]))
    return good, bad


def _add(rows: dict[str, Document], row: Mapping[str, Any], data: bytes, *, code: str) -> None:
    name = row["name"]
    if name in rows or set(row) - _KEYS or bool(code) != bool(row.get("reason")):
        raise ValueError(f"{name}: twice, with an unknown key, or bad without a reason")
    rows[name] = Document(
        name=name,
        data=data,
        kind=row.get("kind", ""),
        code=code,
        reason=row.get("reason", ""),
        canonical=row["canonical"].encode("utf-8") if "canonical" in row else None,
    )


def _made(row: Mapping[str, Any], good: Mapping[str, Document]) -> bytes:
    (source,) = set(row) & _SOURCES
    data: bytes
    match source:
        case "text":
            data = row["text"].encode("utf-8")
        case "hex":
            data = bytes.fromhex(row["hex"])
        case "repeat":
            head, unit, times, tail = row["repeat"]
            data = (head + unit * times + tail).encode("utf-8")
        case _:
            data = good[row["from"]].data
            if not set(row) & set(_CHANGES):
                raise ValueError(f"{row['name']}: a copy")
    for change in _CHANGES:
        if change in row:
            before, data = data, _changed(data, change, row[change])
            if data == before:
                raise ValueError(f"{row['name']}: {change} changes nothing")
    return data


def _changed(data: bytes, change: str, how: Any) -> bytes:
    match change:
        case "swap":
            old, new = (text.encode("utf-8") for text in how)
            if data.count(old) != 1:
                raise ValueError(f"{old!r} is not there once")
            return data.replace(old, new)
        case "put":
            out = bytearray(data)
            for at, text in how:
                value = bytes.fromhex(text)
                if at + len(value) > len(out):
                    raise ValueError(f"{at} is beyond the end")
                out[at : at + len(value)] = value
            return bytes(out)
        case "cut":
            return data[: int(how)]
        case _:
            return data + bytes.fromhex(how)
