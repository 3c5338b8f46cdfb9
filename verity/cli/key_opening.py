# SPDX-License-Identifier: Apache-2.0
"""How the command line opens keys: --passphrase-file, --allow-example-keys, and asking.

The one place that makes the KeyAccess of an invocation. Its options are stored with click's context
of that invocation and are no parameters of a verb: a verb is decorated, and calls `signer` or
`public_key` here, or hands `access()` down. Asked is only on a terminal.
"""

import getpass
import sys
from collections.abc import Callable, Container
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from verity.cli import output
from verity.cli.params import PATH
from verity.values.errors import CallerError

# A verb that may sign imports this at its start: what keys need is imported when one is opened.
if TYPE_CHECKING:
    from verity.ports.key_access import KeyAccess
    from verity.ports.keystore import SigningKey
    from verity.trust.keys import KeyAlgorithm, PublicKey

_META = "verity.keys."


def _kept(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    context.meta[f"{_META}{parameter.name}"] = value
    return value


example_option = click.option(
    "--allow-example-keys",
    is_flag=True,
    expose_value=False,
    callback=_kept,
    help="Take keys of keys-example/, too, whose private halves everybody has: for tests only.",
)
passphrase_option = click.option(
    "--passphrase-file",
    "passphrase_files",
    type=PATH,
    multiple=True,
    metavar="FILE",
    expose_value=False,
    callback=_kept,
    help="The passphrase of an encrypted private key, in a file of mode 0600; repeat it for keys"
    " with others. Without it, it is asked for on the terminal.",
)


def signing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every verb needs that signs."""
    return passphrase_option(example_option(command))


def signer_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--key for one signer, and how it is opened."""
    return click.option(
        "--key",
        "key_uri",
        required=True,
        metavar="KEY",
        help="Who signs: a path, file:PATH, pkcs11:... or a KMS.",
    )(signing_options(command))


def access() -> "KeyAccess":
    """How this invocation opens keys: by the options above, if the verb has them."""
    from verity.ports.key_access import KeyAccess

    meta = click.get_current_context().meta
    allowed = bool(meta.get(f"{_META}allow_example_keys"))
    if allowed and not meta.setdefault(f"{_META}warned", False):
        meta[f"{_META}warned"] = True
        output.message("warning: --allow-example-keys: what such a key signs, everybody can sign")
    return KeyAccess(
        ask=ask if sys.stdin.isatty() else None,
        passphrase_files=meta.get(f"{_META}passphrase_files", ()),
        allow_example_keys=allowed,
    )


def signer(uri: str, *, algorithms: "Container[KeyAlgorithm] | None" = None) -> "SigningKey":
    """Open a signer, by default of what the kernel verifies."""
    from verity.ports import keystore

    more = {} if algorithms is None else {"algorithms": algorithms}
    return keystore.load_signer(uri, access(), **more)


def public_key(path: Path) -> "PublicKey":
    """Read a public key whose signatures are going to count."""
    from verity.ports import key_access  # without all that opens a private one

    return key_access.load_public(path, access())


def new_passphrase(encrypt: bool) -> bytes | None:
    """The passphrase for a new key: from the file, or asked twice. None without --encrypt."""
    from verity.ports.key_access import read_secret, usable_secret

    paths = access().passphrase_files
    if not encrypt:
        if paths:
            raise CallerError("bad-arguments", "--passphrase-file without --encrypt does nothing")
        return None
    if len(paths) > 1:
        raise CallerError("bad-arguments", "a new key has one passphrase: one --passphrase-file")
    if paths:
        return read_secret(paths[0], what="passphrase")
    if not sys.stdin.isatty():
        raise CallerError(
            "bad-arguments",
            "--encrypt: there is no terminal to ask for a passphrase",
            hint="--passphrase-file FILE, of mode 0600",
        )
    first = ask("new passphrase")
    if ask("the same again") != first:
        raise CallerError("bad-secret", "the two passphrases differ", hint="nothing was written")
    return usable_secret(first.encode(), label="the passphrase")


def ask(what: str) -> str:
    """A secret from the terminal, which doesn't show it."""
    try:
        return getpass.getpass(f"{output.one_line(what)}: ")
    except EOFError as error:
        raise CallerError("bad-secret", "no secret was typed") from error
    except UnicodeDecodeError:  # whose text quotes what was typed
        raise CallerError(
            "bad-secret", "what was typed is no text in the terminal's encoding"
        ) from None
