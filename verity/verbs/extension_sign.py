# SPDX-License-Identifier: Apache-2.0
"""extension sign: manifest, statement and grants of a directory tree that its owner adds.

`sign prepare`, `sign add` and `sign attach` in one process. The tree's code is granted as the
user's role extension may: exec, library and script. A kernel module, or a program that raises
privileges or is ``listed`` as interpreter or jit, refuses the whole. The documents
are verified with the public halves of the keys and written as one new directory: all or nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats import dump
from verity.formats.grant_rules import Listed, nothing_listed
from verity.ports.keystore import SigningKey
from verity.ports.serials import SerialRecord
from verity.verbs import sign_add, sign_attach, sign_prepare, sign_proof, sign_serials
from verity.verbs.sign_prepare import Spot


@dataclass(frozen=True, kw_only=True)
class Signed:
    """What was written. ``key_id`` is the first key's."""

    serial: int
    files: int
    code: int
    manifest_sha256: str
    grants_sha256: str
    key_id: str
    key_ids: tuple[str, ...]


def sign(
    spot: Spot,
    tree: Path,
    keys: Sequence[SigningKey],
    target: Path,
    *,
    state: Path | None = None,
    threshold: int = 1,
    listed: Listed = nothing_listed,
) -> Signed:
    """Sign the directory ``tree`` into the new directory ``target``, by all of these keys.

    1. Refuse too few keys before the work.
    2. Read every file, refuse what an extension may not bring, make its documents.
    3. Add a signature by each key.
    4. Verify and write them, all at once. A reserved serial is given back if 3 or 4 fails.
    """
    # 1. Refuse.
    sign_add.check_keys(keys, threshold=threshold)
    # 2. Prepare.
    record = None if state is None else SerialRecord.of_file(state, spot.stream)
    opened = sign_prepare.settle(
        sign_prepare.read_extension(tree, listed=listed),
        spot,
        record=record,
        attached=sign_serials.nothing_attached,
    )
    with sign_serials.given_back(record if spot.serial is None else None, opened):
        # 3. Add.
        opened = sign_add.add_all(opened, keys)
        # 4. Write.
        trusted = sign_proof.trusted_set(opened, [key.public for key in keys], len(keys))
        sign_attach.extension(opened, trusted, target, state=state, reread=None)
    said = sign_serials.tree_of(opened)
    return Signed(
        serial=said.statement.serial,
        files=dump.count_files(said.entries),
        code=len(said.grants.code),
        manifest_sha256=said.statement.subjects["manifest"].hex(),
        grants_sha256=said.statement.subjects["grants"].hex(),
        key_id=keys[0].public.key_id,
        key_ids=tuple(key.public.key_id for key in keys),
    )
