# SPDX-License-Identifier: Apache-2.0
"""Group 6: code in files that have no name."""

from ..attack import Attack
from ..ground import SIGNED, TOOLS, UNSIGNED, WORK

_LOST = f"{WORK}/lost"
_THEN_LOST = f"exec 3<{_LOST} && rm {_LOST} && /proc/self/fd/3"

ROWS = (
    Attack(
        group=6,
        name="program in a memfd",
        act=f"{TOOLS}/run memfd {SIGNED}/program",
        reason="no-digest",
        signed=f"{TOOLS}/run fd {SIGNED}/program",
    ),
    Attack(
        group=6,
        name="script in a memfd",
        act=f"{TOOLS}/run memfd {SIGNED}/script.sh",
        reason="no-digest",
        signed=f"{TOOLS}/run fd {SIGNED}/script.sh",
    ),
    Attack(
        group=6,
        name="library in a memfd",
        act=f"{TOOLS}/mapper memfd {SIGNED}/library.so",
        reason="no-digest",
        signed=f"{TOOLS}/mapper rx {SIGNED}/library.so",
    ),
    Attack(
        group=6,
        name="temporary file",
        act=f"{TOOLS}/run tmpfile {SIGNED}/program {WORK}",
        reason="no-digest",
        signed=f"{TOOLS}/run fd {SIGNED}/program",
    ),
    Attack(
        group=6,
        name="deleted file",
        act=f"{TOOLS}/run deleted {SIGNED}/program {WORK}",
        reason="no-digest",
        signed=(
            f"cp {SIGNED}/program {_LOST} && {TOOLS}/enable {_LOST} >/dev/null && {_THEN_LOST}"
        ),
    ),
    Attack(
        group=6,
        name="deleted file by its place in proc",
        act=f"cp {SIGNED}/program {_LOST} && {_THEN_LOST}",
        reason="no-digest",
        signed=(
            f"cp {SIGNED}/program {_LOST} && {TOOLS}/enable {_LOST} >/dev/null && {_THEN_LOST}"
        ),
    ),
    Attack(
        group=6,
        name="program by a descriptor",
        act=f"{TOOLS}/run fd {UNSIGNED}/program",
        reason="no-digest",
    ),
)
