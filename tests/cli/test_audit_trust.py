# SPDX-License-Identifier: Apache-2.0
"""audit, area trust: a good host has no finding, and what is broken is found by its own check."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.audit_world import COMPILE, VENDOR, AuditWorld, checks, finds, gaps, make_audit_world
from tests.cli.program import assert_clean_error, copy, stock
from tests.cli.spoil import flip_commit, flip_grants, flip_manifest, flip_statement, flipped
from tests.cli.worlds import REF
from tests.unit.formats.test_cpio import archive, entry
from verity.formats.commit import DetachedMetadata
from verity.formats.grant_rules import Earned, earned
from verity.formats.grants import Code, Party
from verity.formats.statement import format_time
from verity.ports import keystore, places
from verity.ports.ostree_repo import Repository
from verity.verbs import commit_sign, documents, lockdown_bundle, sign_serials
from verity.verbs.lockdown_bundle import Sources

FLOOR = "var/lib/verity/floors/vendor.os.os"
HOUR, DAY = 3600, 86400


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
    assert (text.status, ": good" in text.out.splitlines()[0]) == (0, True)
    assert text.out.splitlines()[-2].startswith("0 findings, 0 not evaluated, ")
    # Of files nobody was asked, so nothing is said of them.
    assert text.out.splitlines()[-1] == "state: not evaluated (0 findings)"


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


def pin_of_the_other(world: AuditWorld) -> None:
    (world.host / places.VENDOR_PIN).write_bytes((world.host / places.USER_PIN).read_bytes())


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


def bundle_then(world: AuditWorld) -> None:
    """A commit that was good until an hour ago, and a bundle with it from before."""
    at_another_time(-9 * DAY, -HOUR)(world)
    lockdown_bundle.make(
        Sources(
            keys=tuple(world.path / world.newest(party) for party in ("vendor", "user")),
            policy=world.path / "old.policy",
            grants=(world.path / "os.grants",),
        ),
        {Party.VENDOR: world.path / "vendor.pin", Party.USER: world.path / "user.pin"},
        world.host / places.BUNDLE,
        now=int(time.time()) - 2 * HOUR,
        replace=True,
    )


def all_expired(world: AuditWorld) -> None:
    """Every document of the bundle but the keys, whose keyring has a year to go."""
    now = int(time.time())
    times = (
        *("--issued", format_time(now - 9 * DAY)),
        *("--expires", format_time(now - HOUR)),
    )
    world.run(*COMPILE, "--serial=2", "--key=policy.pem", *times, "old.policy")
    world.installed("old.policy")
    bundle_then(world)


def other_classes(world: AuditWorld) -> None:
    """A drop-in that came after the policy: `etc sign` leaves out what the gate wants signed."""
    (world.host / places.OWNER_POLICY / "60-own.toml").write_text(
        '[[etc]]\nclass = "mutable"\npaths = ["/etc/app.conf"]\nreason = "an app writes it"\n'
    )
    (world.host / "etc/app.conf").write_text("a = 1\n")


def crontab_of_root(world: AuditWorld) -> None:
    """Neither the commit nor the signed /etc has it, and the policy guards it as signed."""
    place = world.host / "var/spool/cron/crontabs/root"
    place.parent.mkdir(parents=True)
    place.write_text("* * * * * /usr/bin/true\n")


def policy_and_bundle_gone(world: AuditWorld) -> None:
    """The floor of the policy is left."""
    (world.host / places.POLICY).unlink()
    (world.host / places.BUNDLE).unlink()


def state_gone(world: AuditWorld) -> None:
    shutil.rmtree(world.host / places.STATE.parent)


def initramfs_of(*files: tuple[str, Path]) -> bytes:
    """An initramfs that holds these, as cpio makes it: name in it, and where the bytes are."""
    return archive(*(entry(name.encode(), path.read_bytes()) for name, path in files))


def in_initramfs(
    world: AuditWorld,
    *files: tuple[str, Path],
    place: str = "boot/initrd.img-6.12",
    sealed: bool = True,
) -> None:
    """One with these files, as a sealed host has it, or as it was made before the seal."""
    knows = (("etc/verity/sealed", world.path / "vendor.pin"),) if sealed else ()
    (world.host / place).parent.mkdir(parents=True, exist_ok=True)
    (world.host / place).write_bytes(initramfs_of(*files, *knows))


def pins_of(world: AuditWorld, folder: str = "") -> tuple[tuple[str, Path], ...]:
    return (
        (str(places.VENDOR_PIN), world.path / folder / "vendor.pin"),
        (str(places.USER_PIN), world.path / folder / "user.pin"),
    )


def other_roots_in(place: str) -> Callable[[AuditWorld], None]:
    """The gate of the next boot would believe a stranger; /etc has the accepted pins."""

    def spoil(world: AuditWorld) -> None:
        (world.path / "x").mkdir()
        world.run("lockdown", "pin", "--party=vendor", "--root=stranger.pem.pub", "x/vendor.pin")
        copy(world.path / "user.pin", world.path / "x/user.pin")
        in_initramfs(world, *pins_of(world, "x"), place=place)

    return spoil


def no_pin_in_the_initramfs(world: AuditWorld) -> None:
    """What is there in its place is none."""
    in_initramfs(world, (str(places.USER_PIN), world.path / "os.grants"))


def not_sealed_in_the_initramfs(world: AuditWorld) -> None:
    """The policy says sealed, and the initramfs was made before."""
    in_initramfs(world, *pins_of(world), sealed=False)


def led_out(name: str) -> Callable[[AuditWorld], None]:
    """A document of the tree is a link to a file of the auditor's machine, and as good."""

    def spoil(world: AuditWorld) -> None:
        place = world.host / name
        place.rename(world.path / "outside")
        place.symlink_to(world.path / "outside")

    return spoil


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
    "policy-gone": (removed("host/etc/verity/policy.json"), {"policy"}),
    "policy-and-bundle-gone": (policy_and_bundle_gone, {"policy"}),
    "bundle-gone": (removed("host/var/lib/verity/boot.bundle"), {"bad-bundle"}),
    "state-gone": (state_gone, {"bad-bundle"}),
    "another-policy": (newer_policy, {"policy-differs"}),
    "an-older-policy": (older_policy, {"below-floor"}),
    "expired-documents": (all_expired, {"expired", "policy-expired", "bundle-expired"}),
    "classes-that-disagree": (other_classes, {"guarded-not-signed"}),
    "crontab-of-root": (crontab_of_root, {"unsigned-configuration"}),
    "policy-outside": (led_out("etc/verity/policy.json"), {"policy"}),
    "bundle-outside": (led_out("var/lib/verity/boot.bundle"), {"bad-bundle"}),
    "floors-outside": (led_out("var/lib/verity/floors"), {"bad-floor"}),
    "bundle-cut": (
        spoiled("host/var/lib/verity/boot.bundle", lambda data: data[:-3]),
        {"bad-bundle"},
    ),
    "bundle-flipped": (
        spoiled("host/var/lib/verity/boot.bundle", lambda data: flipped(data, len(data) // 2)),
        {"bad-bundle"},
    ),
    "another-pin": (foreign_pin, {"pin-differs"}),
    "pin-of-the-other-party": (pin_of_the_other, {"pin-differs"}),
    "bundle-of-the-serial-before": (resigned, {"bundle-behind"}),
    "bundle-of-the-keyring-before": (rotated, {"bundle-behind"}),
    "keyring-of-the-bundle-is-gone": (lost_version, {"bundle-behind"}),
    "serial-revoked": (
        revoked("--lowest", "os:2"),
        {"revoked-serial", "bundle-revoked", "bundle-behind"},
    ),
    "granted-too-much": (granted_too_much, {"grants-differ"}),
    **{
        f"other-roots-in-{place}": (other_roots_in(place), {"initramfs-pins"})
        for place in (
            "boot/initrd.img-6.12",
            "boot/ostree/os-0123/initramfs-6.12.img",
            "boot/efi/0123/6.12/initrd",
            "efi/0123/6.12/initrd.img-6.12",
        )
    },
    "no-pin-in-the-initramfs": (no_pin_in_the_initramfs, {"initramfs-pins"}),
    "not-sealed-in-the-initramfs": (not_sealed_in_the_initramfs, {"initramfs-sealed"}),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_is_broken_is_found(name: str, world: AuditWorld) -> None:
    spoil, expected = FOUND[name]
    spoil(world)
    finds(world, expected)


def test_an_etc_that_nobody_signed_and_the_policy_asks_for(world: AuditWorld) -> None:
    """Grants and floors of the signed /etc can be taken away; the signed policy tells of it."""
    good = world.audit(only="etc")  # there is none, and nothing asks for one
    assert (good.status, checks(good)) == (3, [])
    (world.host / places.OWNER_POLICY / "50-tests.toml").unlink()
    world.compiled(2, "next.policy")
    world.installed("next.policy")
    done = world.audit(only="etc")
    assert (done.status, checks(done)) == (1, ["etc-intent"])
    (finding,) = done.of_type("finding")
    assert "denies what isn't signed in /etc" in finding["expected"]


def test_the_pins_of_an_initramfs_are_looked_at(world: AuditWorld) -> None:
    in_initramfs(world, *pins_of(world))
    done = world.audit()
    assert (done.status, checks(done), gaps(done)) == (0, [], [])
    (summary,) = done.of_type("summary")
    assert summary["counts"]["initramfs with pins"] == 1
    # Where /etc has none the host boots by those of the initramfs, and its bundle is held to them.
    for place in (places.VENDOR_PIN, places.USER_PIN):
        (world.host / place).unlink()
    done = world.audit()
    assert (done.status, checks(done), gaps(done)) == (0, [], [])
    (world.host / "boot/initrd.img-6.12").unlink()
    done = world.audit()
    assert (done.status, checks(done), "bad-bundle" in gaps(done)) == (3, [], True)


@pytest.mark.parametrize("name", ["cut", "with-a-damaged-part"])
def test_an_initramfs_that_cannot_be_read(name: str, world: AuditWorld) -> None:
    in_initramfs(world, *pins_of(world))
    place = world.host / "boot/initrd.img-6.12"
    data = place.read_bytes()
    place.write_bytes(data[:-200] if name == "cut" else data + b"\x1f\x8b?")
    done = world.audit()
    assert (done.status, checks(done), gaps(done)) == (
        3,
        [],
        ["initramfs-pins", "initramfs-sealed"],
    )


def test_floors_that_cannot_be_read_answer_nothing(world: AuditWorld) -> None:
    spoil, _ = FOUND["floors-outside"]
    spoil(world)
    assert {"below-floor", "equivocation", "no-floor"} <= set(gaps(world.audit()))


def test_a_keyring_that_is_damaged_is_named(world: AuditWorld) -> None:
    """The auditor named it, so there is no audit."""
    path = world.path / "k/vendor/1.keyring.json"
    path.write_bytes(path.read_bytes()[:-9])
    done = world.audit()
    assert done.status == 1
    assert_clean_error(done, ("k/vendor/1.keyring.json: DSSE envelope: not JSON",), hint=True)


def test_a_boot_that_cannot_be_read(world: AuditWorld) -> None:
    """Not taken for one that has no initramfs."""
    (world.host / "boot").write_text("no directory")
    done = world.audit()
    assert (done.status, checks(done), gaps(done)) == (
        3,
        [],
        ["initramfs-pins", "initramfs-sealed"],
    )


def test_a_bundle_that_only_an_initramfs_has(world: AuditWorld) -> None:
    """Whether anything takes it from there nobody knows: it is neither trusted nor called gone."""
    bundle = world.host / places.BUNDLE
    bundle.rename(world.path / "taken")
    in_initramfs(world, *pins_of(world), (str(places.BUNDLE), world.path / "taken"))
    done = world.audit()
    assert (done.status, checks(done), "bad-bundle" in gaps(done)) == (3, [], True)
