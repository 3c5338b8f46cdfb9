# SPDX-License-Identifier: Apache-2.0
"""keyring init, add-key, revoke, rotate, sign, show, verify: versions that follow each other."""

import fcntl
import os
import stat
import time
from pathlib import Path

import pytest

from tests.cli.keyring_world import (
    BOTH,
    INIT,
    ROOTS,
    VENDOR,
    change,
    good,
    kernel_view,
    key_id,
    newest,
)
from tests.cli.program import assert_clean_error, copy, snapshot, verity
from tests.cli.worlds import REF, World
from verity.formats import bundle, kernel_keys
from verity.formats.grants import Party, Role
from verity.ports import keystore
from verity.verbs import keyring_change, keyring_make
from verity.verbs.keyring_change import NewKey, Rules, Times

REVOKE = ("keyring", "revoke", *VENDOR)


# --- the first version


def test_init(here: Path) -> None:
    assert sorted(os.listdir(here / "k/vendor")) == ["1.keyring.json", "1.keys"]
    for name in ("1.keyring.json", "1.keys"):
        assert stat.S_IMODE((here / "k/vendor" / name).stat().st_mode) == 0o644
    record = newest(here)
    assert (record["party"], record["version"], record["first"]) == ("vendor", 1, 1)
    assert record["roles"]["root"]["threshold"] == 2
    assert record["roles"]["os"] == {
        "threshold": 1,
        "streams": ["debian-*"],
        "keys": [{"key_id": key_id(here, "os1"), "owner": "build", "from": None, "until": None}],
    }
    assert record["revoked"] == {"keys": [], "digests": [], "serials": {}}


def test_the_pin_is_that_of_lockdown(here: Path) -> None:
    roots = ("--root", "zoe=ann.pem.pub", "--root", "bob.pem.pub", "--threshold", "2")
    done = good(here, "lockdown", "pin", *VENDOR, *roots, "--json", "vendor.pin")
    assert newest(here)["pin"] == done.records[0]["fingerprint"]
    assert good(here, "keyring", "verify", "--pin", "vendor=vendor.pin", "k").err == ""


def test_the_kernels_view_is_beside_it_and_signed_by_the_same(here: Path) -> None:
    view = kernel_view(here, 1)
    assert (view.party, view.version, view.thresholds) == (Party.VENDOR, 1, {Role.OS: 1})
    assert [entry.key_id.hex() for entry in view.keys] == [key_id(here, "os1")]
    fragment = bundle.parse_fragment((here / "k/vendor/1.keys").read_bytes(), label="test")
    assert len(fragment.signatures) == 2


def test_the_kernels_view_is_what_project_makes(here: Path) -> None:
    project = ("keyring", "project", *VENDOR, "--version", "1", "--role", "os=x=os1.pem.pub")
    good(here, *project, *BOTH, "p.keys")
    fragment = bundle.parse_fragment((here / "p.keys").read_bytes(), label="test")
    projected = kernel_keys.parse_keys(fragment.blob)
    assert (projected.keys, projected.thresholds) == (
        kernel_view(here, 1).keys,
        kernel_view(here, 1).thresholds,
    )


def test_init_as_text(here: Path) -> None:
    done = good(here, *INIT, *BOTH, "--days", "30", "other")
    lines = done.out.splitlines()
    assert lines[0] == "written   other/vendor/1.keyring.json"
    assert lines[1].startswith("keyring   vendor, version 1, issued ")
    assert lines[2].startswith("pin       sha256:")
    assert "role      os, threshold 1, streams debian-*" in lines
    assert f"key       {key_id(here, 'os1')} os, owner build" in lines
    assert [line for line in lines if line.startswith("signed")] == [
        f"signed    by root key {one}" for one in sorted(key_id(here, n) for n in ("ann", "bob"))
    ]


def test_there_is_one_first_version(here: Path) -> None:
    before = snapshot(here)
    done = verity(*INIT, *BOTH, "k", cwd=here)
    assert done.status == 2
    assert_clean_error(done, ("k/vendor: there is a keyring, at version 1",), hint=True)
    assert snapshot(here) == before


# --- several who sign


def test_one_signature_of_two_waits_for_the_other(here: Path) -> None:
    done = good(here, *INIT, "--key", "ann.pem", "n")
    assert "waits     for 1 more of the root owners of version 1 (bob)" in done.out.splitlines()
    assert sorted(os.listdir(here / "n/vendor")) == ["1.keyring.json.part", "1.keys.part"]
    pin = newest(here)["pin"]
    none = verity("keyring", "verify", "--pin", f"vendor={pin}", "n", cwd=here)
    assert none.status == 1
    assert_clean_error(none, ("there is no version of it",), hint=True)
    part = good(here, "keyring", "sign", "--yes", *VENDOR, "--key", "ann.pem", "--json", "n")
    assert part.records[0]["complete"] is False
    full = good(here, "keyring", "sign", "--yes", *VENDOR, "--key", "bob.pem", "--json", "n")
    assert (full.records[0]["complete"], full.records[0]["missing"]) == (True, [])
    assert sorted(os.listdir(here / "n/vendor")) == ["1.keyring.json", "1.keys"]
    assert "good: " in good(here, "keyring", "verify", "--pin", f"vendor={pin}", "n").out


def test_what_waits_is_shown_and_asked_about(here: Path) -> None:
    good(here, *INIT, "--key", "ann.pem", "n")
    before = snapshot(here)
    for more in ((), ("--json",)):
        done = verity("keyring", "sign", *VENDOR, "--key", "bob.pem", *more, "n", cwd=here)
        assert (done.status, done.out) == (2, "" if not more else done.out)
        assert_clean_error(done, ("version 1 waits",), hint=True)
    assert snapshot(here) == before
    shown = good(here, "keyring", "sign", "--yes", *VENDOR, "--key", "bob.pem", "n").out
    assert shown.index("keyring   vendor, version 1") < shown.index("so far    signed by")


def test_nothing_else_is_begun_while_a_version_waits(here: Path) -> None:
    change(here, "add-key", "--role", "os=os2.pem.pub", keys=("--key", "ann.pem"))
    before = snapshot(here)
    done = verity(
        *("keyring", "add-key", *VENDOR, "--role", "os=os2.pem.pub", *BOTH, "k"), cwd=here
    )
    assert done.status == 2
    assert_clean_error(done, ("2.keyring.json.part: version 2 waits",), hint=True)
    assert snapshot(here) == before


def test_a_signature_that_lost_its_other_half_is_made_anew(here: Path) -> None:
    good(here, *INIT, "--key", "ann.pem", "n")
    lone = (here / "n/vendor/1.keys.part").read_bytes()
    good(here, *INIT, "--key", "bob.pem", "m")
    # As after a crash between the two files: the keys are signed by another than the keyring.
    assert lone != (here / "m/vendor/1.keys.part").read_bytes()
    mixed = verity("keyring", "sign", "--yes", *VENDOR, *BOTH, "n", cwd=here)
    assert mixed.status == 0
    assert len(bundle.parse_fragment((here / "n/vendor/1.keys").read_bytes(), label="").signatures)


def test_a_waiting_version_with_other_keys_is_refused(here: Path) -> None:
    good(here, *INIT, "--key", "ann.pem", "n")
    copy(here / "k/vendor/1.keys", here / "other")
    good(here, *INIT, "--role", "os=os2.pem.pub", "--key", "ann.pem", "m")
    copy(here / "m/vendor/1.keys.part", here / "n/vendor/1.keys.part")
    done = verity("keyring", "sign", "--yes", *VENDOR, "--key", "bob.pem", "n", cwd=here)
    assert done.status == 1
    assert_clean_error(done, ("not those of this version",), hint=False)


def test_nothing_waits(here: Path) -> None:
    done = verity("keyring", "sign", "--yes", *VENDOR, "--key", "bob.pem", "k", cwd=here)
    assert done.status == 2
    assert_clean_error(done, ("k/vendor: no version waits",), hint=False)


# --- changes


def test_add_key(here: Path) -> None:
    until = "2040-01-01T00:00:00Z"
    change(here, "add-key", "--role", "os=second=os2.pem.pub", "--until", until)
    record = newest(here)
    assert (record["version"], record["first"]) == (2, 1)
    keys = {key["key_id"]: key for key in record["roles"]["os"]["keys"]}
    assert keys.keys() == {key_id(here, "os1"), key_id(here, "os2")}
    assert keys[key_id(here, "os2")] == {
        "key_id": key_id(here, "os2"),
        "owner": "second",
        "from": None,
        "until": until,
    }
    assert len(kernel_view(here, 2).keys) == 2


def test_other_thresholds_and_streams(here: Path) -> None:
    change(here, "add-key", "--role", "os:2=second=os2.pem.pub")
    change(here, "add-key", "--threshold", "os=1", "--stream", "os=a", "--stream", "os=b-*")
    record = newest(here)
    assert (record["version"], record["roles"]["os"]["threshold"]) == (3, 1)
    assert record["roles"]["os"]["streams"] == ["a", "b-*"]


def test_revoke(here: Path) -> None:
    change(here, "add-key", "--role", "os=os2.pem.pub")
    digest = "sha256:" + "ab" * 32
    change(
        here,
        "revoke",
        *("--revoke-key", "os1.pem.pub", "--digest", digest, "--lowest", "debian-trixie:42"),
    )
    record = newest(here)
    assert record["revoked"] == {
        "keys": [key_id(here, "os1")],
        "digests": [digest],
        "serials": {"debian-trixie": 42},
    }
    assert [key["key_id"] for key in record["roles"]["os"]["keys"]] == [key_id(here, "os2")]
    change(here, "revoke", "--revoke-key", "cd" * 32, "--lowest", "debian-forky:2")
    after = newest(here)["revoked"]
    assert after["serials"] == {"debian-forky": 2, "debian-trixie": 42}
    assert after["keys"] == sorted([key_id(here, "os1"), "cd" * 32])


def test_rotate_a_compromised_key(here: Path) -> None:
    old = key_id(here, "os1")
    change(here, "rotate", "--replace", f"{old[:12]}=os2.pem.pub", "--revoke")
    record = newest(here)
    assert record["revoked"]["keys"] == [old]
    assert record["roles"]["os"]["keys"] == [
        {"key_id": key_id(here, "os2"), "owner": "build", "from": None, "until": None}
    ]


def test_an_overlap_prolongs_no_end(here: Path) -> None:
    change(here, "rotate", "--replace", "os1.pem.pub=os2.pem.pub", "--overlap-days", "1")
    until = {key["key_id"]: key["until"] for key in newest(here)["roles"]["os"]["keys"]}
    change(here, "rotate", "--remove", "os1.pem.pub", "--overlap-days", "3000")
    after = {key["key_id"]: key["until"] for key in newest(here)["roles"]["os"]["keys"]}
    assert after == until
    # An earlier end than the one that it has is taken.
    change(here, "rotate", "--replace", "os2.pem.pub=ext.pem.pub", "--overlap-days", "30")
    change(here, "rotate", "--remove", "os2.pem.pub", "--overlap-days", "2")
    last = {key["key_id"]: key["until"] for key in newest(here)["roles"]["os"]["keys"]}
    assert last[key_id(here, "os1")] < last[key_id(here, "os2")] < newest(here)["expires"]


def test_rotate_with_an_overlap(here: Path) -> None:
    change(here, "rotate", "--replace", "os1.pem.pub=os2.pem.pub", "--overlap-days", "30")
    keys = {key["key_id"]: key for key in newest(here)["roles"]["os"]["keys"]}
    assert keys[key_id(here, "os1")]["until"] is not None
    assert keys[key_id(here, "os2")]["until"] is None
    assert {key["owner"] for key in keys.values()} == {"build"}
    change(here, "rotate", "--remove", "os1.pem.pub")
    assert [key["key_id"] for key in newest(here)["roles"]["os"]["keys"]] == [key_id(here, "os2")]


def test_rotate_a_root_key_needs_old_and_new(here: Path) -> None:
    rotate = ("keyring", "rotate", *VENDOR, "--replace", "ann.pem.pub=ann2.pem.pub")
    done = good(here, *rotate, *BOTH, "--json", "k")
    (record,) = done.records
    assert record["missing"] == ["1 more of the root owners of version 2 (ann)"]
    good(here, "keyring", "sign", "--yes", *VENDOR, "--key", "ann2.pem", "k")
    assert newest(here)["version"] == 2
    # From now on the new one signs, the old one does not.
    done = verity(*("keyring", "revoke", *VENDOR, "--lowest", "debian-x:2", *BOTH, "k"), cwd=here)
    assert done.status == 2
    assert_clean_error(done, (key_id(here, "ann"), "it is no root key"), hint=True)
    change(
        *(here, "revoke", "--lowest", "debian-x:2"), keys=("--key", "ann2.pem", "--key", "bob.pem")
    )


# --- showing and verifying


def test_an_old_host_walks_every_version_in_any_order(here: Path) -> None:
    pin = newest(here)["pin"]
    for serial in range(2, 11):
        change(here, "revoke", "--lowest", f"debian-x:{serial}")
    files = sorted(f"k/vendor/{name}" for name in os.listdir(here / "k/vendor") if "json" in name)
    assert files[1] == "k/vendor/10.keyring.json"
    done = good(here, "keyring", "verify", "--pin", f"vendor={pin}", *files)
    assert done.out.splitlines()[-1] == "good: the vendor's keyring is at version 10 (10 versions)"
    skipped = verity("keyring", "verify", "--pin", f"vendor={pin}", *files[:2], cwd=here)
    assert skipped.status == 1
    assert_clean_error(skipped, ("version 10 follows version 1",), hint=True)


def expired(here: Path, directory: str) -> str:
    """A keyring in ``directory`` that was good until an hour ago; the fingerprint of its pin."""
    now = int(time.time())
    value = keyring_change.first(
        Party.VENDOR,
        [
            NewKey(role=role, key=keystore.load_public(here / f"{name}.pem.pub"))
            for role, name in ((Role.ROOT, "ann"), (Role.OS, "os1"))
        ],
        Rules(thresholds={}, streams={Role.OS: ("*",)}),
        Times(issued=now - 7200, expires=now - 3600),
    )
    signer = keystore.load_signer(str(here / "ann.pem"))
    return keyring_make.init(here / directory, Party.VENDOR, value, [signer]).fingerprint


def test_an_expired_keyring_is_a_finding(here: Path) -> None:
    pin = expired(here, "old")
    verify = ("keyring", "verify", "--pin", f"vendor=sha256:{pin}")
    done = verity(*verify, "--json", "old", cwd=here)
    assert done.status == 1
    (finding,) = done.of_type("finding")
    assert (finding["check"], finding["link"]) == ("keyring-expired", "key")
    # The next version revives it.
    revoke = ("keyring", "revoke", *VENDOR, "--lowest", "x:2", "--key", "ann.pem")
    good(here, *revoke, "old")
    good(here, *verify, "old")


# --- all of one person's keys


def test_solo(here: Path) -> None:
    done = good(here, "keyring", "init", "--party", "user", "--solo", "mine")
    assert "whoever reads that directory can sign" in done.err
    roles = ("etc", "evidence", "extension", "policy", "root", "unlock")
    assert sorted(os.listdir(here / "mine/private")) == sorted(
        f"user-{role}.pem{suffix}" for role in roles for suffix in ("", ".pub")
    )
    assert stat.S_IMODE((here / "mine/private").stat().st_mode) == 0o700
    for role in roles:
        mode = (here / f"mine/private/user-{role}.pem").stat().st_mode
        assert stat.S_IMODE(mode) == 0o600
    shown = good(
        here, "keyring", "verify", "--pin", "user=mine/user.pin", "--json", "mine/keyrings"
    )
    (record,) = shown.of_type("keyring-version")
    assert set(record["roles"]) == set(roles)
    assert record["roles"]["etc"]["streams"] == ["*"]
    good(
        *(here, "keyring", "revoke", "--party", "user", "--lowest", "any:2"),
        *("--key", "mine/private/user-root.pem", "mine/keyrings"),
    )


def test_solo_overwrites_nothing(here: Path) -> None:
    (here / "mine").mkdir()
    before = snapshot(here)
    done = verity("keyring", "init", "--party", "user", "--solo", "mine", cwd=here)
    assert done.status == 3
    assert_clean_error(done, ("mine: exists already",), hint=True)
    assert snapshot(here) == before


def test_solo_of_a_vendor(here: Path) -> None:
    done = good(here, "keyring", "init", "--party", "vendor", "--solo", "--json", "mine")
    assert set(done.of_type("solo")[0]["private"]) == {"root", "os", "evidence"}


# --- what else may be there


def test_a_key_of_the_other_party(here: Path) -> None:
    user = ("keyring", "init", "--party", "user", "--role", "root=uroot.pem.pub")
    roles = ("--role", "extension=os1.pem.pub", "--stream", "extension=*")
    done = verity(*user, *roles, "--key", "uroot.pem", "k", cwd=here)
    assert done.status == 1
    assert_clean_error(done, (key_id(here, "os1"), "in the keyrings of both parties"), hint=True)


def test_a_version_under_another_name(here: Path) -> None:
    pin = newest(here)["pin"]
    (here / "k/vendor/1.keyring.json").rename(here / "k/vendor/2.keyring.json")
    done = verity("keyring", "verify", "--pin", f"vendor={pin}", "k", cwd=here)
    assert done.status == 1
    assert_clean_error(done, ("2.keyring.json: it holds version 1, not 2",), hint=False)


def test_a_disk_that_is_read_only_leaves_nothing(here: Path) -> None:
    (here / "file").write_text("")
    done = verity(*INIT, *BOTH, "file/k", cwd=here)
    assert done.status == 3
    assert_clean_error(done, ("file/k/vendor",), hint=True)


def test_two_at_once(here: Path) -> None:
    fd = os.open(here / "k/vendor", os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        done = verity(*REVOKE, "--lowest", "debian-x:2", *BOTH, "k", cwd=here)
    finally:
        os.close(fd)
    assert done.status == 3
    assert_clean_error(done, ("another process is making a version",), hint=True)


@pytest.mark.parametrize("after", ["1.keys", "neither"])
def test_what_a_crash_leaves_is_no_version(here: Path, after: str) -> None:
    # The names are given in the order keys, keyring: before the second there is no version.
    change(here, "revoke", "--lowest", "debian-x:2")
    (here / "k/vendor/2.keyring.json").unlink()
    if after == "neither":
        (here / "k/vendor/2.keys").unlink()
    assert newest(here)["version"] == 1
    change(here, "revoke", "--lowest", "debian-y:3")
    record = newest(here)
    assert (record["version"], record["revoked"]["serials"]) == (2, {"debian-y": 3})
    assert kernel_view(here, 2).version == 2


# --- before publishing


def test_check_says_which_statement_a_rotation_orphans(here: Path) -> None:
    tree = here / "tree/bin"
    tree.mkdir(parents=True)
    copy(Path("/bin/true"), tree / "tool")
    user = ("--party", "user")
    roles = ("--role", "root=uroot.pem.pub", "--role", "extension=ext.pem.pub")
    streams = ("--stream", "extension=tools")
    good(here, "keyring", "init", *user, *roles, *streams, "--key", "uroot.pem", "u")
    extension = ("extension", "sign", "--key", "ext.pem", "--stream", "tools", "--serial", "1")
    good(here, *extension, "--tree", "tree", "out")
    check = ("keyring", "check", *user, "--against", "out/statement.json", "--json", "u")
    before = verity(*check, cwd=here)
    assert [one["check"] for one in before.of_type("finding")] == ["root-threshold-of-one"]
    rotate = ("keyring", "rotate", *user, "--replace", "ext.pem.pub=policy.pem.pub")
    good(here, *rotate, "--key", "uroot.pem", "u")
    after = verity(*check, cwd=here)
    assert after.status == 1
    assert [one["check"] for one in after.of_type("finding")] == [
        "orphaned",
        "root-threshold-of-one",
    ]


def test_check_looks_at_a_version_that_waits(here: Path) -> None:
    assert good(here, "keyring", "check", *VENDOR, "k").err.count("one lost key") == 1
    change(here, "revoke", "--lowest", "debian-x:2", "--days", "3", keys=("--key", "ann.pem"))
    done = verity("keyring", "check", *VENDOR, "k", cwd=here)
    assert (done.status, done.out.count("expires-soon")) == (1, 1)
    assert "version 2" in done.out
    good(here, "keyring", "check", *VENDOR, "--soon", "2", "k")


def test_check_of_a_signed_commit(here: Path, bare: World) -> None:
    copy(bare.path / "vendor.pem.pub", here / "build.pem.pub")
    change(here, "rotate", "--replace", "os1.pem.pub=build.pem.pub")
    commit = ("--repo", str(bare.repo), "--commit", REF)
    done = verity("keyring", "check", *VENDOR, *commit, "--json", "k", cwd=here)
    (finding,) = done.of_type("finding")
    assert (finding["check"], finding["link"]) == ("does-not-count", "key")
    change(here, "add-key", "--stream", "os=os")
    good(here, "keyring", "check", *VENDOR, *commit, "k")


def test_example_keys_count_only_where_they_are_allowed(here: Path) -> None:
    os_key = Path("keys-example/vendor-os.pem.pub").resolve()
    init = (*("keyring", "init", *VENDOR, *ROOTS), "--role", f"os={os_key}", "--stream", "os=*")
    done = verity(*init, *BOTH, "e", cwd=here)
    assert done.status == 1
    assert_clean_error(done, ("is one of keys-example/",), hint=True)
    assert not (here / "e").exists()
    good(here, *init, *BOTH, "--allow-example-keys", "e")
    (shown,) = good(here, "keyring", "show", "--json", "e/vendor/1.keyring.json").records
    check = ("keyring", "verify", "--pin", f"vendor={shown['pin']}", "e")
    done = verity(*check, cwd=here)
    assert done.status == 1
    assert_clean_error(done, ("vendor os: key", "is one of keys-example/"), hint=True)
    good(here, *check, "--allow-example-keys")


def test_revoking_a_key_that_is_not_here_is_noted(here: Path) -> None:
    unknown = "0" * 63 + "1"
    done = good(here, "keyring", "revoke", *VENDOR, "--revoke-key", unknown, *BOTH, "k")
    assert f"note: key {unknown} is not in this keyring" in done.err
    assert f"revoked   key {unknown}" in done.out.splitlines()
