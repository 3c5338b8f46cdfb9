# SPDX-License-Identifier: Apache-2.0
"""The reports of the real command: each form of one audit says the same, by its schema."""

import json
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from tests.cli.program import verity
from tests.cli.worlds import REF, World

LINE = ("audit", "--root", "tree", "--repo", "repo", "--commit", REF, "--key", "vendor.pem.pub")
EVIL = b"evil\n\x1b[2J\xff<script>"
SHOWN = "evil\\x0a\\x1b[2J\\xff<script>"


@pytest.fixture
def tampered(world: World) -> World:
    """A tree with a set-uid program of a hostile name, and without fs-verity."""
    evil = world.path / "tree/usr/bin" / EVIL.decode("utf-8", "surrogateescape")
    evil.write_bytes(b"#!/bin/sh\n")
    evil.chmod(0o4755)
    return world


def audit(world: World, *more: str) -> bytes:
    done = verity(*LINE, *more, cwd=world.path)
    assert done.status == 1, done.err
    return done.raw_out


def records(world: World) -> list[dict[str, Any]]:
    return [json.loads(line) for line in audit(world, "--format=json").splitlines()]


def test_json_lines_are_by_the_schema(tampered: World) -> None:
    schema = Draft202012Validator(json.loads(Path("docs/schemas/audit.schema.json").read_text()))
    found = records(tampered)
    for record in found:
        schema.validate(record)
    (signed,) = (one for one in found if one["type"] == "signed")
    assert (signed["stream"], signed["kind"], signed["root"][:4]) == ("os", "os", "key ")
    assert found[-1]["exit_status"] == 1


def test_sarif_has_the_findings_of_json(tampered: World) -> None:
    log = json.loads(audit(tampered, "--format=sarif"))
    schema = json.loads(Path("tests/schemas/sarif-schema-2.1.0.json").read_text())
    Draft7Validator(schema).validate(log)
    wanted = Counter(one["check"] for one in records(tampered) if one["type"] == "finding")
    assert Counter(one["ruleId"] for one in log["runs"][0]["results"]) == wanted


def test_junit_has_the_checks_of_json(tampered: World, tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_bytes(audit(tampered, "--format=junit"))
    schema = "tests/schemas/junit-10.xsd"
    subprocess.run(["xmllint", "--nonet", "--noout", "--schema", schema, path], check=True)
    failed = {one["id"] for one in records(tampered) if one.get("outcome") == "fail"}
    cases = ET.parse(path).getroot().iter("testcase")  # noqa: S314  # our own
    assert {one.get("name") for one in cases if one.find("failure") is not None} == failed


def test_html_is_one_page_with_every_finding(tampered: World) -> None:
    target = tampered.path / "report.html"
    assert audit(tampered, "--format=html", "--output", str(target)) == b""
    page = target.read_text()
    found = [one for one in records(tampered) if one["type"] == "finding"]
    assert page.count('class="finding"') == len(found)
    assert "/usr/bin/evil\\x0a\\x1b[2J\\xff&lt;script&gt;" in page
    assert page.count("<script>") == 1


def test_text_is_a_screen_and_with_all_everything(tampered: World) -> None:
    screen = audit(tampered).decode("ascii").splitlines()
    assert len(screen) <= 24
    assert all(len(line) <= 80 or line.startswith("state: ") for line in screen)
    whole = audit(tampered, "--all").decode("ascii")
    found = [one for one in records(tampered) if one["type"] == "finding"]
    assert whole.count("    breaks   the link ") == len(found)
    assert f"/usr/bin/{SHOWN}: " in whole
