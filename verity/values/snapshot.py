# SPDX-License-Identifier: Apache-2.0
"""One audit, as far as two of them can be compared: by whatever report or capsule it came."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from verity.values.audit import Audit, Outcome
from verity.values.findings import Finding, NotEvaluated


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """``source`` is where it is from, for people; ``begun`` in seconds since 1970, None where that
    isn't told. ``outcomes`` are of checks by id, ``serials`` of streams, keyrings and policy by
    name; what is not told is not in them."""

    source: str
    host_id: str = ""
    host_name: str = ""
    begun: int | None = None
    state: str | None = None
    findings: tuple[Finding, ...] = ()
    waived: tuple[Finding, ...] = ()
    not_evaluated: tuple[NotEvaluated, ...] = ()
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    serials: Mapping[str, int] = field(default_factory=dict)

    @property
    def exit_status(self) -> int:
        """0, 1 or 3, as for every report."""
        if self.findings:
            return 1
        return 3 if self.not_evaluated else 0


def of_audit(audit: Audit, source: str, serials: Mapping[str, int]) -> Snapshot:
    """The same of a whole audit."""
    return Snapshot(
        source=source,
        host_id=audit.head.host_id,
        host_name=audit.head.host_name,
        begun=audit.head.begun,
        state=audit.state,
        findings=audit.findings,
        waived=tuple(one.finding for one in audit.waived),
        not_evaluated=audit.not_evaluated,
        outcomes={check.id: audit.outcome(check) for check in audit.checks},
        serials=serials,
    )
