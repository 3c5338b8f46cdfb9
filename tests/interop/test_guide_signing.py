# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/guides/signing.md, one after the other, as a reader would type them."""

import shlex
from collections.abc import Callable
from pathlib import Path

from tests.cli.forge import COMPILE, STREAMS, make_tools
from tests.cli.program import copy, verity
from tests.cli.test_sign import good
from tests.cli.worlds import World
from tests.quality.test_documents import typed

GUIDE = Path("docs/guides/signing.md")
CHALLENGE = f"boot_nonce {'5a' * 32}\nhost_id {'c3' * 32}\npolicy_serial 4\nboot_clock_s 900\n"


def what_the_reader_has(world: World) -> None:
    """An unsigned commit, tools, a policy by one key, a keyring, a host, a challenge."""
    world.commitmeta().unlink()
    make_tools(world.path / "tools")
    for name in ("policy", "root", "unlock-ann", "unlock-bob"):
        good(world, "key", "generate", f"{name}.pem")
    good(world, *COMPILE, *STREAMS, "host.policy")
    roles = ("--role", "root=root.pem.pub", "--role", "policy=policy.pem.pub")
    good(world, "keyring", "init", "--party", "user", *roles, "--key", "root.pem", "keyrings")
    (world.path / "host/etc").mkdir(parents=True)
    (world.path / "host/etc/motd").write_text("welcome\n")
    (world.path / "challenge").write_text(CHALLENGE)


def before(world: World, words: list[str]) -> None:
    """What happens elsewhere, before a command."""
    if words[:2] == ["sign", "merge"]:  # the bundle comes back from Ann, and from Bob
        for name in ("ann.sign", "bob.sign"):
            copy(world.path / "os.sign", world.path / name)
    elif "--since" in words:  # what was signed last time
        copy(world.path / "etc.sign", world.path / "last.sign")


def test_the_guide_runs(copied: Callable[[str], World]) -> None:
    world = copied("archive")
    what_the_reader_has(world)
    commands = typed(GUIDE.read_text(), "verity")
    assert len(commands) > 12
    for command in commands:
        words = shlex.split(command)[1:]
        before(world, words)
        if words[:2] == ["sign", "add"]:  # there is no terminal to ask on
            words.insert(2, "--yes")
        if words[:3] == ["sign", "prepare", "etc"]:  # not of the machine that runs the tests
            words += ["--root", "host"]
        done = verity(*words, cwd=world.path)
        assert done.status == 0, (command, done.err)
