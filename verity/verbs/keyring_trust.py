# SPDX-License-Identifier: Apache-2.0
"""Whom a host trusts: its parties' keyrings, each verified from the pin that the owner accepted.

Where there is a pin there must be a keyring: one that was taken away would take its revocations
with it. A user's revocations hold for what the vendor signs, too: also where the caller names no
pin but the vendor's, for a shorter command line must not take them away. Without a pin of a party
nothing of that party counts; there is no trust on first use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from verity.formats.grants import Party, Role
from verity.ports import keyring_files
from verity.trust import clock
from verity.trust.keyring import PinPrint, VerifiedKeyring, check_parties
from verity.trust.revocations import NOTHING, Revocations
from verity.trust.trusted import TrustedSet
from verity.values.errors import CallerError, HostError
from verity.values.findings import Finding
from verity.verbs import keyring_verify, pins


@dataclass(frozen=True, kw_only=True)
class Keyrings:
    """The verified keyring of each party that has a pin.

    ``revoking`` is the keyring of a host's user whom the caller did not name: what it revokes
    counts, and it gives nobody a right.
    """

    of_party: Mapping[Party, VerifiedKeyring]
    revoking: VerifiedKeyring | None = None
    said: tuple[str, ...] = ()

    def trusted(
        self, role: Role, stream: str | None = None, *, party: Party | None = None
    ) -> TrustedSet:
        """The keys of a role, under what both parties revoke that may; ``party`` is for a role
        that both have.

        Raises HostError ``no-pin``, and what ``VerifiedKeyring.trusted`` does.
        """
        if party is None:
            party = Party.VENDOR if role is Role.OS else Party.USER
        found = self.of_party.get(party)
        if found is None:
            name = party.name.lower()
            raise HostError(
                "no-pin",
                f"no pin of the {name}, whose keyring says who has the role {role.name.lower()}",
                hint=f"--pin {name}=sha256:FINGERPRINT, which the {name} tells you another way;"
                " or --key FILE.pub",
            )
        user = self.of_party.get(Party.USER, self.revoking)
        also = NOTHING if user is None else user.revocations
        return found.trusted(role, stream, also=also)

    def revocations(self, party: Party) -> Revocations:
        """What counts no more of what this party signs: by its own keyring, and by the user's."""
        held = [self.of_party.get(party), self.of_party.get(Party.USER, self.revoking)]
        found = NOTHING
        for one in held:
            found |= NOTHING if one is None else one.revocations
        return found

    def reference_time(self, now: int, party: Party = Party.VENDOR) -> int:
        """The newest time that is known for what a party signs: the clock's, or when its keyring
        or the user's was issued. A vendor can't make the user's documents expire."""
        issued = {one: found.keyring.issued for one, found in self.of_party.items()}
        return clock.reference(
            now, [time for one, time in issued.items() if one in (party, Party.USER)]
        )

    def findings(self, now: int) -> list[Finding]:
        """That a keyring has expired by the newest time that is known, or is ahead of the clock."""
        return [
            finding
            for party, found in sorted(self.of_party.items())
            for finding in keyring_verify.expiry(found, now, self.reference_time(now, party))
        ]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was skipped, and whose revocations count or don't."""
        skipped = [text for found in self.of_party.values() for text in found.skipped]
        return (*self.said, *skipped)


def load(
    directories: Sequence[Path],
    accepted: Mapping[Party, PinPrint],
    *,
    revoked: frozenset[str] = frozenset(),
    allow_example_keys: bool = False,
) -> Keyrings:
    """Verify the keyring of each party that has a pin; what the user's revokes (or ``revoked``
    has) holds for the vendor's roots, too.

    Raises ContentError, with ``no-keyring`` for a pin without one.
    """
    found: dict[Party, VerifiedKeyring] = {}
    for party in (Party.USER, Party.VENDOR):
        if party in accepted:
            user = found.get(Party.USER)
            found[party] = keyring_verify.of_party(
                directories,
                accepted[party],
                revoked=revoked if user is None else revoked | user.revocations.keys,
                allow_example_keys=allow_example_keys,
            )
    check_parties(one.keyring for one in found.values())
    return Keyrings(of_party=found)


def find(
    named: Mapping[Party, PinPrint],
    directory: Path | None,
    *,
    host: Path,
    without_user: bool = False,
    allow_example_keys: bool = False,
) -> Keyrings:
    """Verify the keyrings of a directory that the caller names, or else the host's, from the pins
    that the caller names, or else the host's.

    1. A directory that is named has a keyring of each party that has a pin.
    2. If the vendor's pin alone is named, a user's keyring beside it is refused: it may revoke.
    3. Then what the host's own user revokes counts, if the host has such a pin.

    ``without_user`` leaves 2 and 3 out. Raises HostError ``no-keyring``, CallerError
    ``no-user-pin``, and what ``load`` does.
    """
    directories = host_directories(host) if directory is None else [directory]
    given = dict(named) or host_pins(host)
    # 1. Something is there.
    for party in given:
        if directory is not None and not keyring_files.read_versions([directory], party):
            name = party.name.lower()
            raise HostError(
                "no-keyring",
                f"{directory}: there is no keyring of the {name} in it, of whom there is a pin",
                hint=f"expected {name}/N.keyring.json below it",
            )
    if set(named) != {Party.VENDOR}:
        return load(directories, given, allow_example_keys=allow_example_keys)
    if without_user:
        found = load(directories, given, allow_example_keys=allow_example_keys)
        return replace(found, said=("what a user revokes is not asked, as was demanded",))
    # 2. Nobody's word, and perhaps a revocation.
    if directory is not None and keyring_files.read_versions([directory], Party.USER):
        raise CallerError(
            "no-user-pin",
            f"{directory}: there is a user's keyring, no --pin of the user to verify it, and what"
            " it revokes would not count",
            hint="--pin user=sha256:FINGERPRINT; or --insecure-without-user-revocations",
        )
    # 3. The host's user.
    pin = _host_pin(host, Party.USER)
    if pin is None:
        return load(directories, given, allow_example_keys=allow_example_keys)
    revoking = load(
        host_directories(host), {Party.USER: pin}, allow_example_keys=allow_example_keys
    ).of_party[Party.USER]
    found = load(
        directories,
        given,
        revoked=revoking.revocations.keys,
        allow_example_keys=allow_example_keys,
    )
    check_parties(one.keyring for one in (revoking, *found.of_party.values()))
    return replace(
        found,
        revoking=revoking,
        said=(
            f"what the user of {host} revokes counts, too: {host / keyring_files.PINS[Party.USER]}",
        ),
    )


def host_directories(root: Path) -> list[Path]:
    """Where a host has keyrings."""
    return [root / directory for directory in keyring_files.DIRECTORIES]


def host_pins(root: Path) -> dict[Party, PinPrint]:
    """The pins that a host's owner accepted; HostError ``no-pin`` if there is none."""
    found = {party: _host_pin(root, party) for party in keyring_files.PINS}
    accepted = {party: pin for party, pin in found.items() if pin is not None}
    if not accepted:
        raise HostError(
            "no-pin",
            f"{root / keyring_files.PINS[Party.VENDOR]}: there is no pin, so nobody is trusted",
            hint="--key FILE.pub, or --pin vendor=sha256:FINGERPRINT with --keyring DIR; or have"
            " the host's owner put the pin there: `verity lockdown pin`",
        )
    return accepted


def _host_pin(root: Path, party: Party) -> PinPrint | None:
    place = root / keyring_files.PINS[party]
    try:
        return PinPrint.of(pins.load(place, party))
    except HostError as error:
        # Only a pin that isn't there is none: one that can't be read may revoke.
        if error.code != "not-found" or place.is_symlink():
            raise
        return None
