# SPDX-License-Identifier: Apache-2.0
"""What stands in a unit's command lines: prefixes, quotes, escapes, specifiers, several commands.

As systemd.service(5) and systemd.unit(5) say. Variables of the environment are not replaced: the
first word, the program, never is one. A specifier whose value only a running host knows stays as
it is, and ``open_specifier`` finds it. No words are looked up here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_SPACE = b" \t\n\r"
_ESCAPES = {
    **{ord(letter): value for letter, value in zip("abfnrtv", b"\a\b\f\n\r\t\v", strict=True)},
    **{ord(sign): ord(sign) for sign in "\\\"'"},
    ord("s"): ord(" "),
}
_NUMBERS = {ord("x"): (16, 2), ord("u"): (16, 4), ord("U"): (16, 8)}
_SPECIFIER = re.compile(rb"%(.)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command. ``program`` is a path or a name; ``words`` are its arguments.

    ``may_fail`` is ``-``; ``privileged`` is ``+`` or ``!``, which leave User= aside; ``shell`` is
    ``|``, which starts it through the user's shell.
    """

    program: bytes
    words: tuple[bytes, ...] = ()
    may_fail: bool = False
    privileged: bool = False
    shell: bool = False


def commands(line: bytes, specifiers: Mapping[bytes, bytes]) -> tuple[Command, ...]:
    """The commands of one Exec line."""
    found = []
    current: list[bytes] = []
    for word, quoted in split(line):
        if word == b";" and not quoted:
            found.append(current)
            current = []
        else:
            current.append(b";" if word == b"\\;" and not quoted else word)
    found.append(current)
    return tuple(_command(words, specifiers) for words in found if words)


def _command(words: list[bytes], specifiers: Mapping[bytes, bytes]) -> Command:
    first, *rest = words
    bare = first.lstrip(b"@-:+!|")
    prefix = first[: len(first) - len(bare)]
    if not bare and rest:  # prefixes may stand alone
        bare, *rest = rest
    if b"@" in prefix:
        rest = rest[1:]  # argv[0], which is no argument
    return Command(
        program=expand(bare, specifiers),
        words=tuple(expand(word, specifiers) for word in rest),
        may_fail=b"-" in prefix,
        # "!!" means the same as no prefix on every kernel with ambient capabilities.
        privileged=b"+" in prefix or (b"!" in prefix and b"!!" not in prefix),
        shell=b"|" in prefix,
    )


def split(line: bytes) -> tuple[tuple[bytes, bool], ...]:
    """Words, and whether any of it was quoted. An open quote ends with the line."""
    found: list[tuple[bytes, bool]] = []
    word = bytearray()
    quote = 0
    begun = quoted = False
    at = 0
    while at < len(line):
        sign = line[at]
        at += 1
        if sign == 0x5C and at < len(line):
            if line[at] == 0x3B and not word:  # \; is told apart by who separates commands
                word += b"\\;"
                at += 1
            else:
                at = _unescape(line, at, word)
            begun = True
        elif quote:
            if sign == quote:
                quote = 0
            else:
                word.append(sign)
        elif sign in b"\"'":
            quote, begun, quoted = sign, True, True
        elif sign in _SPACE:
            if begun:
                found.append((bytes(word), quoted))
            word.clear()
            begun = quoted = False
        else:
            word.append(sign)
            begun = True
    if begun:
        found.append((bytes(word), quoted))
    return tuple(found)


def _unescape(line: bytes, at: int, word: bytearray) -> int:
    """Put what an escape means into the word; where it ends. An unknown one stays as it is."""
    letter = line[at]
    if letter in _ESCAPES:
        word.append(_ESCAPES[letter])
        return at + 1
    base, length = _NUMBERS.get(letter, (8, 3))
    begin = at + (letter in _NUMBERS)
    digits = line[begin : begin + length]
    try:
        if len(digits) != length or not digits.isalnum():
            raise ValueError
        value = int(digits, base)
        word += bytes([value]) if letter not in b"uU" else chr(value).encode()
    except (ValueError, OverflowError):
        word += b"\\" + line[at : at + 1]
        return at + 1
    return begin + length


def expand(text: bytes, specifiers: Mapping[bytes, bytes]) -> bytes:
    """Replace the specifiers that are known."""
    if b"%" not in text:
        return text
    return _SPECIFIER.sub(lambda found: specifiers.get(found[1], found[0]), text)


def open_specifier(text: bytes) -> bool:
    """Whether a specifier is left whose value isn't known."""
    return b"%" in text


def specifiers_of(name: bytes, fragment: bytes) -> dict[bytes, bytes]:
    """What specifiers mean in a unit of the system manager, as far as no running host is asked.

    For a template without an instance, those of the instance are left out.
    """
    stem = name.rpartition(b".")[0]
    prefix, template, instance = stem.partition(b"@")
    known = {
        b"%": b"%",
        b"p": prefix,
        b"P": unescape_name(prefix),
        b"j": prefix.rpartition(b"-")[2],
        b"J": unescape_name(prefix.rpartition(b"-")[2]),
        b"t": b"/run",
        b"S": b"/var/lib",
        b"C": b"/var/cache",
        b"L": b"/var/log",
        b"E": b"/etc",
        b"T": b"/tmp",
        b"V": b"/var/tmp",
        b"h": b"/root",
        b"u": b"root",
        b"U": b"0",
        b"g": b"root",
        b"G": b"0",
        b"s": b"/bin/sh",
        b"y": fragment,
        b"Y": fragment.rpartition(b"/")[0],
    }
    if instance or not template:
        known |= {
            b"n": name,
            b"N": stem,
            b"i": instance,
            b"I": unescape_name(instance),
            b"f": b"/" + unescape_name(instance or prefix).lstrip(b"/"),
        }
    return known


def unescape_name(text: bytes) -> bytes:
    """What systemd-escape(1) --unescape gives."""
    return re.sub(
        rb"\\x([0-9a-fA-F]{2})",
        lambda found: bytes([int(found[1], 16)]),
        text.replace(b"-", b"/"),
    )
