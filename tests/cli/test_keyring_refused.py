# SPDX-License-Identifier: Apache-2.0
"""Keyring verbs that end in an error: status, one line on the object, and nothing left behind."""

from pathlib import Path

import pytest

from tests.cli.keyring_world import BOTH, INIT, OS, ROOTS, VENDOR
from tests.cli.program import assert_clean_error, snapshot, verity

REVOKE = ("keyring", "revoke", *VENDOR)
ROTATE = ("keyring", "rotate", *VENDOR)
ADD = ("keyring", "add-key", *VENDOR)
PIN = "vendor=sha256:" + "ab" * 32

REFUSED: dict[str, tuple[tuple[str, ...], int, tuple[str, ...], bool]] = {
    "init-without-root": (
        ("keyring", "init", *VENDOR, *OS, *BOTH, "n"),
        2,
        ("there is no role root",),
        True,
    ),
    "init-without-streams": (
        ("keyring", "init", *VENDOR, *ROOTS, "--role", "os=os1.pem.pub", *BOTH, "n"),
        2,
        ("the role os needs the streams",),
        True,
    ),
    "init-with-a-role-of-the-other-party": (
        (*INIT, "--role", "policy=policy.pem.pub", *BOTH, "n"),
        2,
        ("the vendor has no right to the role policy",),
        False,
    ),
    "init-with-a-key-in-two-roles": (
        (*INIT, "--role", "os=ann.pem.pub", *BOTH, "n"),
        2,
        ("it is named twice",),
        True,
    ),
    "init-with-a-threshold-that-cannot-be-met": (
        (*INIT, "--role", "os:2=build=os2.pem.pub", *BOTH, "n"),
        2,
        ("the role os would have a threshold of 2 with 1 owners",),
        True,
    ),
    "init-signed-by-another": (
        (*INIT, "--key", "stranger.pem", "n"),
        2,
        ("it is no root key",),
        True,
    ),
    "init-without-a-key": ((*INIT, "n"), 2, ("--role and --key are missing",), True),
    "solo-with-a-role": ((*INIT, "--solo", "n"), 2, ("--solo makes its own keys",), False),
    "unknown-role": (
        (*INIT, "--role", "admin=os2.pem.pub", *BOTH, "n"),
        2,
        ("unknown role 'admin'",),
        False,
    ),
    "bad-stream": ((*INIT, "--stream", "os=A", *BOTH, "n"), 2, ("--stream os=A",), False),
    "change-where-nothing-is": ((*ADD, *OS, *BOTH, "n"), 2, ("n/vendor: there is no",), True),
    "add-nothing": ((*ADD, *BOTH, "k"), 2, ("none of --role",), False),
    "add-a-key-that-is-there": ((*ADD, *OS, *BOTH, "k"), 2, ("in the keyring already",), True),
    "add-with-a-bad-time": (
        (*ADD, "--role", "os=os2.pem.pub", "--until", "tomorrow", *BOTH, "k"),
        2,
        ("--until: time: 'tomorrow'",),
        False,
    ),
    "threshold-0": ((*ADD, "--threshold", "os=0", *BOTH, "k"), 2, ("threshold of 0",), True),
    "threshold-of-no-number": ((*ADD, "--threshold", "os", *BOTH, "k"), 2, ("ROLE=N",), False),
    "revoke-nothing": ((*REVOKE, *BOTH, "k"), 2, ("none of --revoke-key",), False),
    "revoke-the-last-key-of-a-role": (
        (*REVOKE, "--revoke-key", "os1.pem.pub", *BOTH, "k"),
        2,
        ("the role os would have a threshold of 1 with 0 owners",),
        True,
    ),
    "revoke-a-foreign-stream": (
        (*REVOKE, "--lowest", "etc-host:2", *BOTH, "k"),
        2,
        ("a vendor can't revoke serials of etc-host",),
        False,
    ),
    "revoke-with-serial-1": ((*REVOKE, "--lowest", "os:1", *BOTH, "k"), 2, ("2 or more",), False),
    "revoke-a-bad-digest": ((*REVOKE, "--digest", "ab", *BOTH, "k"), 2, ("--digest",), False),
    "revoke-an-unknown-key": (
        (*REVOKE, "--revoke-key", "abcdef0123", *BOTH, "k"),
        2,
        ("'abcdef0123': 0 key",),
        True,
    ),
    "rotate-nothing": ((*ROTATE, *BOTH, "k"), 2, ("neither --replace",), False),
    "rotate-revoked-with-overlap": (
        (
            *(*ROTATE, "--replace", "os1.pem.pub=os2.pem.pub", "--revoke"),
            *("--overlap-days", "3", *BOTH, "k"),
        ),
        2,
        ("--revoke ends a key at once",),
        False,
    ),
    "rotate-a-root-key-with-overlap": (
        (
            *(*ROTATE, "--replace", "ann.pem.pub=ann2.pem.pub", "--overlap-days", "3"),
            *(*BOTH, "k"),
        ),
        2,
        ("a root key, which has no overlap",),
        True,
    ),
    "rotate-a-key-that-is-not-there": (
        (*ROTATE, "--replace", "stranger.pem.pub=os2.pem.pub", *BOTH, "k"),
        2,
        ("stranger.pem.pub: key", "is not in version 1"),
        False,
    ),
    "sign-by-another": (
        (*REVOKE, "--lowest", "debian-x:2", "--key", "os1.pem", "k"),
        2,
        ("it is no root key",),
        True,
    ),
    "verify-another-pin": (
        ("keyring", "verify", "--pin", PIN, "k"),
        1,
        ("no version has the root keys of the pin",),
        True,
    ),
    "verify-without-a-fingerprint": (
        ("keyring", "verify", "--pin", "vendor=sha256:ab", "k"),
        2,
        ("64 lower-case hex digits",),
        False,
    ),
    "verify-for-nobody": (
        ("keyring", "verify", "--pin", "ab", "k"),
        2,
        ("--pin ab: not PARTY=",),
        True,
    ),
    "verify-two-pins": (
        ("keyring", "verify", "--pin", PIN, "--pin", PIN.replace("vendor", "user"), "k"),
        2,
        ("expected the pin of one party",),
        False,
    ),
    "verify-nothing": (("keyring", "verify", "--pin", PIN, "nowhere"), 3, ("nowhere",), True),
    "check-a-commit-of-nowhere": (
        ("keyring", "check", *VENDOR, "--commit", "x", "k"),
        2,
        ("--repo and --commit belong together",),
        False,
    ),
    "check-a-file-that-is-not-there": (
        ("keyring", "check", *VENDOR, "--against", "nowhere", "k"),
        3,
        ("nowhere: does not exist",),
        True,
    ),
    "check-where-nothing-is": (("keyring", "check", *VENDOR, "n"), 2, ("there is no",), True),
    "show-an-empty-directory": (("keyring", "show", "empty"), 2, ("empty: there is no",), True),
    "show-a-key": (("keyring", "show", "ann.pem.pub"), 1, ("ann.pem.pub: DSSE",), True),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, here: Path) -> None:
    args, status, words, hint = REFUSED[name]
    (here / "empty").mkdir()
    before = {path: value for path, value in snapshot(here).items() if "/n" not in path}
    done = verity(*args, cwd=here)
    assert done.status == status, done.err
    assert_clean_error(done, words, hint=hint)
    after = {path: value for path, value in snapshot(here).items() if "/n" not in path}
    assert after == before
    assert not (here / "n").exists()
