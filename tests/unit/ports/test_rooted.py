# SPDX-License-Identifier: Apache-2.0
"""A host's files by its own names: links stay in its root, and nothing leads out of it."""

import errno
import os
from pathlib import Path

import pytest

from verity.ports.rooted import Rooted
from verity.values.errors import HostError


def never(path: bytes, error: HostError) -> None:
    raise AssertionError(path) from error


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    for folder in ("usr/bin", "etc", "dev"):
        (made / folder).mkdir(parents=True)
    (made / "usr/bin/a").write_bytes(b"a")
    (made / "bin").symlink_to("usr/bin")
    (tmp_path / "secret").write_bytes(b"outside")
    return made


# a link at /etc/l -> where a name below it leads
@pytest.mark.parametrize(
    ("target", "name", "leads"),
    [
        ("/usr/bin/a", "/etc/l", "/usr/bin/a"),
        ("../bin/a", "/etc/l", "/usr/bin/a"),
        ("../../../../usr/bin/a", "/etc/l", "/usr/bin/a"),
        ("/bin", "/etc/l/../bin/./a", "/usr/bin/a"),
        ("/", "/etc/l/usr//bin/a", "/usr/bin/a"),
        ("/dev/null", "/etc/l", "/dev/null"),
        ("../../secret", "/etc/l", None),
        ("/none/x", "/etc/l", None),
        ("/usr/bin/a", "/etc/l/x", None),
    ],
)
def test_links(root: Path, target: str, name: str, leads: str | None) -> None:
    (root / "etc/l").symlink_to(target)
    with Rooted(root) as tree:
        for _ in range(2):  # the second time from what it remembers
            found = tree.find(name.encode())
            assert (None if found is None else os.fsdecode(found.path)) == leads


def test_where_it_passed_and_what_is_there(root: Path) -> None:
    with Rooted(root) as tree:
        found = tree.locate(b"/bin/a")
        assert (found.links, found.is_file, found.is_folder) == ((b"/bin",), True, False)
        assert tree.locate(b"/").is_folder
        assert tree.link(b"/bin") == b"usr/bin"
        assert tree.link(b"/usr") is None


def test_a_loop(root: Path) -> None:
    (root / "etc/l").symlink_to("l")
    with Rooted(root) as tree, pytest.raises(HostError, match="symbolic link"):
        tree.find(b"/etc/l")


def test_a_folder_that_became_a_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    with Rooted(root) as tree:
        found = tree.locate(b"/usr/bin/a")
        (root / "usr/bin/a").unlink()
        (root / "usr/bin/a").symlink_to(tmp_path / "secret")
        with pytest.raises(OSError, match="symbolic") as error:
            tree.open(found)
        assert error.value.errno == errno.ELOOP


def test_only_regular_files_are_read(root: Path) -> None:
    os.mkfifo(root / "etc/fifo")
    with Rooted(root) as tree:
        with pytest.raises(HostError, match="/etc/fifo"):
            tree.read(b"/etc/fifo")
        with pytest.raises(HostError, match="/etc: "):
            tree.read(b"/etc")
        assert tree.read(b"/etc/none") is None
        with pytest.raises(HostError, match="/usr/bin/a: more than 0 bytes"):
            tree.read(b"/usr/bin/a", max_size=0)


def test_names_and_walk(root: Path) -> None:
    with Rooted(root) as tree:
        assert tree.names(b"/bin") == [b"a"]
        assert tree.names(b"/usr/bin/a") == []
        below = tree.walk(b"/usr", refused=never)
        assert sorted(path for path, _ in below) == [b"/usr/bin", b"/usr/bin/a"]
        assert list(tree.walk(b"/usr", refused=never, device=-1)) == []


def test_many_folders_keep_few_descriptors(root: Path) -> None:
    for number in range(1000):
        (root / f"etc/{number}").mkdir()
        (root / f"etc/{number}/f").touch()
    with Rooted(root) as tree:
        for number in range(1000):
            assert tree.read(b"/etc/%d/f" % number) == b""
        assert len(os.listdir("/proc/self/fd")) < 600


def test_a_root_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="does not exist"):
        Rooted(tmp_path / "none")
