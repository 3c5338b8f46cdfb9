# SPDX-License-Identifier: Apache-2.0
"""The record of serials: one holder at a time, old or new, strict when read."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.ostree_world import refused
from verity.formats import serial_record
from verity.ports.serials import SerialRecord
from verity.values.errors import ContentError, HostError

ONE = bytes([1]) * 32
TYPE = f'"_type":"{serial_record.MEDIA_TYPE}"'
GIVEN = f'"given":[{{"serial":1,"statement":"{"01" * 32}"}}]'

# Another process that takes the lock, says so, and holds it until its input ends.
HOLD = """
import sys
import time
from pathlib import Path
from verity.ports.serials import SerialRecord
with SerialRecord.of_file(Path(sys.argv[1]), "s").locked() as book:
    print(len(book.given), flush=True)
    sys.stdin.read()
    book.given[max(book.given, default=0) + 1] = bytes(32)
"""


def test_what_was_given_is_there_again(tmp_path: Path) -> None:
    record = SerialRecord(tmp_path, ("a", "b"), "s.json", "s")
    with record.locked() as book:
        assert (book.given, book.is_new) == ({}, True)
        book.given[3] = ONE
    with record.locked() as book:
        assert (book.given, book.is_new) == ({3: ONE}, False)
    data = (tmp_path / "a/b/s.json").read_bytes()
    assert serial_record.parse(data, stream="s") == {3: ONE}
    assert sorted(os.listdir(tmp_path / "a/b")) == ["s.json", "s.json.lock"]


def test_nothing_given_is_nothing_written(tmp_path: Path) -> None:
    with SerialRecord.of_file(tmp_path / "s", "s").locked():
        pass
    assert os.listdir(tmp_path) == ["s.lock"]


def test_an_error_leaves_it_as_it_was(tmp_path: Path) -> None:
    record = SerialRecord.of_file(tmp_path / "s", "s")
    with record.locked() as book:
        book.given[1] = ONE
    with pytest.raises(KeyboardInterrupt), record.locked() as book:
        book.given[2] = ONE
        raise KeyboardInterrupt
    with record.locked() as book:
        assert book.given == {1: ONE}


def test_what_a_crash_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "s.tmp").write_bytes(b"half")
    with SerialRecord.of_file(tmp_path / "s", "s").locked() as book:
        book.given[1] = ONE
    assert serial_record.parse((tmp_path / "s").read_bytes(), stream="s") == {1: ONE}
    assert not (tmp_path / "s.tmp").exists()


def held(path: Path) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"0\n"
    return process


def test_another_process_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = held(tmp_path / "s")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            process.communicate(b"")

    monkeypatch.setattr(time, "sleep", wait)
    with SerialRecord.of_file(tmp_path / "s", "s").locked() as book:
        assert book.given == {1: bytes(32)}
    assert len(waits) == 3


def test_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = held(tmp_path / "s")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    record = SerialRecord.of_file(tmp_path / "s", "s")
    error = refused(HostError, "locked", lambda: record.locked().__enter__())
    assert f"{tmp_path / 's'}: held by another process for 30 s" in error.message
    process.communicate(b"")
    # A holder that is killed holds nothing.
    (tmp_path / "s").unlink()
    process = held(tmp_path / "s")
    process.kill()
    process.communicate()
    with record.locked() as book:
        assert book.given == {}


@pytest.mark.parametrize("name", ["s", "s.lock"])
def test_a_link_is_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    record = SerialRecord.of_file(tmp_path / "s", "s")
    refused(HostError, "is-symlink", lambda: record.locked().__enter__())
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "a").symlink_to("other")
    record = SerialRecord(tmp_path, ("a",), "s", "s")
    with pytest.raises(HostError):
        record.locked().__enter__()
    assert os.listdir(tmp_path / "other") == []


REFUSED = {
    "empty": ("", "not JSON"),
    "of another type": (f'{{"_type":"x",{GIVEN},"stream":"s"}}', "its _type is not"),
    "of another stream": (f'{{{TYPE},{GIVEN},"stream":"t"}}', "of the stream 't', expected 's'"),
    "without a stream": (f"{{{TYPE},{GIVEN}}}", "'stream' is missing"),
    "unknown field": (f'{{{TYPE},{GIVEN},"stream":"s","x":1}}', "unknown field 'x'"),
    "serial 0": (f'{{{TYPE},{GIVEN.replace(":1,", ":0,")},"stream":"s"}}', "the serial 0 after 0"),
    "a serial twice": (
        f'{{{TYPE},{GIVEN[:-1]},{GIVEN[9:]},"stream":"s"}}',
        "the serial 1 after 1: not sorted",
    ),
    "a short digest": (f'{{{TYPE},{GIVEN.replace("01" * 32, "01")},"stream":"s"}}', "SHA-256"),
    "a serial that is text": (f'{{{TYPE},{GIVEN.replace(":1,", ":true,")},"stream":"s"}}', "is a"),
    "too large": (" " * (serial_record.MAX_SIZE + 1), "at most 1048576"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_damaged_record(tmp_path: Path, name: str) -> None:
    text, reason = REFUSED[name]
    (tmp_path / "s").write_text(text)
    record = SerialRecord.of_file(tmp_path / "s", "s")
    error = refused(ContentError, "bad-document", lambda: record.locked().__enter__())
    assert error.message.startswith(f"{tmp_path / 's'}: record of serials: ")
    assert reason in error.message


def test_the_newest_are_kept() -> None:
    many = {number: ONE for number in range(1, serial_record.KEPT + 3)}
    data = serial_record.encode("s" * 63, many)
    assert len(data) < serial_record.MAX_SIZE
    assert sorted(serial_record.parse(data, stream="s" * 63)) == sorted(many)[2:]


def test_the_highest_serials_fit() -> None:
    top = serial_record.MAX_SERIAL
    many = {top - number: ONE for number in range(serial_record.KEPT)}
    assert serial_record.parse(serial_record.encode("s", many), stream="s") == many


def test_what_has_the_temporary_name_is_not_written_to(tmp_path: Path) -> None:
    """Who shares the directory can give another file of the signer's that name, too."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    os.link(victim, tmp_path / "s.tmp")
    with SerialRecord.of_file(tmp_path / "s", "s").locked() as book:
        book.given[1] = ONE
    assert victim.read_text() == "precious"
    assert serial_record.parse((tmp_path / "s").read_bytes(), stream="s") == {1: ONE}
    assert not (tmp_path / "s.tmp").exists()
