# SPDX-License-Identifier: Apache-2.0
"""An OSTree repository, read object by object, each checked against its name.

Opened once as a directory descriptor; objects are opened below it without following symlinks.
The modes bare, bare-user and archive are read; making commits and pulling them is stock ostree's
work. The one thing written is a commit's detached metadata: whole or not at all, durably, and
only if nobody else has changed it in the meantime.

Source: libostree's ostree-repo.c and "OSTree repository formats"; docs/formats.md section 8.
"""

import configparser
import contextlib
import errno
import fcntl
import hashlib
import os
import re
import stat
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from verity.formats.commit import (
    Commit,
    DetachedMetadata,
    DirTree,
    FileHeader,
    Metadata,
    Xattrs,
    checksum_of,
    parse_commit,
    parse_dirmeta,
    parse_dirtree,
    parse_filez_header,
)
from verity.ports.osfile import closing, translate_oserror
from verity.values.errors import CallerError, ContentError, HostError

MAX_METADATA = 128 * 2**20
_PIECE = 1 << 20
_LOCK_ATTEMPTS = 300
_LOCK_PAUSE_S = 0.1
_CHECKSUM = re.compile(r"[0-9a-f]{64}")
_REF = re.compile(r"[\w.-][\w./-]*", re.ASCII)
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MODES = {"bare": "bare", "bare-user": "bare-user", "archive": "archive", "archive-z2": "archive"}

Sink = Callable[[memoryview], None]
"""Hears the contents of an object in pieces, in order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeEntry:
    """A file of a commit. ``checksum`` names its content object, None for a directory."""

    path: bytes
    mode: int
    uid: int
    gid: int
    xattrs: Xattrs
    checksum: str | None = None
    target: bytes | None = None

    @property
    def is_regular(self) -> bool:
        """A regular file."""
        return stat.S_ISREG(self.mode)


class Repository:
    """An opened repository. ``mode`` is bare, bare-user or archive."""

    def __init__(self, path: Path) -> None:
        self.label = str(path)
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise translate_oserror(error, self.label) from error
        try:
            self.mode = self._read_mode()
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> "Repository":
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._fd)

    # --- what it is ----------------------------------------------------------------------------

    def _read_mode(self) -> str:
        not_one = HostError(
            "not-a-repository",
            f"{self.label}: not an OSTree repository",
            hint="--repo wants the directory that holds `config` and `objects`;"
            " `ostree --repo=DIR init --mode=bare` makes one",
        )
        text = self._read("config", 1 << 20, missing_ok=True)
        if text is None or not self._is_directory("objects"):
            raise not_one
        parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
        try:
            parser.read_string(text.decode("utf-8"))
            version = parser.get("core", "repo_version")
            mode = parser.get("core", "mode", fallback="bare")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise not_one from error
        if version.strip() != "1" or mode.strip() not in _MODES:
            raise HostError(
                "unknown-repository",
                f"{self.label}: a repository of version {version} and mode {mode}",
                hint=f"version 1 in one of the modes {', '.join(sorted(_MODES))} can be read",
            )
        return _MODES[mode.strip()]

    def _is_directory(self, name: str) -> bool:
        with contextlib.suppress(OSError):
            return stat.S_ISDIR(os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_mode)
        return False

    def resolve(self, revision: str) -> str:
        """The checksum of a commit, by its 64 hex digits, a ref, or REMOTE:REF."""
        if _CHECKSUM.fullmatch(revision):
            return revision
        remote, separator, name = revision.rpartition(":")
        if not _REF.fullmatch(name) or ".." in name or (separator and not _REF.fullmatch(remote)):
            raise CallerError("bad-ref", f"{revision!r} is not the name of a ref or a checksum")
        folders = [f"refs/remotes/{remote}"] if separator else ["refs/heads", "refs/mirrors"]
        for folder in folders:
            found = self._read(f"{folder}/{name}", 256, missing_ok=True)
            if found is not None:
                text = found.decode("ascii", "replace").strip()
                if not _CHECKSUM.fullmatch(text):
                    raise ContentError(
                        "bad-ref", f"{self.label}: the ref {revision} holds no checksum"
                    )
                return text
        there = self._refs()
        raise HostError(
            "no-such-ref",
            f"{self.label}: there is no ref {revision}",
            hint="it has " + (", ".join(there[:5]) + (", ..." if there[5:] else ""))
            if there
            else "it has no refs at all; `ostree refs` lists them",
        )

    def _refs(self) -> list[str]:
        found = []
        for folder, _, names, _ in os.fwalk("refs", dir_fd=self._fd):
            for name in names:
                kind, *rest = f"{folder}/{name}".split("/")[1:]
                if kind == "remotes" and len(rest) > 1:
                    found.append(f"{rest[0]}:{'/'.join(rest[1:])}")
                elif kind == "heads":
                    found.append("/".join(rest))
        return sorted(found)

    # --- metadata objects ----------------------------------------------------------------------

    def read_commit(self, checksum: str) -> tuple[bytes, Commit]:
        """The raw bytes of a commit, which are what is signed, and what they say."""
        data = self._metadata(checksum, "commit")
        return data, parse_commit(data, what=f"commit {checksum}")

    def read_dirtree(self, checksum: str) -> DirTree:
        """A dirtree object."""
        return parse_dirtree(self._metadata(checksum, "dirtree"), what=f"dirtree {checksum}")

    def read_dirmeta(self, checksum: str) -> Metadata:
        """A dirmeta object."""
        return parse_dirmeta(self._metadata(checksum, "dirmeta"), what=f"dirmeta {checksum}")

    def _metadata(self, checksum: str, kind: str) -> bytes:
        data = self._read(_object(checksum, kind), MAX_METADATA, missing_ok=True)
        if data is None:
            raise HostError(
                "no-such-object",
                f"{self.label}: the {kind} {checksum} is missing",
                hint="pull the commit again; `ostree fsck` lists what is missing",
            )
        if checksum_of(data) != checksum:
            raise ContentError(
                "damaged-object",
                f"{self.object_label(checksum, kind)}: its SHA-256 is {checksum_of(data)}",
                hint="remove the object and pull the commit again",
            )
        return data

    def metadata_objects(self, checksum: str) -> Iterator[tuple[str, str]]:
        """(checksum, kind) of the commit, its dirtrees and its dirmetas, each once."""
        yield checksum, "commit"
        _, commit = self.read_commit(checksum)
        seen: set[tuple[str, str]] = set()
        for _, tree, meta in self._directories(commit):
            for item in ((tree, "dirtree"), (meta, "dirmeta")):
                if item not in seen:
                    seen.add(item)
                    yield item

    def _directories(self, commit: Commit) -> Iterator[tuple[bytes, str, str]]:
        pending = [(b"/", commit.root_tree, commit.root_meta)]
        while pending:
            path, tree, meta = pending.pop()
            yield path, tree, meta
            prefix = b"" if path == b"/" else path
            for name, subtree, submeta in self.read_dirtree(tree).directories:
                pending.append((prefix + b"/" + name, subtree, submeta))

    # --- the tree ------------------------------------------------------------------------------

    def walk(self, checksum: str) -> Iterator[TreeEntry]:
        """Every file of a commit, sorted by the bytes of its path, ``/`` first.

        The metadata of files comes from their objects and is not yet checked: see
        ``verify_content``. Raises ContentError for a damaged dirtree or dirmeta.
        """
        _, commit = self.read_commit(checksum)
        entries: list[TreeEntry] = []
        metas: dict[str, Metadata] = {}
        headers: dict[str, FileHeader] = {}
        for path, tree, meta_checksum in self._directories(commit):
            if meta_checksum not in metas:
                metas[meta_checksum] = self.read_dirmeta(meta_checksum)
            entries.append(_entry(path, metas[meta_checksum]))
            prefix = b"" if path == b"/" else path
            for name, content in self.read_dirtree(tree).files:
                if content not in headers:
                    headers[content] = self.header(content)
                header = headers[content]
                entries.append(
                    _entry(
                        prefix + b"/" + name,
                        header.metadata,
                        checksum=content,
                        target=header.target or None,
                    )
                )
        yield from sorted(entries, key=lambda entry: entry.path)

    # --- content objects -----------------------------------------------------------------------

    def open_object(self, checksum: str, kind: str) -> int:
        """A descriptor (O_RDONLY) of an object's file, for the caller to close."""
        return self._open(_object(checksum, kind), self.object_label(checksum, kind))

    def object_label(self, checksum: str, kind: str) -> str:
        """The path of an object, for messages."""
        return f"{self.label}/{_object(checksum, kind)}"

    def header(self, checksum: str) -> FileHeader:
        """Owner, mode, xattrs and target of a content object, as it says itself."""
        if self.mode == "archive":
            with closing(self._open_content(checksum)) as fd:
                return self._filez_header(fd, checksum)[1]
        label = self.object_label(checksum, "file")
        name = _object(checksum, "file")
        try:
            status = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
            if self.mode == "bare" and stat.S_ISLNK(status.st_mode):
                target = os.readlink(os.fsencode(name), dir_fd=self._fd)
                path = b"/proc/self/fd/%d/%b" % (self._fd, name.encode())
                return _bare_header(status, _all_xattrs(path), target)
            with closing(self._open_content(checksum)) as fd:
                status = os.fstat(fd)
                if self.mode == "bare":
                    return _bare_header(status, _all_xattrs(fd), b"")
                return self._user_header(fd, label)
        except FileNotFoundError as error:
            raise self._missing_content(checksum) from error
        except OSError as error:
            raise translate_oserror(error, label) from error

    def _user_header(self, fd: int, label: str) -> FileHeader:
        try:
            raw = os.getxattr(fd, "user.ostreemeta")
        except OSError as error:
            if error.errno == errno.ENODATA:
                raise ContentError(
                    "damaged-object", f"{label}: no user.ostreemeta, which bare-user needs"
                ) from error
            raise
        metadata = parse_dirmeta(raw, what=label)
        if not stat.S_ISLNK(metadata.mode):
            return FileHeader(metadata=metadata)
        target = os.pread(fd, 4097, 0)
        if not target.endswith(b"\0"):
            raise ContentError("damaged-object", f"{label}: a symlink's target without its NUL")
        return FileHeader(metadata=metadata, target=target[:-1])

    def verify_content(self, checksum: str, sink: Sink = lambda piece: None) -> FileHeader:
        """Read a whole content object; refuse it (``damaged-object``) if it isn't its name's.

        ``sink`` hears the contents of a regular file, but they are only proven when this
        returns.
        """
        header = self.header(checksum)
        hasher = hashlib.sha256(header.framed())
        if stat.S_ISREG(header.metadata.mode):
            for piece in self._pieces(checksum):
                hasher.update(piece)
                sink(piece)
        if hasher.hexdigest() != checksum:
            raise ContentError(
                "damaged-object",
                f"{self.object_label(checksum, self._content_kind)}: its checksum is"
                f" {hasher.hexdigest()}: contents, mode, owner or xattrs are not the commit's",
                hint="remove the object and pull the commit again",
            )
        return header

    @property
    def _content_kind(self) -> str:
        return "filez" if self.mode == "archive" else "file"

    def _open_content(self, checksum: str) -> int:
        fd = self._open_maybe(_object(checksum, self._content_kind))
        if fd is None:
            raise self._missing_content(checksum)
        return fd

    def _missing_content(self, checksum: str) -> HostError:
        return HostError(
            "no-such-object",
            f"{self.label}: the content object {checksum} is missing",
            hint="pull the commit again; `ostree fsck` lists what is missing",
        )

    def _pieces(self, checksum: str) -> Iterator[memoryview]:
        label = self.object_label(checksum, self._content_kind)
        with closing(self._open_content(checksum)) as fd:
            try:
                if self.mode == "archive":
                    yield from self._inflated(fd, checksum, label)
                    return
                room = bytearray(min(_PIECE, os.fstat(fd).st_size + 1))
                view = memoryview(room)
                while count := os.readv(fd, [room]):
                    yield view[:count]
            except OSError as error:
                raise translate_oserror(error, label) from error

    def _filez_header(self, fd: int, checksum: str) -> tuple[int, FileHeader, int]:
        label = self.object_label(checksum, "filez")
        length = int.from_bytes(os.pread(fd, 4, 0), "big")
        raw = os.pread(fd, length, 8) if length <= 1 << 20 else b""
        size, header = parse_filez_header(raw, what=label)
        return size, header, 8 + length

    def _inflated(self, fd: int, checksum: str, label: str) -> Iterator[memoryview]:
        size, _, offset = self._filez_header(fd, checksum)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        done = 0
        try:
            while not inflater.eof:
                packed = inflater.unconsumed_tail or os.pread(fd, _PIECE, offset)
                if not inflater.unconsumed_tail:
                    offset += len(packed)
                piece = inflater.decompress(packed, _PIECE)
                done += len(piece)
                if done > size or (not packed and not piece):
                    break
                yield memoryview(piece)
        except zlib.error as error:
            raise ContentError("damaged-object", f"{label}: its deflate stream is bad") from error
        if done != size or not inflater.eof:
            raise ContentError("damaged-object", f"{label}: not the {size} bytes that it states")

    # --- detached metadata ---------------------------------------------------------------------

    def read_detached(self, checksum: str) -> DetachedMetadata:
        """A commit's detached metadata, empty if it has none."""
        data = self._read(_object(checksum, "commitmeta"), MAX_METADATA, missing_ok=True)
        return DetachedMetadata.parse(data, what=f"detached metadata of commit {checksum}")

    def write_detached(
        self, checksum: str, new: DetachedMetadata, *, expected: DetachedMetadata
    ) -> None:
        """Replace a commit's detached metadata, if it still is what ``expected`` was read as.

        The new bytes are written beside, made durable and renamed: after a crash the old or
        the new are there, whole.
        """
        name = _object(checksum, "commitmeta")
        label = self.object_label(checksum, "commitmeta")
        data = new.encode()
        temporary = f"tmp/verity-{os.getpid()}-{checksum[:16]}.commitmeta"
        try:
            with self._locked():
                if self._read(name, MAX_METADATA, missing_ok=True) != expected.raw:
                    raise HostError(
                        "changed-meanwhile",
                        f"{label}: somebody else changed it meanwhile; nothing was written",
                        hint="run the command again",
                    )
                try:
                    self._write_temporary(temporary, data)
                    os.rename(temporary, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
                except BaseException:
                    with contextlib.suppress(OSError):
                        os.unlink(temporary, dir_fd=self._fd)
                    raise
                folder = os.open(
                    os.path.dirname(name), os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._fd
                )
                with closing(folder):
                    os.fsync(folder)
        except OSError as error:
            raise translate_oserror(error, label) from error

    def _write_temporary(self, name: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o644, dir_fd=self._fd), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """ostree's repository lock, exclusive: an open-file-description lock on ``.lock``."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        request = struct.pack("hhxxxxqqixxxx", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        with closing(os.open(".lock", flags, 0o600, dir_fd=self._fd)) as fd:
            for attempt in range(_LOCK_ATTEMPTS):
                try:
                    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, request)
                    break
                except BlockingIOError as error:
                    if attempt + 1 == _LOCK_ATTEMPTS:
                        raise HostError(
                            "locked",
                            f"{self.label}: another process holds the repository's lock",
                            hint="wait for the ostree command that runs there; `fuser -v"
                            f" {self.label}/.lock` names it",
                        ) from error
                    time.sleep(_LOCK_PAUSE_S)
            yield

    # --- files ---------------------------------------------------------------------------------

    def _open(self, name: str, label: str) -> int:
        try:
            return os.open(name, _OPEN, dir_fd=self._fd)
        except OSError as error:
            raise translate_oserror(error, label) from error

    def _open_maybe(self, name: str) -> int | None:
        try:
            return os.open(name, _OPEN, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise translate_oserror(error, f"{self.label}/{name}") from error

    def _read(self, name: str, limit: int, *, missing_ok: bool) -> bytes | None:
        fd = self._open_maybe(name)
        if fd is None:
            if missing_ok:
                return None
            raise HostError("not-found", f"{self.label}/{name}: does not exist")
        try:
            with open(fd, "rb") as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise ContentError("damaged-object", f"{self.label}/{name}: not a regular file")
                data = file.read(limit + 1)
        except OSError as error:
            raise translate_oserror(error, f"{self.label}/{name}") from error
        if len(data) > limit:
            raise ContentError("damaged-object", f"{self.label}/{name}: more than {limit} bytes")
        return data


def _object(checksum: str, kind: str) -> str:
    return f"objects/{checksum[:2]}/{checksum[2:]}.{kind}"


def _entry(
    path: bytes, meta: Metadata, *, checksum: str | None = None, target: bytes | None = None
) -> TreeEntry:
    return TreeEntry(
        path=path,
        mode=meta.mode,
        uid=meta.uid,
        gid=meta.gid,
        xattrs=meta.xattrs,
        checksum=checksum,
        target=target,
    )


def _bare_header(status: os.stat_result, xattrs: Xattrs, target: bytes) -> FileHeader:
    return FileHeader(
        metadata=Metadata(uid=status.st_uid, gid=status.st_gid, mode=status.st_mode, xattrs=xattrs),
        target=target,
    )


def _all_xattrs(file: int | bytes) -> Xattrs:
    follow = isinstance(file, int)
    names = sorted(map(os.fsencode, os.listxattr(file, follow_symlinks=follow)))
    return tuple((name, os.getxattr(file, name, follow_symlinks=follow)) for name in names)
