# SPDX-License-Identifier: Apache-2.0
"""Whether the kernel refuses to start what nobody signed: tried with what is no program at all.

A few bytes of text in memory. Where it isn't refused, the kernel says that it can't be executed,
and nothing has run. A gate counts the try as a denial, under the name ``verity-canary``.
"""

import errno
import os
import subprocess

from verity.ports.osfile import closing
from verity.values.errors import HostError

NAME = "verity-canary"
_TEXT = b"verity-canary: no program\n"
_MFD_EXEC = 0x0010  # linux/memfd.h; since Linux 6.3
_CLOEXEC = 0x0001


def refused() -> bool:
    """Whether this process, and so one of its privileges, was refused it. HostError: can't be
    tried, or something other than a gate refused it."""
    with closing(_memory()) as fd:
        try:
            os.write(fd, _TEXT)
            os.fchmod(fd, 0o700)
            subprocess.run([f"/proc/self/fd/{fd}"], pass_fds=[fd], check=False, timeout=60)
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                return False
            if error.errno == errno.EPERM:
                return True
            raise _unable(error) from error
        except subprocess.SubprocessError as error:
            raise HostError("no-probe", "the canary started, and doesn't end") from error
    return False


def _memory() -> int:
    for flags in (_CLOEXEC | _MFD_EXEC, _CLOEXEC):
        try:
            return os.memfd_create(NAME, flags)
        except OSError as error:
            if flags == _CLOEXEC or error.errno != errno.EINVAL:
                raise _unable(error) from error
    raise AssertionError("the loop returns or raises")


def _unable(error: OSError) -> HostError:
    return HostError(
        "no-probe",
        f"the canary can't be tried: {(error.strerror or str(error)).lower()}",
        hint="sysctl vm.memfd_noexec must be 0 or 1 for it; IMA refuses it with EACCES",
    )
