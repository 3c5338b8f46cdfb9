# SPDX-License-Identifier: Apache-2.0
"""Which programs a policy lists as interpreter or jit, for the flags of grants.

Paths are those of the manifest, patterns those of the policy: ``*`` and ``?`` stand for anything
but a slash, and a directory for all below it. A link is not followed: a policy lists the file.

1. Between shell and interpreter the last line counts that matches, as for guarded paths.
2. jit is said beside that: one line that matches is enough.

It reads no policy and no tree, and asks no signature: ``verbs.policy_lists`` takes the document.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from verity.formats.dump import Entry
from verity.formats.etc_rules import matcher
from verity.formats.grants import Code
from verity.formats.policy import Interpreter, InterpreterKind


@dataclass(frozen=True)
class GrantLists:
    """The lines of one policy; called with a file, it says what that one is listed as.

    ``modules``: the policy lets extensions bring kernel modules. Each file is then asked as one,
    and counts as one if it is (``grant_rules``).
    """

    lines: tuple[Interpreter, ...]
    modules: bool = False

    def __call__(self, entry: Entry) -> Code:
        """The flags interpreter and jit, as the policy has them for this path, and module."""
        found = Code.MODULE if self.modules else Code(0)
        for pattern, kind in self._patterns:
            if not pattern.match(entry.path):
                continue
            match kind:
                case InterpreterKind.SHELL:
                    found &= ~Code.INTERPRETER
                case InterpreterKind.INTERPRETER:
                    found |= Code.INTERPRETER
                case InterpreterKind.JIT:
                    found |= Code.JIT
        return found

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[bytes], InterpreterKind]]:
        return [(matcher(line.path), line.kind) for line in self.lines]
