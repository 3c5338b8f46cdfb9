# SPDX-License-Identifier: Apache-2.0
"""Which files of a tree are granted as configuration: by the gate's table, and nothing else."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verity.formats import policy_source
from verity.formats.dump import Entry
from verity.formats.etc_rules import DropIn
from verity.formats.grant_config import configuration
from verity.formats.grant_rules import Asked, as_granted, earned
from verity.formats.grants import ConfigEntry, ConfigKind, Grants, Party, Role
from verity.formats.guarded_paths import GuardedPaths
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match
from verity.formats.policy import Policy, Profile

ONE = b"\x01" * 32
TREE = """/ /etc /etc/app /etc/app/conf /etc/shadow /home /home/a /home/a/.profile /root
 /root/.bashrc /usr /usr/etc /usr/etc/app /usr/lib /usr/lib/systemd /usr/lib/systemd-foo
 /usr/lib/systemd/a
 /usr/lib/systemd/state /usr/lib/systemd/state/x /usr/lib/systemd/state/y /usr/lib/systemd/statement
 /usr/lib/tmpfiles.d /usr/lib/z""".split()
SIGNED = ["/etc", "/root/.bashrc", "/usr/etc", "/usr/lib/systemd", "/usr/lib/tmp*"]
RULES = (
    "[[guarded]]\nclass = 'signed'\nreason = 'r'\npaths = ['{}']\n".format("', '".join(SIGNED))
    + "[[guarded]]\nclass = 'mutable'\nreason = 'r'\n"
    "paths = ['/usr/lib/systemd/state', '/etc/shadow']\n"
    "[[guarded]]\nclass = 'signed'\nreason = 'r'\npaths = ['/usr/lib/systemd/state/y']\n"
)
OS = "[[stream]]\nname = 'os'\nparty = 'vendor'\nrole = 'os'\nreason = 'r'\n"
ETC = "[[stream]]\nname = 'host'\nparty = 'user'\nrole = 'etc'\nreason = 'r'\n"
USR = """/usr/etc/app /usr/lib/systemd/a /usr/lib/systemd/state/y /usr/lib/systemd/statement
 /usr/lib/tmpfiles.d""".split()
OWNERS = ["/etc/app/conf", "/root/.bashrc"]


def policy(text: str) -> Policy:
    lines = policy_source.parse([DropIn(name="a", origin="a", data=text.encode())])
    return Policy(serial=1, issued=0, expires=1, profile=Profile.STANDARD, lines=tuple(lines))


def tree(paths: list[str] = TREE) -> list[Entry]:
    """These paths, sorted; a path that others lie below is a directory."""
    found = []
    for path in sorted(one.encode() for one in paths):
        above = any(other.encode().startswith(path.rstrip(b"/") + b"/") for other in paths)
        mode, digest = (0o40755, None) if above else (0o100644, ONE)
        found.append(Entry(path=path, mode=mode, uid=0, gid=0, digest=digest))
    return found


@pytest.mark.parametrize(
    ("streams", "expected"),
    [(OS, sorted(USR + OWNERS)), (OS + ETC, USR)],
    ids=["no stream of the owner's", "a stream of the owner's"],
)
def test_what_an_os_is_granted(streams: str, expected: list[str]) -> None:
    """By the gate's table; the owner's is left to them if the policy names their stream."""
    asked = Asked(guarded=GuardedPaths.of(policy(RULES + streams)))
    config = earned(tree(), {ONE: b"data"}, asked).config
    assert [one.path.decode() for one in config] == expected
    assert {(one.kind, one.digest) for one in config} == {(ConfigKind.FILE, ONE)}


def test_what_is_always_signed_needs_no_line() -> None:
    entries = tree(["/", "/etc", "/etc/verity", "/etc/verity/pin", "/etc/other"])
    guarded = GuardedPaths.of(policy(OS))
    assert [one.path for one in guarded(entries) if one.digest] == [b"/etc/verity/pin"]


def test_what_no_table_has_room_for_is_told() -> None:
    long = b"/etc/" + b"x" * 250
    link = Entry(path=b"/etc/link", mode=0o120777, uid=0, gid=0, target=b"t" * 55)
    further = link._replace(path=b"/etc/further", target=b"t" * 56)
    file = Entry(path=long, mode=0o100644, uid=0, gid=0, digest=ONE)
    longer = file._replace(path=long + b"x")
    device = Entry(path=b"/etc/null", mode=0o020666, uid=0, gid=0)
    found = configuration([longer, link, file, further, device])
    assert found.config == (
        ConfigEntry(path=b"/etc/link", kind=ConfigKind.SYMLINK, target=b"t" * 55),
        ConfigEntry(path=long, kind=ConfigKind.FILE, digest=ONE),
    )
    assert found.ungranted == (b"/etc/further", longer.path)


def test_as_granted_takes_the_paths_and_not_what_stands_there() -> None:
    given = Grants(
        party=Party.VENDOR,
        role=Role.OS,
        stream="os",
        serial=1,
        issued=0,
        expires=1,
        manifest_sha256=bytes(32),
        config=(
            ConfigEntry(path=b"/etc/gone", kind=ConfigKind.FILE, digest=ONE),
            ConfigEntry(path=b"/etc/shadow", kind=ConfigKind.FILE, digest=b"\x02" * 32),
        ),
    )
    heads = {ONE: b"data"}
    due = earned(tree(), heads, as_granted(given)).config
    assert due == (ConfigEntry(path=b"/etc/shadow", kind=ConfigKind.FILE, digest=ONE),)
    assert earned(tree(), heads, as_granted(replace(given, config=()))).config == ()


PARTS = st.sampled_from([b"a", b"ab", b"b", b"a\xff", b"\xff", b"a-", b"a0"])
PATHS = st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: b"/" + b"/".join(parts))
TABLES = st.lists(
    st.builds(
        Guarded,
        path=PATHS,
        file_class=st.sampled_from(GuardedClass),
        match=st.sampled_from(Match),
    ),
    max_size=6,
    unique_by=lambda one: one.path,
)


def longest(table: list[Guarded], path: bytes) -> Guarded | None:
    """What the gate does: of all entries that match, the longest."""
    found = [
        one
        for one in table
        if (
            path.startswith(one.path)
            if one.match is Match.PREFIX
            else path == one.path or path.startswith(one.path + b"/")
        )
    ]
    return max(found, key=lambda one: len(one.path), default=None)


@given(TABLES, st.sets(PATHS, max_size=12))
def test_the_same_as_asking_for_each_path(table: list[Guarded], paths: set[bytes]) -> None:
    guarded = GuardedPaths(guarded=tuple(table), without_owners=False)
    entries = [Entry(path=path, mode=0o100644, uid=0, gid=0, digest=ONE) for path in sorted(paths)]
    due = {path: longest(table, path) for path in sorted(paths)}
    assert {path: guarded.of_path(path) for path in due} == due
    assert [one.path for one in guarded(entries)] == [
        path for path, one in due.items() if one and one.file_class is GuardedClass.SIGNED
    ]
