# SPDX-License-Identifier: Apache-2.0
"""How long something takes or lasts, text <-> seconds: ``30m`` as options and policies have it, and
words for people. Calendars are no affair of this module."""

import re

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TEXT = re.compile(r"([1-9][0-9]{0,9})([smhd])")


def parse(text: str) -> int | None:
    """How many seconds that is, from 1; None for what is no time such as 90s, 15m, 2h or 1d."""
    match = _TEXT.fullmatch(text)
    return None if match is None else int(match[1]) * _SECONDS[match[2]]


def lasting(seconds: int) -> str:
    """For people, to the second."""
    parts = (
        (seconds // 86400, "d"),
        (seconds // 3600 % 24, "h"),
        (seconds // 60 % 60, "min"),
        (seconds % 60, "s"),
    )
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
