# SPDX-License-Identifier: Apache-2.0
"""Policies that guard configuration of the tests' commits, and signing with them."""

from pathlib import Path

from tests.cli.program import Done, copy, verity
from tests.cli.worlds import REF, World, commit

GUARDED = """
[[guarded]]
class = "signed"
paths = ["/usr/share"]
reason = "services read it"

[[guarded]]
class = "mutable"
paths = ["/usr/share/copy", "/usr/share/names/w*"]
reason = "a service writes there"
"""
TIMES = ("--issued", "2026-01-01T00:00:00Z", "--expires", "2096-01-01T00:00:00Z")
AS = ("--stream", "os", "--serial", "3")
BY = ("commit", "sign", "--repo", "repo", "--key", "vendor.pem", *TIMES, "--replace")
SIGN = (*BY, *AS)
NEXT = (*BY, "--stream", "os", "--serial", "4")


def good(path: Path, *args: str) -> Done:
    """Run what must succeed."""
    done = verity(*args, cwd=path)
    assert done.status == 0, (args, done.err)
    return done


def make_policies(path: Path, keys: Path) -> Path:
    """guard.json guards, plain.json doesn't, owner.json guards and names a stream of the owner."""
    drop_in = path / "root/etc/verity/policy.d/50-own.toml"
    drop_in.parent.mkdir(parents=True)
    key = f"--key={keys / 'vendor.pem'}"
    for name, text, more in (
        ("plain", "", ()),
        ("guard", GUARDED, ()),
        ("owner", GUARDED, ("--stream=host=user:etc",)),
    ):
        drop_in.write_text(text)
        compile_it = ("policy", "compile", "--root", "root", "--serial", "1", *TIMES, key)
        good(path, *compile_it, "--stream=os=vendor:os", *more, name)
    return path


def with_policies(world: World, policies: Path) -> World:
    """A world with these policies in it."""
    for name in ("plain.json", "guard.json", "owner.json"):
        copy(policies / name, world.path / name)
    return world


def owners_tree(world: World, target: str) -> None:
    """A commit with an /etc of its own, and a link to this target."""
    (world.path / "tree/etc/app").mkdir(parents=True)
    (world.path / "tree/etc/app/conf").write_text("a = 1\n")
    (world.path / "tree/usr/etc").mkdir(parents=True)
    (world.path / "tree/usr/etc/conf").write_text("a = 2\n")
    (world.path / "tree/usr/share/far").symlink_to(target)
    commit(world.repo, world.path / "tree", REF)
