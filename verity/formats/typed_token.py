# SPDX-License-Identifier: Apache-2.0
"""An unlock token as people read it out and type it: values <-> numbered groups of characters.

A group is ``NN CCCC CCCC CCCC CCCC KK``: its number, ten bytes in Crockford's base 32, and two
check digits by ISO/IEC 7064 MOD 97-10, as an IBAN has them. All groups together end in a CRC-32
(docs/formats.md, "Typed token"). policy/gate/loader/typed.c reads the same and says the same;
tests/vectors/typed-token.toml holds both. Rules:

1. Small letters, O for 0, I and L for 1 are forgiven; whatever is no letter or digit is ignored:
   spaces, dashes, the quotation marks and soft hyphens of mail programs.
2. Groups come in any order, and twice if they are the same; what is wrong is named by its number.
3. What the host knows itself isn't in it but for a few bytes, by which a token for another boot,
   host or policy is known. The values come out as they are: ``verity.formats.unlock`` judges them.
"""

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from verity.formats import der, unlock
from verity.formats.challenge import Challenge
from verity.formats.pkcs7 import BlobSignature
from verity.formats.unlock import Scope, UnlockToken
from verity.values.errors import ContentError

VERSION = 1
MAX_TEXT = 16 * 2**10
GROUP = 20
BEGIN = "begin verity unlock"
END = "end verity unlock"
MAX_SIGNATURES = 8
INCOMPLETE = "typed-incomplete"
_BYTES = 10
_HEAD = 74
_SIGNATURE = 80
_CRC = 4
_MOST_BEFORE = 2**48

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_FOLD = str.maketrans({"O": "0", "I": "1", "L": "1"})
_DROP = re.compile(r"[^0-9A-Z\n]")
_GROUP = re.compile(rf"[0-9]{{2}}[{_DIGITS}]{{16}}[0-9]{{2}}")
_RETYPE = "type or paste it again"
_ASK = "ask the signer for the whole token"
_ANEW = "print a challenge here, and have that one signed"


@dataclass(frozen=True, kw_only=True)
class TypedSignature:
    """Who signed, by the serial of the key's certificate (16 bytes), and the ECDSA r and s."""

    serial: bytes
    r_s: bytes


@dataclass(frozen=True, kw_only=True)
class TypedToken:
    """A token without what the host knows, of which it has the beginnings (4 bytes each)."""

    nonce: bytes
    host: bytes
    policy: int
    token_id: bytes
    scope: int
    duration_s: int
    apply_before_s: int
    reason: bytes
    operand: bytes
    signatures: tuple[TypedSignature, ...]


def of_token(token: UnlockToken, signatures: Sequence[BlobSignature]) -> TypedToken:
    """What is typed of a token. ContentError for one that the form has no room for."""
    if not 1 <= len(signatures) <= MAX_SIGNATURES:
        _bad(f"{len(signatures)} signatures, expected 1 to {MAX_SIGNATURES}")
    if token.apply_before_s >= _MOST_BEFORE:
        _bad(f"the apply-before {token.apply_before_s} is not below 2^48")
    return TypedToken(
        nonce=token.boot_nonce[:4],
        host=token.host_id[:4],
        policy=token.policy_serial % 2**32,
        token_id=token.token_id,
        scope=token.scope,
        duration_s=token.duration_s,
        apply_before_s=token.apply_before_s,
        reason=token.reason,
        operand=token.operand,
        signatures=tuple(
            TypedSignature(serial=one.serial.to_bytes(16, "big"), r_s=der.raw_ecdsa(one.value))
            for one in signatures
        ),
    )


def encode(typed: TypedToken) -> tuple[str, ...]:
    """Its groups, without spaces."""
    data = b"".join(
        (
            bytes((VERSION, typed.scope, len(typed.signatures), len(typed.operand))),
            *(typed.nonce, typed.host, typed.policy.to_bytes(4, "big")),
            *(typed.token_id, typed.duration_s.to_bytes(4, "big")),
            *(typed.apply_before_s.to_bytes(6, "big"), typed.reason, typed.operand),
            *(one.serial + one.r_s for one in typed.signatures),
        )
    )
    data += zlib.crc32(data).to_bytes(_CRC, "big")
    data += bytes(-len(data) % _BYTES)
    return tuple(
        _group(number, data[at : at + _BYTES])
        for number, at in enumerate(range(0, len(data), _BYTES), 1)
    )


def page(groups: Sequence[str]) -> str:
    """Them as lines for people, between two lines by which they are found in a mail."""
    lines = (
        f"{one[:2]}  {' '.join(one[at : at + 4] for at in range(2, 18, 4))}  {one[18:]}"
        for one in groups
    )
    return "\n".join((BEGIN, *lines, END, ""))


def one_line(groups: Sequence[str]) -> str:
    """Them for a QR code, which has a compact mode for these characters."""
    return " ".join(groups)


def fold(data: bytes) -> str:
    """Text without what is ignored, in the one form of each character."""
    return _DROP.sub("", data.decode("ascii", "ignore").upper()).translate(_FOLD)


def looks_typed(data: bytes) -> bool:
    """Whether some line of it is of the form of a group, be it right or not."""
    return any(_GROUP.match(line) for line in fold(data).split("\n"))


def check_group(data: bytes) -> str:
    """What is wrong with one group as it was typed; empty if nothing is."""
    group = fold(data).replace("\n", "")
    if len(group) != GROUP:
        return f"{len(group)} characters, expected {GROUP}"
    return "" if _is_group(group) else f"group {group[:2]}: a character is wrong"


def decode(data: bytes) -> TypedToken:
    """Read groups. Raises ContentError (``bad-typed``, ``typed-incomplete``) that names the groups
    that are wrong.

    1. What is between the two lines, if they are there.
    2. Groups of 20 characters: of all lines joined, as a mail program may have broken them; else of
       each line by itself, so that one that is too short spoils no other.
    3. Each number once, or twice the same.
    4. The first says how many there are; all of them are there.
    5. The CRC over all of it, and nothing but zeros behind.
    """
    return _assembled(_by_number(data))


def next_group(data: bytes) -> str:
    """Which number is missing yet of groups that are right; empty if none is.

    ContentError as of ``decode`` for those that are wrong, or that are no token together.
    """
    try:
        _assembled(_by_number(data))
    except ContentError as error:
        if error.code != INCOMPLETE:
            raise
        return error.message.partition("group ")[2][:2]
    return ""


def _by_number(data: bytes) -> dict[int, bytes]:
    # 1. Between the lines.
    if len(data) > MAX_TEXT:
        _bad(f"more than {MAX_TEXT} bytes", "name the file with the token alone")
    lines = fold(data).split("\n")
    begin, end = fold(BEGIN.encode()), fold(END.encode())
    if begin in lines:
        lines = lines[lines.index(begin) + 1 :]
        if end not in lines:
            _bad(f"the line `{END}` is missing: a part was cut off", _ASK)
        lines = lines[: lines.index(end)]
    # 2. Groups.
    groups = _groups(lines)
    # 3. By number.
    found: dict[int, bytes] = {}
    for group in groups:
        number, part = int(group[:2]), _data(group)
        if found.setdefault(number, part) != part:
            _bad(f"group {number:02} is there twice, with different contents", _ASK)
    return found


def rebuild(typed: TypedToken, challenge: Challenge) -> tuple[bytes, tuple[bytes, ...]]:
    """The token and its signatures as the gate takes them, with the state of this host.

    ContentError (``other-boot``, ``other-host``, ``other-policy``) if it was made for another one.
    """
    if typed.host != challenge.host_id[:4]:
        _other("other-host", "another host", challenge.host_id[:4].hex(), typed.host.hex())
    if typed.nonce != challenge.boot_nonce[:4]:
        _other("other-boot", "another boot", challenge.boot_nonce[:4].hex(), typed.nonce.hex())
    if typed.policy != challenge.policy_serial % 2**32:
        _other("other-policy", "another policy", str(challenge.policy_serial), str(typed.policy))
    if typed.scope not in Scope._value2member_map_:
        _bad(f"the scope {typed.scope} is unknown", "install one version of both")
    token = UnlockToken(
        boot_nonce=challenge.boot_nonce,
        token_id=typed.token_id,
        host_id=challenge.host_id,
        policy_serial=challenge.policy_serial,
        scope=Scope(typed.scope),
        duration_s=typed.duration_s,
        apply_before_s=typed.apply_before_s,
        reason=typed.reason,
        operand=typed.operand,
    )
    return unlock.encode(token), tuple(
        BlobSignature(int.from_bytes(one.serial, "big"), der.of_raw_ecdsa(one.r_s)).encode()
        for one in typed.signatures
    )


def _groups(lines: Sequence[str]) -> list[str]:
    joined = "".join(lines)
    if not joined:
        _bad("there is no group in it", _ASK)
    every = list(_chunks(joined))
    if len(every[-1]) == GROUP and all(map(_is_group, every)):
        return every
    groups, wrong = [], []
    for number, line in enumerate(lines, 1):
        if len(line) % GROUP:
            wrong.append(f"line {number} ({line[:2]}...) has {len(line)} characters")
        for group in _chunks(line) if len(line) % GROUP == 0 else ():
            if _is_group(group):
                groups.append(group)
            else:
                wrong.append(f"group {group[:2]}: a character is wrong")
    _bad(wrong[0] + (f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""), _RETYPE)


def _assembled(found: Mapping[int, bytes]) -> TypedToken:
    # 4. How many.
    if 1 not in found:
        _lacks("group 01 is missing")
    version, scope, count, length = found[1][:4]
    if version != VERSION:
        _bad(f"it is of the version {version}, expected {VERSION}", "install one version of both")
    if not 1 <= count <= MAX_SIGNATURES:
        _bad(f"group 01 says {count} signatures, expected 1 to {MAX_SIGNATURES}", _ASK)
    size = _HEAD + length + _SIGNATURE * count + _CRC
    total = -(-size // _BYTES)
    missing = [number for number in range(1, total + 1) if number not in found]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        _lacks(f"group {missing[0]:02} of {total} is missing{more}")
    beyond = max(found)
    if beyond > total:
        _bad(f"group {beyond:02} does not belong to it: it has {total}", _ASK)
    # 5. All of it.
    data = b"".join(found[number] for number in range(1, total + 1))
    body, check, rest = data[: size - _CRC], data[size - _CRC : size], data[size:]
    if zlib.crc32(body) != int.from_bytes(check, "big") or any(rest):
        _bad("every group is right, and together they are none: two tokens are mixed", _ASK)
    at = _HEAD + length
    return TypedToken(
        nonce=body[4:8],
        host=body[8:12],
        policy=int.from_bytes(body[12:16], "big"),
        token_id=body[16:32],
        scope=scope,
        duration_s=int.from_bytes(body[32:36], "big"),
        apply_before_s=int.from_bytes(body[36:42], "big"),
        reason=body[42:74],
        operand=body[74:at],
        signatures=tuple(
            TypedSignature(serial=body[one : one + 16], r_s=body[one + 16 : one + 80])
            for one in range(at, len(body), _SIGNATURE)
        ),
    )


def _group(number: int, data: bytes) -> str:
    value = int.from_bytes(data, "big")
    text = f"{number:02}" + "".join(_DIGITS[value >> at & 31] for at in range(75, -5, -5))
    return f"{text}{98 - _mod97(text + '00'):02}"


def _is_group(group: str) -> bool:
    return _GROUP.fullmatch(group) is not None and group[:2] != "00" and _mod97(group) == 1


def _mod97(text: str) -> int:
    """ISO/IEC 7064 MOD 97-10 with A as 10 to Z as 35."""
    return int("".join(str(int(char, 36)) for char in text)) % 97


def _data(group: str) -> bytes:
    value = 0
    for char in group[2:18]:
        value = value << 5 | _DIGITS.index(char)
    return value.to_bytes(_BYTES, "big")


def _chunks(text: str) -> Iterator[str]:
    for at in range(0, len(text), GROUP):
        yield text[at : at + GROUP]


def _bad(reason: str, hint: str | None = None) -> NoReturn:
    raise ContentError("bad-typed", f"typed token: {reason}", hint=hint)


def _lacks(reason: str) -> NoReturn:
    raise ContentError(INCOMPLETE, f"typed token: {reason}", hint=_RETYPE)


def _other(code: str, what: str, here: str, found: str) -> NoReturn:
    raise ContentError(
        code, f"typed token: it is for {what}: {found}, and here it is {here}", hint=_ANEW
    )
