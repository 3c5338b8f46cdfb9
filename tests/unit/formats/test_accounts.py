# SPDX-License-Identifier: Apache-2.0
"""What account files say: no secret comes out, and nothing that libc may read is passed by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verity.formats import accounts

HASH = b"$6$saltsalt$abcdefghijklmnop"


def test_passwd() -> None:
    found = accounts.parse("passwd", b"root:x:0:0:root:/root:/bin/bash\n# a comment\n\n+::::::\n")
    assert found == {
        "root": {"uid": "0", "gid": "0", "comment": "root", "home": "/root", "shell": "/bin/bash"},
        "+": {"password": "empty"},
    }


@pytest.mark.parametrize(
    ("field", "state"),
    [
        (b"", "empty"),
        (b"*", "locked"),
        (b"!", "locked"),
        (b"!" + HASH, "locked"),
        (HASH, "set"),
        (b"xx", "set"),
    ],
)
def test_the_state_of_a_password(field: bytes, state: str) -> None:
    found = accounts.parse("shadow", b"root:" + field + b":1::::::\n")["root"]
    assert found["password"] == state
    assert ("password-sha256" in found) == (state != "empty")


@given(st.binary(min_size=6, max_size=40).filter(lambda data: not set(b":\n") & set(data)))
def test_no_password_comes_out(password: bytes) -> None:
    data = b"root:" + password + b":1::::::\n"
    said = repr(accounts.parse("shadow", data))
    assert password.decode("latin-1") not in said
    # And that it is another one shows.
    other = accounts.parse("shadow", b"root:" + password + b"1:1::::::\n")
    assert other != accounts.parse("shadow", data)


def test_a_name_that_is_there_twice_and_lines_of_no_form() -> None:
    found = accounts.parse("group", b"a:x:1:\na:x:2:b\nshort:x\n:x:3:\n")
    assert set(found) == {"a", "a #2", "line 3", "line 4"}
    assert found["a #2"] == {"gid": "2", "members": "b"}
    assert found["line 3"]["malformed"] == "yes"


@given(st.sampled_from(sorted(accounts.FILES.values())), st.binary(max_size=200))
def test_any_bytes_are_read(kind: str, data: bytes) -> None:
    accounts.parse(kind, data)


@pytest.mark.parametrize("text", ["0", "00", "+0", " 0", "-0", "4294967296", "", "x"])
def test_a_uid_that_may_be_zero(text: str) -> None:
    assert accounts.is_uid_zero(text)


@pytest.mark.parametrize("text", ["1", "1000", "4294967295"])
def test_a_uid_that_is_none(text: str) -> None:
    assert not accounts.is_uid_zero(text)
