# SPDX-License-Identifier: Apache-2.0
"""Runs QEMU and sees to it that it never outlives the process that wanted it.

Usage: guard.py DIRECTORY PROGRAM ARGUMENT...   (a script of its own, started isolated)

Standard input is a pipe from the owner; its end, also by the owner's death, kills PROGRAM at once
(SIGKILL: this is the harness's power cut) and removes DIRECTORY unless it is empty or the owner
wrote a byte first. A pipe rather than a parent-death signal on QEMU itself: that one fires when the
*thread* that forked ends. Exits with PROGRAM's status, 128 + n after signal n.
"""

import ctypes
import os
import select
import shutil
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Runs until the owner's end of the pipe is closed."""
    directory, argv = sys.argv[1], sys.argv[2:]
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        # Should the guard itself be killed; it has one thread, so this is safe here.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(127)
        devnull = os.open(os.devnull, os.O_RDWR)
        os.dup2(devnull, 0)
        try:
            os.execvp(argv[0], argv)
        except OSError as error:
            os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
            os._exit(127)
    # The channels are QEMU's now: while the guard held them too, the owner would not see its end.
    os.closerange(3, 256)
    pidfd = os.pidfd_open(child)
    ready, _, _ = select.select([0, pidfd], [], [])
    if pidfd not in ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    keep = os.read(0, 1) != b""
    if directory and not keep:
        shutil.rmtree(directory, ignore_errors=True)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
