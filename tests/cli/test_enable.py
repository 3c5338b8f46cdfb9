# SPDX-License-Identifier: Apache-2.0
"""verity enable where nothing can be enabled: in a tmpfs, which has no fs-verity on any kernel.

What it does where there is fs-verity: tests/vm/test_enable.py.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import assert_clean_error, snapshot, stock, verity

NO_VERITY = "no-verity-filesystem"


@pytest.fixture
def shm() -> Iterator[Path]:
    """A directory in a tmpfs, with files, one of them of an odd name."""
    folder = Path(tempfile.mkdtemp(prefix="verity-test-", dir="/dev/shm"))
    for name in ("a", "b", "tree/inner", os.fsdecode(b"tree/caf\xe9\n\x1b[2J")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"contents")
    (folder / "tree/link").symlink_to("inner")
    yield folder
    shutil.rmtree(folder)


def test_every_file_of_a_batch_is_reported(shm: Path) -> None:
    before = snapshot(shm)
    done = verity("enable", "--json", "a", "missing", "tree", "b", cwd=shm)
    assert done.status == 3
    # Directories first: that they are none is known before anything is opened.
    assert [(one["path"], one["code"]) for one in done.records] == [
        ("tree", "is-a-directory"),
        ("a", NO_VERITY),
        ("missing", "not-found"),
        ("b", NO_VERITY),
    ]
    assert all(one["hint"] for one in done.records)
    assert "`verity enable -r`" in done.records[0]["hint"]
    assert done.err.count("verity: error: ") == 4
    assert snapshot(shm) == before


def test_a_tree_is_counted(shm: Path) -> None:
    done = verity("enable", "-r", "--json", ".", cwd=shm)
    assert done.status == 3
    odd = [one["path_base64"] for one in done.of_type("error") if "path_base64" in one]
    assert odd == ["Li90cmVlL2NhZukKG1sySg=="]
    assert done.records[-1] == {
        "v": 1,
        "type": "summary",
        "files": 4,
        "counts": {"enabled": 0, "already": 0, "failed": 4},
        "skipped": {"directories": 2, "symlinks": 1},
        "exit_status": 3,
    }


def test_names_are_escaped_in_text(shm: Path) -> None:
    done = verity("enable", "-r", "tree", cwd=shm)
    assert (done.status, done.out) == (3, "")
    assert "\x1b" not in done.err
    assert r"tree/caf\xe9\x0a\x1b[2J" in done.err
    assert done.err.splitlines()[-1] == (
        "verity: 2 files: 0 enabled, 0 already, 2 failed, 1 directories, 1 symlinks"
    )


def test_a_manifest_leaves_out_what_it_does_not_name(shm: Path) -> None:
    assert verity("manifest", "make", "--output", "made", "tree", cwd=shm).status == 0
    (shm / "tree/more").write_bytes(b"contents")
    (shm / "tree/inner").unlink()
    done = verity("enable", "-r", "--json", "--manifest", "made", "tree", cwd=shm)
    assert done.status == 1
    problems = {one.get("path", "odd"): one["code"] for one in done.of_type("error")}
    assert problems == {
        "tree/more": "not-in-manifest",
        "tree/inner": "not-found",
        "odd": NO_VERITY,
    }


@pytest.mark.parametrize(
    "arguments",
    [("tree",), ("-r", "tree", "tree"), ("-r", "--block-size", "1024", "tree")],
    ids=["no -r", "two directories", "other parameters"],
)
def test_a_manifest_is_of_one_directory(shm: Path, arguments: tuple[str, ...]) -> None:
    done = verity("enable", "--manifest", "made", *arguments, cwd=shm)
    assert done.status == 2
    assert_clean_error(done, ["--manifest", "one directory", "expected -r"], hint=True)


def test_a_manifest_must_be_one(shm: Path) -> None:
    done = verity("enable", "-r", "--manifest", "a", "tree", cwd=shm)
    assert done.status == 1
    assert_clean_error(done, ["manifest", "final newline"], hint=False)


def test_an_empty_directory_is_no_error(shm: Path) -> None:
    (shm / "empty").mkdir()
    done = verity("enable", "-r", "empty", cwd=shm)
    assert (done.status, done.out) == (0, "")
    assert done.err == "verity: 0 files: 0 enabled, 0 already, 0 failed, 1 directories\n"


@pytest.fixture
def signatures(shm: Path) -> Path:
    """A signature as `fsverity sign` makes it, and what is none."""
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem"
    stock(*make.split(), "-subj", "/CN=test", "-out", "cert.pem", cwd=shm)
    sign = ["fsverity", "sign", "a", "good.p7s", "--key=key.pem", "--cert=cert.pem"]
    stock(*sign, cwd=shm)
    good = (shm / "good.p7s").read_bytes()
    for name, data in {
        "empty": b"",
        "text": b"no signature",
        "cut": good[:-1],
        "longer": good + b"\0",
        "twice": good * 2,
        "head": good[:1],
        "sequence": b"\x30\x00",
        "huge": bytes(16129),
    }.items():
        (shm / name).write_bytes(data)
    stock(*"openssl pkcs7 -inform DER -in good.p7s -outform PEM -out pem".split(), cwd=shm)
    stock(*"openssl x509 -in cert.pem -outform DER -out certificate".split(), cwd=shm)
    return shm


BAD = ("empty", "text", "cut", "longer", "twice", "head", "sequence", "pem", "certificate")


def test_what_is_no_signature_is_refused_before_anything_is_done(signatures: Path) -> None:
    before = snapshot(signatures)
    for name in BAD:
        done = verity("enable", "--signature", name, "a", cwd=signatures)
        assert (done.status, done.out) == (1, ""), name
        assert_clean_error(done, (f"{name}: ", "expected a PKCS#7 signature in DER"), hint=True)
    assert snapshot(signatures) == before


def test_signature_files_that_cannot_be_read(signatures: Path) -> None:
    for name, words in {
        "missing": "does not exist",
        "tree": "is a directory",
        "huge": "more than 16128 bytes",
    }.items():
        done = verity("enable", "--signature", name, "a", cwd=signatures)
        assert (done.status, done.out) == (3, ""), name
        assert f"{name}: {words}" in done.err


def test_a_good_signature_reaches_the_kernel(signatures: Path) -> None:
    done = verity("enable", "--signature", "good.p7s", "--json", "a", cwd=signatures)
    assert (done.status, done.records[0]["code"]) == (3, NO_VERITY)


@pytest.mark.parametrize("args", [("a", "b"), ("-r", "a")])
def test_a_signature_is_of_one_file(signatures: Path, args: tuple[str, ...]) -> None:
    done = verity("enable", "--signature", "good.p7s", *args, cwd=signatures)
    assert (done.status, done.out) == (2, "")
    assert_clean_error(done, ("expected one FILE and no -r",), hint=True)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--salt=zz", "'zz' is not hexadecimal"),
        ("--salt=" + "00" * 33, "33 bytes"),
        ("--block-size=0", "block size 0"),
        ("--block-size=256", "block size 256"),
        ("--block-size=4097", "block size 4097"),
        ("--block-size=131072", "block size 131072"),
        ("--block-size=-4096", "block size -4096"),
    ],
)
def test_parameters_out_of_range(shm: Path, option: str, words: str) -> None:
    done = verity("enable", option, "a", cwd=shm)
    assert (done.status, done.out) == (2, "")
    assert words in done.err
