# SPDX-License-Identifier: Apache-2.0
"""The boot bundle of a host, made anew with some of its parts replaced: old or new, never between.

What isn't replaced stays as it is, byte for byte: extensions, revocations, another vendor's grants.
All of it is verified again from the host's pins, as `lockdown bundle` does it.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from verity.formats import bundle, grants, kernel_keys, records
from verity.formats.grants import Grants, Party
from verity.formats.kernel_keys import Pin
from verity.formats.keyring import Keyring
from verity.formats.records import Fragment, RecordKind
from verity.ports import places
from verity.ports.osfile import read_file, read_if_there
from verity.trust.boot_bundle import Labelled
from verity.verbs import keyring_trust, lockdown_bundle, pins
from verity.verbs.keyring_trust import Keyrings
from verity.verbs.lockdown_bundle import Written
from verity.verbs.serial_floors import HostState

PIN_FILES = {Party.VENDOR: places.VENDOR_PIN, Party.USER: places.USER_PIN}
_ORDER = (RecordKind.KEYS, RecordKind.POLICY, RecordKind.REVOKE, RecordKind.GRANTS)


def read(root: Path) -> tuple[Fragment, ...]:
    """What the bundle holds, without its record of floors, unverified. Empty: no bundle."""
    data = read_if_there(root / places.BUNDLE, max_size=records.MAX_SIZE)
    if data is None:
        return ()
    found = records.split(data, label=str(root / places.BUNDLE))
    return tuple(one for one in found if one.kind is not RecordKind.FLOORS)


def replaced(before: Sequence[Fragment], new: Sequence[Fragment]) -> list[Fragment]:
    """The parts with the new ones in the place of what they are newer versions of, sorted."""
    names = {_name(one) for one in new}
    kept = [one for one in before if _name(one) not in names]
    return sorted([*kept, *new], key=lambda one: (_ORDER.index(one.kind), _name(one)))


def newest_keys(directories: Sequence[Path], found: Keyring) -> Fragment:
    """What the kernel is told of this version, from the directories that it was read from."""
    name = found.party.name.lower()
    files = [folder / name / f"{found.version}.keys" for folder in directories]
    file = next((one for one in files if one.exists()), files[0])
    return bundle.parse_fragment(read_file(file, max_size=bundle.MAX_SIZE), label=str(file))


def write(
    root: Path,
    parts: Sequence[Fragment],
    *,
    now: int,
    allow_example_keys: bool,
    keyrings: Keyrings | None = None,
    first: Callable[[], None] = lambda: None,
) -> Written:
    """Verify these parts, do what comes ``first``, and make them the host's bundle; ``keyrings``
    are the host's own, or newer ones."""
    accepted: dict[Party, Pin] = {
        party: pins.load(root / place, party) for party, place in PIN_FILES.items()
    }
    if keyrings is None:
        keyrings = keyring_trust.load(
            keyring_trust.host_directories(root),
            keyring_trust.host_pins(root),
            allow_example_keys=allow_example_keys,
        )
    return lockdown_bundle.write(
        [
            Labelled(label=f"{one.kind.name.lower()} {_name(one)[1]}".rstrip(), fragment=one)
            for one in parts
        ],
        accepted,
        keyrings,
        root / places.BUNDLE,
        now=now,
        replace=True,
        allow_example_keys=allow_example_keys,
        host=HostState.at(root) or HostState.new(root),
        kept=frozenset(one.blob for one in read(root)),
        first=first,
    )


def grants_of(one: Fragment) -> list[Grants]:
    """The grants in a part, if it holds some; who signed them isn't asked."""
    return [grants.parse(one.blob)] if one.kind is RecordKind.GRANTS else []


def _name(one: Fragment) -> tuple[str, str]:
    """What a part is about: of two with the same name the newer one counts."""
    if one.kind is RecordKind.GRANTS:
        return one.kind.name, grants.parse(one.blob).stream
    if one.kind is RecordKind.KEYS:
        return one.kind.name, kernel_keys.parse_keys(one.blob).party.name.lower()
    if one.kind is RecordKind.POLICY:
        return one.kind.name, ""
    return one.kind.name, hashlib.sha256(one.blob).hexdigest()[:16]
