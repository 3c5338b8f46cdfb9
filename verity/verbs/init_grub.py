# SPDX-License-Identifier: Apache-2.0
"""lockdown init: what GRUB needs to count the boots of an update, and its entries (ADR 60).

GRUB's own configuration isn't made here: ``update-grub`` does that, from the links in /etc/grub.d.
Another boot loader is left alone.
"""

import os

from verity.formats import grub_env
from verity.ports.installation import Installed

SCRIPTS = ("01_verity", "42_verity")
COUNT = "boot/grub/verity.env"
_FOLDER = "etc/grub.d"
_OWN = "/usr/lib/verity/grub.d"
_CONFIG = "boot/grub/grub.cfg"
_UPDATE = "GRUB counts boots, and has the entry `verity recovery`, once `update-grub` was run"


def prepare(installed: Installed) -> tuple[str, ...]:
    """Links to our scripts, and the count; what is to be done after it.

    A count that is there stays: an update may be waiting for its boots.
    """
    root = installed.root
    if not (root / _FOLDER).is_dir() or not (root / _CONFIG).is_file():
        return ()
    for name in SCRIPTS:
        if (root / _OWN[1:] / name).exists():
            installed.link(f"{_FOLDER}/{name}", f"{_OWN}/{name}")
    if not os.path.lexists(root / COUNT):
        installed.put(COUNT, grub_env.encode(grub_env.IDLE))
    text = (root / _CONFIG).read_bytes()
    return () if b"/verity.env" in text else (_UPDATE,)
