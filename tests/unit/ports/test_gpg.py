# SPDX-License-Identifier: Apache-2.0
"""What a gpg that fails becomes: a named condition, whatever it printed. Real gpg: tests/cli."""

import os
import subprocess
from pathlib import Path

import pytest

from verity.ports.gpg import GpgSigner
from verity.values.errors import HostError


def put(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A gpg that is this script."""
    program = directory / "gpg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")


def test_what_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, monkeypatch, f'echo "$@" >{tmp_path}/args; cat')
    assert GpgSigner("me", Path("home")).sign(b"\0data") == b"\0data"
    words = (tmp_path / "args").read_text().split()
    assert {"--batch", "--no-tty", "--detach-sign"} <= set(words)
    assert words[words.index("--homedir") + 1] == "home"
    assert words[words.index("--local-user") + 1] == "me"
    GpgSigner("me").sign(b"data")
    assert "--homedir" not in (tmp_path / "args").read_text()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("cat >&2; echo 'gpg: skipped: No secret key' >&2; exit 2", "gpg: skipped: No secret key"),
        ("cat >&2; exit 2", "no reason"),
        ("exit 0", "no reason"),
        ("printf '\\377bad' >&2; exit 1", "\ufffdbad"),
    ],
    ids=["no-key", "silent", "no-signature", "not-utf8"],
)
def test_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    put(tmp_path, monkeypatch, script)
    with pytest.raises(HostError) as caught:
        GpgSigner("me").sign(b"")
    assert caught.value.code == "gpg-failed"
    assert caught.value.message == f"gpg did not sign with 'me': {reason}"
    assert caught.value.hint


def test_without_gpg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError) as caught:
        GpgSigner("me").sign(b"data")
    assert caught.value.code == "no-gpg"
    assert caught.value.hint == "apt-get install gpg"


def test_a_gpg_that_waits_for_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(*args: object, **more: object) -> None:
        raise subprocess.TimeoutExpired("gpg", 1)

    monkeypatch.setattr("verity.ports.gpg.subprocess.run", wait)
    with pytest.raises(HostError) as caught:
        GpgSigner("me").sign(b"data")
    assert caught.value.code == "gpg-failed"
    assert "passphrase" in (caught.value.hint or "")


def test_a_user_id_is_no_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, monkeypatch, f'for one in "$@"; do echo "$one"; done >{tmp_path}/args; echo x')
    GpgSigner("--output=/etc/passwd").sign(b"")
    words = (tmp_path / "args").read_text().splitlines()
    assert words[words.index("--local-user") + 1] == "--output=/etc/passwd"
