# SPDX-License-Identifier: Apache-2.0
"""The host's own /etc signed as it is, with fs-verity on it, for who makes a host ready.

`etc sign` and `etc apply`, one behind the other, and the grants for the boot bundle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle
from verity.formats.grants import Role
from verity.formats.records import Fragment
from verity.ports.keystore import SigningKey
from verity.values.errors import HostError
from verity.verbs import etc_apply, etc_sign
from verity.verbs.etc_intent import Host
from verity.verbs.keyring_trust import Keyrings
from verity.verbs.sign_prepare import Spot


@dataclass(frozen=True, kw_only=True)
class SignedEtc:
    """The grants of /etc, and what was found. ``ungranted``: paths that no grant has room for."""

    fragment: Fragment
    serial: int
    files: int
    ungranted: tuple[bytes, ...]
    plain: tuple[tuple[bytes, str], ...]


def sign(root: Path, spot: Spot, keys: Sequence[SigningKey], keyrings: Keyrings) -> SignedEtc:
    """Sign /etc as it is, make it the intent, and turn fs-verity on for what is granted."""
    host = Host.at(root, None)
    prepared, _ = etc_sign.sign(spot, host, (), keys)
    applied = etc_apply.apply(host, keyrings.trusted(Role.ETC, spot.stream), None)
    if applied.wrong:
        raise HostError(
            "changed",
            f"{root / 'etc'}: {len(applied.wrong)} files differ from what was signed a moment ago",
            hint="something writes there: try again",
        )
    serial = host.state.must_current()
    stored = host.state.load(serial)
    return SignedEtc(
        fragment=bundle.parse_fragment(stored.grants, label="grants of /etc"),
        serial=serial,
        files=sum(prepared.classes.values()),
        ungranted=prepared.ungranted,
        plain=applied.protected.failed,
    )
