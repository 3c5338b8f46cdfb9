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

It reads no file: which drop-ins count, and whether they are signed, is the caller's to know. The
other tables of a drop-in are read by ``verity.formats.policy_source``.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

from verity.values.errors import ContentError

MAX_SIZE = 256 * 2**10
ALWAYS_SIGNED = b"/etc/verity"

TABLES = frozenset(
    {
        *("mode", "privileged", "guarded", "etc", "link", "interpreters", "reaction"),
        *("stream", "unlock"),
    }
)
"""Every table that a drop-in may have."""

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
            for path, rule, label in parse(drop_in):
                self._rules.append((pattern_of(path, label), rule))

    def of(self, path: bytes) -> Rule:
        """The rule for a path on the host."""
        if path == ALWAYS_SIGNED or path.startswith(ALWAYS_SIGNED + b"/"):
            return _FIXED
        for pattern, rule in reversed(self._rules):
            if pattern.match(path):
                return rule
        return DEFAULT


def parse(drop_in: DropIn) -> list[tuple[str, Rule, str]]:
    """Each path of each [[etc]], in order, with its rule and what to call it in an error."""
    found = []
    for table, label in tables(drop_in, load(drop_in), "etc"):
        rule = rule_of(table, label, drop_in.origin)
        for path in paths_of(table, label):
            pattern_of(path, label)
            found.append((path, rule, label))
    return found


def load(drop_in: DropIn) -> Mapping[str, Any]:
    """The tables of a drop-in; unknown ones are refused."""
    if len(drop_in.data) > MAX_SIZE:
        refuse(drop_in.origin, f"{len(drop_in.data)} bytes, at most {MAX_SIZE} are allowed")
    try:
        top = tomllib.loads(drop_in.data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ContentError(
            "bad-policy", f"{drop_in.origin}: not UTF-8 at byte {error.start}"
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ContentError("bad-policy", f"{drop_in.origin}: not TOML: {error}") from error
    known(drop_in.origin, top, TABLES)
    return top


def tables(
    drop_in: DropIn, top: Mapping[str, Any], name: str
) -> list[tuple[Mapping[str, Any], str]]:
    """The tables of an array of tables, each with what to call it in an error."""
    found = top.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        refuse(drop_in.origin, f"{name} must be an array of tables, [[{name}]]")
    word = "rule" if name == "etc" else f"[[{name}]]"
    return [(table, f"{drop_in.origin}: {word} {number}") for number, table in enumerate(found, 1)]


def paths_of(table: Mapping[str, Any], label: str) -> list[Any]:
    """The paths of a rule; a list with at least one."""
    paths = table.get("paths")
    if not isinstance(paths, list) or not paths:
        refuse(label, "paths must be a list with at least one path")
    return paths


def class_of(table: Mapping[str, Any], label: str) -> FileClass:
    """The class of a rule."""
    name = table.get("class")
    if name not in set(FileClass):
        refuse(label, f"class is {name!r}, expected one of {', '.join(FileClass)}")
    return FileClass(name)


def reason_of(table: Mapping[str, Any], label: str) -> str:
    """The reason of a rule, which every rule needs."""
    reason = table.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        refuse(label, "it needs a reason")
    return reason


def rule_of(table: Mapping[str, Any], label: str, origin: str) -> Rule:
    """What an [[etc]] says."""
    known(label, table, _KEYS)
    file_class = class_of(table, label)
    reason = reason_of(table, label)
    mode, secret = table.get("mode"), table.get("secret", False)
    if not isinstance(secret, bool):
        refuse(label, f"secret is {secret!r}, expected true or false")
    if mode is not None:
        if not isinstance(mode, str) or not _MODE.fullmatch(mode):
            refuse(label, f'mode is {mode!r}, expected four octal digits such as "0640"')
        if file_class not in (FileClass.MUTABLE, FileClass.PRODUCED):
            refuse(label, f"a mode says nothing for the class {file_class}")
    return Rule(
        file_class=file_class,
        reason=reason,
        origin=origin,
        most=None if mode is None else int(mode, 8),
        secret=secret,
    )


def pattern_of(path: object, label: str) -> re.Pattern[bytes]:
    """What a path of a rule stands for: itself, and all below it."""
    if not isinstance(path, str):
        refuse(label, f"the path {path!r} is no text")
    parts = path.split("/")
    if (
        parts[0]
        or len(parts) < 3
        or any(part in ("", ".", "..") for part in parts[1:])
        or "\0" in path
    ):
        refuse(label, f"{path!r} is no absolute path below a directory such as /etc")
    if set(path.removeprefix("/etc/")) <= set("*?/"):
        refuse(label, f"{path!r} would be everything: name what is meant")
    data = os.fsencode(path)
    if data == ALWAYS_SIGNED or data.startswith(ALWAYS_SIGNED + b"/"):
        refuse(label, f"{path!r}: what lies in {os.fsdecode(ALWAYS_SIGNED)} is always signed")
    return matcher(path)


def matcher(path: str) -> re.Pattern[bytes]:
    """The same for a path that was checked, or is a whole directory of the root such as /etc."""
    text = re.escape(os.fsencode(path)).replace(rb"\*", rb"[^/]*").replace(rb"\?", rb"[^/]")
    return re.compile(text + rb"(?:/|\Z)", re.DOTALL)


def known(label: str, table: Mapping[str, Any], names: AbstractSet[str]) -> None:
    """Refuse keys that are none of these."""
    for key in table:
        if key not in names:
            refuse(label, f"unknown key {key[:80]!r}, expected {', '.join(sorted(names))}")


def refuse(label: str, reason: str) -> NoReturn:
    """Raise the error of every refused drop-in."""
    raise ContentError(
        "bad-policy", f"{label}: {reason}", hint="docs/guides/policy.md has the form"
    )
