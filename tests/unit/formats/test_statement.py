# SPDX-License-Identifier: Apache-2.0
"""Statements and envelopes: one reading per document, or a refusal with its reason."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as LibraryEnvelope

from verity.formats import statement, strictjson
from verity.formats.statement import Kind, Statement
from verity.values.errors import ContentError

SAMPLE = Statement(
    kind=Kind.OS,
    stream="debian-trixie",
    serial=3,
    issued=1_700_000_000,
    expires=1_800_000_000,
    subjects={
        name: bytes([i]) * 32 for i, name in enumerate(("manifest", "grants", "commit", "boot"))
    },
)


def test_round_trip() -> None:
    assert statement.parse(statement.encode(SAMPLE)) == SAMPLE


def envelope(**fields: Any) -> bytes:
    base = {
        "payload": base64.b64encode(b"x").decode(),
        "payloadType": statement.PAYLOAD_TYPE,
        "signatures": [{"keyid": "k", "sig": "AAAA"}],
    }
    return json.dumps({name: v for name, v in {**base, **fields}.items() if v is not None}).encode()


def test_envelope() -> None:
    found = statement.parse_envelope(envelope())
    assert (found.payload, found.signatures[0].key_id_hint) == (b"x", "k")
    assert found.signatures[0].value == b"\0\0\0"


def test_a_malformed_signature_is_kept_as_such() -> None:
    found = statement.parse_envelope(envelope(signatures=[{"sig": "*"}, {"sig": "AAAA"}]))
    assert [signature.value for signature in found.signatures] == [None, b"\0\0\0"]


@pytest.mark.parametrize("seconds", [-1, 253_402_300_800, 2**53 - 1, 2**64 - 1])
def test_times_that_cannot_be_written(seconds: int) -> None:
    with pytest.raises(ContentError, match=f"{seconds} seconds are not between"):
        statement.format_time(seconds)


@given(st.integers(0, 253_402_300_799))
def test_times_are_read_as_they_are_written(seconds: int) -> None:
    assert statement.parse_time(statement.format_time(seconds)) == seconds


@given(
    st.sampled_from(Kind),
    st.from_regex(r"[a-z0-9._-]{1,63}", fullmatch=True),
    st.integers(1, 2**53 - 1),
    st.integers(0, 253_402_300_798),
    st.binary(min_size=32, max_size=32),
    st.data(),
)
def test_statements_are_read_as_they_are_written(
    kind: Kind, stream: str, serial: int, issued: int, value: bytes, data: st.DataObject
) -> None:
    one = Statement(
        kind=kind,
        stream=stream,
        serial=serial,
        issued=issued,
        expires=data.draw(st.integers(issued + 1, 253_402_300_799)),
        subjects=dict.fromkeys(statement.SUBJECTS[kind], value),
    )
    encoded = statement.encode(one)
    assert statement.parse(encoded) == one
    assert len(encoded) < statement.MAX_STATEMENT


@given(st.data())
def test_a_mutated_statement_is_refused_or_another_one(data: st.DataObject) -> None:
    text = bytearray(statement.encode(SAMPLE))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 1))] = data.draw(st.binary(max_size=2))
    try:
        found = statement.parse(bytes(text))
    except ContentError as error:
        assert error.code == "bad-document"
        assert len(error.message) < 600
        return
    assert statement.parse(statement.encode(found)) == found


@given(st.data())
def test_a_mutated_envelope_raises_nothing_else(data: st.DataObject) -> None:
    text = bytearray(envelope())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 1))] = data.draw(st.binary(max_size=2))
    try:
        found = statement.parse_envelope(bytes(text))
    except ContentError as error:
        assert error.code == "bad-document"
        return
    assert 1 <= len(found.signatures) <= statement.MAX_SIGNATURES
    found.pae()


@given(st.binary(max_size=50), st.text(max_size=20))
def test_pae_counts_bytes_as_the_library_does(payload: bytes, kind: str) -> None:
    assert statement.pae(payload, kind) == LibraryEnvelope(payload, kind, {}).pae()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
        lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(), x, max_size=3),
        max_leaves=8,
    )
)
def test_strict_json_reads_what_it_writes(value: Any) -> None:
    assert strictjson.parse(strictjson.canonical(value), what="x", max_size=10**6) == value


@given(st.binary(max_size=200))
def test_strict_json_refuses_or_reads_any_bytes(data: bytes) -> None:
    try:
        strictjson.parse(data, what="x", max_size=1000)
    except ContentError as error:
        assert error.code == "bad-document"
