# SPDX-License-Identifier: Apache-2.0
"""Group 7: memory that becomes executable without a signed file behind it."""

from ..attack import Attack
from ..ground import SIGNED, TOOLS, UNSIGNED

_MAPPER = f"{TOOLS}/mapper"
# The gate lets a mapping become executable if its file was mapped executable before.
_KNOWN = f"{_MAPPER} rx {SIGNED}/library.so >/dev/null"


def _anonymous(name: str, how: str) -> Attack:
    act = f"{_MAPPER} {how} {SIGNED}/library.so"
    return Attack(group=7, name=name, act=act, reason="anonymous")


ROWS = (
    Attack(
        group=7,
        name="mapped executable",
        act=f"{_MAPPER} rx {UNSIGNED}/library.so",
        reason="no-digest",
    ),
    Attack(
        group=7,
        name="mapped, then made executable",
        act=f"{_MAPPER} protect {UNSIGNED}/library.so",
        reason="unverified",
        signed=f"{_KNOWN}; {_MAPPER} protect {SIGNED}/library.so",
    ),
    Attack(
        group=7,
        name="changed, then made executable",
        act=f"{_KNOWN}; {_MAPPER} dirty {SIGNED}/library.so",
        reason="dirty",
        signed=f"{_KNOWN}; {_MAPPER} protect {SIGNED}/library.so",
    ),
    Attack(
        group=7,
        name="writable and executable",
        act=f"{_MAPPER} write-exec {SIGNED}/library.so",
        reason="writable",
        signed=f"{_MAPPER} rx {SIGNED}/library.so",
    ),
    Attack(
        group=7,
        name="READ_IMPLIES_EXEC",
        act=f"{_MAPPER} implies {UNSIGNED}/library.so",
        reason="anonymous",
        signed="",  # who sets it while privileged is ended, whatever is mapped then
    ),
    Attack(
        group=7,
        name="READ_IMPLIES_EXEC and brk",
        act=f"{_MAPPER} implies-heap {SIGNED}/library.so",
        reason="anonymous",
    ),
    Attack(
        group=7,
        name="SHM_EXEC",
        act=f"{_MAPPER} shm {SIGNED}/library.so",
        reason="no-digest",
    ),
    Attack(
        group=7,
        name="SHM_EXEC and writable",
        act=f"{_MAPPER} shm-write {SIGNED}/library.so",
        reason="writable",
    ),
    _anonymous("anonymous", "anonymous"),
    _anonymous("anonymous, then made executable", "anonymous-protect"),
    _anonymous("executable stack", "stack"),
    _anonymous("executable heap", "heap"),
)
