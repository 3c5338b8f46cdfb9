# SPDX-License-Identifier: Apache-2.0
"""What is different between two audits: each finding in exactly one place."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evidence_world import EVERYTHING, FINDING, GOOD, HOST_KEY, OTHER_KEY, Made, by_key
from tests.ostree_world import refused
from verity.formats import audit_lines
from verity.values.audit import Outcome
from verity.values.errors import ContentError
from verity.values.findings import Finding, Link
from verity.values.snapshot import Snapshot, of_audit
from verity.verbs import audit_since
from verity.verbs.evidence_trust import Accepted

FINDINGS = st.builds(
    Finding,
    check=st.sampled_from("ab"),
    link=st.just(Link.FILE),
    object=st.sampled_from(["/x", "/y", "\udcff"]),
    problem=st.just("p"),
    found=st.sampled_from("12"),
    path=st.sampled_from([None, b"/x", b"\xff"]),
)
SNAPSHOTS = st.builds(
    Snapshot,
    source=st.just("s"),
    findings=st.lists(FINDINGS, max_size=6).map(tuple),
    waived=st.lists(FINDINGS, max_size=2).map(tuple),
)


@given(SNAPSHOTS, SNAPSHOTS)
def test_every_finding_is_somewhere_and_nowhere_twice(before: Snapshot, after: Snapshot) -> None:
    changes = audit_since.compare(before, after)
    was = [*changes.gone, *changes.waived, *(one for one, _ in changes.changed)]
    now = [*changes.new, *changes.unwaived, *(one for _, one in changes.changed)]
    for snapshot, lost in ((before, was), (after, now)):
        left = list(snapshot.findings)
        for one in (*lost, *changes.unchanged):
            left.remove(one)  # which raises for one that is not there, or twice
        assert left == []
    assert not set(changes.unchanged) - set(before.findings)
    back = audit_since.compare(after, before)
    assert (len(back.new) + len(back.unwaived)) == (len(changes.gone) + len(changes.waived))


@given(SNAPSHOTS)
def test_nothing_changes_from_one_to_itself(one: Snapshot) -> None:
    changes = audit_since.compare(one, one)
    assert changes.unchanged == tuple(sorted(changes.unchanged, key=_order))
    assert not (changes.new or changes.gone or changes.changed or changes.waived)
    assert not (changes.outcomes or changes.serials)


def _order(one: Finding) -> tuple[str, bytes]:
    return one.check, one.path or one.object.encode("utf-8", "backslashreplace")


def snapshot(**changes: object) -> Snapshot:
    return replace(Snapshot(source="s"), **changes)  # type: ignore[arg-type]  # rows of a table


def test_what_a_waiver_takes_away_and_what_it_gives_back() -> None:
    bare, covered = snapshot(findings=(FINDING,)), snapshot(waived=(FINDING,))
    assert audit_since.compare(bare, covered).waived == (FINDING,)
    assert audit_since.compare(covered, bare).unwaived == (FINDING,)
    assert audit_since.compare(bare, snapshot()).gone == (FINDING,)
    assert audit_since.compare(snapshot(), bare).new == (FINDING,)
    # Of the same file, and found to be something else: it changed.
    other = replace(FINDING, found="digest sha256:03")
    assert audit_since.compare(bare, snapshot(findings=(other,))).changed == ((FINDING, other),)


def test_outcomes_and_serials_where_both_tell_them() -> None:
    one = snapshot(outcomes={"a": Outcome.PASS, "b": Outcome.FAIL}, serials={"stream os": 7})
    other = snapshot(outcomes={"a": Outcome.FAIL, "c": Outcome.PASS}, serials={"stream os": 8})
    changes = audit_since.compare(one, other)
    assert changes.outcomes == {
        "a": (Outcome.PASS, Outcome.FAIL),
        "b": (Outcome.FAIL, None),
        "c": (None, Outcome.PASS),
    }
    assert changes.serials == {"stream os": (7, 8)}
    more = snapshot(serials={"stream os": 7, "stream tools": 1, "policy": 4})
    told = audit_since.compare(more, other).serials
    assert told == {"stream os": (7, 8), "stream tools": (1, None)}
    silent = audit_since.compare(snapshot(), other)
    assert (silent.outcomes, silent.serials) == ({}, {})


def test_whose_host_it_is() -> None:
    one, other = snapshot(host_id="a"), snapshot(host_id="b")
    assert audit_since.compare(one, one).same_host is True
    assert audit_since.compare(one, other).same_host is False
    assert audit_since.compare(one, snapshot()).same_host is None


def test_the_exit_status_is_that_of_the_newer_one() -> None:
    bad, good = snapshot(findings=(FINDING,)), snapshot()
    assert audit_since.compare(bad, bad).exit_status == 1
    assert audit_since.compare(bad, good).exit_status == 0
    gap = snapshot(not_evaluated=EVERYTHING.not_evaluated)
    assert audit_since.compare(good, gap).exit_status == 3


def test_an_audit_as_such_a_snapshot() -> None:
    found = of_audit(EVERYTHING, "it", {"stream os": 5})
    assert (found.findings, found.waived) == (EVERYTHING.findings, (FINDING,))
    assert found.outcomes == {"content": Outcome.FAIL}
    assert (found.host_id, found.begun) == (EVERYTHING.head.host_id, EVERYTHING.head.begun)


# --- where it is from


def test_a_capsule_and_what_its_word_is_worth(tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_bytes(Made(audit=EVERYTHING).capsule)
    found, note = audit_since.load(file, Accepted(pins={}, evidence=by_key()))
    assert found.findings == EVERYTHING.findings
    assert found.serials == {
        "stream os": 5,
        "keyring of the vendor": 1,
        "keyring of the user": 1,
        "policy": 4,
    }
    assert "capsule sha256:" in note
    unverified, note = audit_since.load(file, Accepted(pins={}))
    assert unverified == found
    assert "its signature is not verified" in note
    stranger = Accepted(pins={}, evidence=by_key(OTHER_KEY))
    refused(ContentError, "bad-signature", lambda: audit_since.load(file, stranger))
    assert HOST_KEY != OTHER_KEY


LINES = (
    '{"v":1,"type":"head","host_id":"h","host_name":"n","begun":"2026-01-01T00:00:00Z","more":1}',
    '{"v":1,"type":"check","id":"a","outcome":"fail"}',
    '{"v":1,"type":"signed","stream":"os","serial":7}',
    '{"v":1,"type":"finding","check":"a","link":"file","object":"/\\\\xff","problem":"p",'
    '"expected":"e","found":"f","remedy":"r","path_base64":"L/8="}',
    '{"v":1,"type":"waived","check":"a","link":"file","object":"/x","problem":"p","expected":"e",'
    '"found":"f","remedy":"r","path":"/ü","reason":"why","signers":["ann"]}',
    '{"v":1,"type":"not-evaluated","check":"b","object":"/y","why":"w","hint":""}',
    '{"v":1,"type":"unknown","of":"later"}',
    f'{{"v":1,"type":"state","sha256":"{"ab" * 32}"}}',
    '{"v":1,"type":"summary","findings":1,"exit_status":1}',
)


def report(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def test_a_report() -> None:
    assert audit_lines.is_one(report(*LINES))
    found = audit_lines.parse(report(*LINES), source="r")
    assert (found.host_id, found.host_name, found.begun) == ("h", "n", 1_767_225_600)
    assert [one.path for one in (*found.findings, *found.waived)] == [b"/\xff", "/ü".encode()]
    assert [one.check for one in found.not_evaluated] == ["b"]
    assert (found.outcomes, found.serials) == ({"a": Outcome.FAIL}, {"stream os": 7})
    assert found.state == "ab" * 32
    differs = report(*(line.replace(f'"{"ab" * 32}"', "null") for line in LINES))
    assert audit_lines.parse(differs, source="r").state is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"findings":1', '"findings":2', "it was cut off"),
        ('"type":"summary"', '"type":"sum"', "it was cut off"),
        ('"v":1,"type":"state"', '"v":2,"type":"state"', "line 8: another version"),
        ('"link":"file","object":"/x"', '"link":"chain","object":"/x"', "line 5: unknown link"),
        ('"outcome":"fail"', '"outcome":"bad"', "line 2: unknown outcome"),
        ('"L/8="', '"L/8"', "line 4: path_base64"),
        ('"remedy":"r","path"', '"path"', "line 5: the field 'remedy' is missing"),
        ("2026-01-01T00:00:00Z", "2026-01-01", "is not of the form"),
        ('"serial":7', '"serial":7.0', "the float 7.0"),
        ('"type":"unknown"', '"type":', "line 7: not JSON"),
    ],
)
def test_a_report_that_is_none(old: str, new: str, words: str) -> None:
    data = report(*LINES)
    assert data.count(old.encode()) == 1
    changed = data.replace(old.encode(), new.encode())
    error = refused(ContentError, "bad-document", lambda: audit_lines.parse(changed, source="r"))
    assert words in error.message


def test_what_is_no_report() -> None:
    for data in (b"", b"x", b"[]", b"{}\n", Made(audit=GOOD).capsule):
        assert not audit_lines.is_one(data)
    refused(ContentError, "bad-document", lambda: audit_lines.parse(b"", source="r"))
