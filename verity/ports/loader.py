# SPDX-License-Identifier: Apache-2.0
"""Run the gate's loader, a C program that needs no Python, and pass on what it says.

At boot a systemd unit runs the same program. This is for loading by hand: the arguments are
paths, the environment is empty, and all that comes back is its exit status and its message.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from verity.ports.gate_object import GateLoader, GateObject, Missing
from verity.values.errors import ContentError, HostError, VerityError

_TIMEOUT_S = 600
_MOST_TEXT = 1000
_ERROR = "verity-load: error: "
_HINT = "  hint: "


def load(
    loader: GateLoader | Missing,
    gate: GateObject | Missing,
    *,
    bundle: Path,
    pins: Sequence[Path],
    host_id: Path,
    observe: bool,
) -> str:
    """Load the gate; what the loader had to tell. Its refusal is a ContentError.

    Without a file at ``host_id`` the gate takes no unlock token, and the loader says so. HostError
    if the host can't, or if this installation has no loader or no object.
    """
    if isinstance(loader, Missing):
        raise HostError("no-loader", f"the gate's loader: {loader.reason}", hint=loader.hint)
    if isinstance(gate, Missing):
        raise HostError("no-gate-object", f"the gate's object: {gate.reason}", hint=gate.hint)
    command = [str(loader.path), "--object", str(gate.path), "--bundle", str(bundle)]
    for pin in pins:
        command += ["--pin", str(pin)]
    command += ["--host-id", str(host_id)]
    try:
        done = subprocess.run(
            [*command, *(["--observe"] if observe else [])],
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise HostError(
            "loader-timeout", f"{loader.path}: not done after {_TIMEOUT_S} seconds"
        ) from error
    except OSError as error:
        raise HostError(
            "loader-unusable",
            f"{loader.path}: can't be run: {(error.strerror or 'unknown').lower()}",
            hint="install the package again",
        ) from error
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        raise refused(done.returncode, text)
    return text.strip()


def refused(status: int, text: str) -> VerityError:
    """The error for a loader that ended with ``status`` and said ``text``."""
    lines = text.splitlines()
    message = next((line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)), "")
    hint = next((line.removeprefix(_HINT) for line in lines if line.startswith(_HINT)), None)
    if not message:
        ended = f"by signal {-status}" if status < 0 else f"with exit status {status}"
        message = f"ended {ended}: {' '.join(lines[-1:]) or 'it said nothing'}"
    family = ContentError if status == 1 else HostError
    return family(
        "not-loaded", f"verity-load: {message[:_MOST_TEXT]}", hint=hint and hint[:_MOST_TEXT]
    )
