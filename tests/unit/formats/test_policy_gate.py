# SPDX-License-Identifier: Apache-2.0
"""From the document to the gate's blob: the gate asks what the document says, or more."""

import itertools
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verity.formats import kernel_policy, policy, policy_gate, policy_source
from verity.formats.etc_rules import DropIn, FileClass
from verity.formats.grants import Party, Role
from verity.formats.kernel_guarded import MAX_GUARDED, Guarded, GuardedClass, Match
from verity.formats.kernel_policy import ActSet, Mode, Stream, UnlockLimit
from verity.formats.policy import Guard, Line, Policy, Profile, StreamLine
from verity.formats.unlock import Scope
from verity.values.errors import ContentError

RULES = Path("policy/rules")
OS = Stream(name="os", party=Party.VENDOR, role=Role.OS)


def guard(path: str, kind: FileClass = FileClass.SIGNED, *, required: bool = False) -> Guard:
    return Guard(path=path, file_class=kind, required=required, reason="why", origin="here")


def of(*lines: Line, profile: Profile = Profile.STANDARD) -> Policy:
    counting, _ = policy.count(lines, profile)
    return Policy(serial=1, issued=0, expires=1, profile=profile, lines=counting)


def defaults(profile: Profile) -> Policy:
    """The drop-ins that come with the program, as they are in the source."""
    drop_ins = [
        DropIn(name=path.name, origin=f"built-in/{path.name}", data=path.read_bytes())
        for path in RULES.glob("*.toml")
    ]
    stream = StreamLine(stream=OS, reason="why", origin="--stream")
    return of(*policy_source.parse(drop_ins), stream, profile=profile)


def asked(table: tuple[Guarded, ...], path: bytes) -> GuardedClass | None:
    """What the gate asks of a path: the longest entry that matches counts."""
    found = [
        one
        for one in table
        if (path.startswith(one.path) if one.match is Match.PREFIX else path == one.path)
        or (one.match is Match.TREE and path.startswith(one.path + b"/"))
    ]
    best = max(found, key=lambda one: len(one.path), default=None)
    return None if best is None else best.file_class


def expected(found: Policy, path: bytes) -> GuardedClass | None:
    line = found.guard(path)
    return None if line is None else GuardedClass[line.file_class.name]


MUTABLE, SIGNED, IGNORED = FileClass.MUTABLE, FileClass.SIGNED, FileClass.IGNORED
ALWAYS = Guarded(path=b"/etc/verity", file_class=GuardedClass.SIGNED, match=Match.TREE)


def test_exemptions_stay_where_they_come_later() -> None:
    found = policy_gate.table(
        of(guard("/etc"), guard("/etc/a", MUTABLE), guard("/etc/b*", IGNORED))
    )
    assert found.left_out == ()
    assert found.guarded == (
        Guarded(path=b"/etc", file_class=GuardedClass.SIGNED, match=Match.TREE),
        Guarded(path=b"/etc/a", file_class=GuardedClass.MUTABLE, match=Match.TREE),
        Guarded(path=b"/etc/b", file_class=GuardedClass.IGNORED, match=Match.PREFIX),
        ALWAYS,
    )


def test_what_comes_later_and_is_wider_takes_exemptions_back() -> None:
    found = policy_gate.table(
        of(guard("/etc/a", MUTABLE), guard("/etc/ab", MUTABLE), guard("/etc"))
    )
    assert [one.path for one in found.guarded] == [b"/etc", b"/etc/verity"]
    found = policy_gate.table(
        of(guard("/etc"), guard("/etc/a", MUTABLE), guard("/etc/ab", MUTABLE), guard("/etc/a*"))
    )
    assert [one.path for one in found.guarded] == [b"/etc", b"/etc/a", b"/etc/verity"]


def test_a_pattern_that_the_gate_has_not_is_left_out_where_that_asks_more() -> None:
    lost = guard("/etc/*/x", MUTABLE)
    assert policy_gate.table(of(guard("/etc"), lost)).left_out == (lost,)
    assert policy_gate.table(of(guard("/home/*/x", IGNORED))).left_out == ()
    assert policy_gate.table(of(guard("/etc"), guard("/etc/s*_key"))).left_out == ()
    again = (guard("/etc/a", MUTABLE), guard("/etc/a/?", MUTABLE))
    assert policy_gate.table(of(guard("/etc"), *again)).left_out == ()


def must_stay(*lines: Guard) -> list[bytes]:
    return [one.path for one in policy_gate.table(of(*lines)).guarded if one.required]


def test_what_must_stay() -> None:
    """The last line counts for this, too; /etc/verity is as what is around it."""
    pam, sudo = guard("/etc/pam.d", required=True), guard("/etc/sudo*", required=True)
    assert must_stay(guard("/etc"), pam, sudo) == [b"/etc/pam.d", b"/etc/sudo"]
    assert must_stay(pam, guard("/etc")) == []
    whole = guard("/etc", required=True)
    assert must_stay(whole) == [b"/etc", b"/etc/verity"]
    assert must_stay(whole, guard("/etc/a", MUTABLE), guard("/etc/b")) == [b"/etc", b"/etc/verity"]


def test_a_pattern_beside_what_must_stay() -> None:
    whole, pattern = guard("/etc", required=True), guard("/etc/*/x")
    assert policy_gate.table(of(whole, pattern)).left_out == (pattern,)
    assert policy_gate.table(of(whole, guard("/etc/*/x", required=True))).left_out == ()


INNER = (guard("/srv/x/a"), guard("/srv/y*", MUTABLE))


@pytest.mark.parametrize(
    ("pattern", "lost"),
    [
        ("/srv/?/a", True),
        ("/srv/x/?", True),
        ("/srv/*/a/b/c", True),
        ("/srv/*/a/b?c/d", True),
        ("/srv/?", True),
        ("/srv/**", True),
        ("/srv/?/b", True),  # as /srv/y/b is
        ("/srv/?z", True),
        ("/srv/x/?b", False),
        ("/srv/z*/a", False),
        ("/srv/x*x/a", False),
        ("/srv/x/a/**", True),
        ("/srv/x/a*b*", False),
        ("/srv/z?", False),
        ("/srv/x?", False),
    ],
)
def test_an_ignored_pattern_over_something_that_is_not(pattern: str, lost: bool) -> None:
    """Nothing is guarded around it, and yet the gate asks something there."""
    line = guard(pattern, IGNORED)
    found = policy_gate.table(of(*INNER, line))
    assert found.left_out == ((line,) if lost else ())
    assert [one.path for one in found.guarded] == [b"/etc/verity", b"/srv/x/a", b"/srv/y"]


REFUSED: dict[str, tuple[Guard, ...]] = {
    "signed within mutable": (guard("/etc/a", MUTABLE), guard("/etc/a/*/b")),
    "signed over mutable": (guard("/etc"), guard("/etc/ab", MUTABLE), guard("/etc/a?")),
    "signed beside a tree of the same letters": (
        guard("/srv/x", MUTABLE),
        guard("/srv/x/a"),
        guard("/srv/x/a?"),
    ),
    "signed beside a tree, and nothing around": (guard("/srv/cron"), guard("/srv/cron*.d")),
    "signed where nothing is": (guard("/srv/*/x"),),
    "mutable where nothing is": (guard("/srv/*/x", MUTABLE),),
    "mutable within ignored": (
        guard("/etc"),
        guard("/etc/a", IGNORED),
        guard("/etc/a/*/b", MUTABLE),
    ),
    "mutable over ignored": (guard("/etc"), guard("/etc/ab", IGNORED), guard("/etc/?b", MUTABLE)),
    "produced over ignored below": (
        guard("/etc"),
        guard("/etc/a/b/c", IGNORED),
        guard("/etc/?/b", FileClass.PRODUCED),
    ),
    "a tree and a prefix": (guard("/etc"), guard("/etc/a*", MUTABLE), guard("/etc/a")),
    "what is always signed as a prefix": (guard("/etc"), guard("/etc/verity*", MUTABLE)),
    "513 paths": tuple(guard(f"/srv/{number:03}") for number in range(512)),
    "a pattern that must stay, within what need not": (
        guard("/etc"),
        guard("/etc/*/x", required=True),
    ),
    "a path too long": (guard("/srv/" + "x" * 243),),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    stream = StreamLine(stream=OS, reason="why", origin="here")
    mode = policy.ModeLine(mode=Mode.SEALED, reason="why", origin="here")
    with pytest.raises(ContentError) as caught:
        kernel_policy.encode(policy_gate.project(of(mode, stream, *REFUSED[name])))
    assert caught.value.code == "bad-policy"


def test_without_a_stream_nothing_could_be_granted() -> None:
    with pytest.raises(ContentError, match="no streams"):
        policy_gate.project(of(policy.ModeLine(mode=Mode.SEALED, reason="why", origin="here")))


PARTS = st.lists(st.sampled_from(["a", "ab", "b"]), min_size=1, max_size=3).map("/".join)
PATHS = st.tuples(PARTS, st.sampled_from(["", "", "*"])).map(lambda two: "/srv/" + two[0] + two[1])
NAMES = [
    b"/srv/" + "/".join(parts).encode()
    for depth in (1, 2, 3)
    for parts in itertools.product(["a", "b", "ab", "abb", "c"], repeat=depth)
]
LINES = st.lists(st.builds(guard, PATHS, st.sampled_from(FileClass)), max_size=8)


@given(LINES, PARTS)
def test_the_longest_entry_is_the_last_line(lines: list[Guard], path: str) -> None:
    """Two rules of precedence that must say the same, but for what is ignored where nothing is."""
    found = of(*lines)
    try:
        table = policy_gate.table(found).guarded
    except ContentError as error:
        assert "another line has the same with a *" in error.message
        return
    name = b"/srv/" + path.encode()
    wanted = expected(found, name)
    assert asked(table, name) in (wanted, None if wanted is GuardedClass.IGNORED else wanted)


GLOBS = st.lists(
    st.sampled_from(["a", "b", "?", "a?", "?b", "*b", "a*b", "*", "**"]), min_size=1, max_size=3
).map(lambda parts: "/srv/" + "/".join(parts))
CLASSES = st.sampled_from(FileClass)
# Something is around nearly all of it, else most of these would be refused.
ANY = st.builds(
    lambda first, *rest: [first, *rest[0], *rest[1]],
    st.builds(guard, st.just("/srv"), CLASSES),
    st.lists(st.builds(guard, PATHS, CLASSES), max_size=4),
    st.lists(st.builds(guard, st.one_of(GLOBS, PATHS), CLASSES), max_size=4),
)
STRICT = {
    GuardedClass.IGNORED: 0,
    GuardedClass.MUTABLE: 1,
    GuardedClass.PRODUCED: 1,
    GuardedClass.SIGNED: 2,
}


@settings(max_examples=max(800, settings().max_examples))
@given(ANY)
def test_the_gate_never_asks_less(lines: list[Guard]) -> None:
    """Whatever the patterns are; and where nothing is left out it asks just what they say."""
    found = of(*lines)
    try:
        table = policy_gate.table(found)
    except ContentError as error:
        assert re.search("another line has the same with a |has no such patterns", error.message)
        return
    for name in NAMES:
        wanted = expected(found, name) or GuardedClass.IGNORED
        given = asked(table.guarded, name) or GuardedClass.IGNORED
        assert STRICT[given] >= STRICT[wanted], name
        if not table.left_out:
            assert given is wanted, name


# --- what comes with the program ----------------------------------------------------------------


def test_defaults_deny_and_say_why() -> None:
    found = policy_gate.project(defaults(Profile.STANDARD))
    assert found.mode is Mode.OBSERVE
    assert found.groups == (6, 42)
    assert found.privileged_caps == kernel_policy.PRIVILEGED_CAPS
    assert found.observed == frozenset()
    assert found.observed_acts == ActSet.BPF_PROGRAMS | ActSet.USER_NAMESPACES
    assert UnlockLimit(scope=Scope.OFF, seconds=3600) in found.unlock
    reacts = {one.to for one in defaults(Profile.STANDARD).of(policy.Reacts)}
    assert reacts == set(policy.REACTIONS)
    reasons = {policy.REACTIONS[to] for to in reacts} - set(ActSet)
    assert reasons == kernel_policy.OBSERVABLE


def test_strict_only_adds() -> None:
    standard, strict = (policy_gate.project(defaults(profile)) for profile in Profile)
    assert strict.observed_acts == ActSet.BPF_PROGRAMS
    assert {limit.scope for limit in strict.unlock} == set(Scope) - {Scope.OFF}
    assert set(standard.guarded) < set(strict.guarded)
    for path in (b"/root/.ssh/authorized_keys", b"/root/.bashrc", b"/root/.config/x"):
        assert asked(standard.guarded, path) is None
        assert asked(strict.guarded, path) is GuardedClass.SIGNED


@pytest.mark.parametrize("profile", Profile)
def test_the_gate_is_told_all_of_the_defaults(profile: Profile) -> None:
    found = defaults(profile)
    table = policy_gate.table(found)
    assert table.left_out == ()
    assert len(table.guarded) < MAX_GUARDED // 3  # the rest is the owner's
    assert len(kernel_policy.encode(policy_gate.project(found))) < kernel_policy.MAX_SIZE // 3


@pytest.mark.parametrize("profile", Profile)
def test_every_file_of_a_real_etc_has_the_class_of_its_rule(profile: Profile) -> None:
    found = defaults(profile)
    table = policy_gate.table(found).guarded
    number = 0
    for directory, names, files in os.walk(b"/etc"):
        for name in [*names, *files]:
            path = os.path.join(directory, name)
            assert asked(table, path) is expected(found, path) is not None, path
            number += 1
    assert number > 300
    assert asked(table, b"/etc/shadow") is GuardedClass.MUTABLE
    assert asked(table, b"/etc/systemd/system/x.service") is GuardedClass.SIGNED
