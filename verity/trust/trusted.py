# SPDX-License-Identifier: Apache-2.0
"""Which keys may sign what, and how many owners have to.

A ``TrustedSet`` is what every verification asks. It is made by a verified keyring, or from public
keys that the caller names, one owner each. An empty set and a threshold below one are refused:
nothing is never everything. A signature by a revoked key, or from outside of the time for which
its key is valid, doesn't count and is told.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from verity.formats import pkcs7
from verity.formats.grants import Party, Role
from verity.formats.statement import format_time
from verity.trust import example_keys
from verity.trust.keys import KeyAlgorithm, PublicKey
from verity.trust.revocations import NOTHING, Revocations
from verity.values.errors import CallerError, ContentError


@dataclass(frozen=True, kw_only=True)
class TrustedKey:
    """A key and whose it is. Two keys of one owner count once.

    What it signs must have been issued in ``valid_from <= issued < valid_until`` (None: no bound).
    """

    key: PublicKey
    owner: str
    valid_from: int | None = None
    valid_until: int | None = None

    def why_not(self, issued: int) -> str | None:
        """Why it can't have signed what was issued then, if so."""
        if self.valid_from is not None and issued < self.valid_from:
            return f"valid from {format_time(self.valid_from)}, it was issued {format_time(issued)}"
        if self.valid_until is not None and issued >= self.valid_until:
            return (
                f"valid until {format_time(self.valid_until)}, it was issued {format_time(issued)}"
            )
        return None


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The owners whose signature counts, with their key; and the signatures that don't, with why.

    A signature by no key of the set is in neither.
    """

    signers: Mapping[str, PublicKey]
    refused: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TrustedSet:
    """The keys of one party and role, and the number of distinct owners that must sign.

    ``streams`` are patterns of the streams in which they may; None is any, for keys that the
    caller names. ``revocations`` hold for everything that these keys sign.

    The keys of keys-example/ are refused unless ``allow_example_keys`` says that they count.
    """

    party: Party
    role: Role
    keys: tuple[TrustedKey, ...]
    threshold: int
    streams: tuple[str, ...] | None = None
    revocations: Revocations = NOTHING
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

    @property
    def has_windows(self) -> bool:
        """Whether any key is valid for a time only."""
        return any(
            trusted.valid_from is not None or trusted.valid_until is not None
            for trusted in self.keys
        )

    def signs_in(self, stream: str) -> bool:
        """Whether these keys may sign in a stream."""
        if self.streams is None:
            return True
        from verity.formats import keyring  # streams are said by keyrings alone

        return any(keyring.matches(pattern, stream) for pattern in self.streams)

    def judge(
        self, signatures: Iterable[bytes], data: bytes, *, issued: int | None = None
    ) -> Judged:
        """Who signed ``data``; ``issued`` is what it says of itself, None if not known yet."""
        found: dict[str, PublicKey] = {}
        refused: list[str] = []
        for signature in signatures:
            left = [trusted for trusted in self.keys if trusted.owner not in found]
            self._count(_makers(left, signature, data), found, refused, issued)
        return Judged(signers=found, refused=tuple(refused))

    def _count(
        self,
        makers: Iterable[TrustedKey],
        found: dict[str, PublicKey],
        refused: list[str],
        issued: int | None,
    ) -> None:
        """Count who made one signature, or say why it doesn't count."""
        for trusted in makers:
            why = "revoked" if trusted.key.key_id in self.revocations.keys else None
            if why is None and issued is not None:
                why = trusted.why_not(issued)
            if why is not None:
                refused.append(f"signature by key {trusted.key.key_id}: {why}")
            else:
                found.setdefault(trusted.owner, trusted.key)

    def signers(self, signatures: Iterable[bytes], data: bytes) -> Mapping[str, PublicKey]:
        """The owners whose signature over ``data`` is among ``signatures``, with their key."""
        return self.judge(signatures, data).signers

    def blob_signers(
        self, signatures: Iterable[bytes], blob: bytes, *, what: str, issued: int | None = None
    ) -> tuple[Mapping[str, PublicKey], tuple[str, ...]]:
        """The owners who signed a blob for the kernel, and why further signatures don't count.

        Only the one PKCS#7 template counts. Raises ContentError (``bad-signature``) if there are
        fewer owners than the threshold; ``what`` names the blob, ``issued`` is when it says it was.
        """
        signers: dict[str, PublicKey] = {}
        refused: list[str] = []
        not_counted: list[str] = []
        for number, signature in enumerate(signatures, 1):
            try:
                parsed = pkcs7.parse(signature)
            except ContentError as error:
                refused.append(f"signature {number} of the {what}: {error.message}")
                continue
            makers = _makers(self.keys, parsed.value, blob)
            named = [one for one in makers if parsed.serial == pkcs7.serial_of(one.key.key_id)]
            if makers and not named:
                refused.append(
                    f"signature {number} of the {what}: by key {makers[0].key.key_id}, under the"
                    " serial of another key, so the kernel wouldn't find it"
                )
            self._count(named, signers, not_counted, issued)
        refused += [f"{text} (over the {what})" for text in not_counted]
        judged = Judged(signers=signers, refused=tuple(refused))
        if len(signers) < self.threshold:
            raise self.too_few(judged, what, hint="the kernel would refuse this blob, too")
        return judged.signers, judged.refused

    def too_few(self, judged: Judged, what: str, *, hint: str, more: str = "") -> ContentError:
        """The error (``bad-signature``) for what fewer owners signed than must."""
        refused = f" (refused: {'; '.join(judged.refused)})" if judged.refused else ""
        return ContentError(
            "bad-signature",
            f"{what}: signed by {len(judged.signers)} of the trusted owners, {self.threshold}"
            f" needed{more}{refused}",
            hint=hint,
        )


def _makers(keys: Iterable[TrustedKey], signature: bytes, data: bytes) -> list[TrustedKey]:
    """The keys that made a signature: each is asked once."""
    return [one for one in keys if one.key.verifies(signature=signature, data=data)]


def blob_signed_by(key: PublicKey, signature: bytes, blob: bytes) -> bool:
    """Whether a PKCS#7 over a blob is by this key and names it, as the kernel looks it up.

    The serial in it is signed by nobody. Raises ContentError if it isn't the template.
    """
    parsed = pkcs7.parse(signature)
    named = parsed.serial == pkcs7.serial_of(key.key_id)
    return named and key.verifies(signature=parsed.value, data=blob)
