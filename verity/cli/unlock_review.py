# SPDX-License-Identifier: Apache-2.0
"""verity unlock review: what ran and what changed under an unlock."""

import time
from pathlib import Path

import click

from verity.cli import output, unlock_options
from verity.verbs import unlock_host, unlock_words
from verity.verbs import unlock_review as reviews

_LIMIT = (
    "what was changed back, and what a clock that was set hides, is not seen; `verity audit`"
    " compares all files with what is signed"
)


@click.command(epilog="Example: verity unlock review --json")
@unlock_options.root_option
@output.json_option
@click.argument("token_id", metavar="[ID]", required=False)
def review(root: Path, as_json: bool, token_id: str | None) -> int:
    """List what ran and what changed under an unlock: the last one, or the one of this ID.

    What the gate let through because of it; the processes that still run and have such a file, or
    were started with privileges meanwhile, for only a session's end with it; and the files at the
    places that it opened whose inodes changed. Each line says how to keep it and how to undo it.
    """
    found = unlock_options.token_id_of(token_id)
    host = unlock_host.look(root, int(time.time()))
    one = reviews.chosen(host, found)
    items, gaps = reviews.review(host, one)
    for item in items:
        if as_json:
            fields = {} if item.path is None else output.path_fields(item.path)
            more = {"detail": item.detail, "keep": item.keep, "undo": item.undo}
            output.record("item", {"what": item.what, **fields, **more})
            continue
        path = "" if item.path is None else output.shown(item.path)
        output.line(" ".join(filter(None, (f"{item.what:11}", path, item.detail))))
        for word, text in (("keep", item.keep), ("undo", item.undo)):
            if text:
                output.line(f"{'':11} {word}: {text}")
    for gap in gaps:
        if as_json:
            output.record("not-evaluated", {"object": gap.object, "why": gap.why})
        else:
            output.line(f"NOT EVALUATED  {gap.object}: {output.one_line(gap.why)}")
    opened = unlock_words.what(one.scope, one.operand)
    if as_json:
        counts = {"items": len(items), "not_evaluated": len(gaps)}
        output.record("review", {"token": one.token_id.hex(), **counts})
    else:
        output.line(f"{len(items)} things under the unlock {one.token_id.hex()} ({opened})")
    output.message(f"note: {_LIMIT}")
    return 3 if gaps else 0
