# SPDX-License-Identifier: Apache-2.0
"""`lockdown log --follow` and the filters, with a gate's text that grows below another root."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.gate_host import Host
from tests.cli.program import TIMEOUT_S, VERITY, assert_clean_error
from tests.denials import denial, text
from verity.formats.gate_status import Denial, Reason

DENIALS = "sys/fs/bpf/verity/denials"


def write(host: Host, *denials: Denial) -> None:
    """As the kernel: the text is there as a whole, and stays the same file."""
    host.put(DENIALS, text(*denials))


@contextmanager
def following(host: Host, *args: str) -> Iterator["subprocess.Popen[str]"]:
    # A shell ignores SIGINT in what it starts in the background, and so would we.
    argv: list[str | Path] = [
        "env",
        "--default-signal=INT",
        VERITY,
        "lockdown",
        "log",
        "--follow",
        "--root",
        ".",
        *args,
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=host.root, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def numbers(process: "subprocess.Popen[str]", count: int) -> list[int]:
    assert process.stdout is not None
    return [int(process.stdout.readline().split()[0]) for _ in range(count)]


def rest(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, out, err


def test_what_comes_is_shown_until_the_gate_goes(host: Host) -> None:
    write(host, denial(1), denial(2))
    with following(host) as process:
        assert numbers(process, 2) == [1, 2]
        write(host, denial(1), denial(2), denial(3))
        assert numbers(process, 1) == [3]
        (host.root / DENIALS).unlink()
        assert rest(process) == (
            0,
            "",
            "verity: note: the gate is gone: nothing is refused any more\n",
        )


def test_it_ends_with_an_interrupt(host: Host) -> None:
    write(host, denial(1))
    with following(host) as process:
        numbers(process, 1)
        process.send_signal(signal.SIGINT)
        assert rest(process) == (130, "", "verity: interrupted\n")


def test_what_is_lost_is_said(host: Host) -> None:
    write(host, denial(1))
    with following(host, "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["seq"] == 1
        write(host, denial(1), *map(denial, range(300, 556)))
        found = json.loads(process.stdout.readline())
        assert found == {"v": 1, "type": "lost", "first": 2, "last": 299, "number": 298}
        assert json.loads(process.stdout.readline())["seq"] == 300


def test_another_gate_begins_anew(host: Host) -> None:
    write(host, denial(1), denial(2), denial(3))
    with following(host, "--since", "2") as process:
        assert numbers(process, 1) == [3]
        # Another file in the same step, as a pin of another load.
        (host.root / "new").write_text(text(denial(1)))
        (host.root / "new").rename(host.root / DENIALS)
        assert numbers(process, 1) == [1]
        (host.root / DENIALS).unlink()
        assert "another gate was loaded" in rest(process)[2]


def test_without_a_gate_there_is_nothing_to_follow(host: Host) -> None:
    with following(host) as process:
        status, out, err = rest(process)
    assert (status, out) == (3, "")
    assert "denials: not there: no gate is loaded" in err


def test_a_text_that_is_hostile_ends_it(host: Host) -> None:
    write(host, denial(1))
    with following(host) as process:
        numbers(process, 1)
        host.put(DENIALS, "1 2 denied because\n")
        status, _, err = rest(process)
    assert status == 1
    assert "gate denials line 1" in err


MANY = (
    denial(1, path=b"/opt/tool"),
    denial(2, path=b"/opt/tools"),
    denial(3, path=b"/opt/tool/x", reason=Reason.NO_DIGEST),
    denial(4, path=None, reason=Reason.ANONYMOUS),
)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("--reason", "not-granted"), [1, 2]),
        (("--reason", "not-granted", "--reason", "anonymous"), [1, 2, 4]),
        (("--path", "/opt/tool"), [1, 3]),
        (("--path", "/opt/tool/"), [1, 3]),
        (("--path", "/"), [1, 2, 3]),
        (("--path", "/opt/tool", "--reason", "no-digest"), [3]),
        (("--since", "2"), [3, 4]),
        (("--since", "9"), []),
    ],
)
def test_the_filters(host: Host, args: tuple[str, ...], expected: list[int]) -> None:
    write(host, *MANY)
    done = host.verity("lockdown", "log", *args, "--json")
    assert [one["seq"] for one in done.records] == expected
    with following(host, *args) as process:
        assert numbers(process, len(expected)) == expected


def test_a_reason_that_there_is_not(host: Host) -> None:
    done = host.verity("lockdown", "log", "--reason", "allow")
    assert (done.status, done.out) == (2, "")
    assert_clean_error(done, ("--reason 'allow': the gate has no such reason",), hint=True)


def test_a_torn_line_is_not_shown(host: Host, tmp_path: Path) -> None:
    whole = text(denial(1), denial(3))
    host.put(DENIALS, whole + text(denial(2)).replace("\n", " torn\n"))
    done = host.verity("lockdown", "log", "--json")
    assert [one["seq"] for one in done.records] == [1, 3]
    assert "1 denials between these" in done.err
