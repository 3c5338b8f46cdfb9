# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N818 - errors are named for what happened
"""Everything that the VM harness raises: one root, and families by who can act on them."""

from __future__ import annotations

from collections.abc import Sequence

_TAIL_BYTES = 2000


class VmError(Exception):
    """The harness could not do what was asked; the message holds what is known about why."""


class VmToolMissing(VmError):
    """A program of the host is missing, or the host refuses what a build needs."""


class VmTimeout(VmError):
    """Something took longer than its caller allowed. The message ends with the console."""


class MachineDied(VmError):
    """QEMU ended without being told to. The message ends with the console."""


class AgentError(VmError):
    """The guest agent or QEMU answered a request with an error."""


class OutputTruncated(VmError):
    """A command wrote more than the agent keeps (16 MiB a stream): write to a file and pull it."""


class GuestCommandFailed(VmError):
    """A command in the guest ended with a status other than 0."""

    def __init__(self, argv: Sequence[str], status: int, stdout: bytes, stderr: bytes) -> None:
        self.argv = tuple(argv)
        self.status = status
        self.stdout = stdout
        self.stderr = stderr
        said = (stderr or stdout)[-_TAIL_BYTES:].decode(errors="replace").rstrip()
        super().__init__(f"{list(argv)} in the guest: exit status {status}, expected 0\n{said}")
