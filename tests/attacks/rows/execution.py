# SPDX-License-Identifier: Apache-2.0
"""Groups 1 and 2: programs and scripts that nobody signed."""

from ..attack import Attack
from ..ground import SIGNED, UNLISTED, UNSIGNED, WORK

ROWS = (
    Attack(group=1, name="program", act=f"{UNSIGNED}/program", reason="no-digest"),
    Attack(group=1, name="dynamic program", act=f"{UNSIGNED}/dynamic", reason="no-digest"),
    Attack(
        group=1,
        name="fs-verity but no grant",
        act=f"{UNLISTED}/program",
        reason="not-granted",
        signed=f"{SIGNED}/program",
    ),
    Attack(
        group=1,
        name="copy of a signed program",
        setup=f"cp {SIGNED}/program {WORK}/copy",
        act=f"{WORK}/copy",
        cleanup=f"rm {WORK}/copy",
        reason="no-digest",
        signed=f"{SIGNED}/program",
    ),
    Attack(
        group=1,
        name="signed data made executable",
        setup=f"chmod 755 {SIGNED}/data.sh",
        act=f"{SIGNED}/data.sh",
        cleanup=f"chmod 644 {SIGNED}/data.sh",
        reason="not-granted",
        signed=f"{SIGNED}/script.sh",
    ),
    Attack(
        group=1,
        name="signed library made executable",
        setup=f"chmod 755 {SIGNED}/not-executable",
        act=f"{SIGNED}/not-executable",
        cleanup=f"chmod 644 {SIGNED}/not-executable",
        reason="wrong-use",
        signed=f"{SIGNED}/dynamic",
    ),
    Attack(group=2, name="script", act=f"{UNSIGNED}/script.sh", reason="no-digest"),
    Attack(
        group=2,
        name="unlisted script",
        act=f"{UNLISTED}/script.sh",
        reason="not-granted",
        signed=f"{SIGNED}/script.sh",
    ),
    Attack(
        group=2,
        name="signed script through an unsigned interpreter",
        act=f"{SIGNED}/through-unsigned.sh",
        reason="no-digest",
        signed=f"{SIGNED}/through-signed.sh",
    ),
    Attack(
        group=2,
        name="unsigned script through a signed interpreter",
        act=f"{UNSIGNED}/through-signed.sh",
        reason="no-digest",
    ),
    Attack(
        group=2,
        name="signed script through an unsigned script",
        act=f"{SIGNED}/nested-unsigned.sh",
        reason="no-digest",
        signed=f"{SIGNED}/nested-signed.sh",
    ),
    Attack(
        group=2,
        name="unsigned script through a signed script",
        act=f"{UNSIGNED}/nested-signed.sh",
        reason="no-digest",
    ),
)
