# SPDX-License-Identifier: Apache-2.0
"""Signing a fragment: by each key once, and verified before anybody gets it."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.boot import policy_blob
from verity.formats import bundle, pkcs7
from verity.formats.grants import Party, Role
from verity.formats.records import Fragment, RecordKind
from verity.ports import keystore
from verity.ports.keystore import SigningKey
from verity.values.errors import CallerError, ContentError
from verity.verbs import fragments

BLOB = policy_blob()


def keys(directory: Path, count: int) -> list[SigningKey]:
    paths = [directory / f"{number}.pem" for number in range(count)]
    for path in paths:
        keystore.generate(path)
    return [keystore.load_signer(str(path)) for path in paths]


def sign(signing: list[SigningKey]) -> Fragment:
    return fragments.sign(RecordKind.POLICY, BLOB, signing, party=Party.USER, role=Role.POLICY)


def test_a_signature_by_each_key(tmp_path: Path) -> None:
    signing = keys(tmp_path, 8)
    made = sign(signing)
    assert (made.kind, made.blob) == (RecordKind.POLICY, BLOB)
    for key, signature in zip(signing, made.signatures, strict=True):
        assert key.public.verifies(signature=pkcs7.parse(signature).value, data=BLOB)
    path = tmp_path / "file"
    path.write_bytes(bundle.encode([made]))
    assert fragments.load(path) == made


def test_more_signatures_than_the_gate_takes(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="9 keys, at most 8 can sign one blob"):
        sign(keys(tmp_path, 9))


def test_a_key_signs_once(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="a key that signs is there twice"):
        sign(keys(tmp_path, 1) * 2)


def test_nobody_signs(tmp_path: Path) -> None:
    with pytest.raises(CallerError):
        sign([])


def test_a_signer_that_signs_with_another_key_is_noticed(tmp_path: Path) -> None:
    one, other = keys(tmp_path, 2)
    with pytest.raises(ContentError, match="policy: signed by 0") as caught:
        sign([replace(one, signer=other.signer)])
    assert caught.value.code == "bad-signature"


def test_the_file_is_named_in_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"nonsense")
    with pytest.raises(ContentError, match=f"^{path}: bundle: "):
        fragments.load(path)
