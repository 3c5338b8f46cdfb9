# SPDX-License-Identifier: Apache-2.0
"""Grants that say what they must not, as rows: one thing that is wrong in an otherwise good blob.

The good blobs are what each role may say at most; `test_gate_import.py` hands both to the gate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.boot import EXTENSION, OS
from tests.world import Signer
from verity.formats.gate_calls import Refusal
from verity.formats.grants import Code, Party, Role

from .gate_blobs import (
    EXPIRES,
    ISSUED,
    Blob,
    CodeRow,
    ElevateRow,
    code_rows,
    config_entry,
    config_link,
    digest,
)
from .gate_world import ETC

Make = Callable[[int], Blob]
NEVER = 2**53


def tools(number: int) -> Blob:
    """What an extension may say: three entries, all of its flags."""
    flags = (Code.EXEC, Code.LIBRARY, Code.SCRIPT | Code.EXEC)
    code = [CodeRow(digest=digest(n), flags=int(flag)) for n, flag in enumerate(flags)]
    return Blob(serial=number, stream=b"tools", code=tuple(code))


def spare(number: int) -> Blob:
    """What the vendor's os may say: every flag, and elevations."""
    code = (CodeRow(digest=digest(50), flags=63), CodeRow(digest=digest(51)))
    elevate = (
        ElevateRow(digest=digest(50), uid=0),
        ElevateRow(digest=digest(50), uid=5),
        ElevateRow(digest=digest(51), bits=0, caps=1 << 10),
    )
    return Blob(
        serial=number,
        party=Party.VENDOR,
        role=Role.OS,
        stream=b"spare",
        code=code,
        elevate=elevate,
    )


def config(number: int) -> Blob:
    """What the user's etc may say: files and symlinks by path.

    Nothing in the boot bundle is signed by this role: that it can sign after the seal is tested
    with every row that has this control.
    """
    table = config_entry(b"/etc/a") + config_link(b"/etc/b", b"a") + config_entry(b"/etc/c")
    return Blob(serial=number, stream=b"config", role=int(Role.ETC), config=table)


SIGNERS: dict[Make, tuple[Signer, ...]] = {
    tools: (EXTENSION,),
    spare: (OS,),
    config: ETC[:2],
}


@dataclass(frozen=True)
class Row:
    """One thing that is wrong in an otherwise good blob, and what the gate must say."""

    name: str
    refusal: Refusal
    base: Make
    spoil: Callable[[Blob], Blob]

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def change(name: str, refusal: Refusal, base: Make = tools, **changes: Any) -> Row:
    """Other values of a blob's fields."""
    return Row(name, refusal, base, lambda blob: replace(blob, **changes))


def code(name: str, refusal: Refusal, *rows: CodeRow, base: Make = tools, **more: Any) -> Row:
    """Another code table."""
    return change(name, refusal, base, code=rows, **more)


def elevate(name: str, refusal: Refusal, *rows: ElevateRow) -> Row:
    """Another elevate table."""
    return change(name, refusal, spare, elevate=rows)


HEADER = [
    change("header length short", Refusal.HEADER, header_len=160),
    change("header length long", Refusal.HEADER, header_len=176),
    change("total length short", Refusal.HEADER, total_len=168 + 2 * 40),
    change("total length long", Refusal.HEADER, total_len=168 + 4 * 40),
    change("total length huge", Refusal.HEADER, total_len=2**32 - 1),
    change("bytes behind the tables", Refusal.HEADER, extra=bytes(8)),
    change("an entry behind the tables", Refusal.HEADER, extra=bytes(40)),
    change("one code entry too few", Refusal.HEADER, n_code=4),
    change("one code entry too many", Refusal.HEADER, n_code=2),
    change("more code than there is room", Refusal.HEADER, n_code=200_001),
    # 40 * 0x66666668 is 64 and more than 32 bits.
    change("a product beyond 32 bits", Refusal.HEADER, n_code=0x66666668),
    change("the most that can be counted", Refusal.HEADER, n_code=2**32 - 1),
    change("elevations that are not there", Refusal.HEADER, spare, n_elevate=4),
    change("reserved bytes behind the role", Refusal.HEADER, zero0=1),
    change("reserved bytes at the end", Refusal.HEADER, zero1=1),
    change("serial 0", Refusal.HEADER, serial=0),
    change("serial beyond JSON", Refusal.HEADER, serial=NEVER),
    change("serial huge", Refusal.HEADER, serial=2**64 - 1),
    change("expired", Refusal.EXPIRED, issued=1, expires=2),
    change("expires when it was issued", Refusal.HEADER, expires=ISSUED),
    change("expires before it was issued", Refusal.HEADER, issued=EXPIRES + 1),
    change("expires beyond JSON", Refusal.HEADER, expires=NEVER),
]
PARTIES = [
    *(
        change(f"party {party} role {role}", Refusal.PARTY_ROLE, party=party, role=role)
        for party, role in [
            (0, Role.EXTENSION),
            (3, Role.EXTENSION),
            (255, Role.EXTENSION),
            (Party.VENDOR, Role.EXTENSION),
            (Party.VENDOR, Role.ETC),
            (Party.VENDOR, Role.ROOT),
            (Party.USER, Role.OS),
            (Party.USER, Role.ROOT),
            (Party.USER, Role.POLICY),
            (Party.USER, Role.UNLOCK),
            (Party.USER, 0),
            (Party.USER, 255),
        ]
    ),
    change("a stream that no policy names", Refusal.STREAM, stream=b"other"),
    change("half the name of a stream", Refusal.STREAM, stream=b"tool"),
    change("a stream and more", Refusal.STREAM, stream=b"tools2"),
    change("a stream and bytes behind its end", Refusal.STREAM, stream=b"tools\0x"),
    change("a stream without an end", Refusal.STREAM, stream=b"t" * 64),
    change("no stream", Refusal.STREAM, stream=b""),
    change("the vendor's stream", Refusal.STREAM, stream=b"spare"),
    change("the vendor for the user's stream", Refusal.STREAM, spare, stream=b"tools"),
    change("the stream of another role", Refusal.STREAM, stream=b"config"),
]
MODULE, INTERPRETER, JIT = (int(flag) for flag in (Code.MODULE, Code.INTERPRETER, Code.JIT))
TABLES = [
    code("code unsorted", Refusal.UNSORTED, *reversed(code_rows(0, 3))),
    code("the last two of code swapped", Refusal.UNSORTED, *code_rows(0, 2), *code_rows(0, 1)),
    code("a digest twice", Refusal.UNSORTED, *code_rows(0, 2), *code_rows(1, 1)),
    code(
        "a digest twice with other flags", Refusal.UNSORTED, *code_rows(0, 1), *code_rows(0, 1, 2)
    ),
    code(
        "sorted by the last byte",
        Refusal.UNSORTED,
        CodeRow(digest=b"\2" + bytes(31)),
        CodeRow(digest=b"\1" + bytes(30) + b"\xff"),
    ),
    code("no flags", Refusal.FLAGS, *code_rows(0, 2), *code_rows(2, 1, 0)),
    code("an unknown flag", Refusal.FLAGS, *code_rows(0, 1, 1 | 64)),
    code("the highest flag", Refusal.FLAGS, *code_rows(0, 1, 1 | 1 << 31)),
    code("an unknown flag of the vendor", Refusal.FLAGS, *code_rows(0, 1, 64), base=spare),
    code("a module of an extension", Refusal.FLAGS, *code_rows(0, 1, 1 | MODULE)),
    code("an interpreter of an extension", Refusal.FLAGS, *code_rows(0, 1, 1 | INTERPRETER)),
    code("anonymous memory of an extension", Refusal.FLAGS, *code_rows(0, 1, 1 | JIT)),
    change("a used flag that no entry has", Refusal.FLAGS, flags_used=63),
    change("a used flag that is not named", Refusal.FLAGS, flags_used=1),
    change("no used flags", Refusal.FLAGS, flags_used=0),
    code("reserved bytes of an entry", Refusal.ENTRY, CodeRow(digest=digest(0), zero=1)),
    change(
        "elevations of an extension",
        Refusal.TABLE,
        elevate=(ElevateRow(digest=digest(0)),),
    ),
    change("elevations of etc", Refusal.TABLE, config, elevate=(ElevateRow(digest=digest(0)),)),
    change("code of etc", Refusal.TABLE, config, code=code_rows(0, 1)),
    change("configuration of an extension", Refusal.TABLE, config=config_entry()),
]
LONGEST = b"/" + b"l" * 254
A, B = config_entry(b"/etc/a"), config_entry(b"/etc/b")
PLACES = [
    change("paths unsorted", Refusal.UNSORTED, config, config=B + A),
    change("a path twice", Refusal.UNSORTED, config, config=A + A),
    change(
        "paths unsorted in their last byte",
        Refusal.UNSORTED,
        config,
        config=config_entry(LONGEST) + config_entry(LONGEST[:-1] + b"a"),
    ),
    change(
        "paths unsorted behind the longest that a policy guards",
        Refusal.UNSORTED,
        config,
        config=config_entry(LONGEST[:250]) + config_entry(LONGEST[:249]),
    ),
    *(
        change(name, Refusal.ENTRY, config, config=table)
        for name, table in {
            "a relative path": config_entry(b"etc/a"),
            "no path": config_entry(b""),
            "a path without an end": config_entry(LONGEST + b"l"),
            "bytes behind the end of a path": config_entry(b"/etc/a\0b"),
            "bytes behind the word of its end": config_entry(b"/etc/a\0\0\0\0\0\0\0\0\0\0b"),
            "a file without a digest": config_entry(digest=bytes(32)),
            "a file with a target": config_entry(target=b"x"),
            "a kind of no number": config_entry(kind=0),
            "a kind that nobody knows": config_entry(kind=3),
            "a kind beyond a byte": config_entry(kind=257),
            "reserved bytes of a path": config_entry(zero=1),
            "a link without a target": config_link(b"/etc/a", b""),
            "a link with a digest": config_entry(kind=2, target=b"x"),
            "a target without an end": config_link(b"/etc/a", b"t" * 56),
            "bytes behind the end of a target": config_link(b"/etc/a", b"t\0u"),
        }.items()
    ),
    change("one path too few", Refusal.HEADER, config, n_config=4),
    change("one path too many", Refusal.HEADER, config, n_config=2),
    change("more paths than can be counted", Refusal.HEADER, config, n_config=2**32 - 1),
    change("a stream's path of another role", Refusal.ENTRY, spare, config=config_entry(kind=0)),
]
ROOT_ID = ElevateRow(digest=digest(50))
ELEVATIONS = [
    elevate(
        "elevations unsorted by digest", Refusal.UNSORTED, ElevateRow(digest=digest(51)), ROOT_ID
    ),
    elevate("an elevation twice", Refusal.UNSORTED, ROOT_ID, ROOT_ID),
    elevate("unsorted by bits", Refusal.UNSORTED, replace(ROOT_ID, bits=0o6000), ROOT_ID),
    elevate("unsorted by user", Refusal.UNSORTED, replace(ROOT_ID, uid=1), ROOT_ID),
    elevate("unsorted by group", Refusal.UNSORTED, replace(ROOT_ID, gid=1), ROOT_ID),
    elevate("unsorted by capability", Refusal.UNSORTED, replace(ROOT_ID, caps=1), ROOT_ID),
    elevate("an elevation of nothing", Refusal.ENTRY, replace(ROOT_ID, bits=0)),
    elevate("a sticky elevation", Refusal.ENTRY, replace(ROOT_ID, bits=0o5000)),
    *(
        elevate(f"reserved bytes of an elevation {number}", Refusal.ENTRY, row)
        for number, row in enumerate(
            (replace(ROOT_ID, zero0=1), replace(ROOT_ID, zero1=1), replace(ROOT_ID, zero2=1))
        )
    ),
    elevate(
        "a 17th elevation of one digest",
        Refusal.TUPLES,
        *(replace(ROOT_ID, digest=digest(52), uid=uid) for uid in range(17)),
    ),
]
KINDS = [
    change("grants that say they are revocations", Refusal.HEADER, kind=b"\x93verity-revoke1\0"),
    change("an unlock token", Refusal.UNSUPPORTED, kind=b"\x93verity-unlock1\0"),
    change("a pin", Refusal.KIND, kind=b"\x93verity-pin1\0\0\0\0"),
    change("grants of another version", Refusal.KIND, kind=b"\x93verity-grants2\0"),
    change("a kind without its first byte", Refusal.KIND, kind=b"verity-grants1\0\0"),
    change("a kind that goes on", Refusal.KIND, kind=b"\x93verity-grants1x"),
    change("JSON", Refusal.KIND, kind=b'{"payloadType":"'),
    change("keys after the seal", Refusal.SEALED, kind=b"\x93verity-keys1\0\0\0"),
    change("a policy after the seal", Refusal.SEALED, kind=b"\x93verity-policy1\0"),
]
ROWS = [*HEADER, *PARTIES, *TABLES, *PLACES, *ELEVATIONS, *KINDS]
