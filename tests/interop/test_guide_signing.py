# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/guides/signing.md, one after the other, as a reader would type them."""

import shlex
from collections.abc import Callable
from pathlib import Path

from tests.cli.forge import COMPILE, STREAMS, make_tools
from tests.cli.program import verity
from tests.cli.test_sign import good
from tests.cli.worlds import World
from tests.quality.test_documents import typed

GUIDE = Path("docs/guides/signing.md")


def test_the_guide_runs(copied: Callable[[str], World]) -> None:
    world = copied("archive")
    # What the reader has: an unsigned commit, tools, and a policy by one key.
    world.commitmeta().unlink()
    make_tools(world.path / "tools")
    good(world, "key", "generate", "policy.pem")
    good(world, *COMPILE, *STREAMS, "host.policy")
    commands = typed(GUIDE.read_text(), "verity")
    assert len(commands) > 12
    for command in commands:
        words = shlex.split(command)[1:]
        if words[:2] == ["sign", "add"]:  # there is no terminal to ask on
            words.insert(2, "--yes")
        done = verity(*words, cwd=world.path)
        assert done.status == 0, (command, done.err)
