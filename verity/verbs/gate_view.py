# SPDX-License-Identifier: Apache-2.0
"""What the gate says about itself, and whether that can be believed: for every verb that reads it.

The texts are files below a root. Below ``/`` they speak of the running kernel, so the kernel is
asked as well, by a call that any gate answers:

1. A text and no gate that answers: somebody put a file there. ContentError ``forged-status``.
2. A gate that answers and no text: its pins are hidden or gone. HostError ``hidden-status``.
3. Neither: no gate. That is an answer, not an error.
4. What can't be read or asked is said to be so, never taken for "no gate".

Below another root only the texts are read.
"""

from dataclasses import dataclass
from pathlib import Path

from verity.formats import gate_status
from verity.formats.gate_status import Denial, GateStatus
from verity.ports import bpf, gate_files
from verity.values.errors import ContentError, HostError

_ATTEMPTS = 3


def status(root: Path = Path("/")) -> GateStatus | None:
    """The gate's status; None if there is no gate."""
    data = _believed(root, gate_files.STATUS, gate_files.read_status)
    return None if data is None else gate_status.parse_status(data)


def denials(root: Path = Path("/")) -> tuple[Denial, ...]:
    """What the gate refused and still has, oldest first; HostError ``no-gate`` without one."""
    data = _believed(root, gate_files.DENIALS, gate_files.read_denials)
    if data is None:
        raise HostError(
            "no-gate",
            f"{root / gate_files.DENIALS}: not there: no gate is loaded, so nothing was refused",
            hint="`verity lockdown status` says what is missing",
        )
    return gate_status.parse_denials(data)


@dataclass(frozen=True, kw_only=True)
class Look:
    """The denials of one load of the gate, which ``gate`` tells from other loads."""

    gate: str
    denials: tuple[Denial, ...]


def look(root: Path = Path("/")) -> Look:
    """As ``denials``, with whose they are. A gate that was loaded meanwhile is looked at again."""
    for _ in range(_ATTEMPTS):
        before = gate_files.mark(root)
        found = denials(root)
        if before is not None and before == gate_files.mark(root):
            return Look(gate=before, denials=found)
    raise HostError("no-gate", f"{root / gate_files.DENIALS}: gates come and go while it is read")


def _believed(root: Path, place: Path, read: gate_files.Reader) -> bytes | None:
    if root.resolve() != Path("/"):
        return read(root)
    path = root / place
    answers, unasked = _answers()
    try:
        data = read(root)
    except HostError:
        if answers is False:
            return None
        raise
    if data is not None and answers is False:
        raise ContentError(
            "forged-status",
            f"{path}: is there, and the kernel has no gate: somebody put it there",
            hint="treat this host as compromised: boot it from media that you trust, and audit it",
        )
    if data is None and answers is not False:
        raise HostError(
            "hidden-status",
            f"{path}: not there"
            + (", and a gate answers" if answers else f"; {unasked}, so there may be a gate"),
            hint="look from the host's own mount namespace, where /sys/fs/bpf/verity is mounted",
        )
    return data


def _answers() -> tuple[bool | None, str]:
    """Whether a gate answers; None, with the reason, if that can't be asked."""
    try:
        return bpf.present(), ""
    except HostError as error:
        if error.code == "no-bpf":
            return False, ""
        return None, error.message
