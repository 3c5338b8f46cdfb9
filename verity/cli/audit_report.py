# SPDX-License-Identifier: Apache-2.0
"""The report of an audit, in the form that is asked for: text, JSON Lines, SARIF, JUnit, HTML.

What a report says is made in ``formats/report_*``; here it is written, and the terminal is asked
how large it is and whether it wants colour. A format is imported where it is asked for.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from verity.formats.report_view import View, view
from verity.ports.osfile import new_file
from verity.values.audit import Audit

FORMATS = ("text", "json", "sarif", "junit", "html")
_PIECE = 2**16
_MODE = 0o644


def write(audit: Audit, format: str, stream: BinaryIO, *, everything: bool = False) -> None:
    """Write the report; ``everything`` has the text go on beyond a screen."""
    written = bytearray()
    for piece in _pieces(view(audit), format, stream, everything):
        written += piece.encode("utf-8")
        if len(written) >= _PIECE:
            stream.write(written)
            written.clear()
    stream.write(written)
    stream.flush()


def publish(audit: Audit, format: str, target: Path | None, *, everything: bool = False) -> None:
    """Write the report to standard output, or to a new file that is whole or isn't there.

    Raises HostError for a file that can't be made, or that is there already.
    """
    if target is None:
        sys.stdout.flush()
        write(audit, format, sys.stdout.buffer, everything=everything)
        return
    with new_file(target, mode=_MODE) as fd, open(fd, "wb", closefd=False) as stream:
        write(audit, format, stream, everything=everything)


def _pieces(seen: View, format: str, stream: BinaryIO, everything: bool) -> Iterator[str]:
    match format:
        case "text":
            yield from _ended(_text(seen, stream, everything))
        case "json":
            from verity.formats import report_json

            yield from _ended(report_json.lines(seen))
        case "sarif":
            from verity.formats import report_sarif

            yield from report_sarif.pieces(seen)
        case "junit":
            from verity.formats import report_junit

            yield from report_junit.pieces(seen)
        case "html":
            from verity.formats import report_html

            yield from report_html.pieces(seen)
        case _:
            raise ValueError(f"no report has the format {format!r}")


def _ended(lines: Iterable[str]) -> Iterator[str]:
    return (f"{line}\n" for line in lines)


def _text(seen: View, stream: BinaryIO, everything: bool) -> Iterator[str]:
    """For a terminal as it is; elsewhere a screen of 80 columns, or all of it unwrapped."""
    from verity.formats import report_text

    width: int | None = None if everything else 80
    height = 24
    terminal = stream.isatty()
    if terminal:
        size = _size(stream)
        width, height = size.columns or 80, (size.lines or 25) - 1  # one for the prompt
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return report_text.render(
        seen,
        everything=everything,
        width=width,
        height=height,
        colour=terminal and not plain,
    )


def _size(stream: BinaryIO) -> os.terminal_size:
    try:
        return os.get_terminal_size(stream.fileno())
    except OSError:
        return os.terminal_size((80, 24))
