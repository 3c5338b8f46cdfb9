# SPDX-License-Identifier: Apache-2.0
"""Denials of a gate for tests: values, and the lines in which the gate prints them."""

from typing import Any

from verity.formats.escaped import escape
from verity.formats.gate_status import Act, Denial, Reason

_USUAL: dict[str, Any] = {
    "denied": True,
    "reason": Reason.NOT_GRANTED,
    "act": Act.EXEC,
    "uid": 0,
    "pid": 813,
    "comm": b"tool",
    "digest": bytes(range(32)),
    "path": b"/opt/tool",
}


def denial(seq: int, **changes: Any) -> Denial:
    """A denial of this number."""
    return Denial(**{"seq": seq, "boot_ms": 10_000 + seq, **_USUAL, **changes})


def line(one: Denial) -> str:
    """The gate's line for it."""
    digest = "-" if one.digest is None else one.digest.hex()
    names = [b"-" if not name else escape(name) for name in (one.comm, one.path)]
    return (
        f"{one.seq} {one.boot_ms} {'denied' if one.denied else 'observed'} {one.reason} {one.act}"
        f" {one.uid} {one.pid} {names[0].decode()} {digest} {names[1].decode()}\n"
    )


def text(*several: Denial) -> str:
    """The gate's text."""
    return "".join(map(line, several))
