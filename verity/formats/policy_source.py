# SPDX-License-Identifier: Apache-2.0
"""The source of a policy: TOML drop-ins -> lines, each with its reason and where it stands.

    [[reaction]]
    to = "anonymous"
    reaction = "observe"
    reason = "until the last just-in-time compiler has a grant"

1. Unknown tables, keys and words are refused; every table needs a reason.
2. Nothing is merged here: of several lines about one thing the last one counts, drop-ins sorted by
   name, which ``verity.formats.policy`` sees to. ``[[etc]]`` (``verity.formats.etc_rules``) comes
   behind ``[[guarded]]`` of the same drop-in.
3. A group is a number; a name beside it says which one is meant and decides nothing.

It reads no file, and says nothing of who signed a drop-in. docs/guides/policy.md has the form.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from verity.formats import durations, etc_rules, kernel_policy
from verity.formats.etc_rules import (
    DropIn,
    FileClass,
    class_of,
    known,
    paths_of,
    pattern_of,
    reason_of,
    refuse,
    tables,
)
from verity.formats.grants import Party, Role, is_stream_name
from verity.formats.kernel_policy import Mode, Stream
from verity.formats.policy import (
    CAPABILITIES,
    REACTIONS,
    Group,
    Guard,
    Interpreter,
    InterpreterKind,
    Line,
    Link,
    ModeLine,
    Profile,
    Reaction,
    Reacts,
    StreamLine,
    Unlock,
    Unprivileged,
)
from verity.formats.unlock import Scope

_LABEL = re.compile(r"[a-z0-9_][a-z0-9_-]{0,31}")


def parse(drop_ins: Iterable[DropIn]) -> tuple[Line, ...]:
    """Every line of these drop-ins, in the order in which they count.

    Raises ContentError (``bad-policy``) that names the drop-in and the table.
    """
    found: list[Line] = []
    for drop_in in sorted(drop_ins, key=lambda one: one.name):
        top = etc_rules.load(drop_in)
        for name, read in _READERS.items():
            for table, label in tables(drop_in, top, name):
                origin = f"{drop_in.origin} [[{name}]] {label.rpartition(' ')[2]}"
                found += read(table, label, {"reason": reason_of(table, label), "origin": origin})
    return tuple(found)


_Where = Mapping[str, str]


def _mode(table: Mapping[str, Any], label: str, where: _Where) -> list[Line]:
    known(label, table, {"mode", "reason"})
    mode = _word(table, label, "mode", [mode.name.lower() for mode in Mode])
    return [ModeLine(mode=Mode[mode.upper()], **where)]


def _privileged(table: Mapping[str, Any], label: str, where: _Where) -> list[Line]:
    known(label, table, {"gid", "name", "capabilities_but", "reason"})
    if "capabilities_but" in table:
        known(label, table, {"capabilities_but", "reason"})
        names = table["capabilities_but"]
        if not isinstance(names, list) or not set(map(str, names)) <= set(CAPABILITIES):
            refuse(label, "capabilities_but is no list of names such as wake_alarm")
        bits = sum(1 << CAPABILITIES.index(name) for name in set(names))
        return [Unprivileged(capabilities=bits, **where)]
    gid, name = table.get("gid"), table.get("name", "")
    if type(gid) is not int or not 0 <= gid <= kernel_policy.MAX_GID:
        hint = " (the name alone means another group on another host)" if name else ""
        refuse(label, f"gid is {gid!r}, expected a number up to {kernel_policy.MAX_GID}{hint}")
    if not isinstance(name, str) or (name and not _LABEL.fullmatch(name)):
        refuse(label, f"name is {name!r}, expected the name of a group")
    return [Group(gid=gid, name=name, **where)]


def _guarded(table: Mapping[str, Any], label: str, where: _Where) -> list[Line]:
    known(label, table, {"class", "paths", "profile", "reason", "require"})
    file_class = class_of(table, label)
    profile = _profile(table, label)
    required = table.get("require", False)
    if not isinstance(required, bool):
        refuse(label, f"require is {required!r}, expected true or false")
    if required and file_class is not FileClass.SIGNED:
        refuse(label, f"require says nothing for the class {file_class}: what is signed can stay")
    found: list[Line] = []
    for path in paths_of(table, label):
        if not _is_top(path) or file_class is not FileClass.SIGNED:
            pattern_of(path, label)
        found.append(
            Guard(
                path=path,
                file_class=file_class,
                profile=profile,
                required=required,
                reason=where["reason"],
                origin=where["origin"],
            )
        )
    return found


def _etc(table: Mapping[str, Any], label: str, where: _Where) -> list[Line]:
    rule = etc_rules.rule_of(table, label, where["origin"])
    found: list[Line] = []
    for path in paths_of(table, label):
        pattern_of(path, label)
        found.append(
            Guard(
                path=path,
                file_class=rule.file_class,
                most=rule.most,
                secret=rule.secret,
                reason=where["reason"],
                origin=where["origin"],
            )
        )
    return found


def _link(table: Mapping[str, Any], label: str, where: _Where) -> list[Line]:
    known(label, table, {"paths", "to", "profile", "reason"})
    target = table.get("to")
    pattern_of(target, label)
    profile = _profile(table, label)
    found: list[Line] = []
    for path in paths_of(table, label):
        pattern_of(path, label)
        found.append(Link(path=path, target=str(target), profile=profile, **where))
    return found


def _interpreters(table: Mapping[str, Any], label: str, where: _Where) -> list[Line]:
    known(label, table, {"kind", "paths", "profile", "reason"})
    kind = InterpreterKind(_word(table, label, "kind", list(InterpreterKind)))
    profile = _profile(table, label)
    found: list[Line] = []
    for path in paths_of(table, label):
        pattern_of(path, label)
        found.append(Interpreter(path=path, kind=kind, profile=profile, **where))
    return found


def _reaction(table: Mapping[str, Any], label: str, where: _Where) -> list[Line]:
    known(label, table, {"to", "reaction", "profile", "reason"})
    to = _word(table, label, "to", sorted(REACTIONS))
    reaction = Reaction(_word(table, label, "reaction", list(Reaction)))
    return [Reacts(to=to, reaction=reaction, profile=_profile(table, label), **where)]


def _stream(table: Mapping[str, Any], label: str, where: _Where) -> list[Line]:
    known(label, table, {"name", "party", "role", "reason"})
    name = table.get("name")
    if not isinstance(name, str) or not is_stream_name(name):
        refuse(label, f"name is {name!r}, expected 1 to 63 of a-z 0-9 . _ -")
    party = Party[_word(table, label, "party", [one.name.lower() for one in Party]).upper()]
    role = Role[_word(table, label, "role", [one.name.lower() for one in Role]).upper()]
    if (party, role) not in kernel_policy.GRANTING:
        refuse(label, "expected the vendor's role os, or the user's etc or extension")
    return [StreamLine(stream=Stream(name=name, party=party, role=role), **where)]


def _unlock(table: Mapping[str, Any], label: str, where: _Where) -> list[Line]:
    known(label, table, {"scope", "longest", "owners", "profile", "reason"})
    names = [scope.name.lower().replace("_", "-") for scope in Scope]
    scope = Scope[_word(table, label, "scope", names).replace("-", "_").upper()]
    longest, owners = table.get("longest"), table.get("owners", 0)
    seconds = (durations.parse(longest) if isinstance(longest, str) else None) or 0
    if longest != "never" and not 1 <= seconds <= kernel_policy.LONGEST_UNLOCK:
        refuse(label, f'longest is {longest!r}, expected a time up to "7d", or "never"')
    if type(owners) is not int or not 0 <= owners <= kernel_policy.MAX_OWNERS:
        refuse(label, f"owners is {owners!r}, expected 0 to {kernel_policy.MAX_OWNERS}")
    if owners and not seconds:
        refuse(label, "owners say nothing for a scope that is never unlocked")
    profile = _profile(table, label)
    return [Unlock(scope=scope, seconds=seconds, owners=owners, profile=profile, **where)]


_READERS: Mapping[str, Callable[[Mapping[str, Any], str, _Where], list[Line]]] = {
    "mode": _mode,
    "privileged": _privileged,
    "guarded": _guarded,
    "etc": _etc,
    "link": _link,
    "interpreters": _interpreters,
    "reaction": _reaction,
    "stream": _stream,
    "unlock": _unlock,
}


def _profile(table: Mapping[str, Any], label: str) -> Profile:
    if "profile" not in table:
        return Profile.STANDARD
    return Profile(_word(table, label, "profile", list(Profile)))


def _word(table: Mapping[str, Any], label: str, key: str, words: list[Any]) -> str:
    found = table.get(key)
    if not isinstance(found, str) or found not in words:
        refuse(label, f"{key} is {found!r}, expected one of {', '.join(words)}")
    return found


def _is_top(path: object) -> bool:
    """A directory of the root itself, such as /etc, which only the class signed may take whole."""
    return isinstance(path, str) and re.fullmatch(r"/[a-z0-9]+", path) is not None
