# SPDX-License-Identifier: Apache-2.0
"""Serial floors by the program: what a host has accepted is not undone."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.floor_host import ACCEPT, FIRST, NAME, Host, checks
from tests.cli.program import (
    STRANGER,
    assert_clean_error,
    needs_root,
    snapshot,
    stock,
    verity,
)
from tests.cli.spoil import KEY, REPO, change_detached, flip_grants
from tests.cli.worlds import REF, World, sign
from tests.world import OTHER, envelope
from verity.formats import gvariant, statement
from verity.ports.floors import FloorStore
from verity.verbs import signed


@pytest.fixture
def host(copied: Callable[[str], World]) -> Host:
    return Host(copied("archive"))


def test_a_downgrade_to_an_older_signed_commit(host: Host) -> None:
    """Stock ostree takes it: both are signed by the same key."""
    host.accepted(host.new, FIRST)
    done = host.verify(host.old)
    assert checks(done) == ["below-floor"]
    (finding,) = done.of_type("finding")
    assert finding["link"] == "statement"
    assert "serial 1 of the stream os, this host has accepted 5 (host/var" in finding["problem"]
    assert done.records[-1]["counts"]["floors"] == 1
    assert checks(host.verify(host.new)) == []


def test_verifying_alone_raises_no_floor(host: Host) -> None:
    host.accepted(host.old, FIRST)
    before = snapshot(host.root)
    assert checks(host.verify(host.new)) == []
    assert snapshot(host.root) == before
    host.accepted(host.new)
    assert snapshot(host.root) != before
    assert checks(host.verify(host.old)) == ["below-floor"]


def test_what_is_accepted_is_what_was_signed(host: Host) -> None:
    done = host.verify(host.new, FIRST)
    assert done.of_type("floor") == [
        {"v": 1, "type": "floor", "path": f"host/var/lib/verity/floors/{NAME}"}
    ]
    envelopes = host.world.detached().get_byte_arrays(signed.STATEMENT)
    assert gvariant.decode("aay", host.floor.read_bytes(), label="floor") == envelopes
    assert host.verify(host.new, ACCEPT).of_type("floor") == []  # it is there already


def test_nothing_is_accepted_that_is_not_good(host: Host) -> None:
    host.accepted(host.old, FIRST)
    before = snapshot(host.root)
    change_detached(flip_grants)(host.world)
    assert "wrong-grants" in checks(host.verify(host.new, ACCEPT))
    assert snapshot(host.root) == before


def test_a_missing_floor_is_a_finding(host: Host) -> None:
    done = host.verify(host.new)
    assert checks(done) == ["no-floor"]
    assert "--accept-without-floor" in done.of_type("finding")[0]["remedy"]
    assert checks(host.verify(host.new, ACCEPT)) == ["no-floor"]
    assert not host.floor.exists()
    said = host.verify(host.new, FIRST)
    assert checks(said) == []
    assert "no floor for the stream os" in said.of_type("note")[0]["text"]
    assert checks(host.verify(host.new)) == []


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("spoil", "check"), [(Path.unlink, "no-floor"), (damage, "bad-floor")], ids=["gone", "damaged"]
)
def test_the_boot_bundle_stands_in(host: Host, spoil: Callable[[Path], object], check: str) -> None:
    host.accepted(host.new, FIRST)
    host.bundle(host.new)
    spoil(host.floor)
    assert checks(host.verify(host.new)) == [check]
    assert checks(host.verify(host.old)) == [check, "below-floor"]
    # Even who says that there is no floor yet does not get below the boot bundle's.
    assert checks(host.verify(host.old, FIRST)) == ["below-floor"]
    host.accepted(host.new, FIRST)


def only_envelope(path: Path) -> bytes:
    (data,) = FloorStore(path.parent).read(path.name) or ()
    return data


def rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """The floor's envelope with something in it changed."""

    def spoil(path: Path) -> None:
        data = only_envelope(path)
        fields = json.loads(data)
        change(fields)
        path.write_bytes(gvariant.encode("aay", (json.dumps(fields).encode(),)))

    return spoil


def resigned(path: Path) -> None:
    """The same statement, by a key that nobody trusts."""
    data = only_envelope(path)
    payload = statement.parse_envelope(data).payload
    path.write_bytes(gvariant.encode("aay", (envelope(payload, OTHER),)))


def another_kind(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.unlink()
        make(path)

    return spoil


SPOILED: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "one byte": lambda path: path.write_bytes(b"\0"),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "a bit": lambda path: path.write_bytes(path.read_bytes().replace(b'"sig', b'"rig')),
    "no array": lambda path: path.write_bytes(b"{}"),
    "too long": lambda path: path.write_bytes(path.read_bytes() * 4096),
    "unsigned": rewritten(lambda fields: fields.update(signatures=[])),
    "another payload": rewritten(lambda fields: fields.update(payload="e30=")),
    "signed by a stranger": resigned,
    "a directory": another_kind(Path.mkdir),
    "a fifo": another_kind(os.mkfifo),
    "a symlink to itself": another_kind(lambda path: path.symlink_to(path.name)),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_floor_that_is_not_one_is_a_finding(host: Host, name: str) -> None:
    host.accepted(host.new, FIRST)
    SPOILED[name](host.floor)
    for how in ((), (ACCEPT,)):
        done = host.verify(host.new, *how)
        assert checks(done) == ["bad-floor"]
        (finding,) = done.of_type("finding")
        assert finding["problem"].startswith(f"host/var/lib/verity/floors/{NAME}: ")
        assert "`verity commit verify --accept-without-floor`" in finding["remedy"]
        assert done.of_type("floor") == []


@needs_root
def test_a_floor_that_may_not_be_read_is_a_finding(host: Host) -> None:
    host.accepted(host.new, FIRST)
    for folder in (host.world.path, *host.world.path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    os.chown(host.floor, STRANGER, STRANGER)
    host.floor.chmod(0o600)
    args = ("commit", "verify", *REPO, *KEY, "--root", "host", "--json", host.new)
    done = verity(*args, cwd=host.world.path, lesser=True)
    assert checks(done) == ["bad-floor"]
    assert "permission denied" in done.of_type("finding")[0]["problem"]


def test_an_older_floor_put_in_its_place(host: Host) -> None:
    """It verifies; what the boot bundle grants says that a newer one was accepted."""
    host.accepted(host.old, FIRST)
    host.bundle(host.new)
    assert checks(host.verify(host.old)) == ["below-floor"]


def test_a_damaged_boot_bundle_is_told(host: Host) -> None:
    host.accepted(host.new, FIRST)
    (host.state / "boot.bundle").write_bytes(b"\4\0\0\0")
    done = host.verify(host.new)
    assert checks(done) == []
    assert "boot.bundle is no floor for os: " in done.of_type("note")[0]["text"]


def test_equivocation(host: Host) -> None:
    host.accepted(host.new, FIRST)
    before = snapshot(host.root)
    # Our own signer refuses that. Somebody with the key does it in a repository of their own.
    elsewhere = host.world.path / "elsewhere"
    elsewhere.mkdir()
    stock("ostree", "--repo=theirs", "init", "--mode=archive", cwd=elsewhere)
    stock("ostree", "--repo=theirs", "pull-local", host.world.repo, host.old, cwd=elsewhere)
    theirs = ("--serial", "5", "--replace", host.old)
    sign(elsewhere, *theirs, repo="theirs", key=str(host.world.path / "vendor.pem"))
    place = host.world.object(host.old, "commitmeta")
    place.write_bytes((elsewhere / "theirs" / place.relative_to(host.world.repo)).read_bytes())
    done = host.verify(host.old, ACCEPT)
    assert checks(done) == ["equivocation"]
    problem = done.of_type("finding")[0]["problem"]
    assert f"with the commit {host.old}; this host has accepted {host.new}" in problem
    assert snapshot(host.root) == before


def test_a_floor_by_a_key_that_counts_no_more(host: Host) -> None:
    host.accepted(host.new, FIRST)
    sign(host.world.path, "--serial", "6", "--replace", host.new, key="other.pem")
    key = ("--key", "other.pem.pub")
    assert checks(host.verify(host.new, ACCEPT, key=key)) == ["bad-floor"]
    assert host.verify(host.new, FIRST, key=key).status == 0
    assert checks(host.verify(host.new, key=key)) == []


def test_a_floor_of_another_stream_does_not_help(host: Host) -> None:
    host.accepted(host.new, FIRST)
    other = host.floor.with_name("vendor.os.sid")
    other.write_bytes(host.floor.read_bytes())
    args = ("commit", "sign", *REPO, "--key=vendor.pem", "--stream=sid", "--serial=9", "--replace")
    assert verity(*args, host.old, cwd=host.world.path).status == 0
    done = host.verify(host.old)
    assert checks(done) == ["bad-floor"]
    assert "of the stream os, not sid" in done.of_type("finding")[0]["problem"]


def test_where_no_host_is_none_is_compared(host: Host) -> None:
    args = ("commit", "verify", *REPO, *KEY, "--root", "tree")
    done = verity(*args, host.old, cwd=host.world.path)
    assert done.status == 0
    assert "floor" not in done.out + done.err
    told = verity(*args, "--json", host.old, cwd=host.world.path)
    assert [one["text"] for one in told.of_type("note")] == [
        "no floor was compared: no host's state is here"
    ]
    assert "floors" not in told.records[-1]["counts"]
    refused = verity(*args, ACCEPT, host.old, cwd=host.world.path)
    assert refused.status == 2
    assert_clean_error(refused, ("tree/var/lib/verity: not there",), hint=True)
    other = ("--floors", "elsewhere", FIRST)
    text = verity(*args, *other, host.old, cwd=host.world.path)
    assert text.status == 0, text
    assert text.out.splitlines()[0] == f"accepted  elsewhere/{NAME}"


def test_a_floor_that_cannot_be_read_is_not_missing(host: Host) -> None:
    host.floor.mkdir(parents=True)
    done = host.verify(host.new)
    assert checks(done) == ["bad-floor"]
    assert "is a directory, expected a file" in done.of_type("finding")[0]["problem"]
    said = host.verify(host.new, FIRST)
    assert (said.status, said.of_type("floor")) == (3, [])
    assert_clean_error(said, (NAME, "is a directory"), hint=True)
    assert host.floor.is_dir()


def test_a_clock_that_was_set_back_makes_nothing_valid_again(host: Host) -> None:
    """What was accepted was issued after this one expired."""
    now = int(time.time())
    world = host.world
    world.sign_at(serial=7, issued=now + 3600, expires=now + 7200)
    host.accepted(host.new, FIRST)
    world.sign_at(serial=8, issued=now, expires=now + 1800)
    assert checks(host.verify(host.new)) == ["expired"]
    world.sign_at(serial=9, issued=now, expires=now + 7200)
    assert checks(host.verify(host.new)) == []


def test_the_first_floor_makes_the_place_for_it(host: Host) -> None:
    """As open as the others; not for what isn't good, and not for a root that has no such place."""
    args = ("commit", "verify", *REPO, "--root", "tree", FIRST)
    bad = verity(*args, "--key", "other.pem.pub", host.old, cwd=host.world.path)
    assert (bad.status, (host.world.path / "tree/var").exists()) == (1, False)
    done = verity(*args, *KEY, host.old, cwd=host.world.path)
    assert done.status == 0, done
    assert done.out.splitlines()[0] == f"accepted  tree/var/lib/verity/floors/{NAME}"
    for folder in ("var", "var/lib", "var/lib/verity", "var/lib/verity/floors"):
        assert (host.world.path / "tree" / folder).stat().st_mode == 0o40755
    again = verity(*args[:-1], ACCEPT, *KEY, host.old, cwd=host.world.path)
    assert again.status == 0


def test_a_host_that_is_not_there_is_not_one_without_floors(bare: World) -> None:
    args = ("--repo=repo", "--key=vendor.pem.pub", "--root=nowhere", REF)
    done = verity("commit", "verify", *args, cwd=bare.path)
    assert (done.status, done.out) == (3, "")
    assert_clean_error(done, ("nowhere: no such directory",), hint=True)
