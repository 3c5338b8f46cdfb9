# SPDX-License-Identifier: Apache-2.0
"""verity key: algorithms, passphrases typed and from files, fingerprints, import."""

import os
import stat
from pathlib import Path

import pytest

from tests.cli.program import assert_clean_error, snapshot, stock, verity
from tests.cli.terminal import on_terminal
from tests.cli.worlds import UNSIGNED_REF, World

PASSPHRASE = "correct horse battery"
SIGN = ("commit", "sign", "--repo=repo", "--stream=os", "--serial=9")


def passphrase_file(path: Path, text: str = f"{PASSPHRASE}\n", mode: int = 0o600) -> None:
    (path / "passphrase").write_text(text)
    (path / "passphrase").chmod(mode)


@pytest.mark.parametrize(
    ("name", "algorithm", "kind"),
    [("p256", "ecdsa-p256", "EC"), ("ed25519", "ed25519", "ED25519"), ("rsa", "rsa", "RSA")],
)
def test_generate_each_algorithm(tmp_path: Path, name: str, algorithm: str, kind: str) -> None:
    done = verity("key", "generate", "--algorithm", name, "--json", "k", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    (record,) = done.records
    assert record["algorithm"] == algorithm
    assert record["example"] is False
    assert ("ostree" in record) is (name == "ed25519")
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    assert stock("openssl", "pkey", "-in", "k", "-pubout", cwd=tmp_path) == record["public_key"]


def test_ostrees_form_of_a_key(tmp_path: Path) -> None:
    assert verity("key", "generate", "--algorithm=ed25519", "k", cwd=tmp_path).status == 0
    for name in ("k", "k.pub"):
        done = verity("key", "show", "--ostree", name, cwd=tmp_path)
        assert (done.status, done.err) == (0, "")
        raw = stock(
            "sh",
            "-c",
            "openssl pkey -in k -pubout -outform DER | tail -c 32 | base64",
            cwd=tmp_path,
        )
        assert done.out == raw
    assert f"ostree     {raw}" in verity("key", "show", "k", cwd=tmp_path).out
    (tmp_path / "ostree").write_text(raw)
    assert verity("key", "import", "ostree", "again.pub", cwd=tmp_path).status == 0
    assert (tmp_path / "again.pub").read_bytes() == (tmp_path / "k.pub").read_bytes()


def test_the_fingerprint_is_what_openssl_computes(bare: World) -> None:
    shown = verity("key", "show", "vendor.pem.pub", cwd=bare.path).out
    command = "openssl pkey -pubin -in vendor.pem.pub -outform DER | openssl dgst -sha256 -binary"
    expected = stock("sh", "-c", f"{command} | base64", cwd=bare.path)
    assert f"spki       sha256//{expected}" in shown


def test_a_passphrase_is_typed_twice_and_then_asked_for(world: World) -> None:
    made = on_terminal(
        "key", "generate", "--encrypt", "k", cwd=world.path, answers=[PASSPHRASE, PASSPHRASE]
    )
    assert made.status == 0
    assert made.screen.count(": ") == 2
    assert "new passphrase: " in made.screen
    assert PASSPHRASE not in made.screen + made.out
    assert (world.path / "k").read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    signed = on_terminal(*(*SIGN, "--key", "k", UNSIGNED_REF), cwd=world.path, answers=[PASSPHRASE])
    assert signed.status == 0, signed
    assert "passphrase of k: " in signed.screen
    assert PASSPHRASE not in signed.screen + signed.out
    verify = ("commit", "verify", "--repo=repo", "--key=k.pub", UNSIGNED_REF)
    assert verity(*verify, cwd=world.path).status == 0


@pytest.mark.parametrize(
    ("answers", "words", "status"),
    [
        ([PASSPHRASE, "correct horse batterie"], "the two passphrases differ", 2),
        (["short", "short"], "a passphrase of 5 bytes, expected at least 12", 1),
        (["", ""], "the passphrase: expected one line of 1 to", 1),
    ],
)
def test_a_passphrase_that_is_not_taken(
    tmp_path: Path, answers: list[str], words: str, status: int
) -> None:
    done = on_terminal("key", "generate", "--encrypt", "k", cwd=tmp_path, answers=answers)
    assert (done.status, done.out) == (status, "")
    assert words in done.screen
    assert os.listdir(tmp_path) == []


def test_an_end_of_input_at_the_prompt(tmp_path: Path) -> None:
    done = on_terminal("key", "generate", "--encrypt", "k", cwd=tmp_path, answers=["\x04"])
    assert done.status == 2
    assert "no secret was typed" in done.screen
    assert os.listdir(tmp_path) == []


def test_what_is_typed_is_no_text(tmp_path: Path) -> None:
    typed = os.fsdecode(b"caf\xe9 and more, long enough")
    done = on_terminal("key", "generate", "--encrypt", "k", cwd=tmp_path, answers=[typed])
    assert (done.status, done.out) == (2, "")
    assert "no text in the terminal's encoding" in done.screen
    assert "0xe9" not in done.screen
    assert os.listdir(tmp_path) == []


def test_a_wrong_passphrase_typed(bare: World) -> None:
    before = snapshot(bare.path)
    done = on_terminal(
        *(*SIGN, "--key", "encrypted.pem", UNSIGNED_REF), cwd=bare.path, answers=["wrong horse"]
    )
    assert (done.status, done.out) == (3, "")
    assert "encrypted.pem: the passphrase doesn't open the private key" in done.screen
    assert "wrong horse" not in done.screen
    assert snapshot(bare.path) == before


def test_a_passphrase_from_a_file(world: World) -> None:
    passphrase_file(world.path)
    given = ("--passphrase-file", "passphrase")
    assert verity("key", "generate", "--encrypt", *given, "k", cwd=world.path).status == 0
    shown = verity("key", "show", *given, "k", cwd=world.path)
    public = verity("key", "show", "k.pub", cwd=world.path)
    assert shown.out.splitlines()[:3] == public.out.splitlines()[:3]
    assert verity(*SIGN, "--key", "k", *given, UNSIGNED_REF, cwd=world.path).status == 0


def test_two_signers_with_passphrases_of_their_own(world: World) -> None:
    options: list[str] = []
    for name in ("ann", "bob"):
        secret = world.path / f"{name}.secret"
        secret.write_text(f"the horse of {name}\n")
        secret.chmod(0o600)
        given = ("--encrypt", "--passphrase-file", secret.name)
        assert verity("key", "generate", *given, f"{name}.pem", cwd=world.path).status == 0
        options += ["--key", f"{name}.pem", "--passphrase-file", secret.name]
    assert verity(*SIGN, *options, UNSIGNED_REF, cwd=world.path).status == 0
    two = ("--passphrase-file", "ann.secret", "--passphrase-file", "bob.secret")
    done = verity("key", "generate", "--encrypt", *two, "k", cwd=world.path)
    assert (done.status, (world.path / "k").exists()) == (2, False)
    assert_clean_error(done, ("a new key has one passphrase",), hint=False)


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (("generate", "--encrypt", "k"), 2, "--encrypt: there is no terminal"),
        (("generate", "--passphrase-file=passphrase", "k"), 2, "without --encrypt"),
        (("generate", "--encrypt", "--passphrase-file=-", "k"), 2, "standard input"),
        (("generate", "--encrypt", "--passphrase-file=none", "k"), 3, "none: does not exist"),
        (("show", "encrypted.pem"), 3, "encrypted.pem: the private key is encrypted"),
        (("show", "--ostree", "vendor.pem.pub"), 1, "OSTree's own form is of ed25519"),
        (("show", "nowhere.pem"), 3, "nowhere.pem: does not exist"),
        (("import", "garbage.pub", "k"), 1, "garbage.pub: no form of a public key"),
        (("import", "garbage.pem", "k"), 1, "garbage.pem: not a private key"),
        (("import", "encrypted.pem", "k"), 3, "encrypted.pem: the private key is encrypted"),
        (("import", "p384.pem.pub", "k"), 1, "p384.pem.pub: neither ECDSA P-256"),
        (("import", "vendor.pem", "other.pem"), 3, "other.pem: exists already"),
        (("import", "vendor.pem.pub", "other.pem.pub"), 3, "other.pem.pub: exists already"),
    ],
)
def test_refused(bare: World, args: tuple[str, ...], status: int, words: str) -> None:
    before = snapshot(bare.path)
    done = verity("key", *args, cwd=bare.path)
    assert (done.status, done.out) == (status, "")
    assert words in done.err.splitlines()[0]
    assert snapshot(bare.path) == before


def test_ostrees_form_is_no_json(bare: World) -> None:
    done = verity("key", "show", "--ostree", "--json", "ed25519.pem.pub", cwd=bare.path)
    assert done.status == 2
    assert done.records[0]["message"] == "only one of --ostree and --json"


def test_a_passphrase_file_that_others_can_read(bare: World, tmp_path: Path) -> None:
    passphrase_file(tmp_path, mode=0o640)
    given = ("--passphrase-file", str(tmp_path / "passphrase"))
    done = verity("key", "show", *given, "encrypted.pem", cwd=bare.path)
    assert (done.status, done.out) == (3, "")
    assert_clean_error(done, ("has mode 0640, expected 0600",), hint=True)
    assert PASSPHRASE not in done.err


def test_import_of_a_certificate(world: World) -> None:
    stock(
        *("openssl", "req", "-x509", "-key", "vendor.pem", "-subj", "/CN=x", "-out", "crt"),
        cwd=world.path,
    )
    shown = verity("key", "show", "crt", cwd=world.path)
    expected = verity("key", "show", "vendor.pem.pub", cwd=world.path).out.splitlines()[:3]
    assert shown.out.splitlines()[:3] == expected
    done = verity("key", "import", "crt", "new.pub", cwd=world.path)
    assert (done.status, done.err) == (0, "")
    assert (world.path / "new.pub").read_bytes() == (world.path / "vendor.pem.pub").read_bytes()
    stock("openssl", "x509", "-in", "crt", "-outform", "DER", "-out", "der", cwd=world.path)
    assert verity("key", "import", "der", "newer.pub", cwd=world.path).out.endswith("newer.pub\n")


def test_import_of_a_private_key(world: World) -> None:
    done = verity("key", "import", "vendor.pem", "new.pem", cwd=world.path)
    assert (done.status, done.err) == (0, "")
    for name in (".pem", ".pem.pub"):
        new, old = (world.path / f"{stem}{name}" for stem in ("new", "vendor"))
        assert new.read_bytes() == old.read_bytes()
        assert stat.S_IMODE(new.stat().st_mode) == stat.S_IMODE(old.stat().st_mode)
    assert "PRIVATE" not in done.out
