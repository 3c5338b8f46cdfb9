# SPDX-License-Identifier: Apache-2.0
"""`verity repair`: what differs from the signed commit is brought back, or left and named.

The file systems that these run on may have no fs-verity: then that is what is left, and no more.
tests/vm/test_repair.py has a file system that has.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boot import extension_grants, os_grants
from tests.cli.program import VERITY, Done, needs_root, snapshot, stock, verity
from tests.cli.worlds import BIG, MODES, REF, World, commit
from verity.formats import bundle
from verity.formats.dump import Entry
from verity.formats.fsverity import digest_bytes
from verity.formats.grants import Code, CodeEntry, Party, Role
from verity.ports import keystore
from verity.ports.ostree_repo import Repository
from verity.ports.places import BUNDLE
from verity.trust.trusted import TrustedSet
from verity.values.errors import HostError
from verity.verbs import repair as verb
from verity.verbs import repair_granted, signed
from verity.verbs.repair_sources import Sources

TREE = ("--root", "tree", "--repo", "repo", "--commit", REF, "--key", "vendor.pem.pub")
CODE = Path("/bin/true").read_bytes()


def repair(world: World, *more: str) -> Done:
    """`verity repair`, whose only complaint at most may be that fs-verity isn't there."""
    return verity("repair", *TREE, "--json", *more, cwd=world.path)


def left(done: Done) -> dict[str, str]:
    """What was left, but for fs-verity on file systems that have none."""
    found = {one["path"]: one["why"] for one in done.of_type("left")}
    if "without fs-verity" in found.get("/", ""):
        del found["/"]
    return found


def steps(done: Done) -> dict[str, tuple[str, str]]:
    """The step and the reason of each path, without those that lack only fs-verity."""
    return {
        one["path"]: (one["step"], one["why"])
        for one in done.of_type("step")
        if one["step"] != "protect"
    }


def trusted_of(world: World) -> TrustedSet:
    key = keystore.load_signer(str(world.path / "vendor.pem")).public
    return TrustedSet.of_keys([key], party=Party.VENDOR, role=Role.OS)


def tamper(tree: Path) -> None:
    """One of everything that can be brought back."""
    (tree / "usr/bin/tool").write_bytes(b"evil")
    (tree / "usr/bin/sudo").chmod(0o777)
    (tree / "usr/bin/script").unlink()
    (tree / "usr/bin/script").mkdir()
    (tree / "usr/share/big").write_bytes(BIG[:-1] + b"x")
    (tree / "usr/share/empty").unlink()
    (tree / "usr/share/link").unlink()
    (tree / "usr/share/link").symlink_to("/elsewhere")
    shutil.rmtree(tree / "usr/share/names")
    (tree / "usr/share/names").symlink_to("/tmp")  # noqa: S108  # where it leads must not matter
    (tree / "usr/share").chmod(0o777)
    for name in ("usr/share/copy", "usr/share"):
        os.setxattr(tree / name, "user.note", b"nobody signed this")
    if os.geteuid() == 0:
        os.chown(tree / "usr/bin", 4, 5)


@pytest.mark.parametrize("mode", MODES)
def test_everything_is_brought_back(copied: Callable[[str], World], mode: str) -> None:
    world = copied(mode)
    tree = world.path / "tree"
    before, elsewhere = snapshot(tree), set(os.listdir("/tmp"))  # noqa: S108  # see above
    tamper(tree)
    done = repair(world)
    assert left(done) == {}
    assert snapshot(tree) == before
    assert os.listxattr(tree / "usr/share/copy") == os.listxattr(tree / "usr/share") == []
    assert not set(os.listdir("/tmp")) - elsewhere & {"big", "with space"}  # noqa: S108
    assert steps(done)["/usr/bin/sudo"] == ("restore", "mode differs")
    assert steps(done)["/usr/share"] == ("change", "mode and xattrs differ")
    assert steps(done)["/usr/share/empty"] == ("restore", "it is missing")
    assert [one["step"] for one in done.of_type("step") if one["path"] == "/usr/bin/script"] == [
        "remove",
        "restore",
    ]
    again = repair(world)
    assert (steps(again), left(again)) == ({}, {})


def test_a_file_is_never_written_in_place(world: World) -> None:
    """Another name of the inode, such as the repository's, keeps what it has."""
    tool = world.path / "tree/usr/bin/tool"
    tool.write_bytes(b"evil")
    os.link(tool, world.path / "other-name")
    assert left(repair(world)) == {}
    assert (world.path / "other-name").read_bytes() == b"evil"
    assert tool.stat().st_nlink == 1


def test_a_dry_run_only_tells(world: World) -> None:
    tamper(world.path / "tree")
    before = snapshot(world.path)
    done = repair(world, "--dry-run")
    assert snapshot(world.path) == before
    assert len(steps(done)) > 10
    summary = done.records[-1]
    assert (summary["dry_run"], summary["exit_status"], done.status) == (True, 0, 0)


def test_the_plan_in_text(world: World) -> None:
    (world.path / "tree/usr/share/names/two\nlines").unlink()
    (world.path / "tree/usr/bin/evil").write_bytes(CODE)
    done = verity("repair", *TREE, "--dry-run", cwd=world.path)
    lines = done.out.splitlines()
    assert lines[0].startswith(
        "restore  /usr/share/names/two\\x0alines: it is missing (from object "
    )
    assert "left     /usr/bin/evil: nobody signed it, and it is code" in lines
    assert lines[-1].startswith("would be repaired: 1 changes, ")
    assert (done.status, done.err) == (1, "")


def test_unsigned_code_goes_when_asked(world: World) -> None:
    tree = world.path / "tree"
    before = snapshot(tree)
    (tree / "usr/bin/evil").write_bytes(CODE)  # the contents of a signed file, at that
    (tree / "usr/bin/evil").chmod(0o4755)
    (tree / "usr/lib/x").mkdir(parents=True)
    (tree / "usr/lib/x/a.so").write_bytes(CODE)
    (tree / "usr/local/bin").mkdir(parents=True)
    (tree / "usr/local/bin/own").write_bytes(CODE)
    (tree / "usr/share/data").write_text("data")
    (tree / "usrx").write_bytes(CODE)  # in the root, where a host has its own
    kept = repair(world)
    assert {"/usr/bin/evil", "/usr/lib/x/a.so", "/usr/share/data"} == set(left(kept))
    assert kept.status == 1
    done = repair(world, "--remove-unsigned")
    assert left(done) == {"/usr/share/data": "nobody signed it"}
    assert (tree / "usr/local/bin/own").exists()
    shutil.rmtree(tree / "usr/local")
    (tree / "usrx").unlink()
    (tree / "usr/share/data").unlink()
    assert snapshot(tree) == before


def test_what_an_extension_grants_is_kept(world: World) -> None:
    """Of another stream, as code; a set-uid copy of it goes. A bundle that can't be read keeps all,
    since it could be one that grants."""
    tree = world.path / "tree"
    own = Path("/bin/cat").read_bytes()
    for name, mode in (("own", 0o755), ("own-root", 0o4755)):
        (tree / "usr/bin" / name).write_bytes(own)
        (tree / "usr/bin" / name).chmod(mode)
    bundle_file = tree / BUNDLE
    bundle_file.parent.mkdir(parents=True)
    accept = ("--accept-without-floor", "--repo", "repo", "--key", "vendor.pem.pub")
    done = verity("commit", "verify", *accept, "--root", "tree", REF, cwd=world.path)
    assert done.status == 0, done.err
    entry = CodeEntry(digest=digest_bytes(own).value, flags=Code.EXEC)
    bundle_file.write_bytes(bundle.encode([extension_grants(code=(entry,)).fragment]))
    with Repository(world.repo) as repository:
        said = signed.load(repository, REF, trusted_of(world))
    tree_says = repair_granted.granted(tree, said)
    assert tree_says.code == {entry.digest}
    bundle_file.write_bytes(bundle.encode([os_grants(code=(entry,)).fragment]))
    assert repair_granted.granted(tree, said) == repair_granted.Granted()
    bundle_file.write_bytes(bundle.encode([extension_grants(code=(entry,)).fragment]))
    granted = repair(world, "--remove-unsigned")
    assert set(left(granted)) == {"/usr/bin/own"}, granted.err
    assert not (tree / "usr/bin/own-root").exists()
    bundle_file.write_bytes(b"damaged")
    before = snapshot(tree)
    assert repair(world, "--remove-unsigned").status == 1
    assert snapshot(tree) == before


def test_what_has_no_source_is_left_and_the_rest_brought_back(world: World) -> None:
    tree = world.path / "tree"
    world.content("/usr/bin/tool").unlink()
    script = world.content("/usr/bin/script")
    script.write_bytes(script.read_bytes() + b"evil")
    for name in ("tool", "script", "sudo"):
        (tree / "usr/bin" / name).write_bytes(b"evil")
    done = repair(world)
    assert done.status == 1
    found = left(done)
    assert set(found) == {"/usr/bin/tool", "/usr/bin/script"}
    assert "its signed contents are nowhere" in found["/usr/bin/tool"]
    assert (tree / "usr/bin/sudo").read_bytes() == Path("/bin/false").read_bytes()
    assert (tree / "usr/bin/tool").read_bytes() == b"evil"


def test_another_file_of_the_tree_is_a_source(world: World) -> None:
    world.content("/usr/share/big").unlink()
    (world.path / "tree/usr/share/big").unlink()
    done = repair(world)
    assert left(done) == {}
    sources = {one["path"]: one["source"] for one in done.of_type("step")}
    assert sources["/usr/share/big"] == "/usr/share/copy"
    assert (world.path / "tree/usr/share/big").read_bytes() == BIG


def test_a_directory_in_the_way_stays(world: World) -> None:
    tool = world.path / "tree/usr/bin/tool"
    tool.unlink()
    tool.mkdir()
    (tool / "mine").write_text("mine")
    done = repair(world)
    assert set(left(done)) == {"/usr/bin/tool", "/usr/bin/tool/mine"}
    assert (tool / "mine").read_text() == "mine"


def test_what_is_the_hosts_own_stays(world: World) -> None:
    """An /etc in the commit is brought back, but for classes that aren't signed; /var is not."""
    etc = world.path / "tree/etc"
    etc.mkdir()
    state = world.path / "tree/var/db/state"
    state.parent.mkdir(parents=True)
    state.write_text("as it began\n")
    (etc / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (etc / "motd").write_text("hello\n")
    commit(world.repo, world.path / "tree", REF)
    sign = ("commit", "sign", "--repo", "repo", "--key", "vendor.pem", "--stream", "os")
    assert verity(*sign, "--serial", "9", REF, cwd=world.path).status == 0
    state.write_text("as it is by now\n")
    (etc / "passwd").write_text("another")
    (etc / "motd").write_text("another")
    (etc / "added").write_bytes(CODE)
    found = left(repair(world, "--remove-unsigned"))
    assert list(found) == ["/var"]
    assert found["/var"].startswith("1 signed files differ")
    assert state.read_text() == "as it is by now\n"
    assert (etc / "passwd").read_text() == "another"
    assert (etc / "motd").read_text() == "hello\n"
    assert (etc / "added").exists()


def test_nothing_is_done_for_a_bad_commit(world: World) -> None:
    tamper(world.path / "tree")
    before = snapshot(world.path)
    other = [one.replace("vendor", "other") for one in TREE]
    done = verity("repair", *other, cwd=world.path)
    assert (done.status, done.out) == (1, "")
    assert "signed by 0 of the trusted owners" in done.err
    assert snapshot(world.path) == before


def test_without_a_commit_it_must_be_said(world: World) -> None:
    without = ("--root", "tree", "--repo", "repo", "--key", "vendor.pem.pub")
    done = verity("repair", *without, cwd=world.path)
    assert (done.status, done.out) == (3, "")
    assert "has not booted a commit" in done.err
    assert "hint: --commit REV" in done.err


@needs_root
def test_a_read_only_tree_is_refused_whole(world: World) -> None:
    tamper(world.path / "tree")
    (world.path / "do").write_text(
        "mount --bind tree/usr tree/usr && mount -o remount,ro,bind tree/usr || exit\n"
        f"{VERITY} repair {' '.join(TREE)} 2>err; echo $? >status\n"
    )
    before = snapshot(world.path / "tree")
    stock("unshare", "-m", "sh", "do", cwd=world.path)
    assert (world.path / "status").read_text() == "3\n"
    error = (world.path / "err").read_text()
    assert "/usr: it is mounted read-only, and nothing was changed" in error
    assert "ostree admin deploy" in error
    assert snapshot(world.path / "tree") == before


@needs_root
def test_what_is_immutable_is_left_and_the_rest_brought_back(world: World) -> None:
    """A file, a directory, and the root itself, as OSTree makes it."""
    tree = world.path / "tree"
    (tree / "bin").symlink_to("usr/bin")
    commit(world.repo, tree, REF)
    sign = ("commit", "sign", "--repo", "repo", "--key", "vendor.pem", "--stream", "os")
    assert verity(*sign, "--serial", "9", REF, cwd=world.path).status == 0
    before = snapshot(tree)
    (tree / "bin").unlink()
    (tree / "usr/bin/tool").write_bytes(b"evil")
    (tree / "usr/share/names/-").unlink()
    (tree / "usr/share/big").write_bytes(b"evil")
    held = ("tree", "tree/usr/bin/tool", "tree/usr/share/names")
    stock("chattr", "+i", *held, cwd=world.path)
    try:
        found = left(repair(world))
    finally:
        stock("chattr", "-i", *held, cwd=world.path)
    assert set(found) == {"/bin", "/usr/bin/tool", "/usr/share/names/-"}
    assert "the root is immutable" in found["/bin"]
    assert "it has the attribute immutable" in found["/usr/bin/tool"]
    assert (tree / "usr/share/big").read_bytes() == BIG
    assert left(repair(world)) == {}
    assert snapshot(tree) == before


def test_what_is_left_over_by_a_kill_is_no_finding_and_goes(world: World) -> None:
    stages = [world.path / "tree" / top / ".verity-stage-0123456789abcdef" for top in ("", "usr")]
    for stage in stages:
        stage.mkdir(mode=0o700)
        (stage / "0").write_bytes(CODE)
    (world.path / "tree/usr/bin/tool").write_bytes(b"evil")
    assert left(repair(world)) == {}
    assert not any(stage.exists() for stage in stages)


def test_no_half_of_it_if_preparing_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """All contents are there before the first name changes: the last one fails here."""
    tamper(world.path / "tree")
    before = snapshot(world.path / "tree")
    with Repository(world.repo) as repository:
        said = signed.load(repository, REF, trusted_of(world))
        planned = verb.look(verb.Asked(root=world.path / "tree", commit=said), repository)
        last = planned.plan.put[-1].path
        good = Sources.fill

        def fill(sources: Sources, entry: Entry, target: int) -> None:
            if entry.path == last:
                raise HostError("no-space", "no space left")
            good(sources, entry, target)

        monkeypatch.setattr(Sources, "fill", fill)
        with pytest.raises(HostError, match="no space left"):
            verb.carry_out(planned, lambda seconds: None)
    assert snapshot(world.path / "tree") == before
