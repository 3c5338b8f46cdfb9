# SPDX-License-Identifier: Apache-2.0
"""One version of a keyring: reading its envelope, and who of which roots signed it.

It says nothing about whom to trust: ``trust.keyring`` does, which asks this for each version of a
chain. It reads no file and no clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from verity.formats import keyring, statement
from verity.formats.grants import Role
from verity.formats.keyring import Keyring
from verity.trust.keys import PublicKey, parse_spki
from verity.trust.revocations import NOTHING, Revocations
from verity.trust.trusted import TrustedKey, TrustedSet
from verity.values.errors import ContentError


@dataclass(frozen=True, kw_only=True)
class SignedBy:
    """One signature: the root key that made it and its owner, or what it says where none did."""

    key_id: str
    owner: str
    hint: str


def read(data: bytes) -> tuple[statement.Envelope, Keyring]:
    """Read an envelope that holds a keyring; nothing is verified. ContentError ``bad-document``."""
    envelope = statement.parse_envelope(data)
    if envelope.payload_type != keyring.PAYLOAD_TYPE:
        raise ContentError(
            "bad-document",
            f"keyring: the payload type is {envelope.payload_type[:80]!r}, expected"
            f" {keyring.PAYLOAD_TYPE!r}",
        )
    return envelope, keyring.parse(envelope.payload)


def unverified_set(found: Keyring, role: Role) -> TrustedSet:
    """The keys of a role in a keyring that nobody verified: for making and checking versions.

    It says what a version would trust, and is no reason to trust anything.
    """
    rule = found.roles[role]
    return trusted_of(
        found,
        role,
        streams=rule.streams or None,
        revocations=Revocations.of(found.revoked),
        allow_example_keys=True,  # refused where keys come in, and where a chain is verified
    )


def signed_by(envelope: statement.Envelope, roots: Sequence[Keyring]) -> tuple[SignedBy, ...]:
    """Whose root key of these versions made each signature; no reason to trust anybody."""
    keys = [one for version in roots for one in unverified_set(version, Role.ROOT).keys]
    pae = envelope.pae()
    found = []
    for signature in envelope.signatures:
        value = signature.value or b""
        makers = [one for one in keys if one.key.verifies(signature=value, data=pae)]
        found.append(
            SignedBy(
                key_id=makers[0].key.key_id if makers else "",
                owner=makers[0].owner if makers else "",
                hint=signature.key_id_hint[:64],
            )
        )
    return tuple(found)


def root_signers(
    envelope: statement.Envelope,
    found: Keyring,
    roots: Keyring,
    skipped: list[str],
    revoked: frozenset[str],
) -> Mapping[str, PublicKey]:
    """The owners of ``roots`` who signed; ContentError ``bad-signature`` if they are too few.

    What is malformed is added to ``skipped``.
    """
    trusted = replace(unverified_set(roots, Role.ROOT), revocations=Revocations(keys=revoked))
    usable, malformed = envelope.readable(f"keyring version {found.version}")
    skipped += [text for text in malformed if text not in skipped]
    judged = trusted.judge(usable, envelope.pae())
    if len(judged.signers) < trusted.threshold:
        refused = f" (refused: {'; '.join(judged.refused)})" if judged.refused else ""
        raise ContentError(
            "bad-signature",
            f"keyring of the {found.party.name.lower()}, version {found.version}: signed by"
            f" {len(judged.signers)} root owners of version {roots.version}, {trusted.threshold}"
            f" needed{refused}",
            hint="its roots were revoked: ask for new ones, and put their pin in its place"
            if judged.refused
            else "a version is signed by the root threshold of the one before and by its own",
        )
    return judged.signers


def strangers(envelope: statement.Envelope, found: Keyring, before: Keyring) -> list[str]:
    """What is signed by no root key: anyone can put that into an envelope, so it harms nothing."""
    keys = [one.key for roots in (before, found) for one in unverified_set(roots, Role.ROOT).keys]
    pae = envelope.pae()
    return [
        f"signature {number} of keyring version {found.version}: by no root key"
        for number, signature in enumerate(envelope.signatures, 1)
        if signature.value is not None
        and not any(key.verifies(signature=signature.value, data=pae) for key in keys)
    ]


def trusted_of(
    found: Keyring,
    role: Role,
    *,
    streams: tuple[str, ...] | None = None,
    revocations: Revocations = NOTHING,
    allow_example_keys: bool = False,
) -> TrustedSet:
    """The keys of a role, as this version says."""
    return TrustedSet(
        party=found.party,
        role=role,
        keys=tuple(
            TrustedKey(
                key=parse_spki(key.spki, label=f"key {key.key_id}"),
                owner=key.owner,
                valid_from=key.valid_from,
                valid_until=key.valid_until,
            )
            for key in found.of_role(role)
        ),
        threshold=found.roles[role].threshold,
        streams=streams,
        revocations=revocations,
        allow_example_keys=allow_example_keys,
    )
