# SPDX-License-Identifier: Apache-2.0
"""Drop-ins of a policy: what each table says, and that anything else is refused."""

import re
from pathlib import Path

import pytest

from verity.formats import policy, policy_source
from verity.formats.etc_rules import DropIn, FileClass
from verity.formats.grants import Party, Role
from verity.formats.kernel_policy import Mode, Stream
from verity.formats.policy import (
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
from verity.values.errors import ContentError

ORIGIN = "/etc/verity/policy.d/50.toml"
WHY = 'reason = "why"\n'


def parse(text: str, *, name: str = "50.toml") -> tuple[Line, ...]:
    return policy_source.parse([DropIn(name=name, origin=ORIGIN, data=text.encode())])


def said(table: str) -> dict[str, str]:
    return {"reason": "why", "origin": f"{ORIGIN} [[{table}]] 1"}


GOOD: dict[str, tuple[str, Line]] = {
    "mode": ('[[mode]]\nmode = "trial"\n', ModeLine(mode=Mode.TRIAL, **said("mode"))),
    "a group by number": ("[[privileged]]\ngid = 999\n", Group(gid=999, **said("privileged"))),
    "a group with its name": (
        '[[privileged]]\ngid = 999\nname = "docker"\n',
        Group(gid=999, name="docker", **said("privileged")),
    ),
    "capabilities": (
        '[[privileged]]\ncapabilities_but = ["chown", "wake_alarm"]\n',
        Unprivileged(capabilities=1 | 1 << 35, **said("privileged")),
    ),
    "no exempt capability": (
        "[[privileged]]\ncapabilities_but = []\n",
        Unprivileged(capabilities=0, **said("privileged")),
    ),
    "a whole directory": (
        '[[guarded]]\nclass = "signed"\npaths = ["/srv"]\n',
        Guard(
            path="/srv", file_class=FileClass.SIGNED, reason="why", origin=f"{ORIGIN} [[guarded]] 1"
        ),
    ),
    "a place that must stay": (
        '[[guarded]]\nclass = "signed"\npaths = ["/etc/pam.d"]\nrequire = true\n',
        Guard(
            path="/etc/pam.d",
            file_class=FileClass.SIGNED,
            required=True,
            reason="why",
            origin=f"{ORIGIN} [[guarded]] 1",
        ),
    ),
    "a link": (
        '[[link]]\npaths = ["/etc/a"]\nto = "/usr/a"\nprofile = "strict"\n',
        Link(
            path="/etc/a",
            target="/usr/a",
            profile=Profile.STRICT,
            reason="why",
            origin=f"{ORIGIN} [[link]] 1",
        ),
    ),
    "an interpreter": (
        '[[interpreters]]\nkind = "jit"\npaths = ["/usr/bin/node"]\n',
        Interpreter(
            path="/usr/bin/node",
            kind=InterpreterKind.JIT,
            reason="why",
            origin=f"{ORIGIN} [[interpreters]] 1",
        ),
    ),
    "a reaction": (
        '[[reaction]]\nto = "ptrace"\nreaction = "observe"\n',
        Reacts(
            to="ptrace", reaction=Reaction.OBSERVE, reason="why", origin=f"{ORIGIN} [[reaction]] 1"
        ),
    ),
    "a stream": (
        '[[stream]]\nname = "os"\nparty = "vendor"\nrole = "os"\n',
        StreamLine(stream=Stream(name="os", party=Party.VENDOR, role=Role.OS), **said("stream")),
    ),
    "an unlock": (
        '[[unlock]]\nscope = "observe-only"\nlongest = "90m"\nowners = 2\n',
        Unlock(
            scope=Scope.OBSERVE_ONLY,
            seconds=5400,
            owners=2,
            reason="why",
            origin=f"{ORIGIN} [[unlock]] 1",
        ),
    ),
    "no unlock": (
        '[[unlock]]\nscope = "off"\nlongest = "never"\n',
        Unlock(scope=Scope.OFF, seconds=0, reason="why", origin=f"{ORIGIN} [[unlock]] 1"),
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_a_table_says(name: str) -> None:
    text, line = GOOD[name]
    assert parse(text + WHY) == (line,)


def test_a_rule_of_etc() -> None:
    text = (
        '[[etc]]\nclass = "mutable"\npaths = ["/etc/a", "/etc/b*"]\nmode = "0640"\nsecret = true\n'
    )
    found = parse(text + WHY)
    assert [line.key for line in found] == ["/etc/a", "/etc/b*"]
    first = found[0]
    assert isinstance(first, Guard)
    assert (first.file_class, first.most, first.secret) == (FileClass.MUTABLE, 0o640, True)


STREAM = '[[stream]]\nname = "os"\nparty = "vendor"\nrole = "os"\n'
BAD: dict[str, tuple[str, str]] = {
    "no reason": ('[[mode]]\nmode = "trial"\n', "[[mode]] 1: it needs a reason"),
    "an empty reason": ('[[mode]]\nmode = "trial"\nreason = " "\n', "it needs a reason"),
    "an unknown table": ("[[modes]]\n" + WHY, "unknown key 'modes'"),
    "a table that is no list": ('[mode]\nmode = "trial"\n' + WHY, "array of tables, [[mode]]"),
    "an unknown key": ('[[mode]]\nmode = "trial"\nmood = 1\n' + WHY, "unknown key 'mood'"),
    "require as a word": (
        '[[guarded]]\nclass = "signed"\npaths = ["/srv"]\nrequire = "yes"\n' + WHY,
        "require is 'yes', expected true or false",
    ),
    "require of what is mutable": (
        '[[guarded]]\nclass = "mutable"\npaths = ["/srv/x"]\nrequire = true\n' + WHY,
        "require says nothing for the class mutable",
    ),
    "an unknown mode": ('[[mode]]\nmode = "off"\n' + WHY, "mode is 'off', expected one of observe"),
    "a group by name alone": (
        '[[privileged]]\nname = "docker"\n' + WHY,
        "the name alone means another group on another host",
    ),
    "a negative group": ("[[privileged]]\ngid = -1\n" + WHY, "gid is -1"),
    "a group that is true": ("[[privileged]]\ngid = true\n" + WHY, "gid is True"),
    "a group beyond": (f"[[privileged]]\ngid = {2**32 - 1}\n" + WHY, "gid is 4294967295"),
    "an unknown capability": (
        '[[privileged]]\ncapabilities_but = ["CAP_CHOWN"]\n' + WHY,
        "capabilities_but is no list of names",
    ),
    "group and capabilities": (
        "[[privileged]]\ngid = 6\ncapabilities_but = []\n" + WHY,
        "unknown key 'gid'",
    ),
    "everything": ('[[guarded]]\nclass = "signed"\npaths = ["/"]\n' + WHY, "is no absolute path"),
    "a whole directory exempted": (
        '[[guarded]]\nclass = "ignored"\npaths = ["/etc"]\n' + WHY,
        "'/etc' is no absolute path below a directory",
    ),
    "what says what is exempt": (
        '[[guarded]]\nclass = "ignored"\npaths = ["/etc/verity/policy.d"]\n' + WHY,
        "is always signed",
    ),
    "an unknown class": ('[[guarded]]\nclass = "x"\npaths = ["/srv/a"]\n' + WHY, "class is 'x'"),
    "no paths": ('[[guarded]]\nclass = "signed"\npaths = []\n' + WHY, "at least one path"),
    "an unknown profile": (
        '[[guarded]]\nclass = "signed"\npaths = ["/srv/a"]\nprofile = "lax"\n' + WHY,
        "profile is 'lax', expected one of standard, strict",
    ),
    "an unknown kind": (
        '[[interpreters]]\nkind = "script"\npaths = ["/usr/bin/x"]\n' + WHY,
        "kind is 'script', expected one of shell, interpreter, jit",
    ),
    "what is always denied": (
        '[[reaction]]\nto = "gate-key"\nreaction = "observe"\n' + WHY,
        "to is 'gate-key', expected one of",
    ),
    "an unknown reaction": (
        '[[reaction]]\nto = "ptrace"\nreaction = "allow"\n' + WHY,
        "reaction is 'allow', expected one of deny, observe",
    ),
    "a stream in capitals": (STREAM.replace('"os"', '"OS"', 1) + WHY, "name is 'OS'"),
    "the vendor's etc": (
        STREAM.replace('role = "os"', 'role = "etc"') + WHY,
        "expected the vendor",
    ),
    "a stream of nobody": (STREAM.replace("vendor", "root") + WHY, "party is 'root'"),
    "an unlock for ever": (
        '[[unlock]]\nscope = "off"\nlongest = "8d"\n' + WHY,
        "longest is '8d', expected a time up to \"7d\"",
    ),
    "an unlock of 0": ('[[unlock]]\nscope = "off"\nlongest = "0h"\n' + WHY, "longest is '0h'"),
    "an unlock as a number": ('[[unlock]]\nscope = "off"\nlongest = 3\n' + WHY, "longest is 3"),
    "nine owners": (
        '[[unlock]]\nscope = "off"\nlongest = "1h"\nowners = 9\n' + WHY,
        "owners is 9",
    ),
    "owners of nothing": (
        '[[unlock]]\nscope = "off"\nlongest = "never"\nowners = 2\n' + WHY,
        "never unlocked",
    ),
    "a scope of no kind": ('[[unlock]]\nscope = "all"\nlongest = "1h"\n' + WHY, "scope is 'all'"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str) -> None:
    text, reason = BAD[name]
    with pytest.raises(ContentError) as caught:
        parse(text)
    assert caught.value.code == "bad-policy"
    assert reason in caught.value.message
    assert caught.value.message.startswith(ORIGIN)
    assert caught.value.hint


def test_the_example_of_the_guide_is_a_drop_in() -> None:
    text = Path("docs/guides/policy.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    first, *others = ({type(line) for line in parse(example)} for example in examples)
    assert all(others)
    assert first == {ModeLine, Group, Guard, Link, Interpreter, Reacts, StreamLine, Unlock}


def test_exceptions_come_behind_what_is_guarded_whatever_their_place() -> None:
    etc = '[[etc]]\nclass = "mutable"\npaths = ["/etc/a"]\n' + WHY
    guarded = '[[guarded]]\nclass = "signed"\npaths = ["/etc"]\n' + WHY
    assert [line.key for line in parse(etc + guarded)] == ["/etc", "/etc/a"]


def test_the_last_line_counts_and_takes_the_last_place() -> None:
    rows = [("/srv/a", "mutable"), ("/srv/b", "signed"), ("/srv/a", "signed")]
    lines = parse(
        "".join(f'[[guarded]]\nclass = "{kind}"\npaths = ["{path}"]\n{WHY}' for path, kind in rows)
    )
    counting, replaced = policy.count(lines, Profile.STANDARD)
    assert counting == lines[1:]
    assert replaced == lines[:1]


def test_a_line_of_another_profile_does_not_count() -> None:
    text = '[[reaction]]\nto = "ptrace"\nreaction = "{}"\n' + WHY
    lines = parse(text.format("observe") + text.format("deny") + 'profile = "strict"\n')
    assert policy.count(lines, Profile.STANDARD) == (lines[:1], ())
    assert policy.count(lines, Profile.STRICT) == (lines[1:], lines[:1])
