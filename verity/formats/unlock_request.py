# SPDX-License-Identifier: Apache-2.0
"""What a host prints for who may unlock it: its challenge, and what is asked for; bytes <-> values.

Lines of ``key value`` between ``verity_challenge 1`` and ``end`` (docs/formats.md, "Unlock token").
The four lines of the challenge count; everything else is the host's claim, which whoever signs
decides about. Rules:

1. What mail programs do to text is undone: quotation marks, soft hyphens, spaces that don't break,
   CR, a line that goes on in the next.
2. A text without the two lines is read as the gate's own status: then nothing is asked for yet.
3. A key that stands there twice, or a value that no host writes, refuses the whole.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from verity.formats import challenge as challenges
from verity.formats import escaped, unlock
from verity.formats.challenge import Challenge
from verity.formats.gate_unlocks import SCOPES
from verity.formats.unlock import MAX_DURATION_S, PATH_SCOPES, Scope
from verity.values.errors import ContentError

HEAD = "verity_challenge 1"
END = "end"
_OPTIONAL = ("host_name", "level", "scope", "operand", "duration_s", "reason")
_KEYS = ("boot_nonce", "host_id", "policy_serial", "boot_clock_s", *_OPTIONAL)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_QUOTED = re.compile(r"^[\s>|]+")
_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u3000\t]")
_NOTHING = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff\r]")
_AGAIN = "copy all of it, from `verity_challenge` to `end`, or take the file"


@dataclass(frozen=True, kw_only=True)
class Request:
    """The challenge, and what its host asks for and says of itself; None where it says nothing."""

    challenge: Challenge
    host_name: str | None = None
    level: str | None = None
    scope: Scope | None = None
    operand: bytes = b""
    duration_s: int | None = None
    reason: str | None = None


def scope_name(scope: Scope) -> str:
    """As options, policies and texts have it."""
    return scope.name.lower().replace("_", "-")


def operand_text(scope: Scope, operand: bytes) -> str:
    """An operand in ASCII: a digest in hex, or a path in the escaped form."""
    return operand.hex() if scope is Scope.DIGEST else escaped.printable(operand)


def encode(request: Request) -> bytes:
    """The text."""
    here = request.challenge
    lines = [
        HEAD,
        f"boot_nonce {here.boot_nonce.hex()}",
        f"host_id {here.host_id.hex()}",
        f"policy_serial {here.policy_serial}",
        f"boot_clock_s {here.boot_clock_s}",
    ]
    for key, value in (("host_name", request.host_name), ("level", request.level)):
        if value is not None:
            lines.append(f"{key} {value}")
    if request.scope is not None:
        lines.append(f"scope {scope_name(request.scope)}")
        if request.operand:
            lines.append(f"operand {operand_text(request.scope, request.operand)}")
    if request.duration_s is not None:
        lines.append(f"duration_s {request.duration_s}")
    if request.reason is not None:
        lines.append(f"reason {_escaped(request.reason)}")
    data = "\n".join((*lines, END, "")).encode("ascii")
    if parse(data) != request:  # the writer is held to the reader's rules
        _refuse("the values do not survive their own encoding")
    return data


def parse(data: bytes) -> Request:
    """Read it. Raises ContentError (``bad-challenge``)."""
    if len(data) > challenges.MAX_SIZE:
        _refuse(f"{len(data)} bytes, at most {challenges.MAX_SIZE} are allowed")
    text = _NOTHING.sub("", _SPACES.sub(" ", data.decode("utf-8", "replace")))
    lines = [_QUOTED.sub("", line).rstrip() for line in text.split("\n")]
    if HEAD not in lines:
        return Request(challenge=challenges.parse("\n".join(lines).encode("utf-8")))
    lines = lines[lines.index(HEAD) + 1 :]
    if END not in lines:
        _refuse("the line `end` is missing: a part was cut off")
    return _request(_values(lines[: lines.index(END)]))


def _values(lines: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    last = ""
    for line in lines:
        key, _, value = line.partition(" ")
        if key in _KEYS and not (last == "reason" and key in values):
            if key in values:
                _refuse(f"the key {key} stands there twice")
            values[key] = value
            last = key
        elif last and line:  # the line before went on here
            values[last] = f"{values[last]}{' ' if last == 'reason' else ''}{line}".strip()
    return values


def _request(values: Mapping[str, str]) -> Request:
    missing = [key for key in _KEYS[:4] if key not in values]
    if missing:
        _refuse(f"the key {missing[0]} is missing")
    for key in ("host_name", "level"):
        if key in values and not _NAME.fullmatch(values[key]):
            _refuse(f"{key} {values[key][:80]!r} is no name")
    scope = None
    if "scope" in values:
        if values["scope"] not in SCOPES:
            _refuse(f"the scope {values['scope'][:80]!r} is unknown")
        scope = SCOPES[values["scope"]]
    duration = values.get("duration_s")
    if duration is not None and (not _NUMBER.fullmatch(duration) or int(duration) > MAX_DURATION_S):
        _refuse(f"duration_s {duration[:80]!r} is not 0 to {MAX_DURATION_S}")
    reason = None
    if "reason" in values:
        reason = _unescaped(values["reason"])
        unlock.reason_sha256(reason)
    return Request(
        challenge=challenges.of_texts(values),
        host_name=values.get("host_name"),
        level=values.get("level"),
        scope=scope,
        operand=_operand(scope, values.get("operand")),
        duration_s=None if duration is None else int(duration),
        reason=reason,
    )


def _operand(scope: Scope | None, text: str | None) -> bytes:
    wants = scope is Scope.DIGEST or scope in PATH_SCOPES
    if wants != (text is not None):
        _refuse("an operand that its scope doesn't have" if text else "the operand is missing")
    if text is None:
        return b""
    if scope is Scope.DIGEST:
        if not _DIGEST.fullmatch(text):
            _refuse(f"the operand {text[:80]!r} is not 64 lower-case hex digits")
        return bytes.fromhex(text)
    found = escaped.unescape(text)
    if found is None:
        _refuse(f"the operand {text[:80]!r} is not escaped as in a manifest")
    return found


def _escaped(reason: str) -> str:
    """Spaces stay: a reason is a line of words."""
    return " ".join(escaped.printable(word.encode()) if word else "" for word in reason.split(" "))


def _unescaped(text: str) -> str:
    if not text.isascii():
        _refuse("its reason is not ASCII: other bytes are written \\xHH")
    data = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text).encode("latin-1")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        _refuse("its reason is no UTF-8")


def _refuse(reason: str) -> NoReturn:
    raise ContentError("bad-challenge", f"challenge: {reason}", hint=_AGAIN)
