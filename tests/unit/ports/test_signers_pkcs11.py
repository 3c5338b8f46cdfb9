# SPDX-License-Identifier: Apache-2.0
"""Keys in a token of SoftHSM: found, asked for a PIN, signing, and every way that fails."""

import shutil
from pathlib import Path

import pkcs11
import pytest

from tests.hsm import MODULE, PIN, TOKEN, Hsm, public_der
from verity.formats import pkcs7
from verity.ports import keystore
from verity.ports.key_access import KeyAccess
from verity.trust.keys import KeyAlgorithm, parse_spki
from verity.values.errors import CallerError, ContentError, HostError, VerityError


def pin_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("key", "identity"),
    [("object=release", "01"), ("id=%02", "02"), ("object=second;id=%02;type=private", "02")],
)
def test_it_signs_what_the_public_key_verifies(hsm: Hsm, key: str, identity: str) -> None:
    signer = keystore.load_signer(hsm.uri(key))
    assert signer.public == parse_spki(public_der(hsm, identity), label="pkcs11-tool")
    for number in range(20):  # a leading zero of r or s comes by itself
        data = b"data" * number
        assert signer.public.verifies(signature=signer.sign(data), data=data)
    assert not signer.public.verifies(signature=signer.sign(b"data"), data=b"date")
    blob = pkcs7.parse(signer.sign_blob(b"blob"))
    assert signer.public.verifies(signature=blob.value, data=b"blob")
    assert blob.serial == pkcs7.serial_of(signer.public.key_id)


def test_the_default_module_has_every_token_that_is_registered(hsm: Hsm) -> None:
    uri = hsm.uri().replace(f"module-path={MODULE}&", "")
    assert "module-path" not in uri
    signer = keystore.load_signer(uri)
    assert signer.public.verifies(signature=signer.sign(b"data"), data=b"data")


def test_a_certificate_on_the_token_gives_the_public_key(hsm: Hsm) -> None:
    signer = keystore.load_signer(hsm.uri("object=certified"))
    assert signer.public.verifies(signature=signer.sign(b"data"), data=b"data")


def test_two_keys_of_one_token(hsm: Hsm) -> None:
    signers = [keystore.load_signer(hsm.uri(f"id=%{number:02x}")) for number in (1, 2, 1)]
    assert [signer.public for signer in signers[::2]] == [signers[0].public] * 2
    for signer in signers:
        assert signer.public.verifies(signature=signer.sign(b"data"), data=b"data")


def test_the_pin_is_asked_for_where_somebody_can_be_asked(hsm: Hsm) -> None:
    asked: list[str] = []

    def ask(what: str) -> str:
        asked.append(what)
        return PIN

    signer = keystore.load_signer(hsm.uri_to_ask(), KeyAccess(ask=ask))
    assert asked == [f"PIN of {TOKEN}"]
    assert signer.public.verifies(signature=signer.sign(b"data"), data=b"data")
    assert asked == [f"PIN of {TOKEN}"]  # once for all that it signs


def test_a_key_that_wants_its_pin_for_each_signature(hsm: Hsm) -> None:
    asked: list[str] = []

    def ask(what: str) -> str:
        asked.append(what)
        return PIN

    signer = keystore.load_signer(hsm.uri_to_ask("object=careful"), KeyAccess(ask=ask))
    for data in (b"data", b"more"):
        assert signer.public.verifies(signature=signer.sign(data), data=data)
    assert len(asked) == 1  # told the token again, not asked for again
    for text in (repr(signer), repr(signer.signer)):
        assert PIN not in text


def test_a_token_has_no_key_of_another_kind(hsm: Hsm) -> None:
    with pytest.raises(ContentError, match="ecdsa-p256, expected ed25519"):
        keystore.load_signer(hsm.uri(), algorithms=(KeyAlgorithm.ED25519,))


def test_to_show_a_key_needs_no_pin(hsm: Hsm) -> None:
    public = keystore.read_public_of(hsm.uri_to_ask())
    assert public == parse_spki(public_der(hsm, "01"), label="pkcs11-tool")


@pytest.mark.parametrize(
    ("key", "code", "words"),
    [
        ("object=nobody", "no-key", "no such private key"),
        ("id=%01;object=second", "no-key", "no such private key"),
        ("object=twin", "no-key", "2 keys match"),
        ("object=bare", "no-public-key", "neither the public key nor a certificate"),
        ("object=p384", "bad-key", "neither ECDSA P-256"),
        ("object=rsa", "bad-key", "expected P-256"),
        ("object=release;token=other", "bad-uri", "token is there twice"),
        ("object=release;serial=0", "no-token", "0 tokens match, expected one"),
        ("object=release;manufacturer=x", "no-token", "0 tokens match"),
        ("object=release;model=x", "no-token", "0 tokens match"),
    ],
)
def test_what_is_not_there(hsm: Hsm, key: str, code: str, words: str) -> None:
    with pytest.raises(VerityError) as caught:
        keystore.load_signer(hsm.uri(key))
    assert caught.value.code == code
    assert words in caught.value.message
    assert PIN not in repr(caught.value)


def test_a_token_has_to_be_named_if_there_are_two(hsm: Hsm) -> None:
    uri = hsm.uri().replace(f"token={TOKEN.replace(' ', '%20')};", "")
    assert "token=" not in uri
    with pytest.raises(VerityError, match="2 tokens match, expected one") as caught:
        keystore.load_signer(uri)
    assert caught.value.code == "no-token"
    (serial,) = {
        slot.get_token().serial.decode()
        for slot in pkcs11.lib(MODULE).get_slots(token_present=True)
        if slot.get_token().label == TOKEN
    }
    by_serial = uri.replace("object=", f"serial={serial};model=SoftHSM%20v2;object=")
    assert keystore.load_signer(by_serial).public == keystore.load_signer(hsm.uri()).public


def test_a_wrong_pin(hsm: Hsm, tmp_path: Path) -> None:
    # A token that has a key open for this process doesn't look at another PIN.
    pkcs11.lib(MODULE).reinitialize()
    wrong = pin_file(tmp_path / "pin", "00000000\n")
    with pytest.raises(VerityError) as caught:
        keystore.load_signer(hsm.uri(pin=wrong))
    assert (caught.value.code, caught.value.exit_status) == ("pin-wrong", 3)
    assert "the token refuses the PIN" in caught.value.message
    assert "object=release" in caught.value.message
    assert "00000000" not in repr(caught.value)


@pytest.mark.parametrize(
    ("text", "mode", "code"),
    [
        (PIN, 0o644, "secret-exposed"),
        (PIN, 0o660, "secret-exposed"),
        ("", 0o600, "bad-secret"),
        ("\n", 0o600, "bad-secret"),
        (f"{PIN}\n{PIN}\n", 0o600, "bad-secret"),
    ],
)
def test_a_pin_file_that_is_refused(
    hsm: Hsm, tmp_path: Path, text: str, mode: int, code: str
) -> None:
    with pytest.raises(VerityError) as caught:
        keystore.load_signer(hsm.uri(pin=pin_file(tmp_path / "pin", text, mode)))
    assert caught.value.code == code
    assert str(tmp_path / "pin") in caught.value.message
    assert PIN not in repr(caught.value)


def test_a_pin_that_is_no_text(hsm: Hsm, tmp_path: Path) -> None:
    path = pin_file(tmp_path / "pin", "")
    path.write_bytes(b"\xff\xfe0815")
    with pytest.raises(ContentError, match="not UTF-8") as caught:
        keystore.load_signer(hsm.uri(pin=path))
    assert caught.value.__cause__ is None  # whose text would quote it
    assert caught.value.__suppress_context__


def test_nobody_to_ask(hsm: Hsm) -> None:
    with pytest.raises(VerityError) as caught:
        keystore.load_signer(hsm.uri_to_ask())
    assert (caught.value.code, caught.value.exit_status) == ("pin-needed", 3)
    assert "pin-source=file:" in (caught.value.hint or "")


@pytest.mark.parametrize("module", ["/nonexistent.so", "/etc/hostname", "/usr/lib/os-release"])
def test_what_is_no_module(hsm: Hsm, module: str) -> None:
    with pytest.raises(VerityError) as caught:
        keystore.load_signer(hsm.uri(by=module))
    assert caught.value.code == "no-module"
    assert module in caught.value.message


def test_a_library_that_is_no_module(hsm: Hsm, tmp_path: Path) -> None:
    import ctypes.util

    libc = ctypes.util.find_library("c")
    assert libc is not None
    found = next(Path("/usr/lib").glob(f"*/{libc}"))
    with pytest.raises(VerityError) as caught:
        keystore.load_signer(hsm.uri(by=str(shutil.copy(found, tmp_path / "libc.so"))))
    assert caught.value.code == "no-module"


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        (pkcs11.PinIncorrect, "pin-wrong", "refuses the PIN"),
        (pkcs11.PinLenRange, "pin-wrong", "too short or too long"),
        (pkcs11.PinInvalid, "pin-wrong", "refuses the PIN's characters"),
        (pkcs11.PinLocked, "pin-locked", "the PIN is locked"),
        (pkcs11.PinExpired, "pin-locked", "the PIN has expired"),
        (pkcs11.UserPinNotInitialized, "pin-locked", "has no PIN yet"),
        (pkcs11.UserNotLoggedIn, "pin-needed", "wants a PIN first"),
        (pkcs11.DeviceRemoved, "no-token", "the token was removed"),
        (pkcs11.TokenNotPresent, "no-token", "the token was removed"),
        (pkcs11.KeyTypeInconsistent, "bad-key", "the key is of another kind"),
        (pkcs11.DeviceError, "signer-failed", "the token says DeviceError"),
    ],
)
def test_what_a_token_says_while_it_signs(
    hsm: Hsm, monkeypatch: pytest.MonkeyPatch, said: type[Exception], code: str, words: str
) -> None:
    # SoftHSM neither locks nor can be pulled out: something is put in the place of its key.
    signer = keystore.load_signer(hsm.uri())

    class Gone:
        def sign(self, data: bytes, **how: object) -> bytes:
            raise said

    monkeypatch.setattr(signer.signer, "_key", Gone())
    with pytest.raises(HostError) as caught:
        signer.sign(b"data")
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.message.startswith("pkcs11:token=")


def test_a_signature_of_another_size(hsm: Hsm, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = keystore.load_signer(hsm.uri())

    class Other:
        def sign(self, data: bytes, **how: object) -> bytes:
            return bytes(96)

    monkeypatch.setattr(signer.signer, "_key", Other())
    with pytest.raises(HostError, match="a signature of 96 bytes, expected 64"):
        signer.sign(b"data")


def test_a_signer_does_not_show_its_pin(hsm: Hsm) -> None:
    signer = keystore.load_signer(hsm.uri())
    for text in (repr(signer), repr(vars(signer.signer)), str(signer.signer)):
        assert PIN not in text


def test_it_is_not_opened_by_way_of_the_registry(hsm: Hsm) -> None:
    signer = keystore.load_signer(hsm.uri()).signer
    with pytest.raises(CallerError) as caught:
        signer.from_priv_key_uri(hsm.uri(), signer.public_key)
    assert caught.value.code == "unknown-signer"
