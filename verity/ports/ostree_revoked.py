# SPDX-License-Identifier: Apache-2.0
"""The keys that a host's ostree counts as revoked, and key files in its forms.

ostree looks for ``revoked.ENGINE`` and ``revoked.ENGINE.d/*`` in /etc/ostree and
/usr/share/ostree. Here all that are there count, and one that can't be read is an error: stock
ostree passes over it, so that a revocation could be lost to a wrong mode.
"""

from pathlib import Path

from verity.ports.osfile import read_file, read_if_there, translate_oserror
from verity.trust.keys import MAX_KEY_FILE, PublicKey
from verity.trust.native import Engine, parse_keys

_DIRECTORIES = ("etc/ostree", "usr/share/ostree")
_ENGINES = (Engine.ED25519, Engine.SPKI)


def load_keys(path: Path) -> tuple[PublicKey, ...]:
    """The keys in a file: PEM, or base64 a line as in trusted.ed25519."""
    return parse_keys(read_file(path, max_size=MAX_KEY_FILE), label=str(path))


def of_host(root: Path) -> tuple[PublicKey, ...]:
    """Every key that the ostree of the host below ``root`` must not accept."""
    found: list[PublicKey] = []
    for directory in _DIRECTORIES:
        for engine in _ENGINES:
            name = f"revoked.{engine}"
            for path in (root / directory / name, *_listed(root / directory / f"{name}.d")):
                found += _keys_if_any(path)
    return tuple(found)


def _keys_if_any(path: Path) -> tuple[PublicKey, ...]:
    """No file and an empty one revoke nothing; everything else must be a list of keys."""
    data = read_if_there(path, max_size=MAX_KEY_FILE)
    if data is None:
        return ()
    return parse_keys(data, label=str(path)) if data.strip() else ()


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise translate_oserror(error, str(directory)) from error
