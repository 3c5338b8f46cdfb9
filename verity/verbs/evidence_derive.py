# SPDX-License-Identifier: Apache-2.0
"""What follows from the signed documents in a capsule, and the table of why each thing is believed.

Of a host that lies this finds what contradicts its own documents: something that had expired, a
serial that went back, a state checksum that no signed documents give, lines that are not in the
manifest. What nothing contradicts may still be a lie: the table says of what.
"""

import hashlib
from pathlib import Path

from verity.formats import dump, kernel_policy, policy_gate
from verity.formats.dump import Entry
from verity.formats.grants import Party
from verity.formats.statement import Kind, format_time
from verity.trust.evidence import Demands
from verity.trust.verified import VerifiedStatement
from verity.values.audit import Area
from verity.values.findings import Finding, Link, NotEvaluated
from verity.verbs import evidence_before, evidence_told, keyring_verify, signed, state_checksum
from verity.verbs.evidence_said import Basis, Judged, Said, contradiction
from verity.verbs.state_checksum import Measured, Part


def derive(judged: Judged, demands: Demands) -> None:
    """Add rows and findings.

    1. Keyrings, statements, policy, boot bundle: as signed, and whether they had expired then.
    2. The state checksum, from these documents.
    3. The lines that findings are about, if the manifest is there.
    4. The gate, and all else that is the host's word (``evidence_told``).
    5. What the capsule before it had.
    """
    # 1. Documents.
    _keyrings(judged)
    _documents(judged)
    policy = _bundle_policy(judged)
    # 2. State.
    _state(judged, policy)
    # 3. Lines.
    _lines(judged)
    # 4. What is told.
    evidence_told.add(judged, demands)
    # 5. Before.
    if demands.previous is not None:
        judged.findings += evidence_before.went_back(
            judged.capsule.evidence, demands.previous.evidence
        )


def _keyrings(judged: Judged) -> None:
    said = judged.capsule.evidence
    for party in sorted(Party):
        name = f"keyring of the {party.name.lower()}"
        found = judged.trust.keyrings.of_party.get(party)
        carried = party in said.keyrings
        if found is not None:
            judged.said.append(
                Said(
                    what=name,
                    basis=Basis.SIGNATURES,
                    value=f"version {found.keyring.version},"
                    f" until {format_time(found.keyring.expires)}",
                    depends="that the host has it" if carried else "",
                )
            )
            latest = found.reference_time(said.issued)
            judged.findings += keyring_verify.expiry(found, said.issued, latest)
        elif carried:
            judged.said.append(
                Said(
                    what=name,
                    basis=Basis.HOST_KEY,
                    value="not verified: no --pin of its party",
                    depends="all of it",
                )
            )
    for party, (there, known) in judged.trust.behind.items():
        judged.findings.append(
            Finding(
                check="keyring-behind",
                link=Link.KEY,
                object=f"keyring of the {party.name.lower()}",
                problem="the host has an older keyring than you, and what was revoked since counts"
                " there",
                expected=f"version {known}",
                found=f"version {there}" if there else "none",
                remedy="bring the newest keyring to the host",
            )
        )


def _documents(judged: Judged) -> None:
    said = judged.capsule.evidence
    for one in judged.statements:
        about = one.statement
        name = f"statement of {about.kind} {about.stream}"
        keys = ", ".join(sorted(key.key_id[:16] for key in one.signers.values()))
        judged.said.append(
            Said(
                what=name,
                basis=Basis.SIGNATURES,
                value=f"serial {about.serial}, issued {format_time(about.issued)},"
                f" until {format_time(about.expires)}, by {keys}",
                depends="that it is what the host runs",
            )
        )
        judged.findings += signed.expiry(one, said.issued, name)
    for one in judged.floors:
        about = one.statement
        judged.said.append(
            Said(
                what=f"serial floor of {about.stream}",
                basis=Basis.SIGNATURES,
                value=f"{about.serial}",
                depends="that the host accepted no higher one",
            )
        )
        judged.findings += [
            _below(about.stream, audited.statement.serial, about.serial)
            for audited in judged.statements
            if audited.statement.stream == about.stream and audited.statement.serial < about.serial
        ]
    if judged.policy is not None:
        policy = judged.policy.policy
        judged.said.append(
            Said(
                what="policy",
                basis=Basis.SIGNATURES,
                value=f"serial {policy.serial}, until {format_time(policy.expires)}",
                depends="that the host's gate has it",
            )
        )
        if judged.policy.expired(said.issued):
            judged.findings.append(
                Finding(
                    check="policy-expired",
                    link=Link.VERDICT,
                    object="policy",
                    problem="it had expired when the capsule was made",
                    expected=f"a time before {format_time(policy.expires)}",
                    found=format_time(said.issued),
                    remedy="have the next policy signed",
                )
            )


def _state(judged: Judged, policy: str | None) -> None:
    """The state checksum once more: of the OS alone, or of all that was audited."""
    said = judged.capsule.evidence
    state = said.audit.state
    if state is None:
        return
    of_files = {check.id for check in said.audit.checks if check.area is Area.FILES}
    differ = [one for area in said.audit.areas if area.area is Area.FILES for one in area.findings]
    differ += [one.finding for one in said.audit.waived if one.finding.check in of_files]
    if differ:
        judged.findings.append(contradiction("state", "differs: there are findings", state))
    parts = [_measured(one) for one in judged.statements]
    alone = [part for part in parts if part.part.kind == Kind.OS]
    given = {state_checksum.checksum(some, policy) for some in (parts, alone) if some}
    if state in given:
        judged.said.append(
            Said(
                what="state checksum",
                basis=Basis.SIGNATURES,
                value=f"sha256:{state}",
                depends="that every file was measured and equal",
            )
        )
        return
    judged.said.append(
        Said(
            what="state checksum",
            basis=Basis.HOST_KEY,
            value=f"sha256:{state}",
            depends="all of it",
        )
    )
    if judged.gaps or judged.findings:
        judged.gaps.append(
            NotEvaluated(
                check="state-not-derived",
                object="state checksum",
                why="not all of the documents that it is of could be verified",
                hint="give the pins and keys of all that sign for this host",
            )
        )
    else:
        judged.findings.append(
            contradiction("state", "what the signed documents in the capsule give", state)
        )


def _bundle_policy(judged: Judged) -> str | None:
    """The digest of the policy in the host's boot bundle, as told; whether it is the signed one."""
    said = judged.capsule.evidence
    told = None if said.bundle is None else said.bundle.policy
    if said.bundle is not None:
        judged.said.append(
            Said(
                what="boot bundle",
                basis=Basis.HOST_KEY,
                value=f"sha256:{said.bundle.sha256.hex()}",
                depends="all of it",
            )
        )
    if judged.policy is not None and told is not None:
        blob = kernel_policy.encode(policy_gate.project(judged.policy.policy))
        due = hashlib.sha256(blob).digest()
        if due != told:
            judged.findings.append(
                Finding(
                    check="wrong-policy",
                    link=Link.VERDICT,
                    object="boot bundle",
                    problem="the policy in it is another one than the signed document",
                    expected=f"sha256:{due.hex()}",
                    found=f"sha256:{told.hex()}",
                    remedy="make it anew: `verity lockdown bundle`",
                )
            )
    return None if told is None else told.hex()


def _measured(one: VerifiedStatement) -> Measured:
    part = Part(kind=one.statement.kind, name=one.statement.stream, source=Path("/"))
    return Measured(part=part, sha256=one.statement.subjects["manifest"].hex())


def _lines(judged: Judged) -> None:
    said = judged.capsule.evidence
    total = sum(map(len, said.lines.values()))
    manifest = judged.manifest
    if manifest is not None:
        paths = {one.path for one in said.audit.findings}
        due = {_line(entry) for entry in manifest.entries if entry.path in paths}
        there = set(said.lines.get(manifest.sha256, ()))
        known = {_line(entry) for entry in manifest.entries}
        for line in sorted((there - known) | (due - there)):
            judged.findings.append(
                contradiction(
                    f"line of {line.split(' ')[0]}",
                    "the lines of the signed manifest that findings are about",
                    "a line that it does not have" if line in there else "no such line",
                )
            )
    if not total:
        return
    proven = manifest is not None and set(said.lines) == {manifest.sha256}
    judged.said.append(
        Said(
            what="what is signed of the findings' files",
            basis=Basis.SIGNATURES if proven else Basis.HOST_KEY,
            value=f"{total} lines of the manifest",
            depends="" if proven else "that the lines are in it: --manifest or --repo shows that",
        )
    )


def _line(entry: Entry) -> str:
    return dump.line(entry).decode("ascii").rstrip("\n")


def _below(stream: str, serial: int, floor: int) -> Finding:
    return Finding(
        check="below-floor",
        link=Link.STATEMENT,
        object=f"stream {stream}",
        problem="what was audited is older than what the host had accepted",
        expected=f"a serial from {floor}",
        found=f"serial {serial}",
        remedy="find out who rolled the host back, and update it",
    )
