# SPDX-License-Identifier: Apache-2.0
"""``python3 -m verity``: the same as the command ``verity``."""

from verity.cli.main import main

main()
