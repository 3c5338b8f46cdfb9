# SPDX-License-Identifier: Apache-2.0
"""sign prepare: the payloads of a commit, a directory or a file, into a bundle without signatures.

It needs no key, no root and no checkout. A tree is read once (``Source``), and its documents are
made for a place in a stream; the same tree, place and times give the same bytes on every machine.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle, dump, sign_payloads
from verity.formats.commit import DetachedMetadata
from verity.formats.grant_rules import (
    NOTHING_ASKED,
    Asked,
    Listed,
    check_extension,
    nothing_listed,
)
from verity.formats.sign_bundle import SHAPES, Bundle, BundleKind
from verity.formats.sign_payloads import SIGNER_OF, Opened, TreeSaid
from verity.ports.osfile import read_file
from verity.ports.ostree_repo import Repository
from verity.ports.serials import SerialRecord
from verity.values.errors import CallerError
from verity.verbs import contents, documents, sign_bundles, sign_serials, signed
from verity.verbs.contents import Known
from verity.verbs.documents import Place
from verity.verbs.manifest import read_directory
from verity.verbs.sign_serials import Attached

FILE_KINDS = (BundleKind.KEYS, BundleKind.POLICY, BundleKind.REVOKE)


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Where in a stream it will stand. ``serial`` None is the next one; times since 1970."""

    stream: str
    serial: int | None
    issued: int
    expires: int

    def __post_init__(self) -> None:
        documents.check_stream(self.stream)

    def place(self, kind: BundleKind, serial: int) -> Place:
        """The place of a tree of this kind, signed by the party and role whose it is."""
        of_statement, party, role = SIGNER_OF[kind]
        return Place(
            party=party,
            role=role,
            kind=of_statement,
            stream=self.stream,
            serial=serial,
            issued=self.issued,
            expires=self.expires,
        )


@dataclass(frozen=True, kw_only=True)
class Source:
    """A tree that was read: how to make its documents, and how many objects it had."""

    kind: BundleKind
    make: Callable[[Place], Opened]
    objects: int = 0


def read_commit(
    repository: Repository,
    checksum: str,
    *,
    known: Known = contents.NOTHING,
    asked: Asked = NOTHING_ASKED,
    jobs: int,
) -> Source:
    """Read a commit and everything in it but what is ``known``, each object checked."""
    raw, _ = repository.read_commit(checksum)
    tree = contents.read(repository, checksum, jobs=jobs, known=known)
    if tree.damaged:
        path, error = tree.damaged[0]
        raise type(error)(
            error.code,
            f"{dump.printable(path)}: {error.message}"
            + (f" (and {len(tree.damaged) - 1} more objects)" if len(tree.damaged) > 1 else ""),
            hint=error.hint,
        )
    subjects = {
        "commit": bytes.fromhex(checksum),
        "boot": hashlib.sha256(dump.boot_list(tree.entries)).digest(),
    }

    def make(place: Place) -> Opened:
        return documents.prepare(
            place, tree.entries, tree.heads, subjects=subjects, commit=raw, asked=asked
        )

    return Source(kind=BundleKind.COMMIT, make=make, objects=tree.objects)


def read_extension(tree: Path, *, listed: Listed = nothing_listed) -> Source:
    """Read a directory; refuse what an extension may not bring, and a tree without code.

    A file that can't be read refuses the whole. So does one that is ``listed``.
    """
    nodes = read_directory(tree)
    entries = [node.entry for node in nodes]
    heads = {node.contents.digest: node.contents.head for node in nodes if node.contents}
    check_extension(entries, heads, listed)

    def make(place: Place) -> Opened:
        made = documents.prepare(place, entries, heads, subjects={})
        if isinstance(made.said, TreeSaid) and not made.said.grants.code:
            raise CallerError(
                "no-code",
                f"{tree}: {len(entries)} files and no code among them, nothing to grant",
                hint="programs and scripts need an execute bit, libraries are ELF files",
            )
        return made

    return Source(kind=BundleKind.EXTENSION, make=make)


def read_document(kind: BundleKind, path: Path) -> Opened:
    """Take a blob that exists, by itself or in a fragment; signatures there are left out.

    A signature in a fragment doesn't say by which public key: who made it signs once more.
    """
    data = read_file(path, max_size=bundle.MAX_BLOB)
    blob_kind = SHAPES[kind].blob_kind or b""
    if not data.startswith(blob_kind):
        data = bundle.parse_fragment(data, label=str(path)).blob
        if not data.startswith(blob_kind):
            raise CallerError(
                "wrong-kind", f"{path}: it holds a blob of another kind than {kind.value}"
            )
    made = Bundle(kind=kind, blob=data)
    return Opened(bundle=made, said=sign_payloads.read(made))


def settle(
    source: Source, spot: Spot, *, record: SerialRecord | None, attached: Attached
) -> Opened:
    """Make the documents at their place; with no serial given, at the next one of the record."""
    if spot.serial is not None:
        return source.make(spot.place(source.kind, spot.serial))
    if record is None:
        raise CallerError(
            "bad-arguments",
            "--serial auto without --state: nothing says which serial was the last",
            hint="--state FILE keeps the record; a commit's is in its repository",
        )
    return sign_serials.reserve(
        record, attached, lambda serial: source.make(spot.place(source.kind, serial))
    )


def commit(
    repository: Repository,
    revision: str,
    spot: Spot,
    *,
    replace: bool,
    known: Known = contents.NOTHING,
    asked: Asked = NOTHING_ASKED,
    jobs: int,
) -> tuple[Source, Opened]:
    """Prepare a commit of a repository; the record of serials is the repository's."""
    checksum = repository.resolve(revision)
    check_unsigned(repository.read_detached(checksum), checksum, replace=replace)
    source = read_commit(repository, checksum, known=known, asked=asked, jobs=jobs)
    opened = settle(
        source,
        spot,
        record=sign_serials.record_of_repository(repository, spot.stream),
        attached=sign_serials.attached_to(repository, spot.stream),
    )
    return source, opened


def commit_bundle(
    repository: Repository,
    revision: str,
    spot: Spot,
    target: Path,
    *,
    replace: bool,
    asked: Asked = NOTHING_ASKED,
    jobs: int,
) -> Opened:
    """Prepare a commit into a new file; a serial that was reserved is given back if that fails."""
    _, opened = commit(repository, revision, spot, replace=replace, asked=asked, jobs=jobs)
    record = sign_serials.record_of_repository(repository, spot.stream)
    sign_bundles.write(target, opened, reserved=record if spot.serial is None else None)
    return opened


def extension_bundle(
    tree: Path,
    spot: Spot,
    target: Path,
    *,
    state: Path | None,
    listed: Listed = nothing_listed,
) -> Opened:
    """Prepare a directory into a new file; the same for its serial, which ``state`` records."""
    record = None if state is None else SerialRecord.of_file(state, spot.stream)
    opened = settle(
        read_extension(tree, listed=listed),
        spot,
        record=record,
        attached=sign_serials.nothing_attached,
    )
    sign_bundles.write(target, opened, reserved=record if spot.serial is None else None)
    return opened


def check_unsigned(detached: DetachedMetadata, checksum: str, *, replace: bool) -> None:
    """Refuse a commit that has a statement (``already-signed``), unless it may be replaced."""
    if signed.STATEMENT in detached.keys() and not replace:
        raise CallerError(
            "already-signed",
            f"commit {checksum}: has a verity statement already",
            hint="`verity commit show` shows it; --replace puts a new one in its place. For two"
            " signers: `verity sign prepare commit --replace`, `sign add` by each, `sign attach`",
        )
