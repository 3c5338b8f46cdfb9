# SPDX-License-Identifier: Apache-2.0
"""Signing with a key in a token of SoftHSM, from a commit in an archive to what verifies it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import assert_clean_error, snapshot, stock, verity
from tests.cli.terminal import on_terminal
from tests.cli.worlds import REF, UNSIGNED_REF, World
from tests.hsm import MODULE, PIN, TOKEN, Hsm, public_der

SIGN = ("commit", "sign", "--repo=repo", "--stream=os", "--serial=9")
VERIFY = ("commit", "verify", "--repo=repo", "--key=hsm.pub", UNSIGNED_REF)


def write_public(hsm: Hsm, path: Path) -> None:
    """hsm.pub by the way of an operator: pkcs11-tool, openssl and `key import`."""
    (path / "der").write_bytes(public_der(hsm, "01"))
    given = ("-pubin", "-inform", "DER", "-in", "der", "-out", "exported")
    stock("openssl", "pkey", *given, cwd=path)
    done = verity("key", "import", "exported", "hsm.pub", cwd=path)
    assert done.status == 0, done.err


def test_a_commit_is_signed_and_verified(copied: Callable[[str], World], hsm: Hsm) -> None:
    world = copied("archive")
    write_public(hsm, world.path)
    done = verity(
        *(*SIGN, "--key", hsm.uri(), UNSIGNED_REF), cwd=world.path, environment=hsm.environment
    )
    assert (done.status, done.err) == (0, "")
    verified = verity(*VERIFY, cwd=world.path)
    assert (verified.status, verified.err) == (0, "")
    assert "is as signed" in verified.out
    by_another = (*VERIFY[:3], "--key=vendor.pem.pub", UNSIGNED_REF)
    assert verity(*by_another, cwd=world.path).status == 1
    stock("ostree", "--repo=repo", "fsck", "--quiet", cwd=world.path)


def test_the_pin_is_typed(copied: Callable[[str], World], hsm: Hsm) -> None:
    world = copied("archive")
    write_public(hsm, world.path)
    done = on_terminal(
        *(*SIGN, "--key", hsm.uri_to_ask(), UNSIGNED_REF),
        cwd=world.path,
        answers=[PIN],
        environment=hsm.environment,
    )
    assert done.status == 0, done
    assert f"PIN of {TOKEN}: " in done.screen
    assert PIN not in done.screen + done.out
    assert verity(*VERIFY, cwd=world.path).status == 0


def test_a_bundle_is_signed_by_a_token_and_an_encrypted_key(
    copied: Callable[[str], World], hsm: Hsm
) -> None:
    world = copied("archive")
    write_public(hsm, world.path)
    (world.path / "passphrase").touch(0o600)
    (world.path / "passphrase").write_text("correct horse battery\n")
    given = "--passphrase-file=passphrase"
    assert verity("key", "generate", "--encrypt", given, "ann.pem", cwd=world.path).status == 0
    prepare = ("sign", "prepare", "commit", "--repo=repo", "--stream=os", "--serial=9")
    assert verity(*prepare, "--output=b.sign", UNSIGNED_REF, cwd=world.path).status == 0
    for key in (("--key", hsm.uri()), ("--key=ann.pem", given)):
        add = ("sign", "add", "--yes", *key, "b.sign")
        done = verity(*add, cwd=world.path, environment=hsm.environment)
        assert (done.status, done.err) == (0, "")
    both = ("--key=hsm.pub", "--key=ann.pem.pub", "--threshold=2")
    attach = ("sign", "attach", "--repo=repo", *both, "b.sign")
    assert verity(*attach, cwd=world.path).status == 0
    verify = ("commit", "verify", "--repo=repo", *both, UNSIGNED_REF)
    assert verity(*verify, cwd=world.path).status == 0


def test_two_keys_of_a_token_sign_for_the_kernel(tmp_path: Path, hsm: Hsm) -> None:
    assert verity("key", "generate", "os.pem", cwd=tmp_path).status == 0
    args = ("keyring", "project", "--party=vendor", "--version=1", "--role=os=os.pem.pub")
    keys = ("--key", hsm.uri("id=%01"), "--key", hsm.uri("id=%02"))
    done = verity(*args, *keys, "v.keys", cwd=tmp_path, environment=hsm.environment)
    assert (done.status, done.err) == (0, "")
    assert "signed by 2 root keys" in done.out


def test_openssl_accepts_the_signature_for_the_kernel(tmp_path: Path, hsm: Hsm) -> None:
    (tmp_path / "data").write_bytes(b"data")
    out = ("--out-signature=p7s", "--key", hsm.uri(), "data")
    done = verity("digest", *out, cwd=tmp_path, environment=hsm.environment)
    assert (done.status, done.err) == (0, "")
    show = ("key", "show", hsm.uri_to_ask(), "--out-certificate=crt")
    assert verity(*show, cwd=tmp_path, environment=hsm.environment).status == 0
    signed = verity("digest", "--for-builtin-sig", "--compact", "data", cwd=tmp_path).out
    (tmp_path / "formatted").write_bytes(bytes.fromhex(signed))
    stock("openssl", "x509", "-inform", "DER", "-in", "crt", "-out", "pem", cwd=tmp_path)
    given = ("-inform", "DER", "-in", "p7s", "-content", "formatted", "-binary")
    trust = ("-certfile", "pem", "-noverify", "-out", "content")
    stock("openssl", "smime", "-verify", *given, *trust, cwd=tmp_path)


def test_to_show_a_key_asks_nothing(tmp_path: Path, hsm: Hsm) -> None:
    write_public(hsm, tmp_path)
    shown = verity("key", "show", hsm.uri_to_ask(), cwd=tmp_path, environment=hsm.environment)
    assert (shown.status, shown.err) == (0, "")
    lines = verity("key", "show", "hsm.pub", cwd=tmp_path).out.splitlines()
    assert shown.out.splitlines() == lines[:3]


@pytest.mark.parametrize(
    ("key", "status", "words"),
    [
        ("object=nobody", 3, f"token={TOKEN};object=nobody: no such private key"),
        ("object=twin", 3, "2 keys match"),
        ("object=p384", 1, "neither ECDSA P-256"),
        ("object=release;x=1", 2, "attribute 3 before the ?"),
    ],
)
def test_a_key_that_is_not_there(bare: World, hsm: Hsm, key: str, status: int, words: str) -> None:
    before = snapshot(bare.path)
    done = verity(*SIGN, "--key", hsm.uri(key), REF, cwd=bare.path, environment=hsm.environment)
    assert (done.status, done.out) == (status, "")
    assert_clean_error(done, (words,), hint=words.startswith(("token", "2", "attr")))
    assert snapshot(bare.path) == before


def test_a_wrong_pin_typed(bare: World, hsm: Hsm) -> None:
    done = on_terminal(
        *(*SIGN, "--key", hsm.uri_to_ask(), UNSIGNED_REF),
        cwd=bare.path,
        answers=["00000000"],
        environment=hsm.environment,
    )
    assert (done.status, done.out) == (3, "")
    assert "the token refuses the PIN" in done.screen
    assert "00000000" not in done.screen


def test_without_the_python_package(tmp_path: Path, hsm: Hsm) -> None:
    # What isn't installed is played by a package that fails to import as a missing one does.
    (tmp_path / "pkcs11.py").write_text("raise ImportError(name='pkcs11')\n")
    environment = {**hsm.environment, "PYTHONPATH": str(tmp_path)}
    args = ("digest", "--out-signature=p7s", "--key", hsm.uri(), "pkcs11.py")
    done = verity(*args, cwd=tmp_path, environment=environment)
    assert (done.status, done.out) == (3, "")
    assert_clean_error(done, ("python-pkcs11 is not installed",), hint=True)
    assert "fsverity-chain[hsm]" in done.err


def test_another_module_is_named_by_the_uri(tmp_path: Path, hsm: Hsm) -> None:
    link = tmp_path / "module.so"
    link.symlink_to(MODULE)
    args = ("key", "show", hsm.uri_to_ask(by=str(link)))
    assert verity(*args, cwd=tmp_path, environment=hsm.environment).status == 0
