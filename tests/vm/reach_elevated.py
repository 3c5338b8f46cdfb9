# SPDX-License-Identifier: Apache-2.0
"""Prints the programs that the area code finds to raise privileges in a tree, one a line."""

import os
import sys
from pathlib import Path

from verity.ports.rooted import Rooted
from verity.verbs import reach_elevated
from verity.verbs.audit_host import AuditedHost
from verity.verbs.reach_judge import Signed
from verity.verbs.reach_values import Seen

root = Path(sys.argv[1])
with Rooted(root) as tree:
    seen = Seen(tree)
    signed = Signed.of(AuditedHost(root=root, live=False, now=1, clock=1))
    for one in reach_elevated.programs(seen, signed):
        print(os.fsdecode(one.entry.path))  # noqa: T201  # it is a program
    print(dict(seen.counts))  # noqa: T201
