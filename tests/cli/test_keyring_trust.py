# SPDX-License-Identifier: Apache-2.0
"""Whose signature counts, said by keyrings: commit verify, objects, audit and explain."""

import os
import time
from pathlib import Path

import pytest

from tests.cli.program import (
    STRANGER,
    Done,
    assert_clean_error,
    copy,
    needs_root,
    stock,
    verity,
)
from tests.cli.worlds import REF, World
from verity.formats.grants import Party, Role
from verity.ports import keystore
from verity.verbs import keyring_change, keyring_make, keyring_trust
from verity.verbs.keyring_change import NewKey, Rules, Times

VERIFY = ("commit", "verify", "--repo", "repo", "--root", "host")
DAY = 86400
LIB = "host/usr/lib/verity/keyrings"
ETC = "host/etc/verity/keyrings"


def run(cwd: Path, *args: str) -> Done:
    done = verity(*args, cwd=cwd)
    assert done.status == 0, (args, done.err, done.out)
    return done


def add_pin(cwd: Path, party: str, root: str) -> None:
    pins = cwd / "host/etc/verity/pins"
    pins.mkdir(parents=True, exist_ok=True)
    root_key = ("--root", f"{root}.pem.pub")
    run(cwd, "lockdown", "pin", "--party", party, *root_key, f"host/etc/verity/pins/{party}.pin")


@pytest.fixture
def host(world: World) -> World:
    """A host with a vendor's keyring and its pin; `vendor.pem` signs the stream `os`."""
    here = world.path
    for name in ("vroot", "vroot2", "vroot3", "uroot", "build"):
        run(here, "key", "generate", f"{name}.pem")
    roles = ("--role", "root=vroot.pem.pub", "--role", "os=build=vendor.pem.pub")
    init = ("keyring", "init", "--party", "vendor", *roles, "--stream", "os=os")
    run(here, *init, "--key", "vroot.pem", LIB)
    add_pin(here, "vendor", "vroot")
    return world


def change(world: World, verb: str, *args: str, keys: tuple[str, ...] = ("vroot",)) -> None:
    signers = [word for key in keys for word in ("--key", f"{key}.pem")]
    run(world.path, "keyring", verb, "--party", "vendor", *args, *signers, LIB)


def user_keyring(world: World, *revoked: str) -> None:
    """The owner's own keyring, which revokes something, and its pin."""
    roles = ("--role", "root=uroot.pem.pub", "--role", "extension=build.pem.pub")
    user = ("--party", "user")
    init = ("keyring", "init", *user, *roles, "--stream", "extension=*", "--key", "uroot.pem", ETC)
    run(world.path, *init)
    run(world.path, "keyring", "revoke", *user, *revoked, "--key", "uroot.pem", ETC)
    add_pin(world.path, "user", "uroot")


def findings(done: Done) -> list[str]:
    return [record["check"] for record in done.of_type("finding")]


def test_the_hosts_own_keyrings_and_pins(host: World) -> None:
    done = run(host.path, *VERIFY, REF)
    assert done.out.startswith(f"good: {REF} is as signed")


def test_keyrings_and_a_fingerprint_from_elsewhere(host: World) -> None:
    copy(host.path / LIB, host.path / "brought")
    shown = run(host.path, "keyring", "show", "--json", "brought/vendor/1.keyring.json")
    pin = f"vendor={shown.records[0]['pin']}"
    brought = ("--keyring", "brought", "--pin", pin)
    run(host.path, "commit", "verify", "--repo", "repo", *brought, REF)


def test_a_key_that_the_keyring_does_not_have(host: World) -> None:
    change(host, "rotate", "--replace", "vendor.pem.pub=other.pem.pub")
    done = verity(*VERIFY, "--json", REF, cwd=host.path)
    assert (done.status, findings(done)) == (1, ["bad-signature"])


def test_a_stream_that_the_role_does_not_sign_in(host: World) -> None:
    change(host, "add-key", "--stream", "os=other")
    done = verity(*VERIFY, "--json", REF, cwd=host.path)
    assert (done.status, findings(done)) == (1, ["wrong-stream"])


def test_an_overlap_lets_what_was_signed_before_count(host: World) -> None:
    change(host, "rotate", "--replace", "vendor.pem.pub=other.pem.pub", "--overlap-days", "9")
    run(host.path, *VERIFY, REF)


def test_a_revoked_serial(host: World) -> None:
    change(host, "revoke", "--lowest", "os:2")
    done = verity(*VERIFY, "--json", REF, cwd=host.path)
    assert (done.status, findings(done)) == (1, ["revoked-serial"])
    run(host.path, *VERIFY, "debian/forky")


def test_a_revoked_file(host: World) -> None:
    said = stock("fsverity", "digest", "--compact", "tree/usr/bin/tool", cwd=host.path).strip()
    change(host, "revoke", "--digest", f"sha256:{said}")
    done = verity(*VERIFY, "--json", REF, cwd=host.path)
    (finding,) = done.of_type("finding")
    assert finding["check"] == "revoked-digest"
    assert "the file /usr/bin/tool has the digest" in finding["problem"]


def test_the_user_revokes_what_the_vendor_signed(host: World) -> None:
    user_keyring(host, "--lowest", "os:2")
    done = verity(*VERIFY, "--json", REF, cwd=host.path)
    assert (done.status, findings(done)) == (1, ["revoked-serial"])


def test_the_user_revokes_a_key_of_the_vendor(host: World) -> None:
    user_keyring(host, "--revoke-key", keystore.load_public(host.path / "vendor.pem.pub").key_id)
    done = verity(*VERIFY, "--json", REF, cwd=host.path)
    (finding,) = done.of_type("finding")
    assert finding["check"] == "bad-signature"
    assert "revoked" in finding["problem"]


def test_a_users_keyring_that_was_taken_away(host: World) -> None:
    user_keyring(host, "--lowest", "os:2")
    for file in (host.path / ETC / "user").iterdir():
        file.unlink()
    done = verity(*VERIFY, REF, cwd=host.path)
    assert done.status == 1
    assert_clean_error(done, ("keyring of the user: there is no version",), hint=True)


def test_an_old_host_that_missed_every_rotation(host: World) -> None:
    """It has the pin of version 1, and gets the later versions on a stick."""
    pin = host.path / "host/etc/verity/pins/vendor.pin"
    before = pin.read_bytes()
    # Root key by root key, and at last the key that signs.
    change(host, "rotate", "--replace", "vroot.pem.pub=vroot2.pem.pub", keys=("vroot", "vroot2"))
    change(host, "rotate", "--replace", "vroot2.pem.pub=vroot3.pem.pub", keys=("vroot2", "vroot3"))
    change(host, "rotate", "--replace", "vendor.pem.pub=other.pem.pub", keys=("vroot3",))
    assert pin.read_bytes() == before
    done = verity(*VERIFY, "--json", REF, cwd=host.path)
    assert findings(done) == ["bad-signature"]
    resign = ("--key", "other.pem", "--stream", "os", "--serial", "9", "--replace", REF)
    run(host.path, "commit", "sign", "--repo", "repo", *resign)
    run(host.path, *VERIFY, REF)
    # A version that got lost on the way is not jumped over.
    (host.path / LIB / "vendor/3.keyring.json").unlink()
    done = verity(*VERIFY, REF, cwd=host.path)
    assert done.status == 1
    assert_clean_error(done, ("version 4 follows version 2",), hint=True)


def test_versions_of_both_directories_are_one_chain(host: World) -> None:
    change(host, "revoke", "--lowest", "os:2")
    there = host.path / ETC / "vendor"
    there.mkdir(parents=True)
    (host.path / LIB / "vendor/2.keyring.json").rename(there / "2.keyring.json")
    done = verity(*VERIFY, "--json", REF, cwd=host.path)
    assert findings(done) == ["revoked-serial"]
    copy(there / "2.keyring.json", there / "1.keyring.json")
    done = verity(*VERIFY, REF, cwd=host.path)
    assert done.status == 1
    assert_clean_error(done, ("another version 1 than",), hint=True)


def expire(world: World, times: Times | None = None) -> None:
    """Another keyring in the place of the vendor's, which was good until an hour ago."""
    for file in (world.path / LIB / "vendor").iterdir():
        file.unlink()
    now = int(time.time())
    value = keyring_change.first(
        Party.VENDOR,
        [
            NewKey(role=role, key=keystore.load_public(world.path / f"{name}.pem.pub"))
            for role, name in ((Role.ROOT, "vroot"), (Role.OS, "vendor"))
        ],
        Rules(thresholds={}, streams={Role.OS: ("*",)}),
        times or Times(issued=now - 7200, expires=now - 3600),
    )
    signer = keystore.load_signer(str(world.path / "vroot.pem"))
    keyring_make.init(world.path / LIB, Party.VENDOR, value, [signer])


def test_an_expired_keyring_accepts_nothing_new(host: World) -> None:
    expire(host)
    floors = ("--floors", "floors", "--accept-without-floor")
    done = verity(*VERIFY, *floors, "--json", REF, cwd=host.path)
    assert (done.status, findings(done)) == (1, ["keyring-expired"])
    assert not list((host.path / "floors").glob("*"))


def test_a_statement_that_expired_before_the_keyring_was_issued(host: World) -> None:
    """By the clock it is good yet: the clock was set back."""
    now = int(time.time())
    host.sign_at(issued=now - 60, expires=now + 1800)
    run(host.path, *VERIFY, REF)
    expire(host, Times(issued=now + 3600, expires=now + 7200))
    done = verity(*VERIFY, "--json", REF, cwd=host.path)
    assert (done.status, findings(done)) == (1, ["expired"])


def test_a_keyring_from_the_future_is_found_and_replaced(host: World) -> None:
    now = int(time.time())
    expire(host, Times(issued=now + 9 * DAY, expires=now + 99 * DAY))
    floors = ("--floors", "floors", "--accept-without-floor")
    done = verity(*VERIFY, *floors, "--json", REF, cwd=host.path)
    assert (done.status, findings(done)) == (1, ["issued-ahead"])
    assert not list((host.path / "floors").glob("*"))
    pin = ("--pin", "vendor=host/etc/verity/pins/vendor.pin")
    done = verity("keyring", "verify", *pin, "--json", LIB, cwd=host.path)
    assert (done.status, findings(done)) == (1, ["issued-ahead"])
    # The statement expires before then, and counts again once the next version says the right time.
    host.sign_at(issued=now, expires=now + 2 * DAY)
    change(host, "add-key", "--stream", "os=os")
    run(host.path, *VERIFY, REF)


def test_a_vendor_makes_no_document_of_the_users_expire(host: World) -> None:
    """On a host whose clock was never set."""
    user_keyring(host, "--lowest", "other:2")
    now = int(time.time())
    expire(host, Times(issued=now + 9000 * DAY, expires=now + 9001 * DAY))
    root = host.path / "host"
    found = keyring_trust.load(keyring_trust.host_directories(root), keyring_trust.host_pins(root))
    assert found.findings(0) == []
    assert [one.check for one in found.findings(now)] == ["issued-ahead"]
    assert found.reference_time(0) == now + 9000 * DAY
    assert found.reference_time(0, Party.USER) < now + DAY


def test_a_statement_from_the_future(host: World) -> None:
    now = int(time.time())
    host.sign_at(issued=now + 2 * DAY, expires=now + 9 * DAY)
    floors = ("--floors", "floors", "--accept-without-floor")
    done = verity(*VERIFY, *floors, "--json", REF, cwd=host.path)
    assert (done.status, findings(done)) == (1, ["issued-ahead"])
    assert not list((host.path / "floors").glob("*"))
    repo = ("--repo", "repo", "--json")
    for command in (
        ("objects", "check", "--root", "host", *repo, REF),
        ("audit", "--root", "tree", "--key", "vendor.pem.pub", *repo, "--commit", REF),
    ):
        assert findings(verity(*command, cwd=host.path))[0] == "issued-ahead"


def test_explain_shows_the_keyring_as_the_first_link(host: World) -> None:
    pin = ("--pin", "vendor=host/etc/verity/pins/vendor.pin", "--keyring", LIB)
    chain = ("explain", "--root", "tree", "--repo", "repo", "--commit", REF, *pin, "--json")
    first, second = verity(*chain, "/usr/bin/tool", cwd=host.path).of_type("link")[:2]
    assert (first["link"], first["holds"]) == ("key", True)
    assert first["answer"][0] == "version 1, from the pinned version 1"
    assert (second["link"], second["holds"]) == ("key", True)
    expire(host)
    first = verity(*chain, "/usr/bin/tool", cwd=host.path).of_type("link")[0]
    assert (first["link"], first["holds"]) == ("key", False)


def test_objects_and_audit(host: World) -> None:
    expire(host)
    pin = ("--pin", "vendor=host/etc/verity/pins/vendor.pin", "--keyring", LIB)
    repo = ("--repo", "repo", "--json")
    for command in (
        ("objects", "check", "--root", "host", *repo, REF),
        ("objects", "check", *pin, *repo, REF),
        ("audit", "--root", "tree", *pin, *repo, "--commit", REF),
    ):
        done = verity(*command, cwd=host.path)
        assert (done.status, findings(done)[0]) == (1, "keyring-expired"), done.err


PIN = "vendor=host/etc/verity/pins/vendor.pin"

REFUSED: dict[str, tuple[tuple[str, ...], int, tuple[str, ...], bool]] = {
    "a-key-and-a-keyring": (
        (*VERIFY, "--key", "vendor.pem.pub", "--keyring", LIB, REF),
        2,
        ("no --keyring, --pin and",),
        False,
    ),
    "a-key-and-a-pin": (
        (*VERIFY, "--key", "vendor.pem.pub", "--pin", PIN, REF),
        2,
        ("no --keyring, --pin and",),
        False,
    ),
    "a-threshold-for-a-keyring": (
        (*VERIFY, "--threshold", "2", REF),
        2,
        ("a keyring has its own",),
        False,
    ),
    "no-pin": (
        ("commit", "verify", "--repo", "repo", "--root", "tree", REF),
        3,
        ("tree/etc/verity/pins/vendor.pin: there is no pin, so nobody is trusted",),
        True,
    ),
    "only-a-users-pin": (
        (*VERIFY, "--pin", "user=sha256:" + "ab" * 32, REF),
        1,
        ("keyring of the user: there is no version",),
        True,
    ),
    "a-pin-of-the-other-party": (
        (*VERIFY, "--pin", PIN.replace("vendor=", "user="), REF),
        2,
        ("vendor.pin: a pin of the party vendor, given for user",),
        False,
    ),
    "another-pin": (
        (*VERIFY, "--pin", "vendor=sha256:" + "ab" * 32, REF),
        1,
        ("no version has the root keys of the pin",),
        True,
    ),
    "no-keyring": (
        (*VERIFY, "--keyring", "nowhere", REF),
        3,
        ("--keyring nowhere: no such directory",),
        True,
    ),
    "a-directory-without-keyrings": (
        (*VERIFY, "--keyring", "tree", REF),
        3,
        ("tree: there is no keyring of the vendor in it",),
        True,
    ),
    "two-directories": (
        (*VERIFY, "--keyring", LIB, "--keyring", ETC, REF),
        2,
        ("--keyring host/etc/verity/keyrings: a second one",),
        False,
    ),
    "two-pins": (
        (*VERIFY, "--pin", PIN, "--pin", PIN, REF),
        2,
        ("a second pin of the vendor",),
        False,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, host: World) -> None:
    args, status, words, hint = REFUSED[name]
    done = verity(*args, cwd=host.path)
    assert (done.status, done.out) == (status, ""), done.err
    assert_clean_error(done, words, hint=hint)


def test_the_signed_etc_by_the_users_keyring(host: World) -> None:
    here = host.path
    (here / "r/etc").mkdir(parents=True)
    (here / "r/etc/motd").write_text("hello\n")
    etc = ("--stream", "etc-h", "--serial", "1", "--root", "r")
    run(here, "etc", "sign", "--key", "build.pem", *etc)
    roles = ("--role", "root=uroot.pem.pub", "--role", "etc=build.pem.pub")
    user = ("--party", "user")
    init = ("keyring", "init", *user, *roles, "--stream", "etc=etc-*", "--key", "uroot.pem", "u")
    run(here, *init)
    (shown,) = run(here, "keyring", "show", "--json", "u/user/1.keyring.json").records
    trust = ("--keyring", "u", "--pin", f"user={shown['pin']}")
    status = ("etc", "status", "--root", "r", *trust)
    run(here, *status)
    rotate = ("--replace", "build.pem.pub=other.pem.pub", "--key", "uroot.pem", "u")
    run(here, "keyring", "rotate", *user, *rotate)
    done = verity(*status, cwd=here)
    assert done.status == 1
    assert "signed by 0 of the trusted owners" in done.err


@needs_root
def test_a_pin_that_can_not_be_read_is_not_passed_over(host: World) -> None:
    user_keyring(host, "--lowest", "os:2")
    pin = host.path / "host/etc/verity/pins/user.pin"
    os.chown(pin, STRANGER, STRANGER)
    pin.chmod(0o600)
    stock("chmod", "-R", "a+rX", "repo", "host/usr", cwd=host.path)
    done = verity(*VERIFY, REF, cwd=host.path, lesser=True)
    assert done.status == 3
    assert_clean_error(done, ("user.pin: permission denied",), hint=True)


def test_a_pin_that_points_nowhere_is_not_passed_over(host: World) -> None:
    (host.path / "host/etc/verity/pins/user.pin").symlink_to("nowhere")
    done = verity(*VERIFY, REF, cwd=host.path)
    assert done.status == 3
    assert_clean_error(done, ("user.pin: does not exist",), hint=True)
