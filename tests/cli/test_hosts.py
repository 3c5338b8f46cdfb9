# SPDX-License-Identifier: Apache-2.0
"""The host around the program: another user, a closed pipe, an interrupt, a full disk, locks."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import (
    STRANGER,
    TIMEOUT_S,
    VERITY,
    assert_clean_error,
    needs_root,
    snapshot,
    stock,
    verity,
)
from tests.cli.worlds import REF, UNSIGNED_REF, World

KEY = ("--key", "vendor.pem.pub")
LARGE, TIMES = 64 << 20, 2000  # bytes of a file, and how often it is named: many seconds to read


@pytest.fixture
def reachable(world: World) -> World:
    """A world whose directory everybody can reach, whatever the directories above allow."""
    for folder in (world.path, *world.path.parents):
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o011)
    return world


def close(path: Path, mode: int) -> None:
    """Only a stranger may do with it what the mode says."""
    os.chown(path, STRANGER, STRANGER)
    path.chmod(mode)


@needs_root
@pytest.mark.parametrize(
    ("closed", "args"),
    [
        ("repo", ("commit", "verify", "--repo", "repo", *KEY, REF)),
        ("vendor.pem.pub", ("commit", "verify", "--repo", "repo", *KEY, REF)),
        ("vendor.pem.pub", ("key", "show", "vendor.pem.pub")),
        ("vendor.pem.pub", ("manifest", "show", "vendor.pem.pub")),
        ("tree", ("audit", "--root", "tree", "--repo", "repo", "--commit", REF, *KEY)),
    ],
    ids=["repo", "key", "key-show", "manifest", "tree"],
)
def test_what_only_root_may_read(reachable: World, closed: str, args: tuple[str, ...]) -> None:
    close(reachable.path / closed, 0o700)
    before = snapshot(reachable.path)
    done = verity(*args, cwd=reachable.path, lesser=True)
    assert (done.status, done.out) == (3, ""), done
    assert_clean_error(done, (f"{closed}: permission denied",), hint=True)
    assert snapshot(reachable.path) == before


@needs_root
def test_an_object_for_root_only_is_not_evaluated(reachable: World) -> None:
    close(reachable.content("/usr/bin/sudo").parent, 0o700)
    args = ("commit", "verify", "--repo", "repo", *KEY, REF)
    done = verity(*args, cwd=reachable.path, lesser=True)
    assert (done.status, done.err) == (3, "")
    assert "FINDING" not in done.out
    assert "NOT EVALUATED  no-permission  " in done.out
    assert "hint:    run as a user that may, or as root" in done.out


@needs_root
def test_a_key_for_root_only(reachable: World) -> None:
    close(reachable.path / "vendor.pem", 0o600)
    before = snapshot(reachable.path)
    args = ("--repo=repo", "--key=vendor.pem", "--stream=os", "--serial=1", UNSIGNED_REF)
    done = verity("commit", "sign", *args, cwd=reachable.path, lesser=True)
    assert done.status == 3
    assert_clean_error(done, ("vendor.pem: permission denied",), hint=True)
    assert snapshot(reachable.path) == before


@needs_root
def test_signing_where_one_may_not_write(reachable: World) -> None:
    home = reachable.path / "home"
    home.mkdir()
    home.chmod(0o777)
    assert verity("key", "generate", "his.pem", cwd=home, lesser=True).status == 0
    for folder in (reachable.repo, *reachable.repo.rglob("*")):
        if folder.is_dir():
            close(folder, 0o755)
    before = snapshot(reachable.path)
    args = ("--repo=../repo", "--key=his.pem", "--stream=os", "--serial=9", UNSIGNED_REF)
    done = verity("commit", "sign", *args, cwd=home, lesser=True)
    assert done.status == 3
    assert_clean_error(done, ("../repo", "permission denied"), hint=True)
    assert snapshot(reachable.path) == before


@needs_root
def test_a_tree_with_a_directory_for_root_only(reachable: World) -> None:
    close(reachable.path / "tree/usr/share", 0o700)
    done = verity("manifest", "make", "tree", cwd=reachable.path, lesser=True)
    assert (done.status, done.out) == (3, "")
    assert_clean_error(done, ("/usr/share: permission denied",), hint=True)
    args = ("--root=tree", "--repo=repo", "--commit", REF, *KEY)
    audit = verity("audit", *args, "--only=files", "--json", cwd=reachable.path, lesser=True)
    gaps = audit.of_type("not-evaluated")
    assert [gap["object"] for gap in gaps] == ["/usr/share"]
    # What is behind it is not called missing.
    assert not [record for record in audit.of_type("finding") if record["check"] == "missing"]


@needs_root
def test_enable_and_measure_of_a_file_for_root_only(reachable: World) -> None:
    close(reachable.path / "vendor.pem", 0o600)
    for verb in ("enable", "measure", "digest"):
        done = verity(verb, "vendor.pem", cwd=reachable.path, lesser=True)
        assert done.status == 3
        assert_clean_error(done, ("vendor.pem", "permission denied"), hint=True)


def test_a_closed_pipe(tmp_path: Path) -> None:
    names = []
    for number in range(3000):
        name = f"a-name-that-is-long-enough-to-fill-a-pipe-{number}"
        (tmp_path / name).touch()
        names.append(name)
    with subprocess.Popen(
        [VERITY, "digest", *names], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdout is not None and program.stderr is not None
        program.stdout.read(1)
        program.stdout.close()
        said = program.stderr.read().decode()
        assert program.wait(TIMEOUT_S) == 3  # the results did not reach their reader
    assert "Traceback" not in said


def test_a_closed_pipe_at_the_very_end(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [VERITY, "doctor"], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, timeout=TIMEOUT_S
    )
    os.close(writer)
    assert (done.returncode, b"Traceback" in done.stderr) == (3, False)


def test_a_full_disk(bare: World) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [VERITY, "digest", "vendor.pem"],
            cwd=bare.path,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT_S,
        )
    assert done.returncode == 3
    assert b"Traceback" not in done.stderr
    assert done.stderr.startswith(b"verity: error: ")


def _bytes_read(io: Path) -> int:
    """By read(2) and the like, so far (proc_pid_io(5))."""
    return int(io.read_text().splitlines()[0].removeprefix("rchar: "))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_interrupted(tmp_path: Path, jobs: str) -> None:
    (tmp_path / "large").write_bytes(bytes(LARGE))
    # A shell ignores SIGINT in what it starts in the background, and so would we.
    with subprocess.Popen(
        ["env", "--default-signal=INT", VERITY, "digest", "--jobs", jobs, *["large"] * TIMES],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        reads = Path(f"/proc/{program.pid}/io")
        while _bytes_read(reads) < LARGE // 2:  # it is at work, however slowly it started
            time.sleep(0.05)
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=TIMEOUT_S)
    # Not that it was quick, but that it ended before the digest was there.
    assert (program.returncode, out) == (130, b"")
    assert err.decode().strip() == "verity: interrupted"
    assert os.listdir(tmp_path) == ["large"]


def test_a_repository_that_is_in_use(world: World) -> None:
    # Stock ostree holds this lock while it commits; here for half a second.
    (world.repo / ".lock").touch()
    holder = (
        "import fcntl, struct, sys, time; file = open('repo/.lock', 'r+');"
        "fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack('hhqqi4x', fcntl.F_RDLCK, 0, 0, 0, 0));"
        "print('held', flush=True); time.sleep(1); open('released', 'x')"
    )
    with subprocess.Popen(
        ["python3", "-c", holder], cwd=world.path, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        args = ("--repo=repo", "--key=vendor.pem", "--stream=os", "--serial=9", UNSIGNED_REF)
        done = verity("commit", "sign", *args, cwd=world.path)
        assert (world.path / "released").exists(), "it did not wait"
    assert done.status == 0, done.err


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    done = verity("digest", "link", cwd=tmp_path)
    assert done.status == 3
    assert_clean_error(done, ("link",), hint=True)


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for verb in ("digest", "measure", "enable"):
        done = verity(verb, "fifo", cwd=tmp_path)
        assert done.status == 3
        assert_clean_error(done, ("fifo is a fifo, expected a regular file",), hint=True)


def test_findings_name_files_exactly_in_json(copied: Callable[[str], World]) -> None:
    world = copied("bare")
    args = ("--root=tree", "--repo=repo", "--commit", REF, *KEY, "--json")
    raw = os.fsencode(world.path) + b"/tree/usr/caf\xe9\n"
    with open(raw, "wb"):
        pass
    done = verity("audit", *args, cwd=world.path)
    (found,) = [one for one in done.of_type("finding") if one["check"] == "unsigned-file"]
    assert found["object"] == r"/usr/caf\xe9\x0a"
    assert found["path_base64"] == "L3Vzci9jYWbpCg=="


def test_a_key_file_whose_name_is_not_utf8(tmp_path: Path) -> None:
    done = verity("key", "generate", "--json", b"k\xe9.pem", cwd=tmp_path)
    assert done.status == 0
    assert sorted(os.listdir(os.fsencode(tmp_path))) == [b"k\xe9.pem", b"k\xe9.pem.pub"]
    # No lone surrogates: strict JSON readers refuse them.
    assert "\\udc" not in done.out


def test_the_environment_does_not_matter(bare: World) -> None:
    args = ("commit", "verify", "--repo=repo", *KEY, REF)
    for environment in ({"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LANG": "xx_YY", "TERM": "dumb"}):
        done = verity(*args, cwd=bare.path, environment=environment)
        assert (done.status, done.err) == (0, "")
    name = "tree/usr/share/names/ünïcode"
    one = verity("digest", name, cwd=bare.path)
    other = verity("digest", name, cwd=bare.path, environment={"LC_ALL": "C"})
    assert one == other


def test_stock_tools_agree_that_nothing_was_damaged(bare: World) -> None:
    stock("ostree", "--repo=repo", "fsck", "--quiet", cwd=bare.path)
