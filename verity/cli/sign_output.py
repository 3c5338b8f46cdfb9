# SPDX-License-Identifier: Apache-2.0
"""What the verbs of `verity sign` print: what a bundle would sign, and what became of it."""

from pathlib import Path

import click

from verity.cli import output, signing_options
from verity.cli.params import PATH
from verity.formats.sign_payloads import Opened
from verity.verbs import sign_bundles, sign_summary
from verity.verbs.sign_proof import Proven

paths_option = click.option(
    "--paths", "with_paths", is_flag=True, help="List every path, as its line in the manifest."
)
since_option = click.option(
    "--since",
    type=PATH,
    metavar="BUNDLE",
    help="Say what changed against this earlier bundle, which you kept when you signed it.",
)


def show(
    opened: Opened, *, as_json: bool, with_paths: bool = False, since: Path | None = None
) -> None:
    """The result of show, add and prepare."""
    changes = []
    if since is not None:
        changes = sign_summary.changes(opened, sign_bundles.load(since).opened)
    paths = sign_summary.listing(opened) if with_paths else []
    if as_json:
        for word, text in changes:
            output.record("change", {"what": word, "text": text})
        for line in paths:
            output.record("entry", {"line": line})
        output.record("bundle", sign_summary.as_record(opened))
        return
    for line in paths:
        output.line(line)
    for word, text in (*sign_summary.lines(opened), *changes):
        output.line(f"{word:9} {output.one_line(text)}")


def tell(opened: Opened) -> None:
    """The summary as messages, where the result is JSON and somebody is asked all the same."""
    for word, text in sign_summary.lines(opened):
        output.message(f"{word} {output.one_line(text)}")


def attached(opened: Opened, proven: Proven, *, as_json: bool) -> None:
    """The result of attach."""
    for key_id in proven.left_out:
        output.message(f"note: the signature by key {key_id} is left out: it doesn't count")
    for note in proven.notes:
        output.message(f"note: {note}")
    if as_json:
        record = sign_summary.as_record(opened)
        output.record(
            "attached",
            {
                **{name: record[name] for name in ("kind", "payload_sha256", "blob_sha256")},
                "signers": list(proven.key_ids),
                "left_out": list(proven.left_out),
            },
        )
        return
    for word, text in sign_summary.lines(opened):
        if word in ("commit", "what", "as"):
            output.line(f"{word:9} {output.one_line(text)}")
    output.line(f"by        {signing_options.by_keys(proven.key_ids)}")
