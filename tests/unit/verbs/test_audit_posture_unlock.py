# SPDX-License-Identifier: Apache-2.0
"""An audit of unlocks: this boot's by the gate, earlier ones by the ledger, the ledger itself."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests import tpm as tpms
from tests.unit.formats.test_gate_status import STATUS
from verity.formats import gate_status
from verity.formats.gate_status import GateStatus
from verity.formats.ledger import Entry, Event
from verity.ports import ledger, tpm_counter
from verity.ports.tpm_counter import TpmCounter
from verity.verbs import audit_posture_unlock
from verity.verbs.audit_host import AuditedHost
from verity.verbs.audit_said import Said

NOW = 1_800_000_000
DAY = 86400
BOOT, EARLIER = "5a" * 32, "77" * 32
IDS = ("01" * 16, "02" * 16, "04" * 16)


def grant(token: str, boot: str = BOOT, at: int = NOW, event: Event = Event.GRANT) -> Entry:
    texts = {"token": token, "scope": "session"}
    return Entry(event=event, at=at, boot=boot, clock_s=5, texts=texts)


def ask(root: Path, status: bytes | None, entries: Sequence[Entry] = ()) -> Said:
    if entries:
        ledger.append(root, entries)
    gate: GateStatus | None = None if status is None else gate_status.parse_status(status)
    said = Said()
    host = AuditedHost(root=root, live=True, now=NOW, clock=NOW)
    audit_posture_unlock.examine(host, gate, said)
    return said


def found(said: Said) -> list[tuple[str, str]]:
    return [(one.check, one.object) for one in said.findings]


LOCKED = b"".join(
    line
    for line in STATUS.splitlines(keepends=True)
    if not line.startswith((b"unlock ", b"drill ", b"taint "))
)


def test_nothing_was_unlocked(tmp_path: Path) -> None:
    said = ask(tmp_path, LOCKED)
    assert (found(said), said.gaps, said.not_applicable) == ([], [], {})


def test_no_gate(tmp_path: Path) -> None:
    said = ask(tmp_path, None)
    assert (found(said), list(said.not_applicable)) == ([], ["posture-unlock"])


def test_each_unlock_of_this_boot(tmp_path: Path) -> None:
    said = ask(tmp_path, STATUS, [grant(token) for token in IDS])
    assert found(said) == [("posture-unlock", f"unlock {token}") for token in IDS]
    live, over, _ = said.findings
    assert live.problem == "is open now" and "relock" in live.remedy
    assert over.problem == "was open in this boot" and "relock" not in over.remedy
    assert "path-prefix /opt/a\\x20b, from second 101 to 1901 of this boot, expired" == over.found


def test_the_ledger_lacks_one(tmp_path: Path) -> None:
    said = ask(tmp_path, STATUS, [grant(IDS[0]), grant(IDS[2])])
    (one,) = [one for one in said.findings if one.check == "posture-unlock-ledger"]
    assert one.problem == f"it lacks 1 unlocks of this boot, the first {IDS[1]}"


@pytest.mark.parametrize(("age", "told"), [(0, True), (29, True), (31, False)])
def test_earlier_boots_are_told_for_a_month(tmp_path: Path, age: int, told: bool) -> None:
    earlier = grant(IDS[0], EARLIER, NOW - age * DAY)
    end = grant(IDS[0], EARLIER, NOW, Event.END)
    said = ask(tmp_path, LOCKED, [earlier, end])
    expected = [("posture-unlock-before", f"unlock {IDS[0]}")] if told else []
    assert found(said) == expected


def test_a_clock_that_was_set_back_hides_none(tmp_path: Path) -> None:
    """A line is no older than those before it."""
    before = grant(IDS[1], EARLIER, NOW - DAY, Event.REFUSED)
    said = ask(tmp_path, LOCKED, [before, grant(IDS[0], EARLIER, NOW - 90 * DAY)])
    assert found(said) == [("posture-unlock-before", f"unlock {IDS[0]}")]


@pytest.mark.parametrize("after", [None, Event.REFUSED, Event.GRANT, Event.DRILL])
def test_a_token_of_which_nobody_knows_what_came(tmp_path: Path, after: Event | None) -> None:
    """The power went behind the line that comes before the effect."""
    applied = replace(grant(IDS[0], EARLIER, NOW, Event.APPLY), numbers={"duration_s": 60})
    rest = [] if after is None else [grant(IDS[0], EARLIER, NOW, after)]
    said = ask(tmp_path, LOCKED, [applied, *rest])
    told = [one.problem.split(" in ")[0] for one in said.findings]
    expected = {None: ["was applied, and may have been open,"], Event.GRANT: ["was open"]}
    assert told == expected.get(after, [])


def test_a_ledger_that_was_changed(tmp_path: Path) -> None:
    ledger.append(tmp_path, [grant(token, EARLIER, NOW - 40 * DAY) for token in IDS])
    path = tmp_path / "var/lib/verity/ledger"
    path.write_bytes(path.read_bytes().replace(b'"clock_s":5', b'"clock_s":6', 1))
    said = ask(tmp_path, LOCKED)
    assert found(said) == [("posture-unlock-ledger", "var/lib/verity/ledger")]
    path.write_bytes(b"")
    (one,) = ask(tmp_path, LOCKED).findings
    assert "it ends with entry 0, and had 3" in one.problem


def test_a_ledger_that_a_tpm_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back it is a finding; what no TPM of ours counted is open."""
    with tpms.made() as tpm:
        tpm.start()
        tpm.stand_in(monkeypatch)
        TpmCounter().define()
        for _ in range(2):
            ledger.append(tmp_path, [grant(IDS[0], EARLIER, NOW - 40 * DAY)], TpmCounter())
        (gap,) = ask(tmp_path, LOCKED).gaps
        assert (gap.check, gap.object) == ("posture-unlock-ledger", "the TPM")
        monkeypatch.setattr(tpm_counter, "of", lambda _: TpmCounter())
        said = ask(tmp_path, LOCKED)
        assert (said.findings, said.gaps) == ([], [])
        TpmCounter().increment()
        said = ask(tmp_path, LOCKED)
        assert found(said) == [("posture-unlock-ledger", "var/lib/verity/ledger")]
        assert "the TPM counts 4, and its last number is 3" in said.findings[0].problem


def test_a_ledger_that_can_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "var/lib/verity/ledger").mkdir(parents=True)
    said = ask(tmp_path, LOCKED)
    assert found(said) == []
    assert {gap.check for gap in said.gaps} == {"posture-unlock-ledger", "posture-unlock-before"}
