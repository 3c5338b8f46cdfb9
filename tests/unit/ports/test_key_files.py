# SPDX-License-Identifier: Apache-2.0
"""Key files of every algorithm, encrypted and not, made, read and imported; and what is refused."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)

from tests.world import VENDOR
from verity.ports import key_files, keystore
from verity.ports.key_access import STRICT, KeyAccess
from verity.trust.keys import KeyAlgorithm
from verity.values.errors import CallerError, ContentError, HostError, VerityError

PASSPHRASE = b"correct horse battery"
PLAIN = VENDOR.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
ENCRYPTED = VENDOR.private.private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE)
)
ALL = tuple(one for one in KeyAlgorithm if one is not KeyAlgorithm.ECDSA)


def file(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def openssl(*args: str | Path) -> bytes:
    done = subprocess.run(["openssl", *args], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_file(path: Path, secret: bytes = PASSPHRASE, mode: int = 0o600) -> KeyAccess:
    return KeyAccess(passphrase_files=(file(path / "passphrase", secret, mode),))


def test_no_key_of_a_curve_that_is_only_read(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="only read"):
        key_files.generate(tmp_path / "k", KeyAlgorithm.ECDSA)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("algorithm", ALL)
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE], ids=["plain", "encrypted"])
def test_generate(tmp_path: Path, algorithm: KeyAlgorithm, passphrase: bytes | None) -> None:
    public = key_files.generate(tmp_path / "k", algorithm, passphrase=passphrase)
    assert public.algorithm is algorithm
    assert sorted(os.listdir(tmp_path)) == ["k", "k.pub"]
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    head = (tmp_path / "k").read_bytes().splitlines()[0]
    assert (b"ENCRYPTED" in head) == (passphrase is not None)
    assert (tmp_path / "k.pub").read_text() == public.pem
    access = STRICT if passphrase is None else with_file(tmp_path)
    signer = keystore.load_signer(str(tmp_path / "k"), access, algorithms=ALL)
    assert signer.public == public
    given = [] if passphrase is None else ["-passin", f"file:{tmp_path / 'passphrase'}"]
    assert openssl("pkey", "-in", tmp_path / "k", *given, "-pubout").decode() == public.pem
    # What another program says of the signature.
    (tmp_path / "data").write_bytes(b"data")
    (tmp_path / "signature").write_bytes(signer.sign(b"data"))
    how = ["-rawin"] if algorithm is KeyAlgorithm.ED25519 else ["-rawin", "-digest", "sha256"]
    files = ("-inkey", tmp_path / "k.pub", "-in", tmp_path / "data")
    said = openssl("pkeyutl", "-verify", "-pubin", *files, "-sigfile", tmp_path / "signature", *how)
    assert b"Verified Successfully" in said


def test_rsa_has_3072_bits(tmp_path: Path) -> None:
    key_files.generate(tmp_path / "k", KeyAlgorithm.RSA)
    key = load_pem_public_key((tmp_path / "k.pub").read_bytes())
    assert isinstance(key, rsa.RSAPublicKey)
    assert (key.key_size, key.public_numbers().e) == (3072, 65537)


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContentError) as caught:
        key_files.generate(tmp_path / "k", passphrase=b"11 letters.")
    assert caught.value.code == "bad-secret"
    assert "11 bytes, expected at least 12" in caught.value.message
    assert "letters" not in repr(caught.value)
    assert os.listdir(tmp_path) == []
    key_files.generate(tmp_path / "k", passphrase=b"12 letters..")


@pytest.mark.parametrize("secret", [PASSPHRASE, PASSPHRASE + b"\n", b"\xff\xfe not any text"])
def test_a_passphrase_from_a_file(tmp_path: Path, secret: bytes) -> None:
    access = with_file(tmp_path, secret)
    key_files.generate(tmp_path / "k", passphrase=secret.removesuffix(b"\n"))
    assert keystore.load_signer(str(tmp_path / "k"), access).sign(b"data")


def test_a_passphrase_that_is_asked_for(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(what: str) -> str:
        asked.append(what)
        return PASSPHRASE.decode()

    path = file(tmp_path / "k", ENCRYPTED)
    assert keystore.load_signer(str(path), KeyAccess(ask=ask)).public == VENDOR.public
    assert asked == [f"passphrase of {path}"]
    plain = file(tmp_path / "p", PLAIN)
    keystore.load_signer(str(plain), KeyAccess(ask=ask))
    assert len(asked) == 1  # a key without one asks nothing


def test_several_keys_with_passphrases_of_their_own(tmp_path: Path) -> None:
    for name in ("ann", "bob"):
        file(tmp_path / f"{name}.secret", f"the horse of {name}".encode())
        key_files.generate(tmp_path / name, passphrase=f"the horse of {name}".encode())
    secrets = tuple(tmp_path / f"{name}.secret" for name in ("ann", "bob"))
    for files in (secrets, secrets[::-1]):
        access = KeyAccess(passphrase_files=files)
        for name in ("ann", "bob"):
            signer = keystore.load_signer(str(tmp_path / name), access)
            assert signer.public == keystore.load_public(tmp_path / f"{name}.pub")
    key_files.generate(tmp_path / "zoe", passphrase=b"the horse of zoe")
    with pytest.raises(HostError) as caught:
        keystore.load_signer(str(tmp_path / "zoe"), KeyAccess(passphrase_files=secrets))
    assert caught.value.code == "wrong-passphrase"
    assert "none of 2 passphrases opens the private key" in caught.value.message
    assert "horse" not in repr(caught.value)


def test_a_passphrase_file_that_others_can_read_is_refused_among_others(tmp_path: Path) -> None:
    good, bad = file(tmp_path / "g", b"a good passphrase"), file(tmp_path / "b", b"x" * 12, 0o644)
    key_files.generate(tmp_path / "k", passphrase=b"another passphrase")
    with pytest.raises(HostError) as caught:
        keystore.load_signer(str(tmp_path / "k"), KeyAccess(passphrase_files=(good, bad)))
    assert caught.value.code == "secret-exposed"


def test_what_openssl_encrypted_with_scrypt_is_read(tmp_path: Path) -> None:
    access = with_file(tmp_path)
    plain = file(tmp_path / "plain", PLAIN)
    given = ("-passout", f"file:{access.passphrase_files[0]}")
    openssl("pkcs8", "-topk8", "-scrypt", "-in", plain, "-out", tmp_path / "k", *given)
    (tmp_path / "k").chmod(0o600)
    assert keystore.load_signer(str(tmp_path / "k"), access).public == VENDOR.public


@pytest.mark.parametrize(
    ("secret", "mode", "code", "words"),
    [
        (b"another passphrase", 0o600, "wrong-passphrase", "doesn't open the private key"),
        (PASSPHRASE + b"\n\n", 0o600, "bad-secret", "expected one line"),
        (PASSPHRASE + b" ", 0o600, "wrong-passphrase", "doesn't open the private key"),
        (b"", 0o600, "bad-secret", "expected one line"),
        (b"x" * 1025, 0o600, "too-large", "more than 1024 bytes"),
        (b"x" * 1024, 0o600, "bad-secret", "1 to 1023 bytes"),
        (PASSPHRASE, 0o604, "secret-exposed", "mode 0604, expected 0600"),
        (PASSPHRASE, 0o620, "secret-exposed", "mode 0620, expected 0600"),
        (PASSPHRASE, 0o640, "secret-exposed", "mode 0640, expected 0600"),
    ],
)
def test_a_passphrase_that_is_refused(
    tmp_path: Path, secret: bytes, mode: int, code: str, words: str
) -> None:
    access = with_file(tmp_path, secret, mode)
    with pytest.raises(VerityError) as caught:
        keystore.load_signer(str(file(tmp_path / "k", ENCRYPTED)), access)
    assert caught.value.code == code
    assert words in caught.value.message
    if secret:
        assert secret.decode() not in repr(caught.value)


def test_a_passphrase_from_standard_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="can't come from standard input"):
        keystore.load_signer(
            str(file(tmp_path / "k", ENCRYPTED)), KeyAccess(passphrase_files=(Path("-"),))
        )


def test_nobody_to_ask(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        keystore.load_signer(str(file(tmp_path / "k", ENCRYPTED)))
    assert caught.value.code == "key-encrypted"
    assert "--passphrase-file" in (caught.value.hint or "")


def test_a_kind_that_the_caller_did_not_want(tmp_path: Path) -> None:
    key_files.generate(tmp_path / "k")
    with pytest.raises(ContentError, match="ecdsa-p256, expected ed25519 or rsa"):
        keystore.load_signer(
            str(tmp_path / "k"), algorithms=(KeyAlgorithm.RSA, KeyAlgorithm.ED25519)
        )


def test_import_of_a_plain_key(tmp_path: Path) -> None:
    source = file(tmp_path / "source", PLAIN)
    public = key_files.import_private(source, tmp_path / "k", STRICT)
    assert public == VENDOR.public
    assert (tmp_path / "k").read_bytes() == PLAIN
    assert (tmp_path / "k.pub").read_text() == public.pem
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600


def test_import_of_an_encrypted_key_keeps_it_as_it_is(tmp_path: Path) -> None:
    access = with_file(tmp_path)
    source = file(tmp_path / "source", ENCRYPTED)
    assert key_files.import_private(source, tmp_path / "k", access) == VENDOR.public
    assert (tmp_path / "k").read_bytes() == ENCRYPTED
    assert keystore.load_signer(str(tmp_path / "k"), access).public == VENDOR.public


SEC1 = VENDOR.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
SSH = VENDOR.private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
P384 = ec.derive_private_key(7, ec.SECP384R1()).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)


@pytest.mark.parametrize(
    ("data", "mode", "code"),
    [
        (SEC1, 0o600, "bad-key"),
        (SSH, 0o600, "bad-key"),
        (P384, 0o600, "bad-key"),
        (PLAIN[:100], 0o600, "bad-key"),
        (PLAIN, 0o644, "key-exposed"),
        (ENCRYPTED, 0o600, "key-encrypted"),
    ],
    ids=["sec1", "openssh", "p384", "cut", "exposed", "encrypted"],
)
def test_what_is_not_imported(tmp_path: Path, data: bytes, mode: int, code: str) -> None:
    source = file(tmp_path / "source", data, mode)
    with pytest.raises(VerityError) as caught:
        key_files.import_private(source, tmp_path / "k", STRICT)
    assert caught.value.code == code
    assert str(source) in caught.value.message
    assert os.listdir(tmp_path) == ["source"]


@pytest.mark.parametrize("there", ["k", "k.pub"])
def test_import_overwrites_nothing(tmp_path: Path, there: str) -> None:
    source = file(tmp_path / "source", PLAIN)
    (tmp_path / there).write_text("somebody's")
    with pytest.raises(HostError) as caught:
        key_files.import_private(source, tmp_path / "k", STRICT)
    assert caught.value.code == "exists"
    assert sorted(os.listdir(tmp_path)) == sorted(["source", there])


def test_the_encryption_is_pbes2_with_aes_256(tmp_path: Path) -> None:
    key_files.generate(tmp_path / "k", passphrase=PASSPHRASE)
    said = openssl("asn1parse", "-in", tmp_path / "k").decode()
    for word in ("PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc"):
        assert word in said
