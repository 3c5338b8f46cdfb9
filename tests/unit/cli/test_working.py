# SPDX-License-Identifier: Apache-2.0
"""How long work shows and ends: figures, and the two Ctrl-C."""

import os
import signal

import pytest

from verity.cli import working
from verity.verbs.enable import Target


def targets(*sizes: int) -> list[Target]:
    return [Target(label=str(size), open=lambda: -1, size=size) for size in sizes]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working.sys.stderr, "isatty", lambda: True, raising=False)  # type: ignore[attr-defined] # the module's own import


@pytest.mark.usefixtures("terminal")
def test_files_bytes_rate_and_time_left() -> None:
    work = working.Work("files", lambda: 0.0)
    all_of_them = targets(1_000_000, 2_000_000, 1_000_000, 2_000_000)
    work.hear(all_of_them, None)
    assert work.line(0) == ("0 of 4 files, 0.0 of 6.0 MB, 0 files/s, 0.0 MB/s, 0:00 left")
    for one in all_of_them[:2]:
        work.hear(all_of_them, one)
    assert work.line(90) == "2 of 4 files, 3.0 of 6.0 MB, 0 files/s, 0.0 MB/s, 1:30 left"
    assert work.line(2) == "2 of 4 files, 3.0 of 6.0 MB, 1 files/s, 1.5 MB/s, 0:02 left"


def test_without_a_terminal_nothing_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with working.Work("files", iter((1.0, 2.0, 3.0)).__next__) as work:
        for one in (None, *targets(1, 2)):
            work.hear(targets(1, 2), one)
    assert capfd.readouterr() == ("", "")


def test_the_first_interrupt_stops_and_the_second_ends(capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with working.stopping() as stop:
        assert not stop
        os.kill(os.getpid(), signal.SIGINT)
        assert stop
        assert "Ctrl-C again ends at once" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
