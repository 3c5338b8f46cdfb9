# SPDX-License-Identifier: Apache-2.0
"""An interactive root shell in the guest, on its virtio console, joined to our own terminal."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import sys
import termios
import tty

from .errors import VmError
from .machine import Machine

ESCAPE = b"\x1d"
ESCAPE_NAME = "Ctrl-]"
# setsid -c makes the console the shell's own, so that Ctrl-C and job control work.
_START = (
    "stty -F /dev/hvc0 rows {rows} cols {columns} 2>/dev/null;"
    " cd /root; exec setsid -c {shell} -i </dev/hvc0 >/dev/hvc0 2>&1"
)


def interactive(machine: Machine) -> int:
    """Relays until the shell ends or Ctrl-] is typed; returns the shell's status, 0 after Ctrl-].

    Raises VmError when our standard input is no terminal.
    """
    if not sys.stdin.isatty():
        raise VmError("a shell needs a terminal on standard input; use `run -- COMMAND` instead")
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
    shell = "bash" if machine.kind == "system" else "sh"
    term = {"TERM": os.environ.get("TERM", "vt100")}
    started = machine.start(_START.format(rows=rows, columns=columns, shell=shell), env=term)
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        while True:
            ready, _, _ = select.select([0, machine.shell_socket], [], [], 0.2)
            if 0 in ready:
                typed = os.read(0, 4096)
                if ESCAPE in typed:
                    return 0
                os.write(machine.shell_socket, typed)
            if machine.shell_socket in ready:
                shown = os.read(machine.shell_socket, 65536)
                if not shown:
                    return 0
                os.write(1, shown)
            elif (done := started.poll()) is not None:
                return done.status
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
