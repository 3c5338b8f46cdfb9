# SPDX-License-Identifier: Apache-2.0
"""manifest convert, and manifest make --payload: to and from the tools of composefs.

Debian has no package of those. What they wrote is among the vectors, and mkcomposefs took what
`--payload ostree` writes when this was made (composefs 1.0.8 and later, built by hand).
"""

import subprocess
from pathlib import Path

from tests.cli.program import VERITY, assert_clean_error, snapshot, verity
from tests.cli.worlds import REF, World
from tests.documents import load
from verity.formats import any_dump

DUMP = load("composefs-dump")[0]["what composefs-info dumped of an image by mkcomposefs"]


def test_a_dump_becomes_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(DUMP.data)
    done = verity("manifest", "convert", "dump", cwd=tmp_path)
    assert (done.status, done.raw_out) == (0, DUMP.canonical)
    assert done.err == "verity: left out: xattrs trusted.t\n"
    written = verity("manifest", "convert", "--output", "m", "dump", cwd=tmp_path)
    assert (written.status, written.out) == (0, "")
    assert (tmp_path / "m").read_bytes() == DUMP.canonical
    again = verity("manifest", "convert", "m", cwd=tmp_path)
    assert (again.raw_out, again.err) == (DUMP.canonical, "")
    assert verity("manifest", "show", "m", cwd=tmp_path).status == 0


def test_a_dump_from_standard_input(tmp_path: Path) -> None:
    command: list[str | Path] = [VERITY, "manifest", "convert", "-"]
    done = subprocess.run(command, cwd=tmp_path, input=DUMP.data, capture_output=True)
    assert (done.returncode, done.stdout) == (0, DUMP.canonical)


def test_what_no_manifest_can_say_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(
        b"/ 0 40755 1 0 0 0 0.0 - - -\n/a\\nb 3 100644 1 0 0 0 0.0 37/37.file - -\n"
    )
    before = snapshot(tmp_path)
    done = verity("manifest", "convert", "--output", "m", "dump", cwd=tmp_path)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, (r"dump: /a\x0ab: neither DIGEST nor CONTENT",), hint=True)
    assert snapshot(tmp_path) == before


def test_many_xattrs_are_named_in_one_line(tmp_path: Path) -> None:
    names = " ".join(f"trusted.\\x1b{number}=" for number in range(7))
    (tmp_path / "dump").write_text(f"/ 0 40755 1 0 0 0 0.0 - - - {names}\n")
    done = verity("manifest", "convert", "dump", cwd=tmp_path)
    shown = ", ".join(rf"trusted.\x1b{number}" for number in range(5))
    assert done.err == f"verity: left out: xattrs {shown} and 2 more\n"


def test_payloads_are_the_objects_of_the_commit(bare: World, tmp_path: Path) -> None:
    make = ("manifest", "make", "--repo", bare.repo)
    manifest = verity(*make, REF, cwd=tmp_path).raw_out
    with_payloads = verity(*make, "--payload", "ostree", "--output", "dump", REF, cwd=tmp_path)
    assert with_payloads.status == 0
    data = (tmp_path / "dump").read_bytes()
    assert data != manifest
    assert any_dump.to_manifest(any_dump.parse(data)) == manifest
    sizes = {}
    for text in data.splitlines():
        path, size, mode, *_, payload, _, _ = text.split(b" ")[:11]
        if mode.startswith(b"10") and size != b"0":
            file = bare.repo / "objects" / payload.decode()
            assert file.stat().st_size == int(size)
            sizes[path] = size
    assert b"/usr/bin/tool" in sizes


def test_payloads_are_of_a_commit(tmp_path: Path) -> None:
    done = verity("manifest", "make", "--payload", "ostree", ".", cwd=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert_clean_error(done, ("--payload: only the files of a commit",), hint=True)
