# SPDX-License-Identifier: Apache-2.0
"""What IMA reads: evmctl's own signatures, our certificate for their key, the policy."""

import pytest
from cryptography import x509

from tests.unit.formats.doc_examples import EXAMPLES, bytes_of
from verity.formats import ima
from verity.trust import ima_keys
from verity.trust.keys import PublicKey, parse_spki
from verity.values.digest import Digest, HashAlgorithm
from verity.values.errors import ContentError

DIGEST = Digest(
    HashAlgorithm.SHA256,
    bytes.fromhex("f2ca1bb6c7e907d06dafe4687e579fce76b37e4e93b7605022da52e6ccc26fd2"),
)
SPKI = bytes.fromhex(
    "3059301306072a8648ce3d020106082a8648ce3d030107034200044aa5f64a535e2284e26111a67242dd8a"
    "37cb58762ea4093585f9da743f880cc54fa5de3d9b9be42833cb00e46a9ee3cd84584c420fcc2efc559fb92933316f89"
)


def key() -> PublicKey:
    return parse_spki(SPKI, label="key")


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [
        ("ima-verity", ima.Kind.VERITY, ima.file_id(DIGEST)),
        ("ima-content", ima.Kind.CONTENT, b"test\n"),
    ],
)
def test_what_evmctl_made(name: str, kind: ima.Kind, data: bytes) -> None:
    value = bytes_of(EXAMPLES[name])
    found = ima.parse(value, label="file")
    assert (found.kind, found.key_id) == (kind, ima_keys.key_id(key()))
    assert key().verifies(signature=found.signature, data=data)
    assert not key().verifies(signature=found.signature, data=data + b"x")
    assert found.encode() == value


def test_the_certificate_has_the_identifier_that_ima_looks_for() -> None:
    made = ima_keys.certificate(key())
    assert made == bytes_of(EXAMPLES["ima-certificate"])
    read = x509.load_der_x509_certificate(made)
    (extension,) = read.extensions
    expected = x509.SubjectKeyIdentifier.from_public_key(read.public_key())
    assert extension.value == expected
    assert expected.digest[-4:] == ima_keys.key_id(key())


def test_the_policy_is_the_documents() -> None:
    assert ima.policy() == EXAMPLES["ima-policy"]
    assert all(line.startswith("appraise ") for line in ima.policy().splitlines())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (b"\x06\x03\x04abcd\x00\x00", "9 bytes"),
        (b"\x06" * (ima.MAX_SIZE + 1), "4097 bytes"),
        (b"\x06\x02\x04abcd\x00\x01x", "type 6 in version 2"),
        (b"\x03\x03\x04abcd\x00\x01x", "type 3 in version 3"),
        (b"\x01\x03\x04abcd\x00\x01x", "type 1 in version 3"),
        (b"\x06\x03\x02abcd\x00\x01x", "hash algorithm 2"),
        (b"\x06\x03\x04abcd\x00\x02x", "2 bytes of signature stated, 1 are there"),
        (b"\x06\x03\x04abcd\x00\x00x", "0 bytes of signature stated, 1 are there"),
    ],
)
def test_other_forms_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(ContentError, match=words) as caught:
        ima.parse(data, label="/bin/x")
    assert caught.value.code == "bad-ima-signature"
    assert caught.value.message.startswith("/bin/x: security.ima: ")


def test_only_sha256_is_signed() -> None:
    with pytest.raises(ContentError, match="expected a SHA-256 digest"):
        ima.file_id(Digest(HashAlgorithm.SHA512, bytes(64)))
