# SPDX-License-Identifier: Apache-2.0
"""keyring init, add-key, revoke, rotate, sign: the next version in a directory of versions.

The version before is verified, the change is made, root keys sign it, and it is published; all of
that under one lock. While a version waits for signatures no other one is begun.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from verity.formats.grants import Party
from verity.formats.keyring import Keyring
from verity.ports import keyring_files
from verity.ports.keystore import SigningKey
from verity.trust.keyring import check_parties
from verity.values.errors import CallerError
from verity.verbs import keyring_versions
from verity.verbs.keyring_versions import Published, Source


def init(directory: Path, party: Party, value: Keyring, signing: Sequence[SigningKey]) -> Published:
    """Publish version 1; refused where there is one."""
    with keyring_files.lock(directory, party):
        source = _source(directory, party)
        if source.newest is not None:
            raise CallerError(
                "exists",
                f"{directory / party.name.lower()}: there is a keyring, at version"
                f" {source.newest.version}",
                hint="change it with add-key, revoke or rotate; or name another directory",
            )
        return _publish(source, value, signing)


def change(
    directory: Path,
    party: Party,
    edit: Callable[[Keyring], Keyring],
    signing: Sequence[SigningKey],
) -> Published:
    """Publish what ``edit`` makes of the newest version."""
    with keyring_files.lock(directory, party):
        source = _source(directory, party)
        return _publish(source, edit(keyring_versions.newest(source)), signing)


def complete(directory: Path, party: Party, signing: Sequence[SigningKey]) -> Published:
    """Add signatures to the version that waits for them."""
    with keyring_files.lock(directory, party):
        source = keyring_versions.load(directory, party)
        found = keyring_versions.waiting(source)
        if found is None:
            raise CallerError(
                "nothing-waits",
                f"{directory / party.name.lower()}: no version waits for signatures",
            )
        what, signatures = found
        more = [keyring_versions.sign(what, key) for key in signing]
        return keyring_versions.publish(source, what, [*signatures, *more])


def _source(directory: Path, party: Party) -> Source:
    source = keyring_versions.load(directory, party)
    if keyring_versions.waiting(source) is not None:
        path = directory / party.name.lower() / f"{source.next_version}.keyring.json.part"
        raise CallerError(
            "waiting",
            f"{path}: version {source.next_version} waits for signatures",
            hint="`verity keyring sign` adds them; remove the file to begin anew",
        )
    return source


def _publish(source: Source, value: Keyring, signing: Sequence[SigningKey]) -> Published:
    other = Party.USER if source.party is Party.VENDOR else Party.VENDOR
    beside = keyring_versions.load(source.directory, other).newest
    check_parties([value] if beside is None else [value, beside])
    what = keyring_versions.draft(value)
    signatures = [keyring_versions.sign(what, key) for key in signing]
    return keyring_versions.publish(source, what, signatures)
