# SPDX-License-Identifier: Apache-2.0
"""commit sign: manifest, statement, grants and their signatures into a commit's metadata.

`sign prepare`, `sign add` and `sign attach` in one process (docs/formats.md describes each
document). It needs neither root nor a checkout. What is written is first verified with the public
halves of the signing keys, and written in one atomic step: a failure leaves the commit as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from verity.formats import dump, grant_limits
from verity.formats.commit import DetachedMetadata
from verity.formats.grant_config import configuration
from verity.formats.grant_rules import NOTHING_ASKED, Asked
from verity.formats.grants import Code, Party, Role
from verity.ports.gpg import GpgSigner
from verity.ports.keystore import SigningKey
from verity.ports.ostree_repo import Repository
from verity.trust.native import engine_for
from verity.trust.trusted import TrustedSet
from verity.verbs import (
    contents,
    native_signatures,
    sign_add,
    sign_attach,
    sign_prepare,
    sign_proof,
    sign_serials,
    signed,
)
from verity.verbs.contents import Known
from verity.verbs.sign_prepare import Spot


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to sign as what. Times are seconds since 1970; ``serial`` None is the next one.

    ``reuse`` is a commit that the same keys signed: what is the same object there is not read
    again, unless it is granted anything.
    """

    revision: str
    stream: str
    serial: int | None
    issued: int
    expires: int
    replace: bool = False
    reuse: str | None = None


@dataclass(frozen=True, kw_only=True)
class Signed:
    """What was written. ``key_id`` is the first key's; ``jit`` are paths, as they are printed.

    ``config`` is how many paths are granted as configuration; ``ungranted`` are guarded ones that
    the grants have no room for.
    """

    checksum: str
    serial: int
    files: int
    objects: int
    code: int
    elevate: int
    config: int
    ungranted: tuple[bytes, ...]
    interpreters: int
    jit: tuple[str, ...]
    manifest_sha256: str
    grants_sha256: str
    key_id: str
    key_ids: tuple[str, ...]
    gpg: bool
    native: tuple[str, ...]


def sign(
    repository: Repository,
    request: Request,
    keys: Sequence[SigningKey],
    *,
    gpg: GpgSigner | None = None,
    native: Sequence[SigningKey] = (),
    threshold: int = 1,
    asked: Asked = NOTHING_ASKED,
    jobs: int,
) -> Signed:
    """Sign a commit by all of these keys, of which ``threshold`` must be there.

    1. Refuse too few keys before the work.
    2. Prepare: read the commit and everything in it, make its documents.
    3. Add a signature by each key, and those for stock ostree.
    4. Verify and attach. A serial that was reserved is given back if 3 or 4 fails.
    """
    # 1. Refuse.
    sign_add.check_keys(keys, threshold=threshold)
    # 2. Prepare.
    spot = Spot(
        stream=request.stream,
        serial=request.serial,
        issued=request.issued,
        expires=request.expires,
    )
    source, opened = sign_prepare.commit(
        repository,
        request.revision,
        spot,
        replace=request.replace,
        known=_known(repository, request.reuse, keys),
        asked=asked,
        jobs=jobs,
    )
    record = sign_serials.record_of_repository(repository, request.stream)
    with sign_serials.given_back(record if request.serial is None else None, opened):
        # 3. Add.
        opened = sign_add.add_all(opened, keys)
        if gpg is not None:
            opened = sign_add.add_gpg(opened, gpg)
        # 4. Attach.
        trusted = sign_proof.trusted_set(opened, [key.public for key in keys], len(keys))
        sign_attach.commit(
            repository,
            opened,
            trusted,
            replace=request.replace,
            reread=None,
            more=partial(_sign_for_ostree, opened.bundle.commit or b"", native),
        )
    said = sign_serials.tree_of(opened)
    return Signed(
        checksum=said.statement.subjects["commit"].hex(),
        serial=said.statement.serial,
        files=dump.count_files(said.entries),
        objects=source.objects,
        code=len(said.grants.code),
        elevate=len(said.grants.elevate),
        config=len(said.grants.config),
        ungranted=configuration(asked.guarded(said.entries)).ungranted,
        interpreters=sum(bool(one.flags & Code.INTERPRETER) for one in said.grants.code),
        jit=grant_limits.jit_paths(said.grants, said.entries),
        manifest_sha256=said.statement.subjects["manifest"].hex(),
        grants_sha256=said.statement.subjects["grants"].hex(),
        key_id=keys[0].public.key_id,
        key_ids=tuple(key.public.key_id for key in keys),
        gpg=gpg is not None,
        native=tuple(engine_for(key.public).value for key in native),
    )


def _known(repository: Repository, revision: str | None, keys: Sequence[SigningKey]) -> Known:
    """What a commit that all of these keys signed says of its objects."""
    if revision is None:
        return contents.NOTHING
    trusted = TrustedSet.of_keys(
        [key.public for key in keys],
        party=Party.VENDOR,
        role=Role.OS,
        threshold=len(keys),
        allow_example_keys=True,  # whoever opened the keys has decided
    )
    return contents.known_from(repository, signed.load(repository, revision, trusted))


def _sign_for_ostree(
    raw: bytes, keys: Sequence[SigningKey], metadata: DetachedMetadata
) -> DetachedMetadata:
    return native_signatures.add(metadata, raw, keys)[0]
