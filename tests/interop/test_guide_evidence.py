# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/guides/evidence.md, one after the other, as a reader would type them."""

import shlex
from collections.abc import Callable
from pathlib import Path

from tests.cli.keyring_world import good
from tests.cli.program import copy, verity
from tests.cli.worlds import REF, World
from tests.quality.test_documents import typed

GUIDE = Path("docs/guides/evidence.md")
# What a running host says of itself.
HOST = (*("--root", "host", "--repo", "repo", "--commit", REF), "--key", "vendor.pem.pub")


def what_the_reader_has(world: World) -> None:
    """A host with both parties' keyrings and pins, whose user has one root key."""
    here = world.path
    for name in ("vroot", "root", "policy"):
        good(here, "key", "generate", f"{name}.pem")
    vendor = ("--role", "root=vroot.pem.pub", "--role", "os=vendor.pem.pub", "--stream", "os=*")
    user = ("--role", "root=root.pem.pub", "--role", "policy=policy.pem.pub")
    init = ("keyring", "init", "--party")
    good(here, *init, "vendor", *vendor, "--key", "vroot.pem", "keyrings")
    good(here, *init, "user", *user, "--key", "root.pem", "keyrings")
    for party, root in (("vendor", "vroot"), ("user", "root")):
        good(here, "lockdown", "pin", "--party", party, "--root", f"{root}.pem.pub", f"{party}.pin")
    copy(here / "tree", here / "host")
    (here / "host/etc/verity").mkdir(parents=True)
    (here / "host/etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")


def test_the_guide_runs(copied: Callable[[str], World]) -> None:
    world = copied("archive")
    what_the_reader_has(world)
    commands = typed(GUIDE.read_text(), "verity")
    assert len(commands) > 9
    for command in commands:
        words = shlex.split(command)[1:]
        if words[0] == "audit" and "--verify" not in words:
            # The host has what was published, before it is asked.
            if not (world.path / "host/etc/verity/keyrings").exists():
                copy(world.path / "keyrings", world.path / "host/etc/verity/keyrings")
            words += HOST
        done = verity(*words, cwd=world.path)
        # 1: a copy has no fs-verity, and what else is wrong is not what this guide is about.
        expected = 1 if words[0] == "audit" else 0
        assert done.status == expected, (command, done.err, done.out)
        assert "error" not in done.err, (command, done.err)
        if "--verify" in words and "--since" not in words:
            assert "signed by key " in done.out
            found = {
                line.split()[1] for line in done.out.splitlines() if line.startswith("FINDING")
            }
            assert found <= {"no-verity", "unsigned-file", "missing"}, (command, found)
    pins = ("--pin", "vendor=vendor.pin", "--pin", "user=user.pin")
    json = verity("audit", "--verify", "monday.capsule", *pins, "--json", cwd=world.path)
    table = {one["what"]: one["basis"] for one in json.of_type("said")}
    assert table["statement of os os"] == table["keyring of the user"] == "signatures"
