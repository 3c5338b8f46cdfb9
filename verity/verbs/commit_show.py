# SPDX-License-Identifier: Apache-2.0
"""commit show: what is attached to a commit, for people. It verifies nothing and says so."""

from dataclasses import dataclass
from typing import Any

from verity.formats import bundle, statement
from verity.formats.records import Fragment, RecordKind
from verity.formats.statement import Statement, format_time
from verity.ports.ostree_repo import Repository
from verity.values.errors import ContentError
from verity.verbs import signed


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Unverified claims. Sizes are bytes of the variants."""

    checksum: str
    subject: str
    timestamp: int
    statements: tuple[Statement, ...]
    key_hints: tuple[str, ...]
    attached: tuple[tuple[str, int], ...]


def show(repository: Repository, revision: str) -> Shown:
    """Read what is there; statements that can't be read are left out of ``statements``."""
    checksum = repository.resolve(revision)
    _, commit = repository.read_commit(checksum)
    detached = repository.read_detached(checksum)
    statements: list[Statement] = []
    hints: list[str] = []
    for data in detached.get_byte_arrays(signed.STATEMENT):
        try:
            envelope = statement.parse_envelope(data)
            statements.append(statement.parse(envelope.payload))
        except ContentError:
            continue  # still listed under ``attached``; commit verify says what is wrong with it
        hints += [signature.key_id_hint for signature in envelope.signatures]
    return Shown(
        checksum=checksum,
        subject=commit.subject,
        timestamp=commit.timestamp,
        statements=tuple(statements),
        key_hints=tuple(hints),
        attached=tuple((name, len(raw)) for name, raw in detached.entries),
    )


def manifest(repository: Repository, revision: str) -> bytes:
    """The attached manifest, inflated and otherwise untouched."""
    checksum = repository.resolve(revision)
    return signed.manifest_bytes(repository.read_detached(checksum), checksum)


def grants(repository: Repository, revision: str) -> bytes:
    """The attached grants and their signatures, as a fragment of a boot bundle."""
    checksum = repository.resolve(revision)
    detached = repository.read_detached(checksum)
    fragment = Fragment(
        kind=RecordKind.GRANTS,
        blob=signed.grants_bytes(detached, checksum),
        signatures=signed.grants_signatures(detached),
    )
    return bundle.encode([fragment])


def as_record(found: Shown) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "checksum": found.checksum,
        "subject": found.subject,
        "date": format_time(found.timestamp),
        "verified": False,
        "statements": [
            {
                "kind": said.kind.value,
                "stream": said.stream,
                "serial": said.serial,
                "issued": format_time(said.issued),
                "expires": format_time(said.expires),
                "subjects": {name: value.hex() for name, value in sorted(said.subjects.items())},
            }
            for said in found.statements
        ],
        "key_hints": list(found.key_hints),
        "attached": [{"name": name, "bytes": size} for name, size in found.attached],
    }
