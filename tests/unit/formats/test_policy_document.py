# SPDX-License-Identifier: Apache-2.0
"""The policy document: one spelling, strict reading."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.world import EXPIRES, ISSUED
from verity.formats import policy_document, strictjson
from verity.formats.etc_rules import FileClass
from verity.formats.grants import Party, Role
from verity.formats.kernel_policy import Mode, Stream
from verity.formats.policy import (
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
)
from verity.formats.unlock import Scope
from verity.values.errors import ContentError

OS = Stream(name="os", party=Party.VENDOR, role=Role.OS)
LINES: tuple[Line, ...] = (
    ModeLine(mode=Mode.SEALED, reason="a", origin="here 1"),
    Group(gid=6, name="disk", reason="b", origin="here 2"),
    Unprivileged(capabilities=1 << 35, reason="c", origin="here 3"),
    Guard(path="/etc", file_class=FileClass.SIGNED, reason="d", origin="here 4"),
    Guard(
        path="/etc/shädow",
        file_class=FileClass.MUTABLE,
        most=0o640,
        secret=True,
        reason="ein Grund für alle",
        origin="here 5",
    ),
    Link(path="/etc/mtab", target="/proc/self/mounts", reason="f", origin="here 6"),
    Interpreter(path="/usr/bin/sh", kind=InterpreterKind.SHELL, reason="g", origin="here 7"),
    Reacts(to="anonymous", reaction=Reaction.OBSERVE, reason="h", origin="here 8"),
    StreamLine(stream=OS, reason="i", origin="--stream"),
    Unlock(scope=Scope.PATH_PREFIX, seconds=3600, owners=2, reason="j", origin="here 9"),
)
POLICY = Policy(serial=4, issued=ISSUED, expires=EXPIRES, profile=Profile.STANDARD, lines=LINES)


def test_read_as_written() -> None:
    data = policy_document.encode(POLICY)
    assert policy_document.parse(data) == POLICY
    assert json.loads(data)["lines"][7] == {
        "type": "reaction",
        "to": "anonymous",
        "reaction": "observe",
        "profile": "standard",
        "reason": "h",
        "origin": "here 8",
    }
    assert POLICY.mode is Mode.SEALED


def test_every_reaction_has_a_name_of_its_own() -> None:
    assert len(REACTIONS) == 10 + 4 + 6


def changed(change: Callable[[Any], Any]) -> bytes:
    value = json.loads(policy_document.encode(POLICY))
    change(value)
    return strictjson.canonical(value)


def line(number: int, **fields: Any) -> bytes:
    return changed(lambda value: value["lines"][number].update(fields))


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON"),
    "an unknown field": (changed(lambda v: v.update(x=1)), "unknown field 'x'"),
    "a field too few": (changed(lambda v: v.pop("serial")), "'serial' is missing"),
    "serial 0": (changed(lambda v: v.update(serial=0)), "the serial 0 is below 1"),
    "expired at once": (
        changed(lambda v: v.update(expires=v["issued"])),
        "does not expire after",
    ),
    "an unknown profile": (changed(lambda v: v.update(profile="lax")), "'lax' is none of"),
    "no mode": (changed(lambda v: v["lines"].pop(0)), "0 lines say the mode"),
    "two modes": (changed(lambda v: v["lines"].append(v["lines"][0])), "2 lines say the mode"),
    "a line twice": (changed(lambda v: v["lines"].append(v["lines"][1])), "a line is there twice"),
    "a line of another profile": (line(7, profile="strict"), "of another profile"),
    "an unknown type": (line(1, type="user"), "policy.lines[1]: unknown type 'user'"),
    "an unknown field of a line": (line(1, x=1), "unknown field 'x'"),
    "no reason": (line(1, reason=" "), "it needs a reason"),
    "an unknown mode": (line(0, mode="off"), "'off' is none of observe"),
    "a group as text": (line(1, gid="6"), "'gid' is a string"),
    "an unknown capability": (line(2, capabilities=["x"]), "a capability has no name"),
    "a relative path": (line(4, path="etc/shadow"), "is no absolute path"),
    "what is always signed": (line(4, path="/etc/verity/x"), "always signed"),
    "a mode of three digits": (line(4, mode="640"), "mode is no octal"),
    "secret as 2": (line(4, secret=2), "secret is not 0 or 1"),
    "require as 2": (line(3, require=2), "require is not 1"),
    "require of what is mutable": (line(4, require=1), "a class other than signed"),
    "require as 0, which is said by nothing": (line(3, require=0), "not the canonical JSON"),
    "a class of no kind": (line(4, **{"class": "free"}), "'free' is none of"),
    "what is always denied": (line(7, to="gate-key"), "nothing that a reaction"),
    "an unknown scope": (line(9, scope="all"), "'all' is none of"),
    "another spelling": (
        policy_document.encode(POLICY).replace(b'"serial":4', b'"serial": 4'),
        "not the canonical JSON",
    ),
    "4097 lines": (changed(lambda v: v.update(lines=[0] * 4097)), "4097 lines, at most 4096"),
}


def test_what_must_stay_survives() -> None:
    found = policy_document.parse(line(3, require=1))
    assert [one.path for one in found.of(Guard) if one.required] == ["/etc"]
    assert policy_document.parse(policy_document.encode(found)) == found


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str) -> None:
    data, reason = BAD[name]
    with pytest.raises(ContentError) as caught:
        policy_document.parse(data)
    assert reason in caught.value.message
    assert caught.value.code in ("bad-document", "bad-policy")


def test_nothing_is_written_that_would_not_be_read() -> None:
    for bad in (replace(POLICY, serial=0), replace(POLICY, lines=LINES[1:])):
        with pytest.raises(ContentError):
            policy_document.encode(bad)
