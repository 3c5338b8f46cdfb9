# SPDX-License-Identifier: Apache-2.0
"""An operator's own list of hosts, TOML bytes -> values: whose id is whose name.

    [hosts.c3c3...]                  # the host id, 64 hex digits
    name = "db7"
    owners = 2                       # so many have to sign; 1 if it doesn't say

The name is the operator's, never what a host says of itself: by it they know what they open. Names
and ids are there once each, and there is no field that this module doesn't know.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from verity.formats.records import MAX_SIGNATURES
from verity.values.errors import ContentError

MAX_SIZE = 2**20
_ID = re.compile(r"[0-9a-f]{64}")
_MAX_NAME = 100


@dataclass(frozen=True, kw_only=True)
class KnownHost:
    """What its operator calls it, and how many owners unlock it; or that they don't know it."""

    name: str
    owners: int = 1
    is_unknown: bool = False


def parse(data: bytes) -> Mapping[bytes, KnownHost]:
    """The hosts by their ids. Raises ContentError (``bad-inventory``)."""
    try:
        top = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        _refuse(f"not TOML: {error}")
    if set(top) != {"hosts"} or not isinstance(top["hosts"], dict) or not top["hosts"]:
        _refuse("expected tables [hosts.ID] and nothing else")
    found: dict[bytes, KnownHost] = {}
    names: set[str] = set()
    for text, fields in top["hosts"].items():
        if not _ID.fullmatch(text):
            _refuse(f"{text[:80]!r} is no host id of 64 lower-case hex digits")
        host = _host(text, fields)
        if host.name in names:
            _refuse(f"two hosts have the name {host.name!r}")
        names.add(host.name)
        found[bytes.fromhex(text)] = host
    return found


def _host(text: str, fields: Any) -> KnownHost:
    if not isinstance(fields, dict) or not {"name"} <= set(fields) <= {"name", "owners"}:
        _refuse(f"host {text[:16]}...: expected name and owners, and nothing else")
    name, owners = fields["name"], fields.get("owners", 1)
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _MAX_NAME:
        _refuse(f"host {text[:16]}...: its name is not 1 to {_MAX_NAME} printable characters")
    if type(owners) is not int or not 1 <= owners <= MAX_SIGNATURES:
        _refuse(f"host {text[:16]}...: owners is not 1 to {MAX_SIGNATURES}")
    return KnownHost(name=name, owners=owners)


def _refuse(reason: str) -> NoReturn:
    raise ContentError(
        "bad-inventory",
        f"inventory: {reason}",
        hint='[hosts.ID] with name = "..."; `verity unlock challenge` shows a host\'s id',
    )
