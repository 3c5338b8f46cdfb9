# SPDX-License-Identifier: Apache-2.0
"""lockdown bundle: fragments into the boot bundle of a host, each verified against the pins.

``trust.boot_bundle`` says what the gate would take, ``trust.boot_revoked`` what a keyring revokes;
nothing else gets into a file, and of the signatures over keys only those by the pin. It sorts the
fragments by kind and keeps the order in which they are given within a kind. The host's floors are
held against policy and grants, and recorded at the end. A bundle that is there is replaced only on
demand, and then at once: old or new. Where it is the host's own, its policy is accepted: it is the
floor of the next.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle
from verity.formats.grants import Party
from verity.formats.kernel_keys import Pin
from verity.formats.records import RecordKind
from verity.ports import keyring_files
from verity.ports.osfile import replace_file, write_new_file
from verity.trust import boot_bundle, boot_revoked
from verity.trust.boot_bundle import Labelled, Part
from verity.trust.keyring import PinPrint
from verity.values.errors import CallerError, HostError
from verity.verbs import fragments, grant_floors, keyring_trust, pins, policy_floor
from verity.verbs.grant_floors import Compared
from verity.verbs.keyring_trust import Keyrings
from verity.verbs.serial_floors import HostState

_MODE = 0o644


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The files of fragments, by what they have to hold.

    ``keyring`` is a directory of keyrings; None means those beside the files of keys.
    """

    keys: tuple[Path, ...]
    policy: Path
    grants: tuple[Path, ...]
    revoke: tuple[Path, ...] = ()
    keyring: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Written:
    """A bundle on the disk. ``size`` is in bytes; ``notes`` say what was not asked or skipped."""

    sha256: str
    size: int
    parts: tuple[Part, ...]
    floors: Compared
    notes: tuple[str, ...]


def make(
    sources: Sources,
    pin_files: Mapping[Party, Path],
    target: Path,
    *,
    now: int,
    replace: bool = False,
    allow_example_keys: bool = False,
    host: HostState | None = None,
) -> Written:
    """Check every fragment (``now``: seconds since 1970) and write the bundle.

    ``host`` has the floors. If they are damaged, the bundle is written with those of the old one.
    Raises what ``boot_bundle.check``, ``boot_revoked.check`` and ``keyring_trust.load`` do.
    """
    accepted = {party: pins.load(path, party) for party, path in pin_files.items()}
    labelled = [
        *_load(sources.keys, RecordKind.KEYS),
        *_load([sources.policy], RecordKind.POLICY),
        *_load(sources.revoke, RecordKind.REVOKE),
        *_load(sources.grants, RecordKind.GRANTS),
    ]
    keyrings = _keyrings(sources, accepted, allow_example_keys=allow_example_keys)
    return write(
        labelled,
        accepted,
        keyrings,
        target,
        now=now,
        replace=replace,
        allow_example_keys=allow_example_keys,
        host=host,
    )


def write(
    labelled: Sequence[Labelled],
    accepted: Mapping[Party, Pin],
    keyrings: Keyrings,
    target: Path,
    *,
    now: int,
    replace: bool,
    allow_example_keys: bool,
    host: HostState | None,
    kept: frozenset[bytes] = frozenset(),
    first: Callable[[], None] = lambda: None,
) -> Written:
    """The same for fragments that are at hand already; ``kept`` are blobs of the host's bundle.
    ``first`` is done once nothing is refused any more, and before the bundle is written."""
    labelled = [boot_bundle.by_pin(item, accepted) for item in labelled]
    parts = boot_bundle.check(
        labelled, accepted, now=now, accepted=kept, allow_example_keys=allow_example_keys
    )
    boot_revoked.check(
        labelled, accepted, {party: keyrings.revocations(party) for party in accepted}
    )
    (policy,) = (item for item in labelled if item.fragment.kind is RecordKind.POLICY)
    signing = boot_bundle.policy_signers(labelled)
    looked = policy_floor.hold(host, policy.fragment.blob, signing, label=policy.label)
    compared = grant_floors.compare(host, labelled).added_to(looked)
    record = [] if compared.record is None else [compared.record]
    data = bundle.encode([*(item.fragment for item in labelled), *record])
    first()
    (replace_file if replace else write_new_file)(target, data, mode=_MODE)
    if host is not None and target.resolve() == host.bundle.resolve():
        policy_floor.accept(host, policy.fragment, signing, label=policy.label)
    unasked = [
        f"no keyring of the {party.name.lower()} was asked what it revokes: --keyring names one"
        for party in sorted(accepted.keys() - keyrings.of_party.keys())
        if keyrings.of_party  # else there is none to miss, as where `keyring project` made the keys
    ]
    return Written(
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        parts=parts,
        floors=compared,
        notes=(*unasked, *keyrings.notes),
    )


def _keyrings(
    sources: Sources, accepted: Mapping[Party, Pin], *, allow_example_keys: bool
) -> Keyrings:
    """The keyring of each party that has one, verified from the pins of the bundle itself."""
    prints = {party: PinPrint.of(pin) for party, pin in accepted.items()}
    # `keyring` writes DIR/PARTY/N.keys, so what revokes lies beside it.
    directories = sorted({path.absolute().parent.parent for path in sources.keys})
    if sources.keyring is not None:
        if not sources.keyring.is_dir():
            raise HostError("not-found", f"--keyring {sources.keyring}: no such directory")
        directories = [sources.keyring]
    there = [party for party in prints if keyring_files.read_versions(directories, party)]
    if sources.keyring is not None and not there:
        raise HostError(
            "no-keyring",
            f"{sources.keyring}: there is no keyring of the bundle's parties in it",
            hint="expected PARTY/N.keyring.json below it",
        )
    return keyring_trust.load(
        directories,
        {party: prints[party] for party in there},
        allow_example_keys=allow_example_keys,
    )


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
