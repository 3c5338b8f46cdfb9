# SPDX-License-Identifier: Apache-2.0
"""What was asked for can't be: status 2, whichever verb says it, and nothing on the disk changes.

A row for each code of ``CallerError`` that a command line reaches; the others are named with where
they are tested or why no command line gets there, so that a new code asks for a row.
"""

import ast
from pathlib import Path

import pytest

from tests.cli.program import copy, snapshot, verity
from tests.cli.worlds import REF, World

SIGN = ("commit", "sign", "--repo", "repo", "--key", "vendor.pem", "--serial", "9")
VENDOR = ("--party", "vendor")
ROOT = ("--role", "root=other.pem.pub")
OS = ("--role", "os=vendor.pem.pub", "--stream", "os=*")
BY = ("--key", "other.pem", "k")
PIN = "vendor=sha256:" + "ab" * 32

ASKED: dict[str, tuple[str, ...]] = {
    "already-signed": (*SIGN, "--stream", "os", REF),
    "bad-arguments": ("keyring", "revoke", *VENDOR, *BY),
    "bad-block-size": ("digest", "--block-size", "3", "vendor.pem.pub"),
    "bad-path": (
        *("explain", "--root", "tree", "--repo", "repo", "--commit", REF),
        *("--key", "vendor.pem.pub", "../x"),
    ),
    "bad-salt": ("digest", "--salt", "zz", "vendor.pem.pub"),
    "bad-stream": (*SIGN, "--stream", "A", "debian/sid"),
    "bad-threshold": (
        "lockdown", "pin", *VENDOR, "--threshold", "2", "--root", "other.pem.pub", "new"
    ),
    "bad-trust": (
        *("commit", "verify", "--repo", "repo", "--key", "vendor.pem.pub"),
        *("--threshold", "2", REF),
    ),
    "exists": ("keyring", "init", *VENDOR, *ROOT, *OS, *BY),
    "key-twice": ("keyring", "add-key", *VENDOR, *OS, *BY),
    "no-code": (
        *("extension", "sign", "--tree", "data", "--key", "vendor.pem", "--stream", "x"),
        *("--serial", "1", "new"),
    ),
    "no-keyring": ("keyring", "show", "data"),
    "no-user-pin": (
        *("commit", "verify", "--repo", "repo", "--keyring", "both"),
        *("--pin", PIN, "--root", "data", REF),
    ),
    "nothing-waits": ("keyring", "sign", "--yes", *VENDOR, *BY),
    "secret-in-argument": ("key", "show", "pkcs11:token=x?pin-value=hunter2"),
    "unknown-signer": (*SIGN[:5], "nokms:x", *SIGN[6:], "--stream", "os", "debian/sid"),
    "wrong-role": (
        *("keyring", "project", *VENDOR, "--version", "1", "--role", "etc=vendor.pem.pub"),
        *("--key", "other.pem", "new"),
    ),
}  # fmt: skip
ELSEWHERE = {
    "already-staged": "unit/verbs/test_lockdown_stage.py",
    "bad-checksum": "of the library: a revision is resolved first",
    "bad-home": "test_etc_refused.py",
    "bad-ref": "test_refused.py",
    "bad-secret": "test_key.py",
    "bad-type": "of the library: no verb takes a GVariant type",
    "bad-uri": "unit/formats/test_pkcs11_uri.py",
    "bad-value": "of the library: no verb takes a GVariant value",
    "bad-version": "test_sign_keyring.py",
    "is-a-directory": "test_enable.py",
    "is-configuration": "test_denial_exception.py",
    "key-revoked": "test_keyring.py",
    "manifest-of-one-directory": "test_enable.py",
    "metadata-too-large": "of the library: fixed sizes",
    "no-exception": "test_denial_exception.py",
    "no-pin": "test_gate_refused.py",
    "pin-differs": "interop/test_lockdown_init.py",
    "would-replace": "unit/verbs/test_lockdown_stage.py",
    "not-a-directory": "test_enable.py",
    "not-a-file": "test_denial_exception.py",
    "not-a-regular-file": "of one file in a batch, which counts as not checked",
    "not-before": "test_etc_refused.py",
    "not-confirmed": "test_keyring_effect.py",
    "old-serial": "test_denial_exception.py",
    "signature-of-one-file": "test_enable.py",
    "stale-serial": "test_etc_refused.py",
    "too-many-signatures": "test_sign.py",
    "waiting": "test_keyring.py",
    "would-end": "test_denial_exception.py",
    "wrong-kind": "test_sign.py",
    "wrong-party": "test_keyring_trust.py",
}


@pytest.fixture
def asked(world: World) -> Path:
    here = world.path
    (here / "data").mkdir()
    (here / "data/text").write_text("no code")
    init = ("keyring", "init", *VENDOR, *ROOT, *OS, *BY)
    assert verity(*init, cwd=here).status == 0
    (here / "both").mkdir()
    copy(here / "k/vendor", here / "both/vendor")
    assert verity("key", "generate", "u.pem", cwd=here).status == 0
    assert verity("key", "generate", "e.pem", cwd=here).status == 0
    roles = ("--role", "root=u.pem.pub", "--role", "etc=e.pem.pub", "--stream", "etc=*")
    user = ("keyring", "init", "--party", "user", *roles, "--key", "u.pem", "both")
    assert verity(*user, cwd=here).status == 0
    return here


@pytest.mark.parametrize("code", ASKED)
def test_asked_for_what_can_not_be(code: str, asked: Path) -> None:
    before = snapshot(asked)
    command = ASKED[code]
    done = verity(*command, cwd=asked)
    assert (done.status, done.out) == (2, ""), done.err
    assert done.err.startswith("verity: error: ")
    as_json = verity(*command, "--json", cwd=asked)
    assert [one["code"] for one in as_json.of_type("error")] == [code]
    assert snapshot(asked) == before


def test_every_code_has_its_row() -> None:
    codes = set()
    for path in Path("verity").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "CallerError":
                assert isinstance(node.args[0], ast.Constant)
                codes.add(node.args[0].value)
    assert codes == ASKED.keys() | ELSEWHERE.keys()
    assert not ASKED.keys() & ELSEWHERE.keys()
