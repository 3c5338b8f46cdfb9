# SPDX-License-Identifier: Apache-2.0
"""Whom a host trusts: its parties' keyrings, each verified from the pin that the owner accepted.

Where there is a pin there must be a keyring: one that was taken away would take its revocations
with it. A user's revocations hold for what the vendor signs, too. Without a pin of a party nothing
of that party counts; there is no trust on first use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats.grants import Party, Role
from verity.ports import keyring_files
from verity.trust.keyring import PinPrint, VerifiedKeyring, check_parties
from verity.trust.revocations import NOTHING
from verity.trust.trusted import TrustedSet
from verity.values.errors import HostError
from verity.values.findings import Finding
from verity.verbs import keyring_verify, lockdown_bundle


@dataclass(frozen=True, kw_only=True)
class Keyrings:
    """The verified keyring of each party that has a pin."""

    of_party: Mapping[Party, VerifiedKeyring]

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
        user = self.of_party.get(Party.USER)
        also = NOTHING if user is None else user.revocations
        return found.trusted(role, stream, also=also)

    def reference_time(self, now: int) -> int:
        """The newest time that is known: the clock's, or when a version was issued."""
        return max((found.reference_time(now) for found in self.of_party.values()), default=now)

    def findings(self, now: int) -> list[Finding]:
        """That a keyring has expired, judged at the newest time that is known."""
        latest = self.reference_time(now)
        return [
            finding
            for _, found in sorted(self.of_party.items())
            for finding in keyring_verify.expiry(found, latest)
        ]

    @property
    def notes(self) -> tuple[str, ...]:
        """Malformed signatures that were skipped."""
        return tuple(text for found in self.of_party.values() for text in found.skipped)


def load(
    directories: Sequence[Path],
    pins: Mapping[Party, PinPrint],
    *,
    allow_example_keys: bool = False,
) -> Keyrings:
    """Verify the keyring of each party that has a pin; what the user's revokes holds for the
    vendor's roots, too.

    Raises ContentError, with ``no-keyring`` for a pin without one.
    """
    found: dict[Party, VerifiedKeyring] = {}
    for party in (Party.USER, Party.VENDOR):
        if party in pins:
            user = found.get(Party.USER)
            found[party] = keyring_verify.of_party(
                directories,
                pins[party],
                revoked=frozenset() if user is None else user.revocations.keys,
                allow_example_keys=allow_example_keys,
            )
    check_parties(one.keyring for one in found.values())
    return Keyrings(of_party=found)


def host_directories(root: Path) -> list[Path]:
    """Where a host has keyrings."""
    return [root / directory for directory in keyring_files.DIRECTORIES]


def host_pins(root: Path) -> dict[Party, PinPrint]:
    """The pins that a host's owner accepted; HostError ``no-pin`` if there is none."""
    pins = {}
    for party, place in keyring_files.PINS.items():
        try:
            pins[party] = PinPrint.of(lockdown_bundle.load_pin(root / place, party))
        except HostError as error:
            # Only a pin that isn't there is none: one that can't be read may revoke.
            if error.code != "not-found" or (root / place).is_symlink():
                raise
    if not pins:
        raise HostError(
            "no-pin",
            f"{root / keyring_files.PINS[Party.VENDOR]}: there is no pin, so nobody is trusted",
            hint="--key FILE.pub, or --pin vendor=sha256:FINGERPRINT with --keyring DIR; or have"
            " the host's owner put the pin there: `verity lockdown pin`",
        )
    return pins
