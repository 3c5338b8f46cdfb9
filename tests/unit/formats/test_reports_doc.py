# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/reports.md are parts of what the program writes; it has every format."""

import re
from pathlib import Path

import pytest

from tests.goldens import FILES, made
from verity.cli.audit_report import FORMATS
from verity.formats import report_html, report_junit

DOCUMENT = Path("docs/reports.md").read_text()
EXAMPLES = re.findall(r"<!-- from (\S+) -->\n```\w+\n(.*?)```\n", DOCUMENT, re.DOTALL)


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_an_example_is_part_of_a_report(name: str, text: str) -> None:
    assert (
        f"\n{text}" in f"\n{made(name).decode()}"
        or text.rstrip("\n") + ",\n" in made(name).decode()
    ), "python -m tests.goldens, then the example"


def test_every_block_is_an_example_and_every_format_but_html_has_one() -> None:
    assert DOCUMENT.count("```") == 2 * len(EXAMPLES)
    shown = {FILES[name][1] for name, _ in EXAMPLES}
    assert shown == set(FORMATS) - {"html"}


def test_every_format_has_its_chapter() -> None:
    chapters = {line.removeprefix("## ") for line in DOCUMENT.splitlines() if line[:3] == "## "}
    assert {"Text", "JSON Lines", "SARIF", "JUnit", "HTML"} <= chapters
    assert "|".join(FORMATS) in DOCUMENT


def test_the_limits_are_those_of_the_program() -> None:
    text = " ".join(DOCUMENT.split())
    assert f"{report_html.MOST_OF_A_CHECK} findings of a check, {report_html.MOST} in all" in text
    assert f"lists its findings, at most {report_junit.MOST}" in text
