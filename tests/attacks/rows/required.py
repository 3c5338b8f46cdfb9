# SPDX-License-Identifier: Apache-2.0
"""Group 20: taking away what grants put where the policy says `require`.

Truncating and writing are the kernel's own to refuse: the file has fs-verity.
"""

from ..attack import Attack
from ..ground import STAYS, WORK

_FILE, _NEW, _KEPT, _AWAY = f"{STAYS}/file", f"{STAYS}/new", f"{WORK}/kept", f"{WORK}/away"
_UNSIGNED = f"echo says evil >{_NEW} && rm {_NEW} && echo gone"


def _take(name: str, act: str, *, setup: str = ":", cleanup: str = ":", signed: str = "") -> Attack:
    """An ordinary user has no right to write there."""
    return Attack(
        group=20,
        name=name,
        setup=f"ln {_FILE} {_KEPT} && {setup}",
        act=f"{act} && echo gone",
        cleanup=f"{cleanup}; [ {_FILE} -ef {_KEPT} ] || ln -f {_KEPT} {_FILE}; rm {_KEPT}",
        shows="gone",
        reason="config-removed",
        ordinary=False,
        signed=signed,
    )


ROWS = (
    _take("deleted", f"rm {_FILE}", signed=_UNSIGNED),
    _take("renamed away", f"mv {_FILE} {_AWAY}", cleanup=f"rm -f {_AWAY}"),
    _take(
        "replaced",
        f"mv -f {_NEW} {_FILE}",
        setup=f"echo says evil >{_NEW}",
        cleanup=f"rm -f {_NEW}",
    ),
    _take(
        "its directory renamed",
        f"mv {STAYS} {STAYS}.away",
        cleanup=f"[ ! -e {STAYS}.away ] || mv {STAYS}.away {STAYS}",
    ),
    _take(
        "deleted in a namespace of its own",
        f"unshare -m sh -c 'mount --bind {STAYS} /mnt && rm /mnt/file'",
    ),
)
