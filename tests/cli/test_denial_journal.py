# SPDX-License-Identifier: Apache-2.0
"""`lockdown journal` with a socket in journald's place; journald itself: tests/vm."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.gate_host import Host
from tests.cli.program import TIMEOUT_S, VERITY, assert_clean_error, snapshot
from tests.denials import denial, text
from verity.formats.gate_status import Act, Denial, Reason
from verity.ports.journal import SOCKET

BOOT = "0123456789abcdef0123456789abcdef"
STATE = ("--state", "state")


class Journald:
    """Datagrams as fields."""

    def __init__(self, listening: socket.socket) -> None:
        self._socket = listening

    def next(self) -> dict[str, str]:
        """The next entry, waited for."""
        data = self._socket.recv(2**17)
        assert data.endswith(b"\n")
        return dict(line.split("=", 1) for line in data.decode()[:-1].split("\n"))

    def all(self) -> list[dict[str, str]]:
        """What is there."""
        found = []
        self._socket.setblocking(False)
        try:
            while True:
                found.append(self.next())
        except BlockingIOError:
            self._socket.settimeout(TIMEOUT_S)
            return found


@pytest.fixture
def journald(host: Host) -> Iterator[Journald]:
    host.put("proc/sys/kernel/random/boot_id", "01234567-89ab-cdef-0123-456789abcdef\n")
    place = host.root / SOCKET
    place.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        folder = os.open(place.parent, os.O_PATH)
        listening.bind(f"/proc/self/fd/{folder}/{place.name}")
        os.close(folder)
        listening.settimeout(TIMEOUT_S)
        yield Journald(listening)


def write(host: Host, *denials: Denial) -> None:
    host.put("sys/fs/bpf/verity/denials", text(*denials))


def once(host: Host) -> str:
    done = host.verity("lockdown", "journal", "--once", *STATE)
    assert (done.status, done.err) == (0, "")
    return done.out


def test_an_entry(host: Host, journald: Journald) -> None:
    write(host, denial(1, pid=9, uid=33, comm=b"a\nPRIORITY=0", path=b"/opt/\xe9'$(x)"))
    assert once(host) == "1 records written\n"
    (entry,) = journald.all()
    digest = bytes(range(32)).hex()
    gate = os.stat(host.root / "sys/fs/bpf/verity/denials")
    assert entry == {
        "MESSAGE": r"denied: exec of /opt/\xe9'$(x) by a\x0aPRIORITY=0 (pid 9, uid 33):"
        " not-granted: no signed grants name this digest. Next: verity lockdown exception request"
        " --denial 1 -o exception.json",
        "MESSAGE_ID": "8851ce94e3f04d51abd0cea4687c0a19",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "verity",
        "VERITY_RECORD": f"{BOOT}:{gate.st_dev:x}.{gate.st_ino:x}:1",
        "VERITY_KIND": "denial",
        "VERITY_HELD": "0",
        "VERITY_SEQ": "1",
        "VERITY_BOOT_MS": "10001",
        "VERITY_OUTCOME": "denied",
        "VERITY_REASON": "not-granted",
        "VERITY_ACT": "exec",
        "VERITY_RULE": 'policy [[reaction]] to = "not-granted"; missing: a code grant of this'
        " digest",
        "VERITY_NEXT": "verity explain --denial 1; verity lockdown exception request --denial 1"
        " -o exception.json",
        "VERITY_PID": "9",
        "VERITY_UID": "33",
        "VERITY_COMM": r"a\x0aPRIORITY=0",
        "VERITY_PATH": r"/opt/\xe9'$(x)",
        "VERITY_DIGEST": f"sha256:{digest}",
    }


@pytest.mark.parametrize(
    ("changes", "priority"),
    [
        ({}, "4"),
        ({"denied": False}, "5"),
        ({"reason": Reason.GATE_PIN, "act": Act.PIN, "path": None, "digest": None}, "3"),
    ],
)
def test_how_urgent_it_is(
    host: Host, journald: Journald, changes: dict[str, object], priority: str
) -> None:
    write(host, denial(1, **changes))
    once(host)
    assert journald.next()["PRIORITY"] == priority


def test_a_restart_tells_nothing_twice(host: Host, journald: Journald) -> None:
    write(host, denial(1))
    once(host)
    write(host, denial(1), denial(2, path=b"/opt/other"))
    assert once(host) == "1 records written\n"
    assert once(host) == "0 records written\n"
    assert [one["VERITY_SEQ"] for one in journald.all()] == ["1", "2"]


@contextmanager
def running(host: Host) -> Iterator["subprocess.Popen[str]"]:
    """The reader, which doesn't outlive a test that fails."""
    # A shell ignores SIGINT in what it starts in the background, and so would we.
    argv: list[str | Path] = [
        "env",
        "--default-signal=INT",
        VERITY,
        "lockdown",
        "journal",
        "--root",
        ".",
        *STATE,
    ]
    with subprocess.Popen(argv, cwd=host.root, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "status", "seqs"),
    [(signal.SIGTERM, 0, ["1", "2"]), (signal.SIGKILL, -9, ["1"]), (signal.SIGINT, 130, ["1"])],
)
def test_it_runs_until_it_is_ended(
    host: Host, journald: Journald, number: int, status: int, seqs: list[str]
) -> None:
    """With SIGTERM the counts are written; the others leave them for the next start."""
    write(host, denial(1), denial(2))
    with running(host) as process:
        assert journald.next()["VERITY_SEQ"] == "1"
        write(host, denial(1), denial(2), denial(3, path=b"/opt/other"))
        assert journald.next()["VERITY_SEQ"] == "3"
        process.send_signal(number)
        process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == status
    held = [one["VERITY_SEQ"] for one in journald.all()]
    assert held == seqs[1:]
    # Whatever ended it, nothing is missing and nothing there twice, but for what can't be known.
    host.verity("lockdown", "journal", "--once", *STATE)
    assert all("VERITY_AGAIN" in one for one in journald.all())


def test_it_ends_with_the_gate(host: Host, journald: Journald) -> None:
    write(host, denial(1), denial(2))
    with running(host) as process:
        assert journald.next()["VERITY_SEQ"] == "1"
        (host.root / "sys/fs/bpf/verity/denials").unlink()
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert "the gate is gone" in err
    assert journald.next()["VERITY_HELD"] == "1"


def test_no_journal(host: Host) -> None:
    host.put("proc/sys/kernel/random/boot_id", BOOT)
    write(host, denial(1))
    done = host.verity("lockdown", "journal", "--once", *STATE)
    assert (done.status, done.out) == (3, "")
    assert_clean_error(done, ("run/systemd/journal/socket: no such file",), hint=True)


@pytest.mark.parametrize(
    ("path", "content", "status", "words"),
    [
        ("proc/sys/kernel/random/boot_id", "x\n", 3, ("boot_id: 'x' is no id of a boot",)),
        ("sys/fs/bpf/verity/denials", "1\n", 1, ("gate denials line 1",)),
        ("sys/fs/bpf/verity/denials", None, 3, ("no gate is loaded",)),
    ],
)
def test_what_can_be_wrong(
    host: Host,
    journald: Journald,
    path: str,
    content: str | None,
    status: int,
    words: tuple[str, ...],
) -> None:
    write(host, denial(1))
    if content is None:
        (host.root / path).unlink()
    else:
        host.put(path, content)
    before = snapshot(host.root)
    done = host.verity("lockdown", "journal", "--once", *STATE)
    assert (done.status, done.out) == (status, "")
    assert_clean_error(done, words, hint=status != 3 or content is None)
    assert snapshot(host.root) == before
    assert journald.all() == []


def test_a_state_that_can_not_be_written(host: Host, journald: Journald) -> None:
    write(host, denial(1))
    done = host.verity("lockdown", "journal", "--once", "--state", "no/such/place")
    assert (done.status, done.out) == (3, "")
    assert_clean_error(done, ("no/such/place: does not exist",), hint=True)
    assert journald.all() == []


def test_the_message_is_one_line_of_plain_characters(host: Host, journald: Journald) -> None:
    write(host, denial(1, comm=b"\x1b[2J", path="/opt/\N{RIGHT-TO-LEFT OVERRIDE}x".encode()))
    once(host)
    assert re.fullmatch(r"[ -~]+", journald.next()["MESSAGE"])


def test_once_waits_for_no_number_that_never_comes(host: Host, journald: Journald) -> None:
    write(host, denial(1), denial(3, path=b"/opt/other"))
    assert once(host) == "3 records written\n"
    assert [one["VERITY_KIND"] for one in journald.all()] == ["denial", "lost", "denial"]


def test_json(host: Host, journald: Journald, tmp_path: Path) -> None:
    write(host, denial(1))
    done = host.verity("lockdown", "journal", "--once", *STATE, "--json")
    assert done.records == [{"v": 1, "type": "journal", "written": 1}]
