# SPDX-License-Identifier: Apache-2.0
"""What an audit's picture shows: which root, by whose signatures, says what of this host.

The statements of the commit, of /etc and of extensions that are kept, and of what else the gate is
told the grants. Only what was verified is there to be shown. Of grants the kernel counts signers
and names none.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from verity.formats.grants import Grants, Party
from verity.trust.verified import VerifiedManifest
from verity.values.audit import Area, SignedPart
from verity.values.errors import VerityError
from verity.verbs.audit_host import AuditedHost

if TYPE_CHECKING:
    from verity.verbs.etc_intent import Intent


def parts(host: AuditedHost, roots: Sequence[str]) -> tuple[SignedPart, ...]:
    """Each stream once; ``roots`` are those of the audit's head."""
    found: dict[str, SignedPart] = {}
    if host.commit is not None:
        _add(found, host.commit.manifest, roots)
    intent = _intent(host)
    if intent is not None:
        _add(found, intent.manifest, roots)
    for one in host.signed_extensions.values():
        _add(found, one.manifest, roots)
    for granted in host.grants:
        if granted.stream not in found:
            found[granted.stream] = _of_grants(granted, roots)
    return tuple(found.values())


def _add(found: dict[str, SignedPart], manifest: VerifiedManifest, roots: Sequence[str]) -> None:
    """The stream of a manifest, which its statement names."""
    verified = manifest.source
    found[verified.statement.stream] = SignedPart(
        root=_root(verified.party, roots),
        stream=verified.statement.stream,
        kind=verified.statement.kind.value,
        serial=verified.statement.serial,
        signers=tuple(sorted(verified.signers)),
        entries=manifest.count,
    )


def _intent(host: AuditedHost) -> "Intent | None":
    """What is signed of /etc, where that was asked and verifies."""
    if Area.ETC not in host.areas:
        return None
    try:
        return host.etc_intent if host.has_signed_etc else None
    except VerityError:
        return None  # the area etc has said why


def _of_grants(granted: Grants, roots: Sequence[str]) -> SignedPart:
    return SignedPart(
        root=_root(granted.party, roots),
        stream=granted.stream,
        kind=granted.role.name.lower(),
        serial=granted.serial,
        signers=(),
        entries=len(granted.code) + len(granted.elevate) + len(granted.config),
    )


def _root(party: Party, roots: Sequence[str]) -> str:
    """The root of a party; keys that the auditor named are of no party, and the first is shown."""
    name = party.name.lower()
    return next((one for one in roots if one.startswith(f"{name} ")), next(iter(roots), ""))
