# SPDX-License-Identifier: Apache-2.0
"""Options about OSTree's own signatures, and how they are shown."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from verity.cli import key_opening, output
from verity.cli.params import PATH

# Starting a command costs what it imports: what these options need is imported where they are used.
if TYPE_CHECKING:
    from verity.ports.keystore import SigningKey
    from verity.trust.native import NativeSignature
    from verity.verbs.native_signatures import NativeTrust

ostree_sign_option = click.option(
    "--ostree-sign",
    multiple=True,
    metavar="KEY",
    help="Sign for stock ostree, too, with an Ed25519 key or (spki) P-256 or RSA; repeatable.",
)


def native_signers(uris: Sequence[str]) -> "list[SigningKey]":
    """Open the signers of --ostree-sign."""
    from verity.trust.keys import KeyAlgorithm

    return [key_opening.signer(uri, algorithms=tuple(KeyAlgorithm)) for uri in uris]


def native_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--ostree-key, --ostree-revoked and --gpg-keyring: whose signatures of ostree's are shown."""
    for option in (
        click.option(
            "--gpg-keyring",
            type=PATH,
            metavar="FILE",
            help="OpenPGP keys, one of which must have signed for stock ostree.",
        ),
        click.option(
            "--ostree-revoked",
            type=PATH,
            multiple=True,
            metavar="FILE",
            help="Keys that are never good, as in revoked.ed25519; those below --root count, too.",
        ),
        click.option(
            "--ostree-key",
            type=PATH,
            multiple=True,
            metavar="FILE.pub",
            help="A key, one of which must have signed for stock ostree (ed25519, spki): PEM, or as"
            " in trusted.ed25519.",
        ),
    ):
        command = option(command)
    return command


def native_trust(
    keys: Sequence[Path],
    revoked: Sequence[Path],
    gpg_keyring: Path | None,
    root: Path,
) -> "NativeTrust":
    """What those options say. Without a key to look for, no list of revoked ones is read."""
    from verity.ports import ostree_revoked
    from verity.verbs.native_signatures import NativeTrust

    if not keys:
        return NativeTrust(gpg_keyring=gpg_keyring)
    access = key_opening.access()
    never = [key for path in revoked for key in ostree_revoked.load_keys(path)]
    return NativeTrust(
        keys=tuple(
            access.admit(key, label=str(path))
            for path in keys
            for key in ostree_revoked.load_keys(path)
        ),
        gpg_keyring=gpg_keyring,
        revoked=(*never, *ostree_revoked.of_host(root)),
    )


def show(judged: "Sequence[NativeSignature]", *, as_json: bool) -> None:
    """A line for each signature."""
    for one in judged:
        if as_json:
            output.record(
                "ostree-signature",
                {name: getattr(one, name) for name in one.__dataclass_fields__},
            )
            continue
        output.line(
            f"ostree signature  {one.engine} {one.number}: {one.verdict}"
            + (f", by {one.by}" if one.by else "")
            + (f" ({output.one_line(one.detail)})" if one.detail else "")
        )
