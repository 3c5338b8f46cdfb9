# SPDX-License-Identifier: Apache-2.0
"""Attaching by a keyring: its roles, streams, thresholds and revocations say who counts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.keyring_world import change, key_id, make_keyrings, newest
from tests.cli.program import assert_clean_error, copy, snapshot, verity
from tests.cli.test_sign import good
from tests.cli.test_sign_tampered import edit
from tests.cli.worlds import UNSIGNED_REF, World
from verity.formats import bundle as fragments
from verity.formats import kernel_keys, keyring
from verity.formats.sign_bundle import Bundle
from verity.verbs.keyring_project import blob_of


@pytest.fixture(scope="module")
def keyrings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of two builders who both must sign as os, in streams debian-*."""
    path = make_keyrings(tmp_path_factory.mktemp("keyrings"))
    second = ("--role", "os:2=other=os2.pem.pub", "--stream", "os=debian-*")
    change(path, "add-key", *second)
    return path


@pytest.fixture
def signed_by(copied: Callable[[str], World], keyrings: Path) -> Callable[..., World]:
    """A world with the keyring in it, and a bundle that these signed."""

    def make(*names: str, stream: str = "debian-sid") -> World:
        world = copied("archive")
        for item in keyrings.iterdir():
            copy(item, world.path / item.name)
        prepare = ("sign", "prepare", "commit", "--repo", "repo", "--stream", stream)
        good(world, *prepare, "--serial", "1", "-o", "b", UNSIGNED_REF)
        for name in names:
            good(world, "sign", "add", "--yes", "--key", f"{name}.pem", "b")
        return world

    return make


def by_keyring(world: World) -> tuple[str, ...]:
    first = ("keyring", "show", "--json", "k/vendor/1.keyring.json")
    pin = good(world, *first).records[0]["pin"]
    return ("--keyring", "k", "--pin", f"vendor={pin}")


def attach(world: World) -> tuple[str, ...]:
    return ("sign", "attach", *by_keyring(world), "--repo", "repo", "b")


def test_two_of_a_keyring(signed_by: Callable[..., World]) -> None:
    world = signed_by("os1", "os2", "stranger")
    done = good(world, *attach(world))
    assert f"the signature by key {key_id(world.path, 'stranger')} is left out" in done.err
    verify = ("commit", "verify", *by_keyring(world), "--repo", "repo", UNSIGNED_REF)
    assert good(world, *verify).out.startswith(f"good: {UNSIGNED_REF} is as signed")


REFUSED = {
    "one of two": (("os1",), "debian-sid", "1 of 2 owners have signed"),
    "nobody of them": (("stranger",), "debian-sid", "none of its 1 signatures"),
    "root keys are not of the role os": (("ann", "bob"), "debian-sid", "none of its 2 signatures"),
    "a stream of others": (("os1", "os2"), "fedora", "of the stream fedora, these keys sign in"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(signed_by: Callable[..., World], name: str) -> None:
    names, stream, words = REFUSED[name]
    world = signed_by(*names, stream=stream)
    before = snapshot(world.path)
    done = verity(*attach(world), cwd=world.path)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, (words,), hint=True)
    assert snapshot(world.path) == before


def test_a_key_that_was_revoked_since(signed_by: Callable[..., World]) -> None:
    world = signed_by("os1", "os2")
    third = ("--role", "os=third=ext.pem.pub", "--stream", "os=debian-*")
    change(world.path, "add-key", *third)
    change(world.path, "revoke", "--revoke-key", key_id(world.path, "os2"))
    done = verity(*attach(world), cwd=world.path)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("1 of 2 owners have signed",), hint=True)
    # Another owner signs in its place.
    good(world, "sign", "add", "--yes", "--key", "ext.pem", "b")
    assert f"key {key_id(world.path, 'os2')} is left out" in good(world, *attach(world)).err


def test_keys_and_a_keyring_at_once(signed_by: Callable[..., World]) -> None:
    world = signed_by("os1", "os2")
    done = verity(*attach(world)[:-1], "--key", "os1.pem.pub", "b", cwd=world.path)
    assert (done.status, done.out) == (2, "")


def test_root_keys_are_named(signed_by: Callable[..., World]) -> None:
    world = signed_by()
    good(world, "sign", "prepare", "file", "-o", "k.sign", "keys", "k/vendor/2.keys")
    for name in ("ann", "bob"):
        good(world, "sign", "add", "--yes", "--key", f"{name}.pem", "k.sign")
    done = verity("sign", "attach", *by_keyring(world), "k.sign", "out", cwd=world.path)
    assert (done.status, done.out) == (2, "")
    assert_clean_error(done, ("signed by root keys, and no --key names them",), hint=True)
    roots = ("--key", "ann.pem.pub", "--key", "bob.pem.pub", "--threshold", "2")
    good(world, "sign", "attach", *roots, "k.sign", "out")
    made = fragments.parse_fragment((world.path / "out").read_bytes(), label="out")
    there = fragments.parse_fragment((world.path / "k/vendor/2.keys").read_bytes(), label="2.keys")
    assert (made.blob, len(made.signatures)) == (there.blob, 2)


# --- a version of a keyring, signed by several root keys, each at home

VERSION = ("sign", "prepare", "keyring", "--party", "vendor", "-o", "v.sign", "k")


def waiting(world: World) -> None:
    """Version 3 of the vendor's keyring, signed by one of two root keys."""
    added = ("--role", "os=third=ext.pem.pub", "--stream", "os=debian-*")
    change(world.path, "add-key", *added, keys=("--key", "ann.pem"))


def test_a_keyring_is_signed_at_home(signed_by: Callable[..., World]) -> None:
    world = signed_by()
    waiting(world)
    said = good(world, *VERSION).out
    assert said.startswith("what      keyring of the vendor, version 3\n")
    assert "role      root, threshold 2\n" in said
    assert f"key       {key_id(world.path, 'ext')} os, owner third\n" in said
    assert f"signed    by key {key_id(world.path, 'ann')}\n" in said
    assert "signers   the vendor's role root\n" in said
    good(world, "sign", "add", "--yes", "--key", "bob.pem", "v.sign")
    assert not (world.path / "k/vendor/3.keyring.json").exists()
    done = good(world, "sign", "attach", "v.sign", "k")
    assert done.out.startswith("written   k/vendor/3.keyring.json\n")
    assert newest(world.path)["version"] == 3
    assert not list((world.path / "k/vendor").glob("*.part"))


def test_a_keyring_still_waits_with_too_few(signed_by: Callable[..., World]) -> None:
    world = signed_by()
    waiting(world)
    good(world, *VERSION)
    done = good(world, "sign", "attach", "v.sign", "k")
    assert "waits     for 1 more of the root owners of version 3 (bob)\n" in done.out
    assert newest(world.path)["version"] == 2


def spoil_keys(bundle: Bundle) -> Bundle:
    found = kernel_keys.parse_keys(bundle.blob or b"")
    blob = kernel_keys.encode_keys(replace(found, expires=found.expires + 1))
    return replace(bundle, blob=blob, signatures=())


def spoil_version(bundle: Bundle) -> Bundle:
    found = keyring.parse(bundle.payload or b"")
    value = replace(found, version=5)
    return replace(bundle, payload=keyring.encode(value), blob=blob_of(value), signatures=())


@pytest.mark.parametrize(
    ("change_bundle", "status", "words"),
    [
        (spoil_keys, 1, "its keys for the kernel are not those of its keyring"),
        (spoil_version, 2, "is a version 3 other than the bundle's version 5"),
    ],
)
def test_a_keyring_that_was_changed(
    signed_by: Callable[..., World],
    change_bundle: Callable[[Bundle], Bundle],
    status: int,
    words: str,
) -> None:
    world = signed_by()
    waiting(world)
    good(world, *VERSION)
    edit(world.path / "v.sign", change_bundle)
    before = snapshot(world.path / "k")
    done = verity("sign", "attach", "v.sign", "k", cwd=world.path)
    assert (done.status, done.out) == (status, "")
    assert_clean_error(done, (words,), hint=True)
    assert snapshot(world.path / "k") == before


def test_a_stranger_signs_no_keyring(signed_by: Callable[..., World]) -> None:
    world = signed_by()
    waiting(world)
    good(world, *VERSION)
    good(world, "sign", "add", "--yes", "--key", "stranger.pem", "v.sign")
    done = good(world, "sign", "attach", "v.sign", "k")
    assert "waits     for 1 more of the root owners of version 3 (bob)\n" in done.out
    stranger = key_id(world.path, "stranger")
    assert f"the signature by key {stranger} is left out: it is no root key" in done.err
    assert newest(world.path)["version"] == 2


def test_a_stranger_keeps_no_version_from_being_signed(signed_by: Callable[..., World]) -> None:
    world = signed_by()
    waiting(world)
    good(world, *VERSION)
    for name in ("stranger", "bob"):
        good(world, "sign", "add", "--yes", "--key", f"{name}.pem", "v.sign")
    (record,) = good(world, "sign", "attach", "--json", "v.sign", "k").records
    assert (record["complete"], record["left_out"]) == (True, [key_id(world.path, "stranger")])
    assert newest(world.path)["version"] == 3


def test_no_keyring_waits(signed_by: Callable[..., World]) -> None:
    world = signed_by()
    done = verity(*VERSION, cwd=world.path)
    assert (done.status, done.out) == (2, "")
    assert_clean_error(done, ("k/vendor: no version waits for signatures",), hint=True)
    assert not (world.path / "v.sign").exists()
