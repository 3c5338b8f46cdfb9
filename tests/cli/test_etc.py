# SPDX-License-Identifier: Apache-2.0
"""The signed /etc when all is well: sign, status, diff, apply, revert; output and files."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.boot import policy
from tests.cli.program import assert_clean_error, copy, needs_root, stock, verity
from tests.etc_world import (
    KEY,
    EtcWorld,
    make_etc_world,
    make_first,
    make_second,
    relink,
    sign_at,
    state_of,
    write,
)
from verity.formats import bundle, dump, policy_source
from verity.formats.fsverity import digest_bytes
from verity.formats.grants import ConfigKind, Role, parse
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match
from verity.formats.policy import Link
from verity.ports import places, policy_files


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EtcWorld:
    """Signed once; for reading only."""
    return make_etc_world(tmp_path_factory.mktemp("etc"), make_first)


@pytest.fixture
def world(made: EtcWorld, tmp_path: Path) -> EtcWorld:
    """A copy, to change."""
    return EtcWorld(copy(made.path, tmp_path / "w"))


def test_what_sign_writes(made: EtcWorld) -> None:
    folder = made.state / "1"
    assert sorted(path.name for path in folder.iterdir()) == [
        "grants",
        "manifest",
        "statement.json",
    ]
    kept = sorted(path.name for path in made.state.iterdir())
    assert kept == ["1", "current", "lock", "stream"]
    entries = {one.path: one for one in dump.parse((folder / "manifest").read_bytes())}
    assert b"/etc/motd" in entries
    assert entries[b"/"].mode == 0o40755
    assert not {b"/etc/shadow", b"/etc/resolv.conf"} & entries.keys()
    for path, entry in entries.items():
        if entry.is_regular:
            assert entry.digest is not None
            stored = made.store / "sha256" / entry.digest.hex()[:2] / entry.digest.hex()
            assert stored.read_bytes() == (made.path / "root" / os.fsdecode(path[1:])).read_bytes()
            assert stored.stat().st_mode & 0o777 == 0o400
    assert made.store.stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_the_gate_is_told(made: EtcWorld) -> None:
    fragment = bundle.parse_fragment((made.state / "1/grants").read_bytes(), label="test")
    told = parse(fragment.blob)
    assert (told.role, told.code, told.elevate) == (Role.ETC, (), ())
    config = {one.path: one for one in told.config}
    assert config[b"/etc/motd"].digest == digest_bytes(b"welcome\n").value
    assert (config[b"/etc/link"].kind, config[b"/etc/link"].target) == (ConfigKind.SYMLINK, b"motd")
    assert b"/etc/shadow" not in config
    assert b"/etc/app" not in config  # a directory


def test_sign_says_what_it_did(world: EtcWorld) -> None:
    done = world.sign(2)
    assert done.status == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("signed    7 files by key ")
    assert lines[1:3] == [
        "as        stream etc-test serial 2, for 365 days",
        "left out  1 mutable, 1 produced",
    ]
    assert lines[3].startswith("store     0 new contents")
    assert world.current() == "2"


def test_sign_as_json(world: EtcWorld) -> None:
    (world.etc / "far").symlink_to("/" + "x" * 60)
    done = world.sign(2, "--json")
    assert [record["path"] for record in done.of_type("ungranted")] == ["/etc/far"]
    (signed,) = done.of_type("signed")
    manifest = (world.state / "2/manifest").read_bytes()
    assert signed["manifest_sha256"] == hashlib.sha256(manifest).hexdigest()
    assert signed["classes"] == {"mutable": 1, "produced": 1}
    assert (signed["files"], signed["config"], signed["ungranted"]) == (7, 8, 1)


def test_signing_again_gives_the_same_manifest(world: EtcWorld) -> None:
    world.must_sign(2)
    one, two = ((world.state / serial / "manifest").read_bytes() for serial in ("1", "2"))
    assert one == two


def test_status_of_what_is_as_signed(made: EtcWorld) -> None:
    done = made.run("status")
    assert done.status == 0
    assert done.out == (
        "good: /etc is as signed (16 signed, 0 added, 0 removed, 0 changed, 1 mutable,"
        " 1 produced, 0 ignored)\n"
    )
    assert "stream etc-test serial 1" in done.err


def test_what_changes_by_itself_is_no_finding(world: EtcWorld) -> None:
    (world.etc / "shadow").write_text("root:another:1::::::\n")
    (world.etc / "resolv.conf").unlink()
    assert world.run("status").status == 0


CHANGES: dict[str, tuple[Callable[[Path], object], str, list[str]]] = {
    "added": (lambda etc: write(etc / "cron.d/evil", "x\n"), "added", []),
    "removed": (lambda etc: (etc / "motd").unlink(), "removed", []),
    "content": (lambda etc: write(etc / "motd", "changed\n"), "changed", ["content"]),
    "mode": (lambda etc: (etc / "motd").chmod(0o666), "changed", ["mode"]),
    "mode of a directory": (lambda etc: (etc / "app").chmod(0o777), "changed", ["mode"]),
    "xattr": (lambda etc: os.setxattr(etc / "hosts", "user.note", b"x"), "changed", ["xattrs"]),
    "xattr gone": (lambda etc: os.removexattr(etc / "hosts", "user.note"), "changed", ["xattrs"]),
    "target": (
        lambda etc: relink(etc / "link", "hosts"),
        "changed",
        ["target"],
    ),
    "type": (
        lambda etc: relink(etc / "motd", "hosts"),
        "changed",
        ["type"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_way_to_differ_is_found_and_undone(world: EtcWorld, name: str) -> None:
    change, kind, what = CHANGES[name]
    before = world.files()
    change(world.etc)
    status = world.run("status", "--json")
    assert status.status == 1
    found = [one["check"] for one in status.of_type("finding")]
    assert found == [kind] * len(found) and found
    diff = world.run("diff", "--json")
    assert diff.status == 1
    (difference, *_) = diff.of_type("difference")
    assert (difference["change"], difference["what"]) == (kind, what)
    assert (difference["stream"], difference["serial"]) == ("etc-test", 1)
    assert len(difference["signed_by"]) == 1
    done = world.run("apply", "--json")
    assert done.status == 0
    (applied,) = done.of_type("applied")
    if kind == "added":
        assert (applied["changes"], applied["left"]) == (0, 2)
        assert (world.etc / "cron.d/evil").exists()
    else:
        assert (applied["changes"], applied["left"]) == (1, 0)
        assert world.files() == before
        assert world.run("status").status == 0


@needs_root
def test_an_owner_is_found_and_undone(world: EtcWorld) -> None:
    before = world.files()
    os.chown(world.etc / "motd", 5, 6)
    assert "uid and gid differ from what is signed" in world.run("status").out
    assert world.run("apply").status == 0
    assert world.files() == before


@needs_root
def test_capabilities_and_acls_come_back(world: EtcWorld) -> None:
    stock("setcap", "cap_net_raw+ep", world.etc / "app/old.conf", cwd=world.path)
    stock("setfacl", "-m", "u:7:rw,g:8:r", world.etc / "motd", cwd=world.path)
    stock("setfacl", "-d", "-m", "u:7:rw", world.etc / "app", cwd=world.path)
    world.must_sign(2)
    before = world.files()
    stock("setfacl", "-b", world.etc / "motd", cwd=world.path)
    stock("setfacl", "-b", world.etc / "app", cwd=world.path)
    write(world.etc / "app/old.conf", "changed, which drops the capability\n")
    assert world.run("apply").status == 0
    assert world.files() == before


@needs_root
def test_a_default_acl_does_not_spread(world: EtcWorld) -> None:
    before = state_of(world.etc / "app")
    stock("setfacl", "-d", "-m", "u:7:rw", world.etc, cwd=world.path)
    world.must_sign(2)
    write(world.etc / "app/old.conf", "changed\n")
    assert world.run("apply").status == 0
    assert state_of(world.etc / "app") == before


def test_a_hard_link_comes_back_as_a_file_of_its_own(world: EtcWorld) -> None:
    os.link(world.etc / "motd", world.etc / "issue")
    world.must_sign(2)
    outside = world.path / "outside"
    os.link(world.etc / "motd", outside)
    write(outside, "changed\n")
    assert world.run("apply").status == 0
    assert (world.etc / "motd").read_text() == "welcome\n"
    assert (world.etc / "issue").read_text() == "welcome\n"
    assert outside.read_text() == "changed\n"
    assert (world.etc / "motd").stat().st_nlink == 1
    assert world.run("status").status == 0


def test_revert_and_apply_between_serials(tmp_path: Path) -> None:
    world = make_etc_world(tmp_path, make_first)
    old = world.files()
    make_second(world.etc)
    write(world.etc / "nobody/signed", "x\n")
    world.must_sign(2)
    new = world.files()
    (world.etc / "shadow").write_text("root:another:1::::::\n")
    write(world.etc / "later", "nobody signed this either\n")
    done = world.run("revert")
    assert done.status == 0, done.err
    assert done.out.splitlines()[-1].startswith("/etc is at serial 1 of etc-test: ")
    assert "left     /etc/later\n" in done.out
    assert world.current() == "1"
    shadow, later = world.files()["shadow"], world.files()["later"]
    assert world.files() == {**old, "shadow": shadow, "later": later}
    assert shadow[4] == b"root:another:1::::::\n"
    assert world.run("apply", "2").status == 0
    assert world.files() == {**new, "shadow": shadow, "later": later}


def test_a_file_that_left_the_signed_ones_by_class_stays(world: EtcWorld) -> None:
    write(
        world.etc / "verity/policy.d/50-app.toml",
        '[[etc]]\nclass = "mutable"\npaths = ["/etc/app"]\nreason = "the app writes it"\n',
    )
    world.must_sign(2)
    assert b"/etc/app/old.conf" not in (world.state / "2/manifest").read_bytes()
    assert world.run("revert").status == 0
    assert world.run("apply", "2").status == 0
    assert (world.etc / "app/old.conf").exists()


def test_dry_run_changes_nothing(world: EtcWorld) -> None:
    write(world.etc / "motd", "changed\n")
    before = world.files()
    done = world.run("apply", "--dry-run")
    assert (done.status, done.out) == (
        0,
        "put      /etc/motd\n/etc would be brought to serial 1 of etc-test: 1 changes, 0 left\n",
    )
    assert world.files() == before


def test_the_vendors_default_is_the_third_state(world: EtcWorld) -> None:
    vendor = world.path / "root/usr/etc"
    write(vendor / "motd", "from the vendor\n")
    write(vendor / "hosts", "another\n")
    write(world.etc / "motd", "from the vendor\n")
    write(world.etc / "hosts", "mine\n")
    write(world.etc / "own", "own\n")
    records = world.run("diff", "--json").of_type("difference")
    assert {one["path"]: one["vendor_default"] for one in records} == {
        "/etc/hosts": "another",
        "/etc/motd": "as now",
        "/etc/own": "not there",
    }
    assert "what is there is the vendor's default" in world.run("status").out
    elsewhere = copy(vendor, world.path / "default")
    (elsewhere / "motd").write_text("welcome\n")
    records = world.run("diff", "--json", "--vendor", "default").of_type("difference")
    assert {one["path"]: one["vendor_default"] for one in records}["/etc/motd"] == "as signed"


def test_what_the_owner_made_of_the_vendors_default(world: EtcWorld) -> None:
    none = world.run("diff", "--from-vendor")
    assert none.status == 3
    assert_clean_error(none, ["there is no vendor's default"], hint=True)
    vendor = copy(world.etc, world.path / "default")
    write(vendor / "motd", "from the vendor\n")
    write(vendor / "shipped", "not in use here\n")
    write(vendor / "shadow", "root::1::::::\n", 0o640)
    (vendor / "hosts").unlink()
    (vendor / "ssh").chmod(0o700)
    done = world.run("diff", "--from-vendor", "--vendor", "default", "--json")
    assert done.status == 1
    found = {one["path"]: (one["change"], one["what"]) for one in done.of_type("difference")}
    assert found == {
        "/etc/hosts": ("added", []),
        "/etc/motd": ("changed", ["content"]),
        "/etc/shipped": ("removed", []),
        "/etc/ssh": ("changed", ["mode"]),
    }
    status = world.run("status", "--vendor", "default")
    assert (status.status, "4 unlike the vendor's" in status.out) == (0, True)
    assert world.run("diff", "--vendor", "default").status == 0


def test_text_of_a_difference(world: EtcWorld) -> None:
    write(world.etc / "motd", "welcome\n\x1b[2J\n")
    write(world.etc / "app/old.conf", "old = \0\n")
    write(world.etc / "no-end", "no end")
    done = world.run("diff", "--text")
    assert done.status == 1
    assert (
        "--- signed /etc/motd\n+++ now /etc/motd\n@@ -1 +1,2 @@\n welcome\n+\\x1b[2J\n" in done.out
    )
    assert "         text    binary\n" in done.out
    assert "+no end\n\\ No newline at end of file\n" in done.out
    (one,) = (
        r
        for r in world.run("diff", "--text", "--json").of_type("difference")
        if r["path"] == "/etc/motd"
    )
    assert one["text"][3:] == [" welcome", "+\x1b[2J"]


def test_secrets_are_not_shown_unless_asked_for(world: EtcWorld) -> None:
    write(world.etc / "ssh/ssh_host_ed25519_key", "another SECRET\n", 0o600)
    write(world.etc / "token", "a SECRET, too\n", 0o640)
    (world.etc / "ssh").chmod(0o700)
    write(world.etc / "ssh/open", "SECRET by its directory\n")
    world.must_sign(2)
    write(world.etc / "ssh/open", "another SECRET by its directory\n")
    write(world.etc / "token", "a SECRET that is open by now\n", 0o644)
    write(world.etc / "ssh/ssh_host_ed25519_key", "SECRET\n", 0o644)
    for json in ((), ("--json",)):
        done = world.run("diff", "--text", *json)
        assert "SECRET" not in done.out + done.err
        assert done.out.count("secret: not shown without --show-secret-files") == 3
    shown = world.run("diff", "--text", "--show-secret-files").out
    assert shown.count("SECRET") == 6


def test_classes_are_listed_with_their_reason(made: EtcWorld) -> None:
    done = made.run("status", "--classes")
    line = next(one for one in done.out.splitlines() if "/etc/shadow" in one)
    assert line.startswith("mutable   /etc/shadow: passwd and useradd write ")
    assert line.endswith("/10-etc.toml)")
    records = made.run("status", "--classes", "--json").of_type("unsigned")
    assert {one["path"]: one["class"] for one in records} == {
        "/etc/resolv.conf": "produced",
        "/etc/shadow": "mutable",
    }


@pytest.mark.parametrize(("mode", "status"), [(0o640, 0), (0o600, 0), (0o644, 1), (0o660, 1)])
def test_a_mode_of_what_is_not_compared(world: EtcWorld, mode: int, status: int) -> None:
    (world.etc / "shadow").chmod(mode)
    done = world.run("status", "--json")
    assert done.status == status
    assert [one["check"] for one in done.of_type("finding")] == ["loose"] * status


def test_homes_are_part_only_if_asked_for(world: EtcWorld) -> None:
    home = world.path / "root/root"
    write(home / ".bashrc", "alias ls=ls\n")
    write(home / ".config/tool/conf", "x\n")
    write(home / "notes", "not a dotfile\n")
    write(home / ".bash_history", "id\n")
    assert world.run("status").status == 0
    assert "dotfiles of homes are no part of it" in world.run("status").err
    world.must_sign(2, "--home", "/root")
    entries = {one.path for one in dump.parse((world.state / "2/manifest").read_bytes())}
    assert {b"/root", b"/root/.bashrc", b"/root/.config/tool/conf"} <= entries
    assert not {b"/root/notes", b"/root/.bash_history"} & entries
    write(home / ".bashrc", "alias ls=evil\n")
    home.chmod(0o700)
    done = world.run("status")
    assert done.status == 1 and "changed  /root/.bashrc" in done.out
    assert done.out.count("FINDING") == 1
    assert "dotfiles of homes" not in done.err
    assert world.run("apply").status == 0
    assert (home / ".bashrc").read_text() == "alias ls=ls\n"
    assert home.stat().st_mode & 0o777 == 0o700
    assert not list(home.glob(".verity-stage*"))
    # A home that is no part any more keeps what it has.
    assert world.run("revert").status == 0
    assert (home / ".bashrc").exists()


def test_an_expired_signature_is_a_finding_and_still_the_way_back(world: EtcWorld) -> None:
    sign_at(world, 2, expired=True)
    done = world.run("status", "--json")
    assert [one["check"] for one in done.of_type("finding")] == ["expired"]
    write(world.etc / "motd", "changed\n")
    assert world.run("apply").status == 0
    assert (world.etc / "motd").read_text() == "welcome\n"


def test_another_store(world: EtcWorld) -> None:
    write(world.etc / "motd", "kept elsewhere\n")
    world.must_sign(2, "--store", "elsewhere")
    write(world.etc / "motd", "changed\n")
    assert world.run("apply").status == 3
    assert world.run("apply", "--store", "elsewhere").status == 0
    assert (world.etc / "motd").read_text() == "kept elsewhere\n"


def test_nothing_to_do_writes_nothing(world: EtcWorld) -> None:
    before = (world.state / "current").stat().st_ino
    done = world.run("apply")
    assert (done.status, done.out) == (0, "/etc is at serial 1 of etc-test: 0 changes, 0 left\n")
    assert (world.state / "current").stat().st_ino == before
    done = world.run("apply", "--resume")
    assert (done.status, done.out, done.err) == (0, "", "verity: nothing was interrupted\n")


def test_the_key_options_are_as_everywhere(made: EtcWorld) -> None:
    more = ("--key", "other.pem.pub", "--threshold", "2")
    done = verity("etc", "status", *KEY, *more, cwd=made.path)
    assert (done.status, "signed by 1 of the trusted owners, 2 needed" in done.err) == (1, True)


def test_a_host_with_a_gate_finds_what_has_no_verity(world: EtcWorld) -> None:
    """Signing turns it on for nothing in /etc; the gate would refuse each file that is granted."""

    def lacking(*guarded: Guarded) -> list[str]:
        made = bundle.encode([policy(guarded=guarded).fragment])
        (world.path / "root" / places.BUNDLE).write_bytes(made)
        done = world.run("status", "--json")
        return [one["path"] for one in done.of_type("finding") if one["check"] == "no-verity"]

    assert world.run("status").status == 0
    etc = Guarded(path=b"/etc", file_class=GuardedClass.SIGNED, match=Match.TREE)
    assert lacking() == []
    assert lacking(replace(etc, file_class=GuardedClass.MUTABLE)) == []
    assert lacking(replace(etc, path=b"/etc/app")) == [
        "/etc/app/deep/er/old.conf",
        "/etc/app/old.conf",
    ]
    assert lacking(etc) == [
        "/etc/app/deep/er/old.conf",
        "/etc/app/old.conf",
        "/etc/hosts",
        "/etc/kind/was-directory/inside",
        "/etc/kind/was-file",
        "/etc/motd",
        "/etc/ssh/ssh_host_ed25519_key",
    ]


def test_links_that_the_policy_lets_out_are_granted(tmp_path: Path) -> None:
    """Each [[link]] of the defaults, but where the link itself is of a class that may change."""
    world = EtcWorld(tmp_path)
    links = [
        line for line in policy_source.parse(policy_files.built_in()) if isinstance(line, Link)
    ]
    due: dict[bytes, bytes] = {}
    for number, line in enumerate(links):
        is_place = line.path in ("/etc/systemd", "/etc/alternatives", "/etc/ssl/certs")
        path = f"{line.path}/{number}" if is_place else line.path
        target = f"{line.target}/x" if is_place else line.target
        place = world.path / f"root{path}"
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            place.symlink_to(target)
            due[path.encode()] = target.encode()
    assert verity("key", "generate", "etc.pem", cwd=tmp_path).status == 0
    world.must_sign(1)
    blob = bundle.parse_fragment((world.state / "1/grants").read_bytes(), label="grants").blob
    granted = {one.path: one.target for one in parse(blob).config if one.kind is ConfigKind.SYMLINK}
    changing = {b"/etc/localtime", b"/etc/resolv.conf", b"/etc/mtab"}
    assert len(due) > 5
    assert granted == {path: target for path, target in due.items() if path not in changing}
