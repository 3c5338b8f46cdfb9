# SPDX-License-Identifier: Apache-2.0
"""Names that mean harm, in every form of the report: they come out as the same text, or escaped.

For HTML the test is of the page's skeleton: with any name it is that of a page with a plain one.
"""

import base64
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.audit_samples import named
from tests.goldens import report
from verity.formats import columns
from verity.formats.escaped import one_line
from verity.formats.report_json import text as as_unicode
from verity.formats.report_text import render
from verity.formats.report_view import view

HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; alert(1); '",
    "</style></svg></title>",
    "<!-- ",
    "]]>",
    "&lt;&amp;&#x202e;",
    "\x1b[2J\x1b]0;title\x07",
    "a\nFINDING b\r\n",
    "\u202egnp.exe",
    "\u200f\u2066x\u2069",
    "\u2028\u2029\x85",
    "\x00",
    "\ufffe\uffff",
    "\udcff\udc80",
    "\ud800",
    "{0}{{1}}",
    "[click](https://example.org/)",
    "\\x1b[2J",
    "..",
    " ",
    "-",
    "漢字" * 40,
    "e\u0301" * 60,
    "x" * 300,
)
SURROGATES = st.characters(categories=["Cs"])
NAMES = st.sampled_from(HOSTILE) | st.text(
    st.characters() | SURROGATES | st.sampled_from("<>&\"'\\[]{}\n\x1b\u202e"), min_size=1
)
RAW = st.binary(min_size=1).map(lambda name: b"/" + name)


Test = Callable[[str, bytes], None]


def hostile(function: Test) -> Callable[[], None]:
    """The test with every name of the list, and with others."""
    for name in HOSTILE:
        function = example(name, b"/" + name.encode("utf-8", "surrogatepass"))(function)
    return given(NAMES, RAW)(function)


@hostile
def test_json_has_the_same_text(name: str, raw: bytes) -> None:
    lines = report(named(name, raw), "json").decode("ascii").split("\n")
    assert lines.pop() == ""
    records = [json.loads(line) for line in lines]
    assert len(records) == 21  # nothing of a name makes a line
    (finding,) = (one for one in records if one["type"] == "finding")
    assert {finding[field] for field in ("object", "problem", "expected", "found", "remedy")} == {
        as_unicode(name)
    }
    (gap,) = (one for one in records if one["type"] == "not-evaluated")
    assert gap["why"] == as_unicode(name)
    if "path" in finding:
        assert finding["path"].encode() == raw
    else:
        assert base64.b64decode(finding["path_base64"]) == raw


@hostile
def test_sarif_has_the_same_text_and_no_link(name: str, raw: bytes) -> None:
    log = json.loads(report(named(name, raw), "sarif"))
    run = log["runs"][0]
    first, suppressed = run["results"]
    assert first["properties"]["object"] == as_unicode(name)
    place = first["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place["uri"].isascii()
    if raw.strip(b"/"):
        assert unquote_to_bytes(place["uri"]) == raw.lstrip(b"/")
    assert suppressed["suppressions"][0]["justification"] == one_line(name)
    (notification,) = run["invocations"][0]["toolExecutionNotifications"]
    for message in (first["message"]["text"], notification["message"]["text"]):
        assert message.isprintable()
        assert "[" not in message.replace("\\[", "")
        assert "{" not in message.replace("{{", "")
    wanted = f"{one_line(name)}: {one_line(name)}"
    read = first["message"]["text"].replace("{{", "{").replace("}}", "}")
    assert read.replace("\\[", "[").replace("\\]", "]") == wanted


@hostile
def test_junit_has_the_escaped_text(name: str, raw: bytes) -> None:
    document = ET.fromstring(report(named(name, raw), "junit"))  # noqa: S314  # our own
    escaped = one_line(name)
    for suite in document:
        assert suite.get("hostname") == escaped
    (failure,) = document.iter("failure")
    assert failure.text is not None
    assert failure.text.splitlines()[1] == f"{escaped}: {escaped}"
    assert failure.text.splitlines()[3:] == [
        f"  expected: {escaped}",
        f"  found: {escaped}",
        f"  remedy: {escaped}",
    ]
    (error,) = document.iter("error")
    assert error.get("message") == f"not evaluated: {escaped}"
    reasons = [one.get("message") for one in document.iter("skipped")]
    assert f"not applicable: {escaped}" in reasons


class Page(HTMLParser):
    """A page: its tags with their attributes, its texts, its comments."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.skeleton: list[tuple[str, tuple[str, ...]]] = []
        self.texts: list[str] = []
        self.comments: list[str] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.skeleton.append((tag, tuple(f"{name}={value}" for name, value in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.skeleton.append((f"/{tag}", ()))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


PLAIN = Page(report(named("x", b"/x"), "html").decode())


@hostile
def test_html_has_the_skeleton_of_a_page_with_a_plain_name(name: str, raw: bytes) -> None:
    page = Page(report(named(name, raw), "html").decode())
    assert page.skeleton == PLAIN.skeleton
    assert page.comments == []
    escaped = one_line(name)
    text = "".join(page.texts)
    assert text.replace("\n", "").isprintable()
    # In the summary of the finding, of the gap and of the waived finding, and in the head.
    assert page.texts.count(escaped) + page.texts.count(f"sha256:{escaped}") >= 9
    assert f": {escaped}" in page.texts


@hostile
def test_text_shows_it_escaped_and_keeps_its_lines(name: str, raw: bytes) -> None:
    whole = report(named(name, raw), "text", everything=True).decode()
    plain = report(named("x", b"/x"), "text", everything=True).decode()
    assert whole.count("\n") == plain.count("\n")
    assert whole.replace("\n", "").isprintable()
    assert f"    expected {one_line(name)}\n" in whole
    screen = report(named(name, raw), "text").decode().splitlines()
    assert len(screen) <= 24
    assert all(columns.width(line) <= 80 for line in screen)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_colourful_terminal_gets_no_sequence_of_a_name(name: str) -> None:
    seen = view(named(name, b"/x"))
    for everything in (False, True):
        for width in (40, 80, None):
            lines = render(seen, everything=everything, width=width, height=24, colour=True)
            for line in lines:
                inner = line
                if line.startswith("\x1b["):
                    inner = line.partition("m")[2].removesuffix("\x1b[0m")
                assert inner.isprintable(), repr(line)
