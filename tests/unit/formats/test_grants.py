# SPDX-License-Identifier: Apache-2.0
"""The grants blob: exact bytes, strict reading, and the rules that fill it."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verity.formats import elf, grants, policy_source
from verity.formats.dump import Entry
from verity.formats.etc_rules import DropIn
from verity.formats.grant_lists import GrantLists
from verity.formats.grant_rules import (
    Asked,
    Listed,
    as_granted,
    check_extension,
    check_role,
    code_flags,
    earned,
    permitted_capabilities,
)
from verity.formats.grants import (
    Code,
    CodeEntry,
    ConfigEntry,
    ConfigKind,
    ElevateEntry,
    Grants,
    Party,
    Role,
)
from verity.formats.policy import Interpreter
from verity.values.errors import ContentError

ONE, TWO = b"\x01" * 32, b"\x02" * 32
SAMPLE = Grants(
    party=Party.VENDOR,
    role=Role.OS,
    stream="debian-trixie",
    serial=7,
    issued=1_700_000_000,
    expires=1_800_000_000,
    manifest_sha256=b"\x33" * 32,
    code=(CodeEntry(ONE, Code.EXEC | Code.LIBRARY), CodeEntry(TWO, Code.SCRIPT)),
    elevate=(ElevateEntry(digest=ONE, set_bits=0o4000, uid=0, gid=0, capabilities=0),),
    config=(ConfigEntry(path=b"/etc/a", kind=ConfigKind.FILE, digest=TWO),),
)


def test_layout() -> None:
    data = grants.encode(SAMPLE)
    assert len(data) == 168 + 2 * 40 + 64 + 352
    assert data[:16] == b"\x93verity-grants1\0"
    assert struct.unpack_from("<II", data, 16) == (168, len(data))
    assert data[24:26] == b"\x01\x02"
    assert struct.unpack_from("<IQQQ", data, 28) == (1 | 2 | 32, 7, 1_700_000_000, 1_800_000_000)
    assert data[56:120] == b"debian-trixie".ljust(64, b"\0")
    assert struct.unpack_from("<IIII", data, 152) == (2, 1, 1, 0)
    assert grants.parse(data) == SAMPLE


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


@pytest.mark.parametrize(
    "bad",
    [
        replace(SAMPLE, code=SAMPLE.code[::-1]),
        replace(SAMPLE, stream="x" * 64),
        replace(SAMPLE, serial=0),
        replace(
            SAMPLE,
            config=(ConfigEntry(path=b"/" + b"a" * 255, kind=ConfigKind.FILE, digest=ONE),),
        ),
        replace(
            SAMPLE,
            config=(ConfigEntry(path=b"/etc/l", kind=ConfigKind.SYMLINK, target=b"a" * 56),),
        ),
    ],
)
def test_nothing_is_written_that_would_not_be_read(bad: Grants) -> None:
    with pytest.raises(ContentError, match="grants: "):
        grants.encode(bad)


@given(st.data())
def test_a_mutated_blob_is_read_the_same_way_or_refused(data: st.DataObject) -> None:
    blob = bytearray(grants.encode(SAMPLE))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = grants.parse(bytes(blob))
    except ContentError:
        return
    assert grants.encode(parsed) == bytes(blob)


def elf_head(*, kind: int = 3, entry: int = 1, bits: int = 64, data: int = 1) -> bytes:
    ident = b"\x7fELF" + bytes((2 if bits == 64 else 1, data, 1)) + bytes(9)
    rest = struct.pack("<HHIQ" if bits == 64 else "<HHII", kind, 62, 1, entry)
    return (ident + rest).ljust(64 if bits == 64 else 52, b"\0")


CODE_RULES = {
    "PIE program": ("/a", 0o755, elf_head(), Code.EXEC | Code.LIBRARY),
    "static program": ("/a", 0o755, elf_head(kind=2), Code.EXEC),
    "32-bit program": ("/a", 0o755, elf_head(kind=2, bits=32), Code.EXEC),
    "library": ("/a.so", 0o644, elf_head(entry=0), Code.LIBRARY),
    "program without x": ("/a", 0o644, elf_head(kind=2), Code(0)),
    "program for the group": ("/a", 0o610, elf_head(kind=2), Code.EXEC),
    "no entry point": ("/a", 0o755, elf_head(kind=2, entry=0), Code(0)),
    "object file": ("/a.o", 0o644, elf_head(kind=1, entry=0), Code(0)),
    "module": ("/m.ko", 0o644, elf_head(kind=1, entry=0), Code.MODULE),
    "module, compressed": ("/m.ko.xz", 0o644, b"\xfd7zXZ", Code.MODULE),
    "firmware": ("/usr/lib/firmware/a.bin", 0o644, b"junk", Code.MODULE),
    "firmware, the old place": ("/lib/firmware/a/b", 0o644, b"junk", Code.MODULE),
    "not firmware": ("/usr/lib/firmware.d/a", 0o644, b"junk", Code(0)),
    "firmware elsewhere": ("/opt/usr/lib/firmware/a", 0o644, b"junk", Code(0)),
    "script": ("/s", 0o755, b"#!/bin/sh\n", Code.SCRIPT),
    "script without x": ("/s", 0o644, b"#!/bin/sh\n", Code(0)),
    "text with x": ("/t", 0o755, b"hello", Code(0)),
    "empty with x": ("/t", 0o755, b"", Code(0)),
    "big-endian": ("/a", 0o755, elf_head(data=2), Code(0)),
    "cut header": ("/a", 0o755, elf_head()[:63], Code(0)),
    "cut 32-bit header": ("/a", 0o755, elf_head(bits=32)[:51], Code(0)),
    "class 3": ("/a", 0o755, elf_head()[:4] + b"\3" + elf_head()[5:], Code(0)),
}


@pytest.mark.parametrize("name", CODE_RULES)
def test_code_rules(name: str) -> None:
    path, mode, head, expected = CODE_RULES[name]
    entry = Entry(path=path.encode(), mode=0o100000 | mode, uid=0, gid=0, digest=ONE)
    assert code_flags(entry, head[: elf.HEAD_SIZE]) == expected


def capability(revision: int, permitted: int, *, rootid: int | None = None) -> bytes:
    low, high = permitted & 0xFFFFFFFF, permitted >> 32
    value = struct.pack("<5I", revision << 24 | 1, low, 0, high, 0)
    return value if rootid is None else value + u32(rootid)


ELEVATIONS = {
    "set-uid": (0o4755, b"", (0o4000, 1, 0, 0)),
    "set-gid": (0o2755, b"", (0o2000, 0, 2, 0)),
    "both": (0o6755, b"", (0o6000, 1, 2, 0)),
    "mandatory locking": (0o2745, b"", None),
    "plain": (0o755, b"", None),
    "set-uid without x": (0o4644, b"", None),
    "capability": (0o755, capability(2, 1 << 13), (0, 0, 0, 1 << 13)),
    "capability above 32": (0o755, capability(2, 1 << 38), (0, 0, 0, 1 << 38)),
    "capability revision 3": (0o755, capability(3, 2, rootid=0), (0, 0, 0, 2)),
    "empty capability": (0o755, capability(2, 0), None),
}


@pytest.mark.parametrize("name", ELEVATIONS)
def test_elevate_rules(name: str) -> None:
    mode, value, expected = ELEVATIONS[name]
    xattrs = ((b"security.capability", value),) if value else ()
    entry = Entry(path=b"/a", mode=0o100000 | mode, uid=1, gid=2, digest=ONE, xattrs=xattrs)
    found = earned([entry], {ONE: elf_head(kind=2)}).elevate
    if expected is None:
        assert found == ()
    else:
        bits, uid, gid, capabilities = expected
        assert found == (
            ElevateEntry(digest=ONE, set_bits=bits, uid=uid, gid=gid, capabilities=capabilities),
        )


@pytest.mark.parametrize(
    "value",
    [b"", b"\0", capability(1, 1), capability(3, 1, rootid=1000), capability(2, 1) + b"\0"],
    ids=["empty", "short", "revision 1", "root id", "too long"],
)
def test_capabilities_that_cannot_be_granted(value: bytes) -> None:
    entry = Entry(
        path=b"/a b", mode=0o100755, uid=0, gid=0, xattrs=((b"security.capability", value),)
    )
    with pytest.raises(ContentError, match=r"/a\\x20b: security.capability") as caught:
        permitted_capabilities(entry)
    assert caught.value.code == "bad-capability"


def test_equal_contents_share_an_entry() -> None:
    entries = [
        Entry(path=b"/data", mode=0o100644, uid=0, gid=0, digest=ONE),
        Entry(path=b"/lib.ko", mode=0o100644, uid=0, gid=0, digest=ONE),
        Entry(path=b"/run", mode=0o100755, uid=0, gid=0, digest=ONE),
        Entry(path=b"/x", mode=0o100644, uid=0, gid=0, digest=TWO),
    ]
    found = earned(entries, {ONE: b"#!", TWO: b"text"})
    assert found.code == (CodeEntry(ONE, Code.MODULE | Code.SCRIPT),)


# digest: (mode, head, flags without a list)
RUNNABLE = {
    "program": (0o755, elf_head(kind=2), Code.EXEC),
    "script": (0o755, b"#!", Code.SCRIPT),
    "library": (0o644, elf_head(entry=0), Code.LIBRARY),
    "data": (0o755, b"text", Code(0)),
}
INTERPRETER, JIT = Code.INTERPRETER, Code.JIT


@pytest.mark.parametrize(
    ("name", "listed", "more"),
    [
        ("program", INTERPRETER, INTERPRETER),
        ("program", JIT, JIT),
        ("program", INTERPRETER | JIT, INTERPRETER | JIT),
        ("program", Code(0), Code(0)),
        ("script", INTERPRETER | JIT, INTERPRETER),
        ("library", INTERPRETER | JIT, Code(0)),
        ("data", INTERPRETER | JIT, Code(0)),
    ],
)
def test_what_a_list_adds(name: str, listed: Code, more: Code) -> None:
    """A list says interpreter or jit of what runs, and makes nothing run."""
    mode, head, flags = RUNNABLE[name]
    entries = one_file("/a", mode, b"")
    expected = (CodeEntry(ONE, flags | more),) if flags else ()
    assert earned(entries, {ONE: head}, Asked(listed=lambda _: listed)).code == expected
    assert earned(entries, {ONE: head}).code == ((CodeEntry(ONE, flags),) if flags else ())


def test_a_list_can_not_add_other_flags() -> None:
    asked = Asked(listed=lambda _: Code.MODULE | JIT)
    found = earned(one_file("/a", 0o755, b""), {ONE: elf_head(kind=2)}, asked)
    assert found.code == (CodeEntry(ONE, Code.EXEC | JIT),)


def test_what_is_granted_says_what_was_listed() -> None:
    """By digest, and nothing but interpreter and jit."""
    given = replace(SAMPLE, code=(CodeEntry(ONE, Code.EXEC | Code.MODULE | INTERPRETER | JIT),))
    listed = as_granted(given).listed
    assert listed(one_file("/any", 0o755, b"")[1]) == INTERPRETER | JIT
    assert listed(Entry(path=b"/b", mode=0o100755, uid=0, gid=0, digest=TWO)) == Code(0)
    assert listed(Entry(path=b"/", mode=0o40755, uid=0, gid=0)) == Code(0)


LISTS = """
[[interpreters]]
kind = "interpreter"
paths = ["/usr/bin/lua*", "/opt/agent"]
reason = "r"
[[interpreters]]
kind = "shell"
paths = ["/usr/bin/luash", "/opt/agent/bin/?sh"]
reason = "r"
[[interpreters]]
kind = "jit"
paths = ["/usr/bin/lua", "/usr/bin/node"]
reason = "r"
[[interpreters]]
kind = "interpreter"
paths = ["/opt/agent/bin/zsh"]
reason = "r"
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/bin/lua", INTERPRETER | JIT),
        ("/usr/bin/lua5.4", INTERPRETER),
        ("/usr/bin/luash", Code(0)),  # the later line
        ("/usr/bin/node", JIT),
        ("/usr/bin/node2", Code(0)),
        ("/bin/node", Code(0)),
        ("/x/usr/bin/node", Code(0)),
        ("/opt/agent/a/b", INTERPRETER),  # below a directory
        ("/opt/agent2", Code(0)),
        ("/opt/agent/bin/ash", Code(0)),
        ("/opt/agent/bin/zsh", INTERPRETER),  # interpreter, shell, interpreter: the last
    ],
)
def test_what_a_policy_lists(path: str, expected: Code) -> None:
    lines = policy_source.parse([DropIn(name="a.toml", origin="a.toml", data=LISTS.encode())])
    lists = GrantLists(tuple(line for line in lines if isinstance(line, Interpreter)))
    assert lists(one_file(path, 0o755, b"")[1]) == expected


def listed_as(flags: Code) -> Listed:
    return lambda entry: flags if entry.path == b"/a" else Code(0)


@pytest.mark.parametrize("flags", [INTERPRETER, JIT])
def test_an_extension_may_not_bring_what_is_listed(flags: Code) -> None:
    with pytest.raises(ContentError, match=r"^/a: a program that the policy lists") as caught:
        check_extension(one_file("/a", 0o755, b""), {ONE: elf_head()}, listed_as(flags))
    assert caught.value.code == "beyond-role"
    check_extension(one_file("/b", 0o755, b""), {ONE: elf_head()}, listed_as(flags))
    check_extension(one_file("/a", 0o644, b""), {ONE: b"data"}, listed_as(flags))


@pytest.mark.parametrize("flags", [INTERPRETER, JIT])
def test_an_extension_is_never_granted_what_is_listed(flags: Code) -> None:
    granted = (CodeEntry(ONE, Code.EXEC | flags),)
    with pytest.raises(ContentError, match="beyond the role extension"):
        check_role(replace(SAMPLE, role=Role.EXTENSION, code=granted, elevate=(), config=()))


BEYOND = {
    "module": ("/m.ko", 0o644, elf_head(kind=1, entry=0), b"", "/m.ko: a kernel module"),
    "set-uid": ("/a b", 0o4755, b"#!", b"", r"/a\x20b: a program that raises privileges"),
    "set-gid": ("/a", 0o2755, elf_head(), b"", "/a: a program that raises"),
    "capability": ("/a", 0o755, elf_head(), capability(2, 2), "/a: a program that raises"),
}
NOT_BEYOND = {
    "program": ("/a", 0o755, elf_head(), b""),
    "library": ("/a.so", 0o644, elf_head(entry=0), b""),
    "script": ("/a", 0o755, b"#!", b""),
    "set-uid data": ("/a", 0o4755, b"text", b""),
    "capability on data": ("/a", 0o755, b"text", capability(2, 2)),
    "empty capability": ("/a", 0o755, elf_head(), capability(2, 0)),
}


def one_file(path: str, mode: int, value: bytes) -> list[Entry]:
    xattrs = ((b"security.capability", value),) if value else ()
    return [
        Entry(path=b"/", mode=0o40755, uid=0, gid=0),
        Entry(path=path.encode(), mode=0o100000 | mode, uid=0, gid=0, digest=ONE, xattrs=xattrs),
    ]


@pytest.mark.parametrize("name", BEYOND)
def test_what_an_extension_may_not_bring(name: str) -> None:
    path, mode, head, value, message = BEYOND[name]
    with pytest.raises(ContentError) as caught:
        check_extension(one_file(path, mode, value), {ONE: head})
    assert caught.value.code == "beyond-role"
    assert caught.value.message.startswith(message)
    assert caught.value.hint


@pytest.mark.parametrize("name", NOT_BEYOND)
def test_what_an_extension_may_bring(name: str) -> None:
    path, mode, head, value = NOT_BEYOND[name]
    entries = one_file(path, mode, value)
    check_extension(entries, {ONE: head})
    tables = earned(entries, {ONE: head})
    check_role(
        replace(SAMPLE, role=Role.EXTENSION, code=tables.code, elevate=tables.elevate, config=())
    )


@pytest.mark.parametrize("role", Role)
def test_who_may_grant_configuration(role: Role) -> None:
    """The vendor's system and the owner's /etc."""
    only = replace(SAMPLE, role=role, code=(), elevate=())
    if role in (Role.OS, Role.ETC):
        check_role(only)
        return
    with pytest.raises(ContentError, match=r"beyond the role|grants nothing"):
        check_role(only)


@pytest.mark.parametrize("role", [Role.ROOT, Role.POLICY, Role.UNLOCK, Role.EVIDENCE])
def test_roles_that_grant_nothing(role: Role) -> None:
    with pytest.raises(ContentError, match="grants nothing"):
        check_role(replace(SAMPLE, role=role))
