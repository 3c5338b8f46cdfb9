# SPDX-License-Identifier: Apache-2.0
"""A counter in this machine's TPM 2.0, by tpm2-tools: no disk that is put back takes it back.

Anyone who may use the TPM may raise it, and nobody lower it: without a password and a policy it is
an index of the owner's that only counts. One that is undefined and defined anew goes on above
the highest count that any counter of that TPM ever had (ADR 64), also after the TPM was cleared.
What is no such counter, though it has its index, counts as none. Nothing is asked twice.
"""

import os
import re
import subprocess
from pathlib import Path

from verity.values.errors import HostError

INDEX = "0x180766c"
"""In the range that is the owner's, 0x01800000 to 0x01bfffff."""

ATTRIBUTES = "ownerread|authread|ownerwrite|authwrite|no_da|nt=counter"
SIZE = 8
# Their own first choice. Without it they would go on to whoever listens on a local port, or take
# what the environment names, which is to change nothing that is checked.
_DEVICE = "device:/dev/tpmrm0"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_TIMEOUT_S = 10
_TYPE, _COUNTER, _WRITTEN = 0xF0, 0x10, 1 << 29
_PUBLIC = re.compile(
    rf"^{INDEX}:\n(?:[ \t].*\n)*?  attributes:\n(?:    .*\n)*?    value: 0x([0-9A-Fa-f]+)\n"
    r"(?:[ \t].*\n)*?  size: ([0-9]+)\n",
    re.MULTILINE,
)
_SAID = re.compile(r"^ERROR: (.*)$", re.MULTILINE)
_REFUSED = " - tpm:"
_AUTHORIZATION = "0x9A2"


class TpmCounter:
    """That of the kernel's own TPM, /dev/tpmrm0.

    Each method raises HostError: ``no-tpm2-tools``, ``no-tpm``, ``tpm-owner``, ``tpm-failed``.
    """

    def read(self) -> int | None:
        """Its value; 0 if it never counted; None if there is no such counter."""
        found = _PUBLIC.search(_run("tpm2_nvreadpublic").decode("utf-8", "replace"))
        if found is None:
            return None
        attributes, size = int(found[1], 16), int(found[2])
        if attributes & _TYPE != _COUNTER or size != SIZE:
            return None
        if not attributes & _WRITTEN:
            return 0
        value = _run("tpm2_nvread", f"--size={SIZE}", INDEX)
        if len(value) != SIZE:
            raise HostError("tpm-failed", f"tpm2_nvread: {len(value)} bytes, expected {SIZE}")
        return int.from_bytes(value, "big")

    def define(self) -> None:
        """Make it; it has no value before it counts for the first time."""
        _run(
            "tpm2_nvdefine", "--hierarchy=o", f"--size={SIZE}", f"--attributes={ATTRIBUTES}", INDEX
        )

    def increment(self) -> None:
        """Count one on."""
        _run("tpm2_nvincrement", INDEX)

    def undefine(self) -> None:
        """Remove it."""
        _run("tpm2_nvundefine", "--hierarchy=o", INDEX)


def of(root: Path) -> TpmCounter | None:
    """This machine's, for the root that it runs from; None for another one."""
    try:
        return TpmCounter() if os.path.samefile(root, "/") else None
    except OSError:
        return None


def _run(program: str, *arguments: str) -> bytes:
    try:
        done = subprocess.run(
            [program, f"--tcti={_DEVICE}", *arguments],
            env={"PATH": _PATH},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError(
            "no-tpm2-tools",
            f"{program} is not installed, and without it no TPM is asked",
            hint="apt-get install tpm2-tools",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise HostError("tpm-failed", f"{program}: not done after {_TIMEOUT_S} seconds") from error
    except OSError as error:
        raise HostError(
            "tpm-failed", f"{program}: can't be run: {(error.strerror or 'unknown').lower()}"
        ) from error
    if done.returncode != 0:
        raise _failed(program, done.returncode, done.stderr.decode("utf-8", "replace"))
    return done.stdout


def _failed(program: str, status: int, text: str) -> HostError:
    said = _SAID.findall(text)
    if any(line.startswith("Could not load tcti") for line in said):
        return HostError(
            "no-tpm",
            "no TPM 2.0 answers",
            hint="where the kernel has one it is /dev/tpmrm0; some are off in the firmware",
        )
    if any(_AUTHORIZATION in line for line in said):
        return HostError(
            "tpm-owner",
            f"{program}: the TPM's owner has set a password",
            hint=f"once, with it: tpm2_nvdefine -C o -P PASSWORD -s {SIZE} -a '{ATTRIBUTES}'"
            f" {INDEX}; then run this again",
        )
    told = [line for line in said if _REFUSED in line] or said or [f"exit status {status}"]
    return HostError("tpm-failed", f"{program}: {told[0]}")
