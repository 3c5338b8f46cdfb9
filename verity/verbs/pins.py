# SPDX-License-Identifier: Apache-2.0
"""A pin in a file: read, and held to the party for which it is given. It is trusted by nobody yet.

The root keys that a host's owner accepted; whoever names the file says by that that they count.
"""

from pathlib import Path

from verity.formats import kernel_keys
from verity.formats.grants import Party
from verity.formats.kernel_keys import Pin
from verity.ports.osfile import read_file
from verity.values.errors import CallerError, ContentError


def load(path: Path, party: Party) -> Pin:
    """Read a pin file, which must be of this party."""
    try:
        pin = kernel_keys.parse_pin(read_file(path, max_size=kernel_keys.MAX_SIZE))
    except ContentError as error:
        raise ContentError(
            error.code,
            f"{path}: {error.message}",
            hint=error.hint or "`verity lockdown pin` makes such a file",
        ) from error
    if pin.party is not party:
        raise CallerError(
            "wrong-party",
            f"{path}: a pin of the party {pin.party.name.lower()}, given for {party.name.lower()}",
        )
    return pin
