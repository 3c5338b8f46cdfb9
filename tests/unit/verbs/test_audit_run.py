# SPDX-License-Identifier: Apache-2.0
"""The run of an audit: areas in order, what goes wrong in one, waivers, and the exit status."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from verity.values.audit import Area, AreaResult, Check, Outcome, Severity, Waived
from verity.values.errors import HostError
from verity.values.findings import Finding, Link, NotEvaluated
from verity.verbs import audit_run, audit_waivers
from verity.verbs.audit_host import AuditedHost
from verity.verbs.audit_waivers import Applied

ASKED: list[Area] = []


def host(root: Path) -> AuditedHost:
    return AuditedHost(root=root, live=False, now=0, clock=0)


def check(area: Area) -> Check:
    return Check(id=f"{area}-good", area=area, severity=Severity.HIGH, title="it is good")


def finding(area: Area) -> Finding:
    return Finding(
        check=f"{area}-good",
        link=Link.FILE,
        object="it",
        problem="it is not",
        expected="good",
        found="bad",
        remedy="none",
    )


@pytest.fixture
def areas(monkeypatch: pytest.MonkeyPatch) -> dict[Area, ModuleType]:
    """Areas trust and files, good both, until a test makes them something else."""
    ASKED.clear()
    table = {}
    for area in (Area.TRUST, Area.FILES):
        module = ModuleType(f"test_area_{area}")

        def examine(host: AuditedHost, area: Area = area) -> AreaResult:
            ASKED.append(area)
            return AreaResult(area=area, counts={f"{area} things": 1})

        vars(module).update(CHECKS=(check(area),), examine=examine)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        table[area] = module
    names = {area: module.__name__ for area, module in table.items()}
    monkeypatch.setattr(audit_run, "AREAS", names)
    return table


def test_all_areas_in_their_order(areas: dict[Area, ModuleType], tmp_path: Path) -> None:
    found = audit_run.run(host(tmp_path))
    assert ASKED == [Area.TRUST, Area.FILES]
    assert [one.area for one in found.areas] == [Area.TRUST, Area.FILES]
    assert (found.exit_status, found.findings, found.not_evaluated) == (0, (), ())
    assert {found.outcome(one) for one in found.checks if not one.id.startswith("waiver")} == {
        Outcome.PASS
    }
    assert found.outcome(audit_waivers.CHECKS[0]) is Outcome.NOT_APPLICABLE


def test_one_area_alone(areas: dict[Area, ModuleType], tmp_path: Path) -> None:
    found = audit_run.run(host(tmp_path), only=[Area.FILES])
    assert ASKED == [Area.FILES]
    assert check(Area.TRUST) not in found.checks
    assert [one.area for one in found.areas if one.counts] == [Area.FILES]


def test_an_area_that_is_asked_for_and_does_not_apply(
    areas: dict[Area, ModuleType], tmp_path: Path
) -> None:
    """Nothing of it was looked at, so it is not good; among all areas it is passed over."""

    def examine(host: AuditedHost) -> AreaResult:
        return AreaResult(area=Area.FILES, not_applicable={check(Area.FILES).id: "no files here"})

    vars(areas[Area.FILES])["examine"] = examine
    found = audit_run.run(host(tmp_path), only=[Area.FILES])
    (gap,) = found.not_evaluated
    assert (gap.check, gap.object) == ("files-examined", "the area files")
    assert "no files here" in gap.why and "--only" in gap.hint
    assert found.exit_status == 3
    among_all = audit_run.run(host(tmp_path))
    assert among_all.exit_status == 0
    outcomes = {one.id: among_all.outcome(one) for one in among_all.checks}
    assert outcomes["files-examined"] is Outcome.NOT_APPLICABLE
    assert outcomes["trust-examined"] is Outcome.PASS


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (HostError("x", "the disk is gone", hint="look for it"), "the disk is gone"),
        (ZeroDivisionError("division by zero"), "a fault of this program: ZeroDivisionError at"),
        (RecursionError("too deep"), "a fault of this program: RecursionError at"),
    ],
    ids=["the host's", "ours", "recursion"],
)
def test_what_goes_wrong_in_one_is_told_and_the_others_are_asked(
    areas: dict[Area, ModuleType], tmp_path: Path, error: Exception, why: str
) -> None:
    def examine(host: AuditedHost) -> AreaResult:
        raise error

    vars(areas[Area.TRUST])["examine"] = examine
    found = audit_run.run(host(tmp_path))
    assert ASKED == [Area.FILES]
    gap, lost = found.not_evaluated
    assert (gap.check, found.exit_status) == ("trust-examined", 3)
    assert gap.why.startswith(why)
    (asked,) = [one for one in found.checks if one.id == gap.check]
    assert found.outcome(asked) is Outcome.NOT_EVALUATED
    # What it would have said is lost with it: its checks don't pass.
    assert lost.check == check(Area.TRUST).id
    assert found.outcome(check(Area.TRUST)) is Outcome.NOT_EVALUATED


def with_result(module: ModuleType, result: AreaResult) -> None:
    vars(module)["examine"] = lambda host: result


def test_a_finding_wins_over_a_gap(areas: dict[Area, ModuleType], tmp_path: Path) -> None:
    gap = NotEvaluated(check="trust-good", object="it", why="closed")
    with_result(areas[Area.TRUST], AreaResult(area=Area.TRUST, not_evaluated=(gap,)))
    assert audit_run.run(host(tmp_path)).exit_status == 3
    with_result(areas[Area.FILES], AreaResult(area=Area.FILES, findings=(finding(Area.FILES),)))
    assert audit_run.run(host(tmp_path)).exit_status == 1


def test_waived_findings_do_not_count_and_leave_no_state(
    areas: dict[Area, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = AreaResult(area=Area.FILES, findings=(finding(Area.FILES),))
    with_result(areas[Area.FILES], bad)

    def waive(host: AuditedHost, host_id: str, areas: list[AreaResult], named: object) -> Applied:
        one = Waived(finding=bad.findings[0], reason="known", signers=("k",), expires=1)
        left = (areas[0], AreaResult(area=Area.FILES))
        return Applied(areas=left, waived=(one,), own=AreaResult(area=Area.TRUST))

    monkeypatch.setattr(audit_waivers, "apply", waive)
    found = audit_run.run(host(tmp_path))
    assert (found.exit_status, len(found.waived), found.state) == (0, 1, None)
    assert found.outcome(check(Area.FILES)) is Outcome.WAIVED


def test_every_area_that_is_named_is_there() -> None:
    ids: list[str] = []
    for area, name in audit_run.AREAS.items():
        module = __import__(name, fromlist=["CHECKS"])
        assert {one.area for one in module.CHECKS} == {area}
        assert all(one.title and not one.title.endswith(".") for one in module.CHECKS)
        ids += [one.id for one in module.CHECKS]
    assert sorted(set(ids)) == sorted(ids), "an id belongs to one check"
