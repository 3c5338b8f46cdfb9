# SPDX-License-Identifier: Apache-2.0
"""Evidence is the same audit after a journey, whatever it holds. Bad documents: tests/vectors/."""

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evidence_world import BUNDLE, EVERYTHING, FINDING, GOOD, HEAD, MADE, line_of
from tests.ostree_world import refused
from verity.formats import audit_document, evidence
from verity.formats.evidence import Evidence
from verity.formats.grants import Party
from verity.formats.statement import MAX_TIME
from verity.values.audit import (
    Area,
    AreaResult,
    Audit,
    Check,
    Covered,
    Head,
    Residual,
    Severity,
    SignedPart,
    Waived,
)
from verity.values.errors import ContentError
from verity.values.findings import Finding, Link, NotEvaluated

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
TIMES = st.integers(0, MAX_TIME)
COUNTS = st.integers(0, 2**53 - 1)
PATHS = st.none() | st.binary(max_size=12)
TUPLES = st.lists(TEXTS, max_size=3).map(tuple)
FINDINGS = st.builds(
    Finding,
    check=TEXTS,
    link=st.sampled_from(Link),
    object=TEXTS,
    problem=TEXTS,
    expected=TEXTS,
    found=TEXTS,
    remedy=TEXTS,
    path=PATHS,
)
GAPS = st.builds(NotEvaluated, check=TEXTS, object=TEXTS, why=TEXTS, hint=TEXTS, path=PATHS)
HEADS = st.builds(
    Head,
    **dict.fromkeys(
        (
            *("host_name", "root", "boot_id", "kernel", "system"),
            *("state", "level", "tool_version", "tool_digest"),
        ),
        TEXTS,
    ),
    host_id=st.sampled_from(["", "ab" * 32]),
    begun=TIMES,
    taints=TUPLES,
    tool_verified=st.sampled_from([None, False, True]),
    enforced=st.booleans(),
    roots=TUPLES,
    roots_given=st.booleans(),
    deep=st.booleans(),
    residuals=st.lists(st.builds(Residual, name=TEXTS, why=TEXTS), max_size=2).map(tuple),
)
AREAS = st.builds(
    AreaResult,
    area=st.sampled_from(Area),
    findings=st.lists(FINDINGS, max_size=3).map(tuple),
    not_evaluated=st.lists(GAPS, max_size=2).map(tuple),
    not_applicable=st.dictionaries(TEXTS, TEXTS, max_size=2),
    counts=st.dictionaries(TEXTS, COUNTS, max_size=2),
    coverage=st.dictionaries(st.sampled_from(Covered), COUNTS, max_size=2),
    notes=TUPLES,
)
AUDITS = st.builds(
    Audit,
    head=HEADS,
    checks=st.lists(
        st.builds(
            Check,
            id=TEXTS,
            area=st.sampled_from(Area),
            severity=st.sampled_from(Severity),
            title=TEXTS,
        ),
        max_size=2,
    ).map(tuple),
    areas=st.lists(AREAS, max_size=2).map(tuple),
    waived=st.lists(
        st.builds(Waived, finding=FINDINGS, reason=TEXTS, signers=TUPLES, expires=TIMES),
        max_size=2,
    ).map(tuple),
    state=st.sampled_from([None, "0" * 64]),
    signed=st.lists(
        st.builds(
            SignedPart,
            root=TEXTS,
            stream=TEXTS,
            kind=TEXTS,
            serial=COUNTS,
            signers=TUPLES,
            entries=COUNTS,
        ),
        max_size=2,
    ).map(tuple),
)


@given(AUDITS, st.binary(min_size=8, max_size=64), st.binary(min_size=1, max_size=40))
def test_it_comes_back_as_it_was(audit: Audit, nonce: bytes, envelope: bytes) -> None:
    made = Evidence(
        issued=MADE,
        audit=audit,
        nonce=nonce,
        previous=b"\x01" * 32,
        keyrings={Party.USER: (envelope, b"{}")},
        statements=(envelope,),
        floors=(b"{}", envelope),
        policy=envelope,
        bundle=BUNDLE,
        gate="version 3\n",
        lines={b"\x02" * 32: (line_of(b"/tool"),)},
        left_out={"policy": "why"},
    )
    assert evidence.parse(evidence.encode(made)) == made


def _names(value: Any) -> set[str]:
    """The names of all fields of a value of dataclasses, wherever they stand in it."""
    if is_dataclass(value):
        found = {one.name for one in fields(value)}
        return found.union(*(_names(getattr(value, one.name)) for one in fields(value)))
    if isinstance(value, tuple):
        return set().union(*map(_names, value))
    return set()


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    return set().union(*map(_keys, value)) if isinstance(value, list) else set()


def test_nothing_of_an_audit_is_left_out() -> None:
    """A new field of an audit has to be written, too."""
    assert _names(EVERYTHING) - _keys(audit_document.fields_of(EVERYTHING)) == set()


def test_a_name_that_is_no_text_is_written_with_its_bytes() -> None:
    odd = b"/\xff\xe4".decode("utf-8", "surrogateescape")
    audit = replace(
        GOOD,
        areas=(AreaResult(area=Area.ETC, findings=(replace(FINDING, object=odd),), notes=(odd,)),),
    )
    found = evidence.parse(evidence.encode(Evidence(issued=MADE, audit=audit)))
    assert found.audit.findings[0].object == "/\\xff\\xe4"
    assert found.audit.areas[0].notes == ("/\\xff\\xe4",)
    lone = replace(GOOD, head=replace(HEAD, host_name="\ud800"))
    assert evidence.parse(evidence.encode(Evidence(issued=MADE, audit=lone))).audit.head.host_name


def test_an_audit_of_too_many_findings_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Evidence(issued=MADE, audit=EVERYTHING)
    size = len(evidence.encode(made))
    monkeypatch.setattr(evidence, "MAX_EVIDENCE", size)
    assert evidence.parse(evidence.encode(made)) == made
    monkeypatch.setattr(evidence, "MAX_EVIDENCE", size - 1)
    error = refused(ContentError, "too-much", lambda: evidence.encode(made))
    assert f"{size} bytes" in error.message


def test_the_digest_is_of_the_payload_alone() -> None:
    payload = evidence.encode(Evidence(issued=MADE, audit=GOOD))
    one = json.loads(evidence.seal(payload, [("k", b"1")]))
    assert one["payloadType"] == evidence.PAYLOAD_TYPE
    assert len(evidence.digest(payload)) == 32
    assert evidence.digest(payload) != evidence.digest(payload + b" ")
