# SPDX-License-Identifier: Apache-2.0
"""`manifest show --checksum` and `manifest verify`: trees in the same state, and in others."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import assert_clean_error, copy, verity
from tests.etc_world import make_first, write


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    """Two roots in the same state, made one after the other, and files that may differ."""
    for name in ("one", "two"):
        (tmp_path / name / "etc").mkdir(parents=True)
        make_first(tmp_path / name / "etc")
        write(tmp_path / name / "usr/bin/tool", "tool\n", 0o755)
        write(tmp_path / name / "etc/shadow", f"root:{name}:\n", 0o640)
    return tmp_path


def line(hosts: Path, *parts: str) -> str:
    done = verity("manifest", "show", "--checksum", *parts, cwd=hosts)
    assert (done.status, done.err) == (0, "")
    return done.out


def state(hosts: Path, name: str) -> str:
    return line(hosts, f"etc:host={name}", f"os:debian={name}/usr")


def test_two_hosts_in_the_same_state_print_the_same_line(hosts: Path) -> None:
    assert state(hosts, "one") == state(hosts, "two")
    assert state(hosts, "one").startswith("state: sha256:")
    assert state(hosts, "one") == line(hosts, "os:debian=one/usr", "etc:host=one")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file of /etc": lambda host: write(host / "etc/motd", "other\n"),
    "a mode of /etc": lambda host: (host / "etc/motd").chmod(0o600),
    "a file of the system": lambda host: write(host / "usr/bin/tool", "evil\n", 0o755),
    "a file more": lambda host: write(host / "usr/bin/more", ""),
    "an xattr": lambda host: os.setxattr(host / "usr/bin/tool", "user.x", b""),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_state_is_another_line(hosts: Path, name: str) -> None:
    CHANGES[name](hosts / "two")
    assert state(hosts, "one") != state(hosts, "two")


def test_what_it_is_made_of(hosts: Path) -> None:
    done = verity("manifest", "make", "--output", "m", "one/usr", cwd=hosts)
    assert done.status == 0
    sha256 = hashlib.sha256((hosts / "m").read_bytes()).hexdigest()
    expected = hashlib.sha256(f"os debian {sha256}\n".encode()).hexdigest()
    assert line(hosts, "os:debian=m") == f"state: sha256:{expected}\n"
    assert line(hosts, "os:debian=one/usr") == f"state: sha256:{expected}\n"
    assert line(hosts, "one/usr") == line(hosts, "tree:-=m")
    found = verity("manifest", "show", "--checksum", "--json", "os:debian=m", cwd=hosts)
    assert found.of_type("part") == [
        {"v": 1, "type": "part", "kind": "os", "name": "debian", "sha256": sha256}
    ]
    assert found.of_type("state")[0]["sha256"] == expected


@pytest.mark.parametrize(
    ("parts", "status", "words"),
    [
        (("os:a=one/usr", "os:a=two/usr"), 2, "os a: named twice"),
        (("vm:a=one/usr",), 2, "unknown kind 'vm'"),
        (("os:Ä=one/usr",), 2, "the name 'Ä' is not"),
        (("os:a=nothing",), 3, "nothing: does not exist"),
        (("os:a=one/usr/bin/tool",), 1, "manifest line 1"),
    ],
)
def test_refused(hosts: Path, parts: tuple[str, ...], status: int, words: str) -> None:
    done = verity("manifest", "show", "--checksum", *parts, cwd=hosts)
    assert (done.status, done.out) == (status, "")
    assert_clean_error(done, [words], hint="hint:" in done.err)


def test_verify_a_directory(hosts: Path) -> None:
    assert verity("manifest", "make", "--output", "m", "one/usr", cwd=hosts).status == 0
    done = verity("manifest", "verify", "m", "two/usr", cwd=hosts)
    assert (done.status, done.out) == (0, "good: as the manifest says\n")
    write(hosts / "two/usr/bin/tool", "evil\n", 0o755)
    copy(hosts / "two/usr/bin/tool", hosts / "two/usr/bin/more")
    done = verity("manifest", "verify", "m", "two/usr", cwd=hosts)
    assert done.status == 1
    assert "changed  /bin/tool: digest changed" in done.out
    assert "added  /bin/more: added" in done.out
