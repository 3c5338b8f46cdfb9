# SPDX-License-Identifier: Apache-2.0
"""What `lockdown init` is to make, and with whose keys: values for its steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats.grants import Party
from verity.formats.policy import Profile
from verity.ports.keystore import SigningKey

Say = Callable[[str], None]
"""Hears what is being done."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Who signs: by role, one or more keys each. ``os`` is empty where a vendor does it."""

    os: Sequence[SigningKey]
    policy: Sequence[SigningKey]
    etc: Sequence[SigningKey]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be made. ``keyrings`` are directories that hold PARTY/N.keyring.json, by party;
    ``pins`` the fingerprints that the owner has confirmed. Without a ``profile`` it is that of the
    policy that is installed, or else the standard one."""

    root: Path
    keyrings: Mapping[Party, Path]
    pins: Mapping[Party, str]
    self_vendor: bool
    times: tuple[int, int]
    profile: Profile | None = None
    allow_example_keys: bool = False
