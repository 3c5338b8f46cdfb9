# SPDX-License-Identifier: Apache-2.0
"""keyring init --solo: every key of one person, a keyring and its pin, as one new directory.

For a machine that one person owns. Every threshold is one, and until the root key is carried away
whoever reads this directory can sign as every role: the caller says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from verity.formats import kernel_keys, keyring
from verity.formats.grants import Party, Role
from verity.ports import key_files, keystore
from verity.ports.keyring_files import PINS
from verity.ports.osfile import new_directory, write_new_file
from verity.trust.keyring import pin_of
from verity.verbs import keyring_change, keyring_make
from verity.verbs.keyring_change import NewKey, Rules, Times
from verity.verbs.keyring_versions import Published

OWNER = "owner"
PRIVATE = "private"
KEYRINGS = "keyrings"


@dataclass(frozen=True, kw_only=True)
class Solo:
    """What was made: the version, the pin, and the private keys by role, below the directory."""

    published: Published
    pin: Path
    private: Mapping[Role, Path]


def make(directory: Path, party: Party, times: Times) -> Solo:
    """Make ``private/PARTY-ROLE.pem`` for each role, ``keyrings/PARTY/1.*`` and ``PARTY.pin``.

    All of it or nothing.
    """
    name = party.name.lower()
    roles = sorted({Role.ROOT, *keyring.RIGHTS[party]})
    with new_directory(directory) as there:
        (there / PRIVATE).mkdir(mode=0o700)
        files = {role: Path(PRIVATE, f"{name}-{role.name.lower()}.pem") for role in roles}
        for file in files.values():
            key_files.generate(there / file)
        signers = {role: keystore.load_signer(str(there / files[role])) for role in roles}
        value = keyring_change.first(
            party,
            [NewKey(role=role, key=signers[role].public, owner=OWNER) for role in roles],
            Rules(
                thresholds={},
                streams={role: ("*",) for role in roles if role in keyring.STREAM_ROLES},
            ),
            times,
        )
        published = keyring_make.init(there / KEYRINGS, party, value, [signers[Role.ROOT]])
        pin = Path(PINS[party].name)
        write_new_file(there / pin, kernel_keys.encode_pin(pin_of(value)), mode=0o644)
    return Solo(
        published=replace(published, path=directory / published.path.relative_to(there)),
        pin=directory / pin,
        private={role: directory / file for role, file in files.items()},
    )
