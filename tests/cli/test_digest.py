# SPDX-License-Identifier: Apache-2.0
"""verity digest on what it may meet: pipes, lists, awkward names, files that fail among others."""

import base64
import hashlib
import os
import subprocess
import threading
from pathlib import Path

import pytest

from tests.cli.program import TIMEOUT_S, VERITY, verity
from verity.formats.fsverity import digest_bytes

AWKWARD = [b"new\nline", b"caf\xe9 \xff", b"back\\slash", b"\x1b[2J", b"-", b"plain"]


def run(*args: str | bytes, cwd: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [VERITY, *args], cwd=cwd, input=stdin, capture_output=True, check=False, timeout=TIMEOUT_S
    )


@pytest.mark.parametrize("size", [0, 1, 4096, 5_000_000])
def test_standard_input(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    done = run("digest", "--compact", "-", cwd=tmp_path, stdin=data)
    assert done.stdout.decode() == f"{digest_bytes(data).value.hex()}\n"


def test_standard_input_stands_in_its_place_among_files(tmp_path: Path) -> None:
    for name in (b"a", b"b", b"-"):
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    done = run("digest", "--compact", "a", "-", "b", "./-", cwd=tmp_path, stdin=b"in")
    expected = [digest_bytes(data).value.hex() for data in (b"a", b"in", b"b", b"-")]
    assert done.stdout.decode().split() == expected


def test_a_pipe_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    with (tmp_path / "closed").open("wb") as unreadable:
        done = subprocess.run(
            [VERITY, "digest", "-"], stdin=unreadable, capture_output=True, check=False
        )
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"cannot read standard input" in done.stderr


@pytest.mark.parametrize("end", [b"\0", b""])
@pytest.mark.parametrize("count", [1, 5000])
def test_a_list_of_names(tmp_path: Path, count: int, end: bytes) -> None:
    names = [AWKWARD[at % len(AWKWARD)] + b"%d" % (at % 50) for at in range(count)]
    for name in set(names):
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    listed = b"\0".join(names) + end
    done = run("digest", "--compact", "--files0-from=-", cwd=tmp_path, stdin=listed)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().split() == [digest_bytes(name).value.hex() for name in names]
    (tmp_path / "list").write_bytes(listed)
    assert run("digest", "--compact", "--files0-from=list", cwd=tmp_path).stdout == done.stdout


def test_an_empty_list_is_no_file_and_no_error(tmp_path: Path) -> None:
    done = run("digest", "--files0-from=-", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_names_are_escaped_in_text_and_exact_in_json(tmp_path: Path) -> None:
    for name in AWKWARD:
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    listed = b"\0".join(AWKWARD)
    lines = run("digest", "--files0-from=-", cwd=tmp_path, stdin=listed).stdout.splitlines()
    assert [line.split(b" ")[1] for line in lines] == [
        *(rb"new\x0aline", rb"caf\xe9\x20\xff", rb"back\x5cslash", rb"\x1b[2J", rb"\x2d", b"plain")
    ]
    (tmp_path / "list").write_bytes(listed)
    records = verity("digest", "--json", "--files0-from=list", cwd=tmp_path).records
    exact = [
        base64.b64decode(record["path_base64"])
        if "path_base64" in record
        else record["path"].encode()
        for record in records
    ]
    assert exact == AWKWARD


def test_a_batch_goes_on_behind_what_fails(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("one")
    os.mkfifo(tmp_path / "fifo")
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode())
    bad = {
        "directory": "directory is a directory, expected a regular file",
        "link": "cannot open link: it is a symbolic link",
        "fifo": "fifo is a fifo",
        "none": "cannot open none: it does not exist",
        "one/below": "cannot open one/below: ",
        "": "a file name is empty",
        "n" * 300: "too long",
    }
    names = ["one", *bad, "two"]
    done = run("digest", "--files0-from=-", cwd=tmp_path, stdin="\0".join(names).encode() + b"\0")
    assert done.returncode == 3
    assert done.stdout.decode().splitlines() == [
        f"{digest_bytes(name.encode())} {name}" for name in ("one", "two")
    ]
    errors = [line for line in done.stderr.decode().splitlines() if "error: " in line]
    for line, words in zip(errors, bad.values(), strict=True):
        assert words in line
    (tmp_path / "list").write_bytes("\0".join(names).encode())
    records = verity("digest", "--json", "--files0-from=list", cwd=tmp_path).records
    assert [record["type"] for record in records] == ["file", *["error"] * len(bad), "file"]
    assert [record["path"] for record in records] == names


def test_an_unreadable_file_among_others(tmp_path: Path) -> None:
    for name in ("one", "closed", "two"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "closed").chmod(0)
    done = verity("digest", "one", "closed", "two", cwd=tmp_path, lesser=True)
    assert done.status == 3
    assert "cannot open closed: permission denied" in done.err
    assert [line.split()[1] for line in done.out.splitlines()] == ["one", "two"]


@pytest.mark.parametrize("change", ["shrink", "replace"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, change: str) -> None:
    """A finding (status 1) that names the file, and the others have their digests."""
    file = tmp_path / "file"
    with file.open("wb") as out:
        for _ in range(256):
            out.write(bytes(range(256)) * 4096)
    (tmp_path / "other").write_bytes(b"other")
    ended = threading.Event()

    def alter() -> None:
        while not ended.is_set():
            if change == "shrink":
                os.truncate(file, 250 << 20)
                os.truncate(file, 256 << 20)
            else:
                os.link(file, tmp_path / "new")
                os.rename(tmp_path / "new", tmp_path / "newer")
                os.unlink(tmp_path / "newer")

    writer = threading.Thread(target=alter)
    writer.start()
    try:
        done = verity("digest", "file", "other", cwd=tmp_path)
    finally:
        ended.set()
        writer.join()
    assert done.status == 1
    assert "file changed while it was read: " in done.err
    assert done.out == f"{digest_bytes(b'other')} other\n"


def test_a_sparse_file_of_a_tebibyte(tmp_path: Path) -> None:
    """Known from arithmetic: each level of a tree of zeros is one hash, repeated."""
    with (tmp_path / "sparse").open("wb") as out:
        out.truncate(1 << 40)
    block = bytes(4096)
    for _ in range(4):  # 2^28 blocks, 2^21, 2^14, 2^7
        block = hashlib.sha256(block).digest() * 128
    root = hashlib.sha256(block).digest()
    descriptor = b"\1\1\x0c\0" + bytes(4) + (1 << 40).to_bytes(8, "little") + root
    expected = hashlib.sha256(descriptor.ljust(256, b"\0")).hexdigest()
    assert verity("digest", "--compact", "sparse", cwd=tmp_path).out == f"{expected}\n"
