# SPDX-License-Identifier: Apache-2.0
"""What is said of versions: keyring show, who signed, and notes."""

from pathlib import Path

from tests.cli.keyring_world import (
    BOTH,
    INIT,
    VENDOR,
    change,
    good,
    key_id,
)


def test_show_says_that_it_verifies_nothing(here: Path) -> None:
    done = good(here, "keyring", "show", "k/vendor/1.keyring.json")
    assert done.out.startswith("file      k/vendor/1.keyring.json (unverified)\n")
    done = good(here, "keyring", "show", "--json", "k/vendor/1.keyring.json")
    assert done.records[0]["verified"] is False


def test_revoked_once_more_is_said(here: Path) -> None:
    change(here, "rotate", "--replace", "os1.pem.pub=os2.pem.pub", "--revoke")
    again = change(here, "revoke", "--revoke-key", key_id(here, "os1"))
    assert again.err == f"verity: note: key {key_id(here, 'os1')} is revoked already\n"


def test_who_signed_so_far_is_named_once(here: Path) -> None:
    change(here, "revoke", "--lowest", "debian-x:2", keys=("--key", "ann.pem"))
    done = good(here, "keyring", "sign", "--yes", *VENDOR, "--key", "bob.pem", "k")
    assert f"so far    signed by {key_id(here, 'ann')}\n" in done.out


def test_a_root_that_survives_a_lost_key_is_no_note(here: Path) -> None:
    third = ("--role", "root=eve=ann2.pem.pub")
    assert good(here, *INIT, *third, *BOTH, "n").err == ""


def test_show_says_who_signed_each_version(here: Path) -> None:
    change(
        here, "rotate", "--replace", "ann.pem.pub=ann2.pem.pub", keys=(*BOTH, "--key", "ann2.pem")
    )
    first, second = good(here, "keyring", "show", "--json", "k").records
    ann, bob, ann2 = (key_id(here, name) for name in ("ann", "bob", "ann2"))
    assert {(one["owner"], one["key_id"]) for one in first["signers"]} == {
        ("ann", ann),
        ("bob", bob),
    }
    assert {one["key_id"] for one in second["signers"]} == {ann, bob, ann2}
    alone = good(here, "keyring", "show", "k/vendor/2.keyring.json").out
    assert f"signed    by root key {bob}, owner bob\n" in alone
    # A root key of the version before is known to whoever shows that, too.
    assert f"signed    by no root key shown, it says {ann}\n" in alone


def test_show_a_directory(here: Path) -> None:
    change(here, "revoke", "--lowest", "debian-x:2")
    change(here, "revoke", "--lowest", "debian-x:3", keys=("--key", "ann.pem"))
    user = ("--party", "user", "--role", "root=uroot.pem.pub", "--role", "policy=policy.pem.pub")
    good(here, "keyring", "init", *user, "--key", "uroot.pem", "k")
    records = good(here, "keyring", "show", "--json", "k").records
    assert [(one["file"], one["version"]) for one in records] == [
        ("k/vendor/1.keyring.json", 1),
        ("k/vendor/2.keyring.json", 2),
        ("k/vendor/3.keyring.json.part", 3),
        ("k/user/1.keyring.json", 1),
    ]
