# SPDX-License-Identifier: Apache-2.0
"""The ledger of unlocks: whole, broken, cut off, and where no disk takes it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.gate_host import Host
from tests.cli.keyring_world import good
from tests.cli.program import assert_clean_error
from tests.cli.unlock_world import ASK, calling, ledger, on
from verity.formats.ledger import MAX_SIZE

# --- the ledger


def written(sealed: Host, number: int = 4) -> Path:
    for _ in range(number):
        good(sealed.root, "unlock", "challenge", *ASK, "--root", ".")
    return sealed.root / "var/lib/verity/ledger"


def test_a_whole_ledger(sealed: Host) -> None:
    empty = on(sealed, "ledger", "verify")
    assert (empty.status, "whole: 0 entries" in empty.out) == (0, True)
    written(sealed)
    done = on(sealed, "ledger", "verify")
    assert (done.status, "whole: 4 entries" in done.out) == (0, True)
    assert "only a counter in a TPM sees that" in done.err
    shown = on(sealed, "ledger", "show")
    assert shown.out.count(" challenge scope path-prefix operand ") == 4


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


BROKEN: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "a line altered": (
        lambda lines: [lines[0], lines[1].replace(b'"clock_s":99', b'"clock_s":98'), *lines[2:]],
        "line 3 does not follow the line before it",
    ),
    "a line removed": (lambda lines: [lines[0], *lines[2:]], "line 2 is the entry 3"),
    "a line twice": (lambda lines: [lines[0], *lines], "line 2 is the entry 1"),
    "two lines swapped": (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1 is the entry 2"),
    "the end removed": (lambda lines: lines[:2], "it ends with entry 2, and had 4"),
    "all removed": (lambda lines: [], "it ends with entry 0, and had 4"),
    "cut in a line": (lambda lines: [*lines[:3], lines[3][:20]], "line 4 is cut off"),
    "the last altered": (
        lambda lines: [*lines[:3], lines[3].replace(b'"clock_s":99', b'"clock_s":98')],
        "entry 4 is another one than it was",
    ),
    "other spelling": (
        lambda lines: [*lines[:3], lines[3].replace(b",", b", ", 1)],
        "line 4: not in its canonical spelling",
    ),
    "an unknown event": (
        lambda lines: [*lines[:3], lines[3].replace(b'"challenge"', b'"picnic"')],
        "line 4: no entry: number 4, event 'picnic'",
    ),
    "no JSON": (lambda lines: [b"x\n", *lines[1:]], "line 1: not JSON"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_ledger(sealed: Host, name: str) -> None:
    change, words = BROKEN[name]
    path = written(sealed)
    path.write_bytes(b"".join(change(lines_of(path))))
    done = on(sealed, "ledger", "verify")
    assert done.status == 1
    assert words in done.out, done.out


def test_a_rollback_is_not_covered_up(sealed: Host) -> None:
    """Whoever writes next says what was found: the heads are new then, and would say nothing."""
    path = written(sealed, 3)
    path.write_bytes(b"".join(lines_of(path)[:1]))
    on(sealed, "challenge", *ASK)
    done = on(sealed, "ledger", "verify")
    assert done.status == 1
    assert "line 2 says: it ended with entry 1, and had 3" in done.out


def test_another_ledger_that_is_longer_is_not_covered_up(sealed: Host) -> None:
    """With what is left of the heads, the next line says that there was another one."""
    path = written(sealed, 3)
    kept = path.with_name("ledger.head").read_bytes()
    written(sealed, 2)
    lines = lines_of(path)
    lines[2] = lines[2].replace(b'"clock_s":99', b'"clock_s":98')
    path.write_bytes(b"".join(lines))
    path.with_name("ledger.head").write_bytes(kept)
    (sealed.root / "run/verity/ledger.head").unlink()
    written(sealed, 1)
    found = [entry["event"] for entry in ledger(sealed)]
    assert found == [*["challenge"] * 5, "broken", "challenge"]
    done = on(sealed, "ledger", "verify")
    assert done.status == 1
    assert "line 6 says: its entry 3 is another one than it was" in done.out


def test_a_head_that_is_damaged_is_not_covered_up(sealed: Host) -> None:
    path = written(sealed, 2)
    path.with_name("ledger.head").write_text("x")
    written(sealed, 1)
    assert [entry["event"] for entry in ledger(sealed)][2] == "broken"
    assert "ledger.head: ledger: its head is not" in str(ledger(sealed)[2]["why"])


def test_a_head_that_is_behind_is_no_break(sealed: Host) -> None:
    """Whoever wrote the last line was killed before the head."""
    path = written(sealed, 2)
    kept = path.with_name("ledger.head").read_bytes()
    written(sealed, 2)
    path.with_name("ledger.head").write_bytes(kept)
    written(sealed, 1)
    assert on(sealed, "ledger", "verify").status == 0


def test_a_ledger_that_is_too_large(sealed: Host) -> None:
    """Somebody has filled it, and it goes on all the same: there is a way out."""
    path = written(sealed, 1)
    os.truncate(path, MAX_SIZE + 1)
    done = on(sealed, "ledger", "verify")
    assert done.status == 3
    assert_clean_error(done, ("ledger: more than 67108864 bytes",), hint=True)
    assert "move it away with ledger.head" in done.err
    applied = calling(sealed, "relock", answers=(3000,))
    assert applied.status == 0 and "the ledger can't be" in applied.err


def test_a_line_that_a_crash_cut_off(sealed: Host) -> None:
    path = written(sealed, 2)
    path.write_bytes(path.read_bytes() + b'{"at":"20')
    on(sealed, "challenge", *ASK)
    done = on(sealed, "ledger", "verify")
    assert (done.status, "whole: 4 entries" in done.out) == (0, True)
    assert ledger(sealed)[2]["event"] == "torn"


def test_a_ledger_that_can_not_be_written_stops_nothing(desk_made: Path, sealed: Host) -> None:
    """The kernel's log has it then."""
    (sealed.root / "var").write_text("no directory")
    (sealed.root / "dev").mkdir()
    (sealed.root / "dev/kmsg").touch()
    done = calling(sealed, "apply", str(desk_made / "token"), answers=(3000,))
    assert done.status == 0, done.err
    assert "the ledger can't be written" in done.err
    said = (sealed.root / "dev/kmsg").read_text()
    assert '"event":"grant"' in said and '"scope":"path-prefix"' in said
