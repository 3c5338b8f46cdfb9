# SPDX-License-Identifier: Apache-2.0
"""The two JSON protocols of a machine: QMP to QEMU, and the guest agent's to the guest.

Both are a line of JSON each way over a socket. Every wait has a deadline (VmTimeout); the end of
the stream is the end of QEMU (MachineDied). Neither message knows the console: the engine adds it.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from typing import Any

from .errors import AgentError, MachineDied, VmTimeout

Json = dict[str, Any]
# The agent resets its parser on this byte, and precedes the answer to a sync with it.
_SENTINEL = b"\xff"


class _Lines:
    """Lines over a connected socket, with deadlines."""

    def __init__(self, connection: socket.socket, peer: str) -> None:
        self._socket = connection
        self._peer = peer
        self._buffer = bytearray()

    def send(self, message: bytes, deadline: float) -> None:
        self._socket.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            self._socket.sendall(message)
        except TimeoutError as error:
            raise VmTimeout(f"{self._peer}: the request was not taken in time") from error
        except OSError as error:
            raise MachineDied(f"{self._peer}: {error.strerror}") from error

    def line(self, deadline: float) -> bytes:
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                received = self._socket.recv(1 << 18)
            except TimeoutError as error:
                raise VmTimeout(f"{self._peer}: no answer in time") from error
            except OSError as error:
                raise MachineDied(f"{self._peer}: {error.strerror}") from error
            if not received:
                raise MachineDied(f"{self._peer}: the connection was closed")
            self._buffer += received
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def close(self) -> None:
        self._socket.close()


class Qmp:
    """QEMU's control protocol; used from one thread at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._lines = _Lines(connection, "QEMU's control channel")
        self._lock = threading.Lock()

    def negotiate(self, *, timeout_s: float) -> None:
        """Reads the greeting and leaves the negotiation mode."""
        self._lines.line(time.monotonic() + timeout_s)
        self.execute("qmp_capabilities", timeout_s=timeout_s)

    def execute(self, command: str, arguments: Json | None = None, *, timeout_s: float = 30) -> Any:
        """One command's return value; raises AgentError with QEMU's words."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            request = {"execute": command, "arguments": arguments or {}}
            self._lines.send(json.dumps(request).encode() + b"\n", deadline)
            while True:
                answer = json.loads(self._lines.line(deadline))
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise AgentError(f"QEMU refused {command}: {answer['error'].get('desc')}")

    def monitor(self, line: str, *, timeout_s: float) -> str:
        """A line for the human monitor; it answers with text, errors included."""
        arguments = {"command-line": line}
        return str(self.execute("human-monitor-command", arguments, timeout_s=timeout_s))

    def close(self) -> None:
        self._lines.close()


class Agent:
    """qemu-guest-agent's protocol; calls of several threads take turns."""

    def __init__(self, connection: socket.socket) -> None:
        self._lines = _Lines(connection, "the guest agent")
        self._lock = threading.Lock()
        self._in_step = False

    def sync(self, *, timeout_s: float) -> None:
        """Waits until the agent answers us: after a start, a restore, or a call that timed out."""
        with self._lock:
            self._sync(time.monotonic() + timeout_s)

    def call(self, command: str, arguments: Json | None = None, *, timeout_s: float = 30) -> Any:
        """One command's return value; raises AgentError with the agent's words."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            if not self._in_step:
                self._sync(deadline)
            self._in_step = False
            request = {"execute": command, "arguments": arguments or {}}
            self._lines.send(json.dumps(request).encode() + b"\n", deadline)
            answer = json.loads(self._lines.line(deadline))
            self._in_step = True
        if "error" in answer:
            raise AgentError(f"the agent refused {command}: {answer['error'].get('desc')}")
        return answer.get("return")

    def close(self) -> None:
        self._lines.close()

    def _sync(self, deadline: float) -> None:
        self._in_step = False
        wanted = secrets.randbits(31)
        request = {"execute": "guest-sync-delimited", "arguments": {"id": wanted}}
        self._lines.send(_SENTINEL + json.dumps(request).encode() + b"\n", deadline)
        while True:
            before, found, line = self._lines.line(deadline).rpartition(_SENTINEL)
            # What comes before the sentinel answers somebody earlier.
            if found and json.loads(line).get("return") == wanted:
                self._in_step = True
                return
            del before
