# SPDX-License-Identifier: Apache-2.0
"""How keys may be opened: where a passphrase or a PIN comes from, and whether examples count.

One value, made by the command line and handed down. Without any of it nothing is asked, an
encrypted key can't be opened, and the keys of keys-example/ are refused. A secret is read from a
file that only its owner can read, or by a function that the caller passes; it is never part of an
argument, a variable of the environment, a message or the text of a value.
"""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from verity.ports.osfile import read_file
from verity.trust import example_keys
from verity.trust.keys import MAX_KEY_FILE, PublicKey, parse_public_key
from verity.values.errors import CallerError, ContentError, HostError

MAX_SECRET = 1023  # the longest that the cryptography library takes


@dataclass(frozen=True, kw_only=True)
class KeyAccess:
    """What opening a key may use.

    ``ask`` is given what it is about ("passphrase of vendor.pem") and returns the secret; None if
    there is nobody to ask. Of several passphrase files each encrypted key takes the one that opens
    it.
    """

    ask: Callable[[str], str] | None = None
    passphrase_files: tuple[Path, ...] = ()
    allow_example_keys: bool = False

    def passphrases(self, path: Path) -> Iterator[bytes]:
        """What may be the passphrase of a key file; HostError (``key-encrypted``) without any."""
        if self.passphrase_files:
            for file in self.passphrase_files:
                yield read_secret(file, what="passphrase")
            return
        if self.ask is None:
            raise HostError(
                "key-encrypted",
                f"{path}: the private key is encrypted, and there is no terminal to ask for its"
                " passphrase",
                hint="--passphrase-file FILE, or run it on a terminal",
            )
        yield usable_secret(self.ask(f"passphrase of {path}").encode(), label="the passphrase")

    def admit(self, key: PublicKey, *, label: str) -> PublicKey:
        """The key, unless it is one of keys-example/ (ContentError, ``example-key``)."""
        if not self.allow_example_keys:
            example_keys.refuse([key.key_id], label=label)
        return key


STRICT = KeyAccess()


def load_public(path: Path, access: KeyAccess = STRICT) -> PublicKey:
    """Read a public key file whose signatures are going to count.

    Raises HostError, ContentError (``bad-key``, ``example-key``).
    """
    key = parse_public_key(read_file(path, max_size=MAX_KEY_FILE), label=str(path))
    return access.admit(key, label=str(path))


def read_secret(path: Path, *, what: str) -> bytes:
    """The secret in a file: all of it but for one newline at its end.

    Raises HostError (``secret-exposed`` if others can read or change it, or the file can't be
    read), ContentError (``bad-secret``), CallerError for ``-``.
    """
    if str(path) == "-":
        raise CallerError(
            "bad-arguments",
            f"the {what} can't come from standard input",
            hint="name a file of mode 0600, or leave the option out and be asked",
        )
    modes: list[int] = []
    data = read_file(path, max_size=MAX_SECRET + 1, see_mode=modes.append)
    if modes[0] & 0o077:
        raise HostError(
            "secret-exposed",
            f"{path}: the {what} has mode {stat.S_IMODE(modes[0]):04o}, expected 0600: others can"
            " read or change it",
            hint=f"chmod 600 {path}; if others could read it, change the {what}",
        )
    return usable_secret(data.removesuffix(b"\n"), label=str(path))


def usable_secret(secret: bytes, *, label: str) -> bytes:
    """The secret, if it is one line that isn't empty."""
    if not secret or len(secret) > MAX_SECRET or b"\n" in secret or b"\0" in secret:
        raise ContentError(
            "bad-secret",
            f"{label}: expected one line of 1 to {MAX_SECRET} bytes",
            hint="the secret is the whole line, without the newline at its end",
        )
    return secret
