# SPDX-License-Identifier: Apache-2.0
"""The part of a repair that is the signed /etc: fill its content store again, then `etc apply`.

What the store has lost is taken from files of the tree that have the digest, such as the vendor's
default in /usr/etc, and from objects of the commit. The rest, all of its rules and its journal, is
``etc_apply``.
"""

import os
from collections.abc import Iterator
from functools import partial

from verity.formats.dump import Entry
from verity.ports.content_store import Source
from verity.ports.tree import Tree
from verity.trust.trusted import TrustedSet
from verity.values.errors import VerityError
from verity.verbs import etc_apply, etc_intent, etc_read
from verity.verbs.etc_apply import Applied
from verity.verbs.etc_intent import Host
from verity.verbs.repair_sources import Sources


def repair(host: Host, trusted: TrustedSet, sources: Sources, *, dry_run: bool) -> Applied:
    """Bring /etc to the intent. Raises what `etc apply` does."""
    intent = etc_intent.current(host, trusted)
    if not dry_run:
        there = etc_read.read(intent.scope).entries
        needed = [
            entry
            for path, entry in intent.entries.items()
            if entry.is_regular and there.get(path) != entry
        ]
        found = list(_lost(host, needed, sources))
        if found:
            with host.state.writing():
                host.store.add(found)
    return etc_apply.apply(host, trusted, None, dry_run=dry_run)


def _lost(host: Host, needed: list[Entry], sources: Sources) -> Iterator[Source]:
    """What the store hasn't got any more, and something else has."""
    for entry in needed:
        digest = entry.digest or b""
        try:
            host.store.check(digest, label=os.fsdecode(entry.path))
            continue
        except VerityError:
            pass
        path = sources.file_of(digest)
        if path is not None:
            yield Source(label=os.fsdecode(path), digest=digest, open=partial(_open, sources, path))


def _open(sources: Sources, path: bytes) -> int:
    with Tree(sources.root) as opened:
        return opened.open(path)
