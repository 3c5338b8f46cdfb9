# SPDX-License-Identifier: Apache-2.0
"""The account files of /etc: bytes -> what each line says, by name, without the secrets in it.

    passwd   name:password:uid:gid:comment:home:shell
    shadow   name:password:changed:min:max:warn:inactive:expires:
    group    name:password:gid:members
    gshadow  name:password:administrators:members
    subuid   name:first:count                          (subgid the same)

1. A password becomes its state (``empty``, ``locked``, ``set``) and the SHA-256 of the field, by
   which a change is seen. A field has a salt of its own, so that digest helps no guessing; it is
   shown nowhere all the same.
2. A line that is none of these is an item of its own, by its number: what a parser of libc makes of
   it nobody knows.

It judges nothing.
"""

import hashlib
from collections.abc import Iterator, Mapping

from verity.formats.escaped import readable

PASSWORD = "password"  # noqa: S105  # the name of a field
PASSWORD_DIGEST = "password-sha256"  # noqa: S105  # likewise

EMPTY, LOCKED, SET = "empty", "locked", "set"

_FIELDS = {
    "passwd": ("name", PASSWORD, "uid", "gid", "comment", "home", "shell"),
    "shadow": (
        *("name", PASSWORD, "last-change", "min-days", "max-days", "warn-days"),
        *("inactive-days", "expires", "reserved"),
    ),
    "group": ("name", PASSWORD, "gid", "members"),
    "gshadow": ("name", PASSWORD, "administrators", "members"),
    "subuid": ("name", "first", "count"),
    "subgid": ("name", "first", "count"),
}
FILES = {f"/etc/{name}".encode(): name for name in _FIELDS}
"""Which kind a file is, by its path on the host."""

Said = Mapping[str, Mapping[str, str]]


def parse(kind: str, data: bytes) -> Said:
    """Each item by name, with its fields as text. A name that is there again is ``NAME #2``."""
    found: dict[str, dict[str, str]] = {}
    for name, fields in _items(_FIELDS[kind], data):
        label, count = name, 1
        while label in found:
            count += 1
            label = f"{name} #{count}"
        found[label] = fields
    return found


def _items(names: tuple[str, ...], data: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        parts = line.split(b":")
        if len(parts) != len(names) or not parts[0]:
            digest = hashlib.sha256(line).hexdigest()
            yield f"line {number}", {"malformed": "yes", PASSWORD_DIGEST: digest}
            continue
        fields: dict[str, str] = {}
        for name, value in zip(names[1:], parts[1:], strict=True):
            if name == PASSWORD:
                fields |= _password(value)
            elif value:
                fields[name] = readable(value)
        yield readable(parts[0]), fields


def _password(value: bytes) -> dict[str, str]:
    if not value:
        return {PASSWORD: EMPTY}
    if value == b"x":
        return {}  # it is in the shadow file
    # crypt(3) never gives these: nobody can log in by a password.
    state = LOCKED if value.startswith((b"!", b"*")) else SET
    return {PASSWORD: state, PASSWORD_DIGEST: hashlib.sha256(value).hexdigest()}


def is_of_nis(name: str, *, taken: bool = False) -> bool:
    """Whether libc takes the line for one about accounts of NIS, and never for an account; with
    ``taken`` only where it takes them in. Its uid and password then say nothing."""
    return name.startswith("+") or (name.startswith("-") and not taken)


def is_uid_zero(text: str) -> bool:
    """Whether libc takes the text of a uid for 0; what is no number counts, too: some parsers give
    0 for it."""
    try:
        return int(text) % 2**32 == 0
    except ValueError:
        return True
