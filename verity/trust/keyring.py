# SPDX-License-Identifier: Apache-2.0
"""From a root pin to the newest keyring of a party: the chain of versions, without a gap.

Only ``verify_chain`` makes a ``VerifiedKeyring``, and only that says which keys a role has. It
reads no file and no clock. Expiry is told (``VerifiedKeyring.expired``) and judged by the caller,
because it blocks new acceptance and removes nothing that was accepted; that older versions have
expired is how a chain looks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass

from verity.formats import kernel_keys, keyring
from verity.formats.grants import Party, Role
from verity.formats.kernel_keys import Pin
from verity.formats.keyring import Keyring
from verity.trust import clock
from verity.trust.keyring_version import read, root_signers, strangers, trusted_of
from verity.trust.keys import PublicKey
from verity.trust.revocations import NOTHING, Revocations
from verity.trust.trusted import TrustedSet
from verity.values.errors import ContentError

_PROOF = object()  # only this module can name it, so only it can build what follows


@dataclass(frozen=True, kw_only=True)
class PinPrint:
    """A pin by its fingerprint (SHA-256 of its file, 64 hex digits): as good as the pin."""

    party: Party
    fingerprint: str

    @classmethod
    def of(cls, pin: Pin) -> "PinPrint":
        """The fingerprint of a pin."""
        return cls(
            party=pin.party, fingerprint=kernel_keys.fingerprint(kernel_keys.encode_pin(pin))
        )


@dataclass(frozen=True, kw_only=True)
class VerifiedKeyring:
    """The newest version of a party's keyring, reached from the pin.

    ``first`` is the version that the pin is of; ``signers`` the root owners of the newest, with
    their keys.
    ``allow_example_keys`` is what it was verified with.
    """

    keyring: Keyring
    payload: bytes
    first: int
    signers: Mapping[str, PublicKey]
    skipped: tuple[str, ...]
    allow_example_keys: bool
    proof: InitVar[object]  # not kept, so that dataclasses.replace() can't pass it on

    def __post_init__(self, proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError("a VerifiedKeyring is made by verifying, never by hand")

    @property
    def revocations(self) -> Revocations:
        """What this version revokes."""
        return Revocations.of(self.keyring.revoked)

    def reference_time(self, now: int) -> int:
        """The newest time that is known. Only the newest version says one: its root owners can
        take back a time that was signed by mistake, as everything else."""
        return clock.reference(now, [self.keyring.issued])

    def expired(self, now: int) -> bool:
        """Whether it had expired at the reference time."""
        return self.reference_time(now) >= self.keyring.expires

    def trusted(
        self,
        role: Role,
        stream: str | None = None,
        *,
        also: Revocations = NOTHING,
    ) -> TrustedSet:
        """The keys of a role, for one stream or for all of the role's.

        ``also`` is what another keyring revokes: a user's holds for a vendor's signatures.
        Raises ContentError: ``no-role``, ``wrong-stream``.
        """
        rule = self.keyring.roles.get(role)
        party = self.keyring.party.name.lower()
        if rule is None:
            raise ContentError(
                "no-role",
                f"keyring of the {party}, version {self.keyring.version}: it has no role"
                f" {role.name.lower()}",
                hint="`verity keyring show` lists the roles; `verity keyring add-key` adds one",
            )
        streams: tuple[str, ...] | None = rule.streams or None
        if stream is not None and streams is not None:
            if not any(keyring.matches(pattern, stream) for pattern in streams):
                raise ContentError(
                    "wrong-stream",
                    f"keyring of the {party}, version {self.keyring.version}: the role"
                    f" {role.name.lower()} signs in {', '.join(streams)[:200]}, not in {stream}",
                )
            streams = (stream,)
        return trusted_of(
            self.keyring,
            role,
            streams=streams,
            revocations=self.revocations | also,
            allow_example_keys=self.allow_example_keys,
        )


def pin_of(found: Keyring) -> Pin:
    """The pin that a keyring's root keys make, as ``lockdown pin`` makes it of their files."""
    owners: dict[str, list[bytes]] = {}
    for key in found.of_role(Role.ROOT):
        owners.setdefault(key.owner, []).append(key.spki)
    return Pin(
        party=found.party,
        threshold=found.roles[Role.ROOT].threshold,
        keys=kernel_keys.sorted_keys({Role.ROOT: owners}),
    )


def verify_chain(
    versions: Sequence[bytes],
    pin: Pin | PinPrint,
    *,
    revoked: frozenset[str] = frozenset(),
    allow_example_keys: bool = False,
) -> VerifiedKeyring:
    """Verify the versions of a keyring (DSSE envelopes, oldest first) from the pin upwards.

    1. Each envelope holds a keyring, of the party of the pin.
    2. Each version is one above that before it.
    3. The chain starts at the first version whose root keys are the pin's, and their threshold
       signed it. Those before it count for nothing, and are not needed.
    4. Each later version is signed by the root threshold of the one before and by its own.
    5. Every key of the newest is a point on its curve, and none of keys-example/ unless allowed.

    ``revoked`` are key ids that another party, who may, has revoked: no version counts by them.

    Raises ContentError: ``no-keyring``, ``bad-document``, ``wrong-party``, ``bad-chain``,
    ``wrong-pin``, ``bad-signature``, ``bad-key``, ``example-key``.
    """
    pinned = PinPrint.of(pin) if isinstance(pin, Pin) else pin
    if not versions:
        raise ContentError(
            "no-keyring",
            f"keyring of the {pinned.party.name.lower()}: there is no version of it",
            hint="its versions are PARTY/N.keyring.json in a directory of keyrings; where a pin is,"
            " there must be a keyring",
        )
    anchor: int | None = None
    before: Keyring | None = None
    signers: Mapping[str, PublicKey] = {}
    skipped: list[str] = []
    for data in versions:
        # 1. A keyring of this party.
        envelope, found = read(data)
        if found.party is not pinned.party:
            raise ContentError(
                "wrong-party",
                f"keyring: it is of the {found.party.name.lower()}, the pin is of the"
                f" {pinned.party.name.lower()}",
            )
        # 2. No version is skipped.
        if before is not None and found.version == before.version and found != before:
            raise ContentError(
                "bad-chain",
                f"keyring: there are two different versions {found.version}",
                hint="its root owners signed two, or one was put there by somebody else: ask them",
            )
        if before is not None and found.version != before.version + 1:
            raise ContentError(
                "bad-chain",
                f"keyring: version {found.version} follows version {before.version},"
                f" expected version {before.version + 1}",
                hint="get the versions between: each is signed by the roots of the one before",
            )
        # 3. The chain starts at the pin, and what is before that isn't looked at any further.
        starts = anchor is None and PinPrint.of(pin_of(found)) == pinned
        if starts:
            anchor = found.version
        # 4. Signed by the roots before, and by its own.
        if anchor is not None:
            if before is not None and not starts:
                root_signers(envelope, found, before, skipped, revoked)
            signers = root_signers(envelope, found, found, skipped, revoked)
            skipped += strangers(envelope, found, found if before is None or starts else before)
        before = found
    assert before is not None  # noqa: S101 - there is at least one version
    if anchor is None:
        raise ContentError(
            "wrong-pin",
            f"keyring of the {pinned.party.name.lower()}: no version has the root keys of the pin"
            f" sha256:{pinned.fingerprint}; those of version {before.version} are"
            f" sha256:{PinPrint.of(pin_of(before)).fingerprint}",
            hint="confirm the pin with whoever holds the root keys; never take it from here",
        )
    # 5. Real keys.
    for role in before.roles:
        trusted_of(before, role, allow_example_keys=allow_example_keys)
    return VerifiedKeyring(
        proof=_PROOF,
        keyring=before,
        payload=envelope.payload,
        first=anchor,
        signers=signers,
        skipped=tuple(skipped),
        allow_example_keys=allow_example_keys,
    )


def check_parties(keyrings: Iterable[Keyring]) -> None:
    """Refuse a key that two parties hold (``key-twice``)."""
    holders: dict[str, Party] = {}
    for found in keyrings:
        for key in found.keys:
            if holders.setdefault(key.key_id, found.party) is not found.party:
                raise ContentError(
                    "key-twice",
                    f"key {key.key_id}: it is in the keyrings of both parties, expected one",
                    hint="make a key for each role: `verity key generate`",
                )
