# SPDX-License-Identifier: Apache-2.0
"""The boot bundle of a host that is audited, verified as the gate will do it: whatever has expired
since, the gate takes."""

from pathlib import Path
from typing import TYPE_CHECKING

from verity.formats import records
from verity.formats.grants import Party
from verity.formats.records import RecordKind
from verity.ports import places
from verity.ports.osfile import check_below, read_if_there
from verity.values.errors import CallerError, ContentError, HostError
from verity.verbs.audit_host import BootBundle, Roots

if TYPE_CHECKING:
    from verity.formats.kernel_keys import Pin

_PIN_FILES = {Party.VENDOR: places.VENDOR_PIN, Party.USER: places.USER_PIN}


def load(root: Path, roots: Roots) -> BootBundle | None:
    """The bundle, None if there is none. Raises HostError, ContentError.

    1. It is read.
    2. The host's pins are those that the auditor accepts.
    3. Every blob in it verifies from them.
    """
    # 1. Read.
    path = root / places.BUNDLE
    check_below(root, places.BUNDLE, *_PIN_FILES.values())
    data = read_if_there(path, max_size=records.MAX_SIZE)
    if data is None:
        return None
    # Here: a tree without a bundle needs none of it.
    from verity.formats import kernel_keys
    from verity.trust import boot_bundle
    from verity.trust.boot_bundle import Labelled

    fragments = records.split(data, label=str(path))
    if roots.unknown is not None:
        raise roots.unknown
    if not roots.pins:
        raise HostError(
            "no-pin",
            f"{path}: it is verified from pins, and --key names none",
            hint="--keyring and --pin, or the pins of this host",
        )
    # 2. Pins.
    accepted = {}
    for party, print_ in roots.pins.items():
        place = root / _PIN_FILES[party]
        try:
            pin = pin_of(root, party)
        except CallerError as error:  # what stands there is no choice of the auditor's
            raise ContentError("pin-differs", error.message, hint=error.hint) from error
        found = kernel_keys.fingerprint(kernel_keys.encode_pin(pin))
        if found != print_.fingerprint:
            raise ContentError(
                "pin-differs",
                f"{place}: it has the fingerprint sha256:{found}, the auditor accepts"
                f" sha256:{print_.fingerprint}",
                hint="ask the owner which root keys are theirs: the loader trusts those of the pin",
            )
        accepted[party] = pin
    # 3. Verify. The record of floors is for the loader, and signed by nobody.
    labelled = tuple(
        Labelled(label=str(path), fragment=one)
        for one in fragments
        if one.kind is not RecordKind.FLOORS
    )
    try:
        # The area trust judges the times: whatever has expired since, the gate still takes.
        parts = boot_bundle.check(
            labelled, accepted, now=0, allow_example_keys=roots.allow_example_keys
        )
    except CallerError as error:
        if error.code == "no-pin":
            raise HostError(error.code, error.message, hint=error.hint) from error
        raise ContentError(error.code, f"{path}: {error.message}", hint=error.hint) from error
    return BootBundle(labelled=labelled, parts=parts)


def pin_of(root: Path, party: Party) -> "Pin":
    """The host's pin; where there is none, that of an initramfs, by which it boots (level B1)."""
    from verity.formats import kernel_keys
    from verity.verbs import initramfs_trust, pins

    try:
        return pins.load(root / _PIN_FILES[party], party)
    except HostError as error:
        if error.code != "not-found":
            raise
        for carried in initramfs_trust.read(root):
            if party in carried.pins:
                return kernel_keys.parse_pin(carried.pins[party])
        raise
