# SPDX-License-Identifier: Apache-2.0
"""acknowledge: take what programs of a host wrote as it is, as what the next audit compares with.

It says what changed since the record before, and replaces that, durably. With keys the record is
signed by them, as the owner's role etc; without any it is not, and every audit says so. What can't
be read is an error: nothing is acknowledged unseen.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats import acknowledged, strictjson
from verity.formats.acknowledged import PAYLOAD_TYPE, Record, Stored
from verity.formats.dump import printable
from verity.formats.grants import Party, Role
from verity.formats.statement import pae
from verity.ports import acknowledged as port
from verity.ports.keystore import SigningKey
from verity.trust import acknowledged as trust
from verity.trust.trusted import TrustedSet
from verity.values.errors import ContentError, HostError
from verity.verbs import written, written_words


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a new record would hold, and how each file differs from the old: path and words.

    ``first``: there is no old one, or (``why_first``) none that can be read.
    """

    record: Record
    words: tuple[tuple[bytes, tuple[str, ...]], ...]
    first: bool
    why_first: str = ""


def look(root: Path, *, now: int, live: bool) -> Changes:
    """Read everything, and compare. Raises HostError (``unreadable``) for what can't be read."""
    state = written.read(root, written.places(root, None), live=live)
    for gap in state.gaps:
        raise HostError("unreadable", f"{printable(gap.path)}: {gap.why}", hint=gap.hint or None)
    why = ""
    try:
        old = port.read(root)
    except ContentError as error:
        old, why = None, error.message
    before = {} if old is None else {one.path: one for one in old.record.files}
    changed = []
    for path in sorted(before.keys() | state.files.keys()):
        words = written_words.differences(before.get(path), state.files.get(path))
        if words:
            changed.append((path, tuple(words)))
    return Changes(
        record=Record(issued=now, files=written.sorted_files(state.files.values())),
        words=tuple(changed),
        first=old is None,
        why_first=why,
    )


def write(root: Path, changes: Changes, signing: Sequence[SigningKey]) -> tuple[str, ...]:
    """Write the record; the ids of the keys that signed it.

    1. Sign, and verify with the public halves.
    2. Replace the file.
    """
    # 1. Sign.
    record = acknowledged.encode(changes.record)
    envelope = _envelope(record, changes.record.issued, signing) if signing else None
    data = acknowledged.file_bytes(record, envelope)
    stored = acknowledged.parse(data)
    ids = _verified(stored, signing) if signing else ()
    # 2. Replace.
    port.write(root, data)
    return ids


def _envelope(record: bytes, issued: int, signing: Sequence[SigningKey]) -> bytes:
    payload = acknowledged.payload(hashlib.sha256(record).digest(), issued)
    over = pae(payload, PAYLOAD_TYPE)
    return strictjson.canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [
                {"keyid": key.public.key_id, "sig": base64.b64encode(key.sign(over)).decode()}
                for key in signing
            ],
        }
    )


def _verified(stored: Stored, signing: Sequence[SigningKey]) -> tuple[str, ...]:
    trusted = TrustedSet.of_keys(
        [key.public for key in signing],
        party=Party.USER,
        role=Role.ETC,
        threshold=len(signing),
        allow_example_keys=True,  # whoever opened the keys has decided
    )
    return tuple(sorted(key.key_id for key in trust.verify(stored, trusted).values()))
