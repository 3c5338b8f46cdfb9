# SPDX-License-Identifier: Apache-2.0
"""The man page is what the command line says, and typesets without a warning."""

import subprocess

import click
import pytest

from tests.quality import man
from tests.quality.click_tree import commands, parse


def test_the_committed_page_is_the_generated_one() -> None:
    assert man.PAGE.read_text() == man.page(), "write it anew: python -m tests.quality.man"


def test_it_typesets_without_a_warning() -> None:
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "error", str(man.PAGE)], capture_output=True, timeout=60
    )
    assert (done.returncode, (done.stdout + done.stderr).decode()) == (0, "")


def test_it_is_ascii() -> None:
    assert man.PAGE.read_bytes().isascii()


def test_every_verb_and_option_is_in_it() -> None:
    text = man.PAGE.read_text().replace("\\-", "-")
    for name, command in commands().items():
        if isinstance(command, click.Group):
            continue
        _, _, section = text.partition(f'.SS "{name}"\n')
        section = section.partition("\n.S")[0]
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert all(spelled in section for spelled in parameter.opts), (name, parameter.opts)


def test_the_commands_in_it_are_real() -> None:
    lines = [line.strip() for line in man.EXAMPLES.splitlines() if line.startswith("    verity ")]
    assert lines
    for line in lines:
        parse(line)


@pytest.mark.parametrize(
    ("plain", "written"),
    [
        ("a-b", "a\\-b"),
        (".x", "\\&.x"),
        ("\\xHH", "\\exHH"),
        ("it's", "it\\(aqs"),
    ],
)
def test_what_roff_would_take_for_its_own(plain: str, written: str) -> None:
    assert man.escape(plain) == written
