# SPDX-License-Identifier: Apache-2.0
"""Appends that a TPM counts: their numbers, a crash in the middle, two at once, no TPM any more."""

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tpm as tpms
from tests.tpm import Tpm
from verity.formats import ledger as formats
from verity.formats.ledger import Chain, Entry, Event
from verity.ports import ledger
from verity.ports.tpm_counter import TpmCounter
from verity.values.errors import HostError
from verity.verbs import ledger_compared

COUNTER = TpmCounter()
HEADS = ("var/lib/verity/ledger.head", "run/verity/ledger.head")


class Dies(TpmCounter):
    """Its process ends where the TPM would count."""

    def increment(self) -> None:
        os._exit(9)


@pytest.fixture
def tpm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tpm]:
    """A TPM with our counter, which has never counted."""
    with tpms.made() as made:
        made.start()
        made.stand_in(monkeypatch)
        COUNTER.define()
        yield made


@pytest.fixture
def root(tpm: Tpm, tmp_path: Path) -> Path:
    """With a ledger of one line, with the number 2."""
    assert append(tmp_path / "root") == ()
    return tmp_path / "root"


def append(root: Path, number: int = 1, counter: TpmCounter | None = COUNTER) -> tuple[str, ...]:
    root.mkdir(exist_ok=True)
    entry = Entry(event=Event.DRILL, at=1_800_000_000, boot="", clock_s=5)
    return ledger.append(root, [entry] * number, counter)


def copied(root: Path) -> Path:
    """All of it as it is now: ledger and heads."""
    return Path(shutil.copytree(root, root.with_name("copy")))


def numbers(chain: Chain) -> list[int | None]:
    return [one.numbers.get("counter") for one in chain.entries]


def whys(root: Path) -> list[str]:
    found = ledger.read(root).entries
    return [one.texts["why"] for one in found if one.event is Event.BROKEN]


def problems(root: Path) -> tuple[str, ...]:
    """What is wrong with it."""
    return ledger_compared.compare(ledger.read(root), COUNTER.read()).problems


def test_one_number_for_each_append(tpm: Tpm, root: Path) -> None:
    append(root, 2)
    append(root)
    chain = ledger.read(root)
    assert numbers(chain) == [2, 3, 3, 4]
    assert (chain.counter, chain.uncounted, tpm.value) == (4, 0, 4)
    assert problems(root) == ()


def test_a_text_is_no_number(root: Path) -> None:
    """Reasons are the challenger's own words."""
    says = {"reason": ',"counter":99,"event":"', "why": '\\,"counter":98,"'}
    entry = Entry(event=Event.CHALLENGE, at=1_800_000_000, boot="", clock_s=5, texts=says)
    ledger.append(root, [entry])
    data = (root / "var/lib/verity/ledger").read_bytes()
    assert formats.last_counter(data) == ledger.read(root).counter == 2
    assert formats.last_counter(b"") is None


def test_without_a_counter_nothing_counts(tpm: Tpm, tmp_path: Path) -> None:
    COUNTER.undefine()
    assert append(tmp_path) == append(tmp_path, counter=None) == ()
    chain = ledger.read(tmp_path)
    assert (numbers(chain), chain.counter, chain.uncounted) == ([None, None], None, 0)
    assert problems(tmp_path) == ()


def test_an_older_ledger_with_its_heads(tpm: Tpm, root: Path) -> None:
    """The heads are silent, as they are where no TPM counts; the TPM isn't, nor the next line."""
    older = copied(root)
    append(root)
    assert ledger.read(older).problems == ()
    said = "the TPM counts 3, and its last number is 2: it was rolled back, or cut"
    assert problems(older) == (said,)
    append(older)
    assert numbers(ledger.read(older)) == [2, 4, 4]
    assert whys(older) == [said]
    # The one that was taken away comes back: it is behind now.
    assert "the TPM counts 4, and its last number is 3" in problems(root)[0]


def test_without_a_tpm_that_is_not_found(tmp_path: Path) -> None:
    """The control."""
    append(tmp_path / "root", counter=None)
    older = copied(tmp_path / "root")
    append(tmp_path / "root", counter=None)
    append(older, counter=None)
    assert (ledger.read(older).problems, whys(older)) == ((), [])


def test_a_ledger_from_before_the_counter(tpm: Tpm, tmp_path: Path) -> None:
    append(tmp_path / "root", counter=None)
    older = copied(tmp_path / "root")
    append(tmp_path / "root")
    assert problems(tmp_path / "root") == ()
    assert "none here has a number: it was rolled back to before the counter" in problems(older)[0]
    append(older)
    assert "the TPM counts 2 entries, and none here has a number" in whys(older)[0]
    assert numbers(ledger.read(older)) == [None, 3, 3]


def test_killed_between_the_line_and_the_tpm(tpm: Tpm, root: Path) -> None:
    """The ledger is one ahead, and that is no finding; the next append makes it good."""
    child = multiprocessing.get_context("fork").Process(target=append, args=(root, 1, Dies()))
    child.start()
    child.join(30)
    assert child.exitcode == 9
    assert (numbers(ledger.read(root)), tpm.value) == ([2, 3], 2)
    assert problems(root) == ()
    append(root)
    assert (numbers(ledger.read(root)), tpm.value, whys(root)) == ([2, 3, 4], 4, [])


def test_two_ahead_is_another_machine(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        append(root)
    with tpms.made() as other:
        other.start()
        other.stand_in(monkeypatch)
        assert "the TPM has no counter: it was cleared, or this is another" in problems(root)[0]
        COUNTER.define()
        assert "the TPM has no counter" in problems(root)[0]
        COUNTER.increment()
        assert "the TPM counts 1, and its last number is 5" in problems(root)[0]
        append(root)
        assert numbers(ledger.read(root))[-2:] == [2, 2]
        assert whys(root) == [
            "the TPM counts 1, and its last number is 5: this is another machine's"
        ]


def test_a_tpm_that_was_cleared(tpm: Tpm, root: Path) -> None:
    """Lines go on without a number, and it is told, until a counter is there again."""
    tpm.tool("tpm2_clear", "-c", "p")
    assert "its last number is 2, and the TPM has no counter" in append(root)[0]
    assert "its last number is 2, and the TPM has no counter" in problems(root)[0]
    COUNTER.define()
    assert append(root) == ()
    assert numbers(ledger.read(root)) == [2, None, 4, 4]
    assert "the TPM has no counter" in whys(root)[0]


def test_a_tpm_that_is_gone_stops_nothing(tpm: Tpm, root: Path) -> None:
    tpm.stop()
    (note,) = append(root)
    assert note.startswith("the TPM can't count this (no TPM 2.0 answers)")
    chain = ledger.read(root)
    assert (numbers(chain), chain.counter, chain.uncounted) == ([2, None], 2, 1)
    with pytest.raises(HostError) as refused:
        COUNTER.read()
    found = ledger_compared.compare(chain, refused.value)
    assert (found.gap, found.value, found.problems) == (refused.value, None, ())
    # It is back: what stands between is covered by the next number.
    tpm.start()
    assert append(root) == ()
    assert (numbers(ledger.read(root)), problems(root)) == ([2, None, 3], ())


def test_a_tpm_that_goes_while_it_is_written(tpm: Tpm, root: Path) -> None:
    """The line is there before the TPM counts, and its number with it."""

    class Goes(TpmCounter):
        def increment(self) -> None:
            tpm.stop()
            super().increment()

    (note,) = append(root, 1, Goes())
    assert note == "the TPM has not counted this (no TPM 2.0 answers): the next entry will"
    tpm.start()
    assert (numbers(ledger.read(root)), problems(root)) == ([2, 3], ())
    assert append(root) == ()
    assert (tpm.value, problems(root)) == (4, ())


def test_several_at_once(tpm: Tpm, root: Path) -> None:
    """Each has a number of its own, in the order of the lines."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=append, args=(root, 2)) for _ in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 6
    assert numbers(ledger.read(root)) == [2, *(number for n in range(3, 9) for number in (n, n))]
    assert (tpm.value, problems(root)) == (8, ())


def test_a_broken_head_and_a_rollback_are_both_said(tpm: Tpm, root: Path) -> None:
    older = copied(root)
    append(root)
    (older / HEADS[0]).write_text("x")
    append(older)
    assert ["its head is not" in why for why in whys(older)] == [True, False]
    assert "the TPM counts 3" in whys(older)[1]
