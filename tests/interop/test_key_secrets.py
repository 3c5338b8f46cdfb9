# SPDX-License-Identifier: Apache-2.0
"""No secret comes out: every stream of runs that fail, and of some that don't, is searched."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Done, verity
from tests.cli.terminal import on_terminal
from tests.hsm import PIN, Hsm

PASSPHRASE = "korrektes-Pferd-Batterie"
WRONG = "falsches-Pferd-Batterie"
ARGUMENT_PIN = "90817263"
SIGN = ("digest", "--out-signature", "p7s", "data")
GENERATE = ("key", "generate", "--encrypt")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Keys, plain and encrypted, and files with secrets: right, wrong, open to others."""
    (tmp_path / "data").write_text("data")
    for name, text, mode in (
        ("right", f"{PASSPHRASE}\n", 0o600),
        ("wrong", f"{WRONG}\n", 0o600),
        ("open", f"{PASSPHRASE}\n", 0o644),
        ("lines", f"{PASSPHRASE}\n{PASSPHRASE}\n", 0o600),
        ("pin-open", f"{PIN}\n", 0o644),
        ("pin-lines", f"{PIN}\n{PIN}\n", 0o600),
        ("pin-wrong", f"{ARGUMENT_PIN}\n", 0o600),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    for args in (("plain.pem",), ("--encrypt", "--passphrase-file=right", "encrypted.pem")):
        assert verity("key", "generate", *args, cwd=tmp_path).status == 0
    for name in ("plain.pem", "encrypted.pem"):
        pem = (tmp_path / name).read_text()
        (tmp_path / f"exposed-{name}").write_text(pem)  # with the mode of any file
        cut = tmp_path / f"cut-{name}"
        cut.touch(0o600)
        cut.write_text("\n".join([*pem.splitlines()[:2], pem.splitlines()[-1], ""]))
    return tmp_path


def runs(place: Path, hsm: Hsm) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Command lines, each with the exit status that it should have."""
    yield 0, (*SIGN, "--key", "plain.pem")
    yield 0, ("key", "show", "plain.pem")
    yield 0, ("key", "show", "encrypted.pem", "--passphrase-file=right")
    yield 0, ("key", "import", "plain.pem", "imported.pem")
    for secret, status in (("wrong", 3), ("open", 3), ("lines", 1), ("data", 3), ("none", 3)):
        given = f"--passphrase-file={secret}"
        yield status, (*SIGN, "--key", "encrypted.pem", given)
        yield status, ("key", "show", "encrypted.pem", given)
        yield status, ("key", "import", "encrypted.pem", "new.pem", given)
    yield 3, (*GENERATE, "--passphrase-file=open", "new.pem")
    yield 1, (*GENERATE, "--passphrase-file=lines", "new.pem")
    yield 2, ("key", "generate", "--passphrase-file=right", "new.pem")
    yield 3, (*GENERATE, "--passphrase-file=right", "plain.pem")
    for name in ("exposed-plain.pem", "exposed-encrypted.pem"):
        yield 3, (*SIGN, "--key", name, "--passphrase-file=right")
        yield 3, ("key", "import", name, "new.pem", "--passphrase-file=right")
    yield 1, (*SIGN, "--key", "cut-plain.pem")
    yield 1, ("key", "show", "cut-plain.pem")
    yield 1, ("key", "show", "cut-encrypted.pem", "--passphrase-file=right")
    yield (
        1,
        ("commit", "verify", "--repo=repo", "--key=plain.pem", "ref"),
    )  # private as a public one
    # What `--key "$(cat plain.pem)"` does.
    yield 2, (*SIGN, "--key", (place / "plain.pem").read_text())
    uri = hsm.uri_to_ask()
    yield 2, (*SIGN, "--key", f"{uri}&pin-value={ARGUMENT_PIN}")
    yield 2, ("key", "show", f"{uri}&pin-value={ARGUMENT_PIN}")
    yield 2, (*SIGN, "--key", f"{uri}&{ARGUMENT_PIN}")
    yield 2, (*SIGN, "--key", f"{uri}&pin-source={ARGUMENT_PIN}")
    for name, status in (("pin-open", 3), ("pin-lines", 1), ("pin-wrong", 3), ("none", 3)):
        yield status, (*SIGN, "--key", hsm.uri(pin=place / name))
    yield 3, (*SIGN, "--key", hsm.uri("object=nobody"))
    yield 1, (*SIGN, "--key", hsm.uri("object=p384"))


def secrets(place: Path) -> list[bytes]:
    """Everything that must not come out, the private keys' base64 line by line too."""
    found = [secret.encode() for secret in (PASSPHRASE, WRONG, ARGUMENT_PIN, PIN)]
    for name in ("plain.pem", "encrypted.pem"):
        lines = (place / name).read_bytes().splitlines()[1:-1]
        found += [line[at : at + 12] for line in lines for at in range(0, len(line) - 12, 4)]
    command = ["openssl", "pkey", "-in", str(place / "plain.pem"), "-noout", "-text"]
    text = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    private = b"".join(text.partition(b"priv:")[2].partition(b"pub:")[0].split())
    number = private.replace(b":", b"")
    assert len(number) in (64, 66)
    return [*found, number[:24], number[-24:], str(int(number, 16)).encode()]


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_comes_out(place: Path, hsm: Hsm, form: str) -> None:
    hidden = secrets(place)
    count = 0
    for status, args in runs(place, hsm):
        (place / "p7s").unlink(missing_ok=True)
        more = ("--json",) if form == "json" else ()
        done: Done = verity(*args, *more, cwd=place, environment=hsm.environment)
        assert done.status == status, (args, done)
        for secret in hidden:
            assert secret not in done.raw_out + done.raw_err, args
        count += 1
    assert count > 30
    (place / "imported.pem").unlink()
    assert not (place / "new.pem").exists()


def test_nor_on_a_terminal(place: Path, hsm: Hsm) -> None:
    hidden = [secret.decode() for secret in secrets(place)]
    for args, answers, status in (
        ((*SIGN, "--key", "encrypted.pem"), [WRONG], 3),
        ((*SIGN, "--key", hsm.uri_to_ask()), [ARGUMENT_PIN], 3),
        ((*GENERATE, "new.pem"), [PASSPHRASE, WRONG], 2),
        ((*GENERATE, "new.pem"), [PASSPHRASE, PASSPHRASE], 0),
    ):
        done = on_terminal(*args, cwd=place, answers=answers, environment=hsm.environment)
        assert done.status == status, done
        for secret in hidden:
            assert secret not in done.screen + done.out
