# SPDX-License-Identifier: Apache-2.0
"""What a capsule says that no other signature proves: the gate, the request, and the host's word.

Rows of the table of ``evidence_said``, and a finding where one of them contradicts another.
"""

from verity.formats import gate_status
from verity.formats.gate_status import State
from verity.formats.statement import format_time
from verity.trust.evidence import Demands
from verity.values.audit import Covered
from verity.values.errors import ContentError
from verity.values.findings import Finding, Link, NotEvaluated
from verity.verbs.evidence_said import LIES, Basis, Judged, Said, contradiction


def add(judged: Judged, demands: Demands) -> None:
    """Add rows for the gate, nonce and capsule before, and all else; findings, gaps."""
    _gate(judged)
    _bound(judged, demands)
    _asserted(judged)


def _gate(judged: Judged) -> None:
    audit = judged.capsule.evidence.audit
    text = judged.capsule.evidence.gate
    sealed = False
    if text is not None:
        try:
            status = gate_status.parse_status(text.encode("ascii"))
        except ContentError as error:
            judged.findings.append(
                Finding(
                    check=error.code,
                    link=Link.VERDICT,
                    object="gate",
                    problem=error.message,
                    expected="the text of a gate's status",
                    found=error.code,
                    remedy=LIES,
                )
            )
            return
        sealed = status.state is State.SEALED
        judged.said.append(
            Said(
                what="gate",
                basis=Basis.KERNEL if sealed else Basis.HOST_KEY,
                value=f"{status.state}, policy serial {status.policy_serial},"
                f" {status.denied} refused",
                depends="that this is what its kernel said, and that this kernel is the signed one",
            )
        )
    if audit.head.enforced and not sealed:
        judged.findings.append(
            contradiction("gate", "a sealed gate, for the audit says that it is enforced", "none")
        )


def _bound(judged: Judged, demands: Demands) -> None:
    said = judged.capsule.evidence
    key = "that nobody but the host has its key"
    if said.nonce:
        mine = demands.nonce is not None
        judged.said.append(
            Said(
                what="nonce",
                basis=Basis.SIGNATURES if mine else Basis.HOST_KEY,
                value=said.nonce.hex() + ("" if mine else ", not compared: --nonce"),
                depends=key if mine else "all of it",
            )
        )
    if said.previous is not None:
        mine = demands.previous is not None
        judged.said.append(
            Said(
                what="the capsule before",
                basis=Basis.SIGNATURES if mine else Basis.HOST_KEY,
                value=f"sha256:{said.previous.hex()}" + ("" if mine else ", not there: --previous"),
                depends=key if mine else "all of it",
            )
        )


def _asserted(judged: Judged) -> None:
    said = judged.capsule.evidence
    audit = said.audit
    head = audit.head
    enforced = sum(area.coverage.get(Covered.ENFORCED, 0) for area in audit.areas)
    if enforced:
        judged.said.append(
            Said(
                what="files enforced by the kernel",
                basis=Basis.KERNEL,
                value=str(enforced),
                depends="that its gate and its kernel are as told",
            )
        )
    for what, value in (
        ("host", f"{head.host_id or 'without an id'} ({head.host_name})"),
        ("seen from", "the running host" if head.root == "/" else f"outside, at {head.root}"),
        ("boot", head.boot_id or "not told"),
        ("made", format_time(said.issued)),
        ("auditor's program", f"{head.tool_version}, {head.tool_digest or 'no digest'}"),
        ("roots that the audit rested on", ", ".join(head.roots) or "not told"),
        (
            "what was found",
            f"{len(audit.findings)} findings, {len(audit.waived)} waived,"
            f" {len(audit.not_evaluated)} not evaluated",
        ),
    ):
        judged.said.append(Said(what=what, basis=Basis.HOST_KEY, value=value, depends="all of it"))
    if not said.statements:
        judged.gaps.append(
            NotEvaluated(
                check="no-statement",
                object="statements",
                why="there is none in the capsule: nothing says what should be on the host",
                hint="have the host audited against a signed commit: `verity audit --commit REV`",
            )
        )
    for name, why in said.left_out.items():
        judged.gaps.append(
            NotEvaluated(
                check="left-out",
                object=name,
                why=f"the host could not read it for the capsule: {why}",
            )
        )
