# SPDX-License-Identifier: Apache-2.0
"""Whom an auditor trusts about a capsule: keyrings in it, verified from the auditor's own pins.

A host that is lied to, or lies, may leave its newest keyring out, and with it a revocation. So the
auditor's own directory of keyrings, where there is one, is put together with those of the capsule:
the longest chain counts, and that a capsule is behind it is told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from verity.formats.evidence import Evidence
from verity.formats.grants import Party, Role
from verity.ports import keyring_files
from verity.trust import keyring_version
from verity.trust.keyring import PinPrint, VerifiedKeyring, check_parties, verify_chain
from verity.trust.trusted import TrustedSet
from verity.values.errors import CallerError, ContentError, HostError
from verity.verbs.keyring_trust import Keyrings


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """Whose signatures count: pins, and what the auditor has of keyrings; or keys by name.

    ``evidence`` are keys that may sign a capsule, in place of the role evidence of a keyring;
    ``statements`` those that may sign the OS's statement, in place of all keyrings.
    """

    pins: Mapping[Party, PinPrint]
    directories: Sequence[Path] = ()
    evidence: TrustedSet | None = None
    statements: TrustedSet | None = None
    without_user: bool = False
    allow_example_keys: bool = False


@dataclass(frozen=True, kw_only=True)
class Trust:
    """The keyrings that count, the keys that may sign the capsule, and which of its keyrings are
    behind what the auditor has: party -> (version in the capsule, version that counts)."""

    keyrings: Keyrings
    evidence: tuple[TrustedSet, ...]
    behind: Mapping[Party, tuple[int, int]]


def of(carried: Evidence, accepted: Accepted) -> Trust:
    """Verify the keyrings of a capsule that nobody has verified yet, from the pins.

    1. Of a user whose keyring is there there is a pin, too: it may revoke.
    2. The chain of each party that has a pin, the user's first: it may revoke the vendor's roots.
    3. The keys for the capsule: those that are named, or else of every role evidence.

    Raises ContentError as ``verify_chain``, HostError ``no-evidence-key`` if nobody is known who
    may sign a capsule, CallerError ``no-user-pin``.
    """
    # 1. Nobody's word, and perhaps a revocation.
    pins = accepted.pins
    if Party.VENDOR in pins and Party.USER not in pins and not accepted.without_user:
        if carried.keyrings.get(Party.USER):
            raise CallerError(
                "no-user-pin",
                "evidence: there is a user's keyring in it, no --pin of the user to verify it, and"
                " what it revokes would not count",
                hint="--pin user=sha256:FINGERPRINT; or --insecure-without-user-revocations",
            )
    # 2. Chains.
    found: dict[Party, VerifiedKeyring] = {}
    behind: dict[Party, tuple[int, int]] = {}
    for party in (Party.USER, Party.VENDOR):
        if party not in pins:
            continue
        user = found.get(Party.USER)
        numbered = _numbered(carried.keyrings.get(party, ()))
        newest = max(numbered, default=0)
        for one in keyring_files.read_versions(accepted.directories, party):
            _add(numbered, one.data)
        found[party] = verify_chain(
            [numbered[number] for number in sorted(numbered)],
            pins[party],
            revoked=frozenset() if user is None else user.revocations.keys,
            allow_example_keys=accepted.allow_example_keys,
        )
        if newest < found[party].keyring.version:
            behind[party] = (newest, found[party].keyring.version)
    check_parties(one.keyring for one in found.values())
    keyrings = Keyrings(of_party=found)
    # 3. Who signs capsules.
    if accepted.evidence is not None:
        revoked = keyrings.revocations(Party.VENDOR) | keyrings.revocations(Party.USER)
        sets: tuple[TrustedSet, ...] = (replace(accepted.evidence, revocations=revoked),)
    else:
        sets = tuple(
            keyrings.trusted(Role.EVIDENCE, party=party)
            for party, one in sorted(found.items())
            if Role.EVIDENCE in one.keyring.roles
        )
    if not sets:
        raise HostError(
            "no-evidence-key",
            "evidence: nobody is known who may sign it"
            + (", for the keyrings have no role evidence" if found else ""),
            hint="--evidence-key FILE.pub names the host's key; or --pin PARTY=sha256:FINGERPRINT"
            " of a party whose keyring has the role evidence",
        )
    return Trust(keyrings=keyrings, evidence=sets, behind=behind)


def _numbered(versions: Sequence[bytes]) -> dict[int, bytes]:
    numbered: dict[int, bytes] = {}
    for data in versions:
        _add(numbered, data)
    return numbered


def _add(numbered: dict[int, bytes], data: bytes) -> None:
    """Add a version; another one of the same number is refused (``bad-chain``)."""
    envelope, value = keyring_version.read(data)
    before = numbered.setdefault(value.version, data)
    if before != data and keyring_version.read(before)[0].payload != envelope.payload:
        party = value.party.name.lower()
        raise ContentError(
            "bad-chain",
            f"evidence: the keyring of the {party}, version {value.version}, is another one than"
            " the one that you have",
            hint="its root owners signed two, or one was put there by somebody else: ask them",
        )
