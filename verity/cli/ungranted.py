# SPDX-License-Identifier: Apache-2.0
"""Configuration that is signed and that no grants have room for, as verbs that sign say it."""

from collections.abc import Sequence

from verity.cli import output

_MOST = 5


def show(paths: Sequence[bytes], *, as_json: bool) -> None:
    """Each path for JSON; for people a note with the first, and what would exempt them."""
    if as_json:
        for path in paths:
            output.record("ungranted", output.path_fields(path))
        return
    if not paths:
        return
    output.message(
        f"note: {len(paths)} files are signed and not granted, because the gate's table has no"
        f" room for their path or link target; the first is {output.shown(paths[0])}"
    )
    from verity.formats.grant_config import exempting  # who has nothing to say needs none of it

    found = exempting(paths)
    for one in found[:_MOST]:
        first = output.shown(one.paths[0])
        more = f" and {len(one.paths) - 1} beside it" if len(one.paths) > 1 else ""
        output.message(
            f"note: privileged programs are refused {first}{more} by a sealed gate, unless a"
            f" drop-in says {one.line or 'so of a directory above it'} (docs/guides/policy.md)"
        )
    if len(found) > _MOST:
        output.message(f"note: the same in {len(found) - _MOST} more directories")
