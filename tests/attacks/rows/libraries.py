# SPDX-License-Identifier: Apache-2.0
"""Group 5: unsigned code that a signed program is made to load."""

from ..attack import Attack
from ..ground import SIGNED, TOOLS, UNSIGNED

_LIBRARY = "ran unsigned library"
_NSS = "/usr/lib/x86_64-linux-gnu/libnss_attack.so.2"
_PAM = "/etc/pam.d/runuser"
_LOADER = "/lib64/ld-linux-x86-64.so.2"

ROWS = (
    Attack(
        group=5,
        name="program given to the loader",
        act=f"{_LOADER} {UNSIGNED}/dynamic",
        reason="no-digest",
    ),
    Attack(
        group=5,
        name="LD_PRELOAD",
        act=f"LD_PRELOAD={UNSIGNED}/library.so {SIGNED}/dynamic",
        shows=_LIBRARY,
        reason="no-digest",
    ),
    Attack(
        group=5,
        name="LD_AUDIT",
        act=f"LD_AUDIT={UNSIGNED}/library.so {SIGNED}/dynamic",
        shows=_LIBRARY,
        reason="no-digest",
    ),
    Attack(
        group=5,
        name="ld.so.preload",
        setup=f"echo {UNSIGNED}/library.so >/etc/ld.so.preload",
        act=f"{SIGNED}/dynamic",
        cleanup="rm /etc/ld.so.preload",
        shows=_LIBRARY,
        reason="no-digest",
        # It works for an ordinary user, but root's commands around it would be refused and logged.
        ordinary=False,
    ),
    Attack(
        group=5,
        name="dlopen",
        act=f"{TOOLS}/load {UNSIGNED}/library.so",
        shows=_LIBRARY,
        reason="no-digest",
    ),
    Attack(
        group=5,
        name="NSS module",
        setup=f"ln {UNSIGNED}/library.so {_NSS}",
        act="getent -s attack passwd nobody",
        cleanup=f"rm {_NSS}",
        shows=_LIBRARY,
        reason="no-digest",
    ),
    Attack(
        group=5,
        name="PAM module",
        setup=(
            f"cp -a {_PAM} /run/attack.pam && echo session optional {UNSIGNED}/library.so"
            f" | cat {_PAM} - >/run/attack.new && mv /run/attack.new {_PAM}"
        ),
        act="runuser -u user -- true",
        cleanup=f"mv /run/attack.pam {_PAM}",
        shows=_LIBRARY,
        reason="no-digest",
        ordinary=False,
    ),
)
