# SPDX-License-Identifier: Apache-2.0
"""lockdown bundle: what a keyring revokes stays out of what the gate is given."""

import hashlib
from pathlib import Path

import pytest

from tests.cli.forge import BUNDLE, run
from tests.cli.program import assert_clean_error, copy, verity
from verity.formats import bundle as fragments
from verity.formats import grants
from verity.ports import keystore

VENDOR = ("--party", "vendor")
USER = ("--party", "user")
KEYRING = ("--keyring", "k")


def key_id(here: Path, name: str) -> str:
    return keystore.load_public(here / f"{name}.pem.pub").key_id


@pytest.fixture
def here(forged: Path) -> Path:
    """The parts of a boot bundle, and a keyring of each party that has the same keys in `k`."""
    os_role = ("--role", "os=os.pem.pub", "--stream", "os=*")
    init = ("keyring", "init")
    run(forged, *init, *VENDOR, "--role", "root=vroot.pem.pub", *os_role, "--key", "vroot.pem", "k")
    roles = ("--role", "policy=policy.pem.pub", "--role", "extension=ext.pem.pub")
    more = ("--stream", "extension=*", "--key", "uroot.pem", "k")
    run(forged, *init, *USER, "--role", "root=uroot.pem.pub", *roles, *more)
    return forged


def change(here: Path, party: str, verb: str, *args: str, keys: tuple[str, ...] = ()) -> None:
    signers = [word for name in keys or (f"{party[0]}root",) for word in ("--key", f"{name}.pem")]
    run(here, "keyring", verb, "--party", party, *args, *signers, "k")


def refused(here: Path, *words: str, args: tuple[str, ...] = (*BUNDLE, *KEYRING)) -> None:
    done = verity(*args, "b", cwd=here)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, words, hint=True)
    assert not (here / "b").exists()


def test_what_nobody_revokes(here: Path) -> None:
    assert "note" not in run(here, *BUNDLE, *KEYRING, "b").err
    assert "note" not in run(here, *BUNDLE, "b2").err
    (here / "ku").mkdir()
    copy(here / "k/user", here / "ku/user")
    just_users = list(BUNDLE)
    just_users[just_users.index("u.keys")] = "ku/user/1.keys"
    said = run(here, *just_users, "b3").err
    assert "note: no keyring of the vendor was asked what it revokes: --keyring names one" in said


@pytest.mark.parametrize("party", ["vendor", "user"])
def test_a_revoked_serial(here: Path, party: str) -> None:
    change(here, party, "revoke", "--lowest", "os:5")
    refused(here, "os.grants: serial 1 of the stream os is revoked, the lowest that counts is 5")


def test_a_revoked_serial_by_the_keyring_beside_the_keys(here: Path) -> None:
    change(here, "vendor", "revoke", "--lowest", "os:5")
    keys = list(BUNDLE)
    keys[keys.index("v.keys")] = "k/vendor/2.keys"
    keys[keys.index("u.keys")] = "k/user/1.keys"
    refused(here, "os.grants: serial 1 of the stream os is revoked", args=tuple(keys))


@pytest.mark.parametrize("party", ["vendor", "user"])
def test_a_revoked_key(here: Path, party: str) -> None:
    if party == "vendor":
        change(here, party, "rotate", "--replace", "os.pem.pub=etc.pem.pub", "--revoke")
    else:
        change(here, party, "revoke", "--revoke-key", key_id(here, "os"))
    refused(here, f"v.keys: it has the key {key_id(here, 'os')}, which the keyring revokes")


def test_a_pin_whose_root_key_is_revoked(here: Path) -> None:
    old_and_new = ("uroot", "uroot2")
    replaced = ("--replace", "uroot.pem.pub=uroot2.pem.pub", "--revoke")
    change(here, "user", "rotate", *replaced, keys=old_and_new)
    refused(here, f"the user's pin: its root keys {key_id(here, 'uroot')} are revoked")


@pytest.mark.parametrize("what", ["entry", "manifest", "grants"])
def test_a_revoked_digest(here: Path, what: str) -> None:
    blob = fragments.parse_fragment((here / "os.grants").read_bytes(), label="test").blob
    granted = grants.parse(blob)
    digest = {
        "entry": granted.code[0].digest,
        "manifest": granted.manifest_sha256,
        "grants": hashlib.sha256(blob).digest(),
    }[what]
    change(here, "user", "revoke", "--digest", f"sha256:{digest.hex()}")
    refused(here, "os.grants: ", digest.hex(), "which is revoked")


def test_a_user_who_is_revoked_by_nobody_but_themselves(here: Path) -> None:
    """A vendor's revocations hold for what the vendor signs."""
    change(here, "vendor", "revoke", "--revoke-key", key_id(here, "policy"))
    run(here, *BUNDLE, *KEYRING, "b")


def test_a_keyring_that_is_not_there(here: Path) -> None:
    for directory, words in (
        ("no", "--keyring no: no such"),
        ("tree", "tree: there is no keyring"),
    ):
        done = verity(*BUNDLE, "--keyring", directory, "b", cwd=here)
        assert (done.status, (here / "b").exists()) == (3, False)
        assert words in done.err
