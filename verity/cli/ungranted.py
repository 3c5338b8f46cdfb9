# SPDX-License-Identifier: Apache-2.0
"""Configuration that is signed and that no grants have room for, as verbs that sign say it."""

from collections.abc import Sequence

from verity.cli import output


def show(paths: Sequence[bytes], *, as_json: bool) -> None:
    """Each path for JSON; for people one note with the first of them."""
    if as_json:
        for path in paths:
            output.record("ungranted", output.path_fields(path))
    elif paths:
        output.message(
            f"note: {len(paths)} files are signed and not granted, because the gate's table has no"
            f" room for their path or link target; the first is {output.shown(paths[0])}"
        )
