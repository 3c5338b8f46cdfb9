# SPDX-License-Identifier: Apache-2.0
"""The errors that leave verity's edge.

One root, three families by who can act on them. Each carries the exit status that the
command line documents:

* ``CallerError`` (2): the arguments are wrong; the caller can mend them.
* ``ContentError`` (1): a document or a file is damaged, hostile or badly signed; the check
  was made and says no.
* ``HostError`` (3): something required could not be checked: a missing input, a missing
  permission, a kernel or a program that cannot do it.

Rules: a message is one lower-case line that names the object, what was found and what was
expected; the way out goes into ``hint``; nothing here prints, logs or exits; exceptions of
other libraries never cross an edge, they become the ``__cause__`` of one of these.
"""

from typing import ClassVar


class VerityError(Exception):
    """Root of all errors. ``code`` is stable and machine-readable, e.g. ``bad-signature``."""

    exit_status: ClassVar[int] = 3

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class CallerError(VerityError):
    """The arguments are wrong (exit status 2)."""

    exit_status = 2


class ContentError(VerityError):
    """What was checked is damaged, hostile or badly signed (exit status 1)."""

    exit_status = 1


class HostError(VerityError):
    """Something required could not be checked or done here (exit status 3)."""

    exit_status = 3
