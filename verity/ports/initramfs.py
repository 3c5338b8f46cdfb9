# SPDX-License-Identifier: Apache-2.0
"""The files in an initramfs, as the kernel would unpack it.

gzip, xz and bzip2 are unpacked here; zstd and lz4 by their programs, which whoever made it has.
What is unpacked is bounded. It judges nothing.
"""

import bz2
import lzma
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from verity.formats import cpio
from verity.formats.cpio import File
from verity.ports.osfile import read_file
from verity.values.errors import ContentError, HostError

MOST = 512 << 20
"""How many bytes are read, and how many are unpacked at most."""
_TIMEOUT_S = 120
_PROGRAMS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x02\x21\x4c\x18": "lz4"}


class _Decompressor(Protocol):
    """What zlib, lzma and bz2 have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def files(path: Path, keep: Callable[[bytes], bool] = lambda name: True) -> list[File]:
    """Its files, of which only those are kept whose names should be; those of later archives behind
    those of earlier ones, which they replace.

    Raises HostError for what can't be unpacked here, ContentError (``bad-initramfs``).
    """
    rest = read_file(path, max_size=MOST)
    found: list[File] = []
    names = 0

    def noted(name: bytes) -> bool:
        nonlocal names
        names += 1
        return keep(name)

    room = MOST
    while (at := cpio.read(rest, found, noted)) < len(rest):
        inner, rest = _unpacked(rest[at:], path, room)
        room -= len(inner)
        end = cpio.read(inner, found, noted)
        if end < len(inner):
            raise ContentError(
                "bad-initramfs", f"{path}: {len(inner) - end} bytes behind its archive are none"
            )
    if not names:
        raise ContentError("bad-initramfs", f"{path}: there is no file in it")
    return found


def _unpacked(data: bytes, path: Path, room: int) -> tuple[bytes, bytes]:
    """What the compressed part at the beginning holds, and what follows it."""
    made = _decompressor(data)
    if made is None:
        program = _PROGRAMS.get(data[:4])
        if program is None:
            raise ContentError(
                "bad-initramfs",
                f"{path}: it goes on with {data[:6].hex()}, which is no compression that is known",
            )
        return _bounded(_by_program(program, data, path), path, room), b""
    try:
        unpacked = _bounded(made.decompress(data, room + 1), path, room)
    except (zlib.error, lzma.LZMAError, OSError) as error:
        raise ContentError("bad-initramfs", f"{path}: what is compressed is damaged") from error
    if not made.eof:
        raise ContentError("bad-initramfs", f"{path}: what is compressed is cut")
    return unpacked, made.unused_data


def _decompressor(data: bytes) -> _Decompressor | None:
    """By the first bytes; None if it is none of Python's own."""
    if data.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(31)
    if data.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor()
    if data.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    return None


def _by_program(program: str, data: bytes, path: Path) -> bytes:
    try:
        done = subprocess.run(
            [program, "-dc"],
            input=data,
            capture_output=True,
            env={"PATH": "/usr/bin:/bin"},
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError(
            "no-program",
            f"{path}: it is packed with {program}, which isn't installed",
            hint=f"install {program}",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise HostError("timeout", f"{path}: {program} did not end") from error
    if done.returncode != 0:
        raise ContentError("bad-initramfs", f"{path}: {program} says that it is damaged")
    return done.stdout


def _bounded(data: bytes, path: Path, room: int) -> bytes:
    if len(data) > room:
        raise ContentError("bad-initramfs", f"{path}: more than {MOST} bytes when unpacked")
    return data
