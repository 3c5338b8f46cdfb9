# SPDX-License-Identifier: Apache-2.0
"""What an apply would do, from three states alone; and that doing it leaves nothing to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verity.formats.dump import Entry
from verity.formats.etc_rules import DEFAULT
from verity.values.errors import HostError
from verity.verbs.etc_plan import Plan, plan
from verity.verbs.etc_read import Found, Other

States = dict[bytes, Entry]


def file(path: bytes, version: int = 1) -> Entry:
    return Entry(path=path, mode=0o100644, uid=0, gid=0, digest=bytes([version]) * 32)


def folder(path: bytes, mode: int = 0o755) -> Entry:
    return Entry(path=path, mode=0o40000 | mode, uid=0, gid=0)


def state(*entries: Entry) -> States:
    return {entry.path: entry for entry in (folder(b"/"), folder(b"/etc"), *entries)}


def paths(entries: tuple[Entry, ...]) -> list[bytes]:
    return [entry.path for entry in entries]


def test_each_kind_of_step() -> None:
    now = state(
        file(b"/etc/changed"),
        file(b"/etc/gone"),
        file(b"/etc/mine"),
        folder(b"/etc/dressed"),
        file(b"/etc/same"),
    )
    target = state(
        file(b"/etc/changed", 2),
        folder(b"/etc/dressed", 0o700),
        folder(b"/etc/new"),
        file(b"/etc/new/file"),
        file(b"/etc/same"),
    )
    found = plan({b"/etc/gone", b"/etc/never-there"}, target, Found(entries=now))
    assert paths(found.remove) == [b"/etc/gone"]
    assert paths(found.make) == [b"/etc/new"]
    assert paths(found.put) == [b"/etc/changed", b"/etc/new/file"]
    assert paths(found.dress) == [b"/etc/dressed"]
    assert found.left == (b"/etc/mine",)


def test_a_directory_stays_for_what_nobody_signed() -> None:
    now = state(folder(b"/etc/a"), folder(b"/etc/a/b"), file(b"/etc/a/b/mine"), file(b"/etc/a/x"))
    found = plan({b"/etc/a", b"/etc/a/b", b"/etc/a/x"}, state(), Found(entries=now))
    assert paths(found.remove) == [b"/etc/a/x"]
    assert found.left == (b"/etc/a", b"/etc/a/b", b"/etc/a/b/mine")


@pytest.mark.parametrize("mine", ["signed", "mutable"])
def test_what_nobody_signed_in_the_way(mine: str) -> None:
    inside = file(b"/etc/a/mine")
    found = Found(entries=state(folder(b"/etc/a")))
    if mine == "signed":
        found.entries[inside.path] = inside
    else:
        found.others[inside.path] = Other(entry=inside, rule=DEFAULT)
    with pytest.raises(HostError, match="/etc/a: a directory is in the way") as caught:
        plan({b"/etc/a"}, state(file(b"/etc/a")), found)
    assert caught.value.code == "in-the-way"


def do(found: Plan, now: States) -> States:
    """The steps, on entries, with what a file system would refuse."""
    after = dict(now)
    for entry in found.remove:
        assert not any(path.startswith(entry.path + b"/") for path in after)
        del after[entry.path]
    for entry in found.make:
        assert entry.path not in after and after[entry.path.rpartition(b"/")[0]].is_directory
        after[entry.path] = entry
    for entry in found.put:
        assert after[entry.path.rpartition(b"/")[0]].is_directory
        assert entry.path not in after or not after[entry.path].is_directory
        after[entry.path] = entry
    for entry in found.dress:
        assert after[entry.path].is_directory
        after[entry.path] = entry
    return after


@st.composite
def states(draw: st.DrawFn) -> States:
    """A small /etc whose parents are directories."""
    found = state()
    for path in (b"/etc/a", b"/etc/b", b"/etc/a/c", b"/etc/a/c/d", b"/etc/b/e"):
        above = found.get(path.rpartition(b"/")[0])
        kind = draw(st.sampled_from(["none", "file", "other file", "folder", "other folder"]))
        if above is None or not above.is_directory or kind == "none":
            continue
        other = kind.startswith("other")
        found[path] = (
            file(path, 2 if other else 1)
            if kind.endswith("file")
            else folder(path, 0o700 if other else 0o755)
        )
    return found


@given(before=states(), target=states(), now=states(), done=st.integers(0, 30))
def test_done_it_is_the_target_also_after_a_crash_anywhere(
    before: States, target: States, now: States, done: int
) -> None:
    try:
        whole = plan(before, target, Found(entries=now))
    except HostError:
        return  # something nobody signed is in the way
    after = do(whole, now)
    assert {path: entry for path, entry in after.items() if path not in whole.left} == target
    assert {path: after[path] for path in whole.left} == {path: now[path] for path in whole.left}
    # A crash after some steps: what is planned then is the rest.
    steps = [("remove", e) for e in whole.remove] + [("make", e) for e in whole.make]
    steps += [("put", e) for e in whole.put] + [("dress", e) for e in whole.dress]
    partly = dict(now)
    for name, entry in steps[:done]:
        if name == "remove":
            del partly[entry.path]
        else:
            partly[entry.path] = entry
    rest = plan(before, target, Found(entries=partly))
    assert do(rest, partly) == after
    assert plan(before, target, Found(entries=after)).empty
