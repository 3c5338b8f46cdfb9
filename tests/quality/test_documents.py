# SPDX-License-Identifier: Apache-2.0
"""What the documents tell people to type exists: verbs, options, make targets."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from tests.quality.click_tree import parse

DOCUMENTS = [Path("README.md"), *sorted(Path("docs").rglob("*.md"))]
PROMPT = re.compile(r"^(?:[$#] )?(?:sudo )?(?=(?:verity|make) )")


def code_lines(text: str) -> Iterator[str]:
    """The lines of fenced and indented code blocks; a backslash at the end joins two."""
    fenced = False
    before = ""
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
            continue
        if not fenced and not line.startswith("    "):
            continue
        line = before + line.strip()
        if line.endswith("\\"):
            before = line[:-1]
            continue
        before = ""
        yield line


def typed(text: str, program: str) -> list[str]:
    """What a reader would type for this program; what follows a pipe or a `&&` is left out."""
    found = []
    for line in code_lines(text):
        for command in re.split(r" (?:\||\|\||&&|>|2>|<)(?: |$)|; ", line):
            command = PROMPT.sub("", re.sub(r"\s+#\s.*", "", command).strip())
            if command.startswith(f"{program} "):
                found.append(command)
    return found


def commands(program: str) -> list[tuple[Path, str]]:
    return [(path, line) for path in DOCUMENTS for line in typed(path.read_text(), program)]


def test_commands_in_documents_parse() -> None:
    wrong = []
    for path, line in commands("verity"):
        try:
            parse(line)
        except click.UsageError as error:
            wrong.append(f"{path}: {line}: {error.message}")
    assert not wrong


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", Path("Makefile").read_text(), re.MULTILINE))


def test_make_targets_in_documents_exist() -> None:
    there = targets()
    for path in DOCUMENTS:
        text = path.read_text()
        named = {line.split()[1] for line in typed(text, "make")}
        named |= set(re.findall(r"`make ([a-z-]+)[^`]*`", text))
        assert named <= there, f"{path} names {named - there}"


def test_the_readme_names_the_two_commands() -> None:
    assert {"make demo", "make test"} <= set(typed(Path("README.md").read_text(), "make"))


def test_make_help_lists_every_target() -> None:
    text = Path("Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == targets()
    for target in targets() - {"help"}:
        assert re.search(rf"^{target}:.*## \S", text, re.MULTILINE), f"{target} says what it does"


def test_what_a_reader_types() -> None:
    text = (
        "verity not code\n```sh\n$ verity digest a \\\n  b | sort\n"
        "make x && sudo verity doctor  # why\n"
        "```\n\n    # verity measure c\n"
    )
    assert typed(text, "verity") == ["verity digest a b", "verity doctor", "verity measure c"]
    assert typed(text, "make") == ["make x"]
