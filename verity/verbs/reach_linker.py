# SPDX-License-Identifier: Apache-2.0
"""Which files the dynamic linker takes for the name of a library: the rules of ld.so(8).

1. A name with a slash is a path.
2. The RPATHs of the file and of those that loaded it, unless the file has a RUNPATH.
3. LD_LIBRARY_PATH, where a unit sets it.
4. The file's RUNPATH.
5. /etc/ld.so.cache.
6. The default directories, unless the file says no.

Each step ends the search. Where several files may be taken (the variants for newer processors, and
for 5. what the directories of ld.so.conf would put into the next cache), all are given: which of
them a processor takes isn't known. Files of another machine or word size are passed over, as there.

Left out: that a library which is loaded already is taken without a search, and the preferences of
set-id programs; both take less than what is given here. musl's linker has other directories.
"""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase

from verity.formats import ld_cache
from verity.formats.elf import MAGIC
from verity.formats.elf_needs import Needs
from verity.ports.osfile import closing, translate_oserror
from verity.values.errors import VerityError
from verity.verbs.reach_values import Seen

CACHE = b"/etc/ld.so.cache"
CONFIGURATION = b"/etc/ld.so.conf"
_MULTIARCH = {
    (62, 64): b"x86_64-linux-gnu",
    (62, 32): b"x86_64-linux-gnux32",
    (3, 32): b"i386-linux-gnu",
    (183, 64): b"aarch64-linux-gnu",
    (40, 32): b"arm-linux-gnueabihf",
    (243, 64): b"riscv64-linux-gnu",
    (21, 64): b"powerpc64le-linux-gnu",
}
_PLATFORM = {62: b"x86_64", 3: b"i686", 183: b"aarch64", 40: b"v7l", 243: b"riscv64"}
_HWCAPS = b"glibc-hwcaps"


class Linker:
    """Looks names up in one tree."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._kinds: dict[bytes, tuple[int, int] | None] = {}
        self._found: dict[tuple[bytes, tuple[bytes, ...], int, int], tuple[bytes, ...]] = {}
        self._read: set[bytes] = set()
        self.configured = tuple(self._configured(CONFIGURATION))
        self._cache: dict[bytes, tuple[bytes, ...]] = {}
        try:
            data = seen.tree.read(CACHE, max_size=ld_cache.MAX_SIZE)
            self._cache = ld_cache.parse(data) if data else {}
        except VerityError as error:
            seen.refused(CACHE, error)

    def files(
        self,
        name: bytes,
        needs: Needs,
        origin: bytes,
        *,
        inherited: tuple[bytes, ...] = (),
        search: tuple[bytes, ...] = (),
    ) -> tuple[bytes, ...]:
        """The files for a name that a file in the directory ``origin`` needs; none if none is."""
        # 1. A path.
        if b"/" in name:
            return tuple(_expand((name,), origin, needs))
        kind = needs.machine, needs.bits
        for folders in (
            # 2. to 4. Those that the files and the environment bring.
            () if needs.runpath else (*_expand(needs.rpath, origin, needs), *inherited),
            search,
            tuple(_expand(needs.runpath, origin, needs)),
        ):
            found = self._in_folders(name, folders, kind)
            if found:
                return found
        # 5. The cache, and what the next one would have.
        cached = tuple(one for one in self._cache.get(name, ()) if self._kind(one) == kind)
        later = self._in_folders(name, self.configured, kind)
        if cached or later:
            return tuple(dict.fromkeys((*cached, *later)))
        # 6. The default directories.
        return () if needs.no_default else self._in_folders(name, _default(kind), kind)

    def rpaths(
        self, needs: Needs, origin: bytes, inherited: tuple[bytes, ...]
    ) -> tuple[bytes, ...]:
        """What the libraries that this file loads inherit."""
        own = () if needs.runpath else _expand(needs.rpath, origin, needs)
        return tuple(dict.fromkeys((*own, *inherited)))

    def _in_folders(
        self, name: bytes, folders: tuple[bytes, ...], kind: tuple[int, int]
    ) -> tuple[bytes, ...]:
        """The first directory's file of that name, with its variants."""
        key = name, folders, *kind
        if key not in self._found:
            self._found[key] = self._look(name, folders, kind)
        return self._found[key]

    def _look(
        self, name: bytes, folders: tuple[bytes, ...], kind: tuple[int, int]
    ) -> tuple[bytes, ...]:
        variants: list[bytes] = []
        for folder in folders:
            for variant in self._seen.names(folder + b"/" + _HWCAPS):
                candidate = b"/".join((folder, _HWCAPS, variant, name))
                if self._kind(candidate) == kind:
                    variants.append(candidate)
            if self._kind(folder + b"/" + name) == kind:
                return (*variants, folder + b"/" + name)
        return tuple(variants)

    def _kind(self, path: bytes) -> tuple[int, int] | None:
        """Machine and word size of an ELF file; None for whatever else, and if nothing is there."""
        if path not in self._kinds:
            self._kinds[path] = self._read_kind(path)
        return self._kinds[path]

    def _read_kind(self, path: bytes) -> tuple[int, int] | None:
        found = self._seen.find(path)
        if found is None or not found.is_file:
            return None
        try:
            with closing(self._seen.tree.open(found)) as fd:
                head = os.pread(fd, 20, 0)
        except OSError as error:
            self._seen.refused(path, translate_oserror(error, os.fsdecode(path)))
            return None
        if len(head) < 20 or not head.startswith(MAGIC):
            return None
        return int.from_bytes(head[18:20], "little"), 64 if head[4] == 2 else 32

    def _configured(self, path: bytes) -> Iterator[bytes]:
        """The directories of ld.so.conf with its includes; each file once."""
        self._read.add(path)
        for line in self._seen.lines(path):
            word, _, rest = line.partition(b"#")[0].replace(b"\t", b" ").partition(b" ")
            if word == b"include":
                for one in self._included(rest.strip()):
                    if one not in self._read:
                        yield from self._configured(one)
            elif word.startswith(b"/"):
                yield word.partition(b"=")[0].rstrip(b"/")

    def _included(self, pattern: bytes) -> Iterator[bytes]:
        if not pattern.startswith(b"/"):
            pattern = b"/etc/" + pattern
        folder, _, last = pattern.rpartition(b"/")
        for name in self._seen.names(folder):
            if fnmatchcase(name, last):
                yield folder + b"/" + name


def _expand(paths: tuple[bytes, ...], origin: bytes, needs: Needs) -> Iterator[bytes]:
    """Directories with ``$ORIGIN``, ``$LIB`` and ``$PLATFORM`` replaced; relative ones are none."""
    kind = needs.machine, needs.bits
    libs = [b"lib64" if needs.bits == 64 else b"lib"]
    if kind in _MULTIARCH:
        libs.insert(0, b"lib/" + _MULTIARCH[kind])
    for path in paths:
        for lib in libs if b"LIB" in path else libs[:1]:
            one = path
            for name, value in (
                (b"ORIGIN", origin),
                (b"LIB", lib),
                (b"PLATFORM", _PLATFORM.get(needs.machine, b"")),
            ):
                one = one.replace(b"${" + name + b"}", value).replace(b"$" + name, value)
            if one.startswith(b"/"):
                yield one.rstrip(b"/") or b"/"


def _default(kind: tuple[int, int]) -> tuple[bytes, ...]:
    tops = (b"/lib", b"/usr/lib")
    multiarch = [top + b"/" + _MULTIARCH[kind] for top in tops if kind in _MULTIARCH]
    wide = [top + b"64" for top in tops if kind[1] == 64]
    return (*multiarch, *wide, *tops)
