# SPDX-License-Identifier: Apache-2.0
"""keyring verify: the versions of a party from the pin upwards, and whether the newest expired."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats.grants import Party
from verity.formats.keyring import Keyring
from verity.formats.statement import MAX_ENVELOPE, format_time
from verity.ports import keyring_files
from verity.ports.osfile import read_file
from verity.trust import clock
from verity.trust.keyring import PinPrint, VerifiedKeyring, verify_chain
from verity.trust.keyring_version import SignedBy, signed_by
from verity.values.errors import CallerError
from verity.values.findings import Finding, Link
from verity.verbs import keyring_versions


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A version in a file, verified from no pin; ``signers`` as ``signed_by`` has them."""

    path: Path
    keyring: Keyring
    signers: tuple[SignedBy, ...]


def look(path: Path) -> list[Shown]:
    """What a file says, or each version in a directory of keyrings, unverified.

    The version that waits for signatures is among them. Raises CallerError for an empty directory.
    """
    if not os.path.isdir(path):
        return _shown([(path, read_file(path, max_size=MAX_ENVELOPE))])
    files: list[keyring_files.VersionFile] = []
    for party in Party:
        files += keyring_files.read_versions([path], party)
        waiting = keyring_files.read_part(path, party)
        if waiting is not None:
            files.append(waiting[0])
    if not files:
        raise CallerError(
            "no-keyring",
            f"{path}: there is no keyring in it",
            hint="expected PARTY/N.keyring.json below it",
        )
    return _shown([(file.path, file.data) for file in files])


def verify(
    paths: Sequence[Path], pin: PinPrint, *, allow_example_keys: bool = False
) -> VerifiedKeyring:
    """Verify files in whatever order, or the versions in one directory of keyrings."""
    if len(paths) == 1 and os.path.isdir(paths[0]):
        files = keyring_files.read_versions(paths, pin.party)
        return keyring_versions.verify_files(files, pin, allow_example_keys=allow_example_keys)
    versions = [read_file(path, max_size=MAX_ENVELOPE) for path in paths]
    numbers = {
        data: keyring_versions.named(path, data)[1].version
        for path, data in zip(paths, versions, strict=True)
    }
    ordered = sorted(versions, key=lambda data: numbers[data])
    return verify_chain(ordered, pin, allow_example_keys=allow_example_keys)


def of_party(
    directories: Sequence[Path],
    pin: PinPrint,
    *,
    revoked: frozenset[str] = frozenset(),
    allow_example_keys: bool = False,
) -> VerifiedKeyring:
    """The keyring of the pin's party, from these directories; no version by a ``revoked`` key."""
    files = keyring_files.read_versions(directories, pin.party)
    return keyring_versions.verify_files(
        files, pin, revoked=revoked, allow_example_keys=allow_example_keys
    )


def expiry(found: VerifiedKeyring, now: int, latest: int) -> list[Finding]:
    """Findings about time: that the newest version had expired at ``latest``, or was issued ahead
    of the clock (``now``). Both are seconds since 1970."""
    value = found.keyring
    label = f"keyring of the {value.party.name.lower()}, version {value.version}"
    findings = []
    if latest >= value.expires:
        findings.append(
            Finding(
                check="keyring-expired",
                link=Link.KEY,
                object=label,
                problem="the newest keyring has expired, so nothing new is accepted by it",
                expected=f"a time before {format_time(value.expires)}",
                found=format_time(latest),
                remedy="get the party's next version; what was accepted stays",
            )
        )
    if clock.is_ahead(value.issued, now):
        findings.append(
            Finding(
                check="issued-ahead",
                link=Link.KEY,
                object=label,
                problem="it was issued more than a day ahead of this host's clock, so nothing new"
                " is accepted by it",
                expected=f"a time about {format_time(now)}, which the clock says",
                found=format_time(value.issued),
                remedy="set the clock; if it is right, get the party's next version",
            )
        )
    return findings


def _shown(versions: Sequence[tuple[Path, bytes]]) -> list[Shown]:
    found = []
    before: dict[tuple[Party, int], Keyring] = {}
    for path, data in versions:
        envelope, value = keyring_versions.named(path, data)
        before[value.party, value.version] = value
        roots = [value]
        if (value.party, value.version - 1) in before:
            roots.insert(0, before[value.party, value.version - 1])
        found.append(Shown(path=path, keyring=value, signers=signed_by(envelope, roots)))
    return found
