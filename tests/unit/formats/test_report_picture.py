# SPDX-License-Identifier: Apache-2.0
"""The picture of who signed what: which box leads to which, and what became of each."""

import dataclasses
import xml.etree.ElementTree as ET

import pytest

from tests.audit_samples import HEAD, SIGNED, clean, everything
from tests.goldens import report
from verity.formats.report_picture import MOST_BOXES, coverage_bar, signed_by_whom
from verity.formats.report_view import view
from verity.values.audit import Area, AreaResult, Audit, Covered


def boxes(audit: Audit) -> list[tuple[str, str]]:
    """The look of each box, and its text."""
    found = []
    for group in signed_by_whom(view(audit)).iter("g"):
        rect, title = group.find("rect"), group.find("title")
        assert rect is not None
        assert title is not None
        found.append((rect.get("class", "").removeprefix("box").strip(), title.text or ""))
    return found


def test_roots_lead_to_streams_and_these_to_what_became_of_them() -> None:
    assert boxes(everything()) == [
        ("", "root vendor / sha256:" + "a1" * 32),
        ("", "root user / sha256:" + "b2" * 32),
        ("", "stream debian-13 / os, serial 42 / signed by ann, bob"),
        ("", "stream etc-build-7 / etc, serial 7 / signed by carol"),
        ("fail", "manifest: 98,304 entries / area files / 3 findings"),
        ("open", "manifest: 1,204 entries / area etc / not asked"),
    ]


def edges(svg: ET.Element) -> list[tuple[float, float]]:
    """The heights at which each edge begins and ends."""
    found = []
    for path in svg.iter("path"):
        start, end = path.get("d", "").removeprefix("M").split("C")
        found.append((float(start.split()[1]), float(end.split()[-1])))
    return found


def test_an_edge_is_level_where_one_leads_to_one() -> None:
    found = edges(signed_by_whom(view(everything())))
    assert len(found) == 4
    assert all(start == end for start, end in found)


def test_two_streams_of_one_root_come_from_its_box() -> None:
    signed = tuple(dataclasses.replace(one, root=HEAD.roots[0]) for one in SIGNED)
    found = edges(signed_by_whom(view(dataclasses.replace(everything(), signed=signed))))
    from_root = [one for one in found if one[0] == found[0][0]]
    assert len({end for _, end in from_root}) == 2


def test_grants_without_a_statement() -> None:
    part = dataclasses.replace(SIGNED[0], kind="extension", signers=(), entries=1)
    shown = boxes(dataclasses.replace(clean(), signed=(part,)))
    assert shown[-2:] == [
        ("", "stream debian-13 / extension, serial 42 / signed for the kernel"),
        ("good", "grants: 1 entries / area code / 1 passed"),
    ]


def test_without_a_statement_the_areas_stand_alone() -> None:
    audit = dataclasses.replace(everything(), signed=())
    shown = dict(text.partition(" / ")[::2] for _, text in boxes(audit)[2:])
    assert shown == {
        "area trust": "2 passed",
        "area files": "3 findings",
        "area code": "0 passed, 1 waived",
        "area etc": "not asked",
        "area running": "not all evaluated",
        "area posture": "no question here",
        "area deployment": "1 passed",
        "area written": "not asked",
    }
    assert edges(signed_by_whom(view(audit))) == []
    assert b"No statement was verified" in report(audit, "html")
    assert b"No statement was verified" not in report(everything(), "html")


def test_more_streams_than_there_is_room_for() -> None:
    signed = tuple(dataclasses.replace(SIGNED[0], stream=f"s{index}") for index in range(100))
    shown = boxes(dataclasses.replace(everything(), signed=signed))
    assert sum(text.startswith("stream ") for _, text in shown) == MOST_BOXES
    assert shown.count(("open", f"and {100 - MOST_BOXES} more")) == 2


@pytest.mark.parametrize(
    ("counts", "widths"),
    [
        ({Covered.ENFORCED: 1, Covered.HASHED: 3}, [250, 750]),
        ({Covered.MEASURED: 999_999, Covered.IGNORED: 1}, [999, 1]),
        ({Covered.UNVERIFIABLE: 7}, [1000]),
    ],
)
def test_each_part_of_the_bar_is_its_share(counts: dict[Covered, int], widths: list[int]) -> None:
    area = AreaResult(area=Area.FILES, coverage=counts)
    bar = coverage_bar(view(Audit(head=HEAD, checks=(), areas=(area,))))
    assert [int(rect.get("width", "")) for rect in bar.iter("rect")] == widths
    assert [rect.get("class") for rect in bar.iter("rect")] == [how.name.lower() for how in counts]
