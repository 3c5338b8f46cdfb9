# SPDX-License-Identifier: Apache-2.0
"""Each difference names the file, the field and both values."""

from dataclasses import replace

import pytest

from verity.formats.dump import Entry
from verity.formats.grant_rules import Earned
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
from verity.verbs.commit_differences import of_grants, of_manifest

ONE, TWO = b"\1" * 32, b"\2" * 32
ROOT = Entry(path=b"/", mode=0o40755, uid=0, gid=0)
FILE = Entry(
    path=b"/a b",
    mode=0o100755,
    uid=0,
    gid=0,
    size=9,
    digest=ONE,
    xattrs=((b"user.a", b"1"), (b"user.b", b"2")),
)
LINK = Entry(path=b"/l", mode=0o120777, uid=0, gid=0, size=1, target=b"t")


@pytest.mark.parametrize(
    ("due", "found", "expected"),
    [
        (FILE, FILE._replace(mode=0o104755), [("mode", "0755", "4755")]),
        (FILE, FILE._replace(uid=7, gid=8), [("uid", "0", "7"), ("gid", "0", "8")]),
        (FILE, FILE._replace(size=10), [("size", "9", "10")]),
        (FILE, FILE._replace(digest=TWO), [("digest", "01" * 32, "02" * 32)]),
        (
            FILE,
            FILE._replace(xattrs=((b"user.b", b"\xff"), (b"user.c", b""))),
            [
                ("xattr user.a", "1", "none"),
                ("xattr user.b", "2", r"\xff"),
                ("xattr user.c", "none", ""),
            ],
        ),
        (LINK, LINK._replace(target=b"u\n"), [("target", "t", r"u\x0a")]),
        (
            LINK,
            FILE._replace(path=b"/l", xattrs=()),
            [
                ("type", "120000", "100000"),
                ("mode", "0777", "0755"),
                ("size", "1", "9"),
                ("target", "t", "none"),
                ("digest", "none", "01" * 32),
            ],
        ),
        (
            ROOT._replace(path=b"/d", mode=0o20600, rdev=5),
            ROOT._replace(path=b"/d", mode=0o20600, rdev=6),
            [("device", "5", "6")],
        ),
    ],
    ids=["mode", "owners", "size", "digest", "xattrs", "target", "type", "device"],
)
def test_fields(due: Entry, found: Entry, expected: list[tuple[str, str, str]]) -> None:
    findings = of_manifest((ROOT, due), (ROOT, found), frozenset())
    assert [(f.problem.partition(": ")[0], f.expected, f.found) for f in findings] == expected
    assert {f.path for f in findings} == {due.path}
    assert {f.check for f in findings} == {"manifest-differs"}


def test_files_that_are_on_one_side_only() -> None:
    (gone, new) = of_manifest((ROOT, FILE), (ROOT, LINK), frozenset())
    assert (gone.object, gone.found) == (r"/a\x20b", "no such file")
    assert gone.expected.startswith(r"/a\x20b 9 100755 ")
    assert (new.object, new.expected) == ("/l", "no such file")


def test_what_is_the_same_and_what_could_not_be_read() -> None:
    assert of_manifest((ROOT, FILE), (ROOT, FILE), frozenset()) == []
    assert of_manifest((ROOT, FILE), (ROOT,), frozenset({FILE.path})) == []


GRANTS = Grants(
    party=Party.VENDOR,
    role=Role.OS,
    stream="os",
    serial=1,
    issued=1,
    expires=2,
    manifest_sha256=bytes(32),
)
CODE = CodeEntry(ONE, Code.EXEC)
UP = ElevateEntry(digest=ONE, set_bits=0o4000, uid=0, gid=0, capabilities=0)


@pytest.mark.parametrize(
    ("given", "due", "expected"),
    [
        ((), (CODE,), ("flags 1", "no entry")),
        ((CODE,), (), ("no entry", "flags 1")),
        ((CodeEntry(ONE, Code.EXEC | Code.LIBRARY),), (CODE,), ("flags 1", "flags 3")),
    ],
    ids=["missing", "not-earned", "other-flags"],
)
def test_code(
    given: tuple[CodeEntry, ...], due: tuple[CodeEntry, ...], expected: tuple[str, str]
) -> None:
    grants = replace(GRANTS, code=given)
    (found,) = of_grants(grants, Earned(due, ()), (ROOT, FILE), frozenset())
    assert (found.object, found.path) == (r"/a\x20b", FILE.path)
    assert (found.expected, found.found) == expected
    # Contents that could not be read are reported elsewhere, and earn nothing that is known.
    assert of_grants(grants, Earned(due, ()), (ROOT, FILE), frozenset({FILE.path})) == []
    (stranger,) = of_grants(grants, Earned(due, ()), (ROOT,), frozenset())
    assert (stranger.object, stranger.path) == (f"digest {'01' * 32}", None)


def test_elevations_and_configuration() -> None:
    root = "set bits 4000 uid 0 gid 0 capabilities 0"
    more = replace(UP, uid=9)
    grants = replace(GRANTS, code=(CODE,), elevate=(UP, more))
    (found,) = of_grants(grants, Earned((CODE,), (UP,)), (ROOT, FILE), frozenset())
    assert found.expected == root
    assert found.found == f"{root}; set bits 4000 uid 9 gid 0 capabilities 0"
    config = replace(GRANTS, config=(ConfigEntry(path=b"/etc/x", kind=ConfigKind.FILE),))
    (found,) = of_grants(config, Earned((), ()), (ROOT,), frozenset())
    assert (found.object, found.expected) == ("/etc/x", "no entry")
    assert found.found == f"file sha256:{'00' * 32}"
    due = Earned(config=(ConfigEntry(path=b"/etc/x", kind=ConfigKind.SYMLINK, target=b"y z"),))
    (found,) = of_grants(config, due, (ROOT,), frozenset())
    assert found.expected == r"link to y\x20z"
    assert of_grants(config, due, (ROOT,), frozenset({b"/etc/x"})) == []
