# SPDX-License-Identifier: Apache-2.0
"""One running QEMU: its process, its channels, its console; and how it is found dead or waiting.

Every error that leaves this module through `explained` ends with the console's last lines.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from . import process
from .channel import Agent, Qmp
from .errors import MachineDied, VmError, VmTimeout
from .qemu import Descriptors, Files, Hardware, command_line

CONSOLE_LINES = 40
BOOT_ATTEMPTS = 3
"""Boots before a guest that died in a patched instruction is believed.

QEMU 7.2's emulation of two processors sometimes lets one run a breakpoint that the other has taken
back, as the kernel does wherever it patches its own code: in some hundred boots seen three times.
"""
_PATCHED_CODE = "Oops: int3"
_GUARD = Path(__file__).with_name("guard.py")
_START_TIMEOUT_S = 30.0
_STATE_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 30.0
_CALM_S = 2.0
_UNLIMITED_BYTES_PER_S = 1 << 40


class Engine:
    """A QEMU process. Use as: construct (it starts), `wait_for_agent`, ..., `kill`."""

    def __init__(
        self, hardware: Hardware, files: Files, *, owned: Path | None, state: Path | None = None
    ) -> None:
        """Starts QEMU; `owned` is a directory that goes when we do, `state` a saved state."""
        self.hardware = hardware
        self._console = files.console
        self._log = files.console.with_name("qemu.log")
        self._console_before = len(self.console())
        pairs = [socket.socketpair() for _ in range(3)]
        (qmp, agent, self.shell) = (ours for ours, _ in pairs)
        theirs = [end for _, end in pairs]
        numbers = [end.fileno() for end in theirs]
        argv = command_line(
            hardware,
            files,
            Descriptors(qmp=numbers[0], agent=numbers[1], shell=numbers[2]),
            incoming=state is not None,
        )
        self.command = argv
        guard = [sys.executable, "-I", "-S", str(_GUARD), str(owned or "")]
        with self._log.open("ab") as log:
            # A session of its own: an interrupt typed at the terminal is ours to act on.
            self._guard = subprocess.Popen(
                [*guard, *argv],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=numbers,
                start_new_session=True,
            )
        for end in theirs:
            end.close()
        self.qmp = Qmp(qmp)
        self.agent = Agent(agent)
        try:
            with self.explained("starting QEMU"):
                self.qmp.negotiate(timeout_s=_START_TIMEOUT_S)
                if state is not None:
                    self._load(state)
        except BaseException:
            self.kill(keep_directory=False)
            raise

    @classmethod
    def booted(
        cls, hardware: Hardware, files: Files, *, owned: Path | None, timeout_s: float
    ) -> Self:
        """A QEMU whose guest is up; what the emulation itself breaks is tried again."""
        for attempt in range(1, BOOT_ATTEMPTS + 1):
            engine = cls(hardware, files, owned=owned)
            try:
                engine.wait_for_agent(timeout_s=timeout_s)
                break
            except MachineDied:
                engine.kill(keep_directory=True)
                if not engine._died_in_patched_code or attempt == BOOT_ATTEMPTS:
                    raise
            except BaseException:
                engine.kill(keep_directory=True)
                raise
        return engine

    @property
    def _died_in_patched_code(self) -> bool:
        return _PATCHED_CODE in self.console()[self._console_before :]

    @property
    def alive(self) -> bool:
        """Whether the guard, and so QEMU or its corpse, is there: `kill` makes it False."""
        return self._guard.poll() is None

    def wait_for_agent(self, *, timeout_s: float) -> None:
        """Waits until the guest agent answers and, in the system kind, until the boot is over."""
        deadline = time.monotonic() + timeout_s
        with self.explained("booting"):
            self.agent.sync(timeout_s=timeout_s)
            if self.hardware.kind == "system":
                # The status says "degraded" after a failed unit; that is the caller's to judge.
                waiting = process.start(self.agent, ["systemctl", "is-system-running", "--wait"])
                waiting.wait(timeout_s=max(1.0, deadline - time.monotonic()))

    def calm_down(self) -> None:
        """Waits until a booted machine has little left to do: each restore would repeat that."""
        with self.explained("waiting for an idle machine"):
            if self.hardware.kind == "system":
                self._command(["udevadm", "settle"], timeout_s=_STATE_TIMEOUT_S)
            self._command(["sync"], timeout_s=_STATE_TIMEOUT_S)
            time.sleep(_CALM_S)

    def settle(self, *, reseed: bool) -> None:
        """After a restore: the agent in step, the clock right, fresh random numbers if asked."""
        with self.explained("restoring"):
            self.agent.sync(timeout_s=_START_TIMEOUT_S)
            self._command(["date", "-u", "-s", f"@{round(time.time())}"])
            if reseed:
                reseed_argv = ["python3", "-I", "-c", _RESEED]
                if self.hardware.kind == "bare":
                    reseed_argv = ["chroot", "/sysroot", "/usr/bin/env", *reseed_argv]
                self._command(reseed_argv, os.urandom(64))

    def save_state(self, path: Path) -> None:
        """Writes devices' state to `path`; memory too unless it's in a shared file. Stops it."""
        with self.explained("saving the machine's state"):
            self._migration_settings()
            uri = f"exec:cat >{shlex.quote(str(path))}"
            self.qmp.execute("migrate", {"uri": uri})
            self._migrated()

    def quit(self) -> None:
        """Ends QEMU in order, its files flushed; then like `kill`, but keeps the directory."""
        with contextlib.suppress(MachineDied):
            self.qmp.execute("quit")
            self.wait_for_end(timeout_s=_STOP_TIMEOUT_S)
        self.kill(keep_directory=True)

    def wait_for_end(self, *, timeout_s: float) -> None:
        """Waits until QEMU closes its channels."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                left = max(0.1, deadline - time.monotonic())
                self.qmp.execute("query-status", timeout_s=left)
            except MachineDied:
                return
            if time.monotonic() > deadline:
                raise VmTimeout(f"QEMU still runs after {timeout_s:g} s{self.last_words()}")
            time.sleep(0.02)

    def kill(self, *, keep_directory: bool) -> None:
        """SIGKILL, at once and whatever it does. Harmless when it's dead already."""
        pipe = self._guard.stdin
        assert pipe is not None
        if not pipe.closed:
            with contextlib.suppress(BrokenPipeError):
                if keep_directory:
                    pipe.write(b"k")
                pipe.close()
        self._guard.wait(timeout=_STOP_TIMEOUT_S)
        for channel in (self.qmp, self.agent, self.shell):
            channel.close()

    def console(self) -> str:
        """What the guest's serial console has shown since the work directory was made."""
        try:
            return self._console.read_bytes().decode(errors="replace").replace("\r", "")
        except FileNotFoundError:
            return ""

    def shows(self, text: str) -> bool:
        """Whether the console has shown it in this boot."""
        return text in self.console()[self._console_before :]

    def last_words(self) -> str:
        """The console's last lines, and QEMU's own messages, for the end of an error message."""
        lines = self.console().splitlines()[-CONSOLE_LINES:]
        log = self._log.read_text(errors="replace").splitlines()[-CONSOLE_LINES:]
        qemu = ["--- QEMU said:", *log] if log else []
        return "\n".join(("", f"--- the console's last lines ({self._console}):", *lines, *qemu))

    @contextlib.contextmanager
    def explained(self, what: str) -> Iterator[None]:
        """Adds to a time-out or a death what was being done and what the console shows."""
        try:
            yield
        except VmTimeout as error:
            raise VmTimeout(f"{what}: {error}{self.last_words()}") from error
        except MachineDied as error:
            # Its last words may still be on their way into the file.
            time.sleep(0.1)
            panic = "Kernel panic" in self.console()
            why = "the guest's kernel panicked" if panic else "QEMU ended"
            raise MachineDied(f"{what}: {why}: {error}{self.last_words()}") from error

    def _command(
        self, argv: Sequence[str], input_: bytes = b"", *, timeout_s: float = _START_TIMEOUT_S
    ) -> None:
        done = process.start(self.agent, argv, input_=input_).wait(timeout_s=timeout_s)
        if done.status != 0:
            raise VmError(f"{list(argv)} in the guest: {done.stderr.decode(errors='replace')}")

    def _load(self, state: Path) -> None:
        self._migration_settings()
        self.qmp.execute("migrate-incoming", {"uri": f"exec:cat <{shlex.quote(str(state))}"})
        self._migrated()

    def _migration_settings(self) -> None:
        shared = [{"capability": "x-ignore-shared", "state": True}]
        self.qmp.execute("migrate-set-capabilities", {"capabilities": shared})
        self.qmp.execute("migrate-set-parameters", {"max-bandwidth": _UNLIMITED_BYTES_PER_S})

    def _migrated(self) -> None:
        deadline = time.monotonic() + _STATE_TIMEOUT_S
        while True:
            status = self.qmp.execute("query-migrate").get("status")
            if status == "completed":
                return
            if status == "failed" or time.monotonic() > deadline:
                raise VmError(f"QEMU's state: {status}, expected completed{self.last_words()}")
            time.sleep(0.02)


# Mixes standard input in and has the kernel make new keys from it now (RNDRESEEDCRNG).
_RESEED = (
    "import fcntl, sys\n"
    "with open('/dev/urandom', 'wb', buffering=0) as device:\n"
    "    device.write(sys.stdin.buffer.read())\n"
    "    fcntl.ioctl(device, 0x5207)\n"
)
