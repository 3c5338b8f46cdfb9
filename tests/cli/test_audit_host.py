# SPDX-License-Identifier: Apache-2.0
"""audit: whom it asks and on whose word, where its report goes, and what a host lacks."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.audit_world import AuditWorld, checks, gaps, head, make_audit_world
from tests.cli.program import STRANGER, assert_clean_error, copy, needs_root, verity
from tests.cli.terminal import on_terminal
from tests.cli.worlds import REF

FLOORS = "var/lib/verity/floors"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> AuditWorld:
    """For reading only."""
    return make_audit_world(tmp_path_factory.mktemp("audit"))


@pytest.fixture
def world(good: AuditWorld, tmp_path: Path) -> AuditWorld:
    """A copy, to break."""
    return AuditWorld(copy(good.path, tmp_path / "w"))


def test_a_report_in_a_file(good: AuditWorld, tmp_path: Path) -> None:
    target = str(tmp_path / "report")
    done = good.audit("--output", target)
    assert (done.status, done.out, done.err) == (0, "", "")
    lines = [json.loads(line) for line in Path(target).read_text().splitlines()]
    assert [one["type"] for one in lines if one["type"] in ("head", "summary")] == [
        "head",
        "summary",
    ]
    again = good.audit("--output", target, report="--format=text")
    assert again.status == 3
    assert_clean_error(again, ("exists already",), hint=True)
    assert good.audit("--output", "-").out.startswith('{"v": 1, "type": "head"')


def test_two_formats(good: AuditWorld) -> None:
    done = good.audit("--format", "text")
    assert done.status == 2
    assert_clean_error(done, ("--json and --format",), hint=False)


def test_the_head_says_whom_and_on_whose_word(good: AuditWorld) -> None:
    said = head(good.audit())
    assert (said["host_name"], said["root"], said["state"]) == ("audited", "host", "offline")
    assert (said["roots_given"], said["enforced"], said["level"]) == (True, False, "")
    assert [one.split(" sha256:")[0] for one in said["roots"]] == ["vendor", "user"]
    assert len(said["host_id"]) == len(said["tool_digest"]) == 64
    names = [one["name"] for one in said["residuals"]]
    assert names[0] == "nothing-refused"
    assert {"signed-tools", "written-by-granted-programs"} <= set(names)
    assert "before-the-gate" not in names


def test_a_tree_does_not_take_the_name_of_the_auditors_machine(world: AuditWorld) -> None:
    for name in ("machine-id", "hostname", "os-release"):
        (world.host / "etc" / name).unlink(missing_ok=True)
        (world.host / "etc" / name).symlink_to(f"/etc/{name}")
    said = head(world.audit())
    assert (said["host_id"], said["host_name"], said["system"]) == ("", "unnamed", "")


def test_a_host_without_anything(good: AuditWorld, tmp_path: Path) -> None:
    """Its documents are no question there; the commit still is."""
    line = ("audit", "--root", str(tmp_path), "--repo=repo", "--commit", REF, "--json")
    done = verity(*line, *good.pins(), "--only=trust", cwd=good.path)
    assert (done.status, checks(done), gaps(done)) == (0, [], [])
    skipped = {one["check"]: one["why"] for one in done.of_type("not-applicable")}
    assert skipped["bad-bundle"] == "there is no boot bundle here"
    assert skipped["policy"] == "no policy is installed here"
    assert skipped["no-floor"] == "no floor was compared: no host's state is here"


def test_a_host_whose_commit_nobody_names(good: AuditWorld, tmp_path: Path) -> None:
    line = ("audit", "--root", str(tmp_path), "--json", *good.pins())
    done = verity(*line, cwd=good.path)
    assert (done.status, checks(done)) == (3, [])
    why = {one["check"]: one["why"] for one in done.of_type("not-evaluated")}
    assert "no floor of an OS, and OSTree has booted none" in why["commit"]
    assert why["content"].startswith("no signed commit of this host could be verified")
    assert why["grants-differ"] == "there is no verified commit"


def test_the_commit_of_the_floor(good: AuditWorld) -> None:
    """A host that OSTree hasn't booted and that has accepted one OS is to be that."""
    line = ("audit", "--root", "host", "--repo", "repo", "--only=trust", "--json")
    done = verity(*line, *good.pins(), cwd=good.path)
    assert (done.status, checks(done), gaps(done)) == (0, [], [])


def test_two_floors_of_an_os(world: AuditWorld) -> None:
    copy(world.host / FLOORS / "vendor.os.os", world.host / FLOORS / "vendor.os.other")
    line = ("audit", "--root", "host", "--repo", "repo", "--only=trust", "--json")
    done = verity(*line, *world.pins(), cwd=world.path)
    assert checks(done) == ["bad-floor"]  # the copy is no floor of that name
    assert any("2 floors of an OS" in one["why"] for one in done.of_type("not-evaluated"))


def test_the_vendors_pin_alone(good: AuditWorld) -> None:
    """What the user signs is then not evaluated, and never good."""
    line = ("audit", "--root=host", "--repo=repo", "--commit", REF, "--only=trust", "--json")
    lone = ("--insecure-without-user-revocations", "--keyring=k", "--pin=vendor=vendor.pin")
    done = verity(*line, *lone, cwd=good.path)
    assert (done.status, checks(done)) == (3, [])
    assert {"policy", "bad-bundle"} <= set(gaps(done))


def test_keys_that_are_named(good: AuditWorld) -> None:
    line = ("audit", "--root=host", "--repo=repo", "--commit", REF, "--only=trust", "--json")
    done = verity(*line, "--key=os.pem.pub", cwd=good.path)
    assert (done.status, checks(done)) == (3, [])
    assert {"policy", "bad-bundle"} <= set(gaps(done))
    assert head(done)["roots"][0].startswith("key ")


@needs_root
def test_documents_for_root_only(world: AuditWorld) -> None:
    """In the middle of it: each is not evaluated, and hides nothing of the others."""
    for folder in (world.path, *world.path.parents):
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o011)
    for name in ("etc/verity/policy.json", "var/lib/verity/boot.bundle"):
        os.chown(world.host / name, STRANGER, STRANGER)
        (world.host / name).chmod(0o600)
    line = ("audit", "--root=host", "--repo=repo", "--commit", REF, "--only=trust", "--json")
    done = verity(*line, *world.pins(), cwd=world.path, lesser=True)
    assert (done.status, checks(done)) == (3, [])
    why = {one["check"]: one["why"] for one in done.of_type("not-evaluated")}
    assert "permission denied" in why["policy"]
    assert "permission denied" in why["bad-bundle"]
    assert "Traceback" not in done.err


def test_a_terminal_sees_what_is_being_done(good: AuditWorld) -> None:
    line = ("audit", "--root", "host", "--repo", "repo", "--commit", REF, *good.pins())
    session = on_terminal(*line, "--only=trust", "--only=deployment", cwd=good.path)
    assert (session.status, ": good" in session.out.splitlines()[0]) == (0, True)
    places = [session.screen.index(name) for name in ("documents", "trust", "deployment")]
    assert places == sorted(places)
