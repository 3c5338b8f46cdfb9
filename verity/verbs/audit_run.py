# SPDX-License-Identifier: Apache-2.0
"""audit: every area in its order, waivers, head and state, as one value.

An area is a module that is imported when it is asked. What goes wrong within one, a fault of ours
included, is a gap of that area and takes nothing from the others: an audit that stopped there would
hide what comes after. Nothing is printed and nothing on the host is changed.
"""

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

from verity.values.audit import Area, AreaResult, Audit, Check, Severity
from verity.values.errors import VerityError
from verity.values.findings import NotEvaluated
from verity.verbs import audit_head, audit_signed, audit_state, audit_waivers
from verity.verbs.audit_host import AuditedHost
from verity.verbs.audit_waivers import Applied

AREAS: Mapping[Area, str] = {
    Area.TRUST: "verity.verbs.audit_trust",
    Area.FILES: "verity.verbs.audit_files",
    Area.CODE: "verity.verbs.audit_code",
    Area.ETC: "verity.verbs.audit_etc",
    Area.RUNNING: "verity.verbs.audit_running",
    Area.POSTURE: "verity.verbs.audit_posture",
    Area.DEPLOYMENT: "verity.verbs.audit_deployment",
    Area.WRITTEN: "verity.verbs.audit_written",
}
"""The module of each area that this program has."""


class _Module(Protocol):
    CHECKS: tuple[Check, ...]
    examine: Callable[[AuditedHost], AreaResult]


def _examined(area: Area) -> Check:
    return Check(
        id=f"{area}-examined",
        area=area,
        severity=Severity.HIGH,
        title=f"the area {area} could be examined as a whole",
    )


def run(host: AuditedHost, *, only: Sequence[Area] = (), waivers: Sequence[Path] = ()) -> Audit:
    """Audit a host.

    1. Each area of ``only``, or each that there is.
    2. What waivers cover; what is wrong with them is the area trust's.
    3. The state checksum, if all that it is made of is as signed.

    Raises HostError for one of ``waivers`` that can't be read.
    """
    host = replace(host, areas=frozenset(only or AREAS))
    head = audit_head.make(host)
    # 1. The areas.
    checks: list[Check] = []
    results: list[AreaResult] = []
    for area, name in AREAS.items():
        if only and area not in only:
            continue
        host.progress(area, 0, 1)
        module = cast("_Module", importlib.import_module(name))
        checks += (_examined(area), *module.CHECKS)
        results.append(_examine(area, module, host))
    absent = [_is_absent(one, checks) for one in results]
    if only and all(absent):
        results = list(map(_asked_in_vain, results))
    else:
        results = [
            _passed_over(one) if gone else one for one, gone in zip(results, absent, strict=True)
        ]
    # 2. Waivers.
    applied = audit_waivers.apply(host, head.host_id, results, waivers)
    checks += audit_waivers.CHECKS
    # 3. The state, of what was found before anything was waived.
    state = audit_state.of_audit(host, results)
    return Audit(
        head=head,
        checks=tuple(checks),
        areas=_with_waivers(applied),
        waived=applied.waived,
        state=state,
        signed=audit_signed.parts(host, head.roots),
    )


def _examine(area: Area, module: _Module, host: AuditedHost) -> AreaResult:
    try:
        return module.examine(host)
    except VerityError as error:
        why, hint = error.message, error.hint or ""
    except Exception as error:
        import traceback

        # A fault of ours: told as what it is, so that nobody takes silence for an answer.
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(last.filename)}:{last.lineno}"
        why = f"a fault of this program: {type(error).__name__} at {place}: {str(error)[:200]}"
        hint = "please report it, with this line"
    # What it would have found is lost with it, so none of its checks may pass.
    gaps = [
        NotEvaluated(check=check.id, object=f"the area {area}", why=why, hint=hint)
        for check in (_examined(area), *module.CHECKS)
    ]
    return AreaResult(area=area, not_evaluated=tuple(gaps))


def _is_absent(found: AreaResult, checks: Sequence[Check]) -> bool:
    """Whether nothing of an area applies to this host."""
    examined = _examined(found.area).id
    ids = {one.id for one in checks if one.area is found.area and one.id != examined}
    return ids <= found.not_applicable.keys()


def _passed_over(found: AreaResult) -> AreaResult:
    """The same, with nothing examined: an area of which nothing applies has not passed."""
    why = {_examined(found.area).id: "none of its checks is a question on this host"}
    return replace(found, not_applicable={**found.not_applicable, **why})


def _asked_in_vain(found: AreaResult) -> AreaResult:
    """The same, not evaluated: where none of what was asked for applies, nothing is good."""
    gap = NotEvaluated(
        check=_examined(found.area).id,
        object=f"the area {found.area}",
        why="it was asked for, and there is nothing of it here: "
        + "; ".join(sorted(set(found.not_applicable.values()))),
        hint="without --only it is passed over",
    )
    return replace(found, not_evaluated=(*found.not_evaluated, gap))


def _with_waivers(applied: Applied) -> tuple[AreaResult, ...]:
    """The areas with what there is to say of waivers."""
    own = applied.own
    areas = list(applied.areas)
    if areas and areas[0].area is own.area:
        areas[0] = _merged(areas[0], own)
    elif own.findings or own.not_evaluated or own.counts:
        areas.insert(0, own)
    return tuple(areas)


def _merged(one: AreaResult, other: AreaResult) -> AreaResult:
    return replace(
        one,
        findings=(*one.findings, *other.findings),
        not_evaluated=(*one.not_evaluated, *other.not_evaluated),
        not_applicable={**one.not_applicable, **other.not_applicable},
        counts={**one.counts, **other.counts},
        notes=(*one.notes, *other.notes),
    )
