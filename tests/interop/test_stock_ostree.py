# SPDX-License-Identifier: Apache-2.0
"""A commit that we signed stays an ordinary commit for stock ostree and gpg."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import needs_root, snapshot, stock, verity
from tests.cli.worlds import REF, World
from verity.verbs import signed

GPG_USER = "verity-test@example.org"


@pytest.fixture(scope="module")
def gpg_home() -> Iterator[Path]:
    """A throw-away home with one key: under a short path, for the agent's socket."""
    home = Path(tempfile.mkdtemp(prefix="vg"))
    try:
        new_key = ("--passphrase", "", "--quick-gen-key", GPG_USER, "ed25519", "sign", "never")
        stock("gpg", "--batch", "--homedir", home, *new_key, cwd=home)
        stock("gpg", "--homedir", home, "--output", home / "key.asc", "--export", cwd=home)
        yield home
    finally:
        stock("gpgconf", "--homedir", home, "--kill", "all", cwd=Path("/"))
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def gpg_world(
    tmp_path_factory: pytest.TempPathFactory,
    gpg_home: Path,
    keys: Path,
    request: pytest.FixtureRequest,
) -> World:
    """A world whose commit has an OpenPGP signature of ostree's beside ours, and one of ours."""
    path = tmp_path_factory.mktemp("gpg") / "w"
    stock("cp", "-a", request.getfixturevalue("made")("archive").path, path, cwd=path.parent)
    world = World(path, "archive")
    stock(
        *("ostree", "--repo=repo", "gpg-sign", "--gpg-homedir", gpg_home),
        *(world.checksum(), GPG_USER),
        cwd=path,
    )
    before = world.detached()
    done = verity(
        *("commit", "sign", "--repo=repo", "--key=vendor.pem", "--stream=os", "--serial=5"),
        *("--replace", "--gpg-sign", GPG_USER, "--gpg-homedir", str(gpg_home), "--json", REF),
        cwd=path,
    )
    assert done.status == 0, done.err
    assert done.records[0]["gpg"] is True
    after = world.detached()
    # What others attached is there as it was, and their signature is still the first.
    assert after.get("vendor.note") == before.get("vendor.note")
    assert dict(after.entries)["vendor.note"] == dict(before.entries)["vendor.note"]
    (theirs,) = before.get_byte_arrays(signed.GPG_SIGNATURES)
    assert after.get_byte_arrays(signed.GPG_SIGNATURES)[0] == theirs
    assert len(after.get_byte_arrays(signed.GPG_SIGNATURES)) == 2
    return world


def client(world: World, home: Path, path: Path, mode: str = "archive") -> Path:
    """An empty repository that trusts only this gpg key."""
    repo = path / "client"
    stock("ostree", f"--repo={repo}", "init", f"--mode={mode}", cwd=path)
    stock(
        *("ostree", f"--repo={repo}", "remote", "add", f"--gpg-import={home / 'key.asc'}"),
        *("origin", f"file://{world.repo}"),
        cwd=path,
    )
    return repo


def test_fsck(gpg_world: World) -> None:
    stock("ostree", "--repo=repo", "fsck", cwd=gpg_world.path)


def test_show(gpg_world: World, gpg_home: Path, tmp_path: Path) -> None:
    repo = client(gpg_world, gpg_home, tmp_path)
    stock("ostree", f"--repo={repo}", "pull", "origin", REF, cwd=tmp_path)
    said = stock(
        *("ostree", f"--repo={repo}", "show", "--gpg-verify-remote=origin", f"origin:{REF}"),
        cwd=tmp_path,
    )
    assert "Found 2 signatures" in said
    assert said.count("Good signature from") == 2
    kept = stock(
        *("ostree", "--repo=repo", "show", "--print-detached-metadata-key=vendor.note", REF),
        cwd=gpg_world.path,
    )
    assert kept.strip() == "'kept'"


def test_pull_verifies_and_brings_everything(
    gpg_world: World, gpg_home: Path, tmp_path: Path
) -> None:
    repo = client(gpg_world, gpg_home, tmp_path)
    stock("ostree", f"--repo={repo}", "pull", "origin", REF, cwd=tmp_path)
    checksum = gpg_world.checksum()
    name = f"objects/{checksum[:2]}/{checksum[2:]}.commitmeta"
    assert (repo / name).read_bytes() == (gpg_world.repo / name).read_bytes()
    key = str(gpg_world.path / "vendor.pem.pub")
    done = verity("commit", "verify", "--repo=client", "--key", key, f"origin:{REF}", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")


def test_pull_refuses_another_key(gpg_world: World, gpg_home: Path, tmp_path: Path) -> None:
    """That the pull above would notice."""
    home = Path(tempfile.mkdtemp(prefix="vg"))
    try:
        new_key = ("--passphrase", "", "--quick-gen-key", "else@example.org", "ed25519", "sign")
        stock("gpg", "--batch", "--homedir", home, *new_key, cwd=home)
        stock("gpg", "--homedir", home, "--output", home / "key.asc", "--export", cwd=home)
        repo = client(gpg_world, home, tmp_path)
        with pytest.raises(AssertionError, match="public key not found"):
            stock("ostree", f"--repo={repo}", "pull", "origin", REF, cwd=tmp_path)
    finally:
        stock("gpgconf", "--homedir", home, "--kill", "all", cwd=Path("/"))
        shutil.rmtree(home)


@needs_root
def test_pull_local_and_checkout(gpg_world: World, tmp_path: Path) -> None:
    repo = tmp_path / "local"
    stock("ostree", f"--repo={repo}", "init", "--mode=bare", cwd=tmp_path)
    stock("ostree", f"--repo={repo}", "pull-local", gpg_world.repo, REF, cwd=tmp_path)
    key = gpg_world.path / "vendor.pem.pub"
    args = ("commit", "verify", "--repo=local", "--key", str(key), REF)
    assert verity(*args, cwd=tmp_path).status == 0
    stock("ostree", f"--repo={repo}", "checkout", "-H", REF, "out", cwd=tmp_path)

    def contents(tree: Path) -> dict[str, tuple[int, int, bytes]]:
        start = len(os.fsencode(tree))
        prefix = len("b'") + start
        return {name[prefix:]: found for name, found in snapshot(tree).items() if "\\" not in name}

    assert contents(tmp_path / "out") == contents(gpg_world.path / "tree")
    explained = verity(
        *("explain", "--root=out", "--repo=local", "--commit", REF, "--key", str(key)),
        "/usr/bin/tool",
        cwd=tmp_path,
    )
    assert "hard link of local/objects/" in explained.out


def test_a_stock_signature_never_counts(gpg_world: World, tmp_path: Path) -> None:
    path = tmp_path / "w"
    stock("cp", "-a", gpg_world.path, path, cwd=tmp_path)
    world = World(path, "archive")
    metadata = world.detached()
    for name in (signed.STATEMENT, signed.MANIFEST, signed.GRANTS, signed.GRANTS_SIGNATURES):
        metadata = metadata.without(name)
    world.attach(metadata)
    args = ("commit", "verify", "--repo=repo", "--key=vendor.pem.pub", REF)
    done = verity(*args, cwd=path)
    assert done.status == 1
    assert done.out.startswith("FINDING  not-signed  ")
