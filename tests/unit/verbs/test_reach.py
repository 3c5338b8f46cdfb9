# SPDX-License-Identifier: Apache-2.0
"""Following files: scripts to interpreters, ELF files to libraries as the dynamic linker does."""

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from tests.reach_world import LOADER, Host, elf
from verity.verbs.reach_values import Reach, Reference, Step, Use

A = "/usr/bin/a"
ARCH = "/usr/lib/x86_64-linux-gnu"
BY = (Step(b"test", "starts it"),)


def start(host: Host, path: str = A, *, search: tuple[bytes, ...] = ()) -> Reach:
    reference = Reference(target=path.encode(), use=Use.STARTED, by=BY, search=search)
    return host.reach(reference)


def paths(reach: Reach, use: Use) -> list[str]:
    return sorted(os.fsdecode(one.path) for one in reach.reached if one.use is use)


def libraries(host: Host, *, search: tuple[bytes, ...] = ()) -> list[str]:
    found = paths(start(host, search=search), Use.LIBRARY)
    return [path for path in found if path != LOADER]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "root")


def test_an_interpreter_of_an_interpreter(host: Host) -> None:
    host.file(A, b"#!/usr/bin/b -x\n", 0o755)
    host.file("/usr/bin/b", b"#! \t/bin/sh -e\n", 0o755)
    reach = start(host)
    assert paths(reach, Use.STARTED) == [A]
    assert paths(reach, Use.INTERPRETER) == ["/bin/sh", "/usr/bin/b"]
    by = {one.path: one.chain for one in reach.reached}
    assert by[b"/bin/sh"] == "test (starts it) > /usr/bin/a (#!) > /usr/bin/b (#!)"


@pytest.mark.parametrize("words", ["env b", "env -S b -x", "env -i A=1 b"])
def test_env(host: Host, words: str) -> None:
    host.file(A, f"#!/usr/bin/{words}\n".encode(), 0o755)
    host.program("/usr/bin/env")
    host.program("/usr/local/bin/b")
    reach = start(host)
    assert paths(reach, Use.INTERPRETER) == ["/usr/bin/env"]
    assert paths(reach, Use.STARTED) == [A, "/usr/local/bin/b"]


def test_scripts_that_name_each_other_end(host: Host) -> None:
    host.file(A, b"#!/usr/bin/b\n", 0o755)
    host.file("/usr/bin/b", b"#!/usr/bin/a\n", 0o755)
    assert paths(start(host), Use.INTERPRETER) == [A, "/usr/bin/b"]


def test_libraries_of_libraries(host: Host) -> None:
    host.program(A, needed=["l.so"])
    host.library(f"{ARCH}/l.so", needed=["m.so", "l.so"])
    host.library("/usr/lib/m.so")
    assert libraries(host) == ["/usr/lib/m.so", f"{ARCH}/l.so"]


def test_a_missing_library_is_named_as_it_is_asked_for(host: Host) -> None:
    host.program(A, needed=["gone.so"])
    (missing,) = (one for one in start(host).reached if one.located is None)
    assert (missing.path, missing.optional) == (b"gone.so", False)


# (rpath, runpath, LD_LIBRARY_PATH, no default directories) -> from which directory it is taken
@pytest.mark.parametrize(
    ("rpath", "runpath", "search", "no_default", "taken"),
    [
        ("", "", (), False, ["/usr/lib"]),
        ("/r", "", (), False, ["/r"]),
        ("/r", "", (b"/e",), False, ["/r"]),
        ("", "/u", (), False, ["/u"]),
        ("", "/u", (b"/e",), False, ["/e"]),
        ("/r", "/u", (), False, ["/u"]),
        ("/none:/r", "", (), False, ["/r"]),
        ("$ORIGIN/../../r", "", (), False, ["/r"]),
        ("${ORIGIN}/../../r", "", (), False, ["/r"]),
        ("", "/$LIB", (), False, ["/lib/x86_64-linux-gnu"]),
        ("", "r", (), False, ["/usr/lib"]),
        ("", "", (), True, []),
        ("", "", (b"/e",), True, ["/e"]),
    ],
)
def test_search_paths(
    host: Host,
    rpath: str,
    runpath: str,
    search: tuple[bytes, ...],
    no_default: bool,
    taken: list[str],
) -> None:
    data = elf(needed=["l.so"], rpath=rpath, runpath=runpath, no_default=no_default)
    host.file(A, data, 0o755)
    for folder in ("/r", "/u", "/e", "/usr/lib", "/lib/x86_64-linux-gnu"):
        if folder != "/lib/x86_64-linux-gnu" or "LIB" in runpath:
            host.library(f"{folder}/l.so")
    assert libraries(host, search=search) == [f"{one}/l.so" for one in taken] or taken == []
    if not taken:
        assert libraries(host, search=search) == ["l.so"]


def test_libraries_inherit_an_rpath_but_no_runpath(host: Host) -> None:
    for name, kind in (("a", "rpath"), ("b", "runpath")):
        data = elf(needed=["l.so"], text=name.encode(), **{kind: "/r"})  # type: ignore[arg-type]
        host.file(f"/usr/bin/{name}", data, 0o755)
    host.library("/r/l.so", needed=["m.so"])
    host.library("/r/m.so")
    assert paths(start(host, "/usr/bin/a"), Use.LIBRARY)[1:] == ["/r/l.so", "/r/m.so"]
    # But what the program has loaded by itself is there already.
    (missing,) = (one for one in start(host, "/usr/bin/b").reached if one.located is None)
    assert missing.path == b"m.so"


def test_what_is_loaded_already_is_not_looked_for(host: Host) -> None:
    host.file(A, elf(needed=["l.so", "m.so"], runpath="/r"), 0o755)
    host.library("/r/l.so", needed=["m.so"])
    host.library("/r/m.so")
    assert libraries(host) == ["/r/l.so", "/r/m.so"]


def test_all_variants_for_newer_processors(host: Host) -> None:
    host.program(A, needed=["l.so"])
    host.library(f"{ARCH}/l.so")
    host.library(f"{ARCH}/glibc-hwcaps/x86-64-v3/l.so")
    assert libraries(host) == [f"{ARCH}/glibc-hwcaps/x86-64-v3/l.so", f"{ARCH}/l.so"]


def test_other_machines_files_are_passed_over(host: Host) -> None:
    host.program(A, needed=["l.so"])
    host.file(f"{ARCH}/l.so", elf(interpreter="", machine=183), 0o644)
    host.file("/lib64/l.so", b"no ELF file", 0o644)
    host.library("/usr/lib/l.so")
    assert libraries(host) == ["/usr/lib/l.so"]


def test_configured_directories(host: Host) -> None:
    host.program(A, needed=["l.so"])
    host.file("/etc/ld.so.conf", b"include ld.so.conf.d/*.conf\n")
    host.file("/etc/ld.so.conf.d/x.conf", b"# a comment\n/opt/lib\n")
    host.library("/opt/lib/l.so")
    host.library("/usr/lib/l.so")
    assert libraries(host) == ["/opt/lib/l.so"]


def test_names_with_links_are_the_files_themselves(host: Host) -> None:
    host.program("/usr/bin/real")
    host.link("/etc/alternatives/a", "/usr/bin/real")
    host.link(A, "/etc/alternatives/a")
    (started,) = (one for one in start(host).reached if one.use is Use.STARTED)
    assert (started.path, started.name) == (b"/usr/bin/real", A.encode())


def test_nothing_leads_out_of_the_tree(host: Host, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(elf(text=b"outside"))
    host.link(A, "../../../../outside")
    host.link("/usr/bin/b", str(tmp_path / "outside"))
    for path in (A, "/usr/bin/b"):
        assert [one.located for one in start(host, path).reached] == [None]


def test_a_loop_of_links_is_a_gap(host: Host) -> None:
    host.link(A, "b")
    host.link("/usr/bin/b", "a")
    (gap,) = start(host).gaps
    assert (gap.path, "symbolic link" in gap.why) == (A.encode(), True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:70],
        lambda data: data[:54] + b"\xff\xff" + data[56:],
        lambda data: data[:32] + b"\xff" * 8 + data[40:],
    ],
    ids=["cut", "header-size", "no-headers-there"],
)
def test_damaged(host: Host, damage: Callable[[bytes], bytes]) -> None:
    host.file(A, damage(elf(needed=["l.so"])), 0o755)
    (gap,) = start(host).gaps
    assert gap.path == A.encode()
    assert gap.why == "a damaged ELF file, expected a dynamic segment that can be read"


def test_made_up_sections_hide_no_library(host: Host) -> None:
    """pyelftools would take the names from a section; the dynamic linker doesn't know sections."""
    data = bytearray(elf(needed=["evil.so"]))
    dynamic = int.from_bytes(data[64 + 56 + 8 : 64 + 56 + 16], "little")
    names = len(data)
    data += b"\0good.so\0"
    sections = len(data)
    for kind, offset, size, link in ((0, 0, 0, 0), (6, dynamic, 64, 2), (3, names, 9, 0)):
        data += struct.pack("<IIQQQQIIQQ", 0, kind, 0, 0, offset, size, link, 0, 8, 16)
    struct.pack_into("<Q", data, 40, sections)
    struct.pack_into("<HHH", data, 58, 64, 3, 2)
    shown = [
        getattr(tag, "needed")  # noqa: B009  # made at run time, by the kind of tag
        for segment in ELFFile(io.BytesIO(data)).iter_segments("PT_DYNAMIC")
        for tag in cast(DynamicSegment, segment).iter_tags("DT_NEEDED")
    ]
    assert shown == ["good.so"]
    host.file(A, bytes(data), 0o755)
    assert libraries(host) == ["evil.so"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/etc/ld.so.conf", "include /etc/x/*"),
        ("/etc/ssh/sshd_config", "Include /etc/x/*"),
        ("/etc/logrotate.conf", "include /etc/x"),
    ],
)
def test_files_that_include_each_other_are_read_once(host: Host, path: str, line: str) -> None:
    host.file(path, line.encode())
    for number in range(30):
        host.file(f"/etc/x/{number}", line.encode())
    assert host.reach().gaps == ()


@pytest.mark.parametrize("much", [{"needed": ["l"] * 2000}, {"rpath": ":".join(["/r"] * 300)}])
def test_an_elf_file_that_names_too_much(host: Host, much: dict[str, object]) -> None:
    host.file(A, elf(**{"needed": ["l"], **much}), 0o755)  # type: ignore[arg-type]
    (gap,) = start(host).gaps
    assert gap.why.startswith("a damaged ELF file")
