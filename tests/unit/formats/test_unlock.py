# SPDX-License-Identifier: Apache-2.0
"""The unlock token and the challenge: beside the vectors, what is not written and what is read."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verity.formats import challenge, unlock
from verity.formats.challenge import Challenge
from verity.formats.unlock import Scope, UnlockToken
from verity.values.errors import ContentError

TOKEN = UnlockToken(
    boot_nonce=b"\x11" * 32,
    token_id=b"\x22" * 16,
    host_id=b"\x33" * 32,
    policy_serial=4,
    scope=Scope.CONFIG_PATH,
    duration_s=900,
    apply_before_s=4500,
    reason=unlock.reason_sha256("disk of rack 7"),
    operand="/etc/motd/ü".encode(),
)
NOT_WRITTEN: dict[str, tuple[dict[str, Any], str]] = {
    "a short nonce": ({"boot_nonce": b"\x11" * 31}, "a boot nonce of 31 bytes, expected 32"),
    "a long id": ({"token_id": b"\x22" * 17}, "a token id of 17 bytes, expected 16"),
    "a short host id": ({"host_id": b""}, "a host id of 0 bytes"),
    "a reason that is no digest": ({"reason": b"why"}, "a SHA-256 of the reason of 3 bytes"),
    "a path of 256 bytes": ({"operand": b"/" + b"a" * 255}, "an operand of 256 bytes"),
    "a path that ends in NUL": ({"operand": b"/etc/motd\0"}, "do not survive"),
    "a duration that is negative": ({"duration_s": -1}, "the duration -1"),
    "a duration of 2^32": ({"duration_s": 2**32}, "the duration 4294967296"),
    "a serial of 2^64": ({"policy_serial": 2**64}, "the policy serial 18446744073709551616"),
    "a negative time": ({"apply_before_s": -1}, "the apply-before -1"),
    "a digest of 31 bytes": ({"scope": Scope.DIGEST, "operand": b"\x01" * 31}, "do not survive"),
    "a digest of 33 bytes": ({"scope": Scope.DIGEST, "operand": b"\x01" * 33}, "not one digest"),
}


def test_what_is_written_is_read() -> None:
    data = unlock.encode(TOKEN)
    assert len(data) == 416
    assert unlock.parse(data) == TOKEN


@pytest.mark.parametrize("name", NOT_WRITTEN)
def test_not_written(name: str) -> None:
    changes, words = NOT_WRITTEN[name]
    with pytest.raises(ContentError, match="unlock token: ") as caught:
        unlock.encode(replace(TOKEN, **changes))
    assert caught.value.code == "bad-unlock"
    assert words in caught.value.message


@given(at=st.integers(0, 415), value=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_another_value(at: int, value: int) -> None:
    data = unlock.encode(TOKEN)
    changed = data[:at] + bytes([value]) + data[at + 1 :]
    try:
        found = unlock.parse(changed)
    except ContentError:
        return
    assert unlock.encode(found) == changed
    assert (found == TOKEN) == (changed == data)


def test_the_reason_is_its_utf8() -> None:
    assert unlock.reason_sha256("für 7") == hashlib.sha256(b"f\xc3\xbcr 7").digest()


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "a\x1b[2J", "a\udcff", "ü" * 501, "\u202eabc"])
def test_no_reason(text: str) -> None:
    with pytest.raises(ContentError, match="the reason is not one line"):
        unlock.reason_sha256(text)


# --- the challenge

NONCE, HOST = "ab" * 32, "cd" * 32
LINES = f"version 2\nboot_nonce {NONCE}\nhost_id {HOST}\npolicy_serial 4\nboot_clock_s 900\n"
GOOD = Challenge(
    boot_nonce=bytes.fromhex(NONCE), host_id=bytes.fromhex(HOST), policy_serial=4, boot_clock_s=900
)


def test_a_challenge() -> None:
    assert challenge.parse(LINES.encode()) == GOOD
    # In any order, among anything else that a gate says, of which lines may repeat.
    mixed = "stream a\n" + "".join(sorted(LINES.splitlines(keepends=True))) + "stream b\n"
    assert challenge.parse(mixed.encode()) == GOOD


BAD_CHALLENGES = {
    "empty": ("", "does not end with a line feed"),
    "cut": (LINES[:-1], "does not end with a line feed"),
    "not ASCII": (LINES + "ü\n", "not ASCII"),
    "too long": ("x\n" * 300_000, "at most 524288"),
    "no nonce": (LINES.replace("boot_nonce", "nonce"), "the key boot_nonce is missing"),
    "no clock": (LINES.replace("boot_clock_s", "clock"), "the key boot_clock_s is missing"),
    "a key twice": (LINES + "policy_serial 4\n", "policy_serial stands there twice"),
    "a short nonce": (LINES.replace(NONCE, NONCE[2:]), "is not 64 lower-case hex digits"),
    "a nonce in capitals": (LINES.replace(NONCE, NONCE.upper()), "is not 64 lower-case hex"),
    "a negative serial": (LINES.replace("serial 4", "serial -4"), "is not a decimal number"),
    "a serial with zeros": (LINES.replace("serial 4", "serial 04"), "is not a decimal number"),
    "a serial of 2^53": (LINES.replace("serial 4", f"serial {2**53}"), "below 2^53"),
    "two values": (LINES.replace("serial 4", "serial 4 5"), "'4 5' is not a decimal number"),
    "digits of other scripts": (LINES.replace("_s 900", "_s ٩"), "not ASCII"),
}


@pytest.mark.parametrize("name", BAD_CHALLENGES)
def test_no_challenge(name: str) -> None:
    text, words = BAD_CHALLENGES[name]
    with pytest.raises(ContentError, match="challenge: ") as caught:
        challenge.parse(text.encode())
    assert caught.value.code == "bad-challenge"
    assert words in caught.value.message
