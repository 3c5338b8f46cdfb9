# SPDX-License-Identifier: Apache-2.0
"""etc diff: what differs, with the text of it.

The signed side comes from the content store, checked; the other side from what is there. A file
that not everybody may read or reach, on either side or by its rule, is secret: its contents aren't
given out unless that is asked for. What isn't UTF-8 text is binary.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from verity.formats.dump import Entry, printable
from verity.formats.fsverity import digest_bytes
from verity.values.errors import ContentError, VerityError
from verity.verbs import etc_read
from verity.verbs.etc_compare import Difference
from verity.verbs.etc_intent import Host, Intent

MAX_TEXT = 4 * 2**20
_ALL_READ = 0o004
_ALL_ENTER = 0o001


@dataclass(frozen=True, kw_only=True)
class Text:
    """A unified diff, or why there is none."""

    lines: tuple[str, ...] = ()
    why_not: str = ""


def text(host: Host, intent: Intent, one: Difference, *, show_secrets: bool) -> Text:
    """The text of one difference, from the signed contents to what is there."""
    sides = [entry for entry in (one.signed, one.now) if entry is not None and entry.is_regular]
    if not sides or (len(sides) == 2 and sides[0].digest == sides[1].digest):
        return Text()
    if not show_secrets and is_secret(host, intent, sides):
        return Text(why_not="secret: not shown without --show-secret-files")
    try:
        before = _signed(host, one.signed)
        after = _now(host, one.now)
    except VerityError as error:
        return Text(why_not=error.message)
    if before is None or after is None:
        return Text(why_not="binary")
    name = printable(one.path)
    lines = difflib.unified_diff(before, after, f"signed {name}", f"now {name}", lineterm="")
    return Text(lines=tuple(lines))


def is_secret(host: Host, intent: Intent, sides: list[Entry]) -> bool:
    """Whether somebody may not read one of these, or not reach it by what is signed or by what is
    there: of a home the manifest doesn't say who may enter it."""
    return any(
        not side.mode & _ALL_READ or intent.scope.rule(side.path).secret for side in sides
    ) or any(
        not mode & _ALL_ENTER
        for mode in (
            *_signed_above(intent, sides[0].path),
            *etc_read.modes_above(host.root, sides[0].path),
        )
    )


def _signed_above(intent: Intent, path: bytes) -> Iterator[int]:
    for above in etc_read.above(path):
        entry = intent.entries.get(above)
        if entry is not None:
            yield entry.mode


def _signed(host: Host, entry: Entry | None) -> list[str] | None:
    if entry is None or entry.digest is None:
        return []
    data = host.store.read(entry.digest, label=printable(entry.path), max_size=MAX_TEXT)
    return _lines(data)


def _now(host: Host, entry: Entry | None) -> list[str] | None:
    if entry is None or not entry.is_regular:
        return []
    data = etc_read.contents(host.root, entry.path, max_size=MAX_TEXT)
    if digest_bytes(data).value != entry.digest:  # and so it might be a secret by now
        raise ContentError(
            "changed-while-read", f"{printable(entry.path)}: it changed while it was read"
        )
    return _lines(data)


def _lines(data: bytes) -> list[str] | None:
    """Lines without their ends, the lack of a last one told as diff(1) does; None for binary."""
    if b"\0" in data:
        return None
    try:
        decoded = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    lines = decoded.split("\n")
    last = lines.pop()
    if last:
        lines += [last + "\n\\ No newline at end of file"]
    return lines
