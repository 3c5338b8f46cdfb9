# SPDX-License-Identifier: Apache-2.0
"""The QR codes on the terminal are read by somebody else's reader, in both ways of drawing them."""

from pathlib import Path

import pytest
import zxingcpp

from tests.cli.gate_host import Host
from tests.cli.keyring_world import good
from tests.cli.program import verity
from tests.cli.unlock_world import ASK, FROM, challenge, make_desk, seal
from verity.formats import typed_token

_HALVES = {" ": (1, 1), "▀": (0, 1), "▄": (1, 0), "█": (0, 0)}
_PIXELS = 4


def of_halves(lines: list[str]) -> list[list[int]]:
    """Half blocks: two rows a line; what is drawn is light."""
    rows: list[list[int]] = []
    for line in lines:
        pairs = [_HALVES[char] for char in line]
        rows += [[top for top, _ in pairs], [bottom for _, bottom in pairs]]
    return rows


def of_escapes(text: str) -> list[list[int]]:
    """Two cells a dot, light where the colours are turned round."""
    rows = []
    for line in text.splitlines():
        row: list[int] = []
        dark = 1
        for part in line.split("\x1b["):
            code, _, cells = part.rpartition("m")
            if code:
                dark = 0 if code == "7" else 1
            row += [dark] * (len(cells) // 2)
        if row:
            rows.append(row)
    return rows


def read(rows: list[list[int]]) -> str:
    """What a camera would see."""
    width = max(map(len, rows))
    pixels = bytearray()
    for row in rows:
        full = [*row, *[0] * (width - len(row))]
        line = b"".join((b"\0" if dot else b"\xff") * _PIXELS for dot in full)
        pixels += line * _PIXELS
    shape = [len(rows) * _PIXELS, width * _PIXELS]
    found = zxingcpp.read_barcodes(memoryview(bytes(pixels)).cast("B", shape=shape))
    assert len(found) == 1
    return str(found[0].text)


def drawn(out: str) -> list[str]:
    """The lines that are the code."""
    return [line for line in out.splitlines() if line and set(line) <= set(_HALVES)]


def test_a_challenge(host: Host) -> None:
    done = good(seal(host).root, "unlock", "challenge", *ASK, "--root", ".", "--qr")
    assert read(of_halves(drawn(done.out))).encode() == challenge()


@pytest.mark.parametrize("utf8", [True, False])
def test_a_token(tmp_path: Path, utf8: bool) -> None:
    desk = make_desk(tmp_path)
    how = ("unlock", "sign", *FROM, "--yes", "--owners", "2", "-o", "t", "--typed", "--qr")
    keys = ("ann.pem", "bob.pem")
    environment = {"PYTHONIOENCODING": "utf-8" if utf8 else "ascii"}
    done = verity(*how, *keys, cwd=desk, environment=environment)
    assert done.status == 0, done.err
    page, _, code = done.out.partition(typed_token.END)
    rows = of_halves(drawn(code)) if utf8 else of_escapes(code)
    typed = typed_token.decode(f"{page}{typed_token.END}\n".encode())
    assert typed_token.decode(read(rows).encode()) == typed
