# SPDX-License-Identifier: Apache-2.0
"""audit, the owner's extensions: statements that the host keeps, their files, and the state."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.audit_world import COMPILE, AuditWorld, checks, finds, gaps, make_audit_world
from tests.cli.program import copy, verity
from tests.cli.worlds import REF
from verity.ports import places

TOOLS = "opt/tools/tool"
KEPT = f"{places.EXTENSIONS}/tools"
SIGN = ("extension", "sign", "--stream=tools", "--days=30")
STREAM = "--stream=tools=user:extension"


def extended(world: AuditWorld) -> AuditWorld:
    """The owner adds a program of their own, and keeps what was signed."""
    world.run("key", "generate", "ext.pem")
    add = ("keyring", "add-key", "--party=user", "--key=uroot.pem", "--role=extension=ext.pem.pub")
    world.run(*add, "--stream=extension=tools", "k")
    tool = world.path / "added" / TOOLS
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    (tool.parent / "link").symlink_to("tool")
    world.run(*SIGN, "--serial=1", "--key=ext.pem", "--tree=added", "tools.signed")
    shutil.copytree(world.path / "added/opt", world.host / "opt", symlinks=True)
    (world.host / places.EXTENSIONS).mkdir()
    copy(world.path / "tools.signed", world.host / KEPT)
    world.run(*COMPILE, STREAM, "--serial=2", "--key=policy.pem", "next.policy")
    world.installed("next.policy")
    world.bundle("--grants=tools.signed/grants", policy="next.policy")
    return world


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> AuditWorld:
    """For reading only."""
    return extended(make_audit_world(tmp_path_factory.mktemp("audit")))


@pytest.fixture
def world(good: AuditWorld, tmp_path: Path) -> AuditWorld:
    """A copy, to break."""
    return AuditWorld(copy(good.path, tmp_path / "w"))


def test_an_extension_that_is_signed_and_told_to_the_gate(good: AuditWorld) -> None:
    done = good.audit()
    assert (done.status, checks(done), gaps(done)) == (0, [], []), done.out
    (summary,) = done.of_type("summary")
    assert summary["counts"]["extensions"] == 1
    assert "extension tools serial 1: signed by " in done.out
    parts = {one["stream"]: one for one in done.of_type("signed")}
    assert parts["tools"]["signers"] and parts["tools"]["kind"] == "extension"


def statement(change: Callable[[bytes], bytes]) -> Callable[[AuditWorld], None]:
    def spoil(world: AuditWorld) -> None:
        path = world.host / KEPT / "statement.json"
        path.write_bytes(change(path.read_bytes()))

    return spoil


def by_a_stranger(world: AuditWorld) -> None:
    sign = (*SIGN, "--serial=1", "--key=stranger.pem", "--tree=added", "s")
    world.run(*sign)
    shutil.rmtree(world.host / KEPT)
    copy(world.path / "s", world.host / KEPT)


def next_serial(world: AuditWorld) -> None:
    world.run(*SIGN, "--serial=2", "--key=ext.pem", "--tree=added", "s")
    shutil.rmtree(world.host / KEPT)
    copy(world.path / "s", world.host / KEPT)


def not_told(world: AuditWorld) -> None:
    world.bundle(policy="next.policy")


def expired(world: AuditWorld) -> None:
    times = ("--issued=2026-01-01T00:00:00Z", "--expires=2026-02-01T00:00:00Z")
    world.run("extension", "sign", "--stream=tools", "--serial=2", *times, "--key=ext.pem",
              "--tree=added", "s")  # fmt: skip
    copy(world.path / "s", world.host / f"{places.EXTENSIONS}/other")


FOUND: dict[str, tuple[Callable[[AuditWorld], None], set[str]]] = {
    "statement-flipped": (statement(lambda data: data[:-40] + b"x" + data[-39:]), {"extension"}),
    "statement-cut": (statement(lambda data: data[:100]), {"extension"}),
    "by-a-stranger": (by_a_stranger, {"extension"}),
    "another-serial-than-the-gate's": (next_serial, {"extension-behind"}),
    "not-told-to-the-gate": (not_told, {"extension-behind"}),
    "expired": (expired, {"expired", "extension-behind"}),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_is_broken_is_found(name: str, world: AuditWorld) -> None:
    spoil, expected = FOUND[name]
    spoil(world)
    finds(world, expected)


def test_what_cannot_be_read_is_not_evaluated(world: AuditWorld) -> None:
    (world.host / KEPT / "manifest").unlink()
    done = world.audit()
    assert (done.status, checks(done), gaps(done)) == (3, [], ["extension", "extension-behind"])


def test_no_extension_is_told_to_a_gate_by_a_bundle_that_is_damaged(world: AuditWorld) -> None:
    """Nor not told: that is no question that was answered well."""
    bundle = world.host / places.BUNDLE
    bundle.write_bytes(bundle.read_bytes()[:-9])
    done = world.audit()
    assert checks(done) == ["bad-bundle"] and "extension-behind" in gaps(done)
    bundle.unlink()
    assert "extension-behind" not in gaps(world.audit())


def test_an_extension_of_which_only_grants_are_here(world: AuditWorld) -> None:
    shutil.rmtree(world.host / KEPT)
    done = world.audit()
    assert (done.status, checks(done)) == (0, [])
    assert "no documents of it are in /var/lib/verity/extensions" in done.out


def test_a_capsule_has_its_statement(world: AuditWorld) -> None:
    """Whoever verifies it works out the state again, of which the extension is a part."""
    copy(world.path / "k", world.host / "etc/verity/keyrings")
    world.run("key", "generate", "auditor.pem")
    done = world.audit("--evidence", "c", "--evidence-key", "auditor.pem")
    assert done.status == 0, done.err
    pins = ("--pin", "vendor=vendor.pin", "--pin", "user=user.pin")
    shown = world.run("audit", "--verify", "c", "--evidence-key", "auditor.pem.pub", *pins)
    assert "statement of extension tools" in shown.out


# --- its files ------------------------------------------------------------------------------


def of_files(world: AuditWorld) -> set[tuple[str, str]]:
    """What is found of the extension's own files; nothing here has fs-verity, and that is found."""
    done = world.audit(only="files")
    found = {(one["check"], one["object"]) for one in done.of_type("finding")}
    return {one for one in found if one[1].startswith("/opt")}


def test_its_files_are_held_against_its_manifest(world: AuditWorld) -> None:
    assert of_files(world) == {("no-verity", f"/{TOOLS}")}
    tool = world.host / TOOLS
    tool.write_text("#!/bin/sh\n:\n")
    assert of_files(world) == {("content", f"/{TOOLS}")}
    tool.unlink()
    (tool.parent / "link").unlink()
    (tool.parent / "link").symlink_to("elsewhere")
    assert of_files(world) == {("missing", f"/{TOOLS}"), ("target", "/opt/tools/link")}
    (tool.parent / "more").write_text("#!/bin/sh\n")
    (tool.parent / "more").chmod(0o755)
    assert ("unsigned-code", "/opt/tools/more") in of_files(world)


def test_its_files_where_nothing_is_called_unsigned(world: AuditWorld) -> None:
    """Directories of state are not walked, so each is looked at."""
    tool = world.path / "added/var/lib/tool/tool"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\n")
    world.run(*SIGN, "--serial=2", "--key=ext.pem", "--tree=added", "s")
    shutil.rmtree(world.host / KEPT)
    copy(world.path / "s", world.host / KEPT)
    done = world.audit(only="files")
    missing = {one["object"] for one in done.of_type("finding") if one["check"] == "missing"}
    assert "/var/lib/tool/tool" in missing


def test_a_repair_leaves_it_alone(world: AuditWorld) -> None:
    """By the owner's keys; by the vendor's alone nobody knows whose it is."""
    (world.host / "usr/share/tools").mkdir(parents=True)
    copy(world.host / TOOLS, world.host / "usr/share/tools/tool")
    tree = world.path / "shared"
    (tree / "usr/share").mkdir(parents=True)
    copy(world.host / "usr/share/tools", tree / "usr/share/tools")
    world.run(*SIGN, "--serial=2", "--key=ext.pem", "--tree=shared", "s")
    copy(world.path / "s", world.host / f"{places.EXTENSIONS}/shared")
    line = ("repair", "--root", "host", "--repo", "repo", "--commit", REF, "--dry-run", "--json")

    def left(*keys: str) -> set[str]:
        done = verity(*line, *keys, cwd=world.path)
        return {one["path"] for one in done.of_type("left")}

    assert "/usr/share/tools/tool" not in left(*world.pins())
    assert "/usr/share/tools/tool" in left("--key", "os.pem.pub")
    (world.host / "usr/share/tools/tool").write_text("#!/bin/sh\n:\n")
    assert "/usr/share/tools/tool" in left(*world.pins())
