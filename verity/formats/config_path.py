# SPDX-License-Identifier: Apache-2.0
"""Paths that the kernel is told: absolute, short, and in one spelling."""

import re

MAX_CONFIG_PATH = 255
# An empty, "." or ".." component, "/" alone included.
_BAD_COMPONENT = re.compile(rb"/\.{0,2}(?:/|\Z)")


def is_config_path(path: bytes) -> bool:
    """Whether a path may stand in a blob; it is at most 255 bytes long, and not ``/``."""
    return (
        path.startswith(b"/")
        and len(path) <= MAX_CONFIG_PATH
        and b"\0" not in path
        and not _BAD_COMPONENT.search(path)
    )
