# SPDX-License-Identifier: Apache-2.0
"""OSTree's own signatures by the program: made beside what is there, judged, never counted."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.cli.program import Done, assert_clean_error, snapshot, verity
from tests.cli.spoil import REPO, VERIFY
from tests.cli.worlds import REF, UNSIGNED_REF, World
from verity.formats.gvariant import Variant
from verity.ports import keystore

ED, SPKI = "ostree.sign.ed25519", "ostree.sign.spki"
SIGN = (
    *("commit", "sign", *REPO, "--key", "vendor.pem", "--stream", "os", "--serial", "auto"),
    *("--replace", "--json"),
)
NO_HOST = ("--root", "tree")


@pytest.fixture
def native(copied: Callable[[str], World]) -> World:
    """A world with an RSA key and a second Ed25519 key beside the others."""
    world = copied("archive")
    write_pair(world.path / "rsa.pem", rsa.generate_private_key(65537, 2048))
    write_pair(world.path / "ed2.pem", ed25519.Ed25519PrivateKey.from_private_bytes(b"\2" * 32))
    return world


def write_pair(path: Path, key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> None:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.with_name(path.name + ".pub").write_bytes(pem)


def sign(world: World, *keys: str, ref: str = REF) -> Done:
    options = [word for key in keys for word in ("--ostree-sign", key)]
    done = verity(*SIGN, *options, ref, cwd=world.path)
    assert (done.status, done.err) == (0, ""), done
    return done


def verify(world: World, *options: str, ref: str = REF) -> Done:
    return verity(*VERIFY, *NO_HOST, *options, "--json", ref, cwd=world.path)


def shown(done: Done) -> list[tuple[str, int, str]]:
    return [(r["engine"], r["number"], r["verdict"]) for r in done.of_type("ostree-signature")]


def put(world: World, key: str, *values: bytes) -> None:
    world.attach(world.detached().with_byte_arrays(key, values))


def test_each_kind_of_key_signs_and_verifies(native: World) -> None:
    done = sign(native, "ed25519.pem", "other.pem", "rsa.pem")
    assert done.records[0]["native"] == ["ed25519", "spki", "spki"]
    assert [len(native.detached().get_byte_arrays(key)) for key in (ED, SPKI)] == [1, 2]
    for key, engine, number in (
        ("ed25519", "ed25519", 1),
        ("other", "spki", 1),
        ("rsa", "spki", 2),
    ):
        done = verify(native, "--ostree-key", f"{key}.pem.pub")
        assert (done.status, done.err) == (0, ""), done
        assert (engine, number, "good") in shown(done)
        (by,) = [r["by"] for r in done.of_type("ostree-signature") if r["verdict"] == "good"]
        assert by == keystore.load_public(native.path / f"{key}.pem.pub").key_id
    text = verity(*VERIFY, *NO_HOST, "--ostree-key", "ed25519.pem.pub", REF, cwd=native.path)
    assert text.out.splitlines()[0].startswith("ostree signature  ed25519 1: good, by ")
    assert text.out.splitlines()[1] == "ostree signature  spki 1: no-key"


def test_what_is_there_stays_and_nothing_is_there_twice(native: World) -> None:
    put(native, ED, b"\1" * 64)
    native.attach(native.detached().with_value("ostree.sign.dummy", Variant("aay", (b"x",))))
    before = dict(native.detached().entries)
    sign(native, "ed25519.pem", "other.pem")
    once = native.detached()
    sign(native, "ed25519.pem", "ed25519.pem", "other.pem")
    again = native.detached()
    for key in (ED, SPKI):
        assert again.get_byte_arrays(key) == once.get_byte_arrays(key)
    assert again.get_byte_arrays(ED)[0] == b"\1" * 64
    assert len(again.get_byte_arrays(ED)) == 2
    for key in ("vendor.note", "ostree.sign.dummy"):
        assert dict(again.entries)[key] == before[key]
    assert list(again.keys())[: len(before)] == list(before)


def test_something_else_in_its_place_is_not_replaced(native: World) -> None:
    native.attach(native.detached().with_value(ED, Variant("s", "somebody's")))
    before = snapshot(native.path)
    done = verity(*SIGN, "--ostree-sign", "ed25519.pem", REF, cwd=native.path)
    assert done.status == 1
    assert_clean_error(done, ("ostree.sign.ed25519 is of the type s, expected aay",), hint=False)
    assert snapshot(native.path) == before


def test_a_malformed_signature_in_front_of_a_good_one(native: World) -> None:
    """Stock ostree refuses this commit: the first one that is malformed ends its search."""
    sign(native, "ed25519.pem")
    (good,) = native.detached().get_byte_arrays(ED)
    put(native, ED, good[:63], good)
    done = verify(native, "--ostree-key", "ed25519.pem.pub")
    assert done.status == 0
    assert shown(done) == [("ed25519", 1, "malformed"), ("ed25519", 2, "good")]
    assert done.of_type("ostree-signature")[0]["detail"].startswith("63 bytes")


def test_a_revoked_key_that_is_named_as_trusted(native: World) -> None:
    """Stock ostree accepts it: a key named in a remote is not looked up in the revoked ones."""
    sign(native, "ed25519.pem")
    key = ("--ostree-key", "ed25519.pem.pub")
    assert verify(native, *key).status == 0
    pem = (native.path / "ed25519.pem.pub").read_bytes()
    raw = base64.b64encode(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
                           .public_bytes_raw())  # fmt: skip
    for place, data in (
        ("tree/etc/ostree/revoked.ed25519", raw + b"\n"),
        ("tree/etc/ostree/revoked.ed25519.d/x", pem),
        ("tree/usr/share/ostree/revoked.spki.d/y", pem),
    ):
        path = native.path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        done = verify(native, *key)
        assert done.status == 1, place
        assert shown(done) == [("ed25519", 1, "revoked")]
        (finding,) = done.of_type("finding")
        assert finding["check"] == "no-native-signature"
        assert finding["found"] == "ed25519 1 revoked"
        path.unlink()
    (native.path / "gone").write_bytes(raw)
    assert shown(verify(native, *key, "--ostree-revoked", "gone")) == [("ed25519", 1, "revoked")]
    # Beside a good one it takes nothing away.
    sign(native, "ed2.pem")
    done = verify(native, *key, "--ostree-key", "ed2.pem.pub", "--ostree-revoked", "gone")
    assert (done.status, shown(done)) == (0, [("ed25519", 1, "revoked"), ("ed25519", 2, "good")])


def test_a_list_of_revoked_keys_that_cannot_be_read_is_an_error(native: World) -> None:
    """Stock ostree goes on as if nothing were revoked."""
    sign(native, "ed25519.pem")
    path = native.path / "tree/etc/ostree/revoked.ed25519"
    path.parent.mkdir(parents=True)
    path.write_text("nonsense\n")
    done = verify(native, "--ostree-key", "ed25519.pem.pub")
    assert done.status == 1
    assert_clean_error(done, ("revoked.ed25519, line 1: neither PEM nor",), hint=True)
    path.unlink()
    path.mkdir()
    assert verify(native, "--ostree-key", "ed25519.pem.pub").status == 3
    path.rmdir()
    path.write_text("\n")  # an empty list is no mistake
    assert verify(native, "--ostree-key", "ed25519.pem.pub").status == 0


@pytest.mark.parametrize("ref", [REF, UNSIGNED_REF], ids=["signed", "unsigned"])
def test_none_at_all(native: World, ref: str) -> None:
    done = verify(native, "--ostree-key", "ed25519.pem.pub", ref=ref)
    assert done.status == 1
    found = {record["check"]: record for record in done.of_type("finding")}
    assert found["no-native-signature"]["found"] == "none at all"
    assert ("not-signed" in found) == (ref == UNSIGNED_REF)


def test_they_never_count_towards_our_threshold(native: World) -> None:
    """Both keys signed for ostree; only one of them signed the statement."""
    sign(native, "vendor.pem", "other.pem")
    both = ("--key", "other.pem.pub", "--threshold", "2")
    keys = ("--ostree-key", "vendor.pem.pub", "--ostree-key", "other.pem.pub")
    done = verify(native, *both, *keys)
    assert done.status == 1
    assert shown(done) == [("spki", 1, "good"), ("spki", 2, "good")]
    (finding,) = done.of_type("finding")
    assert finding["check"] == "bad-signature"
    assert "signed by 1 of the trusted owners, 2 needed" in finding["problem"]


def test_a_private_key_for_verifying_is_refused(native: World) -> None:
    done = verify(native, "--ostree-key", "ed25519.pem")
    assert done.status == 1
    assert_clean_error(done, ("ed25519.pem: a private key, expected a public one",), hint=True)
