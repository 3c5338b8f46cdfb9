# SPDX-License-Identifier: Apache-2.0
"""Whose signatures count in an audit: --key, or --pin and --keyring, or what this host says.

What the auditor names and can't be used ends the audit; what this host has, and can't be used, is
a result of it. The keyrings and pins are always those of the host that runs the audit, never of a
tree that is looked at, which can't say whom to trust.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from verity.cli import key_opening, trust_options
from verity.formats.grants import Party, Role
from verity.values.errors import CallerError, VerityError
from verity.verbs.audit_host import Roots

if TYPE_CHECKING:
    from verity.trust.keyring import PinPrint
    from verity.trust.trusted import TrustedSet


def roots(keys: tuple[Path, ...], threshold: int) -> Roots:
    """The roots of this invocation."""
    allow = key_opening.access().allow_example_keys
    if keys:
        trusted = trust_options.trusted_set(keys, threshold)
        return Roots(
            of=lambda role, party: replace(trusted, role=role, party=party),
            names=tuple(f"key {one.key.key_id}" for one in trusted.keys),
            given=True,
            allow_example_keys=allow,
        )
    return _of_keyrings(allow_example_keys=allow)


def _of_keyrings(*, allow_example_keys: bool) -> Roots:
    from verity.verbs import keyring_trust  # here: with --key none of it is needed

    given = trust_options.pins()
    try:
        keyrings = trust_options.host_keyrings()
        pins = given or keyring_trust.host_pins(Path("/"))
    except CallerError:
        raise
    except VerityError as error:
        if trust_options.keyring_named():
            raise

        def nobody(role: Role, party: Party, error: VerityError = error) -> "TrustedSet":
            raise error

        return Roots(of=nobody, given=bool(given), names=_names(given), unknown=error)
    return Roots(
        of=lambda role, party: keyrings.trusted(role, party=party),
        names=_names(pins),
        given=bool(given),
        keyrings=keyrings,
        pins=pins,
        allow_example_keys=allow_example_keys,
    )


def _names(pins: "Mapping[Party, PinPrint]") -> tuple[str, ...]:
    return tuple(
        f"{party.name.lower()} sha256:{one.fingerprint}" for party, one in sorted(pins.items())
    )
