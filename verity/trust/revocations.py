# SPDX-License-Identifier: Apache-2.0
"""What no longer counts, whoever signed it: keys, digests, and serials below a stream's floor.

A vendor's revocations hold for what the vendor signs, a user's for everything; whoever makes a
``TrustedSet`` puts together what holds for it. It reads no document and judges no signature.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from verity.values.errors import ContentError

if TYPE_CHECKING:  # without keyrings nothing is revoked: their parser is not needed
    from verity.formats.keyring import Revoked
    from verity.formats.revoke import Revoke


@dataclass(frozen=True, kw_only=True)
class Revocations:
    """Key ids; SHA-256 or fs-verity digests (32 bytes); stream -> lowest serial that still counts.

    Nothing in it is nothing revoked.
    """

    keys: frozenset[str] = frozenset()
    digests: frozenset[bytes] = frozenset()
    serials: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, revoked: "Revoked") -> "Revocations":
        """What a keyring says."""
        return cls(
            keys=frozenset(revoked.keys),
            digests=frozenset(revoked.digests),
            serials=dict(revoked.serials),
        )

    @classmethod
    def of_blob(cls, said: "Revoke") -> "Revocations":
        """What a list for the kernel says."""
        return cls(
            keys=frozenset(key.hex() for key in said.keys),
            digests=frozenset(said.digests),
            serials={one.stream: one.lowest for one in said.streams},
        )

    def __or__(self, other: "Revocations") -> "Revocations":
        """What either revokes."""
        streams = self.serials.keys() | other.serials.keys()
        return Revocations(
            keys=self.keys | other.keys,
            digests=self.digests | other.digests,
            serials={s: max(self.serials.get(s, 0), other.serials.get(s, 0)) for s in streams},
        )

    def check_serial(self, stream: str, serial: int, *, what: str = "statement") -> None:
        """Raise ContentError ``revoked-serial`` if this one of a stream no longer counts."""
        lowest = self.serials.get(stream, 0)
        if serial < lowest:
            raise ContentError(
                "revoked-serial",
                f"{what}: serial {serial} of the stream {stream} is revoked, the lowest that"
                f" counts is {lowest}",
                hint="get a newer one: everything below is revoked",
            )

    def check_digest(self, digest: bytes, what: str) -> None:
        """Raise ContentError ``revoked-digest`` if this digest is revoked."""
        if digest in self.digests:
            raise ContentError(
                "revoked-digest",
                f"{what} has the digest {digest.hex()}, which is revoked",
                hint="get a newer one: the keyring revokes this content by its digest",
            )


NOTHING = Revocations()
"""Nothing is revoked."""
