# SPDX-License-Identifier: Apache-2.0
"""What an ELF file asks the dynamic linker for: its interpreter, needed libraries, search paths.

pyelftools reads the headers. Its own dynamic segment is not used: that one takes the string table
from the sections, which the dynamic linker never looks at, so that a made-up section could show
other names than those that are loaded. On damaged files the library raises nearly anything: all of
it becomes ``bad-elf`` here, and nowhere else is it imported.

What a file asks for at run time with dlopen(3) is in none of these, but for what it says itself in
a note (``.note.dlopen``: JSON with sonames), as systemd does.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from elftools.common.utils import struct_parse
from elftools.elf.elffile import ELFFile

from verity.values.errors import ContentError

_LONGEST = 4096
_MOST_ENTRIES = 4096
_MOST_NOTES = 1 << 20
_MOST_SEGMENTS = 512
_MOST_NEEDED, _MOST_FOLDERS = 1024, 256
_NODEFLIB = 0x800
_NOTE_DLOPEN = 0x407C0C0A
_LISTS = {"DT_NEEDED", "DT_AUDIT", "DT_DEPAUDIT", "DT_FILTER", "DT_AUXILIARY"}
"""What the dynamic linker loads by name."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What the file says. Paths are as written, with ``$ORIGIN`` and the like."""

    machine: int
    bits: int
    interpreter: bytes = b""
    needed: tuple[bytes, ...] = ()
    rpath: tuple[bytes, ...] = ()
    runpath: tuple[bytes, ...] = ()
    no_default: bool = False
    dlopened: tuple[bytes, ...] = ()


def read(file: BinaryIO, label: str) -> Needs:
    """Read an open ELF file. Raises ContentError (``bad-elf``) for a damaged one."""
    try:
        return _read(file)
    except Exception as error:  # its own errors, construct's, UnicodeDecodeError, KeyError, ...
        raise ContentError(
            "bad-elf",
            f"{label}: a damaged ELF file, expected a dynamic segment that can be read",
            hint="install the file anew",
        ) from error


def _read(file: BinaryIO) -> Needs:
    elf = ELFFile(file)
    if elf.num_segments() > _MOST_SEGMENTS:
        raise ValueError("too many segments")
    headers = [
        struct_parse(
            elf.structs.Elf_Phdr,
            file,
            stream_pos=elf["e_phoff"] + number * elf["e_phentsize"],
        )
        for number in range(elf.num_segments())
    ]
    loaded = [one for one in headers if one["p_type"] == "PT_LOAD"]
    interpreter = b""
    tags: list[tuple[str, int]] = []
    dlopened: list[bytes] = []
    for header in headers:
        if header["p_type"] == "PT_INTERP" and not interpreter:
            interpreter = _bytes(file, header["p_offset"], min(header["p_filesz"], _LONGEST))
            interpreter = interpreter.partition(b"\0")[0]
        elif header["p_type"] == "PT_DYNAMIC":
            tags = list(_tags(elf, file, header))
        elif header["p_type"] == "PT_NOTE":
            dlopened += _noted(_bytes(file, header["p_offset"], header["p_filesz"]))
    strings: dict[str, list[bytes]] = {}
    numbers = dict(tags)
    if numbers.keys() & {*_LISTS, "DT_RPATH", "DT_RUNPATH"}:
        table = _offset(loaded, numbers["DT_STRTAB"])
        for tag, value in tags:
            if tag in _LISTS:
                strings.setdefault("needed", []).append(_string(file, table + value))
            elif tag in ("DT_RPATH", "DT_RUNPATH"):
                strings[tag] = [one for one in _string(file, table + value).split(b":") if one]
    folders = (*strings.get("DT_RPATH", ()), *strings.get("DT_RUNPATH", ()))
    if len(strings.get("needed", ())) > _MOST_NEEDED or len(folders) > _MOST_FOLDERS:
        raise ValueError("too many names")
    return Needs(
        machine=_number(file, 18),
        bits=elf.elfclass,
        interpreter=interpreter,
        needed=tuple(strings.get("needed", ())),
        rpath=tuple(strings.get("DT_RPATH", ())),
        runpath=tuple(strings.get("DT_RUNPATH", ())),
        no_default=bool(numbers.get("DT_FLAGS_1", 0) & _NODEFLIB),
        dlopened=tuple(dlopened),
    )


def _tags(elf: ELFFile, file: BinaryIO, header: Any) -> Iterator[tuple[str, int]]:
    size = elf.structs.Elf_Dyn.sizeof()
    for number in range(min(header["p_filesz"] // size, _MOST_ENTRIES)):
        tag = struct_parse(elf.structs.Elf_Dyn, file, stream_pos=header["p_offset"] + number * size)
        if tag["d_tag"] == "DT_NULL":
            return
        yield str(tag["d_tag"]), tag["d_val"]


def _offset(loaded: list[Any], address: int) -> int:
    """Where an address of memory lies in the file."""
    for header in loaded:
        begin = header["p_vaddr"]
        if begin <= address < begin + header["p_filesz"]:
            return int(address - begin + header["p_offset"])
    raise ValueError("an address outside of every segment")


def _string(file: BinaryIO, offset: int) -> bytes:
    found, end, _ = _bytes(file, offset, _LONGEST, short=True).partition(b"\0")
    if not end:
        raise ValueError("a string without an end")
    return found


def _bytes(file: BinaryIO, offset: int, size: int, *, short: bool = False) -> bytes:
    if size > _MOST_NOTES:
        raise ValueError("too long")
    file.seek(offset, os.SEEK_SET)
    data = file.read(size)
    if len(data) < size and not short:
        raise ValueError("it ends too early")
    return data


def _number(file: BinaryIO, offset: int) -> int:
    return int.from_bytes(_bytes(file, offset, 2), "little")


def _noted(notes: bytes) -> Iterator[bytes]:
    """The sonames of the notes about dlopen(3)."""
    at = 0
    while at + 12 <= len(notes):
        name, size, kind = (
            int.from_bytes(notes[at + place : at + place + 4], "little") for place in (0, 4, 8)
        )
        begin = at + 12 + (name + 3 & ~3)
        if kind == _NOTE_DLOPEN and notes[at + 12 : at + 15] == b"FDO":
            for one in json.loads(notes[begin : begin + size].rstrip(b"\0")):
                yield from (soname.encode() for soname in one["soname"])
        at = begin + (size + 3 & ~3)
