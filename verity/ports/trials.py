# SPDX-License-Identifier: Apache-2.0
"""What a host has written down of its trials; ``formats.trial_record`` says what is in it."""

from pathlib import Path

from verity.formats import trial_record
from verity.formats.trial_record import CameUp, Trial
from verity.ports import places
from verity.ports.osfile import read_if_there


def begun(root: Path) -> Trial | None:
    """What the loader has written down of the last trial; None if there was none."""
    data = read_if_there(root / places.TRIAL, max_size=trial_record.MAX_SIZE)
    return None if data is None else trial_record.parse(data)


def came_up(root: Path) -> CameUp | None:
    """What verity-confirm has written down of the last trial that came up; None if none did."""
    data = read_if_there(root / places.TRIAL_CAME_UP, max_size=trial_record.MAX_SIZE)
    return None if data is None else trial_record.parse_came_up(data)
