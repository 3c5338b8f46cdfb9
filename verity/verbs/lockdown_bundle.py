# SPDX-License-Identifier: Apache-2.0
"""lockdown bundle: fragments into the boot bundle of a host, each verified against the pins.

``trust.boot_bundle`` says what the gate would take; nothing else gets into a file. It sorts the
fragments by kind and keeps the order in which they are given within a kind. A bundle that is
there is replaced only on demand, and then at once: old or new.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle, kernel_keys
from verity.formats.grants import Party
from verity.formats.kernel_keys import Pin
from verity.formats.records import RecordKind
from verity.ports.osfile import read_file, replace_file, write_new_file
from verity.trust import boot_bundle
from verity.trust.boot_bundle import Labelled, Part
from verity.values.errors import CallerError, ContentError
from verity.verbs import fragments

_MODE = 0o644


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The files of fragments, by what they have to hold."""

    keys: tuple[Path, ...]
    policy: Path
    grants: tuple[Path, ...]
    revoke: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Written:
    """A bundle on the disk. ``size`` is in bytes."""

    sha256: str
    size: int
    parts: tuple[Part, ...]


def make(
    sources: Sources,
    pins: Mapping[Party, Path],
    target: Path,
    *,
    now: int,
    replace: bool = False,
    allow_example_keys: bool = False,
) -> Written:
    """Check every fragment (``now``: seconds since 1970) and write the bundle."""
    accepted = {party: load_pin(path, party) for party, path in pins.items()}
    labelled = [
        *_load(sources.keys, RecordKind.KEYS),
        *_load([sources.policy], RecordKind.POLICY),
        *_load(sources.revoke, RecordKind.REVOKE),
        *_load(sources.grants, RecordKind.GRANTS),
    ]
    parts = boot_bundle.check(labelled, accepted, now=now, allow_example_keys=allow_example_keys)
    data = bundle.encode([item.fragment for item in labelled])
    (replace_file if replace else write_new_file)(target, data, mode=_MODE)
    return Written(sha256=hashlib.sha256(data).hexdigest(), size=len(data), parts=parts)


def load_pin(path: Path, party: Party) -> Pin:
    """Read a pin file, which must be of this party."""
    try:
        pin = kernel_keys.parse_pin(read_file(path, max_size=kernel_keys.MAX_SIZE))
    except ContentError as error:
        raise ContentError(
            error.code,
            f"{path}: {error.message}",
            hint=error.hint or "`verity lockdown pin` makes such a file",
        ) from error
    if pin.party is not party:
        raise CallerError(
            "wrong-party",
            f"{path}: a pin of the party {pin.party.name.lower()}, given for {party.name.lower()}",
        )
    return pin


def _load(paths: Sequence[Path], kind: RecordKind) -> list[Labelled]:
    found = []
    for path in paths:
        fragment = fragments.load(path)
        if fragment.kind is not kind:
            raise CallerError(
                "bad-arguments",
                f"{path}: a fragment of {fragment.kind.name.lower()}, given for"
                f" --{kind.name.lower()}",
            )
        found.append(Labelled(label=str(path), fragment=fragment))
    return found
