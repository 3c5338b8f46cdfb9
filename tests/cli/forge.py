# SPDX-License-Identifier: Apache-2.0
"""A directory with keys, pins and every fragment of a boot bundle, made by the program."""

from pathlib import Path

from tests.cli.program import Done, stock, verity
from tests.cli.worlds import REF, World, commit, sign

KEYS = ("vroot", "uroot", "uroot2", "os", "ext", "policy", "etc", "etc2", "stranger")
PINS = ("--pin", "vendor=vendor.pin", "--pin", "user=user.pin")
PROJECT_VENDOR = ("keyring", "project", "--party", "vendor", "--version", "1", "--key", "vroot.pem")
PROJECT_USER = ("keyring", "project", "--party", "user", "--version", "1", "--key", "uroot.pem")
COMPILE = (
    *("policy", "compile", "--root", "unsigned-etc", "--mode", "sealed", "--serial", "1"),
    *("--key", "policy.pem"),
)
# Nothing signs configuration here, and a sealed policy that enforces it makes no bundle.
UNSIGNED_ETC = "".join(
    f'[[reaction]]\nto = "config-{what}"\nreaction = "observe"\nreason = "not signed here"\n'
    for what in ("unsigned", "link", "mount")
)
STREAMS = ("--stream", "os=vendor:os", "--stream", "tools=user:extension")
EXTENSION = ("extension", "sign", "--key", "ext.pem", "--stream", "tools", "--serial", "1")
BUNDLE = (
    *("lockdown", "bundle", *PINS, "--keys", "v.keys", "--keys", "u.keys"),
    *("--policy", "host.policy", "--grants", "os.grants"),
)


def run(cwd: Path, *args: str) -> Done:
    done = verity(*args, cwd=cwd)
    assert done.status == 0, (args, done.err)
    return done


def make_tools(tree: Path) -> None:
    """A small extension: a program, a script, a library's look, and data."""
    (tree / "bin").mkdir(parents=True)
    tool = tree / "bin/tool"
    tool.write_bytes(Path("/bin/true").read_bytes())
    tool.chmod(0o755)
    script = tree / "bin/script"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    (tree / "data").write_text("no code")


def make_forge(path: Path) -> Path:
    """Keys of two parties, pins, and fragments: v.keys, u.keys, host.policy, os.grants, tools."""
    rules = path / "unsigned-etc/etc/verity/policy.d"
    rules.mkdir(parents=True)
    (rules / "50-tests.toml").write_text(UNSIGNED_ETC)
    for name in KEYS:
        run(path, "key", "generate", f"{name}.pem")
    tree = path / "tree"
    make_tools(tree)
    stock("ostree", "--repo=repo", "init", "--mode=bare-user", cwd=path)
    commit(path / "repo", tree, REF)
    sign(path, "--serial", "1", REF, key="os.pem")
    run(path, "lockdown", "pin", "--party", "vendor", "--root", "vroot.pem.pub", "vendor.pin")
    run(path, "lockdown", "pin", "--party", "user", "--root", "uroot.pem.pub", "user.pin")
    run(path, *PROJECT_VENDOR, "--role", "os=os.pem.pub", "v.keys")
    roles = ("--role", "policy=policy.pem.pub", "--role", "extension=ext.pem.pub")
    run(path, *PROJECT_USER, *roles, "u.keys")
    run(path, *COMPILE, *STREAMS, "host.policy")
    shown = run(path, "commit", "show", "--repo", "repo", "--grants", REF)
    (path / "os.grants").write_bytes(shown.raw_out)
    run(path, *EXTENSION, "--tree", "tree", "tools")
    return path


def as_world(path: Path) -> World:
    """The repository among it."""
    return World(path, "bare-user")
