# SPDX-License-Identifier: Apache-2.0
"""Which host this is: an id that stays, and the name that it gives itself.

The id is made of the machine's id as machine-id(5) asks of programs: an HMAC with it as the key, so
that the id itself is told to nobody. A clone that keeps its machine-id is the same host to this. It
names a host to people and in documents; it proves nothing.
"""

import hashlib
import hmac
import re
from pathlib import Path

from verity.ports.gate_files import small_text
from verity.values.errors import HostError

MACHINE_ID = Path("etc/machine-id")
HOSTNAME = Path("etc/hostname")
_APPLICATION = bytes.fromhex("97df013727d7469bb7816f1bff7a6ede")
_MACHINE = re.compile(r"[0-9a-f]{32}")
_UNPLAIN = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST = 64


def host_id(root: Path) -> str:
    """The id of this host, 64 hex digits."""
    text = small_text(root / MACHINE_ID) or ""
    if not _MACHINE.fullmatch(text) or text == "0" * 32:
        raise HostError(
            "no-host-id",
            f"{root / MACHINE_ID}: it holds no id of a machine",
            hint="systemd-machine-id-setup makes one",
        )
    return hmac.digest(bytes.fromhex(text), _APPLICATION, hashlib.sha256).hex()


def host_name(root: Path) -> str:
    """What the host calls itself, with every odd character as a dash."""
    text = (small_text(root / HOSTNAME) or "").partition("\n")[0]
    return _UNPLAIN.sub("-", text)[:_LONGEST] or "unnamed"
