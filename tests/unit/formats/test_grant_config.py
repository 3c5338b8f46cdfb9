# SPDX-License-Identifier: Apache-2.0
"""What no grant has room for, and the line of a drop-in that exempts it."""

import re
from pathlib import Path

import pytest

from verity.formats import policy_gate
from verity.formats.dump import Entry
from verity.formats.etc_rules import DropIn, FileClass
from verity.formats.grant_config import configuration, exempting, has_room
from verity.formats.kernel_guarded import Guarded
from verity.formats.policy import Policy, Profile, count
from verity.formats.policy_source import parse
from verity.ports import policy_files

GUIDE = Path("docs/guides/policy.md")
LINK = Entry(path=b"/etc/l", mode=0o120777, uid=0, gid=0, target=b"x" * 55)


@pytest.mark.parametrize(
    ("path", "target", "room"),
    [
        (b"/etc/l", b"x" * 55, True),
        (b"/etc/l", b"x" * 56, False),
        (b"/" + b"p" * 254, b"x", True),
        (b"/" + b"p" * 255, b"x", False),
    ],
)
def test_room(path: bytes, target: bytes, room: bool) -> None:
    entry = LINK._replace(path=path, target=target)
    assert has_room(entry) is room
    made = configuration([entry])
    assert made.ungranted == (() if room else (path,))
    assert [one.path for one in made.config] == ([path] if room else [])


def test_few_are_named_and_of_many_their_directory() -> None:
    few = [b"/etc/b/3", b"/etc/b/1", b"/etc/b/2"]
    many = [b"/usr/lib/x/%d" % number for number in range(4)]
    first, second = exempting([*many, *few])
    assert first.paths == tuple(sorted(few))
    assert first.line == '[[etc]] class = "mutable", paths = ["/etc/b/1", "/etc/b/2", "/etc/b/3"]'
    assert second.paths == tuple(many)
    assert second.line == '[[guarded]] class = "mutable", paths = ["/usr/lib/x"]'


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (b"/etc/d/a*b", '"/etc/d"'),
        (b'/etc/d/a"b', '"/etc/d"'),
        (b"/etc/d/a\\b", '"/etc/d"'),
        (b"/etc/d/\xff", '"/etc/d"'),
        (b"/etc/d/a\n[[mode]]", '"/etc/d"'),
        (b"/etc/d/" + b"n" * 255, '"/etc/d"'),
    ],
)
def test_a_name_that_a_line_can_not_have(path: bytes, named: str) -> None:
    (found,) = exempting([path])
    assert found.line == f'[[etc]] class = "mutable", paths = [{named}]'


def test_a_directory_that_a_line_can_not_have() -> None:
    (found,) = exempting([b"/etc/d*/a"])
    assert found.line == ""


def table(more: str = "") -> tuple[Guarded, ...]:
    """The gate's table of the defaults, and of a drop-in behind them."""
    own = DropIn(name="90.toml", origin="90.toml", data=more.encode())
    lines, _ = count(parse([*policy_files.built_in(), own]), Profile.STANDARD)
    policy = Policy(serial=1, issued=0, expires=1, profile=Profile.STANDARD, lines=lines)
    return policy_gate.table(policy).guarded


def class_of(path: bytes, guarded: tuple[Guarded, ...]) -> str:
    found = [one for one in guarded if path == one.path or path.startswith(one.path + b"/")]
    return max(found, key=lambda one: len(one.path)).file_class.name.lower()


def test_the_line_exempts_them_in_the_gate_and_nothing_beside_them() -> None:
    paths = [b"/etc/alternatives/ROLLBACK_TO_SAVEPOINT.7.gz", b"/etc/alternatives/keytool.1.gz"]
    (found,) = exempting(paths)
    text = found.line.replace("]] ", "]]\n").replace(", paths", "\npaths") + '\nreason = "r"\n'
    before, after = table(), table(text)
    for path in paths:
        assert class_of(path, before) == FileClass.SIGNED
        assert class_of(path, after) == FileClass.MUTABLE
    assert class_of(b"/etc/alternatives/iptables", after) == FileClass.SIGNED


AUTHORITIES = """
[[etc]]
class = "produced"
paths = ["/etc/ssl/certs"]
reason = "r"
[[etc]]
class = "signed"
paths = ["/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/java"]
reason = "r"
"""


def test_the_authorities_are_signed_unless_the_guides_lines_say_otherwise() -> None:
    link = b"/etc/ssl/certs/Sectigo_Public_Server_Authentication_Root_E46.pem"
    files = (b"/etc/ssl/certs/ca-certificates.crt", b"/etc/ssl/certs/java/cacerts")
    assert "".join(AUTHORITIES.replace('"r"', "").split()) in "".join(
        re.sub(r'reason = ".*"', "reason = ", GUIDE.read_text()).split()
    )
    before, after = table(), table(AUTHORITIES)
    assert [class_of(path, before) for path in (link, *files)] == ["signed"] * 3
    assert [class_of(path, after) for path in (link, *files)] == ["produced", "signed", "signed"]
    assert class_of(b"/etc/fonts/conf.d/10-scale-bitmap-fonts.conf", before) == "mutable"
