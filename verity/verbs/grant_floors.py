# SPDX-License-Identifier: Apache-2.0
"""Grants on their way to the gate, held against the host's floors; and the boot bundle's record.

`lockdown bundle` refuses grants below a floor and writes the floors into the bundle, where the
loader finds them before any state can be read. `lockdown import` refuses what the gate could not
know to be too old, because it was accepted since the bundle was made.

What it does not do: decide for the gate, which verifies everything again and has its own floors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from verity.formats import bundle, floor_record, grants
from verity.formats.floor_record import RecordedFloor
from verity.formats.grants import Party
from verity.formats.kernel_keys import Pin
from verity.formats.records import Fragment, RecordKind
from verity.ports.osfile import read_file
from verity.trust import boot_bundle, boot_config, floors
from verity.trust.boot_bundle import Labelled
from verity.trust.floors import Floor
from verity.trust.trusted import TrustedSet
from verity.values.errors import ContentError
from verity.values.findings import Finding
from verity.verbs import serial_floors
from verity.verbs.serial_floors import HostState, Looked


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The record for the new bundle, None without a floor; and what is wrong with the floors."""

    record: Fragment | None = None
    floors: tuple[RecordedFloor, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    def added_to(self, looked: Looked) -> "Compared":
        """The same, with what is wrong with the floor of the policy before it."""
        return replace(
            self,
            findings=(*looked.findings, *self.findings),
            notes=(*looked.notes, *self.notes),
        )


def compare(state: HostState | None, labelled: Sequence[Labelled]) -> Compared:
    """Hold the grants of a new bundle, which were checked, against a host's floors.

    1. The floors of each stream that the policy names.
    2. No grants are below one, or other ones of its serial (ContentError).
    3. The record: what was accepted, and where that can't be read, what the old record says.
    """
    if state is None:
        return Compared()
    blobs = [item for item in labelled if item.fragment.kind is RecordKind.GRANTS]
    entries = []
    findings: list[Finding] = []
    notes: list[str] = []
    for stream, trusted in sorted(boot_bundle.streams(labelled).items()):
        # 1. The floors.
        looked = serial_floors.look(state, stream, trusted)
        # What was never accepted has no floor, and a bundle comes before the first boot.
        findings += [one for one in looked.findings if one.check != "no-floor" or looked.missed]
        notes += looked.notes
        # 2. The grants.
        for item in blobs:
            if grants.parse(item.fragment.blob).stream == stream:
                _check(item.fragment.blob, looked.floors, item.label)
        # 3. The record.
        accepted = [floor.serial for floor in (looked.stored, looked.recorded) if floor]
        if accepted:
            entries.append(RecordedFloor(stream=stream, serial=max(accepted)))
    record = None
    if entries:
        blob = floor_record.encode(entries)
        record = Fragment(kind=RecordKind.FLOORS, blob=blob, signatures=())
    return Compared(
        record=record, floors=tuple(entries), findings=tuple(findings), notes=tuple(notes)
    )


def hold(state: HostState, streams: Mapping[str, TrustedSet], blob: bytes, *, label: str) -> None:
    """Refuse grants for the running gate that are below a floor of its host, or an OS's of what is
    the owner's (ContentError).

    Of a stream that isn't among ``streams``, and of a blob that isn't grants, the gate
    says what is wrong.
    """
    try:
        granted = grants.parse(blob)
    except ContentError:
        return
    trusted = streams.get(granted.stream)
    if trusted is not None:
        boot_config.check_owners(label, granted, {name: one.role for name, one in streams.items()})
        looked = serial_floors.look(state, granted.stream, trusted)
        _check(blob, looked.floors, label)


def of_bundle(path: Path, pins: Mapping[Party, Pin]) -> list[Labelled]:
    """What a host's boot bundle holds, verified: it says whose grants and policy the gate takes."""
    data = read_file(path, max_size=bundle.MAX_SIZE)
    labelled = [Labelled(label=str(path), fragment=one) for one in bundle.parse(data)]
    # Whatever has expired since still says that.
    boot_bundle.check(labelled, pins, now=0, allow_example_keys=True)
    return labelled


def _check(blob: bytes, found: Sequence[Floor], label: str) -> None:
    for floor in found:
        floors.check_grants(blob, floor, label=label)
