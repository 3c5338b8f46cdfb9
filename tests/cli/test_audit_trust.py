# SPDX-License-Identifier: Apache-2.0
"""audit, area trust: a good host has no finding, and what is broken is found by its own check."""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.audit_world import VENDOR, AuditWorld, checks, gaps, head, make_audit_world
from tests.cli.program import STRANGER, assert_clean_error, copy, needs_root, stock, verity
from tests.cli.spoil import flip_commit, flip_grants, flip_manifest, flip_statement, flipped
from tests.cli.terminal import on_terminal
from tests.cli.worlds import REF
from verity.formats.commit import DetachedMetadata
from verity.formats.grant_rules import Earned, earned
from verity.formats.grants import Code
from verity.ports import keystore, places
from verity.ports.ostree_repo import Repository
from verity.verbs import commit_sign, documents, sign_serials

FLOOR = "var/lib/verity/floors/vendor.os.os"
DAY = 86400


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> AuditWorld:
    """For reading only."""
    return make_audit_world(tmp_path_factory.mktemp("audit"))


@pytest.fixture
def world(good: AuditWorld, tmp_path: Path) -> AuditWorld:
    """A copy, to break."""
    return AuditWorld(copy(good.path, tmp_path / "w"))


def test_a_good_host_has_no_finding(good: AuditWorld) -> None:
    done = good.audit()
    assert (done.status, checks(done), gaps(done), done.err) == (0, [], [], "")
    (summary,) = done.of_type("summary")
    assert summary["counts"]["keyrings"] == 2
    assert summary["counts"]["floors"] > 0
    assert summary["counts"]["boot bundle parts"] == 4
    # tool, sudo and script; what has no x bit and no grant isn't opened.
    assert summary["counts"]["files whose grants were made anew"] == 3
    text = good.audit(report="--format=text")
    assert (text.status, "good: " in text.out, "FINDING" in text.out) == (0, True, False)


def spoiled(name: str, change: Callable[[bytes], bytes]) -> Callable[[AuditWorld], None]:
    def spoil(world: AuditWorld) -> None:
        path = world.path / name
        path.write_bytes(change(path.read_bytes()))

    return spoil


def removed(name: str) -> Callable[[AuditWorld], None]:
    return lambda world: (world.path / name).unlink()


def detached(
    change: Callable[[DetachedMetadata], DetachedMetadata],
) -> Callable[[AuditWorld], None]:
    return lambda world: world.attach(change(world.detached()))


def resigned(world: AuditWorld) -> None:
    """The next serial, which isn't in the bundle."""
    world.signed_as(2)


def at_another_time(issued: int, expires: int) -> Callable[[AuditWorld], None]:
    """Signed as the next serial, at a time that is so far from now."""

    def sign(world: AuditWorld) -> None:
        now = int(time.time())
        with Repository(world.repo) as repository:
            request = commit_sign.Request(
                revision=REF,
                stream="os",
                serial=2,
                issued=now + issued,
                expires=now + expires,
                replace=True,
            )
            signer = keystore.load_signer(str(world.path / "os.pem"))
            commit_sign.sign(repository, request, [signer], jobs=1)
        shown = world.run("commit", "show", "--repo", "repo", "--grants", REF)
        (world.path / "os.grants").write_bytes(shown.raw_out)

    return sign


def older(world: AuditWorld) -> None:
    """The host has accepted serial 5, and then gets serial 1 again."""
    before = world.commitmeta().read_bytes()
    world.signed_as(5)
    accept = ("commit", "verify", "--repo=repo", "--root=host", *world.pins(), "--accept", REF)
    world.run(*accept)
    world.commitmeta().write_bytes(before)


def forget(world: AuditWorld) -> None:
    """Have the signer forget which serials were given."""
    world.commitmeta().unlink()
    shutil.rmtree(world.repo.joinpath(*sign_serials.FOLDERS))


def signed_twice(world: AuditWorld) -> None:
    """Serial 1 once more, with another time: grants have other bytes."""
    forget(world)
    world.run(
        *("commit", "sign", "--repo=repo", "--key=os.pem", "--stream=os", "--serial=1"),
        *("--expires=2096-01-01T00:00:00Z", "--replace", REF),
    )


def by_a_stranger(world: AuditWorld) -> None:
    forget(world)
    world.run(
        *("commit", "sign", "--repo=repo", "--key=stranger.pem", "--stream=os", "--serial=1"),
        *("--replace", REF),
    )


def newer_policy(world: AuditWorld) -> None:
    """It is installed, and the bundle has the one before."""
    world.compiled(2, "next.policy")
    world.installed("next.policy")


def older_policy(world: AuditWorld) -> None:
    """The bundle has the next one, and the one before is installed."""
    world.compiled(2, "next.policy")
    world.bundle(policy="next.policy")


def foreign_pin(world: AuditWorld) -> None:
    world.run("lockdown", "pin", "--party=vendor", "--root=stranger.pem.pub", "x.pin")
    (world.host / places.VENDOR_PIN).write_bytes((world.path / "x.pin").read_bytes())


def rotated(world: AuditWorld) -> None:
    """A keyring that came after the bundle."""
    world.run("keyring", "add-key", *VENDOR, "--stream=os=os", "--stream=os=more", "k")


def lost_version(world: AuditWorld) -> None:
    """A bundle with the keys of a version that is gone."""
    rotated(world)
    world.bundle()
    (world.path / "k/vendor/2.keyring.json").unlink()


def revoked(*what: str) -> Callable[[AuditWorld], None]:
    def revoke(world: AuditWorld) -> None:
        world.run("keyring", "revoke", *VENDOR, *what, "k")

    return revoke


def granted_too_much(world: AuditWorld) -> None:
    """By a signer whose program says that every script is a library, too."""

    def more(*args: Any) -> Earned:
        due = earned(*args)
        code = [
            replace(entry, flags=entry.flags | (Code.LIBRARY if entry.flags & Code.SCRIPT else 0))
            for entry in due.code
        ]
        return replace(due, code=tuple(code))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "earned", more)
        at_another_time(-DAY, DAY)(world)
    world.bundle()


def unsigned(world: AuditWorld) -> None:
    world.commitmeta().unlink()


def of_another_commit(world: AuditWorld) -> None:
    """The documents are good, and belong to the commit before."""
    before = world.commitmeta().read_bytes()
    stock("ostree", "--repo=repo", "commit", "-b", REF, "tree", "--subject=2", cwd=world.path)
    world.commitmeta().write_bytes(before)


def another_floor(world: AuditWorld) -> None:
    """Of another stream, and no floor of it."""
    copy(world.host / FLOOR, world.host / "var/lib/verity/floors/vendor.os.other")


FOUND: dict[str, tuple[Callable[[AuditWorld], None], set[str]]] = {
    "unsigned": (unsigned, {"not-signed"}),
    "of-another-commit": (of_another_commit, {"wrong-commit"}),
    "damaged-commit": (flip_commit, {"commit"}),
    "statement-flipped": (detached(flip_statement), {"bad-document"}),
    "manifest-flipped": (detached(flip_manifest), {"wrong-manifest"}),
    "grants-flipped": (detached(flip_grants), {"wrong-grants"}),
    "by-a-stranger": (by_a_stranger, {"bad-signature"}),
    "expired": (at_another_time(-9 * DAY, -DAY), {"expired", "bundle-behind"}),
    "from-the-future": (at_another_time(9 * DAY, 99 * DAY), {"issued-ahead", "bundle-behind"}),
    "below-the-floor": (older, {"below-floor"}),
    "signed-twice": (signed_twice, {"equivocation", "bundle-behind"}),
    "no-floor": (removed(f"host/{FLOOR}"), {"no-floor"}),
    "bad-floor": (spoiled(f"host/{FLOOR}", lambda data: data[:-9]), {"bad-floor"}),
    "bad-floor-of-another-stream": (another_floor, {"bad-floor"}),
    "policy-flipped": (
        spoiled("host/etc/verity/policy.json", lambda data: data.replace(b'"sig":"M', b'"sig":"N')),
        {"policy"},
    ),
    "another-policy": (newer_policy, {"policy-differs"}),
    "an-older-policy": (older_policy, {"below-floor"}),
    "bundle-cut": (
        spoiled("host/var/lib/verity/boot.bundle", lambda data: data[:-3]),
        {"bad-bundle"},
    ),
    "bundle-flipped": (
        spoiled("host/var/lib/verity/boot.bundle", lambda data: flipped(data, len(data) // 2)),
        {"bad-bundle"},
    ),
    "another-pin": (foreign_pin, {"pin-differs"}),
    "bundle-of-the-serial-before": (resigned, {"bundle-behind"}),
    "bundle-of-the-keyring-before": (rotated, {"bundle-behind"}),
    "keyring-of-the-bundle-is-gone": (lost_version, {"bundle-behind"}),
    "serial-revoked": (
        revoked("--lowest", "os:2"),
        {"revoked-serial", "bundle-revoked", "bundle-behind"},
    ),
    "granted-too-much": (granted_too_much, {"grants-differ"}),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_is_broken_is_found(name: str, world: AuditWorld) -> None:
    spoil, expected = FOUND[name]
    spoil(world)
    done = world.audit()
    assert (done.status, set(checks(done))) == (1, expected), done.out
    for record in done.of_type("finding"):
        assert record["expected"] and record["found"] and record["remedy"], record
    assert "Traceback" not in done.err


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
    assert "written-by-granted-programs" in names and "before-the-gate" not in names


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
    assert why["content"] == "there is no verified commit, so no manifest to compare with"
    assert why["grants-differ"] == "there is no verified commit"


def test_the_commit_of_the_floor(good: AuditWorld) -> None:
    """A host that OSTree hasn't booted and that has accepted one OS is to be that."""
    line = ("audit", "--root", "host", "--repo", "repo", "--only=trust", "--json")
    done = verity(*line, *good.pins(), cwd=good.path)
    assert (done.status, checks(done), gaps(done)) == (0, [], [])


def test_two_floors_of_an_os(world: AuditWorld) -> None:
    copy(world.host / FLOOR, world.host / "var/lib/verity/floors/vendor.os.other")
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
    assert (session.status, session.out.splitlines()[-1].split(":")[0]) == (0, "good")
    assert session.screen.index("trust") < session.screen.index("deployment")
