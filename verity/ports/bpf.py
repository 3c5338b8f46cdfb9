# SPDX-License-Identifier: Apache-2.0
"""The calls into the gate: carry a signed blob, ask for the seal, ask whether there is a gate.

It carries bytes and reports answers. It reads no blob, judges no signature and retries nothing:
the gate alone decides, and its refusal is the error.

1. All parts of one blob come from one thread, which is this function's.
2. Another upload, by whomever, ends this one: the gate says so, and the caller starts anew.
3. Nothing is imported before ``commit`` is accepted; what was refused has changed nothing.
"""

from collections.abc import Sequence

from verity.formats import gate_calls
from verity.ports import kernel
from verity.values.errors import HostError


def present() -> bool:
    """Whether the running kernel has a gate that answers; no privilege is needed.

    HostError (``not-permitted``, ``no-bpf``) where the kernel can't be asked.
    """
    try:
        kernel.gate_probe()
    except HostError as error:
        if error.code == "no-gate":
            return False
        raise
    return True


def import_blob(blob: bytes, signatures: Sequence[bytes], *, label: str) -> None:
    """Hand over one blob with the PKCS#7 over it; return once the gate has taken it.

    ``label`` names the blob in errors: the gate's refusal (``verity.formats.gate_calls``), or
    what the kernel says if there is no gate.
    """
    _expect(kernel.gate_begin(len(blob)), label)
    for start in range(0, len(blob), kernel.GATE_PART):
        _expect(kernel.gate_put(blob[start : start + kernel.GATE_PART]), label)
    _expect(kernel.gate_commit(signatures), label)


def seal() -> None:
    """Seal the gate until reboot; a sealed one refuses it."""
    _expect(kernel.gate_seal(), "the seal")


def unlock(token: bytes, signatures: Sequence[bytes]) -> None:
    """Hand over an unlock token; return once it counts. Refused, it isn't used up.

    A token of the scope session makes the thread that calls this the session, and all that it
    begins.
    """
    _expect(kernel.gate_unlock(token, signatures), "the unlock token")


def relock(token_id: bytes | None = None) -> None:
    """End all unlocks, of which there may be none; or the live one with this token id."""
    _expect(kernel.gate_relock(token_id), "the relock")


def _expect(answer: int, label: str) -> None:
    if answer != gate_calls.ACCEPTED:
        raise gate_calls.refusal(answer, label)
