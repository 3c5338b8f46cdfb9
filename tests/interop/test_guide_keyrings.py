# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/guides/keyrings.md, one after the other, as a reader would type them."""

import shlex
from collections.abc import Callable
from pathlib import Path

from tests.cli.program import verity
from tests.cli.worlds import World
from tests.quality.test_documents import typed

GUIDE = Path("docs/guides/keyrings.md")


def test_the_guide_runs(copied: Callable[[str], World]) -> None:
    world = copied("archive")
    world.commitmeta().unlink()  # the reader's commit is unsigned
    commands = typed(GUIDE.read_text(), "verity")
    assert len(commands) > 20
    for command in commands:
        done = verity(*shlex.split(command)[1:], cwd=world.path)
        assert done.status == 0, (command, done.err, done.out)
    assert (
        "good: the user's"
        in verity(
            *("keyring", "verify", "--pin", "user=mine/user.pin", "mine/keyrings"), cwd=world.path
        ).out
    )
