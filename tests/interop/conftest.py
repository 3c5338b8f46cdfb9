# SPDX-License-Identifier: Apache-2.0
"""The signed worlds of tests/cli, for tests that need another program beside ours."""

from tests.cli.conftest import any_world, bare, copied, host, keys, made, shim, world

__all__ = ["any_world", "bare", "copied", "host", "keys", "made", "shim", "world"]
