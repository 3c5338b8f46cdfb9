# SPDX-License-Identifier: Apache-2.0
"""The reports against the schemas: ours of JSON Lines, those of others of SARIF and JUnit."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from tests.audit_samples import CHECKS, HEAD, clean, everything, flood, named
from tests.goldens import report
from verity.values.audit import Area, Audit, Covered, Outcome, Severity
from verity.values.findings import Link

SCHEMA = Path("docs/schemas/audit.schema.json")
SARIF = Path("tests/schemas/sarif-schema-2.1.0.json")
JUNIT = Path("tests/schemas/junit-10.xsd")

AUDITS = {
    "everything": everything(),
    "clean": clean(),
    "flood": flood(2000),
    "nothing": Audit(head=HEAD, checks=(), areas=()),
    "unasked": Audit(head=HEAD, checks=CHECKS, areas=()),
    "hostile": named("</a>&\"'\x1b[2J\u202e{0}[x](y)\n]]>\udcff", b"/\xff\n{0}"),
}


@cache
def ours() -> Draft202012Validator:
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@cache
def sarif() -> Draft7Validator:
    schema = json.loads(SARIF.read_text())
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER)


def problems(validator: Draft7Validator | Draft202012Validator, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


@pytest.mark.parametrize("name", AUDITS)
def test_json_lines(name: str) -> None:
    lines = report(AUDITS[name], "json").splitlines()
    for line in dict.fromkeys(lines):  # a flood is of the same line
        assert not problems(ours(), json.loads(line)), line


def test_the_schema_knows_every_type_and_they_all_are_seen() -> None:
    seen = {json.loads(line)["type"] for line in report(everything(), "json").splitlines()}
    definitions = json.loads(SCHEMA.read_text())["$defs"]
    known = {
        one["properties"]["type"]["const"]
        for one in definitions.values()
        if "type" in one.get("properties", {})
    }
    assert seen == known


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("area", Area),
        ("severity", Severity),
        ("outcome", Outcome),
        ("covered", Covered),
    ],
)
def test_the_schema_has_the_same_values(name: str, values: Any) -> None:
    definitions = json.loads(SCHEMA.read_text())["$defs"]
    assert definitions[name]["enum"] == [one.value for one in values]


def test_the_schema_has_the_links_of_the_chain() -> None:
    definitions = json.loads(SCHEMA.read_text())["$defs"]
    assert definitions["finding"]["properties"]["link"]["enum"] == [one.value for one in Link]


# What the schema must refuse: (the type of the line that is changed, how)
SPOILED: dict[str, tuple[str, dict[str, Any]]] = {
    "a new version": ("finding", {"v": 2}),
    "a new type": ("finding", {"type": "rumour"}),
    "a severity of another scale": ("finding", {"severity": "9.8"}),
    "a field that nobody described": ("finding", {"certainty": 1}),
    "two names": ("finding", {"path": "/a", "path_base64": "L2E="}),
    "a name that is no base64": ("not-evaluated", {"path_base64": "?"}),
    "an outcome that there isn't": ("check", {"outcome": "probably"}),
    "a state that is no checksum": ("state", {"sha256": "differs"}),
    "a time without its zone": ("head", {"begun": "2026-01-01T00:00:00"}),
    "a level that there isn't": ("head", {"level": "B4"}),
    "an exit status of usage": ("summary", {"exit_status": 2}),
    "fewer than no findings": ("summary", {"findings": -1}),
    "a coverage that there isn't": ("coverage", {"counts": {"believed": 1}}),
}


@pytest.mark.parametrize("name", SPOILED)
def test_the_schema_refuses(name: str) -> None:
    kind, change = SPOILED[name]
    records = [json.loads(line) for line in report(everything(), "json").splitlines()]
    record = next(one for one in records if one["type"] == kind)
    assert not problems(ours(), record)
    assert problems(ours(), {**record, **change})


@pytest.mark.parametrize("field", ["check", "link", "expected", "remedy", "severity"])
def test_the_schema_wants_every_field_of_a_finding(field: str) -> None:
    records = [json.loads(line) for line in report(everything(), "json").splitlines()]
    record = next(one for one in records if one["type"] == "finding")
    del record[field]
    assert problems(ours(), record)


@pytest.mark.parametrize("name", AUDITS)
def test_sarif(name: str) -> None:
    assert not problems(sarif(), json.loads(report(AUDITS[name], "sarif")))


def test_the_sarif_schema_refuses() -> None:
    log = json.loads(report(everything(), "sarif"))
    log["runs"][0]["results"][0]["level"] = "critical"
    assert problems(sarif(), log)


def xmllint(document: bytes, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "report.xml"
    path.write_bytes(document)
    return subprocess.run(
        ["xmllint", "--nonet", "--noout", "--schema", JUNIT, path],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", AUDITS)
def test_junit(name: str, tmp_path: Path) -> None:
    done = xmllint(report(AUDITS[name], "junit"), tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_junit_schema_refuses(tmp_path: Path) -> None:
    spoiled = report(everything(), "junit").replace(b"<failure ", b"<broken ")
    done = xmllint(spoiled.replace(b"</failure>", b"</broken>"), tmp_path)
    assert done.returncode != 0
    assert "broken" in done.stderr
