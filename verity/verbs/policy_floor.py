# SPDX-License-Identifier: Apache-2.0
"""The floor of a host's policy: the highest that it has accepted, kept as it was signed.

`lockdown bundle`, where it writes the bundle of the host itself, and `lockdown import`, after the
gate has taken it, raise the floor; they and `policy show` and `check` refuse what is below it. It
is kept as a fragment of a boot bundle, because that is all that these two see. The policy of the
boot bundle is a floor, too; its record of floors, which names streams, says nothing of a policy.

What it does not do: as ``serial_floors``, keep who can write STATE from taking a floor away.
"""

from pathlib import Path

from verity.formats import bundle, records
from verity.formats.grants import Role
from verity.formats.records import Fragment, RecordKind
from verity.ports.osfile import read_if_there
from verity.trust import floors, policy_floors
from verity.trust.trusted import TrustedSet
from verity.values.errors import ContentError
from verity.verbs import serial_floors
from verity.verbs.serial_floors import HostState, Looked


def look(state: HostState, trusted: TrustedSet) -> Looked:
    """The floors of the policy, verified by these keys of the user's role policy.

    1. The boot bundle's policy. That it is damaged, or signed by others, is told; the gate judges.
    2. The stored one. A damaged one is a finding; a missing one only if the bundle is damaged, too.

    Raises HostError if the boot bundle is there and can't be read.
    """
    found = Looked()
    # 1. The boot bundle's.
    _of_bundle(found, state.bundle, trusted)
    # 2. The stored one.
    path = str(state.store.path(floors.POLICY))
    try:
        stored = state.store.read(floors.POLICY)
        if stored is not None:
            fragment = _fragment(stored, path)
            found.stored = policy_floors.of_policy(
                fragment.blob, fragment.signatures, trusted, source=path
            )
            found.floors.append(found.stored)
        elif found.missed:
            raise ContentError("no-floor", f"{path}: no floor for the policy")
    except ContentError as error:
        serial_floors.report(found, state, error, path, Role.POLICY)
    return found


def hold(state: HostState | None, blob: bytes, trusted: TrustedSet, *, label: str) -> Looked:
    """Refuse what the gate would be told (``blob``) if it is below a floor; what was found if not.

    Raises ContentError (``below-floor``, ``equivocation``).
    """
    found = Looked() if state is None else look(state, trusted)
    for floor in found.floors:
        policy_floors.check(blob, floor, label=label)
    return found


def accept(state: HostState, fragment: Fragment, trusted: TrustedSet, *, label: str) -> Path | None:
    """Make a policy that was verified the floor; the file if it was raised.

    1. Alone: another one that accepts waits.
    2. Compare with the floors as they are now; a damaged one is left as it is.
    3. Write the fragment, as it was signed.

    Raises ContentError (``below-floor``, ``equivocation``).
    """
    # 1. Alone.
    with state.store.locked():
        # 2. Compare.
        found = hold(state, fragment.blob, trusted, label=label)
        serial = policy_floors.of_policy(
            fragment.blob, fragment.signatures, trusted, source=label
        ).serial
        if found.findings or (found.stored is not None and found.stored.serial == serial):
            return None
        # 3. Write.
        state.store.write(floors.POLICY, [bundle.encode([fragment])])
        return state.store.path(floors.POLICY)


def _fragment(stored: tuple[bytes, ...], path: str) -> Fragment:
    try:
        (data,) = stored
        fragment = bundle.parse_fragment(data, label=path)
    except ValueError as error:
        raise ContentError("bad-floor", f"{path}: {len(stored)} entries, expected one") from error
    except ContentError as error:
        raise ContentError("bad-floor", error.message) from error
    if fragment.kind is not RecordKind.POLICY:
        raise ContentError("bad-floor", f"{path}: it holds no policy")
    return fragment


def _of_bundle(found: Looked, path: Path, trusted: TrustedSet) -> None:
    data = read_if_there(path, max_size=records.MAX_SIZE)
    if data is None:
        return
    try:
        fragments = records.split(data, label=str(path))
    except ContentError as error:
        found.notes.append(f"{path} is no floor for the policy: {error.message}")
        found.missed = True
        return
    for fragment in fragments:
        if fragment.kind is RecordKind.POLICY:
            try:
                floor = policy_floors.of_policy(
                    fragment.blob, fragment.signatures, trusted, source=str(path)
                )
            except ContentError as error:
                found.notes.append(f"{path} is no floor for the policy: {error.message}")
            else:
                found.floors.append(floor)
