# SPDX-License-Identifier: Apache-2.0
"""Unit files and command lines: what systemd reads, and nothing that raises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verity.formats.unit_exec import (
    commands,
    expand,
    open_specifier,
    specifiers_of,
    split,
    unescape_name,
)
from verity.formats.unit_file import MAX_LINE, Settings, parse

# What units are made of, so that most of what is made up means something.
FRAGMENTS = st.sampled_from(
    (
        *rb"[Service] [ ] Exec ExecStart = # ; ' %i % @ - + ! | : /bin/a".split(),
        *rb"\ \x \x41 \u00e9 \U0001F600 \101 \777 \ud800 \Uffffffff".split(),
        *(b"\n", b"\\\n", b" ", b'"', b"\0", b"\xff"),
    )
)
TEXT = st.lists(st.one_of(FRAGMENTS, st.binary(max_size=3)), max_size=40).map(b"".join)


def settings_of(text: bytes) -> Settings:
    return Settings(parse(text, b"f"))


@given(TEXT, TEXT)
def test_nothing_raises(text: bytes, name: bytes) -> None:
    known = specifiers_of(name + b".service", name)
    for one in parse(text, b"f"):
        assert b"\n" not in one.key + one.section
        settings_of(text).list_of(one.section, one.key)
        settings_of(text).is_true(one.section, one.key)
        commands(one.value, known)
    commands(text, known)


def test_a_line_that_is_too_long_ends_the_file() -> None:
    long = b"a=" + b"x" * MAX_LINE
    found = parse(b"[A]\nb=1\n" + long + b"\nc=2\n", b"f")
    assert [one.key for one in found] == [b"b"]


def test_words_and_the_last_value() -> None:
    found = settings_of(b"[A]\nk=a b\nk=c\n[B]\nk=d\n[A]\nt=YES\n")
    assert found.words(b"A", b"k") == (b"a", b"b", b"c")
    assert found.last(b"A", b"k") == b"c"
    assert (found.is_true(b"A", b"t"), found.is_true(b"A", b"k")) == (True, False)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"a  b\tc", [b"a", b"b", b"c"]),
        (b"'a b'c", [b"a bc"]),
        (rb"a\x20b \x", [b"a b", rb"\x"]),
        (rb"\u00e9", ["é".encode()]),
        (rb"\U0001F600", ["😀".encode()]),
        (rb"\ud800 \Uffffffff \777", [rb"\ud800", rb"\Uffffffff", rb"\777"]),
        (b"'open", [b"open"]),
        (b"''", [b""]),
        (b"a\\", [b"a\\"]),
    ],
)
def test_words_of_a_line(line: bytes, words: list[bytes]) -> None:
    assert [word for word, _ in split(line)] == words


def test_commands_of_a_line() -> None:
    found = commands(rb"@-/a zero one ; +/b ';' \; ; !!/c ; |d", {})
    assert [(one.program, one.words) for one in found] == [
        (b"/a", (b"one",)),
        (b"/b", (b";", b";")),
        (b"/c", ()),
        (b"d", ()),
    ]
    assert [one.may_fail for one in found] == [True, False, False, False]
    assert [one.privileged for one in found] == [False, True, False, False]
    assert [one.shell for one in found] == [False, False, False, True]


def test_specifiers() -> None:
    known = specifiers_of(b"a-b@c-d.service", b"/x/a-b@.service")
    assert expand(b"%p %i %I %j %n %N %Y %% %f", known) == (
        b"a-b c-d c/d b a-b@c-d.service a-b@c-d /x % /c/d"
    )
    template = specifiers_of(b"a@.service", b"/x")
    assert open_specifier(expand(b"/usr/%i", template))
    assert unescape_name(rb"a-b\x2dc") == b"a/b-c"
