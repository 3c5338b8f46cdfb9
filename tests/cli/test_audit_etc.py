# SPDX-License-Identifier: Apache-2.0
"""The area etc: each way in which /etc is not as signed is found by its own check and no other."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.boot import grants_blob, policy
from tests.cli.program import copy, needs_root, verity
from tests.etc_world import STREAM, EtcWorld, make_etc_world, make_first, relink, sign_at, write
from verity.formats import bundle, grants
from verity.formats.grants import Party, Role
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match
from verity.ports import keystore, places
from verity.trust.trusted import TrustedSet
from verity.values.audit import Area, AreaResult, Covered
from verity.values.findings import NotEvaluated
from verity.verbs import audit_etc, audit_signed, audit_state
from verity.verbs.audit_host import AuditedHost, Roots
from verity.verbs.keyring_trust import Keyrings
from verity.verbs.signed import SignedCommit


def trusted(world: EtcWorld, name: str = "etc") -> TrustedSet:
    key = keystore.load_signer(str(world.path / f"{name}.pem")).public
    return TrustedSet.of_keys([key], party=Party.USER, role=Role.ETC)


def roots_of(keys: TrustedSet, *, named: bool = False) -> Roots:
    """These keys, by a keyring or ``named`` by the auditor."""
    return Roots(of=lambda role, party: keys, keyrings=None if named else Keyrings(of_party={}))


def host_of(world: EtcWorld, keys: TrustedSet | None = None, *, later: int = 0) -> AuditedHost:
    now = int(time.time()) + later
    return AuditedHost(
        root=world.path / "root",
        live=False,
        now=now,
        clock=now,
        roots=roots_of(keys or trusted(world)),
    )


def examine(world: EtcWorld, keys: TrustedSet | None = None, *, later: int = 0) -> AreaResult:
    found = audit_etc.examine(host_of(world, keys, later=later))
    ids = {check.id for check in audit_etc.CHECKS}
    for one in found.findings:
        assert one.check in ids
        assert one.expected and one.found and one.remedy and one.link
    assert {gap.check for gap in found.not_evaluated} <= ids
    assert found.area is Area.ETC
    return found


def checks(found: AreaResult) -> list[tuple[str, str]]:
    return [(one.check, one.object) for one in found.findings]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EtcWorld:
    return make_etc_world(tmp_path_factory.mktemp("audit-etc"), make_first)


@pytest.fixture
def world(made: EtcWorld, tmp_path: Path) -> EtcWorld:
    return EtcWorld(copy(made.path, tmp_path / "w"))


def test_as_signed(made: EtcWorld) -> None:
    found = examine(made)
    assert (checks(found), found.not_evaluated, dict(found.not_applicable)) == ([], (), {})
    assert found.counts["signed"] > 10
    assert (found.counts["mutable"], found.counts["produced"]) == (1, 1)
    by = found.coverage
    assert by[Covered.METADATA] == 2
    assert by.get(Covered.HASHED, 0) + by.get(Covered.MEASURED, 0) == 7
    assert "stream etc-test serial 1" in found.notes[0]


BROKEN: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "contents": (lambda etc: (etc / "motd").write_text("evil\n"), "content", "/etc/motd"),
    "link": (lambda etc: relink(etc / "link", "hosts"), "content", "/etc/link"),
    "type": (lambda etc: relink(etc / "motd", "hosts"), "content", "/etc/motd"),
    "unit": (lambda etc: write(etc / "app/new.service", ""), "added", "/etc/app/new.service"),
    "gone": (lambda etc: (etc / "motd").unlink(), "missing", "/etc/motd"),
    "writable": (lambda etc: (etc / "motd").chmod(0o646), "writable", "/etc/motd"),
    "owner": (lambda etc: os.chown(etc / "motd", 7, -1), "writable", "/etc/motd"),
    "mode": (lambda etc: (etc / "motd").chmod(0o600), "metadata", "/etc/motd"),
    "xattr": (lambda etc: os.setxattr(etc / "hosts", "user.note", b"x"), "metadata", "/etc/hosts"),
    "loose": (lambda etc: (etc / "shadow").chmod(0o644), "loose", "/etc/shadow"),
}


@needs_root
@pytest.mark.parametrize("name", BROKEN)
def test_found_by_its_own_check(world: EtcWorld, name: str) -> None:
    act, check, path = BROKEN[name]
    act(world.etc)
    found = examine(world)
    assert checks(found) == [(f"etc-{check}", path)]
    assert found.not_evaluated == ()


def test_what_changes_by_itself_is_no_finding(world: EtcWorld) -> None:
    (world.etc / "shadow").write_text("root:!:2::::::\n")
    assert checks(examine(world)) == []


def test_the_three_ways(world: EtcWorld) -> None:
    vendor = world.path / "root/usr/etc"
    vendor.mkdir(parents=True)
    (vendor / "motd").write_text("the vendor's\n")
    (world.etc / "motd").write_text("the vendor's\n")
    found = examine(world)
    assert found.findings[0].problem.endswith("; what is there is the vendor's default")
    assert found.counts["unlike the vendor's"] > 5


def test_by_another_key(world: EtcWorld) -> None:
    found = examine(world, trusted(world, "other"))
    assert [one.check for one in found.findings] == ["etc-intent"]
    assert len(found.not_evaluated) == len(audit_etc.CHECKS) - 1


def test_the_keys_that_the_auditor_named_are_of_something_else(world: EtcWorld) -> None:
    now = int(time.time())
    roots = roots_of(trusted(world, "other"), named=True)
    found = audit_etc.examine(
        AuditedHost(root=world.path / "root", live=False, now=now, clock=now, roots=roots)
    )
    assert (found.findings, len(found.not_evaluated)) == ((), len(audit_etc.CHECKS))
    assert "by none of the keys that were named" in found.not_evaluated[0].why


def test_nobody_is_trusted(world: EtcWorld) -> None:
    now = int(time.time())
    found = audit_etc.examine(AuditedHost(root=world.path / "root", live=False, now=now, clock=now))
    assert (found.findings, len(found.not_evaluated)) == ((), len(audit_etc.CHECKS))
    assert "no keys of the owner's role etc" in found.not_evaluated[0].why


def test_expired_and_of_the_future(world: EtcWorld) -> None:
    sign_at(world, 2, expired=True)
    assert checks(examine(world)) == [("etc-time", "/etc")]
    assert checks(examine(world, later=-30 * 86400)) == [("etc-time", "/etc")]


def test_an_apply_that_has_not_ended(world: EtcWorld) -> None:
    (world.state / "journal").write_text('{"after":1,"before":[1]}\n')
    assert [one.check for one in examine(world).findings] == ["etc-pending"]
    (world.state / "journal").write_text("garbage")
    assert [one.check for one in examine(world).findings] == ["etc-pending"]


def test_rolled_back(world: EtcWorld) -> None:
    world.must_sign(2)
    assert world.run("status", "--accept").status == 0
    (world.state / "current").write_text("1\n")
    found = [one.check for one in examine(world).findings]
    assert found == ["etc-floor"]


def test_what_a_gate_will_ask_for_has_no_fs_verity(world: EtcWorld) -> None:
    """Where the file system has none; elsewhere `etc sign` has not turned it on here either."""
    guarded = Guarded(path=b"/etc/app", file_class=GuardedClass.SIGNED, match=Match.TREE)
    bundle_file = world.path / "root" / places.BUNDLE
    bundle_file.write_bytes(bundle.encode([policy(guarded=(guarded,)).fragment]))
    assert set(checks(examine(world))) >= {
        ("etc-verity", "/etc/app/old.conf"),
        ("etc-verity", "/etc/app/deep/er/old.conf"),
    }


def test_never_signed(tmp_path: Path) -> None:
    world = EtcWorld(tmp_path)
    world.etc.mkdir(parents=True)
    now = int(time.time())
    found = audit_etc.examine(AuditedHost(root=world.path / "root", live=False, now=now, clock=now))
    assert set(found.not_applicable) == {check.id for check in audit_etc.CHECKS}
    assert "`verity etc sign" in next(iter(found.not_applicable.values()))


def test_signed_once_and_the_intent_taken_away(world: EtcWorld) -> None:
    assert world.run("status", "--accept").status == 0
    shutil.rmtree(world.path / "root" / places.STATE)
    found = examine(world)
    assert [one.check for one in found.findings] == ["etc-intent"]
    assert "a floor of the stream etc-test" in found.findings[0].expected


def test_what_says_which_serial_counts_is_gone(world: EtcWorld) -> None:
    (world.state / "current").unlink()
    assert [one.check for one in examine(world).findings] == ["etc-intent"]


def test_no_such_root(tmp_path: Path) -> None:
    world = EtcWorld(tmp_path)
    now = int(time.time())
    found = audit_etc.examine(AuditedHost(root=world.path / "root", live=False, now=now, clock=now))
    assert len(found.not_evaluated) == len(audit_etc.CHECKS)


def test_a_symlink_for_etc_is_not_followed(world: EtcWorld, tmp_path: Path) -> None:
    shutil.move(world.etc, tmp_path / "elsewhere")
    world.etc.symlink_to(tmp_path / "elsewhere")
    found = examine(world)
    assert found.findings == ()
    assert {gap.check for gap in found.not_evaluated} >= {"etc-content", "etc-added"}


FILES = AreaResult(area=Area.FILES)


def test_the_state_of_an_audit_is_that_of_manifest_show(made: EtcWorld) -> None:
    """Of the host's files, its signed /etc and its policy; here the same manifest is the commit's,
    and no policy is there."""
    host = host_of(made)
    manifest = host.etc_intent.manifest
    host = replace(host, commit=cast("SignedCommit", SimpleNamespace(manifest=manifest)))
    (made.path / "m").write_bytes(manifest.data)
    parts = (f"os:{STREAM}=m", f"etc:{STREAM}=root")
    shown = verity("manifest", "show", "--checksum", *parts, cwd=made.path)
    good = examine(made)
    state = audit_state.of_audit(host, [FILES, good])
    assert shown.out == f"state: sha256:{state}\n"
    # It says nothing unless all that the host has was asked, and is as signed.
    assert audit_state.of_audit(host, [FILES]) is None
    assert audit_state.of_audit(host, [good]) is None
    gap = NotEvaluated(check="etc-content", object="/etc/motd", why="unreadable", hint="")
    assert audit_state.of_audit(host, [FILES, replace(good, not_evaluated=(gap,))]) is None
    extension = grants.parse(grants_blob(Party.USER, Role.EXTENSION, "tools"))
    assert audit_state.of_audit(replace(host, grants=(extension,)), [FILES, good]) is None


def test_who_signed_the_etc_is_told(made: EtcWorld) -> None:
    host = host_of(made)
    (part,) = audit_signed.parts(host, ["user root", "vendor root"])
    assert (part.root, part.kind, part.stream, part.serial) == ("user root", "etc", STREAM, 1)
    assert part.signers == host.etc_intent.signers != ()
    assert part.entries == len(host.etc_intent.entries)
    # Another area's audit doesn't ask who signed it.
    assert audit_signed.parts(replace(host, areas=frozenset({Area.FILES})), []) == ()
