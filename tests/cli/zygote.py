# SPDX-License-Identifier: Apache-2.0
"""An interpreter that has imported the program and forks for each command line: no start-up.

Most of the time of a test of the command line would be Python importing the same modules again.
What runs is the program's own ``main`` in a process of its own. What start-up itself does (another
environment, lesser rights) is tested by starting the program.

Started as `zygote.py NUMBER`, with a connected Unix socket at that descriptor. A request is JSON
{"argv", "cwd"}, its strings with surrogates for what isn't UTF-8, and three descriptors for the
standard streams; the answer is the exit status, as text.
"""

import atexit
import contextlib
import importlib
import json
import os
import pkgutil
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

_MOST = 1 << 20


class Zygote:
    """Our end; started when first needed, ended with us."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        with theirs:
            argv = [sys.executable, __file__, str(theirs.fileno())]
            # A session of its own: an interrupt typed at the terminal is for pytest.
            self._process = subprocess.Popen(
                argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )
        atexit.register(self.end)

    def run(
        self, argv: Sequence[str | bytes | Path], cwd: Path, timeout_s: float
    ) -> tuple[int, bytes, bytes]:
        """Exit status, standard output and standard error of one command line."""
        request = {"argv": [os.fsdecode(one) for one in argv], "cwd": str(cwd)}
        with (
            open(os.devnull, "rb") as nothing,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            descriptors = [file.fileno() for file in (nothing, out, err)]
            self._socket.settimeout(timeout_s)
            socket.send_fds(self._socket, [json.dumps(request).encode()], descriptors)
            try:
                status = int(self._socket.recv(64))
            except TimeoutError:
                self.end()
                raise
            streams = []
            for file in (out, err):
                file.seek(0)
                streams.append(file.read())
        return status, streams[0], streams[1]

    def end(self) -> None:
        """Kill it, and what it runs."""
        self._socket.close()
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, 9)
            self._process.wait()


def _serve(channel: socket.socket) -> None:
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, _MOST, 3)
        if not data:
            return
        child = os.fork()
        if child == 0:
            channel.close()
            os._exit(_child(json.loads(data), descriptors))
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(child, 0)
        channel.send(str(os.waitstatus_to_exitcode(status)).encode())


def _child(request: dict[str, object], descriptors: Sequence[int]) -> int:
    from verity.cli.main import main

    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    argv, cwd = request["argv"], request["cwd"]
    assert isinstance(argv, list) and isinstance(cwd, str)
    os.chdir(cwd)
    sys.argv = ["verity", *argv]
    status = 1
    try:
        main()
    except SystemExit as done:
        status = done.code if isinstance(done.code, int) else 1
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    return status


def _main() -> None:
    import verity

    for module in pkgutil.walk_packages(verity.__path__, "verity."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    _serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    _main()
