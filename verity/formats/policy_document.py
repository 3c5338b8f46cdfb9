# SPDX-License-Identifier: Apache-2.0
"""The one policy document, bytes <-> values.

It is the payload of a DSSE envelope that keys of the user's role policy sign (docs/formats.md,
"Policy document"). Parsing is strict: unknown fields and words are refused, no line is replaced by
another, and the bytes are the only ones that the values can have. Who signed it is judged in the
trust room, which alone makes a ``VerifiedPolicy``.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from verity.formats import strictjson
from verity.formats.etc_rules import FileClass, pattern_of
from verity.formats.grants import Party, Role
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
    Policy,
    Profile,
    Reaction,
    Reacts,
    StreamLine,
    Unlock,
    Unprivileged,
    capability_names,
    count,
    lower,
)
from verity.formats.statement import format_time, parse_time
from verity.formats.strictjson import Fields, refuse
from verity.formats.unlock import Scope

PAYLOAD_TYPE = "application/vnd.verity.policy.v1+json"
MAX_POLICY = 64 * 2**10
MAX_LINES = 4096
_WHAT = "policy"


def encode(policy: Policy) -> bytes:
    """The JSON of a policy. Raises ContentError (``bad-document``) for what none may hold."""
    data = _written(policy)
    if parse(data) != policy:  # the writer is held to the reader's rules
        refuse(_WHAT, "the values do not survive their own encoding")
    return data


def parse(data: bytes) -> Policy:
    """Read a policy. Raises ContentError (``bad-document``, ``bad-policy``).

    1. Fields of known names and types, and nothing else.
    2. Times, serial and patterns are such as a policy may have.
    3. One mode, and no line that a later one replaces.
    4. The bytes are the canonical ones.
    """
    # 1. Fields.
    top = Fields(strictjson.parse(data, what=_WHAT, max_size=MAX_POLICY), what=_WHAT)
    items = top.array("lines")
    if len(items) > MAX_LINES:
        refuse(_WHAT, f"{len(items)} lines, at most {MAX_LINES} are allowed")
    found = Policy(
        serial=top.integer("serial"),
        issued=parse_time(top.text("issued")),
        expires=parse_time(top.text("expires")),
        profile=_word(Profile, top.text("profile"), _WHAT),
        lines=tuple(_line(item, f"{_WHAT}.lines[{n}]") for n, item in enumerate(items)),
    )
    top.end()
    # 2. Values.
    if found.serial < 1:
        refuse(_WHAT, f"the serial {found.serial} is below 1")
    if found.issued >= found.expires:
        refuse(_WHAT, "it does not expire after it was issued")
    # 3. Lines that count.
    if len(found.of(ModeLine)) != 1:
        refuse(_WHAT, f"{len(found.of(ModeLine))} lines say the mode, expected one")
    if count(found.lines, found.profile)[0] != found.lines:
        refuse(_WHAT, "a line is there twice, or of another profile")
    # 4. One spelling.
    if _written(found) != data:
        refuse(_WHAT, "not the canonical JSON: sorted keys, no spaces, UTF-8 without escapes")
    return found


def fields_of(line: Line) -> dict[str, Any]:
    """A line as JSON has it."""
    for name, (kind, write, _) in _KINDS.items():
        if type(line) is kind:
            return {"type": name, **write(line), "reason": line.reason, "origin": line.origin}
    raise TypeError(f"{type(line).__name__} is no line of a policy")


def _written(policy: Policy) -> bytes:
    return strictjson.canonical(
        {
            "serial": policy.serial,
            "issued": format_time(policy.issued),
            "expires": format_time(policy.expires),
            "profile": policy.profile.value,
            "lines": [fields_of(line) for line in policy.lines],
        }
    )


def _line(item: Any, place: str) -> Line:
    fields = Fields(item, what=place)
    name = fields.text("type")
    if name not in _KINDS:
        refuse(place, f"unknown type {name[:40]!r}")
    kind, _, read = _KINDS[name]
    said = {"reason": fields.text("reason"), "origin": fields.text("origin")}
    if not said["reason"].strip():
        refuse(place, "it needs a reason")
    line = kind(**read(fields, place), **said)
    fields.end()
    return line


Word = TypeVar("Word", bound=StrEnum)


def _word(kind: type[Word], text: str, place: str) -> Word:
    if text not in set(kind):
        refuse(place, f"{text[:40]!r} is none of {', '.join(kind)}")
    return kind(text)


def _named(kind: Any, text: str, place: str) -> Any:
    """A member of an IntEnum by its name in lower case."""
    names = {lower(member): member for member in kind}
    if text not in names:
        refuse(place, f"{text[:40]!r} is none of {', '.join(names)}")
    return names[text]


def _path(fields: Fields, name: str, place: str) -> str:
    text = fields.text(name)
    if not (name == "path" and text.count("/") == 1 and text[1:].isalnum()):
        pattern_of(text, place)
    return text


def _profile(fields: Fields, place: str) -> Profile:
    return _word(Profile, fields.text("profile"), place)


def _write_guard(line: Guard) -> dict[str, Any]:
    found: dict[str, Any] = {
        "path": line.path,
        "class": line.file_class.value,
        "profile": line.profile.value,
        "secret": int(line.secret),
    }
    if line.required:
        found["require"] = 1
    return found if line.most is None else {**found, "mode": f"{line.most:04o}"}


def _read_guard(fields: Fields, place: str) -> dict[str, Any]:
    secret = fields.integer("secret")
    most = fields.text("mode") if "mode" in fields.names() else None
    required = fields.integer("require") if "require" in fields.names() else 0
    file_class = _word(FileClass, fields.text("class"), place)
    if secret not in (0, 1) or (most is not None and not _is_mode(most)):
        refuse(place, "secret is not 0 or 1, or mode is no octal number such as 0640")
    if required not in (0, 1) or (required and file_class is not FileClass.SIGNED):
        refuse(place, "require is not 1, or said of a class other than signed")
    return {
        "path": _path(fields, "path", place),
        "file_class": file_class,
        "profile": _profile(fields, place),
        "secret": bool(secret),
        "required": bool(required),
        "most": None if most is None else int(most, 8),
    }


def _is_mode(text: str) -> bool:
    return len(text) == 4 and text[0] == "0" and set(text) <= set("01234567")


def _read_reacts(fields: Fields, place: str) -> dict[str, Any]:
    to = fields.text("to")
    if to not in REACTIONS:
        refuse(place, f"{to[:40]!r} is nothing that a reaction is said to")
    return {
        "to": to,
        "reaction": _word(Reaction, fields.text("reaction"), place),
        "profile": _profile(fields, place),
    }


def _read_stream(fields: Fields, place: str) -> dict[str, Any]:
    stream = Stream(
        name=fields.text("name"),
        party=_named(Party, fields.text("party"), place),
        role=_named(Role, fields.text("role"), place),
    )
    return {"stream": stream}


_KINDS: Mapping[
    str,
    tuple[type[Line], Callable[[Any], dict[str, Any]], Callable[[Fields, str], dict[str, Any]]],
] = {
    "mode": (
        ModeLine,
        lambda line: {"mode": lower(line.mode)},
        lambda fields, place: {"mode": _named(Mode, fields.text("mode"), place)},
    ),
    "group": (
        Group,
        lambda line: {"gid": line.gid, "name": line.name},
        lambda fields, _: {"gid": fields.integer("gid"), "name": fields.text("name")},
    ),
    "unprivileged": (
        Unprivileged,
        lambda line: {"capabilities": capability_names(line.capabilities)},
        lambda fields, place: {"capabilities": _capabilities(fields, place)},
    ),
    "guarded": (Guard, _write_guard, _read_guard),
    "link": (
        Link,
        lambda line: {"path": line.path, "to": line.target, "profile": line.profile.value},
        lambda fields, place: {
            "path": _path(fields, "path", place),
            "target": _path(fields, "to", place),
            "profile": _profile(fields, place),
        },
    ),
    "interpreter": (
        Interpreter,
        lambda line: {"path": line.path, "kind": line.kind.value, "profile": line.profile.value},
        lambda fields, place: {
            "path": _path(fields, "path", place),
            "kind": _word(InterpreterKind, fields.text("kind"), place),
            "profile": _profile(fields, place),
        },
    ),
    "reaction": (
        Reacts,
        lambda line: {
            "to": line.to,
            "reaction": line.reaction.value,
            "profile": line.profile.value,
        },
        _read_reacts,
    ),
    "stream": (
        StreamLine,
        lambda line: {
            "name": line.stream.name,
            "party": lower(line.stream.party),
            "role": lower(line.stream.role),
        },
        _read_stream,
    ),
    "unlock": (
        Unlock,
        lambda line: {
            "scope": lower(line.scope),
            "seconds": line.seconds,
            "owners": line.owners,
            "profile": line.profile.value,
        },
        lambda fields, place: {
            "scope": _named(Scope, fields.text("scope"), place),
            "seconds": fields.integer("seconds"),
            "owners": fields.integer("owners"),
            "profile": _profile(fields, place),
        },
    ),
}


def _capabilities(fields: Fields, place: str) -> int:
    names = fields.array("capabilities")
    if not all(name in CAPABILITIES for name in names):
        refuse(place, "a capability has no name such as wake_alarm")
    return sum(1 << CAPABILITIES.index(name) for name in set(names))
