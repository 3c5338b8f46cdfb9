# SPDX-License-Identifier: Apache-2.0
"""What a repair would do, from manifest and tree alone; and that doing it leaves nothing to do."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from verity.formats.dump import Entry
from verity.ports.tree import Contents, Gap, Node
from verity.verbs.repair_plan import Plan, plan, power_of

ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00" + bytes(44)


def file(path: bytes, version: int = 1, mode: int = 0o644) -> Entry:
    return Entry(path=path, mode=0o100000 | mode, uid=0, gid=0, digest=bytes([version]) * 32)


def folder(path: bytes, mode: int = 0o755) -> Entry:
    return Entry(path=path, mode=0o40000 | mode, uid=0, gid=0)


def link(path: bytes, target: bytes = b"x") -> Entry:
    return Entry(path=path, mode=0o120777, uid=0, gid=0, size=len(target), target=target)


def node(entry: Entry, *, by_kernel: bool = True, head: bytes = b"") -> Node:
    contents = None
    if entry.digest is not None:
        contents = Contents(digest=entry.digest, by_kernel=by_kernel, head=head)
    return Node(entry=entry, contents=contents)


def nodes(*entries: Entry) -> dict[bytes, Node]:
    return {entry.path: node(entry) for entry in entries}


def made(due: list[Entry], there: Mapping[bytes, Node], *gaps: Gap, remove: bool = False) -> Plan:
    return plan({one.path: one for one in due}, there, list(gaps), may_remove=lambda found: remove)


def paths(entries: list[Entry]) -> list[bytes]:
    return [entry.path for entry in entries]


TOP = [folder(b"/"), folder(b"/usr")]


def test_each_kind_of_step() -> None:
    due = [
        *TOP,
        file(b"/usr/changed"),
        folder(b"/usr/dressed"),
        folder(b"/usr/lost"),
        file(b"/usr/lost/in"),
        file(b"/usr/mode"),
        file(b"/usr/plain"),
        link(b"/usr/link"),
        file(b"/usr/was-link"),
    ]
    there = nodes(
        *TOP,
        file(b"/usr/changed", 2),
        folder(b"/usr/dressed", 0o777),
        file(b"/usr/mode", mode=0o600),
        link(b"/usr/link", b"y"),
        link(b"/usr/was-link"),
    )
    there[b"/usr/plain"] = node(file(b"/usr/plain"), by_kernel=False)
    found = made(due, there)
    assert paths(found.make) == [b"/usr/lost"]
    assert paths(found.put) == [
        *(b"/usr/changed", b"/usr/link", b"/usr/lost/in", b"/usr/mode", b"/usr/was-link")
    ]
    assert paths(found.dress) == [b"/usr/dressed"]
    assert paths(found.protect) == [b"/usr/plain"]
    assert (found.remove, found.left) == ([], [])
    assert found.changes == 8


def test_what_is_in_a_gap_is_left() -> None:
    due = [*TOP, folder(b"/usr/a"), file(b"/usr/a/x")]
    found = made(due, nodes(*TOP), Gap(path=b"/usr/a", why="mounted", hint=""))
    assert (found.changes, [one.path for one in found.left]) == (0, [b"/usr/a"])


def test_a_mount_where_nothing_is_signed_is_none() -> None:
    found = made([*TOP, folder(b"/proc")], nodes(*TOP), Gap(path=b"/proc", why="mounted", hint=""))
    assert (found.changes, found.left) == (0, [])


def test_state_of_the_host_is_left() -> None:
    due = [*TOP, folder(b"/var"), file(b"/var/status"), file(b"/var/lost"), file(b"/usr/x")]
    there = nodes(*TOP, folder(b"/var", 0o777), file(b"/var/status", 2))
    found = made(due, there)
    found.leave_state(frozenset({b"/var"}))
    assert (paths(found.put), paths(found.dress)) == ([b"/usr/x"], [b"/var"])
    (left,) = found.left
    assert left.path == b"/var"
    assert left.why.startswith("2 signed files differ")


def test_unsigned_code_takes_its_directory_along_and_data_keeps_it() -> None:
    there = nodes(*TOP, folder(b"/usr/a"), folder(b"/usr/b"), file(b"/usr/b/data"))
    for path in (b"/usr/a/x", b"/usr/b/x"):
        there[path] = node(file(path), head=ELF)
    kept = made(TOP, there)
    assert (kept.remove, len(kept.left)) == ([], 3)
    found = made(TOP, there, remove=True)
    assert paths(found.remove) == [b"/usr/b/x", b"/usr/a/x", b"/usr/a"]
    assert [one.path for one in found.left] == [b"/usr/b/data"]
    held = made(TOP, there, Gap(path=b"/usr/a/mount", why="mounted", hint=""), remove=True)
    assert b"/usr/a" not in paths(held.remove)


def test_what_is_dropped_takes_along_what_depends_on_it() -> None:
    due = [*TOP, folder(b"/usr/a"), file(b"/usr/a/x"), file(b"/usr/z")]
    found = made(due, nodes(*TOP, link(b"/usr/a")))
    assert paths(found.remove) == [b"/usr/a"]
    found.drop(b"/usr/a", "immutable", "chattr")
    assert (found.remove, found.make, paths(found.put)) == ([], [], [b"/usr/z"])
    there = nodes(*TOP, folder(b"/usr/z"), folder(b"/usr/z/b"))
    there[b"/usr/z/b/x"] = node(file(b"/usr/z/b/x"), head=ELF)
    found = made([*TOP, file(b"/usr/z")], there, remove=True)
    assert paths(found.remove) == [b"/usr/z/b/x", b"/usr/z/b", b"/usr/z"]
    found.drop(b"/usr/z/b/x", "immutable", "chattr")
    assert (found.remove, found.put) == ([], [])
    assert {one.path for one in found.left} == {b"/usr/z/b/x", b"/usr/z/b", b"/usr/z"}


def test_what_could_do_something() -> None:
    assert power_of(node(file(b"/x"), head=ELF)) == "code"
    assert power_of(node(file(b"/x", mode=0o4755))) == "privileged"
    caps = file(b"/x")._replace(xattrs=((b"security.capability", b"damaged"),))
    assert power_of(node(caps)) == "privileged"
    assert power_of(node(file(b"/x"))) == ""
    assert power_of(node(folder(b"/x", 0o7777))) == ""


names = st.sampled_from([b"a", b"b", b"a/a", b"a/b", b"b/a", b"a/a/a"])


@st.composite
def trees(draw: st.DrawFn) -> dict[bytes, Entry]:
    """Any small tree in which what is above a path is a directory."""
    found: dict[bytes, Entry] = {entry.path: entry for entry in TOP}
    for name in sorted(draw(st.sets(names)), key=len):
        path = b"/usr/" + name
        above = path.rpartition(b"/")[0]
        if above in found and found[above].is_directory:
            made = (file(path), file(path, 2), folder(path), link(path))
            found[path] = draw(st.sampled_from(made))
    return found


def do(found: Plan, there: dict[bytes, Entry]) -> dict[bytes, Entry]:
    """The steps, on entries, with what a file system would refuse."""
    after = dict(there)
    for entry in found.remove:
        assert not any(path.startswith(entry.path + b"/") for path in after)
        del after[entry.path]
    for entry in found.make:
        assert entry.path not in after
        assert after[entry.path.rpartition(b"/")[0] or b"/"].is_directory
        after[entry.path] = entry
    for entry in found.put:
        assert after[entry.path.rpartition(b"/")[0] or b"/"].is_directory
        assert entry.path not in after or not after[entry.path].is_directory
        after[entry.path] = entry
    for entry in found.dress:
        assert after[entry.path].is_directory
        after[entry.path] = entry
    return after


@given(trees(), trees(), st.booleans())
def test_after_it_nothing_is_to_be_done(
    due: dict[bytes, Entry], there: dict[bytes, Entry], remove: bool
) -> None:
    def look(entries: dict[bytes, Entry]) -> dict[bytes, Node]:
        return {path: node(entry, head=ELF) for path, entry in entries.items()}

    found = made(list(due.values()), look(there), remove=remove)
    after = do(found, there)
    left = {one.path for one in found.left}
    for path, entry in due.items():
        hidden = any(path == one or path.startswith(one + b"/") for one in left)
        assert after.get(path) == entry or hidden
    again = made(list(due.values()), look(after), remove=remove)
    assert again.changes == 0
    assert {one.path for one in again.left} == left


def test_what_the_owner_signed_beside_it_is_not_touched() -> None:
    """As it was signed it is no concern of a repair; otherwise it is what nobody signed."""
    tools = [folder(b"/usr/tools"), file(b"/usr/tools/tool"), link(b"/usr/tools/link")]
    owned = {entry.path: entry for entry in tools}

    def found(*there: Entry) -> Plan:
        due = {one.path: one for one in TOP}
        return plan(due, nodes(*TOP, *there), [], may_remove=lambda node: True, owned=owned)

    as_signed = found(*tools)
    assert (as_signed.changes, as_signed.left) == (0, [])
    added = found(*tools, file(b"/usr/tools/more"))
    assert [one.path for one in added.left] == [b"/usr/tools/more"]
    changed = found(tools[0], file(b"/usr/tools/tool", 2), tools[2])
    assert [one.path for one in changed.left] == [b"/usr/tools/tool"]
