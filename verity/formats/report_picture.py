# SPDX-License-Identifier: Apache-2.0
"""The pictures of the HTML report, as inline SVG: what is signed by whom, and how files are known.

Every picture says in its description what it shows, for those who don't see it. Labels are clipped
to their boxes; the whole of each is its title. Roots that sign nothing are shown, too.
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

from verity.formats import columns
from verity.formats.escaped import one_line
from verity.formats.markup import element
from verity.formats.report_view import View, counted
from verity.values.audit import Area, Covered, Outcome

# Where the findings on what a statement of this kind signs are.
_AREAS = {"os": Area.FILES, "etc": Area.ETC, "extension": Area.CODE}
_BOX_WIDTH, _BOX_HEIGHT, _GAP, _COLUMN = 270, 62, 14, 350
_LABEL = 30  # characters that fit into a box, also those of a wide font
_BAR_WIDTH = 1000
MOST_BOXES = 64
"""Boxes in a column: as many streams as a gate has room for; the description has all."""


@dataclass(frozen=True)
class Box:
    """A box of three lines of text, and the boxes of the column before that lead to it."""

    lines: tuple[str, ...]
    state: str = ""
    sources: tuple[int, ...] = ()


def signed_by_whom(seen: View) -> ET.Element:
    """Roots on the left, what they sign in the middle, what became of it on the right."""
    roots = [Box(_root_lines(root)) for root in seen.audit.head.roots]
    streams: list[Box] = []
    results: list[Box] = []
    for part in seen.audit.signed:
        source = tuple(i for i, root in enumerate(seen.audit.head.roots) if root == part.root)
        by = f"signed by {', '.join(part.signers)}" if part.signers else "signed for the kernel"
        streams.append(
            Box((f"stream {part.stream}", f"{part.kind}, serial {part.serial}", by), "", source)
        )
        area = _AREAS.get(part.kind)
        told, state = _told(seen, area) if area is not None else ("not audited", "open")
        lines = (
            f"{'manifest' if part.signers else 'grants'}: {part.entries:,} entries",
            f"area {area}" if area else "",
            told,
        )
        results.append(Box(lines, state, (len(streams) - 1,)))
    if not streams:  # then no statement leads from a root to an area
        for area in Area:
            told, state = _told(seen, area)
            results.append(Box((f"area {area}", told), state))
    described = "; ".join(
        " / ".join(line for line in box.lines if line) for box in (*roots, *streams, *results)
    )
    shown = [_cut(column) for column in (roots, streams, results) if column]
    return _drawing(shown, "What is signed, and by whom", described)


def _cut(column: list[Box]) -> list[Box]:
    left = len(column) - MOST_BOXES
    return column if left <= 0 else [*column[:MOST_BOXES], Box((f"and {left} more",), "open")]


def _root_lines(root: str) -> tuple[str, ...]:
    """Of a pin the party and its fingerprint; of a key its id."""
    before, blank, fingerprint = root.rpartition(" ")
    return (f"root {before}", fingerprint) if blank else ("root", root)


def _told(seen: View, area: Area) -> tuple[str, str]:
    """What became of an area, and how its box looks."""
    found = next((one for one in seen.areas if one.area is area), None)
    if found is None:
        return "not asked", "open"
    findings = sum(len(one.findings) for one in found.checks)
    if findings:
        return counted(findings, "finding"), "fail"
    if found.outcomes.get(Outcome.NOT_EVALUATED):
        return "not all evaluated", "open"
    passed, waived = found.outcomes.get(Outcome.PASS, 0), found.outcomes.get(Outcome.WAIVED, 0)
    if not passed and not waived:
        return "no question here", ""
    return f"{passed} passed" + (f", {waived} waived" if waived else ""), "good"


def _drawing(drawn: Sequence[Sequence[Box]], title: str, described: str) -> ET.Element:
    rows = max((len(column) for column in drawn), default=0)
    height = max(rows, 1) * (_BOX_HEIGHT + _GAP) + 2 * _GAP
    width = max(len(drawn) - 1, 0) * _COLUMN + _BOX_WIDTH + 4
    svg = element(
        "svg",
        element("title", title, id="picture-title"),
        element("desc", described, id="picture-desc"),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_labelledby="picture-title picture-desc",
    )
    # The column of a box decides where it stands; the middle of a shorter column is the middle.
    tops = [(height - len(column) * (_BOX_HEIGHT + _GAP)) // 2 for column in drawn]
    for column, boxes in enumerate(drawn):
        for row, box in enumerate(boxes):
            x, y = 2 + column * _COLUMN, tops[column] + row * (_BOX_HEIGHT + _GAP)
            for source in box.sources:
                if source < len(drawn[column - 1]):
                    svg.append(_edge(column, x, y, tops[column - 1], source))
            svg.append(_box(box, x, y))
    return svg


def _edge(column: int, x: int, y: int, top: int, source: int) -> ET.Element:
    start_x = 2 + (column - 1) * _COLUMN + _BOX_WIDTH
    start_y = top + source * (_BOX_HEIGHT + _GAP) + _BOX_HEIGHT // 2
    end_y, bend = y + _BOX_HEIGHT // 2, (start_x + x) // 2
    curve = f"M{start_x} {start_y}C{bend} {start_y} {bend} {end_y} {x} {end_y}"
    return element("path", class_="edge", d=curve)


def _box(box: Box, x: int, y: int) -> ET.Element:
    lines = [one_line(line) for line in box.lines]
    group = element("g", element("title", " / ".join(line for line in lines if line)))
    size = {"width": _BOX_WIDTH, "height": _BOX_HEIGHT}
    group.append(element("rect", class_=f"box {box.state}".strip(), x=x, y=y, rx=6, **size))
    for number, line in enumerate(lines):
        look = {"class_": "soft"} if number == 1 else {}
        label = columns.clip(line, _LABEL)
        group.append(element("text", label, x=x + 10, y=y + 19 + 18 * number, **look))
    return group


def coverage_bar(seen: View) -> ET.Element:
    """One bar, each part as long as its share of the files."""
    total = sum(seen.coverage.values())
    described = ", ".join(f"{number:,} {how}" for how, number in seen.coverage.items())
    svg = element(
        "svg",
        element("title", "How files are known", id="bar-title"),
        element("desc", described, id="bar-desc"),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_BAR_WIDTH} 28",
        width=_BAR_WIDTH,
        height=28,
        role="img",
        aria_labelledby="bar-title bar-desc",
    )
    done = 0
    for how, number in seen.coverage.items():
        start, end = _BAR_WIDTH * done // total, _BAR_WIDTH * (done + number) // total
        bar = element("rect", element("title", f"{number:,} {how}"), class_=how.name.lower())
        for name, value in {"x": start, "y": 0, "width": max(end - start, 1), "height": 28}.items():
            bar.set(name, str(value))
        svg.append(bar)
        done += number
    return svg


def coverage_key(how: Covered) -> ET.Element:
    """The colour of a class, for the table beside the bar."""
    rect = element("rect", class_=how.name.lower(), width=12, height=12)
    return element("svg", rect, width=12, height=12, viewBox="0 0 12 12", aria_hidden="true")
