# SPDX-License-Identifier: Apache-2.0
"""Commands in the guest, through the agent's guest-exec."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .channel import Agent, Json
from .errors import AgentError, OutputTruncated, VmTimeout

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOT_STARTED = 127
# Each question costs the guest a line in its journal, so they thin out quickly.
_FIRST_PAUSE_S = 0.01
_LAST_PAUSE_S = 0.25
# A question that isn't answered in this time is asked again.
_ANSWER_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A command that ended; `status` is -n after signal n, 127 if it could not be started."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, without white space at its ends."""
        return self.stdout.decode(errors="replace").strip()


class GuestProcess:
    """A command that was started in the guest."""

    def __init__(self, agent: Agent, argv: Sequence[str], pid: int) -> None:
        self.argv = tuple(argv)
        self.pid = pid
        self._agent = agent
        self._done: Completed | None = None

    def poll(self, *, timeout_s: float = 30) -> Completed | None:
        """The outcome, or None while it runs."""
        if self._done is None:
            asked = {"pid": self.pid}
            status = self._agent.call("guest-exec-status", asked, timeout_s=timeout_s)
            if status["exited"]:
                self._done = self._completed(status)
        return self._done

    def wait(self, *, timeout_s: float) -> Completed:
        """The outcome; after `timeout_s` seconds it's killed (it alone) and VmTimeout raised."""
        deadline = time.monotonic() + timeout_s
        pause = _FIRST_PAUSE_S
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                self.kill()
                raise VmTimeout(f"{list(self.argv)} in the guest: not done after {timeout_s:g} s")
            try:
                done = self.poll(timeout_s=max(min(remaining, _ANSWER_S), 1.0))
            except VmTimeout:
                # A machine that is suspended loses what is under way. The next call gets in step.
                if remaining <= _ANSWER_S:
                    raise
                continue
            if done is not None:
                return done
            time.sleep(pause)
            pause = min(pause * 1.6, _LAST_PAUSE_S)

    def kill(self) -> None:
        """SIGKILL for the process itself, not for what it started."""
        start(self._agent, ["kill", "-KILL", str(self.pid)])

    def _completed(self, status: Json) -> Completed:
        if status.get("out-truncated") or status.get("err-truncated"):
            raise OutputTruncated(
                f"{list(self.argv)} in the guest: more output than the agent keeps (16 MiB);"
                " let it write to a file and pull that"
            )
        signal = status.get("signal")
        return Completed(
            argv=self.argv,
            status=-signal if signal else status.get("exitcode", 0),
            stdout=base64.b64decode(status.get("out-data", "")),
            stderr=base64.b64decode(status.get("err-data", "")),
        )


def start(
    agent: Agent, argv: Sequence[str], *, input_: bytes = b"", env: dict[str, str] | None = None
) -> GuestProcess:
    """Starts a command as root with a small, known environment; it may end at once."""
    merged = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", **(env or {})}
    request = {
        "path": argv[0],
        "arg": list(argv[1:]),
        "env": [f"{name}={value}" for name, value in merged.items()],
        "capture-output": True,
    }
    if input_:
        request["input-data"] = base64.b64encode(input_).decode()
    try:
        answer = agent.call("guest-exec", request)
    except AgentError as error:
        if "Failed to execute" not in str(error):
            raise
        process = GuestProcess(agent, argv, 0)
        process._done = Completed(
            argv=tuple(argv), status=_NOT_STARTED, stdout=b"", stderr=str(error).encode()
        )
        return process
    return GuestProcess(agent, argv, answer["pid"])
