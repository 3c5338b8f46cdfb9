# SPDX-License-Identifier: Apache-2.0
"""Copies of one bundle that were signed at the same time: merged, or refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import assert_clean_error, copy, snapshot, stock, verity
from tests.cli.test_sign import ATTACH, BOTH, PREPARE, TIMES, add, good, key_id
from tests.cli.worlds import UNSIGNED_REF, World
from verity.formats import sign_bundle

MERGE = ("sign", "merge", "--output", "m")


@pytest.fixture
def two(copied: Callable[[str], World]) -> World:
    """`b`, signed by one key, and `c`, a copy of it by another."""
    world = copied("archive")
    good(world, *PREPARE, *TIMES, UNSIGNED_REF)
    copy(world.path / "b", world.path / "c")
    add(world, "vendor", "b")
    add(world, "other", "c")
    return world


def signers(path: Path) -> list[str]:
    return [one.key_id for one in sign_bundle.parse(path.read_bytes()).signatures]


def test_two_copies_in_parallel(two: World) -> None:
    done = good(two, *MERGE, "b", "c")
    ids = sorted(key_id(two, name) for name in ("vendor", "other"))
    assert [line for line in done.out.splitlines() if line.startswith("signed")] == [
        f"signed    by key {key_id}" for key_id in ids
    ]
    assert signers(two.path / "m") == ids
    good(two, *ATTACH, "--repo", "repo", "m")
    good(two, "commit", "verify", "--repo", "repo", *BOTH, UNSIGNED_REF)


def test_the_order_leaves_no_trace(two: World) -> None:
    good(two, *MERGE, "b", "c")
    good(two, "sign", "merge", "-o", "n", "c", "b")
    assert (two.path / "m").read_bytes() == (two.path / "n").read_bytes()


def test_a_key_that_signed_both_counts_once(two: World) -> None:
    add(two, "vendor", "c")
    good(two, *MERGE, "b", "c", "c")
    assert len(signers(two.path / "m")) == 2


def test_openpgp_signatures_are_kept(two: World, tmp_path: Path) -> None:
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    gpg = ("gpg", "--homedir", home, "--batch", "--passphrase", "")
    stock(*gpg, "--quick-gen-key", "ann@example.org", "ed25519", "sign", cwd=tmp_path)
    good(two, "key", "generate", "third.pem")
    by = ("--gpg-sign", "ann@example.org", "--gpg-homedir", str(home))
    good(two, "sign", "add", "--yes", "--key", "third.pem", *by, "c")
    good(two, *MERGE, "b", "c", "b")
    found = sign_bundle.parse((two.path / "m").read_bytes())
    assert (len(found.signatures), len(found.gpg)) == (3, 1)
    stock("gpgconf", "--homedir", home, "--kill", "all", cwd=tmp_path)


def refused(world: World, *copies: str) -> str:
    before = snapshot(world.path)
    done = verity(*MERGE, *copies, cwd=world.path)
    assert (done.status, done.out) == (1, "")
    assert snapshot(world.path) == before
    return done.err


def test_other_payloads(two: World) -> None:
    later = ("--issued", "2026-01-02T00:00:00Z", *TIMES[2:], "-o", "d")
    good(two, *PREPARE[:-2], *later, UNSIGNED_REF)
    assert "d: it holds other payloads than b\n" in refused(two, "b", "c", "d")


def test_more_signatures_than_the_gate_takes(two: World) -> None:
    for number in range(7):
        good(two, "key", "generate", f"k{number}.pem")
        add(two, f"k{number}", "b")
    assert "b: 9 signatures together, at most 8 are taken\n" in refused(two, "b", "c")


def test_a_signature_that_is_not_over_it(two: World) -> None:
    data = (two.path / "c").read_bytes()
    (two.path / "c").write_bytes(data.replace(b'"kind":"commit"', b'"kind":"etc"'))
    assert "c: sign bundle: " in refused(two, "b", "c")


def test_nothing_is_overwritten(two: World) -> None:
    done = verity("sign", "merge", "-o", "b", "b", "c", cwd=two.path)
    assert done.status == 3
    assert_clean_error(done, ("b: exists already",), hint=True)
