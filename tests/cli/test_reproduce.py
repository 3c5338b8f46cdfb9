# SPDX-License-Identifier: Apache-2.0
"""`commit verify --reproduce`: no key, and any choice of the signer's is found."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.program import assert_clean_error, snapshot, verity
from tests.cli.spoil import (
    REPO,
    change_detached,
    flip_manifest,
    flip_pkcs7,
    flip_statement,
    replace_object,
)
from tests.cli.worlds import OTHER_REF, REF, UNSIGNED_REF, World
from verity.formats import grants
from verity.formats.commit import DetachedMetadata
from verity.formats.grants import Code, CodeEntry
from verity.verbs import signed

REPRODUCE = ("commit", "verify", *REPO, "--reproduce")


def test_good_in_every_mode(any_world: World) -> None:
    before = snapshot(any_world.path)
    for ref in (REF, OTHER_REF):
        done = verity(*REPRODUCE, ref, cwd=any_world.path)
        assert (done.status, done.err) == (0, ""), done
        assert done.out.startswith(f"good: {ref} gives the same manifest and grants (13 files, ")
    assert snapshot(any_world.path) == before


def test_who_signed_is_not_looked_at(world: World) -> None:
    change_detached(flip_statement)(world)
    change_detached(flip_pkcs7)(world)
    assert verity(*REPRODUCE, REF, cwd=world.path).status == 0


def with_grants(change: Callable[[grants.Grants], grants.Grants]) -> Callable[..., None]:
    def apply(metadata: DetachedMetadata) -> DetachedMetadata:
        blob = metadata.get_bytes(signed.GRANTS) or b""
        return metadata.with_bytes(signed.GRANTS, grants.encode(change(grants.parse(blob))))

    return change_detached(apply)


@pytest.mark.parametrize(
    ("spoil", "checks", "objects"),
    [
        (
            change_detached(flip_manifest),
            ["not-reproduced", "manifest-differs"],
            ["commit", "/usr/bin/script"],
        ),
        (
            with_grants(
                lambda one: replace(
                    one, code=tuple(sorted((*one.code, CodeEntry(b"\1" * 32, Code.EXEC))))
                )
            ),
            ["not-reproduced", "grants-differ"],
            ["commit", "digest " + "01" * 32],
        ),
        (
            with_grants(lambda one: replace(one, elevate=())),
            ["not-reproduced", "grants-differ"],
            ["commit", "/usr/bin/sudo"],
        ),
        (
            with_grants(lambda one: replace(one, manifest_sha256=bytes(32))),
            ["not-reproduced"],
            ["commit"],
        ),
    ],
    ids=["manifest", "code-nobody-earned", "elevation-left-out", "grants-of-another-manifest"],
)
def test_found(
    world: World, spoil: Callable[[World], None], checks: list[str], objects: list[str]
) -> None:
    spoil(world)
    done = verity(*REPRODUCE, "--json", REF, cwd=world.path)
    assert done.status == 1
    found = done.of_type("finding")
    assert [record["check"] for record in found] == checks
    assert all(record["object"].startswith(one) for record, one in zip(found, objects, strict=True))
    assert all(record["expected"] != record["found"] for record in found)


def test_of_a_damaged_commit_nothing_follows(world: World) -> None:
    replace_object("/usr/share/big")(world)
    done = verity(*REPRODUCE, REF, cwd=world.path)
    assert done.status == 1
    assert_clean_error(done, ("/usr/share/big: ", "its checksum is"), hint=True)


def test_nothing_to_compare_with(bare: World) -> None:
    done = verity(*REPRODUCE, UNSIGNED_REF, cwd=bare.path)
    assert done.status == 1
    assert "no verity.manifest in its detached metadata" in done.err


@pytest.mark.parametrize("more", ["--key=vendor.pem.pub", "--accept", "--ostree-key=x", "--pin=x"])
def test_it_takes_no_keys(bare: World, more: str) -> None:
    done = verity(*REPRODUCE, more, REF, cwd=bare.path)
    assert done.status == 2
    assert "--reproduce takes no keys" in done.err


def test_without_it_a_key_is_needed(bare: World, tmp_path: Path) -> None:
    done = verity("commit", "verify", *REPO, "--root", tmp_path, REF, cwd=bare.path)
    assert done.status == 3
    assert "there is no pin, so nobody is trusted" in done.err
