# SPDX-License-Identifier: Apache-2.0
"""A TPM 2.0 in software: swtpm with a state of its own, for tpm2-tools here or for a machine.

Its counters outlive it, as a TPM's do: `stop` and `start` are a power cycle.
"""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from verity.ports import tpm_counter
from verity.ports.tpm_counter import INDEX

_TIMEOUT_S = 20.0


class Tpm:
    """It runs between `start` and `stop`; who made it stops it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "state").mkdir()
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """As tpm2-tools call it."""
        return f"swtpm:path={self.path}/tpm"

    @property
    def environment(self) -> dict[str, str]:
        """For tpm2-tools."""
        return {"TPM2TOOLS_TCTI": self.name}

    def stand_in(self, patch: pytest.MonkeyPatch) -> None:
        """Be this machine's TPM for what is called in this process."""
        patch.setattr(tpm_counter, "_DEVICE", self.name)

    @property
    def qemu(self) -> tuple[str, ...]:
        """QEMU's arguments for a machine that has it."""
        return (
            *("-chardev", f"socket,id=tpm,path={self.path}/tpm.ctrl"),
            *("-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm0"),
        )

    def start(self, *, for_qemu: bool = False) -> None:
        """Switch it on.

        QEMU starts a TPM up by itself, and talks to it by the control socket alone.
        """
        assert self._running is None, "it is on"
        server = (
            *("--server", f"type=unixio,path={self.path}/tpm"),
            *("--flags", "not-need-init,startup-clear"),
        )
        awaited = self.path / "pid"
        for left in ("pid", "tpm", "tpm.ctrl"):
            (self.path / left).unlink(missing_ok=True)
        self._running = subprocess.Popen(
            [
                *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.path}/state"),
                *("--ctrl", f"type=unixio,path={self.path}/tpm.ctrl", "--pid", f"file={awaited}"),
                *(() if for_qemu else server),
            ],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # a line for each client that is gone
        )
        deadline = time.monotonic() + _TIMEOUT_S
        while not awaited.exists():
            assert self._running.poll() is None, "swtpm has ended"
            assert time.monotonic() < deadline, "swtpm doesn't answer"
            time.sleep(0.01)

    def stop(self) -> None:
        """Switch it off."""
        if self._running is not None:
            self._running.terminate()
            self._running.wait(_TIMEOUT_S)
            self._running = None

    def tool(self, *command: str) -> bytes:
        """Run one of tpm2-tools; what it printed."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, env=environment, capture_output=True, timeout=_TIMEOUT_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def value(self) -> int:
        """What our counter says, by tpm2-tools alone."""
        return int.from_bytes(self.tool("tpm2_nvread", "-s", "8", INDEX), "big")


@contextlib.contextmanager
def made() -> Iterator[Tpm]:
    """A new one, switched off; its path is short, since a socket's may have 107 bytes.

    tpm2-tools know the control socket by the name of the other one.
    """
    with tempfile.TemporaryDirectory(prefix="tpm-") as path:
        tpm = Tpm(Path(path))
        try:
            yield tpm
        finally:
            tpm.stop()
