# SPDX-License-Identifier: Apache-2.0
"""Signers that securesystemslib brings: one of them really signs (hsm:), the others say why not."""

from pathlib import Path

import pkcs11
import pytest
from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, CryptoSigner, Key, Signature, Signer

from tests.hsm import MODULE, PIN, Hsm, public_der
from tests.world import OTHER, VENDOR
from verity.ports import keystore
from verity.ports.key_access import KeyAccess
from verity.trust.keys import parse_spki
from verity.values.errors import CallerError, HostError, VerityError


@pytest.fixture
def public(tmp_path: Path) -> Path:
    path = tmp_path / "vendor.pub"
    path.write_text(VENDOR.public.pem)
    return path


@pytest.fixture
def release(hsm: Hsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """securesystemslib's own URI of a key in the token."""
    monkeypatch.setenv("PYKCS11LIB", MODULE)
    pkcs11.lib(MODULE).reinitialize()  # its signer logs in by itself, and only once for a process
    path = tmp_path / "release.pub"
    path.write_text(parse_spki(public_der(hsm, "01"), label="pkcs11-tool").pem)
    return f"hsm:1?label=build+hsm#{path}"


def test_a_signer_of_securesystemslib_signs(release: str) -> None:
    asked: list[str] = []

    def ask(what: str) -> str:
        asked.append(what)
        return PIN

    signer = keystore.load_signer(release, KeyAccess(ask=ask))
    for data in (b"data", b"more"):
        assert signer.public.verifies(signature=signer.sign(data), data=data)
    assert asked == ["pin of hsm"]  # once, though it logs in for each


def test_nobody_to_ask(release: str) -> None:
    signer = keystore.load_signer(release)
    with pytest.raises(HostError) as caught:
        signer.sign(b"data")
    assert caught.value.code == "pin-needed"
    assert "hsm: the signer wants a pin" in caught.value.message


def test_a_wrong_pin_is_in_no_message(release: str) -> None:
    signer = keystore.load_signer(release, KeyAccess(ask=lambda what: "00000000"))
    with pytest.raises(HostError) as caught:
        signer.sign(b"data")
    assert caught.value.code == "signer-failed"
    assert "PinIncorrect" in caught.value.message
    assert "00000000" not in repr(caught.value)


def test_a_signature_by_another_key_gets_to_nobody(release: str, public: Path) -> None:
    service, _, _ = release.partition("#")
    signer = keystore.load_signer(f"{service}#{public}", KeyAccess(ask=lambda what: PIN))
    with pytest.raises(HostError) as caught:
        signer.sign(b"data")
    assert caught.value.code == "signer-failed"
    assert VENDOR.public.key_id in caught.value.message
    assert "the private half of this very key" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("service", "extra"),
    [
        ("awskms:alias/build", "awskms"),
        ("azurekms://vault.example/keys/build/1", "azurekms"),
        ("gcpkms:projects/p/locations/l", "gcpkms"),
        ("hv:build/1", "vault"),
    ],
)
def test_a_library_that_is_missing_is_named(service: str, extra: str, public: Path) -> None:
    with pytest.raises(HostError) as caught:
        keystore.load_signer(f"{service}#{public}")
    assert caught.value.code == "no-signer-library"
    assert caught.value.hint == f"pip install 'securesystemslib[{extra}]'"


@pytest.mark.parametrize("name", ["awskms:alias/build", "awskms:alias/build#", "hv:build/1"])
def test_the_public_key_has_to_be_named(name: str) -> None:
    with pytest.raises(CallerError) as caught:
        keystore.load_signer(name)
    assert caught.value.code == "bad-uri"
    assert "#FILE.pub" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "uri", ["card:1", "card:1#k.pub", "card:1#none.pub", "file2:k", "gnupg:#k.pub", ":", "a:b"]
)
def test_schemes_that_are_not_taken(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k.pub").write_text(VENDOR.public.pem)
    with pytest.raises(CallerError) as caught:
        keystore.load_signer(uri)
    assert caught.value.code == "unknown-signer"
    assert caught.value.hint


def test_every_scheme_of_the_installed_version_is_one_or_the_other(public: Path) -> None:
    assert set(SIGNER_FOR_URI_SCHEME) >= {"awskms", "azurekms", "gcpkms", "hsm", "hv"}
    for scheme in SIGNER_FOR_URI_SCHEME:
        with pytest.raises(VerityError):
            keystore.load_signer(f"{scheme}:nothing#{public}")


class Odd(Signer):
    """A signer whose library fails as it likes."""

    @property
    def public_key(self) -> Key:
        raise AssertionError("opening it has failed before")

    def sign(self, payload: bytes) -> Signature:
        raise AssertionError("opening it has failed before")

    @classmethod
    def from_priv_key_uri(cls, *args: object) -> Signer:
        raise LookupError("no region\nand more")


def test_what_a_library_raises_becomes_our_error(
    public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "odd", Odd)
    with pytest.raises(HostError) as caught:
        keystore.load_signer(f"odd:x#{public}")
    assert caught.value.code == "signer-failed"
    assert caught.value.message == "odd: the signer can't be used: LookupError: no region"


def test_a_scheme_that_was_registered_is_taken(
    public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine(CryptoSigner):
        @classmethod
        def from_priv_key_uri(cls, *args: object) -> CryptoSigner:
            return CryptoSigner(VENDOR.private)

    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "mine", Mine)
    signer = keystore.load_signer(f"mine:x#{public}")
    assert signer.public == VENDOR.public != OTHER.public
    assert VENDOR.public.verifies(signature=signer.sign(b"data"), data=b"data")
