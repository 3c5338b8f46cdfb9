# SPDX-License-Identifier: Apache-2.0
"""Records of denials: each once over a crash at any point, the first of each kind at once.

The journal and audit are played; the real ones are in tests/vm/test_denial_journal.py.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.denials import denial
from verity.formats import denial_state
from verity.formats.denial_state import MAX_KINDS
from verity.formats.gate_status import RING, Denial, Reason
from verity.values.errors import HostError
from verity.verbs.denial_records import WINDOW_MS, Writer
from verity.verbs.gate_view import Look

BOOT = "ab" * 16


class CrashedError(BaseException):
    """As SIGKILL: nothing of the process goes on."""


class Played:
    """A journal and audit that keep what they were sent, and end the sender at one point."""

    def __init__(self, crash_at: int = -1) -> None:
        self.entries: list[dict[str, str]] = []
        self.messages: list[dict[str, str]] = []
        self.answers = True
        self._left = crash_at

    def point(self) -> None:
        self._left -= 1
        if self._left == -1:
            raise CrashedError

    def send(self, entry: bytes) -> None:
        self.point()
        words = dict(line.split("=", 1) for line in entry.decode().splitlines())
        self.entries.append(words)
        self.point()

    def has(self, field: str, value: str) -> bool | None:
        if not self.answers:
            return None
        return any(entry.get(field) == value for entry in self.entries)


class PlayedAudit:
    def __init__(self, played: Played) -> None:
        self._played = played

    def send(self, message: bytes) -> None:
        self._played.point()
        words = message.decode().split()[1:]
        self._played.messages.append(dict(word.split("=", 1) for word in words))
        self._played.point()


def look(*denials: Denial, gate: str = "1.2") -> Look:
    return Look(gate=gate, denials=denials)


Make = Callable[[Played], Writer]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A new process with the same state."""

    def start(played: Played, *, boot: str = BOOT) -> Writer:
        return Writer(tmp_path / "state", boot, played, PlayedAudit(played), pytest.fail)

    return start


def numbers(played: Played) -> list[str]:
    """What was told: a number, HELDxN up to a number, or what is lost."""
    found = []
    for one in played.entries:
        kind, held = one["VERITY_KIND"], one["VERITY_HELD"]
        if kind == "lost":
            found.append(f"lost {one['VERITY_LOST_FIRST']}-{one['VERITY_LOST_LAST']}")
        else:
            found.append(one["VERITY_SEQ"] if kind == "denial" else f"{held}x{one['VERITY_SEQ']}")
    return found


def other(seq: int, **changes: object) -> Denial:
    """One of a kind of its own."""
    return denial(seq, path=b"/opt/%d" % seq, **changes)


def test_the_first_of_a_kind_at_once_and_the_others_counted(make: Make) -> None:
    played = Played()
    writer = make(played)
    writer.take(look(denial(1), denial(2), other(3), denial(4)), 0)
    assert numbers(played) == ["1", "3"]
    writer.take(look(denial(1), denial(2), other(3), denial(4)), WINDOW_MS - 1)
    assert numbers(played) == ["1", "3"]
    writer.take(look(denial(4), denial(5)), WINDOW_MS)
    assert numbers(played) == ["1", "3", "3x5"]
    # Still one that is going on; then quiet for a while, and so a first one again.
    writer.take(look(denial(6)), WINDOW_MS + 1)
    writer.take(look(denial(6)), 2 * WINDOW_MS)
    assert numbers(played)[3:] == ["1x6"]
    writer.take(look(denial(6)), 3 * WINDOW_MS)
    writer.take(look(denial(7)), 3 * WINDOW_MS)
    assert numbers(played)[4:] == ["7"]
    assert [one["seq"] for one in played.messages] == ["1", "3", "5", "6", "7"]


@pytest.mark.parametrize(
    "changes",
    [
        {"reason": Reason.NO_DIGEST},
        {"denied": False},
        {"path": b"/opt/tool2"},
        {"digest": None},
        {"path": None},
    ],
    ids=str,
)
def test_what_makes_another_kind(make: Make, changes: dict[str, object]) -> None:
    played = Played()
    make(played).take(look(denial(1), denial(2, **changes), denial(3, uid=9, pid=9)), 0)
    assert numbers(played) == ["1", "2"]


def test_without_a_file_the_program_makes_the_kind(make: Make) -> None:
    played = Played()
    memory = {"path": None, "digest": None, "reason": Reason.ANONYMOUS}
    several = [denial(n, comm=name, **memory) for n, name in enumerate((b"a", b"b", b"a"), 1)]
    make(played).take(look(*several), 0)
    assert numbers(played) == ["1", "2"]


def test_counts_are_written_at_the_end(make: Make) -> None:
    played = Played()
    writer = make(played)
    writer.take(look(denial(1), denial(2)), 0)
    writer.close(5)
    assert numbers(played) == ["1", "1x2"]
    # And the kind is still known after a restart.
    make(played).take(look(denial(1), denial(2), denial(3)), 10)
    assert numbers(played) == ["1", "1x2"]


def test_a_flood_of_kinds_loses_none(make: Make) -> None:
    played = Played()
    writer = make(played)
    count = MAX_KINDS + 40
    writer.take(look(denial(1), denial(2), *map(other, range(3, count))), 0)
    assert numbers(played)[0] == "1"
    assert [one for one in numbers(played)[1:] if "x" in one] == ["1x2"]
    assert [one for one in numbers(played)[1:] if "x" not in one] == list(map(str, range(3, count)))
    assert len(writer.state.kinds) == MAX_KINDS


def test_what_is_lost_is_a_record(make: Make) -> None:
    played = Played()
    make(played).take(look(other(1), *map(other, range(300, 300 + RING))), 0)
    assert numbers(played)[:3] == ["1", "lost 2-299", "300"]
    assert played.messages[1] == {
        "op": "lost",
        "rec": f"{BOOT}:1.2:2",
        "first": "2",
        "last": "299",
        "res": "failed",
    }


SCENE = look(denial(1), denial(2), other(3), denial(4), *map(other, range(300, 300 + RING - 250)))
TOLD = ["1", "3", "lost 5-299", "300", "301", "302", "303", "304", "305", "2x4"]
POINTS = 4 * len(TOLD)


def scene(writer: Writer) -> None:
    """Patience for the hole, then the end."""
    for now in range(4):
        writer.take(SCENE, now)
    writer.close(9)


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("point", range(POINTS))
def test_a_crash_at_any_point(make: Make, point: int, answers: bool) -> None:
    """The journal has each record once, and audit none too few. If the journal can't be asked, it
    has the one that was under way twice, and the second says so."""
    played = Played(crash_at=point)
    with pytest.raises(CrashedError):
        scene(make(played))
    played.answers = answers
    scene(make(played))
    again = [one for one in played.entries if "VERITY_AGAIN" in one]
    once = [one for one in numbers(played)]
    if again:
        assert not answers and len(again) == 1
        ids = [one["VERITY_RECORD"] for one in played.entries]
        twice = ids.index(again[0]["VERITY_RECORD"]) != played.entries.index(again[0])
        assert twice == (point % 4 == 3)
        if twice:
            del once[played.entries.index(again[0])]
    assert once == TOLD
    audited = [one["rec"] for one in played.messages]
    assert sorted(set(audited)) == sorted({one["VERITY_RECORD"] for one in played.entries})
    assert len(audited) - len(set(audited)) == (
        point % 4 in (1, 2) or (again != [] and point % 4 == 3)
    )


def test_the_points_are_all_there_are(make: Make) -> None:
    played = Played(crash_at=POINTS)
    scene(make(played))
    assert numbers(played) == TOLD


def test_another_gate_in_the_same_boot(make: Make) -> None:
    played = Played()
    make(played).take(look(denial(1), denial(2)), 0)
    make(played).take(look(denial(1), gate="1.3"), 1)
    assert numbers(played) == ["1", "1x2", "1"]
    assert [one["VERITY_RECORD"].split(":")[1:] for one in played.entries] == [
        ["1.2", "1"],
        ["1.2", "2"],
        ["1.3", "1"],
    ]


def test_another_boot_begins_anew(make: Callable[..., Writer]) -> None:
    played = Played()
    make(played).take(look(denial(1), denial(2)), 0)
    make(played, boot="cd" * 16).take(look(denial(1)), 1)
    assert numbers(played) == ["1", "1"]


def test_a_damaged_state_is_said_and_nothing_is_missed(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "state").write_bytes(b"{}")
    played = Played()
    Writer(tmp_path / "state", BOOT, played, None, told.append).take(look(denial(1)), 0)
    assert numbers(played) == ["1"]
    assert told == [
        f"{tmp_path}/state: state of the denials' records: the field '_type' is missing:"
        " what the gate still has is written again"
    ]


def test_audit_that_ends_leaves_the_journal(tmp_path: Path) -> None:
    class Refusing:
        def send(self, message: bytes) -> None:
            raise HostError("no-audit", "audit: not permitted")

    told: list[str] = []
    played = Played()
    writer = Writer(tmp_path / "state", BOOT, played, Refusing(), told.append)
    writer.take(look(denial(1), other(2)), 0)
    assert numbers(played) == ["1", "2"]
    assert told == ["audit: not permitted: from here on to the journal alone"]


def test_a_state_survives_its_own_encoding(make: Make) -> None:
    writer = make(Played())
    odd = {"path": b"/\xff\n", "comm": b"\x1b", "digest": None, "denied": False}
    writer.take(look(denial(1), denial(2, **odd), denial(3, path=None, digest=None)), 7)
    state, sending = denial_state.parse(denial_state.encode(writer.state, None))
    assert (state, sending) == (writer.state, None)
