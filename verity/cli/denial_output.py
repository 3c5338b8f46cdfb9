# SPDX-License-Identifier: Apache-2.0
"""A denial of the gate as every verb names and prints it: a line for people, fields for JSON."""

from typing import TYPE_CHECKING, Any

import click

from verity.cli import output

# `explain` of a chain, which has an option for this, needs nothing of the gate.
if TYPE_CHECKING:
    from verity.formats.gate_status import Denial

LAST = "last"


class _Denial(click.ParamType[int | str]):
    """The number of a denial, or the word ``last``."""

    name = "denial"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        text = str(value)
        if text == LAST:
            return text
        if not (text.isascii() and text.isdigit() and len(text) <= 20):
            self.fail(f"{text[:40]!r} is neither a number nor '{LAST}'.", param, ctx)
        return int(text)


DENIAL = _Denial()


def denial_line(denial: "Denial") -> str:
    """One denial for people."""
    seconds = f"{denial.boot_ms // 1000}.{denial.boot_ms % 1000:03}"
    what = "" if denial.path is None else f" {output.shown(denial.path)}"
    digest = "" if denial.digest is None else f" sha256:{denial.digest.hex()}"
    return (
        f"{denial.seq} {seconds}s {denial.outcome} {denial.reason} {denial.act}"
        f" uid {denial.uid} pid {denial.pid} {output.shown(denial.comm) or '?'}{what}{digest}"
    )


def denial_fields(denial: "Denial") -> dict[str, Any]:
    """One denial for JSON; names that aren't UTF-8 are in base64."""
    return {
        "seq": denial.seq,
        "boot_ms": denial.boot_ms,
        "denied": denial.denied,
        "unlocked": denial.unlocked,
        "reason": denial.reason.value,
        "act": denial.act.value,
        "uid": denial.uid,
        "pid": denial.pid,
        **output.path_fields(denial.comm, "comm"),
        "digest": None if denial.digest is None else f"sha256:{denial.digest.hex()}",
        **({"path": None} if denial.path is None else output.path_fields(denial.path)),
    }
