# SPDX-License-Identifier: Apache-2.0
"""Groups 8, 14 and 21: what the default policy only observes, and another one refuses to everybody.

The control is the same act under the default policy (test_acts.py).
"""

from ..attack import USER, Attack
from ..ground import TOOLS

_PIN = "/sys/fs/bpf/attack"


def _namespace(name: str, act: str, *, by: str | None = None) -> Attack:
    return Attack(
        group=14,
        name=f"user namespace by {name}",
        act=act,
        by=by,
        reason="user-namespace",
    )


def _program(name: str, act: str) -> Attack:
    return Attack(
        group=21,
        name=f"BPF program, {name}",
        act=f"{TOOLS}/interfere {act} {_PIN}",
        cleanup=f"rm -f {_PIN}",
        shows="ok",
        reason="bpf-program",
    )


ROWS = (
    _namespace("unshare", "unshare -U echo ran"),
    _namespace("clone", f"{TOOLS}/namespace"),
    _namespace("an ordinary user's unshare", "unshare -Ur echo ran", by=USER),
    _namespace("an ordinary user's clone", f"{TOOLS}/namespace", by=USER),
    _program("of a cgroup", "link"),
    _program("that watches sysctl", "watch"),
)

WORKING = (
    Attack(
        group=14,
        name="mount namespace where user namespaces are refused",
        act="unshare -m echo ran",
        reason="",
    ),
    Attack(
        group=21,
        name="classic filter where BPF programs are refused",
        act="systemd-run --wait --quiet --pipe -p SystemCallFilter=~@mount echo ran",
        reason="",
    ),
)
