# SPDX-License-Identifier: Apache-2.0
"""The signed /etc when something is wrong: message, status, and that nothing was changed."""

import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.cli.program import assert_clean_error, copy, needs_root, stock, verity
from tests.etc_world import EtcWorld, make_etc_world, make_first, make_second, stored, write


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EtcWorld:
    """Serials 1 and 2; for reading only."""
    return make_etc_world(tmp_path_factory.mktemp("etc"), make_first, make_second)


@pytest.fixture
def world(made: EtcWorld, tmp_path: Path) -> EtcWorld:
    """A copy, to break."""
    return EtcWorld(copy(made.path, tmp_path / "w"))


def rewrite(path: Path, data: bytes) -> None:
    """Put other contents under a name that is read-only, or has fs-verity."""
    path.unlink()
    path.write_bytes(data)


def drop_in(text: str, name: str = "50-own.toml") -> Callable[[EtcWorld], object]:
    """An owner's drop-in with this text."""
    return lambda world: write(world.etc / "verity/policy.d" / name, text)


def move_away(etc: Path) -> None:
    """A symlink in the place of a directory."""
    etc.rename(etc.parent.parent / "elsewhere")
    etc.symlink_to("../elsewhere")


def link_drop_in(world: EtcWorld, name: str, target: str) -> None:
    """A drop-in that is a symlink."""
    (world.etc / "verity/policy.d").mkdir(parents=True)
    (world.etc / "verity/policy.d" / name).symlink_to(target)


def lose_hosts(world: EtcWorld, data: bytes | None) -> None:
    """Remove /etc/hosts, and damage or remove what is stored of it."""
    (world.etc / "hosts").unlink()
    kept = stored(world, b"127.0.0.1 localhost\n")
    if data is None:
        kept.unlink()
    else:
        rewrite(kept, data)


def fill_with_mine(path: Path) -> None:
    """A directory with a file in the place of a file."""
    path.unlink()
    write(path / "mine", "x\n")


RULE = '[[etc]]\nclass = "mutable"\nreason = "r"\n'
SIGN = ("sign", "--key", "etc.pem", "--stream", "etc-test", "--serial", "3")
CHECK = ("--key", "etc.pem.pub")

# name: (what is wrong, the arguments, the exit status, what the message says)
REFUSED: dict[str, tuple[Callable[[EtcWorld], object], Sequence[str], int, Sequence[str]]] = {
    "a serial that is there": (
        lambda world: None,
        (*SIGN[:-1], "2"),
        2,
        ["the serial 2 does not grow", "2 is signed here already"],
    ),
    "a serial that goes back": (
        lambda world: None,
        (*SIGN[:-1], "1"),
        2,
        ["the serial 1 does not grow"],
    ),
    "a fifo": (
        lambda world: os.mkfifo(world.etc / "fifo"),
        SIGN,
        1,
        ["/etc/fifo: a fifo, a socket or a device"],
    ),
    "a socket": (
        lambda world: os.mknod(world.etc / "s", stat.S_IFSOCK | 0o600),
        SIGN,
        1,
        ["/etc/s: a fifo, a socket or a device"],
    ),
    "no such root": (
        lambda world: None,
        (*SIGN, "--root", "nothing"),
        3,
        ["nothing: no such directory, expected the root of a host"],
    ),
    "an /etc that is a link": (
        lambda world: move_away(world.etc),
        SIGN,
        3,
        ["root/etc"],
    ),
    "a home that isn't absolute": (
        lambda world: None,
        (*SIGN, "--home", "root"),
        2,
        ["--home: 'root' is no absolute path"],
    ),
    "a home in /etc": (lambda world: None, (*SIGN, "--home", "/etc/x"), 2, ["is not in /etc"]),
    "a home that isn't there": (
        lambda world: None,
        (*SIGN, "--home", "/root"),
        3,
        ["/root: this home can't be opened (not-found)"],
    ),
    "a home in a home": (
        lambda world: None,
        (*SIGN, "--home", "/home", "--home", "/home/u"),
        2,
        ["/home/u lies in the home /home"],
    ),
    "a bad stream": (
        lambda world: None,
        ("sign", "--key", "etc.pem", "--stream", "Ä", "--serial", "3"),
        2,
        ["the stream 'Ä' is not 1 to 63"],
    ),
    "a policy that is no TOML": (drop_in("[[etc"), SIGN, 1, ["50-own.toml: not TOML"]),
    "an unknown key": (
        drop_in(RULE + 'paths = ["/etc/x"]\nwhy = "x"\n'),
        SIGN,
        1,
        ["50-own.toml: rule 1: unknown key 'why'"],
    ),
    "an exemption of the exemptions": (
        drop_in(RULE + 'paths = ["/etc/verity/policy.d"]\n'),
        SIGN,
        1,
        ["what lies in /etc/verity is always signed"],
    ),
    "a drop-in that is a link": (
        lambda world: link_drop_in(world, "60.toml", "/etc/motd"),
        SIGN,
        3,
        ["60.toml: is a symbolic link"],
    ),
    "everything exempt": (
        drop_in(
            RULE
            + "paths = ["
            + ",".join(f'"/etc/{one}*"' for one in ("m", "a", "k", "h", "s", "r", "n", "l"))
            + "]\n"
        ),
        (*SIGN, "--root", "bare"),
        1,
        ["no file below /etc has the class signed"],
    ),
    "a signed serial that isn't there": (
        lambda world: None,
        ("apply", *CHECK, "7"),
        3,
        ["there is no signed /etc of this serial"],
    ),
    "the wrong key": (
        lambda world: None,
        ("status", "--key", "other.pem.pub"),
        1,
        ["statement: signed by 0 of the trusted owners"],
    ),
    "an altered manifest": (
        lambda world: rewrite(
            world.state / "2/manifest",
            (world.state / "2/manifest").read_bytes().replace(b"/etc/motd", b"/etc/mote"),
        ),
        ("status", *CHECK),
        1,
        ["manifest: SHA-256"],
    ),
    "altered grants": (
        lambda world: rewrite(
            world.state / "2/grants",
            (world.state / "2/grants").read_bytes().replace(b"/etc/motd", b"/etc/mote"),
        ),
        ("apply", *CHECK),
        1,
        ["grants: SHA-256"],
    ),
    "a serial under another number": (
        lambda world: (world.state / "2").rename(world.state / "3"),
        ("apply", *CHECK, "3"),
        1,
        ["the statement is of serial 2, expected 3"],
    ),
    "damaged contents": (
        lambda world: lose_hosts(world, b"192.0.2.66 localhost\n"),
        ("apply", *CHECK),
        1,
        ["not the contents of /etc/hosts any more"],
    ),
    "contents that are gone": (
        lambda world: lose_hosts(world, None),
        ("apply", *CHECK),
        3,
        ["/etc/hosts: its contents"],
    ),
    "an older serial": (
        lambda world: None,
        ("apply", *CHECK, "1"),
        1,
        ["serial 1: serial 2 is the intent, and an older one is not applied"],
    ),
    "a revert that goes nowhere": (
        lambda world: None,
        ("revert", *CHECK, "2"),
        2,
        ["serial 2: not before serial 2, which is the intent"],
    ),
    "no serial before": (
        lambda world: shutil.rmtree(world.state / "1"),
        ("revert", *CHECK),
        3,
        ["no signed /etc comes before serial 2"],
    ),
    "a directory with strange files in the way": (
        lambda world: fill_with_mine(world.etc / "motd"),
        ("apply", *CHECK),
        3,
        ["/etc/motd: a directory is in the way", "holds what nobody signed"],
    ),
    "a damaged list of serials": (
        lambda world: (world.state / "current").write_text("two\n"),
        ("status", *CHECK),
        1,
        ["no list of serials"],
    ),
    "a damaged journal": (
        lambda world: (world.state / "journal").write_text('{"before":[1],"after":"2"}'),
        ("apply", *CHECK),
        1,
        ["journal: the field 'after' is a string"],
    ),
    "never signed": (
        lambda world: shutil.rmtree(world.state),
        ("apply", *CHECK),
        3,
        ["there is no signed /etc"],
    ),
    "what says which is the intent is gone": (
        lambda world: (world.state / "current").unlink(),
        ("status", *CHECK),
        3,
        ["current: it is gone, or what it names is"],
    ),
    "no such root to look at": (
        lambda world: None,
        ("status", *CHECK, "--root", "nothing"),
        3,
        ["nothing: no such directory, expected the root of a host"],
    ),
    "nobody is trusted": (
        lambda world: None,
        ("status",),
        3,
        ["no pin of the user, whose keyring says who signs /etc"],
    ),
    "resume with a serial": (
        lambda world: None,
        ("apply", *CHECK, "--resume", "2"),
        2,
        ["--resume: with neither SERIAL nor --dry-run"],
    ),
    "text from the vendor": (
        lambda world: None,
        ("diff", *CHECK, "--from-vendor", "--text"),
        2,
        ["--text: not with --from-vendor"],
    ),
    "secrets without text": (
        lambda world: None,
        ("diff", *CHECK, "--show-secret-files"),
        2,
        ["--show-secret-files: only with --text"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(world: EtcWorld, name: str) -> None:
    spoil, arguments, status, words = REFUSED[name]
    spoil(world)
    if "bare" in arguments:
        copy(world.path / "root", world.path / "bare")
        shutil.rmtree(world.path / "bare/etc/verity")
        (world.path / "bare/usr/lib/verity").mkdir(parents=True)
        copy(world.etc / "verity/policy.d", world.path / "bare/usr/lib/verity/policy.d")
    before, state = world.files(), sorted(os.listdir(world.path))
    folders = sorted(path for path in world.state.rglob("*") if path.name != "lock")
    verb, *more = arguments
    root = () if "--root" in arguments else ("--root", "root")
    done = verity("etc", verb, *root, *more, cwd=world.path)
    assert done.status == status, done.err
    assert_clean_error(done, words, hint="hint:" in done.err)
    assert done.out == ""
    assert (world.files(), sorted(os.listdir(world.path))) == (before, state)
    assert sorted(path for path in world.state.rglob("*") if path.name != "lock") == folders


def test_a_drop_in_that_nobody_signed_exempts_nothing(world: EtcWorld) -> None:
    drop_in(RULE + 'paths = ["/etc/motd", "/etc/cron.d"]\n', "99-evil.toml")(world)
    write(world.etc / "motd", "changed\n")
    write(world.etc / "cron.d/evil", "x\n")
    found = {one["path"]: one["check"] for one in world.run("status", "--json").of_type("finding")}
    assert found["/etc/motd"] == "changed"
    assert found["/etc/cron.d/evil"] == "added"
    assert found["/etc/verity/policy.d/99-evil.toml"] == "added"
    assert world.run("apply").status == 0
    assert "again" in (world.etc / "motd").read_text()


def test_what_is_signed_stays_so_whatever_the_vendor_says_later(world: EtcWorld) -> None:
    write(world.path / "root/usr/lib/verity/policy.d/90.toml", RULE + 'paths = ["/etc/motd"]\n')
    write(world.etc / "motd", "changed\n")
    assert "changed  /etc/motd" in world.run("status").out


def test_a_mask_takes_a_drop_in_away(world: EtcWorld) -> None:
    link_drop_in(world, "10-etc.toml", "/dev/null")
    world.must_sign(3)
    assert b"/etc/shadow " in (world.state / "3/manifest").read_bytes()
    (world.etc / "shadow").write_text("changed\n")
    assert "changed  /etc/shadow" in world.run("status").out


def test_what_cannot_be_verified_takes_nothing_away(world: EtcWorld) -> None:
    write(world.etc / "late", "x\n")
    world.must_sign(3)
    (world.etc / "late").unlink()
    world.must_sign(4)
    assert world.run("revert").status == 0
    rewrite(world.state / "3/statement.json", b"{}")
    done = world.run("apply", "4")
    assert done.status == 0
    assert "what serial 3 had stays, because that can't be verified" in done.err
    assert "left     /etc/late\n" in done.out
    assert world.current() == "4"


def test_a_home_that_is_gone(world: EtcWorld) -> None:
    home = world.path / "root/home/u"
    write(home / ".profile", "x\n")
    world.must_sign(3, "--home", "/home/u")
    shutil.rmtree(home)
    done = world.run("status")
    assert done.status == 3
    assert "NOT EVALUATED  unreadable  /home/u: this home can't be opened (not-found)" in done.out
    assert "FINDING" not in done.out
    assert world.run("apply").status == 3
    (world.etc / "motd").unlink()
    assert world.run("status").status == 1
    assert world.run("revert").status == 0
    assert world.run("status").status == 0


@needs_root
def test_a_file_that_nothing_can_replace(world: EtcWorld) -> None:
    write(world.etc / "motd", "changed\n")
    write(world.etc / "hosts", "changed\n")
    stock("chattr", "+i", world.etc / "motd", cwd=world.path)
    try:
        done = world.run("apply")
        assert done.status == 3
        assert_clean_error(done, ["/etc/motd: it has the attribute immutable"], hint=True)
        assert (world.etc / "hosts").read_text() == "changed\n"  # refused before anything
        assert not (world.state / "journal").exists()
        assert not (world.etc / ".verity-stage").exists()
    finally:
        stock("chattr", "-i", world.etc / "motd", cwd=world.path)
    assert world.run("apply").status == 0


@needs_root
def test_a_mount_inside_is_never_passed_by(world: EtcWorld) -> None:
    stock("mount", "-t", "tmpfs", "none", world.etc / "app", cwd=world.path)
    try:
        for verb, status in (("status", 1), ("apply", 3)):
            done = world.run(verb)
            assert done.status in (status, 3)
            assert "another file system is mounted here" in done.out + done.err
        refused = world.sign(3)
        assert (refused.status, "/etc/app: another file system" in refused.err) == (3, True)
    finally:
        stock("umount", world.etc / "app", cwd=world.path)


def test_a_symlink_on_the_way_is_not_followed(world: EtcWorld) -> None:
    outside = world.path / "outside"
    shutil.move(world.etc / "app", outside)
    (world.etc / "app").symlink_to(outside)
    write(outside / "kept", "x\n")
    done = world.run("apply")
    assert done.status == 0, done.err
    assert (world.etc / "app").is_dir() and not (world.etc / "app").is_symlink()
    assert (outside / "kept").read_text() == "x\n"
    assert world.run("status").status == 0


def test_what_a_user_may_not_read(world: EtcWorld) -> None:
    done = verity("etc", "status", "--root", "root", *CHECK, cwd=world.path, lesser=True)
    if done.status != 0:  # else the checkout is closed to others, and the lesser user is root
        assert done.status == 3
        assert "permission denied" in done.out + done.err


@pytest.mark.parametrize("verb", ["status", "apply"])
def test_a_home_behind_a_link_is_not_followed(world: EtcWorld, tmp_path: Path, verb: str) -> None:
    """Whoever owns what is above a home could lead root to any other place."""
    root = world.path / "root"
    home = root / "home/u/apps/one"
    write(home / ".profile", "signed\n")
    args = ("--key", "etc.pem", "--stream", "etc-test", "--serial", "3", "--root", "root")
    done = verity("etc", "sign", *args, "--home", "/home/u/apps/one", cwd=world.path)
    assert done.status == 0, done.err
    victim = tmp_path / "victim"
    write(victim / "one/.profile", "the victim's\n")
    (root / "home/u/apps").rename(root / "home/u/away")
    (root / "home/u/apps").symlink_to(victim)
    done = verity("etc", verb, *CHECK, "--root", "root", cwd=world.path)
    assert done.status == 3
    assert "/home/u/apps/one" in done.out + done.err
    assert (victim / "one/.profile").read_text() == "the victim's\n"
    assert os.listdir(victim / "one") == [".profile"]


def test_two_at_a_time(world: EtcWorld) -> None:
    with (world.state / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = world.run("apply")
        assert done.status == 3
        assert_clean_error(done, ["another `verity etc` writes here"], hint=True)
    assert world.run("apply").status == 0
