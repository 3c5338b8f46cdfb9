# SPDX-License-Identifier: Apache-2.0
"""The reports of an audit against golden files, and each state of a check in each of them."""

import dataclasses
import io
import json

import pytest

from tests.audit_samples import CHECKS, GAP, HEAD, SET_ID, TOOL, clean, everything, flood
from tests.goldens import FILES, FOLDER, made, report
from verity.cli.audit_report import FORMATS, write
from verity.formats.report_view import view
from verity.values.audit import Area, AreaResult, Audit, Outcome, Severity, Waived


@pytest.mark.parametrize("name", FILES)
def test_the_report_is_the_golden_one(name: str) -> None:
    wanted = (FOLDER / name).read_bytes()
    assert made(name).decode() == wanted.decode(), "python -m tests.goldens"


def test_every_golden_file_is_compared() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(FILES)
    assert {format for _, format, _ in FILES.values()} == set(FORMATS)


def test_the_sample_has_every_outcome() -> None:
    audit = everything()
    assert {audit.outcome(check) for check in CHECKS} == set(Outcome)


def test_an_unknown_format_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="'pdf'"):
        write(clean(), "pdf", io.BytesIO())


def test_the_view_says_the_outcomes_of_the_audit() -> None:
    audit = everything()
    assert {one.check.id: one.outcome for one in view(audit).checks} == {
        check.id: audit.outcome(check) for check in CHECKS
    }


def test_the_worst_result_is_the_outcome() -> None:
    both = AreaResult(
        area=Area.CODE,
        findings=(SET_ID,),
        not_evaluated=(dataclasses.replace(GAP, check=SET_ID.check),),
        not_applicable={SET_ID.check: "never"},
    )
    waived = Waived(finding=SET_ID, reason="r", signers=("s",), expires=1)
    audit = Audit(head=HEAD, checks=CHECKS, areas=(both,), waived=(waived,))
    (one,) = (one for one in view(audit).checks if one.check.id == SET_ID.check)
    assert one.outcome is Outcome.FAIL
    assert (len(one.findings), len(one.gaps), len(one.waived)) == (1, 1, 1)


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_outside_the_catalogue_is_lost(format: str) -> None:
    finding = dataclasses.replace(TOOL, check="new-finding", object="/new/finding")
    gap = dataclasses.replace(GAP, check="new-gap", object="a new gap")
    waived = Waived(
        finding=dataclasses.replace(TOOL, check="new-waived", object="/new/waived"),
        reason="why",
        signers=("carol",),
        expires=1_798_761_600,
    )
    area = AreaResult(
        area=Area.RUNNING,
        findings=(finding,),
        not_evaluated=(gap,),
        not_applicable={"new-skipped": "no such thing here"},
    )
    text = report(
        Audit(head=HEAD, checks=(), areas=(area,), waived=(waived,)), format, everything=True
    ).decode()
    for told in ("/new/finding", "a new gap", "/new/waived", "no such thing here"):
        assert told in text
    (stranger,) = (
        one
        for one in view(Audit(head=HEAD, checks=(), areas=(area,))).checks
        if one.check.id == "new-finding"
    )
    assert stranger.check.severity is Severity.HIGH


@pytest.mark.parametrize("format", FORMATS)
def test_what_was_not_asked_is_not_called_good(format: str) -> None:
    area = AreaResult(area=Area.TRUST)
    text = report(Audit(head=HEAD, checks=CHECKS[:2], areas=(area,)), format).decode()
    if format in {"text", "html"}:
        assert "not asked: files, code, etc, running, posture, deployment, written" in text
    else:
        assert "digest-as-signed" not in text


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"enforced": True}, "enforced by this host's kernel"),
        ({"enforced": False}, "only asserted by this host"),
        ({"enforced": False, "root": "/mnt/x"}, "seen from outside"),
        ({"tool_verified": True}, "the auditor's files are verified"),
        ({"tool_verified": False}, "the auditor's files are not verified"),
        ({"tool_verified": None}, "the auditor's files could not be judged"),
        ({"roots_given": True}, "named by the auditor"),
        ({"roots_given": False}, "as stated by this host"),
        ({"roots": ()}, "no root keys: nothing could be verified"),
        ({"level": ""}, "no level: no sealed gate"),
        ({"level": "B1"}, "level B1"),
        ({"taints": ()}, "no taint"),
        ({"host_id": ""}, "no host id"),
        ({"system": "", "kernel": ""}, "an unknown system, no kernel seen"),
        ({"tool_digest": "e5" * 32}, "sha256:" + "e5" * 32),
        ({"tool_digest": ""}, "its files could not be read"),
    ],
)
def test_the_head_says_how_far_the_answer_can_be_trusted(
    changed: dict[str, object], told: str
) -> None:
    audit = dataclasses.replace(everything(), head=dataclasses.replace(HEAD, **changed))  # type: ignore[arg-type]  # fields of a table
    assert told in report(audit, "text", everything=True).decode()
    assert told in report(audit, "html").decode()


def test_a_million_findings_are_no_page_of_a_gigabyte() -> None:
    audit = flood(1_000_000)
    page = report(audit, "html")
    assert len(page) < 4 * 2**20
    assert b"999,801 more left out here; `--format json` has all of them." in page
    assert page.count(b'class="finding"') == 202
    # The other checks are not crowded out, and the counts are of all.
    assert b"caf\\xe9" in page
    assert b"1,000,003 findings (1,000,001 critical, 2 medium)" in page
    assert len(report(audit, "text").splitlines()) <= 24
    junit = report(audit, "junit")
    assert len(junit) < 2**20
    assert b"... and 999,001 more: --format json has all" in junit


def test_many_checks_are_cut_as_well() -> None:
    checks = tuple(dataclasses.replace(CHECKS[2], id=f"check-{index}") for index in range(40))
    areas = tuple(
        AreaResult(
            area=Area.FILES,
            findings=tuple(dataclasses.replace(TOOL, check=check.id) for _ in range(100)),
        )
        for check in checks
    )
    page = report(Audit(head=HEAD, checks=checks, areas=areas), "html").decode()
    assert page.count('class="finding"') == 2000
    assert page.count("100 more left out here") == 20


def test_json_has_all_of_a_flood() -> None:
    lines = report(flood(3000), "json").splitlines()
    records = [json.loads(line) for line in lines]
    assert sum(record["type"] == "finding" for record in records) == 3003
    assert records[0]["type"] == "head"
    assert records[-1]["type"] == "summary"
    assert records[-1]["findings"] == 3003


def test_a_report_is_the_same_twice() -> None:
    for format in FORMATS:
        assert report(everything(), format) == report(everything(), format)
