# SPDX-License-Identifier: Apache-2.0
"""The man page is what the command line says, and typesets without a warning."""

import os
import shutil
import subprocess

import click
import pytest

from tests.quality import man
from tests.quality.click_tree import commands, parse

# Each as far as it is installed; `man` needs groff and brings its own way of calling it.
CHECKERS = {
    "man": ["man", "--warnings", "-l", str(man.PAGE)],
    "groff": ["groff", "-man", "-Tutf8", "-ww", str(man.PAGE)],
    "mandoc": ["mandoc", "-T", "lint", "-W", "error", str(man.PAGE)],
}


def test_the_committed_page_is_the_generated_one() -> None:
    assert man.PAGE.read_text() == man.page(), "write it anew: python -m tests.quality.man"


@pytest.mark.parametrize("program", CHECKERS)
def test_it_typesets_without_a_warning(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed; the page is compared all the same")
    done = subprocess.run(
        CHECKERS[program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, "MANWIDTH": "80", "MANPAGER": "cat", "LC_ALL": "C.UTF-8"},
        timeout=60,
    )
    complaints = done.stderr + (done.stdout if program == "mandoc" else b"")
    assert (done.returncode, complaints.decode()) == (0, "")


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
