# SPDX-License-Identifier: Apache-2.0
"""An ability of the host, as ``doctor`` and ``lockdown status`` tell it."""

from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """Whether the host can do it."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Ability:
    """One thing that verity may need from the host."""

    name: str
    answer: Answer
    detail: str
    hint: str = ""
    required: bool = False
