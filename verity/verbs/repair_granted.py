# SPDX-License-Identifier: Apache-2.0
"""What a host's boot bundle grants beside its system: a repair doesn't take that for unsigned.

It verifies nothing: the answer only ever keeps a file from being removed.
"""

from dataclasses import dataclass
from pathlib import Path

from verity.formats import grants, records
from verity.formats.records import RecordKind
from verity.ports import places
from verity.ports.osfile import read_file
from verity.values.errors import HostError
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
    try:
        data = read_file(root / places.BUNDLE, max_size=records.MAX_SIZE)
    except HostError as error:
        if error.code == "not-found":
            return Granted()
        raise
    for fragment in records.split(data, label=str(root / places.BUNDLE)):
        if fragment.kind is not RecordKind.GRANTS:
            continue
        blob = grants.parse(fragment.blob)
        if blob.stream != commit.statement.statement.stream:
            code |= {entry.digest for entry in blob.code}
            elevated |= {entry.digest for entry in blob.elevate}
    return Granted(code=frozenset(code), elevated=frozenset(elevated))
