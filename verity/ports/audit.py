# SPDX-License-Identifier: Apache-2.0
"""The kernel's audit: one message after the other, each acknowledged.

There is no library for it that can be depended on: libaudit's binding is not on the package index.
The protocol is a request and an answer (``verity.formats.audit_message``). Nothing is read from
audit here, and nothing of it is configured.
"""

import errno
import socket

from verity.formats import audit_message
from verity.values.errors import HostError

_PROTOCOL = 9  # NETLINK_AUDIT
_TIMEOUT_S = 5.0
_ANSWERS = 16  # of others, on a socket that is ours alone: none is expected
_SIZE = 16 * 2**10
_CONDITIONS = {
    errno.EPROTONOSUPPORT: ("the kernel has no audit", None),
    errno.ECONNREFUSED: ("audit takes nothing from here", "run it in the host's own namespaces"),
    errno.EPERM: ("not permitted", "it takes the capability CAP_AUDIT_WRITE"),
    errno.ENOBUFS: ("its queue is full", None),
}


class Audit:
    """A socket to the kernel's audit. HostError (``no-audit``) where there is none for us."""

    def __init__(self) -> None:
        self._sequence = 0
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _PROTOCOL
            )
            self._socket.settimeout(_TIMEOUT_S)
            self._socket.bind((0, 0))
        except OSError as error:
            raise _translated(error) from error

    def send(self, message: bytes) -> None:
        """Hand over a message; returns when the kernel has taken it."""
        self._sequence += 1
        try:
            self._socket.sendto(audit_message.request(message, self._sequence), (0, 0))
            for _ in range(_ANSWERS):
                code = audit_message.answer(self._socket.recv(_SIZE), self._sequence)
                if code is not None:
                    break
            else:
                raise HostError("no-audit", "audit: no answer among 16")
        except OSError as error:
            raise _translated(error) from error
        if code:
            raise _translated(OSError(code, ""))


def _translated(error: OSError) -> HostError:
    known = _CONDITIONS.get(error.errno or 0)
    text, hint = known or (error.strerror or str(error) or f"error {error.errno}", None)
    return HostError("no-audit", f"audit: {text.lower()}", hint=hint)
