# SPDX-License-Identifier: Apache-2.0
"""extension sign: manifest, statement and grants of a directory tree that its owner adds.

The tree's code is granted as the user's role extension may: exec, library and script. A kernel
module, or a program that raises privileges, refuses the whole. The documents are verified with
the public half of the key and written as one new directory: all or nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle
from verity.formats.grant_rules import check_extension
from verity.formats.grants import Party, Role
from verity.formats.records import Fragment, RecordKind
from verity.formats.statement import Kind
from verity.ports.keystore import SigningKey
from verity.ports.osfile import write_new_directory
from verity.values.errors import CallerError
from verity.verbs import documents
from verity.verbs.documents import Place
from verity.verbs.manifest import read_directory

STATEMENT = "statement.json"
MANIFEST = "manifest"
GRANTS = "grants"


@dataclass(frozen=True, kw_only=True)
class Signed:
    """What was written."""

    files: int
    code: int
    manifest_sha256: str
    grants_sha256: str
    key_id: str


def place(*, stream: str, serial: int, issued: int, expires: int) -> Place:
    """An extension's place in its stream. Times are seconds since 1970."""
    return Place(
        party=Party.USER,
        role=Role.EXTENSION,
        kind=Kind.EXTENSION,
        stream=stream,
        serial=serial,
        issued=issued,
        expires=expires,
    )


def sign(where: Place, tree: Path, key: SigningKey, target: Path) -> Signed:
    """Sign the directory ``tree`` into the new directory ``target``.

    1. Read every file; one that can't be read refuses the whole.
    2. Refuse what an extension may not bring, and a tree without code.
    3. Make, sign and verify the documents.
    4. Write them, all at once.
    """
    # 1. Read.
    nodes = read_directory(tree)
    entries = [node.entry for node in nodes]
    heads = {node.contents.digest: node.contents.head for node in nodes if node.contents}
    # 2. Refuse.
    check_extension(entries, heads)
    # 3. Make.
    made = documents.make(where, entries, heads, key, subjects={})
    if not made.code:
        raise CallerError(
            "no-code",
            f"{tree}: {len(entries)} files and no code among them, nothing to grant",
            hint="programs and scripts need an execute bit, libraries are ELF files",
        )
    # 4. Write.
    fragment = Fragment(
        kind=RecordKind.GRANTS, blob=made.grants, signatures=(made.grants_signature,)
    )
    files = {
        STATEMENT: made.envelope,
        MANIFEST: made.manifest,
        GRANTS: bundle.encode([fragment]),
    }
    write_new_directory(target, files, mode=0o644)
    return Signed(
        files=len(entries),
        code=made.code,
        manifest_sha256=made.manifest_sha256,
        grants_sha256=made.grants_sha256,
        key_id=made.key_id,
    )
