# SPDX-License-Identifier: Apache-2.0
"""The documents about one tree: manifest, grants and statement, as they will be signed.

What `commit sign` attaches to a commit and `extension sign` puts into a directory. The same tree,
rules, place and times give the same bytes, wherever they are made. It reads no tree, signs nothing
and writes nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from verity.formats import dump, grants, statement
from verity.formats.commit import Commit
from verity.formats.dump import Entry
from verity.formats.grant_config import configuration
from verity.formats.grant_rules import NOTHING_ASKED, Asked, Earned, check_role, earned
from verity.formats.grants import MAX_CONFIG_PATHS, Grants, Party, Role, is_stream_name
from verity.formats.sign_bundle import Bundle, BundleKind
from verity.formats.sign_payloads import Opened, TreeSaid
from verity.formats.statement import Kind, Statement
from verity.values.errors import CallerError, ContentError

_BUNDLE_OF = {
    Kind.OS: BundleKind.COMMIT,
    Kind.ETC: BundleKind.ETC,
    Kind.EXTENSION: BundleKind.EXTENSION,
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """What kind of tree it is, and its place in a stream. Times are seconds since 1970."""

    party: Party
    role: Role
    kind: Kind
    stream: str
    serial: int
    issued: int
    expires: int

    def __post_init__(self) -> None:
        check_stream(self.stream)


def check_stream(name: str) -> None:
    """Refuse what is no name of a stream (``bad-stream``)."""
    if not is_stream_name(name):
        raise CallerError("bad-stream", f"the stream {name!r} is not 1 to 63 of a-z 0-9 . _ -")


def granting(
    manifest: bytes,
    tables: Earned,
    *,
    party: Party,
    role: Role,
    stream: str,
    serial: int,
    issued: int,
    expires: int,
) -> Grants:
    """What is granted of a tree. Raises ContentError for what the role or the gate can't have."""
    granted = Grants(
        party=party,
        role=role,
        stream=stream,
        serial=serial,
        issued=issued,
        expires=expires,
        manifest_sha256=hashlib.sha256(manifest).digest(),
        code=tables.code,
        elevate=tables.elevate,
        config=tables.config,
    )
    check_role(granted)
    if len(granted.config) > MAX_CONFIG_PATHS:
        raise ContentError(
            "too-many-paths",
            f"grants: {len(granted.config)} configuration paths, the gate holds {MAX_CONFIG_PATHS}",
            hint="guard fewer places in the policy; of /etc, give what changes another class",
        )
    return granted


def prepare(
    place: Place,
    entries: Sequence[Entry],
    heads: Mapping[bytes, bytes],
    *,
    subjects: Mapping[str, bytes],
    commit: bytes | None = None,
    asked: Asked = NOTHING_ASKED,
    tables: Earned | None = None,
) -> Opened:
    """Make the documents of a tree, with no signature yet.

    ``heads`` are first bytes by fs-verity digest, for the grant rules; ``subjects`` what the
    statement names beside manifest and grants; ``commit`` the raw commit object; ``asked`` which
    files are interpreters and jit, and which are guarded; ``tables`` what is granted where the
    files themselves are elsewhere. The role etc grants the whole tree as configuration.
    """
    manifest = dump.serialise(entries)
    if place.role is Role.ETC:
        tables = Earned(config=configuration(entries).config)
    elif tables is None:
        tables = earned(entries, heads, asked)
    granted = granting(
        manifest,
        tables,
        party=place.party,
        role=place.role,
        stream=place.stream,
        serial=place.serial,
        issued=place.issued,
        expires=place.expires,
    )
    blob = grants.encode(granted)
    said = Statement(
        kind=place.kind,
        stream=place.stream,
        serial=place.serial,
        issued=place.issued,
        expires=place.expires,
        subjects={
            "manifest": granted.manifest_sha256,
            "grants": hashlib.sha256(blob).digest(),
            **subjects,
        },
    )
    return Opened(
        bundle=Bundle(
            kind=_BUNDLE_OF[place.kind],
            payload=statement.encode(said),
            blob=blob,
            manifest=manifest,
            commit=commit,
        ),
        said=TreeSaid(
            statement=said,
            grants=granted,
            entries=tuple(entries),
            commit=None if commit is None else Commit.parse(commit, label="commit"),
        ),
    )
