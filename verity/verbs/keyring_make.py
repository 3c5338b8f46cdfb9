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
from verity.values.errors import CallerError, ContentError
from verity.verbs import keyring_versions
from verity.verbs.keyring_versions import Draft, Published, RootSignature, Source


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


def newest(directory: Path, party: Party) -> Keyring:
    """The version that a change begins from, to be looked at before."""
    return keyring_versions.newest(_source(directory, party))


def waiting(directory: Path, party: Party) -> tuple[Keyring, tuple[str, ...]]:
    """The version that waits for signatures, to be shown, and the root keys that signed it."""
    with keyring_files.lock(directory, party):
        _, what, signatures = _waiting(directory, party)
    return what.keyring, tuple(one.public.key_id for one in signatures)


def complete(
    directory: Path, party: Party, signing: Sequence[SigningKey], *, shown: Keyring
) -> Published:
    """Add signatures to the version that waits for them, if it is the one that was shown."""
    with keyring_files.lock(directory, party):
        source, what, signatures = _waiting(directory, party)
        if what.keyring != shown:
            raise ContentError(
                "changed",
                f"{directory / party.name.lower()}: the version that waits is not the one that was"
                " shown",
                hint="somebody changed it meanwhile: find out who, then look at it again",
            )
        more = [keyring_versions.sign(what, key) for key in signing]
        return keyring_versions.publish(source, what, [*signatures, *more])


def _waiting(directory: Path, party: Party) -> tuple[Source, Draft, list[RootSignature]]:
    source = keyring_versions.load(directory, party)
    found = keyring_versions.waiting(source)
    if found is None:
        raise CallerError(
            "nothing-waits",
            f"{directory / party.name.lower()}: no version waits for signatures",
        )
    return source, *found


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
