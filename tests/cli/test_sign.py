# SPDX-License-Identifier: Apache-2.0
"""Several people sign one thing: the bundle's way from prepare over add to attach."""

import json
import os
import pty
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.forge import COMPILE, PROJECT_USER, STREAMS, make_tools
from tests.cli.program import (
    VERITY,
    Done,
    assert_clean_error,
    lesser_user,
    needs_root,
    snapshot,
    stock,
    verity,
)
from tests.cli.worlds import REF, UNSIGNED_REF, World
from verity.formats import bundle as fragments
from verity.formats import kernel_keys, sign_bundle, statement
from verity.ports.ostree_repo import Repository
from verity.verbs import signed

AS = ("--stream", "os", "--serial", "3")
PREPARE = ("sign", "prepare", "commit", "--repo", "repo", *AS, "-o", "b")
BOTH = ("--key", "vendor.pem.pub", "--key", "other.pem.pub", "--threshold", "2")
ATTACH = ("sign", "attach", *BOTH)
TIMES = ("--issued", "2026-01-01T00:00:00Z", "--expires", "2027-01-01T00:00:00Z")


@pytest.fixture
def archive(copied: Callable[[str], World]) -> World:
    """A signed archive repository, to write into."""
    return copied("archive")


def good(world: World | Path, *args: str) -> Done:
    """Run what must succeed."""
    done = verity(*args, cwd=world.path if isinstance(world, World) else world)
    assert done.status == 0, (args, done.err)
    return done


def add(world: World | Path, key: str, bundle: str = "b") -> Done:
    return good(world, "sign", "add", "--yes", "--key", f"{key}.pem", bundle)


def key_id(world: World, name: str) -> str:
    (record,) = good(world, "key", "show", "--json", f"{name}.pem.pub").records
    found: str = record["key_id"]
    return found


def test_two_of_two(archive: World) -> None:
    said = good(archive, *PREPARE, *TIMES, UNSIGNED_REF)
    assert not archive.commitmeta(UNSIGNED_REF).exists()
    shown = good(archive, "sign", "show", "b")
    assert shown.out == said.out
    lines = dict(line.split(maxsplit=1) for line in said.out.splitlines())
    assert lines["commit"] == archive.checksum(UNSIGNED_REF)
    assert lines["subject"] == "unsigned"
    assert lines["as"] == "stream os serial 3"
    assert lines["valid"] == "from 2026-01-01T00:00:00Z until 2027-01-01T00:00:00Z"
    assert lines["raises"] == "/usr/bin/sudo: runs as user 0"
    assert lines["grants"].endswith("(2 programs, 1 scripts, 2 libraries)")
    assert lines["signers"] == "the vendor's role os"
    # Each on a machine of their own: nothing but the bundle and a key is there.
    homes = []
    for name in ("vendor", "other"):
        home = archive.path / f"home-{name}"
        home.mkdir()
        homes.append(home)
        stock("cp", "-a", f"{name}.pem", home, cwd=archive.path)
    (archive.path / "b").rename(homes[0] / "b")
    first = add(homes[0], "vendor")
    assert first.out.startswith(said.out)
    assert first.out.splitlines()[-1] == f"signed    by key {key_id(archive, 'vendor')}"
    (homes[0] / "b").rename(homes[1] / "b")
    assert f"signed    by key {key_id(archive, 'vendor')}\n" in add(homes[1], "other").out
    (homes[1] / "b").rename(archive.path / "b")
    done = good(archive, *ATTACH, "--repo", "repo", "b")
    ids = sorted(key_id(archive, name) for name in ("vendor", "other"))
    assert done.out.splitlines() == [
        f"commit    {archive.checksum(UNSIGNED_REF)}",
        "as        stream os serial 3",
        f"by        key {ids[0]} and key {ids[1]}",
    ]
    verify = ("commit", "verify", "--repo", "repo", *BOTH, UNSIGNED_REF)
    assert good(archive, *verify).out.startswith(f"good: {UNSIGNED_REF} is as signed")


@pytest.mark.parametrize("signers", [(), ("other",)])
def test_too_few_have_signed(archive: World, signers: tuple[str, ...]) -> None:
    good(archive, *PREPARE, UNSIGNED_REF)
    for name in signers:
        add(archive, name)
    before = snapshot(archive.path)
    done = verity(*ATTACH, "--repo", "repo", "b", cwd=archive.path)
    assert (done.status, done.out) == (1, "")
    said = f"sign bundle: {len(signers)} of 2 owners have signed"
    assert_clean_error(done, (said,), hint=True)
    assert snapshot(archive.path) == before


def test_a_key_signs_once(archive: World) -> None:
    good(archive, *PREPARE, UNSIGNED_REF)
    add(archive, "other")
    before = snapshot(archive.path)
    done = verity("sign", "add", "--yes", "--key", "other.pem", "b", cwd=archive.path)
    assert (done.status, done.out) == (2, "")
    assert_clean_error(
        done, (key_id(archive, "other"), "has signed this bundle already"), hint=True
    )
    assert snapshot(archive.path) == before


def test_signatures_by_other_keys_stay_behind(archive: World) -> None:
    good(archive, *PREPARE, UNSIGNED_REF)
    add(archive, "vendor")
    add(archive, "other")
    attach = ("sign", "attach", "--key", "vendor.pem.pub", "--repo", "repo", "--json", "b")
    done = good(archive, *attach)
    assert f"the signature by key {key_id(archive, 'other')} is left out" in done.err
    (record,) = done.of_type("attached")
    assert record["signers"] == [key_id(archive, "vendor")]
    assert record["left_out"] == [key_id(archive, "other")]
    (envelope,) = archive.detached(UNSIGNED_REF).get_byte_arrays(signed.STATEMENT)
    assert len(statement.parse_envelope(envelope).signatures) == 1
    assert len(archive.detached(UNSIGNED_REF).get_byte_arrays(signed.GRANTS_SIGNATURES)) == 1


def test_nobody_signs_unasked(archive: World) -> None:
    good(archive, *PREPARE, UNSIGNED_REF)
    before = snapshot(archive.path)
    done = verity("sign", "add", "--key", "vendor.pem", "b", cwd=archive.path)
    assert (done.status, done.out) == (2, "")
    assert_clean_error(done, ("no terminal to ask on",), hint=True)
    assert snapshot(archive.path) == before


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 1), ("", 1)])
def test_asked_on_a_terminal(archive: World, answer: str, status: int) -> None:
    good(archive, *PREPARE, UNSIGNED_REF)
    before = snapshot(archive.path)
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            [VERITY, "sign", "add", "--key", "vendor.pem", "b"],
            cwd=archive.path,
            stdin=theirs,
            capture_output=True,
            timeout=60,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == status, done.stderr
    # What is signed was shown before it was asked for.
    assert b"raises    /usr/bin/sudo: runs as user 0\n" in done.stdout
    assert f"Sign this with key {key_id(archive, 'vendor')}? [y/N]".encode() in done.stderr
    assert (snapshot(archive.path) == before) is (status != 0)
    assert (b"nothing was signed" in done.stderr) is (status != 0)


def test_show_and_add_as_json(archive: World) -> None:
    good(archive, *PREPARE, UNSIGNED_REF)
    added = good(archive, "sign", "add", "--yes", "--json", "--key", "vendor.pem", "b")
    shown = good(archive, "sign", "show", "--json", "b")
    assert added.records == shown.records
    (record,) = shown.of_type("bundle")
    assert (record["kind"], record["party"], record["role"]) == ("commit", "vendor", "os")
    assert record["signers"] == [key_id(archive, "vendor")]
    assert {"what": "as", "text": "stream os serial 3"} in record["summary"]


def test_openpgp_goes_along(archive: World, tmp_path: Path) -> None:
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    gpg = ("gpg", "--homedir", home, "--batch", "--passphrase", "")
    stock(*gpg, "--quick-gen-key", "ann@example.org", "ed25519", "sign", cwd=tmp_path)
    good(archive, *PREPARE, UNSIGNED_REF)
    by = ("--gpg-sign", "ann@example.org", "--gpg-homedir", str(home))
    good(archive, "sign", "add", "--yes", "--key", "vendor.pem", *by, "b")
    assert "openpgp   1 signatures for stock ostree\n" in add(archive, "other").out
    good(archive, *ATTACH, "--repo", "repo", "b")
    (signature,) = archive.detached(UNSIGNED_REF).get_byte_arrays(signed.GPG_SIGNATURES)
    (tmp_path / "sig").write_bytes(signature)
    raw = archive.object(archive.checksum(UNSIGNED_REF), "commit")
    stock("gpg", "--homedir", home, "--verify", "sig", raw, cwd=tmp_path)
    stock("gpgconf", "--homedir", home, "--kill", "all", cwd=tmp_path)


def test_several_keys_in_one_process(archive: World) -> None:
    keys = ("--key", "vendor.pem", "--key", "other.pem", "--threshold", "2")
    sign = ("commit", "sign", "--repo", "repo", *keys, *AS, "--json", UNSIGNED_REF)
    (record,) = good(archive, *sign).records
    ids = [key_id(archive, name) for name in ("vendor", "other")]
    assert (record["key_id"], record["key_ids"], record["serial"]) == (ids[0], ids, 3)
    good(archive, "commit", "verify", "--repo", "repo", *BOTH, UNSIGNED_REF)


def test_the_same_tree_and_times_give_the_same_bytes(archive: World, tmp_path: Path) -> None:
    # A repository of another mode with the same commit, and another key.
    checksum = archive.checksum(UNSIGNED_REF)
    stock("ostree", "--repo=other", "init", "--mode=bare-user", cwd=archive.path)
    stock("ostree", "--repo=other", "pull-local", "repo", checksum, cwd=archive.path)
    found = []
    for repo, key in (("repo", "vendor"), ("other", "other")):
        sign = ("commit", "sign", "--repo", repo, "--key", f"{key}.pem", *AS, *TIMES)
        good(archive, *sign, checksum)
        with Repository(archive.path / repo) as repository:
            detached = repository.read_detached(checksum)
        (envelope,) = detached.get_byte_arrays(signed.STATEMENT)
        found.append(
            (
                signed.manifest_bytes(detached, checksum),
                signed.grants_bytes(detached, checksum),
                statement.parse_envelope(envelope).payload,
            )
        )
    assert found[0] == found[1]
    # And a bundle of it is the same document each time.
    for name in ("x", "y"):
        prepare = ("sign", "prepare", "commit", "--repo", "repo", "--replace", *AS, *TIMES)
        good(archive, *prepare, "-o", name, UNSIGNED_REF)
    assert (archive.path / "x").read_bytes() == (archive.path / "y").read_bytes()


@needs_root
def test_neither_root_nor_a_checkout(archive: World) -> None:
    user = lesser_user()
    stock("rm", "-r", "tree", cwd=archive.path)
    stock("chown", "-R", f"{user}:{user}", ".", cwd=archive.path)
    for args in (
        ("commit", "sign", "--repo", "repo", "--key", "vendor.pem", *AS, UNSIGNED_REF),
        (
            *("sign", "prepare", "commit", "--repo", "repo", "--stream", "os"),
            *("--serial", "auto", "--replace", "-o", "b", REF),
        ),
        ("sign", "add", "--yes", "--key", "other.pem", "b"),
        ("sign", "attach", "--key", "other.pem.pub", "--repo", "repo", "--replace", "b"),
        ("commit", "verify", "--repo", "repo", "--key", "other.pem.pub", REF),
    ):
        done = verity(*args, cwd=archive.path, lesser=True)
        assert done.status == 0, (args, done.err)
    assert archive.commitmeta().stat().st_uid == user
    assert archive.commitmeta(UNSIGNED_REF).stat().st_uid == user


# --- documents that exist, and extensions


def test_a_blob_that_exists(archive: World) -> None:
    kind = "keys"
    good(archive, "key", "generate", "policy.pem")
    good(archive, "key", "generate", "uroot.pem")
    good(archive, *PROJECT_USER, "--role", "policy=policy.pem.pub", "doc")
    start, line = kernel_keys.KEYS_KIND, "role      policy, threshold 1\n"
    blob = fragments.parse_fragment((archive.path / "doc").read_bytes(), label="doc").blob
    (archive.path / "raw").write_bytes(blob)
    for document in ("doc", "raw"):
        prepared = good(
            archive, "sign", "prepare", "file", "-o", f"{document}.sign", kind, document
        )
        assert line in prepared.out
    data = [(archive.path / name).read_bytes() for name in ("doc.sign", "raw.sign")]
    assert data[0] == data[1]
    for name in ("vendor", "other"):
        add(archive, name, "doc.sign")
    done = good(archive, *ATTACH, "doc.sign", "out")
    assert done.out.startswith(f"what      {kind} sha256:")
    found = fragments.parse_fragment((archive.path / "out").read_bytes(), label="out")
    assert (found.blob[:16], found.blob, len(found.signatures)) == (start, blob, 2)
    assert stat.S_IMODE((archive.path / "out").stat().st_mode) == 0o644


def prepared_extension(world: World) -> Path:
    tree = world.path / "tools"
    make_tools(tree)
    prepare = ("sign", "prepare", "extension", "--tree", "tools", "--stream", "tools")
    good(world, *prepare, "--serial", "1", "-o", "b")
    add(world, "vendor")
    add(world, "other")
    return tree


def test_an_extension(archive: World) -> None:
    prepared_extension(archive)
    done = good(archive, *ATTACH, "--tree", "tools", "b", "tools.signed")
    assert done.out.startswith("what      extension\nas        stream tools serial 1\n")
    found = (archive.path / "tools.signed/grants").read_bytes()
    assert len(fragments.parse_fragment(found, label="grants").signatures) == 2
    assert sorted(os.listdir(archive.path / "tools.signed")) == [
        "grants",
        "manifest",
        "statement.json",
    ]


def test_another_tree_than_the_one_that_was_signed(archive: World) -> None:
    tree = prepared_extension(archive)
    (tree / "data").write_text("still no code")
    before = snapshot(archive.path)
    done = verity(*ATTACH, "--tree", "tools", "b", "tools.signed", cwd=archive.path)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("/data: digest and size changed since",), hint=True)
    assert snapshot(archive.path) == before


# --- what has expired

OLD = ("--issued", "2020-01-01T00:00:00Z", "--expires", "2020-02-01T00:00:00Z")


def not_attached(archive: World, *args: str) -> None:
    before = snapshot(archive.path)
    done = verity(*ATTACH, *args, cwd=archive.path)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("what it holds expired at 2020-02-01T00:00:00Z",), hint=True)
    assert snapshot(archive.path) == before


def test_an_expired_commit_is_not_attached(archive: World) -> None:
    good(archive, *PREPARE, *OLD, UNSIGNED_REF)
    for name in ("vendor", "other"):
        add(archive, name)
    not_attached(archive, "--repo", "repo", "b")


def test_an_expired_extension_is_not_attached(archive: World) -> None:
    make_tools(archive.path / "tools")
    prepare = ("sign", "prepare", "extension", "--tree", "tools", "--stream", "tools")
    good(archive, *prepare, "--serial", "1", *OLD, "-o", "b")
    for name in ("vendor", "other"):
        add(archive, name)
    not_attached(archive, "--tree", "tools", "b", "out")


# --- arguments


USAGE = {
    "a commit without its repository": (*ATTACH, "b"),
    "a commit into a file": (*ATTACH, "--repo", "repo", "b", "out"),
    "a commit of a tree": (*ATTACH, "--repo", "repo", "--tree", "tree", "b"),
    "more owners than keys": ("sign", "attach", "--key", "other.pem.pub", "--threshold=2", "b"),
    "prepare without a bundle": (*PREPARE[:-2], UNSIGNED_REF),
    "prepare a token": ("sign", "prepare", "file", "-o", "x", "unlock", "b"),
    "serial of a word": (*PREPARE[:-4], "--serial", "next", "-o", "x", UNSIGNED_REF),
    "a time of a day": (*PREPARE, "--issued", "2026-01-01", UNSIGNED_REF),
    "expired when issued": (
        *(*PREPARE, "--issued", "2026-01-01T00:00:00Z"),
        *("--expires", "2026-01-01T00:00:00Z", UNSIGNED_REF),
    ),
    "valid for two times": (*PREPARE, "--days", "9", *TIMES[2:], UNSIGNED_REF),
    "fewer keys than must sign": (
        *("commit", "sign", "--repo", "repo", "--key", "vendor.pem", "--threshold", "2"),
        *(*AS, UNSIGNED_REF),
    ),
    "a key that signs twice": (
        *("commit", "sign", "--repo", "repo", "--key", "vendor.pem", "--key", "./vendor.pem"),
        *(*AS, UNSIGNED_REF),
    ),
    "an extension's next serial without a record": (
        *("extension", "sign", "--key", "vendor.pem", "--stream", "t", "--serial", "auto"),
        *("--tree", "tree/usr/share", "out"),
    ),
}


@pytest.mark.parametrize("name", USAGE)
def test_usage(archive: World, name: str) -> None:
    good(archive, *PREPARE, UNSIGNED_REF)
    before = snapshot(archive.path)
    done = verity(*USAGE[name], cwd=archive.path)
    assert (done.status, done.out) == (2, ""), done
    assert "verity: error: " in done.err
    assert snapshot(archive.path) == before


def test_a_bundle_that_is_none(archive: World) -> None:
    done = verity("sign", "show", "vendor.pem.pub", cwd=archive.path)
    assert done.status == 1
    assert_clean_error(done, ("vendor.pem.pub: sign bundle: not JSON",), hint=False)


def test_a_bundle_is_not_overwritten(archive: World) -> None:
    good(archive, *PREPARE, UNSIGNED_REF)
    done = verity(*PREPARE, UNSIGNED_REF, cwd=archive.path)
    assert done.status == 3
    assert_clean_error(done, ("b: exists already",), hint=True)


def test_a_document_of_another_kind(archive: World) -> None:
    good(archive, "key", "generate", "policy.pem")
    good(archive, *COMPILE, *STREAMS, "doc")
    done = verity("sign", "prepare", "file", "-o", "x", "keys", "doc", cwd=archive.path)
    assert done.status == 2
    assert_clean_error(done, ("doc: it holds a blob of another kind than keys",), hint=False)


def test_the_bundle_holds_no_summary(archive: World) -> None:
    good(archive, *PREPARE, UNSIGNED_REF)
    found = json.loads((archive.path / "b").read_bytes())
    assert sorted(found) == [
        *("_type", "blob", "commit", "gpg", "kind", "manifest"),
        *("payload", "payloadType", "signatures"),
    ]
    assert sign_bundle.parse((archive.path / "b").read_bytes()).signatures == ()
