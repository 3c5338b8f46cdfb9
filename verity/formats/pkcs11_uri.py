# SPDX-License-Identifier: Apache-2.0
"""PKCS#11 URIs (RFC 7512) that name one key: parsed strictly, without opening anything.

Rules: an attribute at most once; one that isn't known is refused, as the RFC wants, because to
leave it out would name other objects; `object` or `id` must be there. `pin-value` is refused: an
argument is seen by every process of the host. Messages never quote the value of an attribute.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from verity.values.errors import CallerError

SCHEME = "pkcs11:"
MAX_LENGTH = 4096

_TEXT = {"token", "serial", "manufacturer", "model", "object"}
_PATH = _TEXT | {"id", "type"}
_QUERY = {"module-path", "pin-source"}
# pchar of RFC 3986 but for what separates, and `/` and `?` of a query. Percent signs in pairs.
_VALUE = re.compile(r"(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9._~!$'()*+,=:@\[\]/?-])*")


@dataclass(frozen=True, kw_only=True)
class Pkcs11Uri:
    """Which key on which token by which module. None: not said."""

    token: str | None = None
    serial: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    object: str | None = None
    id: bytes | None = None
    module_path: str | None = None
    pin_file: str | None = None

    def __str__(self) -> str:
        """For messages: the key and its token, nothing about PINs."""
        said = {"token": self.token, "serial": self.serial, "object": self.object}
        words = [f"{name}={value}" for name, value in said.items() if value is not None]
        if self.id is not None:
            words.append(f"id={self.id.hex()}")
        return SCHEME + ";".join(words)


def is_one(uri: str) -> bool:
    """Whether it has this scheme, which is so in any case."""
    return uri[: len(SCHEME)].lower() == SCHEME


def parse(uri: str) -> Pkcs11Uri:
    """Read a URI of this scheme. Raises CallerError (``bad-uri``, ``secret-in-argument``)."""
    path, _, query = uri[len(SCHEME) :].partition("?")
    # First of all, and whatever else is wrong: it must not be used.
    if "pin-value" in uri.lower():
        raise CallerError(
            "secret-in-argument",
            "pkcs11: pin-value puts the PIN where every process of this host can read it",
            hint="pin-source=file:/path of a file of mode 0600, or be asked; and change this PIN",
        )
    if len(uri) > MAX_LENGTH:
        raise _bad(f"{len(uri)} characters, at most {MAX_LENGTH} are taken")
    found = {**_attributes(path, ";", _PATH), **_attributes(query, "&", _QUERY)}
    if found.pop("type", b"private") != b"private":
        raise _bad("a key that signs has the type private")
    if "object" not in found and "id" not in found:
        raise _bad("neither object nor id names a key")
    identity = found.pop("id", None)
    texts = {name: _text(name, value) for name, value in found.items()}
    module, source = texts.pop("module-path", None), texts.pop("pin-source", None)
    if module is not None and not module.startswith("/"):
        raise _bad("module-path: expected an absolute path, because its code is run")
    return Pkcs11Uri(
        **texts,
        id=identity,
        module_path=module,
        pin_file=None if source is None else _pin_file(source),
    )


def _attributes(text: str, separator: str, known: set[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for number, part in enumerate(text.split(separator) if text else (), 1):
        name, equals, value = part.partition("=")
        if not equals or name not in known:
            # Not quoted: what is in a wrong place may be a PIN.
            raise _bad(
                f"attribute {number} {'before' if separator == ';' else 'after'} the ? is none of"
                f" {', '.join(sorted(known))}"
            )
        if name in found:
            raise _bad(f"the attribute {name} is there twice")
        if not value or not _VALUE.fullmatch(value):
            raise _bad(f"{name}: the value is empty, or has a character that must be written %HH")
        found[name] = unquote_to_bytes(value)
    return found


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad(f"{name}: not UTF-8") from error
    if "\0" in text:
        raise _bad(f"{name}: has a NUL")
    return text


def _pin_file(source: str) -> str:
    """The path of a pin-source: a file URI or a path; a program is never run for it."""
    path = source.removeprefix("file://").removeprefix("file:")
    if not path.startswith("/"):
        raise _bad("pin-source: expected file:/path, an absolute path; nothing else is taken")
    return path


def _bad(what: str) -> CallerError:
    return CallerError(
        "bad-uri",
        f"pkcs11: {what}",
        hint="pkcs11:token=NAME;object=LABEL?module-path=/path/of/module.so (RFC 7512)",
    )
