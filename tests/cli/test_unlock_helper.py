# SPDX-License-Identifier: Apache-2.0
"""verity-unlock, for the rescue shell: what it prints and refuses, where no gate takes a call.

It runs with a status in the place of the kernel's. A token that is right goes as far as the call,
to which this kernel has no gate; that a gate takes it is for the test machines.
"""

import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.gate_host import Host
from tests.cli.program import Done, needs_root
from tests.cli.unlock_world import HOST, MORE, NONCE, challenge, seal
from verity.formats import records, typed_token
from verity.ports import gate_object
from verity.verbs import unlock_sign

pytestmark = needs_root

BINDS = 'mount --bind "$1" /sys/fs/bpf && mount --bind /dev/null /dev/kmsg && shift && exec "$@"'
NO_GATE = "verity-unlock: error: no gate answered to the token: Invalid argument"


@pytest.fixture(scope="module")
def page(desk_made: Path) -> str:
    """The token as it is typed."""
    (fragment,) = records.split((desk_made / "token").read_bytes(), label="token")
    return typed_token.page(unlock_sign.groups(fragment))


def command(host: Host, *args: str | Path) -> list[str | Path]:
    found = gate_object.find_loader()
    assert isinstance(found, gate_object.GateLoader), found
    helper = found.path.with_name("verity-unlock")
    return ["unshare", "-m", "sh", "-c", BINDS, "-", host.root / "sys/fs/bpf", helper, *args]


def helper(host: Host, *args: str | Path, typed: str = "") -> Done:
    done = subprocess.run(
        command(host, *args), input=typed.encode(), capture_output=True, timeout=60
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_the_challenge(sealed: Host) -> None:
    done = helper(sealed)
    assert (done.status, done.err) == (0, "")
    expected = f"boot_nonce {NONCE}\nhost_id {HOST}\npolicy_serial 3\nboot_clock_s 99\n"
    assert done.out == expected


def test_no_gate_and_no_host_id(host: Host) -> None:
    (host.root / "sys/fs/bpf").mkdir(parents=True)
    none = helper(host)
    assert (none.status, none.out) == (3, "")
    assert "status can't be read" in none.err and "  hint: no gate is loaded" in none.err
    seal(host, more=MORE.replace(HOST, "00" * 32))
    nobody = helper(host)
    assert (nobody.status, nobody.out) == (1, "")
    assert "the gate has no host id" in nobody.err


@pytest.mark.parametrize("how", ["file", "typed"])
def test_a_token_goes_to_the_gate(desk_made: Path, page: str, sealed: Host, how: str) -> None:
    args = [desk_made / "token"] if how == "file" else ["--typed"]
    done = helper(sealed, *args, typed="" if how == "file" else page)
    assert done.status == 3
    assert done.err.splitlines()[-2] == NO_GATE
    (fragment,) = records.split((desk_made / "token").read_bytes(), label="token")
    token_id = fragment.blob[48:64].hex()
    assert done.out == f"applying {token_id}\nrefused {token_id}\n"


BAD: dict[str, tuple[Callable[[str], str], str]] = {
    "a wrong character": (lambda page: page.replace("\n07  ", "\n07  U"), "line 7 (07...) has 21"),
    "cut": (lambda page: page[:200], "the line `end verity unlock` is missing"),
    "a challenge": (lambda page: challenge().decode(), "has "),
    "nothing": (lambda page: "", "there is no group in it"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_token(page: str, sealed: Host, name: str) -> None:
    change, words = BAD[name]
    done = helper(sealed, "--typed", typed=change(page))
    assert (done.status, done.out) == (1, "")
    assert words in done.err


def test_typed_on_a_terminal(page: str, sealed: Host) -> None:
    """A wrong group is asked for again, and nothing that was right is lost."""
    ours, theirs = pty.openpty()
    lines = page.splitlines()[1:-1]
    text = "\n".join((*lines[:3], lines[3][:-1], "7", *lines[3:], "")).encode()
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command(sealed, "--typed")],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        os.close(theirs)
        os.write(ours, text)
        _, err = program.communicate(timeout=60)
    os.close(ours)
    said = err.decode()
    assert program.returncode == 3, said
    assert "19 characters, expected 20: type or paste it again" in said
    assert "1 characters, expected 20" in said
    assert NO_GATE in said


def test_a_damaged_file(desk_made: Path, sealed: Host, tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes((desk_made / "token").read_bytes()[:-1])
    done = helper(sealed, tmp_path / "cut")
    assert (done.status, "cut: cut off, or no token" in done.err) == (1, True)
    gone = helper(sealed, tmp_path / "gone")
    assert (gone.status, "gone can't be opened" in gone.err) == (3, True)


@pytest.mark.parametrize(
    "args", [("--nonsense",), ("a", "b"), ("--typed", "x"), ("--relock", "x", "y")]
)
def test_usage(sealed: Host, args: tuple[str, ...]) -> None:
    done = helper(sealed, *args)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("usage: verity-unlock")
    assert helper(sealed, "--help").out.startswith("usage: verity-unlock")


def test_relock(sealed: Host) -> None:
    done = helper(sealed, "--relock", "xyz")
    assert (done.status, "xyz: no id" in done.err) == (1, True)
    for other in ("01" * 15, "01" * 16 + "0", "AB" * 16):
        assert helper(sealed, "--relock", other).status == 1
    gone = helper(sealed, "--relock", "01" * 16)
    assert (gone.status, "no gate answered to the relock" in gone.err) == (3, True)
