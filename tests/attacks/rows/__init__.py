# SPDX-License-Identifier: Apache-2.0
"""The attacks as data, a module for each subject; ROWS is all of them."""

from . import (
    elevation,
    execution,
    filesystems,
    libraries,
    memory,
    nameless,
    revoked,
    shared,
    subjects,
    tracing,
)

ROWS = (
    *execution.ROWS,
    *elevation.ROWS,
    *libraries.ROWS,
    *nameless.ROWS,
    *memory.ROWS,
    *shared.ROWS,
    *filesystems.ROWS,
    *subjects.ROWS,
    *tracing.ROWS,
    *revoked.ROWS,
)
