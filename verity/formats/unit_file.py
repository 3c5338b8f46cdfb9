# SPDX-License-Identifier: Apache-2.0
"""Unit files of systemd and their drop-ins: bytes -> assignments, in the order that counts.

Why a parser of our own: those on the package index read one file as an INI file; none knows what
makes the difference here, which is drop-ins, the empty assignment that forgets what came before,
and lines that go on. Tests compare with `systemctl cat` and `systemctl show` of the stock program.

It reads what systemd reads and is as tolerant: a line that is no assignment is passed by, as there.
It looks nowhere (``verity.ports.systemd_units``), and knows no meaning of a value.
"""

from collections.abc import Iterable
from dataclasses import dataclass

MAX_LINE = 1 << 20  # as systemd: LONG_LINE_MAX
_COMMENT = (b"#", b";")
_TRUE = {b"1", b"yes", b"y", b"true", b"t", b"on"}


@dataclass(frozen=True, slots=True)
class Assignment:
    """One line ``key=value`` of a section, with the file that has it."""

    section: bytes
    key: bytes
    value: bytes
    file: bytes


def parse(data: bytes, file: bytes) -> tuple[Assignment, ...]:
    """The assignments of one file."""
    found = []
    section = b""
    for line in _logical_lines(data):
        if line.startswith(b"[") and line.endswith(b"]"):
            section = line[1:-1]
            continue
        key, equals, value = line.partition(b"=")
        if equals and section:
            found.append(Assignment(section, key.rstrip(), value.lstrip(), file))
    return tuple(found)


def _logical_lines(data: bytes) -> Iterable[bytes]:
    """Lines without comments, those joined that end in a backslash (which becomes a space)."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    begun: bytes | None = None
    for raw in data.split(b"\n"):
        line = raw.strip(b" \t\r")
        if line.startswith(_COMMENT) or (begun is None and not line):
            continue
        if begun is not None:
            line = begun + line
        if len(line) > MAX_LINE:
            return  # systemd refuses the rest of such a file
        escaped = len(line) - len(line.rstrip(b"\\"))
        if escaped % 2:
            begun = line[:-1] + b" "
            continue
        begun = None
        yield line
    if begun is not None:
        yield begun.rstrip()


@dataclass(frozen=True)
class Settings:
    """The assignments of a unit with its drop-ins, asked by section and key."""

    assignments: tuple[Assignment, ...]

    def list_of(self, section: bytes, key: bytes) -> tuple[Assignment, ...]:
        """All values of a list, without what an empty assignment took back."""
        values: list[Assignment] = []
        for one in self.assignments:
            if one.section == section and one.key == key:
                if one.value:
                    values.append(one)
                else:
                    values.clear()
        return tuple(values)

    def words(self, section: bytes, key: bytes) -> tuple[bytes, ...]:
        """The words of such a list."""
        return tuple(word for one in self.list_of(section, key) for word in one.value.split())

    def last(self, section: bytes, key: bytes) -> bytes:
        """The last value, empty if there is none."""
        value = b""
        for one in self.assignments:
            if one.section == section and one.key == key:
                value = one.value
        return value

    def is_true(self, section: bytes, key: bytes) -> bool:
        """Whether the last value means yes."""
        return self.last(section, key).lower() in _TRUE
