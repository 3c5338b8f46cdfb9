# SPDX-License-Identifier: Apache-2.0
"""lockdown status in a few lines: why the host is in its state, what the next boot does, what the
last boots were refused, which unlocks there were, and what to do next.

Read from what lies on the disk and what the gate says of itself; nothing is verified here. What
counts is the gate's state, which ``verbs.lockdown`` asks; this explains it. What can't be read is
said to be so, in its line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats import kernel_policy, records, seal_said
from verity.formats.escaped import readable
from verity.formats.gate_unlocks import TakenUnlock, UnlockState
from verity.formats.kernel_policy import KernelPolicy, Mode
from verity.formats.policy import lower
from verity.formats.records import RecordKind
from verity.formats.seal_said import Said
from verity.formats.statement import format_time
from verity.formats.trial_record import Trial
from verity.ports import boots, canary, places, trials
from verity.ports.osfile import read_file
from verity.values.errors import HostError, VerityError
from verity.verbs.lockdown import Lockdown

_BOOTS = 5
_MOST_WHY = 1024
_SOON_S = 30 * 86400
_CANARY = canary.NAME.encode()
_GONE = "the boot bundle is gone, and the initramfs takes the one that the host came up with last: "
_PUT_BACK = f"put it back: cp /{places.CONFIRMED} /{places.BUNDLE}"


@dataclass(frozen=True, kw_only=True)
class Stand:
    """Lines for people, each a key and its text; ``fields`` the same for programs."""

    lines: tuple[tuple[str, str], ...]
    fields: dict[str, object]


def stand(root: Path, found: Lockdown, *, now: int) -> Stand:
    """Where the host stands (``now``: seconds since 1970)."""
    said = _said(root)
    is_b1 = found.gate is not None and bool(found.gate.entered_ms)
    gone = is_b1 and not (root / places.BUNDLE).exists() and (root / places.CONFIRMED).exists()
    following = _next_boot(root, places.CONFIRMED if gone else places.BUNDLE)
    trial = _trial(root)
    up = _came_up(root)
    refused = _refused(root)
    unlocks = () if found.gate is None else found.gate.unlocks
    lines = [
        ("why", _why(found, said)),
        ("next boot", (_GONE if gone else "") + _says_next(following, trial, now)),
        ("last boots", _boots(root) + _says_refused(refused)),
        ("unlocks", _says_unlocks(found, unlocks)),
        ("next", _PUT_BACK if gone else _advice(found, said, following, (trial, up), now)),
    ]
    fields: dict[str, object] = {
        "seal": None
        if not isinstance(said, Said)
        else {"why": said.why, "serial": said.serial, "text": said.text},
        "next_boot": None
        if not isinstance(following, KernelPolicy)
        else {
            "serial": following.serial,
            "mode": following.mode.name.lower(),
            "expires": format_time(following.expires),
        },
        "trial": None
        if not isinstance(trial, Trial)
        else {"serial": trial.serial, "boot": trial.boot, "came_up": up == trial},
        "refused_update": refused,
        "unlocks": [
            {"token": one.token_id.hex(), "scope": lower(one.scope), "state": one.state.value}
            for one in unlocks
        ],
    }
    return Stand(lines=tuple(lines), fields=fields)


# --- what lies there ------------------------------------------------------------------------


def _said(root: Path) -> Said | VerityError | None:
    try:
        return seal_said.parse(read_file(root / places.SEAL_SAID, max_size=seal_said.MAX_SIZE))
    except VerityError as error:
        return None if error.code == "not-found" else error


def _trial(root: Path) -> Trial | VerityError | None:
    try:
        return trials.begun(root)
    except VerityError as error:
        return error


def _came_up(root: Path) -> Trial | None:
    """The last trial that did."""
    try:
        up = trials.came_up(root)
    except VerityError:
        return None
    return None if up is None else up.trial


def _next_boot(root: Path, bundle: Path) -> KernelPolicy | VerityError | None:
    path = root / bundle
    try:
        for one in records.split(read_file(path, max_size=records.MAX_SIZE), label=str(path)):
            if one.kind is RecordKind.POLICY:
                return kernel_policy.parse(one.blob)
    except VerityError as error:
        return None if error.code == "not-found" else error
    return None


def _refused(root: Path) -> str | None:
    """Why the last update was refused or taken back; None if it wasn't."""
    try:
        data = read_file(root / places.REFUSED, max_size=_MOST_WHY)
    except HostError as error:
        return None if error.code == "not-found" else error.message
    return readable(data.strip())


# --- words ----------------------------------------------------------------------------------


def _why(found: Lockdown, said: Said | VerityError | None) -> str:
    if found.gate is None:
        if isinstance(said, Said) and said.text:
            return f"no gate is loaded: {said.text}"
        return "no gate is loaded" if said is None else "no gate is loaded any more"
    if said is None:
        return "the loader has left no word in this boot"
    if isinstance(said, VerityError):
        return said.message
    text = seal_said.WHY.get(said.why, said.why)
    if said.late is not None:
        late = said.late
        return f"{text}: process {late.pid} ({late.comm}) runs {late.file}: {late.reason}"
    return f"{text}: {said.text}" if said.text else text


def _says_next(
    following: KernelPolicy | VerityError | None, trial: Trial | VerityError | None, now: int
) -> str:
    if following is None:
        return "off: there is no boot bundle"
    if isinstance(following, VerityError):
        return f"unknown: {following.message}"
    text = f"policy serial {following.serial}, mode {following.mode.name.lower()}"
    if following.mode is Mode.TRIAL and isinstance(trial, Trial):
        if trial.serial == following.serial:
            text += ", whose trial was: it observes"
    days = (following.expires - now) // 86400
    return f"{text}; signed until {format_time(following.expires)}" + (
        f", in {days} days" if days >= 0 else ", expired"
    )


def _boots(root: Path) -> str:
    counts = []
    try:
        for _, state in boots.read(root / boots.FOLDER, _BOOTS):
            if isinstance(state, VerityError):
                counts.append("?")
                continue
            kinds = [one.last for one in state.kinds.values()]
            own = [one for one in kinds if _CANARY not in one.comm + (one.path or b"")]
            denied = sum(one.denied for one in own)
            counts.append(f"{denied} denied and {len(own) - denied} observed")
    except HostError as error:
        return f"unknown: {error.message}"
    if not counts:
        return "none on record (verity-denials.service keeps them)"
    return f"kinds of refusals, the last boot first: {'; '.join(counts)}"


def _says_refused(why: str | None) -> str:
    return "" if why is None else f"; the last update was refused: {why}"


def _says_unlocks(found: Lockdown, unlocks: Sequence[TakenUnlock]) -> str:
    if not unlocks or found.gate is None:
        return "none in this boot"
    live = [one for one in unlocks if one.state is UnlockState.LIVE]
    shown = ", ".join(f"{lower(one.scope)} {one.state.value}" for one in unlocks[-4:])
    left = max((one.until_s - found.gate.boot_clock_s for one in live), default=0)
    ends = f", the last of them for {max(left, 0) // 60 + 1} more minutes" if live else ""
    return f"{len(live)} live of {len(unlocks)} in this boot{ends}: {shown}"


def _advice(
    found: Lockdown,
    said: Said | VerityError | None,
    following: KernelPolicy | VerityError | None,
    trials: tuple[Trial | VerityError | None, Trial | None],
    now: int,
) -> str:
    trial, up = trials
    if following is None:
        return "`verity lockdown init` makes this host ready"
    if isinstance(following, VerityError):
        return "`verity lockdown init` makes the boot bundle anew"
    if following.expires - now < _SOON_S:
        return "have the policy signed anew: it expires soon"
    sealed = found.state in ("sealed", "sealed-weak")
    if isinstance(said, Said) and said.late is not None:
        return "have that signed, or end it and `systemctl restart verity-sealed.target`"
    if (
        following.mode is Mode.TRIAL
        and isinstance(trial, Trial)
        and trial.serial == following.serial
    ):
        if up != trial:
            return (
                "the trial isn't known to have come up: wait for verity-confirm.service in its"
                " boot; behind it `verity lockdown log`, then another `verity lockdown trial`"
            )
        return "`verity lockdown confirm` if the trial went well; `verity lockdown log` if not"
    if found.gate is None or (following.mode is Mode.TRIAL and not sealed):
        return "reboot: the gate is loaded at boot"
    if following.mode is Mode.OBSERVE:
        return "`verity lockdown check`, then `verity lockdown trial`"
    if sealed and following.mode is Mode.SEALED:
        return "nothing: `verity audit` now and then"
    return "reboot, for the policy of the next boot"
