# SPDX-License-Identifier: Apache-2.0
"""systemd's journal: send an entry, and ask whether one of ours is in it.

Entries go to journald's socket as datagrams. What was sent is in the kernel's hands, and survives
whatever happens to the sender. Whether the last one before a crash was sent is asked of the journal
itself, by `journalctl`: it knows who sent an entry, so nobody else's is taken for ours.
"""

import os
import re
import secrets
import socket
import subprocess
import time
from pathlib import Path

from verity.formats import journal_entry
from verity.ports.osfile import closing, translate_oserror
from verity.values.errors import HostError

SOCKET = Path("run/systemd/journal/socket")
MARKER = "VERITY_MARKER"
_TIMEOUT_S = 10.0
_ASK_TIMEOUT_S = 60.0
_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_JOURNALCTL = "/usr/bin/journalctl"
_VALUE = re.compile(r"[A-Za-z0-9.:-]+")


class Journal:
    """The journal below a root; one that isn't ``/`` can be sent to, but never asked."""

    def __init__(self, root: Path) -> None:
        self._path = root / SOCKET
        self._asked = root.resolve() == Path("/")
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(_TIMEOUT_S)
        except OSError as error:
            raise translate_oserror(error, str(self._path)) from error

    def send(self, entry: bytes) -> None:
        """Send one entry; HostError (``no-journal``) if journald doesn't take it."""
        try:
            # By its directory: the path of a socket has at most 107 bytes.
            with closing(os.open(self._path.parent, os.O_PATH | os.O_CLOEXEC)) as folder:
                self._socket.sendto(entry, f"/proc/self/fd/{folder}/{self._path.name}")
        except OSError as error:
            text = (error.strerror or str(error) or "unknown error").lower()
            raise HostError(
                "no-journal",
                f"{self._path}: {text}",
                hint="systemd-journald must run: `systemctl status systemd-journald`",
            ) from error

    def has(self, field: str, value: str) -> bool | None:
        """Whether an entry of this boot, sent by our own uid, has this; None if it can't be told.

        1. Send an entry, and wait until it can be read: journald takes entries in order, so what
           was sent before is in the journal by then, and it is one that we can read.
        2. Ask for the one that is wanted.
        """
        if not self._asked:
            return None
        if not _VALUE.fullmatch(value):
            raise ValueError(f"{value!r} is no value to look for")
        # 1. Wait for one of our own.
        marker = secrets.token_hex(16)
        self.send(
            journal_entry.encode(
                {
                    "MESSAGE": "looking for the record that was sent before a restart",
                    "PRIORITY": "6",
                    "SYSLOG_IDENTIFIER": "verity",
                    MARKER: marker,
                }
            )
        )
        for pause in _PAUSES_S:
            time.sleep(pause)
            if self._find(MARKER, marker):
                break
        else:
            return None
        # 2. Ask.
        return self._find(field, value)

    def _find(self, field: str, value: str) -> bool | None:
        found = self._run("--boot", "--lines=1", f"_UID={os.getuid()}", f"{field}={value}")
        return None if found is None else bool(found)

    def _run(self, *arguments: str) -> bytes | None:
        """What journalctl prints; None if it fails."""
        try:
            done = subprocess.run(
                [_JOURNALCTL, "--quiet", "--no-pager", "--output=cat", *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_ASK_TIMEOUT_S,
                env={"LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None
