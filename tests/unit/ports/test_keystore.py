# SPDX-License-Identifier: Apache-2.0
"""Keys on disk: modes, nothing overwritten, nothing left behind, no secret in any message."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests.world import VENDOR
from verity.ports import key_files, keystore
from verity.ports.osfile import write_new_file
from verity.trust.keys import KeyAlgorithm
from verity.values.errors import CallerError, ContentError, HostError, VerityError

PLAIN = VENDOR.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
ENCRYPTED = VENDOR.private.private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"correct horse")
)


def key_file(path: Path, data: bytes = PLAIN, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_generate(tmp_path: Path) -> None:
    public = keystore.generate(tmp_path / "k")
    assert sorted(os.listdir(tmp_path)) == ["k", "k.pub"]
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    assert public.algorithm is KeyAlgorithm.P256
    assert keystore.load_public(tmp_path / "k.pub") == public
    signer = keystore.load_signer(str(tmp_path / "k"))
    assert signer.public == public
    assert public.verifies(signature=signer.sign(b"data"), data=b"data")
    assert not public.verifies(signature=signer.sign(b"data"), data=b"date")
    assert keystore.generate(tmp_path / "other") != public


@pytest.mark.parametrize("there", ["k", "k.pub"])
def test_generate_overwrites_nothing_and_leaves_nothing(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_bytes(b"somebody's")
    with pytest.raises(HostError) as caught:
        keystore.generate(tmp_path / "k")
    assert caught.value.code == "exists"
    assert os.listdir(tmp_path) == [there]
    assert (tmp_path / there).read_bytes() == b"somebody's"


def test_the_private_key_goes_away_whatever_stops_the_public_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def write(path: Path, data: bytes, *, mode: int) -> None:
        if path.suffix == ".pub":
            raise KeyboardInterrupt
        write_new_file(path, data, mode=mode)

    monkeypatch.setattr("verity.ports.key_files.write_new_file", write)
    with pytest.raises(KeyboardInterrupt):
        keystore.generate(tmp_path / "k")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("mode", [0o601, 0o604, 0o620, 0o640, 0o644, 0o666, 0o777])
def test_a_key_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path / "k", mode=mode)
    with pytest.raises(HostError) as caught:
        keystore.load_signer(str(path))
    assert caught.value.code == "key-exposed"
    assert f"mode {mode:04o}, expected 0600" in caught.value.message
    assert f"chmod 600 {path}" in (caught.value.hint or "")


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_a_key_of_its_owner_alone_is_taken(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path / "k", mode=mode)
    assert keystore.load_signer(str(path)).public == VENDOR.public


def test_uris(tmp_path: Path) -> None:
    path = key_file(tmp_path / "k")
    assert keystore.load_signer(f"file:{path}").public == VENDOR.public
    colon = key_file(tmp_path / "a:b")
    assert keystore.load_signer(str(colon)).public == VENDOR.public
    with pytest.raises(CallerError) as caught:
        keystore.load_signer("card:token=x")
    assert caught.value.code == "unknown-signer"


def pkcs8(make: Callable[[], object]) -> bytes:
    key = make()
    assert isinstance(
        key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
    )
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (ENCRYPTED, HostError, "key-encrypted"),
        (b"", ContentError, "bad-key"),
        (b"nonsense", ContentError, "bad-key"),
        (VENDOR.public.pem.encode(), ContentError, "bad-key"),
        (PLAIN[:100], ContentError, "bad-key"),
        (pkcs8(lambda: ec.derive_private_key(7, ec.SECP384R1())), ContentError, "bad-key"),
        (
            pkcs8(lambda: ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))),
            ContentError,
            "bad-key",
        ),
        (
            pkcs8(lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048)),
            ContentError,
            "bad-key",
        ),
        (b"x" * 70_000, HostError, "too-large"),
    ],
    ids=["encrypted", "empty", "text", "public", "cut", "p384", "ed25519", "rsa", "huge"],
)
def test_what_is_no_signing_key(
    tmp_path: Path, data: bytes, kind: type[VerityError], code: str
) -> None:
    path = key_file(tmp_path / "k", data)
    with pytest.raises(kind) as caught:
        keystore.load_signer(str(path))
    assert caught.value.code == code
    assert str(path) in caught.value.message
    error: BaseException | None = caught.value
    body = data.decode().split("-----")[2] if data.startswith(b"-----") else "?"
    while error is not None:  # nothing of the key in it, nor in what caused it
        for line in body.split():
            assert line[:16] not in repr(error)
        error = error.__cause__


def test_a_signing_key_does_not_show_its_secret(tmp_path: Path) -> None:
    signer = keystore.load_signer(str(key_file(tmp_path / "k")))
    secret = VENDOR.private.private_numbers().private_value
    for text in (repr(signer), str(signer), repr(vars(signer.signer))):
        assert "PRIVATE" not in text
        assert f"private_value={secret}" not in text


def test_what_is_private(tmp_path: Path) -> None:
    assert key_files.is_private(key_file(tmp_path / "a"))
    assert key_files.is_private(key_file(tmp_path / "b", ENCRYPTED))
    assert not key_files.is_private(key_file(tmp_path / "c", VENDOR.public.pem.encode()))


def test_a_private_key_is_no_public_one(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="a private key, expected a public one") as caught:
        keystore.load_public(key_file(tmp_path / "k"))
    assert ".pub" in (caught.value.hint or "")


def test_a_signer_that_fails_is_a_named_condition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keystore.load_signer(str(key_file(tmp_path / "k")))

    def fail(data: bytes) -> None:
        raise ValueError("card removed")

    monkeypatch.setattr(key.signer, "sign", fail)
    with pytest.raises(HostError) as caught:
        key.sign(b"data")
    assert caught.value.code == "signer-failed"
    assert VENDOR.public.key_id in caught.value.message
