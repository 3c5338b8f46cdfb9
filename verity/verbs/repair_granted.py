# SPDX-License-Identifier: Apache-2.0
"""What a host has beside its system by its owner's word: a repair doesn't take that for unsigned.

Of the boot bundle nothing is verified: what it grants only ever keeps a file from being removed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from verity.formats import grants, records
from verity.formats.dump import Entry
from verity.formats.records import RecordKind
from verity.ports import extension_files, places
from verity.ports.osfile import check_below, read_if_there
from verity.trust.trusted import TrustedSet
from verity.values.errors import VerityError
from verity.verbs import extension_read
from verity.verbs.signed import SignedCommit


@dataclass(frozen=True, kw_only=True)
class Granted:
    """Digests of code that grants name, and of what may be privileged."""

    code: frozenset[bytes] = frozenset()
    elevated: frozenset[bytes] = frozenset()


def granted(root: Path, commit: SignedCommit) -> Granted:
    """What grants of other streams in the host's boot bundle name: what its owner added.

    They are not verified: all that they do here is keep a file from being removed. The commit's own
    don't count, or a set-uid copy of a signed shell would stay. Raises HostError, ContentError for
    a bundle that can't be read: what it grants would be removed.
    """
    code: set[bytes] = set()
    elevated: set[bytes] = set()
    data = read_if_there(root / places.BUNDLE, max_size=records.MAX_SIZE)
    if data is None:
        return Granted()
    for fragment in records.split(data, label=str(root / places.BUNDLE)):
        if fragment.kind is not RecordKind.GRANTS:
            continue
        blob = grants.parse(fragment.blob)
        if blob.stream != commit.statement.statement.stream:
            code |= {entry.digest for entry in blob.code}
            elevated |= {entry.digest for entry in blob.elevate}
    return Granted(code=frozenset(code), elevated=frozenset(elevated))


def extensions(root: Path, trusted: Callable[[], TrustedSet]) -> dict[bytes, Entry]:
    """What the owner signed as extensions, of those whose documents the host keeps and that verify
    by these keys. The files of the others are unsigned ones, and an audit says why. Raises
    HostError for a directory that can't be read."""
    found: dict[bytes, Entry] = {}
    for name in extension_files.kept(root):
        try:
            check_below(root, places.EXTENSIONS / name)
            one = extension_read.load(root / places.EXTENSIONS / name, trusted())
        except VerityError:
            continue
        found |= {entry.path: entry for entry in one.manifest.entries}
    return found
