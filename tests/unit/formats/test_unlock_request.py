# SPDX-License-Identifier: Apache-2.0
"""What a host asks for: what is refused, what mail programs did to it, what something pasted is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.formats.unlock_examples import request
from verity.formats import challenge, pasted, unlock_request
from verity.formats.pasted import Pasted
from verity.formats.unlock import Scope
from verity.values.errors import ContentError

TEXT = request().decode()
REQUEST = unlock_request.parse(request())
NONCE = "5a" * 32


@given(st.text(min_size=1, max_size=60).filter(lambda text: text.isprintable() and text.strip()))
def test_any_reason_survives(reason: str) -> None:
    changed = replace(REQUEST, reason=reason)
    try:
        data = unlock_request.encode(changed)
    except ContentError as error:  # a space at an end would not survive a mail
        assert reason != reason.strip() and "do not survive" in error.message
        return
    assert unlock_request.parse(data) == changed


MAILED = {
    "CRLF": TEXT.replace("\n", "\r\n"),
    "quoted": "".join(f"> > {line}\n" for line in TEXT.splitlines()),
    "a mail around it": f"Hi,\n\n{TEXT}\n-- \nAnn\nboot_nonce is what?\n",
    "spaces that don't break": TEXT.replace(" ", "\u00a0"),
    "soft hyphens": TEXT.replace("rack", "ra\u00adck").replace("5a5a", "5a\u00ad5a"),
    "the nonce in two lines": TEXT.replace(NONCE, f"{NONCE[:30]}\n{NONCE[30:]}"),
    "the key alone": TEXT.replace(f"boot_nonce {NONCE}", f"boot_nonce\n{NONCE}"),
    "the reason in two lines": TEXT.replace("disk of rack", "disk of\nrack"),
    "spaces at ends": TEXT.replace("\n", "  \n"),
}


@pytest.mark.parametrize("name", MAILED)
def test_as_a_mail_program_leaves_it(name: str) -> None:
    assert MAILED[name] != TEXT
    assert unlock_request.parse(MAILED[name].encode()) == REQUEST


BAD = {
    "cut": (TEXT[:-4], "the line `end` is missing"),
    "no nonce": (TEXT.replace("boot_nonce", "nonce"), "the key boot_nonce is missing"),
    "a key twice": (TEXT.replace("level B0", "level B0\nlevel B1"), "level stands there twice"),
    "a host's name": (TEXT.replace("db7", "db7\x1b[2J"), "is no name"),
    "an unknown scope": (TEXT.replace("path-prefix", "all"), "the scope 'all' is unknown"),
    "a time": (TEXT.replace("1800", "1h"), "duration_s '1h' is not 0 to"),
    "a long time": (TEXT.replace("1800", "9999999999"), "is not 0 to"),
    "no operand": (TEXT.replace("operand /opt/rescue\n", ""), "the operand is missing"),
    "an operand too many": (
        TEXT.replace("path-prefix", "off"),
        "an operand that its scope doesn't have",
    ),
    "no digest": (TEXT.replace("path-prefix", "digest"), "is not 64 lower-case hex digits"),
    "a path that isn't escaped": (TEXT.replace("/opt/rescue", "/opt/\\xzz"), "is not escaped"),
    "a reason that is no UTF-8": (TEXT.replace("disk", "\\xff"), "no UTF-8"),
    "a reason that isn't shown": (TEXT.replace("disk", "\\x1b[2J"), "the reason is not one line"),
    "too long": (TEXT + "x" * challenge.MAX_SIZE, "bytes, at most"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:
    text, words = BAD[name]
    assert text != TEXT
    with pytest.raises(ContentError) as caught:
        unlock_request.parse(text.encode())
    assert words in caught.value.message


def test_what_the_status_alone_says() -> None:
    lines = "".join(TEXT.splitlines(keepends=True)[1:5])
    found = unlock_request.parse(f"version 5\n{lines}unlocked 0\n".encode())
    assert found == unlock_request.Request(challenge=REQUEST.challenge)
    assert (found.scope, found.duration_s) == (None, None)
    assert REQUEST.scope is Scope.PATH_PREFIX


KINDS = {
    Pasted.NOTHING: [b"", b" \n\t"],
    Pasted.CHALLENGE: [request(), b"> boot_clock_s 9\n", b"boot_nonce 5a\n"],
    Pasted.TYPED: [
        b"01 0410 22TT B9D5 NGY3 88\n",
        b"begin verity unlock\n",
        b"Begin Verity Unlock",
    ],
    Pasted.OPENPGP: [b"-----BEGIN PGP SIGNATURE-----\n"],
    Pasted.SSH: [b"ssh-rsa AAAA", b"-----BEGIN SSH SIGNATURE-----", b"-----BEGIN OPENSSH PRIVATE"],
    Pasted.PEM: [b"text\n-----BEGIN CERTIFICATE-----\n"],
    Pasted.WEB_TOKEN: [b"eyJhbGciOiJub25lIn0.e30.", b"ghp_0123456789"],
    Pasted.OTHER: [b"hello", b"\x00\x01", b"ssh is broken", b"123456"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_looks_like(kind: Pasted) -> None:
    assert [pasted.kind_of(data) for data in KINDS[kind]] == [kind] * len(KINDS[kind])
