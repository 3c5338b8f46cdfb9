# SPDX-License-Identifier: Apache-2.0
"""The text report on a terminal: its size, its colour, and what is left out where it is small."""

import dataclasses
import fcntl
import os
import re
import stat
import struct
import termios
import threading
from pathlib import Path

import pytest

from tests.audit_samples import CHECKS, HEAD, TOOL, clean, everything, flood
from tests.goldens import report
from verity.cli.audit_report import publish, write
from verity.formats import columns
from verity.formats.report_text import LOWEST, NARROWEST
from verity.values.audit import Area, AreaResult, Audit
from verity.values.errors import HostError

COLOUR = re.compile("\x1b\\[[0-9;]+m")


def on_terminal(audit: Audit, lines: int, width: int, *, everything: bool = False) -> str:
    """What a terminal of this size is sent."""
    ours, theirs = os.openpty()
    attributes = termios.tcgetattr(theirs)
    attributes[1] &= ~termios.OPOST  # no carriage returns
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, width, 0, 0))
    read = bytearray()

    def drain() -> None:
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # EIO: the other end is closed
                return
            read.extend(piece)

    reader = threading.Thread(target=drain)
    reader.start()
    with open(theirs, "wb", buffering=0) as stream:
        write(audit, "text", stream, everything=everything)
        termios.tcdrain(theirs)
    reader.join()
    os.close(ours)
    return read.decode()


@pytest.fixture(autouse=True)
def a_plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_has_colour_and_nothing_else_differs() -> None:
    text = on_terminal(everything(), 25, 80)
    assert COLOUR.search(text)
    assert COLOUR.sub("", text) == report(everything(), "text").decode()


def test_what_is_good_is_green_and_what_is_bad_red() -> None:
    assert on_terminal(clean(), 24, 80).startswith("\x1b[32maudit of build-7: good\x1b[0m\n")
    assert on_terminal(everything(), 24, 80).startswith("\x1b[1;31maudit of")
    open_ = dataclasses.replace(
        clean(), areas=(AreaResult(area=Area.FILES, not_evaluated=everything().not_evaluated),)
    )
    assert on_terminal(open_, 24, 80).startswith("\x1b[33maudit of")


def test_a_file_has_no_colour() -> None:
    assert b"\x1b" not in report(everything(), "text")


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_can_refuse_colour(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert "\x1b" not in on_terminal(everything(), 24, 80)


def test_an_empty_no_color_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    assert COLOUR.search(on_terminal(everything(), 24, 80))


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
@pytest.mark.parametrize("lines", [10, 20, 24, 60])
@pytest.mark.parametrize("audit", [clean(), everything(), flood(500)], ids=["clean", "all", "500"])
def test_it_is_at_most_a_screen(audit: Audit, lines: int, width: int) -> None:
    text = COLOUR.sub("", on_terminal(audit, lines, width)).splitlines()
    wide = max(width, NARROWEST)
    assert all(columns.width(line) <= wide for line in text if not line.startswith("state: "))
    # The state is never clipped: what it takes beyond a line counts.
    rows = sum(max(-(-columns.width(line) // wide), 1) for line in text)
    assert rows <= max(lines - 1, LOWEST) + (0 if lines >= 20 else 4)
    assert text[-1].startswith("state: ")
    assert "findings" in text[0] or "good" in text[0]


def test_a_terminal_without_a_size_counts_as_80_by_24() -> None:
    text = COLOUR.sub("", on_terminal(everything(), 0, 0))
    assert text == report(everything(), "text").decode()


def test_few_findings_are_told_whole() -> None:
    one = dataclasses.replace(clean(), areas=(AreaResult(area=Area.FILES, findings=(TOOL,)),))
    text = report(one, "text").decode()
    for told in (
        "breaks   the link digest",
        f"expected\n      {TOOL.expected}\n",
        f"remedy   {TOOL.remedy}",
    ):
        assert told in text


def test_more_are_told_in_a_line_each_and_then_counted() -> None:
    many = dataclasses.replace(clean(), areas=(AreaResult(area=Area.FILES, findings=(TOOL,) * 9),))
    text = report(many, "text").decode()
    assert text.count("/usr/bin/sudo: the kernel has another digest") == 3
    assert "  ... and 6 more\n" in text


def test_many_checks_are_counted_the_worst_first() -> None:
    checks = tuple(dataclasses.replace(CHECKS[3], id=f"check-{index}") for index in range(40))
    areas = tuple(
        AreaResult(area=Area.FILES, findings=(dataclasses.replace(TOOL, check=check.id),))
        for check in (*checks, CHECKS[2])
    )
    text = report(Audit(head=HEAD, checks=(*checks, CHECKS[2]), areas=areas), "text").decode()
    first = next(line for line in text.splitlines() if "not so" in line)
    assert first.startswith("CRITICAL digest-as-signed")
    listed = text.count("MEDIUM check-")
    assert f"... and {40 - listed} more checks\n" in text
    assert len(text.splitlines()) == 24
    assert "41 findings (1 critical, 40 medium)" in text


def test_all_of_it_is_all_of_it() -> None:
    text = report(flood(500), "text", everything=True).decode()
    assert text.count("/usr/bin/sudo: the kernel has another digest") == 501
    for told in ("waived\n", "not applicable\n", "open by design\n", "notes\n"):
        assert told in text


def test_all_of_it_is_wrapped_on_a_terminal_only() -> None:
    text = COLOUR.sub("", on_terminal(everything(), 24, 60, everything=True))
    assert max(columns.width(line) for line in text.splitlines()) <= max(
        60, len("state: differs (3 findings, 1 not evaluated)")
    )
    assert HEAD.roots[1] not in text
    assert HEAD.roots[1] in report(everything(), "text", everything=True).decode()
    joined = text.replace("\n", "").replace(" ", "")
    assert HEAD.roots[1].replace(" ", "") in joined


@pytest.mark.parametrize(
    ("text", "cells", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abc..."),
        ("漢字漢字", 8, "漢字漢字"),
        ("漢字漢字漢", 8, "漢字..."),
        ("e\u0301" * 6, 6, "e\u0301" * 6),
        ("abcdefg", 2, ".."),
        ("", 2, ""),
    ],
)
def test_clipped_by_cells(text: str, cells: int, shown: str) -> None:
    assert columns.clip(text, cells) == shown
    assert columns.width(shown) <= cells


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three four", ["one two", "  three", "  four"]),
        ("x" * 20, ["x" * 10, "  " + "x" * 8, "  xx"]),
        ("漢" * 7, ["漢" * 5, "  漢漢"]),
        ("", [""]),
        ("short", ["short"]),
    ],
)
def test_wrapped_by_cells(text: str, lines: list[str]) -> None:
    assert list(columns.wrap(text, 10, "  ")) == lines


@pytest.mark.parametrize(
    ("root", "shown"),
    [
        ("vendor sha256:" + "a1" * 32, "vendor a1a1a1a1a1a1\n"),
        ("key " + "b2" * 32, "key b2b2b2b2b2b2\n"),
        ("key in a drawer", "key in a drawer\n"),
    ],
)
def test_a_screen_has_the_beginning_of_a_fingerprint(root: str, shown: str) -> None:
    audit = dataclasses.replace(clean(), head=dataclasses.replace(HEAD, roots=(root,)))
    assert shown in report(audit, "text").decode()
    assert root in report(audit, "text", everything=True).decode()


def test_a_file_is_new_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "report"
    publish(everything(), "sarif", path)
    assert path.read_bytes() == report(everything(), "sarif")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    with pytest.raises(HostError, match="exists"):
        publish(clean(), "json", path)
    assert path.read_bytes() == report(everything(), "sarif")
    with pytest.raises(HostError):
        publish(clean(), "json", tmp_path / "none" / "report")
    assert [one.name for one in tmp_path.iterdir()] == ["report"]


def test_a_report_that_breaks_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'pdf'"):
        publish(clean(), "pdf", tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_standard_output_has_the_report(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    publish(everything(), "text", None, everything=True)
    assert capfdbinary.readouterr().out == report(everything(), "text", everything=True)


def test_nothing_is_written_in_pieces_that_are_lost(tmp_path: Path) -> None:
    path = tmp_path / "report"
    with path.open("wb") as stream:
        write(flood(5000), "json", stream)
    assert path.read_bytes() == report(flood(5000), "json")
