# SPDX-License-Identifier: Apache-2.0
"""lockdown check: the arming proof. Whether a host, sealed with the boot bundle that it has, would
come up, let its people in, and let them out of a mistake again.

1. Preconditions (``arming_ready``): without a bundle that verifies nothing else can be asked.
2. Everything that would run as privileged (``arming_code``), by the bundle's grants alone.
3. Guarded configuration (``arming_config``).
4. Command lines and what is in an initramfs (``arming_boot``).
5. What the last boots were denied, or would have been (``arming_learned``).

It changes nothing. It is a proof by reading: what a program does only at run time is in none of it
but 5, which is why a trial comes before the seal.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from verity.formats import grants, kernel_policy
from verity.formats.kernel_policy import KernelPolicy
from verity.formats.records import RecordKind
from verity.values.arming import Part
from verity.values.errors import HostError
from verity.values.findings import NotEvaluated, Report
from verity.verbs import (
    arming_boot,
    arming_code,
    arming_config,
    arming_learned,
    arming_ready,
    audit_documents,
)
from verity.verbs.audit_documents import Asked
from verity.verbs.audit_host import AuditedHost


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What is open. ``serial`` is the bundle's policy's, None where no bundle verifies."""

    report: Report
    serial: int | None


def check(asked: Asked, *, clock: int, boots: int, drills: Callable[[], bool]) -> Proof:
    """Make the proof; ``drills`` says whether an unlock was ever practised on this host.

    Raises only for a root that isn't there.
    """
    host = audit_documents.make(asked, clock=clock)
    parts = [
        arming_ready.abilities(host),
        arming_ready.bundle(host),
        arming_ready.room(host),
    ]
    policy = _policy(host)
    if policy is None:
        parts.append(_unasked())
        return Proof(report=_report(parts), serial=None)
    host = replace(host, grants=_granted(host))
    later: tuple[Callable[[], Part], ...] = (
        lambda: arming_ready.own_files(host),
        lambda: arming_ready.unlock(host, policy),
        lambda: arming_code.examine(host, policy),
        lambda: arming_config.examine(host, policy),
        lambda: arming_boot.examine(host),
        lambda: arming_learned.examine(host, policy, boots),
    )
    parts += [_asked(one) for one in later]
    if not drills():
        parts.append(
            Part(notes=("no unlock was practised on this host: `verity unlock drill` does it",))
        )
    return Proof(report=_report(parts), serial=policy.serial)


def _policy(host: AuditedHost) -> KernelPolicy | None:
    """The policy of the bundle, once that is verified."""
    for item in () if host.bundle is None else host.bundle.labelled:
        if item.fragment.kind is RecordKind.POLICY:
            return kernel_policy.parse(item.fragment.blob)
    return None


def _granted(host: AuditedHost) -> tuple[grants.Grants, ...]:
    """What the bundle grants, and nothing else."""
    return tuple(
        grants.parse(item.fragment.blob)
        for item in (() if host.bundle is None else host.bundle.labelled)
        if item.fragment.kind is RecordKind.GRANTS
    )


def _asked(part: Callable[[], Part]) -> Part:
    """One part; what keeps it from being looked at is a gap, and the others are asked."""
    try:
        return part()
    except HostError as error:
        gap = NotEvaluated(
            check=error.code, object="this host", why=error.message, hint=error.hint or ""
        )
        return Part(gaps=(gap,))


def _unasked() -> Part:
    gap = NotEvaluated(
        check="no-bundle",
        object="code, configuration, initramfs and boots",
        why="no boot bundle verifies, so what it would allow isn't known",
        hint="`verity lockdown init` makes a host ready",
    )
    return Part(gaps=(gap,))


def _report(parts: list[Part]) -> Report:
    counts: dict[str, int] = {}
    for part in parts:
        counts.update(part.counts)
    return Report(
        counts=counts,
        findings=tuple(one for part in parts for one in part.findings),
        not_evaluated=tuple(one for part in parts for one in part.gaps),
        notes=tuple(one for part in parts for one in part.notes),
    )
