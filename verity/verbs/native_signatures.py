# SPDX-License-Identifier: Apache-2.0
"""OSTree's own signatures on a commit: made for stock ostree, and judged.

``add`` signs the raw commit with keys of any kind that ostree knows, beside what is there.
``judge`` says of each signature what it is worth by the keys that the caller names. Neither has a
part in whether a commit counts as signed for us: that is the statement's business.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats.commit import DetachedMetadata
from verity.ports import gpg
from verity.ports.keystore import SigningKey
from verity.trust import native
from verity.trust.keys import PublicKey
from verity.trust.native import Engine, NativeSignature, Verdict
from verity.trust.revocations import Revocations
from verity.values.errors import ContentError
from verity.values.findings import Finding, Link


@dataclass(frozen=True, kw_only=True)
class NativeTrust:
    """Whose signatures are looked at, and the keys that ostree's own lists revoke."""

    keys: tuple[PublicKey, ...] = ()
    gpg_keyring: Path | None = None
    revoked: tuple[PublicKey, ...] = ()


def add(
    detached: DetachedMetadata, raw: bytes, signers: Iterable[SigningKey]
) -> tuple[DetachedMetadata, tuple[Engine, ...]]:
    """Sign ``raw``, the bytes of the commit object; a key that has signed it already adds nothing.

    Returns the metadata with the new signatures, and the engine of each key in turn. Raises
    ContentError if something else lies where the signatures belong: it may be somebody's.
    """
    engines = []
    for signer in signers:
        engine = native.engine_for(signer.public)
        engines.append(engine)
        there = detached.get_byte_arrays(engine.key)
        if any(native.verifies(engine, signer.public, one, raw) for one in there):
            continue
        detached = detached.with_appended(engine.key, "aay", signer.sign(raw))
    return detached, tuple(engines)


def judge(
    detached: DetachedMetadata, raw: bytes, trust: NativeTrust, revocations: Revocations
) -> tuple[NativeSignature, ...]:
    """Every signature of the engines that a key is given for, in order; none if none is.

    A key is never good if ostree's lists revoke it, or our ``revocations`` do.
    """
    found: list[NativeSignature] = []
    if trust.keys:
        for engine in (Engine.ED25519, Engine.SPKI):
            found += native.judge(
                engine,
                detached,
                raw,
                trust.keys,
                revoked=trust.revoked,
                revoked_ids=revocations.keys,
            )
    if trust.gpg_keyring is not None:
        try:
            values = detached.get_byte_arrays(Engine.GPG.key)
        except ContentError as error:
            found.append(_unreadable(error))
        else:
            found += gpg.verify(trust.gpg_keyring, values, raw)
    return tuple(found)


def _unreadable(error: ContentError) -> NativeSignature:
    return NativeSignature(
        engine=Engine.GPG, number=0, verdict=Verdict.MALFORMED, detail=error.message
    )


def findings(judged: Sequence[NativeSignature], trust: NativeTrust, label: str) -> list[Finding]:
    """That none of the signatures asked for is good, for ostree's keys and for OpenPGP each."""
    asked = {
        "ed25519 or spki": (bool(trust.keys), {Engine.ED25519, Engine.SPKI}),
        "gpg": (trust.gpg_keyring is not None, {Engine.GPG}),
    }
    found = []
    for name, (wanted, engines) in asked.items():
        ours = [one for one in judged if one.engine in engines]
        if wanted and not any(one.verdict is Verdict.GOOD for one in ours):
            found.append(
                Finding(
                    check="no-native-signature",
                    link=Link.SIGNATURE,
                    object=label,
                    problem=f"no good signature ({name}) of the commit by a key that was named",
                    expected="at least one",
                    found=", ".join(f"{one.engine} {one.number} {one.verdict}" for one in ours)
                    or "none at all",
                    remedy="name the key that signed it, unless it is revoked",
                )
            )
    return found
