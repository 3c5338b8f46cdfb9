# SPDX-License-Identifier: Apache-2.0
"""Which keys may sign what, and how many owners have to.

A ``TrustedSet`` is what every verification asks. Today it is made from public keys that the
caller names, one owner each; keyrings will make it from a root pin. An empty set and a threshold
below one are refused: nothing is never everything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from verity.formats import pkcs7
from verity.formats.grants import Party, Role
from verity.trust import example_keys
from verity.trust.keys import KeyAlgorithm, PublicKey
from verity.values.errors import CallerError, ContentError


@dataclass(frozen=True, kw_only=True)
class TrustedKey:
    """A key and whose it is. Two keys of one owner count once."""

    key: PublicKey
    owner: str


@dataclass(frozen=True, kw_only=True)
class TrustedSet:
    """The keys of one party and role, and the number of distinct owners that must sign.

    The keys of keys-example/ are refused unless ``allow_example_keys`` says that they count.
    """

    party: Party
    role: Role
    keys: tuple[TrustedKey, ...]
    threshold: int
    allow_example_keys: bool = False

    def __post_init__(self) -> None:
        owners = {trusted.owner for trusted in self.keys}
        if not 1 <= self.threshold <= len(owners):
            raise CallerError(
                "bad-trust",
                f"a threshold of {self.threshold} with {len(owners)} owners can't be met",
                hint="name at least one key, and as many owners as the threshold",
            )
        if not self.allow_example_keys:
            role = f"{self.party.name} {self.role.name}".lower()
            example_keys.refuse((trusted.key.key_id for trusted in self.keys), label=role)
        for trusted in self.keys:
            if trusted.key.algorithm is not KeyAlgorithm.P256:
                raise ContentError(
                    "bad-key",
                    f"key {trusted.key.key_id}: {trusted.key.algorithm}, but statements and"
                    " grants are signed with ecdsa-p256",
                    hint="`verity key generate` makes one that the kernel can verify, too",
                )

    @classmethod
    def of_keys(
        cls,
        keys: Iterable[PublicKey],
        *,
        party: Party,
        role: Role,
        threshold: int = 1,
        allow_example_keys: bool = False,
    ) -> "TrustedSet":
        """A set in which every key is its own owner."""
        unique = {key.key_id: key for key in keys}
        return cls(
            party=party,
            role=role,
            keys=tuple(TrustedKey(key=key, owner=key_id) for key_id, key in unique.items()),
            threshold=threshold,
            allow_example_keys=allow_example_keys,
        )

    def signers(self, signatures: Iterable[bytes], data: bytes) -> Mapping[str, PublicKey]:
        """The owners whose signature over ``data`` is among ``signatures``, with their key."""
        found: dict[str, PublicKey] = {}
        for signature in signatures:
            for trusted in self.keys:
                if trusted.owner not in found and trusted.key.verifies(
                    signature=signature, data=data
                ):
                    found[trusted.owner] = trusted.key
        return found

    def blob_signers(
        self, signatures: Iterable[bytes], blob: bytes, *, what: str
    ) -> tuple[Mapping[str, PublicKey], tuple[str, ...]]:
        """The owners who signed a blob for the kernel, and why further signatures don't count.

        Only the one PKCS#7 template counts. Raises ContentError (``bad-signature``) if there are
        fewer owners than the threshold; ``what`` names the blob.
        """
        usable: list[bytes] = []
        refused: list[str] = []
        for number, signature in enumerate(signatures, 1):
            try:
                usable.append(pkcs7.parse(signature).value)
            except ContentError as error:
                refused.append(f"signature {number} of the {what}: {error.message}")
        signers = self.signers(usable, blob)
        if len(signers) < self.threshold:
            raise ContentError(
                "bad-signature",
                f"{what}: signed by {len(signers)} of the trusted owners, {self.threshold} needed"
                + (f" (refused: {'; '.join(refused)})" if refused else ""),
                hint="the kernel would refuse this blob, too",
            )
        return signers, tuple(refused)
