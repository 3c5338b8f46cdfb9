# SPDX-License-Identifier: Apache-2.0
"""The classes of files below /etc: TOML drop-ins -> rules, and the class of one path.

    [[etc]]
    class = "mutable"
    paths = ["/etc/shadow"]
    reason = "passwd(1) writes it"
    mode = "0640"
    secret = true

1. The last rule that matches counts: drop-ins sorted by name, rules in their order. A rule that
   matches a directory holds for all below. What no rule matches is ``signed``.
2. ``*`` and ``?`` stand for anything but a slash; no other character is special.
3. /etc/verity is always signed: whoever could exempt it could exempt everything.
4. Unknown keys, a missing reason, and patterns that would mean all of /etc are refused.

It reads no file: which drop-ins count, and whether they are signed, is the caller's to know.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

from verity.values.errors import ContentError

MAX_SIZE = 256 * 2**10
ALWAYS_SIGNED = b"/etc/verity"

_KEYS = {"class", "paths", "reason", "mode", "secret"}
_MODE = re.compile(r"0[0-7]{3}")


class FileClass(StrEnum):
    """What is asked of a file: content, who writes it, or nothing."""

    SIGNED = "signed"
    MUTABLE = "mutable"
    PRODUCED = "produced"
    IGNORED = "ignored"


@dataclass(frozen=True, kw_only=True)
class DropIn:
    """A source of rules: its name decides the order, ``origin`` is the file for people."""

    name: str
    origin: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Rule:
    """``most``: the mode bits that a file may have, for those whose content isn't compared."""

    file_class: FileClass
    reason: str
    origin: str
    most: int | None = None
    secret: bool = False


DEFAULT = Rule(file_class=FileClass.SIGNED, reason="no rule names it", origin="built in")
_FIXED = Rule(
    file_class=FileClass.SIGNED, reason="it says what is exempt and who signs", origin="built in"
)


class Rules:
    """All rules, in order."""

    def __init__(self, drop_ins: Iterable[DropIn]) -> None:
        """Raises ContentError (``bad-policy``) that names the drop-in and the rule."""
        self._rules: list[tuple[re.Pattern[bytes], Rule]] = []
        for drop_in in sorted(drop_ins, key=lambda one: one.name):
            self._rules += _parse(drop_in)

    def of(self, path: bytes) -> Rule:
        """The rule for a path on the host."""
        if path == ALWAYS_SIGNED or path.startswith(ALWAYS_SIGNED + b"/"):
            return _FIXED
        for pattern, rule in reversed(self._rules):
            if pattern.match(path):
                return rule
        return DEFAULT


def _parse(drop_in: DropIn) -> list[tuple[re.Pattern[bytes], Rule]]:
    if len(drop_in.data) > MAX_SIZE:
        _refuse(drop_in.origin, f"{len(drop_in.data)} bytes, at most {MAX_SIZE} are allowed")
    try:
        top = tomllib.loads(drop_in.data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ContentError(
            "bad-policy", f"{drop_in.origin}: not UTF-8 at byte {error.start}"
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ContentError("bad-policy", f"{drop_in.origin}: not TOML: {error}") from error
    _known(drop_in.origin, top, {"etc"})
    tables = top.get("etc", [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        _refuse(drop_in.origin, "etc must be an array of tables, [[etc]]")
    found = []
    for number, table in enumerate(tables, 1):
        label = f"{drop_in.origin}: rule {number}"
        rule = _rule(table, label, drop_in.origin)
        paths = table.get("paths")
        if not isinstance(paths, list) or not paths:
            _refuse(label, "paths must be a list with at least one path")
        found += [(_pattern(path, label), rule) for path in paths]
    return found


def _rule(table: Mapping[str, Any], label: str, origin: str) -> Rule:
    _known(label, table, _KEYS)
    name, reason = table.get("class"), table.get("reason")
    if name not in set(FileClass):
        _refuse(label, f"class is {name!r}, expected one of {', '.join(FileClass)}")
    if not isinstance(reason, str) or not reason.strip():
        _refuse(label, "it needs a reason")
    file_class = FileClass(name)
    mode, secret = table.get("mode"), table.get("secret", False)
    if not isinstance(secret, bool):
        _refuse(label, f"secret is {secret!r}, expected true or false")
    if mode is not None:
        if not isinstance(mode, str) or not _MODE.fullmatch(mode):
            _refuse(label, f'mode is {mode!r}, expected four octal digits such as "0640"')
        if file_class not in (FileClass.MUTABLE, FileClass.PRODUCED):
            _refuse(label, f"a mode says nothing for the class {file_class}")
    return Rule(
        file_class=file_class,
        reason=reason,
        origin=origin,
        most=None if mode is None else int(mode, 8),
        secret=secret,
    )


def _pattern(path: object, label: str) -> re.Pattern[bytes]:
    if not isinstance(path, str):
        _refuse(label, f"the path {path!r} is no text")
    parts = path.split("/")
    if (
        parts[0]
        or len(parts) < 3
        or any(part in ("", ".", "..") for part in parts[1:])
        or "\0" in path
    ):
        _refuse(label, f"{path!r} is no absolute path below a directory such as /etc")
    if set(path.removeprefix("/etc/")) <= set("*?/"):
        _refuse(label, f"{path!r} would be everything: name what is meant")
    data = os.fsencode(path)
    if data == ALWAYS_SIGNED or data.startswith(ALWAYS_SIGNED + b"/"):
        _refuse(label, f"{path!r}: what lies in {os.fsdecode(ALWAYS_SIGNED)} is always signed")
    text = re.escape(data).replace(rb"\*", rb"[^/]*").replace(rb"\?", rb"[^/]")
    return re.compile(text + rb"(?:/|\Z)", re.DOTALL)


def _known(label: str, table: Mapping[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            _refuse(label, f"unknown key {key[:80]!r}, expected {', '.join(sorted(known))}")


def _refuse(label: str, reason: str) -> NoReturn:
    raise ContentError("bad-policy", f"{label}: {reason}", hint="docs/guides/etc.md has the form")
