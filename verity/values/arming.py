# SPDX-License-Identifier: Apache-2.0
"""What a part of the arming proof gives: what is open, what could not be looked at, and remarks.

``notes`` say what is right as it is and worth knowing before a seal; they hold nothing up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from verity.values.findings import Finding, NotEvaluated


@dataclass(frozen=True, kw_only=True)
class Part:
    """The outcome of one part."""

    findings: tuple[Finding, ...] = ()
    gaps: tuple[NotEvaluated, ...] = ()
    notes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
