# SPDX-License-Identifier: Apache-2.0
"""Attaching by a keyring: its roles, streams, thresholds and revocations say who counts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.keyring_world import change, key_id, make_keyrings
from tests.cli.program import assert_clean_error, copy, snapshot, verity
from tests.cli.test_sign import good
from tests.cli.worlds import UNSIGNED_REF, World
from verity.formats import bundle as fragments


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
    "one of two": (("os1",), "debian-sid", "signed by 1 of the trusted owners, 2 needed"),
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
    assert_clean_error(done, ("signed by 1 of the trusted owners, 2 needed",), hint=True)
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
