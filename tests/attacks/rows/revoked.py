# SPDX-License-Identifier: Apache-2.0
"""Group 15: what was granted once. The vendor revoked the digests of one folder, and the serial in
which the other was granted."""

from ..attack import USER, Attack
from ..ground import RETIRED, REVOKED, SIGNED, WORK

_COPY = f"{WORK}/copy"


def _again(name: str, parameter: str) -> Attack:
    """The contents of a revoked program under another digest: enabled anew, and nothing cached."""
    return Attack(
        group=15,
        name=f"revoked contents with {name}",
        setup=f"cp {REVOKED}/program {_COPY} && fsverity enable {parameter} {_COPY} && sync {_COPY}"
        f" && dd if={_COPY} iflag=nocache count=0 && : <{_COPY}",
        act=_COPY,
        cleanup=f"rm {_COPY}",
        reason="not-granted",
        signed=f"{SIGNED}/program",
    )


ROWS = (
    Attack(
        group=15,
        name="revoked program",
        act=f"{REVOKED}/program",
        reason="revoked",
        signed=f"{SIGNED}/program",
    ),
    Attack(
        group=15,
        name="revoked script",
        act=f"{REVOKED}/script.sh",
        reason="revoked",
        signed=f"{SIGNED}/script.sh",
    ),
    Attack(
        group=15,
        name="revoked library",
        act=f"LD_PRELOAD={REVOKED}/library.so {SIGNED}/dynamic",
        shows="ran revoked library",
        reason="revoked",
        signed=f"LD_PRELOAD={SIGNED}/library.so {SIGNED}/dynamic | sed s/signed/revoked/",
    ),
    Attack(
        group=15,
        name="revoked set-uid",
        act=f"{REVOKED}/setuid",
        shows=" euid=0 ",
        by=USER,
        reason="revoked",
        signed=f"{SIGNED}/setuid",
    ),
    Attack(
        group=15,
        name="revoked file capability",
        act=f"{REVOKED}/capable",
        shows=" caps=000002000",
        by=USER,
        reason="revoked",
        signed=f"{SIGNED}/capable",
    ),
    Attack(
        group=15,
        name="revoked serial",
        act=f"{RETIRED}/program",
        reason="revoked",
        signed=f"{SIGNED}/program",
    ),
    Attack(
        group=15,
        name="set-uid of a revoked serial",
        act=f"{RETIRED}/setuid",
        shows=" euid=0 ",
        by=USER,
        reason="revoked",
        signed=f"{SIGNED}/setuid",
    ),
    _again("another salt", "--salt=5a"),
    _again("another block size", "--block-size=1024"),
)
