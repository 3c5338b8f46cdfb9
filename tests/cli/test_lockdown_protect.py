# SPDX-License-Identifier: Apache-2.0
"""lockdown protect: which files it takes, and whose word it takes for them; on a tree in a tmpfs.

What has fs-verity afterwards, and what the gate makes of that, is tests/vm/test_restored.py's.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.program import assert_clean_error, needs_root
from tests.lockdown_world import Owner

pytestmark = needs_root

NO_VERITY = "no-verity-filesystem"


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Owner:
    """A host that is ready; for copying."""
    owner = Owner.new(tmp_path_factory.mktemp("ready"))
    assert owner.init().status == 0
    return owner


@pytest.fixture
def owner(ready: Owner) -> Iterator[Owner]:
    """Such a host, restored to a file system without fs-verity."""
    folder = Path(tempfile.mkdtemp(prefix="verity-test-", dir="/dev/shm"))
    shutil.copytree(ready.folder, folder / "all", symlinks=True)
    yield Owner(folder / "all")
    shutil.rmtree(folder)


def open_files(owner: Owner) -> dict[str, str]:
    """Each file that stays open, and why."""
    done = owner.lockdown("protect", "--json")
    found = {one["path"]: one["code"] for one in done.of_type("error")}
    (summary,) = done.of_type("summary")
    assert summary["counts"] == {"enabled": 0, "already": 0, "failed": len(found)}
    assert done.status == (1 if set(found.values()) - {NO_VERITY, "not-found"} else 3)
    return found


def test_all_that_is_signed(owner: Owner) -> None:
    """The system and /etc, each file once; and nothing else."""
    owner.host.file("/usr/bin/unsigned", b"#!/bin/sh\n", 0o755)
    found = open_files(owner)
    assert set(found.values()) == {NO_VERITY}
    assert {"/usr/bin/a", "/usr/lib/systemd/system/a.service", "/etc/hosts"} <= set(found)
    assert "/etc/verity/pins/user.pin" in found
    assert "/usr/bin/unsigned" not in found


def test_what_differs_is_named(owner: Owner) -> None:
    (owner.root / "usr/bin/a").write_bytes(b"another")
    (owner.root / "etc/hosts").unlink()
    found = open_files(owner)
    assert (found["/usr/bin/a"], found["/etc/hosts"]) == ("wrong-digest", "not-found")
    assert set(found.values()) == {"wrong-digest", "not-found", NO_VERITY}


def test_a_link_in_the_place_of_a_directory(owner: Owner) -> None:
    """It leads out of the root: nothing behind it is opened."""
    moved = owner.folder / "moved"
    (owner.root / "usr/bin").rename(moved)
    (owner.root / "usr/bin").symlink_to(moved)
    assert open_files(owner)["/usr/bin/a"] not in (NO_VERITY, "wrong-digest")


def add_a_line(owner: Owner) -> None:
    with (owner.root / "var/lib/verity/system/manifest").open("ab") as file:
        file.write(b"\n")


def other_grants(owner: Owner) -> None:
    """Of /etc: signed, by another key than has to sign the system."""
    grants = owner.root / "var/lib/verity/system/grants"
    grants.write_bytes((owner.root / "var/lib/verity/etc/1/grants").read_bytes())


def no_pin(owner: Owner) -> None:
    shutil.rmtree(owner.root / "etc/verity/pins")


def nothing_signed(owner: Owner) -> None:
    for name in ("system", "etc"):
        shutil.rmtree(owner.root / "var/lib/verity" / name)


def altered_etc(owner: Owner) -> None:
    manifest = owner.root / "var/lib/verity/etc/1/manifest"
    manifest.write_bytes(manifest.read_bytes().replace(b"/etc/hosts", b"/etc/hostz"))


REFUSED: dict[str, tuple[Callable[[Owner], None], int, str]] = {
    "a manifest that its grants don't name": (add_a_line, 1, "isn't the one that its grants name"),
    "grants by another key": (other_grants, 1, ""),
    "no pin": (no_pin, 3, "no pin"),
    "nothing signed": (nothing_signed, 3, "neither a signed system nor a signed /etc"),
    "an altered manifest of /etc": (altered_etc, 1, "manifest"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(owner: Owner, name: str) -> None:
    spoil, status, word = REFUSED[name]
    spoil(owner)
    done = owner.lockdown("protect")
    assert done.status == status, done.err
    assert_clean_error(done, (word,), hint=True)
