# SPDX-License-Identifier: Apache-2.0
"""etc sign: /etc as it is becomes the signed intent.

`sign prepare etc`, `sign add` and `sign attach` in one process. The contents go to the store; then
manifest, configuration grants and statement are verified and written, all at once. What is signed
is what was read: a file that changes meanwhile refuses the whole.

Hard links are signed as files of their own, and come back as such. Fifos, sockets and devices are
refused: no manifest says what one would do.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from verity.formats import etc_manifest
from verity.formats.dump import Entry, printable
from verity.formats.grant_config import configuration
from verity.formats.sign_bundle import BundleKind
from verity.formats.sign_payloads import Opened
from verity.ports import tree
from verity.ports.content_store import Source
from verity.ports.etc_state import Stored
from verity.ports.keystore import SigningKey
from verity.trust.trusted import TrustedSet
from verity.values.errors import CallerError, ContentError, HostError
from verity.verbs import documents, etc_intent, etc_read, sign_add, sign_proof, sign_serials
from verity.verbs.etc_intent import Host
from verity.verbs.etc_read import Found, Scope
from verity.verbs.sign_prepare import Spot
from verity.verbs.sign_proof import Proven


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What will be signed, and what was found. ``ungranted`` are paths that the grants have no room
    for; ``new_contents`` were not in the store before, ``protected`` of these have fs-verity."""

    opened: Opened
    classes: Mapping[str, int]
    ungranted: tuple[bytes, ...]
    new_contents: int
    protected: int


def prepare(spot: Spot, host: Host, homes: Sequence[str]) -> Prepared:
    """What would be signed, without a signature; the contents go to the store already."""
    with _writing(host):
        return _prepare(spot, host, homes)


def attach(opened: Opened, trusted: TrustedSet, host: Host) -> Proven:
    """Make what was signed the intent, if enough of these keys signed it.

    What is there by now isn't asked: what differs is what `etc status` says.
    """
    with _writing(host):
        return _attach(opened, trusted, host)


def sign(
    spot: Spot,
    host: Host,
    homes: Sequence[str],
    keys: Sequence[SigningKey],
    *,
    threshold: int = 1,
) -> tuple[Prepared, Proven]:
    """Sign what is there, by all of these keys: prepare, add and attach in one process."""
    sign_add.check_keys(keys, threshold=threshold)
    with _writing(host):
        prepared = _prepare(spot, host, homes)
        opened = sign_add.add_all(prepared.opened, keys)
        trusted = sign_proof.trusted_set(opened, [key.public for key in keys], len(keys))
        return replace(prepared, opened=opened), _attach(opened, trusted, host)


@contextlib.contextmanager
def _writing(host: Host) -> Iterator[None]:
    with etc_read.open_top(host.root, etc_read.ETC):
        pass  # what is not there gets no state, either
    with host.state.writing(create=True):
        yield


def _prepare(spot: Spot, host: Host, homes: Sequence[str]) -> Prepared:
    """Read /etc and make its documents.

    1. Refuse another stream than the host's own, a serial that doesn't grow, and an /etc that is
       half applied.
    2. Read everything; what can't be read or signed refuses the whole.
    3. Make the documents.
    4. Store the contents.
    """
    # 1. Refuse.
    etc_intent.check_stream(host, spot.stream, what="--stream", kind=CallerError)
    highest = max(host.state.serials(), default=0)
    serial = highest + 1 if spot.serial is None else spot.serial
    _check_state(serial, highest, host)
    # 2. Read.
    rules = etc_read.rules_for_signing(host.root)
    scope = Scope(root=host.root, homes=_homes(homes), rules=rules)
    found = etc_read.read(scope, tree.hashed)
    _check(found)
    # 3. Make.
    entries = sorted(found.entries.values(), key=lambda entry: entry.path)
    place = spot.place(BundleKind.ETC, serial)
    opened = documents.prepare(place, entries, {}, subjects={})
    # 4. Store.
    stored = host.store.add(_sources(host, entries))
    return Prepared(
        opened=opened,
        classes=Counter(other.rule.file_class.value for other in found.others.values()),
        ungranted=configuration(entries).ungranted,
        new_contents=stored.new,
        protected=stored.protected,
    )


def _attach(opened: Opened, trusted: TrustedSet, host: Host) -> Proven:
    """Verify what was signed and keep it.

    1. Refuse what is no /etc, another stream than the host's own, a serial that doesn't grow, and
       an /etc that is half applied.
    2. Verify the signatures, and that the grants are what the manifest gives.
    3. All contents are in the store.
    4. Write the documents, which are the intent from then on, and whose stream is the host's own.
    """
    # 1. Refuse.
    if opened.bundle.kind is not BundleKind.ETC:
        raise CallerError("bad-arguments", f"a bundle of the kind {opened.bundle.kind} is no /etc")
    said = sign_serials.tree_of(opened)
    etc_manifest.check(said.entries)
    etc_intent.check_stream(host, said.statement.stream, what="the bundle")
    _check_state(said.statement.serial, max(host.state.serials(), default=0), host)
    # 2. Verify.
    proven = sign_proof.prove(opened, trusted)
    if configuration(said.entries).config != said.grants.config:
        raise ContentError(
            "grants-differ",
            "grants: their configuration is not what the manifest gives",
            hint="have it prepared anew",
        )
    # 3. Contents.
    for entry in said.entries:
        if entry.digest is not None:
            host.store.check(entry.digest, label=printable(entry.path))
    # 4. Write.
    stored = Stored(
        statement=proven.envelope,
        manifest=opened.bundle.manifest or b"",
        grants=sign_proof.fragment_bytes(proven),
    )
    host.state.keep_stream(said.statement.stream)
    host.state.add(said.statement.serial, stored)
    return proven


def _check_state(serial: int, highest: int, host: Host) -> None:
    if host.state.journal() is not None:
        raise HostError(
            "pending",
            f"{host.root}: an apply has begun and not ended, so /etc is in between",
            hint="`verity etc apply --resume` ends it; `verity etc apply --abandon` goes back",
        )
    if serial <= highest:
        raise CallerError(
            "stale-serial",
            f"the serial {serial} does not grow: {highest} is signed here already",
            hint="--serial auto takes the next one",
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
