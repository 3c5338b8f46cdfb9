# SPDX-License-Identifier: Apache-2.0
"""keyring revoke says what it would end, and asks."""

from pathlib import Path

import pytest

from tests.cli.forge import BUNDLE, run
from tests.cli.keyring_world import VENDOR, good, key_id
from tests.cli.program import Done, assert_clean_error, snapshot, stock, verity
from tests.cli.terminal import on_terminal
from tests.cli.test_keyring_trust import LIB, VERIFY, user_keyring
from tests.cli.test_keyring_trust import host as host
from tests.cli.worlds import REF, World

ROOT = ("--root", "host")
BY = ("--key", "vroot.pem", LIB)
USER = ("--party", "user", "--key", "uroot.pem", "host/etc/verity/keyrings")


def revoke(cwd: Path, *args: str, party: tuple[str, ...] = (*VENDOR, *BY)) -> Done:
    return verity("keyring", "revoke", *args, *party, cwd=cwd)


@pytest.fixture
def installed(host: World) -> World:
    """A host that has accepted a commit: its floor is there."""
    (host.path / "host/var/lib/verity").mkdir(parents=True)
    good(host.path, *VERIFY, "--accept-without-floor", REF)
    return host


def test_what_the_host_has_accepted(installed: World) -> None:
    here = installed.path
    before = snapshot(here / LIB)
    done = revoke(here, "--lowest", "os:2", *ROOT)
    assert (done.status, done.out) == (2, "")
    ends, error, hint = done.err.splitlines()
    assert ends.startswith("verity: ends: the floor vendor.os.os: revoked-serial: statement: seri")
    assert error.startswith("verity: error: 1 of 1 would no longer be accepted, and there is no")
    assert hint.startswith("  hint: ")
    assert snapshot(here / LIB) == before
    assert revoke(here, "--lowest", "os:2", *ROOT, "--yes").status == 0


def test_a_key_that_is_replaced_and_revoked(installed: World) -> None:
    """Rotating ends what revoking does, and says so; without --revoke nothing is ended or asked."""
    here = installed.path
    assert verity("key", "generate", "next.pem", cwd=here).status == 0
    rotate = ("keyring", "rotate", *VENDOR, "--replace", "vendor.pem.pub=next.pem.pub")
    before = snapshot(here / LIB)
    done = verity(*rotate, "--revoke", *ROOT, *BY, cwd=here)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("verity: ends: the floor vendor.os.os: ")
    assert "1 of 1 would no longer be accepted" in done.err
    done = verity(*rotate, "--yes", *BY, cwd=here)
    assert done.status == 2
    assert_clean_error(done, ("--yes belongs to --revoke",), hint=False)
    assert snapshot(here / LIB) == before
    assert verity(*rotate, "--revoke", "--yes", *ROOT, *BY, cwd=here).status == 0


@pytest.mark.parametrize(("answer", "status"), [("n", 1), ("y", 0)])
def test_asked_on_a_terminal(installed: World, answer: str, status: int) -> None:
    args = ("keyring", "revoke", *VENDOR, "--lowest", "os:2", *ROOT, *BY)
    session = on_terminal(*args, cwd=installed.path, answers=[answer])
    assert session.status == status
    assert "Revoke it all the same?" in session.screen
    assert (installed.path / LIB / "vendor/2.keyring.json").exists() is (status == 0)


def test_damage_on_the_host_keeps_nothing_from_being_revoked(installed: World) -> None:
    floors = installed.path / "host/var/lib/verity/floors"
    (floors / "vendor.os.bad").write_bytes(b"nonsense")
    (installed.path / "host/var/lib/verity/boot.bundle").write_bytes(b"nonsense")
    done = revoke(installed.path, "--lowest", "os:2", *ROOT)
    assert done.status == 2
    assert "note: not looked at: the floor vendor.os.bad: " in done.err
    assert "ends: the floor vendor.os.os: revoked-serial" in done.err
    (floors / "vendor.os.os").unlink()
    done = revoke(installed.path, "--lowest", "os:2", *ROOT)
    assert (done.status, done.err.count("note: not looked at")) == (0, 2)


def test_what_ends_nothing_asks_nothing(installed: World) -> None:
    done = revoke(installed.path, "--lowest", "oss:2", "--yes", *ROOT)
    assert done.status == 2  # not a stream of the vendor's
    done = revoke(installed.path, "--digest", f"sha256:{'ab' * 32}", *ROOT)
    assert (done.status, done.err) == (0, "")


def test_the_users_word_on_the_vendors(installed: World) -> None:
    here = installed.path
    user_keyring(installed, "--lowest", "other:2")
    for args, words in (
        (("--lowest", "os:2"), "revoked-serial: statement: serial 1"),
        (("--revoke-key", key_id(here, "vendor")), "revoked-key: it names the key"),
    ):
        done = revoke(here, *args, *ROOT, party=USER)
        assert done.status == 2
        assert f"ends: the floor vendor.os.os: {words}" in done.err


def test_what_is_named(host: World) -> None:
    here = host.path
    (here / "x").mkdir()
    (here / "x/script").write_text("#!/bin/sh\n")
    (here / "x/script").chmod(0o755)
    sign = ("extension", "sign", "--key", "build.pem", "--stream", "x", "--serial", "1")
    good(here, *sign, "--tree", "x", "out")
    user_keyring(host, "--lowest", "other:2")
    digest = f"sha256:{stock('fsverity', 'digest', '--compact', 'x/script', cwd=here).strip()}"
    for named, words in (("out", "it has /script"), ("out/manifest", "it has /script")):
        done = revoke(here, "--digest", digest, "--check-against", named, party=USER)
        assert done.status == 2
        assert f"ends: {named}: revoked-digest: {words}" in done.err
    file = ("--check-against", "out/statement.json")
    done = revoke(here, "--lowest", "x:2", *file, party=USER)
    assert "ends: out/statement.json: revoked-serial" in done.err
    done = revoke(here, "--lowest", "x:2", "--check-against", "no", party=USER)
    assert done.status == 3
    assert_clean_error(done, ("no: does not exist",), hint=True)


def test_what_a_boot_bundle_grants(forged: Path) -> None:
    (forged / "h/var/lib/verity").mkdir(parents=True)
    run(forged, *BUNDLE, "h/var/lib/verity/boot.bundle")
    roles = ("--role", "root=vroot.pem.pub", "--role", "os=os.pem.pub", "--stream", "os=*")
    run(forged, "keyring", "init", *VENDOR, *roles, "--key", "vroot.pem", "k")
    args = ("keyring", "revoke", *VENDOR, "--lowest", "os:2", "--root", "h", "--key", "vroot.pem")
    done = verity(*args, "k", cwd=forged)
    assert done.status == 2
    assert "boot.bundle, grants 4: revoked-serial: grants of the serial 1" in done.err
