# SPDX-License-Identifier: Apache-2.0
"""What a unit says that it runs."""

from hypothesis import given
from hypothesis import strategies as st

from verity.formats import unit_said

UNIT = b"""# a comment
[Unit]
Description=nothing that runs
[Service]
ExecStartPre=-/bin/first
ExecStart=/bin/sh -c \\
# inside of it
    'id'
ExecStart = /bin/second
User=root
Environment=TOKEN=geheim
"""


def test_each_line_that_says_what_runs() -> None:
    assert unit_said.said(UNIT) == {
        "[Service] ExecStartPre": "-/bin/first",
        "[Service] ExecStart": "/bin/sh -c  'id'\n/bin/second",
        "[Service] User": "root",
        "[Service] Environment": "(not shown)",
    }


@given(st.binary(max_size=300))
def test_any_bytes_are_read(data: bytes) -> None:
    unit_said.said(data)
