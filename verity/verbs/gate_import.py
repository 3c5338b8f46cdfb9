# SPDX-License-Identifier: Apache-2.0
"""lockdown import: carry the signed blobs of a file to the gate that runs.

It carries bytes. What is signed by whom, and whether that is enough, is decided by the gate and by
nothing here; its refusal ends the file, because what follows in it may rest on what was refused.
Only what the gate can't know is held here: a policy or grants below a floor that this host has
accepted since.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verity.formats import records
from verity.formats.grants import Party
from verity.formats.records import Fragment, RecordKind
from verity.ports import bpf
from verity.ports.osfile import read_file
from verity.ports.places import USER_PIN, VENDOR_PIN
from verity.trust import boot_bundle
from verity.trust.trusted import TrustedSet
from verity.values.errors import ContentError
from verity.verbs import grant_floors, pins, policy_floor
from verity.verbs.serial_floors import HostState

_HELD = {RecordKind.GRANTS, RecordKind.POLICY}


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A blob that the gate has taken: its place in the file, kind, size in bytes, signatures."""

    number: int
    kind: str
    size: int
    signatures: int


def import_file(path: Path, root: Path) -> Iterator[Imported]:
    """Hand over each blob in order; what was yielded is in force. Stops with the first error.

    ``root`` has the floors. Raises ContentError for what they rule out, before anything is given.
    """
    label = str(path)
    found = records.split(read_file(path, max_size=records.MAX_SIZE), label=label)
    labels = [f"{label}: blob {n} ({one.kind.name.lower()})" for n, one in enumerate(found, 1)]
    state = HostState.at(root)
    signing = _hold(state, root, list(zip(labels, found, strict=True)))
    for number, (name, record) in enumerate(zip(labels, found, strict=True), 1):
        bpf.import_blob(record.blob, record.signatures, label=name)
        if record.kind is RecordKind.POLICY and state is not None and signing is not None:
            policy_floor.accept(state, record, signing, label=name)
        yield Imported(
            number=number,
            kind=record.kind.name.lower(),
            size=len(record.blob),
            signatures=len(record.signatures),
        )


def _hold(
    state: HostState | None, root: Path, found: list[tuple[str, Fragment]]
) -> TrustedSet | None:
    """Refuse floors, which are no grants, and a policy or grants below one of the host's.

    Returns who signs the host's policy; None where its boot bundle doesn't say so.
    """
    for name, record in found:
        if record.kind is RecordKind.FLOORS:
            raise ContentError("bad-bundle", f"{name}: floors are for the boot alone")
    kinds = {record.kind for _, record in found}
    if state is None or not kinds & _HELD or not state.bundle.exists():
        return None
    accepted = {
        party: pins.load(root / place, party)
        for party, place in ((Party.VENDOR, VENDOR_PIN), (Party.USER, USER_PIN))
    }
    labelled = grant_floors.of_bundle(state.bundle, accepted)
    streams, signing = boot_bundle.streams(labelled), boot_bundle.policy_signers(labelled)
    for name, record in found:
        if record.kind is RecordKind.GRANTS:
            grant_floors.hold(state, streams, record.blob, label=name)
        elif record.kind is RecordKind.POLICY:
            policy_floor.hold(state, record.blob, signing, label=name)
    return signing
