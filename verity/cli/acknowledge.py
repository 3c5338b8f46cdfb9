# SPDX-License-Identifier: Apache-2.0
"""verity acknowledge: what programs of the host wrote is as it should be, says its owner."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from verity.cli import key_opening, output, signing_options
from verity.cli.params import PATH

if TYPE_CHECKING:
    from verity.verbs.acknowledge import Changes


@click.command(epilog="Example: verity acknowledge --key etc.pem")
@click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    show_default=True,
    metavar="DIR",
    help="The root of the host.",
)
@click.option(
    "--key",
    "key_uris",
    multiple=True,
    metavar="KEY",
    help="Who signs the record, of the owner's role etc: a path, file:PATH, pkcs11:... or a KMS;"
    " repeat it for more. Without one, every audit says that nobody signed it.",
)
@key_opening.signing_options
@click.option("--dry-run", is_flag=True, help="Only say what changed; write nothing.")
@output.json_option
def acknowledge(root: Path, key_uris: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Take what programs wrote as it is, for audits to compare with.

    That is what lies in the places of the classes mutable and produced: accounts, crontabs,
    generated and transient units, and the like. It says what changed since the last time, and
    replaces the record in /var/lib/verity/acknowledged. No password and no digest of one is shown.
    """
    from verity.verbs import acknowledge as verb

    changes = verb.look(root, now=int(time.time()), live=root == Path("/"))
    _print_changes(changes, as_json=as_json)
    ids: tuple[str, ...] = ()
    if not dry_run:
        ids = verb.write(root, changes, signing_options.signers(key_uris))
    if as_json:
        fields = {
            "files": len(changes.record.files),
            "changed": len(changes.words),
            "first": changes.first,
            "signed_by": list(ids),
            "dry_run": dry_run,
        }
        output.record("acknowledged", fields)
        return 0
    said = "would be acknowledged" if dry_run else "acknowledged"
    by = signing_options.by_keys(ids) if ids else "nobody: `--key` signs it"
    output.line(
        f"{said}: {len(changes.record.files)} files"
        + (", for the first time" if changes.first else f", {len(changes.words)} of them changed")
        + ("" if dry_run else f"; signed by {by}")
    )
    return 0


def _print_changes(changes: "Changes", *, as_json: bool) -> None:
    if changes.why_first:
        output.message(f"note: {output.one_line(changes.why_first)}; it is replaced")
    if changes.first and not as_json:
        return  # everything is new
    for path, words in changes.words:
        if as_json:
            output.record("change", {**output.path_fields(path), "words": list(words)})
            continue
        for text in words:
            output.line(f"{output.shown(path)}: {output.one_line(text)}")
