# SPDX-License-Identifier: Apache-2.0
"""The attacks as data, a module for each subject; ROWS is all of them; WORKING is
what must keep working; RESIDUAL is what is not stopped."""

from . import (
    configuration,
    elevation,
    execution,
    filesystems,
    hardship,
    interpreters,
    kernel,
    libraries,
    memory,
    nameless,
    reach,
    readers,
    required,
    revoked,
    shared,
    subjects,
    tracing,
    uring,
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
    *kernel.ROWS,
    *reach.ROWS,
    *uring.ROWS,
    *interpreters.ROWS,
    *hardship.ROWS,
    *configuration.ROWS,
    *configuration.SLOW,
    *readers.ROWS,
    *required.ROWS,
)

WORKING = (*shared.WORKING, *reach.WORKING, *tracing.WORKING)

RESIDUAL = interpreters.RESIDUAL

SLOW = (*hardship.ROWS, *configuration.SLOW, *(row for row in readers.ROWS if row.group == 18))
"""Some seconds each: in the long runs only."""
