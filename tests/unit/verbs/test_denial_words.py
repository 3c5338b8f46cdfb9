# SPDX-License-Identifier: Apache-2.0
"""Each reason of the gate has a rule and a command, and an exception is offered where it helps."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.denials import denial
from verity.formats.escaped import shell_word
from verity.formats.gate_status import RING, Reason
from verity.verbs import denial_words
from verity.verbs.denial_words import EXCEPTIONS, RULES

REFUSALS = [reason for reason in Reason if not reason.allow]


def test_the_ring_is_the_gates() -> None:
    config = Path("policy/gate/config.h").read_text()
    assert f"#define VERITY_DENIALS_RING {RING}u\n" in config


@pytest.mark.parametrize("reason", REFUSALS)
def test_every_refusal_has_a_rule(reason: Reason) -> None:
    where, missing = RULES[reason]
    assert where and missing
    said = denial_words.rule(denial(1, reason=reason))
    assert said == f"{where}; missing: {missing}"


def test_rules_of_the_policy_are_lines_that_it_has() -> None:
    """What is said to be a line of the policy is one of the defaults'."""
    defaults = "".join(path.read_text() for path in Path("policy/rules").glob("*.toml"))
    for where, _ in RULES.values():
        found = re.fullmatch(r'policy (\[\[\w+\]\])(?: (to = "[\w-]+"))?', where)
        if found:
            assert found[1] in defaults, where
            assert (found[2] or "") in defaults, where
        else:
            assert "the same under every policy" in where


@pytest.mark.parametrize("reason", REFUSALS)
def test_the_commands(reason: Reason) -> None:
    first, *more = denial_words.commands(denial(7, reason=reason))
    assert first == "verity explain --denial 7"
    asks = any("exception request --denial 7" in command for command in more)
    assert asks is (reason in EXCEPTIONS)


@pytest.mark.parametrize(
    "path", [None, b"torn", b"/memfd:x", b"/opt/x (deleted)", b"/a/../b", b"//x", b"/x/"]
)
def test_what_is_no_file_gets_no_command_for_files(path: bytes | None) -> None:
    for reason in (Reason.NO_DIGEST, Reason.STALE):
        assert denial_words.commands(denial(7, reason=reason, path=path)) == (
            "verity explain --denial 7",
        )


@pytest.mark.parametrize(
    ("name", "word"),
    [
        (b"/opt/tool-1.2+a", "/opt/tool-1.2+a"),
        (b"/a b", r"$'/a\x20b'"),
        (b"/$(x)", "$'/$(x)'"),
        (b"/it's", r"$'/it\x27s'"),
        (b"/a\\nb", r"$'/a\x5cnb'"),
        (b"~x", "$'~x'"),
        (b"-x", "$'-x'"),
        (b"", "$''"),
    ],
)
def test_a_word_for_the_shell(name: bytes, word: str) -> None:
    assert shell_word(name) == word


@pytest.mark.parametrize("byte", [*range(1, 47), *range(58, 65), 92, 96, 124, 126, 127, 128, 255])
def test_a_shell_takes_it_for_these_bytes(byte: int) -> None:
    """bash itself, for each byte that means something to it or is no letter."""
    name = b"/a" + bytes((byte,)) + b"b"
    done = subprocess.run(
        ["bash", "-c", f"printf %s {shell_word(name)}"], capture_output=True, check=True
    )
    assert done.stdout == name
