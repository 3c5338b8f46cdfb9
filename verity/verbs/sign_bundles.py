# SPDX-License-Identifier: Apache-2.0
"""Sign bundles as files: read whole, written whole, changed only by who read the last state."""

from dataclasses import dataclass
from pathlib import Path

from verity.formats import sign_bundle, sign_payloads
from verity.formats.sign_payloads import Opened
from verity.ports.exchange import exchange
from verity.ports.osfile import read_file, write_new_file
from verity.ports.serials import SerialRecord
from verity.values.errors import ContentError
from verity.verbs import sign_add, sign_serials

_MODE = 0o644


@dataclass(frozen=True, kw_only=True)
class BundleFile:
    """A bundle that was read from a file, and the bytes that were there."""

    path: Path
    data: bytes
    opened: Opened

    def replace(self, opened: Opened) -> None:
        """Write it back, if nobody did meanwhile."""
        exchange(self.path, sign_bundle.encode(opened.bundle), expected=self.data)


def load(path: Path) -> BundleFile:
    """Read a bundle and what it says.

    Raises ContentError if its parts contradict each other, or if a signature in it is not over
    the payloads as they are now.
    """
    from verity.verbs import sign_keyring  # all of keyrings, which who only writes doesn't need

    data = read_file(path, max_size=sign_bundle.MAX_SIZE)
    try:
        opened = sign_payloads.open_bundle(data)
        sign_keyring.check(opened)
        for signature in opened.bundle.signatures:
            sign_add.check_signature(opened.bundle, signature)
    except ContentError as error:
        raise ContentError(error.code, f"{path}: {error.message}", hint=error.hint) from error
    return BundleFile(path=path, data=data, opened=opened)


def write(path: Path, opened: Opened, *, reserved: SerialRecord | None = None) -> None:
    """Write a new bundle; nothing is overwritten. A serial reserved for it is given back then."""
    with sign_serials.given_back(reserved, opened):
        write_new_file(path, sign_bundle.encode(opened.bundle), mode=_MODE)
