# SPDX-License-Identifier: Apache-2.0
"""The one PKCS#7 template and the derived certificate, held against OpenSSL's reading."""

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization import pkcs7 as library_pkcs7
from hypothesis import given
from hypothesis import strategies as st

from verity.formats import der, pkcs7
from verity.trust.keys import of_public_key
from verity.values.errors import ContentError

PRIVATE = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())
PUBLIC = of_public_key(PRIVATE.public_key(), label="test")
BLOB = b"\x93verity-grants1\0" + bytes(100)


def signed(blob: bytes = BLOB) -> bytes:
    return pkcs7.encode(
        key_id=PUBLIC.key_id, signature=PRIVATE.sign(blob, ec.ECDSA(hashes.SHA256()))
    )


SIGNED = signed()  # once: ECDSA signatures differ each time


def test_round_trip() -> None:
    data = signed()
    found = pkcs7.parse(data)
    assert found.serial == pkcs7.serial_of(PUBLIC.key_id)
    assert found.encode() == data
    assert PUBLIC.verifies(signature=found.value, data=BLOB)


def openssl_verify(tmp_path: Path, signature: bytes, blob: bytes) -> int:
    certificate = pkcs7.certificate(key_id=PUBLIC.key_id, spki=PUBLIC.spki)
    (tmp_path / "cert.der").write_bytes(certificate)
    (tmp_path / "sig").write_bytes(signature)
    (tmp_path / "blob").write_bytes(blob)
    subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-in", "cert.der", "-out", "cert.pem"],
        cwd=tmp_path,
        check=True,
    )
    return subprocess.run(
        "openssl smime -verify -binary -inform DER -in sig -content blob -certfile cert.pem"
        " -nointern -noverify -out /dev/null".split(),
        cwd=tmp_path,
        capture_output=True,
    ).returncode


def test_openssl_verifies_it_and_refuses_another_blob(tmp_path: Path) -> None:
    assert openssl_verify(tmp_path, signed(), BLOB) == 0
    assert openssl_verify(tmp_path, signed(), BLOB[:-1] + b"\1") != 0


def test_certificate_is_what_formats_md_says() -> None:
    loaded = x509.load_der_x509_certificate(
        pkcs7.certificate(key_id=PUBLIC.key_id, spki=PUBLIC.spki)
    )
    assert loaded.serial_number == pkcs7.serial_of(PUBLIC.key_id)
    assert loaded.issuer.rfc4514_string() == "CN=verity"
    assert loaded.subject.rfc4514_string() == f"CN={PUBLIC.key_id}"
    assert loaded.not_valid_before_utc.isoformat() == "2020-01-01T00:00:00+00:00"
    assert loaded.not_valid_after_utc.isoformat() == "2049-12-31T23:59:59+00:00"
    assert loaded.public_key() == PRIVATE.public_key()
    assert len(loaded.extensions) == 0


def test_serial_is_positive_and_short() -> None:
    assert pkcs7.serial_of("ff" * 32) == 2**127 - 1
    assert pkcs7.serial_of("80" + "00" * 31) == 0
    assert pkcs7.serial_of("00" * 15 + "01" + "ff" * 16) == 1


@pytest.mark.parametrize("key_id", ["ff" * 32, "80" + "00" * 31, "00" * 15 + "7f" + "00" * 16])
@pytest.mark.parametrize("r", [1, 127, 128, 2**255, 2**256 - 1])
def test_every_length_round_trips(key_id: str, r: int) -> None:
    data = pkcs7.encode(key_id=key_id, signature=encode_dss_signature(r, 2**256 - r or 1))
    assert pkcs7.parse(data).encode() == data


def library(options: list[library_pkcs7.PKCS7Options]) -> bytes:
    certificate = x509.load_der_x509_certificate(
        pkcs7.certificate(key_id=PUBLIC.key_id, spki=PUBLIC.spki)
    )
    return (
        library_pkcs7.PKCS7SignatureBuilder()
        .set_data(BLOB)
        .add_signer(certificate, PRIVATE, hashes.SHA256())
        .sign(Encoding.DER, [library_pkcs7.PKCS7Options.DetachedSignature, *options])
    )


def test_what_the_kernel_would_take_and_the_template_does_not() -> None:
    options = library_pkcs7.PKCS7Options
    for extra in ([], [options.NoCerts], [options.NoAttributes], [options.NoCapabilities]):
        with pytest.raises(ContentError, match="template"):
            pkcs7.parse(library(extra))


@given(st.data())
def test_any_mutation_is_refused_or_another_value(data: st.DataObject) -> None:
    blob = bytearray(SIGNED)
    action = data.draw(st.sampled_from(["set", "insert", "delete"]))
    at = data.draw(st.integers(0, len(blob) - 1))
    byte = data.draw(st.integers(0, 255))
    if action == "set":
        blob[at] = byte
    elif action == "insert":
        blob.insert(at, byte)
    else:
        del blob[at]
    try:
        found = pkcs7.parse(bytes(blob))
    except ContentError as error:
        assert error.code == "bad-pkcs7"
        return
    assert found.encode() == bytes(blob)


@pytest.mark.parametrize(
    "value",
    [b"", b"\x30\x00", encode_dss_signature(0, 1), encode_dss_signature(1, 2**256)],
    ids=["empty", "no integers", "zero", "too large"],
)
def test_values_that_are_no_p256_signature(value: bytes) -> None:
    with pytest.raises(ContentError):
        der.check_ecdsa_signature(value)


def test_object_identifiers() -> None:
    assert der.oid("1.2.840.113549.1.7.2").hex() == "06092a864886f70d010702"
    assert der.integer(0).hex() == "020100"
    assert der.integer(128).hex() == "02020080"
    assert der.tlv(0x04, bytes(200))[:3].hex() == "0481c8"
