# SPDX-License-Identifier: Apache-2.0
"""lockdown: what the gate does on this host, and the two steps that an owner takes by hand.

``status`` reads and judges; ``observe`` and ``seal`` ask the loader or the gate. Nothing here
decides what is trusted: pins, keys and signatures are for the loader and the gate alone.

A seal lasts until reboot. It comes in this order: a gate that is loaded and only observes gets the
kernel's lockdown first, then the seal; where lockdown can't be had the seal is made all the same,
and ``status`` reports it as sealed-weak. Where the gate is known to refuse the seal, lockdown is
left as it was: it can't be taken back either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats import gate_calls
from verity.formats.gate_status import GateStatus, Mode, State
from verity.ports import bpf, fanotify, gate_files, gate_object, loader, places
from verity.trust import coverage, coverage_others
from verity.trust.coverage import Cover
from verity.values.errors import ContentError, HostError
from verity.values.findings import Finding, Link, NotEvaluated, Report
from verity.verbs import gate_abilities, gate_view, ima_status
from verity.verbs.ability import Answer

ROOT = Path("/")
DEFAULT_BUNDLE = ROOT / places.BUNDLE
DEFAULT_PINS = (ROOT / places.VENDOR_PIN, ROOT / places.USER_PIN)


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One way to enforce, whether this installation on this host has it, and what it lacks.

    ``covers``: what it does about each attack, as it is on this host now.
    """

    name: str
    available: bool
    detail: str
    hint: str = ""
    covers: tuple[Cover, ...]


@dataclass(frozen=True, kw_only=True)
class Lockdown:
    """What the host's state is worth.

    ``state`` is the gate's, ``off``, ``sealed-weak`` or ``unknown``; ``level`` is ``B0``, ``B1`` or
    ``none``, ``level_text`` what may be claimed with it; ``kernel`` the kernel's own lockdown,
    None if it can't be read.
    """

    state: str
    level: str
    level_text: str
    kernel: str | None
    gate: GateStatus | None
    backends: tuple[Backend, ...]
    report: Report


def status(root: Path = ROOT) -> Lockdown:
    """The state of the host whose files are below ``root``."""
    kernel = gate_files.kernel_lockdown(root)
    gate: GateStatus | None = None
    state, level, text, report = "off", "none", "no gate is loaded, nothing is refused", Report()
    covers = coverage.gate(None)
    try:
        gate = gate_view.status(root)
        covers = coverage.gate(gate, locked=kernel not in (None, "none"))
    except (HostError, ContentError) as error:
        state, text, report = "unknown", "the gate's state is unknown", _unread(error)
        covers = coverage.unknown(text)
    if gate is not None:
        sealed, why = gate_abilities.assurance(gate.state, kernel)
        state = gate.state.value
        level, text = gate_abilities.claimed(gate) if sealed else ("none", why)
        if gate.state is State.SEALED and kernel == "none":
            state = "sealed-weak"
        report = _judged(gate, kernel)
    return Lockdown(
        state=state,
        level=level,
        level_text=text,
        kernel=kernel,
        gate=gate,
        backends=backends(root, covers),
        report=report,
    )


def _unread(error: HostError | ContentError) -> Report:
    if isinstance(error, HostError):
        gap = NotEvaluated(
            check=error.code, object="the gate", why=error.message, hint=error.hint or ""
        )
        return Report(not_evaluated=(gap,))
    finding = Finding(
        check=error.code,
        link=Link.VERDICT,
        object="the gate",
        problem=error.message,
        remedy=error.hint or "",
    )
    return Report(findings=(finding,))


def _judged(gate: GateStatus, kernel: str | None) -> Report:
    if gate.state is not State.SEALED:
        return Report()
    if kernel is None:
        gap = NotEvaluated(
            check="kernel-lockdown",
            object="the kernel's lockdown",
            why="/sys/kernel/security/lockdown can't be read",
            hint="mount -t securityfs securityfs /sys/kernel/security",
        )
        return Report(not_evaluated=(gap,))
    if kernel == "none":
        finding = Finding(
            check="sealed-weak",
            link=Link.VERDICT,
            object="the kernel's lockdown",
            problem="is off, so root can write to the kernel's memory past the gate",
            expected="integrity",
            found=kernel,
            remedy="boot a kernel with the lockdown LSM: lsm=lockdown,... on its command line",
        )
        return Report(findings=(finding,))
    return Report()


def backends(root: Path, covers: tuple[Cover, ...]) -> tuple[Backend, ...]:
    """The ways to enforce: the gate, which ``covers`` so much, and the others."""
    needs = [
        gate_abilities.gate_part("object", gate_object.find()),
        gate_abilities.gate_part("loader", gate_object.find_loader()),
        gate_abilities.bpf_lsm(root),
        *gate_abilities.kfuncs(root),
    ]
    missing = [need for need in needs if need.answer is not Answer.YES]
    gate = Backend(
        name="gate",
        available=not missing,
        detail="; ".join(f"{need.name}: {need.detail}" for need in missing)
        or "object, loader, BPF LSM and kfuncs are there",
        hint=missing[0].hint if missing else "",
        covers=covers,
    )
    ima = ima_status.seen(root)
    return (
        gate,
        Backend(
            name="ima",
            available=ima.state not in (ima_status.State.ABSENT, ima_status.State.UNREADABLE),
            detail=ima.detail,
            covers=ima.covers,
        ),
        _observer(fanotify.runs(root)),
    )


def _observer(runs: bool | None) -> Backend:
    """The fanotify observer: every kernel of today can have it."""
    if runs:
        detail, covers = "an observer runs, and refuses nothing", coverage_others.fanotify()
    elif runs is None:
        detail = "whether an observer runs, only root can tell"
        covers = coverage.unknown(detail)
    else:
        detail = "no observer runs"
        covers = coverage.nothing(detail)
    return Backend(name="fanotify", available=True, detail=detail, covers=covers)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What ``observe`` or ``seal`` did: whether anything changed, and what the loader said."""

    changed: bool
    notes: tuple[str, ...]


def observe(bundle: Path, pins: Sequence[Path]) -> Step:
    """Load the gate, which then decides and logs and denies nothing."""
    gate = gate_view.status()
    if gate is None:
        return _load(bundle, pins, observe=True)
    _refuse_half_loaded(gate)
    if gate.state is State.SEALED:
        raise ContentError(
            "gate-sealed",
            "the gate: it is sealed until reboot, and does not go back to observing",
            hint="reboot; `verity lockdown observe` before the seal",
        )
    return Step(changed=False, notes=("the gate is loaded already, and observes",))


def seal(bundle: Path, pins: Sequence[Path]) -> Step:
    """Load the gate, or take the one that observes, and seal it until reboot."""
    gate = gate_view.status()
    if gate is None:
        done = _load(bundle, pins, observe=False)
        loaded = gate_view.status()
        if loaded is None or loaded.state is not State.SEALED:
            raise gate_calls.refusal(gate_calls.Refusal.MODE.number, "loaded, and not sealed")
        return done
    _refuse_half_loaded(gate)
    if gate.state is State.SEALED:
        return Step(changed=False, notes=("the gate is sealed already, until reboot",))
    notes: tuple[str, ...] = ()
    if not _will_refuse(gate):
        try:
            gate_files.raise_lockdown(ROOT)
        except HostError as error:
            notes = (f"the kernel's lockdown stays as it is: {error.message}",)
    bpf.seal()
    return Step(changed=True, notes=notes)


def _refuse_half_loaded(gate: GateStatus) -> None:
    if gate.state is State.LOADING:
        raise HostError(
            "half-loaded",
            "the gate: it is loading, or its loader has died on the way",
            hint="wait for the loader; if there is none, reboot",
        )


def _will_refuse(gate: GateStatus) -> bool:
    """Whether the gate's own text says that it can't be sealed. Only the gate decides that."""
    modes = (Mode.TRIAL, Mode.SEALED)
    return gate.policy_mode not in modes or gate.foreign_programs > 0 or gate.code.used == 0


def _load(bundle: Path, pins: Sequence[Path], *, observe: bool) -> Step:
    # The loader checks them, too, but can't say which verb makes what is missing.
    for path, maker in ((bundle, "bundle"), *((pin, "pin") for pin in pins)):
        if not path.exists():
            raise HostError(
                "not-found",
                f"{path}: does not exist, and the loader needs it",
                hint=f"`verity lockdown {maker}` makes it: see docs/guides/gate.md",
            )
    said = loader.load(
        gate_object.find_loader(),
        gate_object.find(),
        bundle=bundle,
        pins=pins,
        host_id=ROOT / places.HOST_ID,
        observe=observe,
    )
    return Step(changed=True, notes=tuple(line for line in said.splitlines() if line))
