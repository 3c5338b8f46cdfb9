# SPDX-License-Identifier: Apache-2.0
"""etc sign: /etc as it is becomes the signed intent.

Manifest, configuration grants and statement are verified before anything is written; the
contents go to the store, and only then the documents, all at once. What is signed is what was
read: a file that changes meanwhile refuses the whole.

Hard links are signed as files of their own, and come back as such. Fifos, sockets and devices are
refused: no manifest says what one would do.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from verity.formats import bundle
from verity.formats.dump import Entry, printable
from verity.formats.grants import (
    MAX_CONFIG_PATH,
    MAX_CONFIG_TARGET,
    ConfigEntry,
    ConfigKind,
    Party,
    Role,
)
from verity.formats.records import Fragment, RecordKind
from verity.formats.statement import Kind
from verity.ports import tree
from verity.ports.content_store import Source
from verity.ports.etc_state import Stored
from verity.ports.keystore import SigningKey
from verity.values.errors import CallerError, ContentError, HostError
from verity.verbs import documents, etc_read
from verity.verbs.documents import Place
from verity.verbs.etc_intent import Host
from verity.verbs.etc_read import Found, Scope


@dataclass(frozen=True, kw_only=True)
class Signed:
    """What was written. ``ungranted`` are paths that the grants have no room for."""

    files: int
    classes: Mapping[str, int]
    new_contents: int
    protected: int
    config: int
    ungranted: tuple[bytes, ...]
    manifest_sha256: str
    grants_sha256: str
    key_id: str


def place(*, stream: str, serial: int, issued: int, expires: int) -> Place:
    """The place of an /etc in its stream. Times are seconds since 1970."""
    return Place(
        party=Party.USER,
        role=Role.ETC,
        kind=Kind.ETC,
        stream=stream,
        serial=serial,
        issued=issued,
        expires=expires,
    )


def sign(where: Place, host: Host, homes: Sequence[str], key: SigningKey) -> Signed:
    """Sign what is there.

    1. Refuse a serial that doesn't grow, and to sign while an apply is half done.
    2. Read everything; what can't be read or signed refuses the whole.
    3. Make, sign and verify the documents.
    4. Store the contents, then the documents, which are the intent from then on.
    """
    with etc_read.open_top(host.root, etc_read.ETC):
        pass  # what isn't there gets no state, either
    with host.state.writing(create=True):
        # 1. Refuse.
        _check_state(where, host)
        # 2. Read.
        scope = Scope(
            root=host.root,
            homes=_homes(homes),
            rules=etc_read.rules_for_signing(host.root),
        )
        found = etc_read.read(scope, tree.hashed)
        _check(found)
        entries = list(found.entries.values())
        # 3. Make.
        config, ungranted = configuration(entries)
        made = documents.make(where, entries, {}, key, subjects={}, config=config)
        # 4. Store.
        stored = host.store.add(_sources(host, entries))
        fragment = Fragment(
            kind=RecordKind.GRANTS, blob=made.grants, signatures=(made.grants_signature,)
        )
        host.state.add(
            where.serial,
            Stored(
                statement=made.envelope,
                manifest=made.manifest,
                grants=bundle.encode([fragment]),
            ),
        )
    return Signed(
        files=sum(entry.is_regular or entry.is_symlink for entry in entries),
        classes=Counter(other.rule.file_class.value for other in found.others.values()),
        new_contents=stored.new,
        protected=stored.protected,
        config=len(config),
        ungranted=ungranted,
        manifest_sha256=made.manifest_sha256,
        grants_sha256=made.grants_sha256,
        key_id=made.key_id,
    )


def configuration(entries: Iterable[Entry]) -> tuple[tuple[ConfigEntry, ...], tuple[bytes, ...]]:
    """What the gate is told of these files, and the paths that its table has no room for.

    Of a longer path or link target nothing is granted: that is the refusing side.
    """
    config: list[ConfigEntry] = []
    ungranted: list[bytes] = []
    for entry in sorted(entries, key=lambda entry: entry.path):
        target = entry.target or b""
        if not (entry.is_regular or entry.is_symlink):
            continue
        if len(entry.path) > MAX_CONFIG_PATH or len(target) > MAX_CONFIG_TARGET:
            ungranted.append(entry.path)
        elif entry.digest is not None:
            config.append(ConfigEntry(path=entry.path, kind=ConfigKind.FILE, digest=entry.digest))
        else:
            config.append(ConfigEntry(path=entry.path, kind=ConfigKind.SYMLINK, target=target))
    return tuple(config), tuple(ungranted)


def _check_state(where: Place, host: Host) -> None:
    if host.state.journal() is not None:
        raise HostError(
            "pending",
            f"{host.root}: an apply has begun and not ended, so /etc is in between",
            hint="`verity etc apply --resume` ends it",
        )
    highest = max(host.state.serials(), default=0)
    if where.serial <= highest:
        raise CallerError(
            "stale-serial",
            f"the serial {where.serial} does not grow: {highest} is signed here already",
            hint=f"--serial {highest + 1}, or `verity etc apply {highest}` to go back to that one",
        )


def _homes(texts: Sequence[str]) -> tuple[bytes, ...]:
    homes = tuple(sorted({etc_read.home_path(text) for text in texts}))
    for one in homes:
        for other in homes:
            if other.startswith(one + b"/"):
                raise CallerError(
                    "bad-home", f"--home: {printable(other)} lies in the home {printable(one)}"
                )
    return homes


def _check(found: Found) -> None:
    if found.gaps:
        gap = found.gaps[0]
        raise HostError(
            "unreadable",
            f"{printable(gap.path)}: {gap.why}",
            hint=gap.hint or "give it another class (docs/guides/etc.md) if it isn't to be signed",
        )
    signed = 0
    for entry in found.entries.values():
        if entry.is_regular or entry.is_symlink:
            signed += 1
        elif not entry.is_directory:
            raise ContentError(
                "special-file",
                f"{printable(entry.path)}: a fifo, a socket or a device, which can't be signed",
                hint="remove it, or give it the class ignored (docs/guides/etc.md)",
            )
    if not signed:
        raise ContentError("nothing-signed", "no file below /etc has the class signed")


def _sources(host: Host, entries: Iterable[Entry]) -> Iterable[Source]:
    for entry in entries:
        if entry.digest is not None:
            yield Source(
                label=os.fsdecode(entry.path),
                digest=entry.digest,
                open=partial(etc_read.open_file, host.root, entry.path),
            )
