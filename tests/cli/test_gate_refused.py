# SPDX-License-Identifier: Apache-2.0
"""Pins, keys, policies, extensions and bundles that are refused: status, message, hint, no file."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.cli.forge import BUNDLE, COMPILE, EXTENSION, PROJECT_USER, PROJECT_VENDOR, STREAMS
from tests.cli.forge_spoil import (
    commit_unsigned,
    cut,
    doubled,
    file,
    flip,
    key_for_a_pin,
    not_the_template,
    nothing,
    only_a_link,
    only_data,
    resigned,
    taken,
    unsigned,
)
from tests.cli.program import assert_clean_error, needs_root, snapshot, stock, verity
from tests.cli.worlds import REF
from verity.formats import bundle, kernel_policy
from verity.formats.grants import Party, Role
from verity.formats.records import RecordKind
from verity.ports import keystore
from verity.verbs import fragments


@dataclass(frozen=True)
class Refused:
    """A run that ends in an error on stderr. ``words`` are in its one line."""

    args: tuple[str, ...]
    status: int
    words: tuple[str, ...]
    spoil: Callable[[Path], None] = nothing
    hint: bool = True


PIN = ("lockdown", "pin", "--party", "user")
OS_ROLE = ("--role", "os=os.pem.pub")
POLICY_ROLE = ("--role", "policy=policy.pem.pub")
EXTENSION_ROLE = ("--role", "extension=ext.pem.pub")
BY_STRANGER = ("--key", "stranger.pem")

REFUSED = {
    # pins
    "pin-over-a-file": Refused((*PIN, "--root", "uroot.pem.pub", "user.pin"), 3, ("user.pin: ex",)),
    "pin-of-a-private-key": Refused(
        (*PIN, "--root", "uroot.pem", "new"), 1, ("uroot.pem: a private key, expected a public",)
    ),
    "pin-of-nothing": Refused((*PIN, "--root", "no.pub", "new"), 3, ("no.pub: does not exist",)),
    "pin-that-nobody-can-meet": Refused(
        (*PIN, "--root", "uroot.pem.pub", "--threshold", "2", "new"),
        2,
        ("the role root has a threshold of 2 with 1 owners",),
    ),
    "pin-of-a-key-with-two-owners": Refused(
        (*PIN, "--root", "a=uroot.pem.pub", "--root", "b=uroot.pem.pub", "new"),
        2,
        ("uroot.pem.pub: key", "two owners"),
        hint=False,
    ),
    "pin-into-no-directory": Refused(
        (*PIN, "--root", "uroot.pem.pub", "no/new"), 3, ("no/new: does not exist",)
    ),
    # keys
    "keys-of-a-role-beyond-the-vendor": Refused(
        (*PROJECT_VENDOR, *EXTENSION_ROLE, "new"),
        2,
        ("the party vendor has no right to the role extension, expected one of os",),
    ),
    "keys-of-a-role-beyond-the-user": Refused(
        (*PROJECT_USER, *OS_ROLE, "new"),
        2,
        ("no right to the role os, expected one of etc, extension, policy, unlock",),
    ),
    "keys-of-evidence": Refused(
        (*PROJECT_USER, "--role", "evidence=etc.pem.pub", "new"), 2, ("to the role evidence",)
    ),
    "keys-of-the-root": Refused(
        (*PROJECT_USER, "--role", "root=uroot2.pem.pub", "new"), 2, ("to the role root",)
    ),
    "keys-of-no-role": Refused(
        (*PROJECT_USER, "--role", "cook=etc.pem.pub", "new"),
        2,
        ("unknown role 'cook', expected one of root, os, etc",),
        hint=False,
    ),
    "keys-with-nonsense": Refused(
        (*PROJECT_USER, "--role", "etc:two=etc.pem.pub", "new"),
        2,
        ("--role etc:two=etc.pem.pub: not ROLE[:N]=[OWNER=]FILE.pub",),
        hint=False,
    ),
    "keys-with-two-thresholds": Refused(
        (*PROJECT_USER, "--role", "etc:1=etc.pem.pub", "--role", "etc:2=etc2.pem.pub", "new"),
        2,
        ("the role etc has two thresholds, 1 and 2",),
        hint=False,
    ),
    "keys-with-a-threshold-of-0": Refused(
        (*PROJECT_USER, "--role", "etc:0=etc.pem.pub", "new"), 2, ("a threshold of 0 with 1 own",)
    ),
    "keys-that-can-not-sign-enough": Refused(
        (*PROJECT_USER, "--role", "etc:2=etc.pem.pub", "new"), 2, ("a threshold of 2 with 1 own",)
    ),
    "one-owner-is-one": Refused(
        (*PROJECT_USER, "--role", "etc:2=a=etc.pem.pub", "--role", "etc=a=etc2.pem.pub", "new"),
        2,
        ("a threshold of 2 with 1 owners",),
    ),
    "a-key-in-two-roles": Refused(
        (*PROJECT_USER, *POLICY_ROLE, "--role", "etc=policy.pem.pub", "new"),
        2,
        ("given for the roles policy and etc, a key has one",),
    ),
    "a-root-key-in-a-role": Refused(
        (*PROJECT_USER, "--role", "etc=uroot.pem.pub", "new"),
        2,
        ("given for the roles root and etc, a key has one",),
    ),
    "a-root-key-signs-twice": Refused(
        (*PROJECT_USER, *POLICY_ROLE, "--key", "uroot.pem", "new"),
        2,
        ("a key that signs is there twice",),
        hint=False,
    ),
    "keys-signed-by-a-public-key": Refused(
        (*PROJECT_USER[:-1], "uroot.pem.pub", *POLICY_ROLE, "new"),
        1,
        ("uroot.pem.pub: not a private key",),
    ),
    # policy
    "policy-with-nonsense": Refused(
        (*COMPILE, "--stream", "os", "new"), 2, ("--stream os: not NAME=PARTY:ROLE",), hint=False
    ),
    "policy-with-a-bad-name": Refused(
        (*COMPILE, "--stream", "OS=vendor:os", "new"), 2, ("--stream OS=vendor:os",), hint=False
    ),
    "policy-with-the-vendor's-etc": Refused(
        (*COMPILE, "--stream", "a=vendor:etc", "new"), 2, ("expected vendor:os",), hint=False
    ),
    "policy-with-a-stream-twice": Refused(
        (*COMPILE, "--stream", "a=vendor:os", "--stream", "a=user:etc", "new"),
        2,
        ("--stream a=user:etc: this stream is there twice",),
        hint=False,
    ),
    "policy-with-65-streams": Refused(
        (*COMPILE, *(w for n in range(65) for w in ("--stream", f"s{n}=vendor:os")), "new"),
        2,
        ("65 streams, at most 64",),
        hint=False,
    ),
    "policy-with-16-groups": Refused(
        (*COMPILE, *STREAMS, *(w for n in range(16) for w in ("--group", str(n))), "new"),
        1,
        ("16 groups, at most 15",),
        hint=False,
    ),
    "policy-over-a-file": Refused((*COMPILE, *STREAMS, "u.keys"), 3, ("u.keys: exists already",)),
    # extensions
    "extension-with-a-module": Refused(
        (*EXTENSION, "--tree", "tree", "new"),
        1,
        ("/data.ko: a kernel module or firmware, which an extension may not bring",),
        file("tree/data.ko", b"\x7fELF", 0o644),
    ),
    "extension-with-set-uid": Refused(
        (*EXTENSION, "--tree", "tree", "new"),
        1,
        ("/su\\x20x: a program that raises privileges",),
        file("tree/su x", b"#!/bin/sh\n", 0o4755),
    ),
    "extension-with-set-gid": Refused(
        (*EXTENSION, "--tree", "tree", "new"),
        1,
        ("/sg: a program that raises privileges",),
        file("tree/sg", b"#!/bin/sh\n", 0o2755),
    ),
    "extension-without-code": Refused(
        (*EXTENSION, "--tree", "empty", "new"), 2, ("empty: 2 files and no code",), only_data
    ),
    "extension-of-nothing": Refused(
        (*EXTENSION, "--tree", "none", "new"), 3, ("none: does not exist",)
    ),
    "extension-over-a-directory": Refused(
        (*EXTENSION, "--tree", "tree", "tools"), 3, ("tools: exists already",)
    ),
    "extension-over-an-empty-directory": Refused(
        (*EXTENSION, "--tree", "tree", "taken"), 3, ("taken: exists already",), taken
    ),
    "extension-over-a-broken-link": Refused(
        (*EXTENSION, "--tree", "tree", "taken"), 3, ("taken: exists already",), only_a_link
    ),
    "extension-of-a-bad-stream": Refused(
        (*EXTENSION, "--stream", "A B", "--tree", "tree", "new"),
        2,
        ("the stream 'A B'",),
        hint=False,
    ),
    # commit show --grants
    "grants-of-an-unsigned-commit": Refused(
        ("commit", "show", "--repo", "repo", "--grants", "unsigned"),
        1,
        ("no verity.grants in its detached metadata",),
        commit_unsigned,
        hint=False,
    ),
    "grants-with-a-signature-that-is-no-template": Refused(
        ("commit", "show", "--repo", "repo", "--grants", REF),
        1,
        ("not the one PKCS#7 template",),
        not_the_template,
    ),
    "grants-and-manifest": Refused(
        ("commit", "show", "--repo", "repo", "--grants", "--manifest", REF),
        2,
        ("only one of --manifest, --grants and --json",),
        hint=False,
    ),
    # bundles
    "bundle-without-a-pin": Refused(
        (*BUNDLE[:2], *BUNDLE[4:], "new"), 2, ("v.keys: no pin of the party vendor",)
    ),
    "bundle-with-a-pin-of-the-other": Refused(
        (*BUNDLE[:2], "--pin", "vendor=user.pin", *BUNDLE[4:], "new"),
        2,
        ("user.pin: a pin of the party user, given for vendor",),
        hint=False,
    ),
    "bundle-with-two-pins": Refused(
        (*BUNDLE, "--pin", "user=user.pin", "new"), 2, ("a second pin of this party",), hint=False
    ),
    "bundle-with-a-pin-of-nobody": Refused(
        (*BUNDLE, "--pin", "owner=user.pin", "new"), 2, ("--pin owner=user.pin: expected",)
    ),
    "bundle-with-a-key-for-a-pin": Refused(
        (*BUNDLE, "new"),
        1,
        ("user.pin: pin: ",),
        key_for_a_pin,
    ),
    "bundle-with-a-pin-that-is-cut": Refused(
        (*BUNDLE, "new"), 1, ("user.pin: pin: the header says",), cut("user.pin")
    ),
    "bundle-with-policy-as-keys": Refused(
        (*BUNDLE, "--keys", "host.policy", "new"),
        2,
        ("host.policy: a fragment of policy, given for --keys",),
        hint=False,
    ),
    "bundle-with-a-pin-as-grants": Refused(
        (*BUNDLE, "--grants", "user.pin", "new"), 1, ("user.pin: bundle: record 0",), hint=False
    ),
    "bundle-with-a-bundle-as-grants": Refused(
        (*BUNDLE, "--grants", "two", "new"),
        1,
        ("two: 2 blobs, expected one with its signatures",),
        doubled,
        hint=False,
    ),
    "bundle-with-nothing-there": Refused(
        (*BUNDLE, "--grants", "none", "new"), 3, ("none: does not exist",)
    ),
    "bundle-with-keys-that-are-cut": Refused(
        (*BUNDLE, "new"), 1, ("v.keys: bundle: record 0 at 0",), cut("v.keys"), hint=False
    ),
    "bundle-with-unsigned-keys": Refused(
        (*BUNDLE, "new"), 1, ("v.keys: bundle: blob 1 (keys): ",), unsigned("v.keys"), hint=False
    ),
    "bundle-with-unsigned-grants": Refused(
        (*BUNDLE, "new"),
        1,
        ("os.grants: bundle: blob 1 (grants): ",),
        unsigned("os.grants"),
        hint=False,
    ),
    "bundle-with-a-flipped-bit-in-the-grants": Refused(
        (*BUNDLE, "new"), 1, ("os.grants: signed by 0",), flip("os.grants", 8 + 40)
    ),
    "bundle-with-a-flipped-bit-in-the-policy": Refused(
        (*BUNDLE, "new"), 1, ("host.policy: signed by 0",), flip("host.policy", 8 + 40)
    ),
    "bundle-with-a-flipped-bit-in-a-signature": Refused(
        (*BUNDLE, "new"),
        1,
        ("v.keys: signed by 0 of the trusted owners, 1 needed",),
        flip("v.keys", -1),
    ),
    "bundle-with-keys-by-a-stranger": Refused(
        (*BUNDLE, "new"),
        1,
        ("v.keys: signed by 0",),
        resigned("v.keys", *PROJECT_VENDOR[:-2], *BY_STRANGER, *OS_ROLE),
    ),
    "bundle-with-a-stranger-beside": Refused(
        (*BUNDLE, "new"),
        1,
        ("host.policy, signature 2: signed by 0",),
        resigned("host.policy", *COMPILE, *BY_STRANGER, *STREAMS),
    ),
    "bundle-that-guards-what-nobody-signed": Refused(
        (*BUNDLE, "new"),
        2,
        ("no configuration is granted, and the policy guards ", "the host would not boot"),
        resigned("host.policy", *COMPILE[:2], *COMPILE[4:], "--root", "tree", *STREAMS),
        hint=True,
    ),
    "bundle-with-a-policy-by-a-stranger": Refused(
        (*BUNDLE, "new"),
        1,
        ("host.policy: signed by 0",),
        resigned("host.policy", *COMPILE[:-2], *BY_STRANGER, *STREAMS),
    ),
    "bundle-with-a-stream-that-is-not-named": Refused(
        (*BUNDLE, "--grants", "tools/grants", "new"),
        1,
        ("tools/grants: grants for tools=user:extension, the policy names os=vendor:os",),
        resigned("host.policy", *COMPILE, "--stream", "os=vendor:os"),
    ),
    "bundle-with-a-stream-twice": Refused(
        (*BUNDLE, "--grants", "os.grants", "new"),
        2,
        ("os.grants: a second grants blob of the stream os",),
        hint=False,
    ),
    "bundle-with-no-keys-for-a-role": Refused(
        (*BUNDLE, "--grants", "tools/grants", "new"),
        1,
        ("tools/grants: no keys of the party user for the role extension",),
        resigned("u.keys", *PROJECT_USER, *POLICY_ROLE),
    ),
    "bundle-with-a-vendor's-key-of-the-user": Refused(
        (*BUNDLE, "new"),
        1,
        ("vendor os and user etc, expected one role",),
        resigned("u.keys", *PROJECT_USER, *POLICY_ROLE, "--role", "etc=os.pem.pub"),
    ),
    "bundle-into-no-directory": Refused((*BUNDLE, "no/new"), 3, ("no/new: does not exist",)),
    "bundle-replacing-a-directory": Refused((*BUNDLE, "--replace", "tree"), 3, ("tree: ",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, request: pytest.FixtureRequest) -> None:
    row = REFUSED[name]
    # Nothing is written, so those that change nothing share one.
    directory: Path = request.getfixturevalue("forge" if row.spoil is nothing else "forged")
    row.spoil(directory)
    before = snapshot(directory)
    done = verity(*row.args, cwd=directory)
    assert done.status == row.status, done
    assert done.out == ""
    assert_clean_error(done, row.words, hint=row.hint)
    assert snapshot(directory) == before


USAGE = {
    "pin-without-a-root": (*PIN, "new"),
    "pin-of-no-party": ("lockdown", "pin", "--root", "uroot.pem.pub", "new"),
    "pin-of-another-party": (*PIN[:-1], "owner", "--root", "uroot.pem.pub", "new"),
    "pin-with-a-threshold-of-0": (*PIN, "--threshold=0", "--root", "uroot.pem.pub", "new"),
    "pin-to-nowhere": (*PIN, "--root", "uroot.pem.pub"),
    "keys-without-a-role": (*PROJECT_USER, "new"),
    "keys-of-version-0": (*PROJECT_USER, "--version=0", *POLICY_ROLE, "new"),
    "keys-without-a-key": (*PROJECT_USER[:-2], *POLICY_ROLE, "new"),
    "keys-for-no-days": (*PROJECT_USER, "--days=0", *POLICY_ROLE, "new"),
    "policy-without-a-stream": (*COMPILE, "new"),
    "policy-of-another-mode": (*COMPILE, "--mode=off", *STREAMS, "new"),
    "policy-of-a-negative-group": (*COMPILE, "--group=-1", *STREAMS, "new"),
    "policy-of-no-group": (*COMPILE, f"--group={2**32 - 1}", *STREAMS, "new"),
    "policy-of-a-group-by-name": (*COMPILE, "--group=docker", *STREAMS, "new"),
    "extension-without-a-tree": (*EXTENSION, "new"),
    "bundle-without-grants": (*BUNDLE[:-2], "new"),
    "bundle-without-keys": (*BUNDLE[:6], *BUNDLE[10:], "new"),
}


@pytest.mark.parametrize("name", USAGE)
def test_usage(name: str, forge: Path) -> None:
    before = snapshot(forge)
    done = verity(*USAGE[name], cwd=forge)
    assert (done.status, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert snapshot(forge) == before


def test_what_has_expired_is_refused(forged: Path) -> None:
    fragment = bundle.parse_fragment((forged / "host.policy").read_bytes(), label="policy")
    old = replace(kernel_policy.parse(fragment.blob), issued=1, expires=int(time.time()))
    signed = fragments.sign(
        RecordKind.POLICY,
        kernel_policy.encode(old),
        [keystore.load_signer(str(forged / "policy.pem"))],
        party=Party.USER,
        role=Role.POLICY,
    )
    (forged / "host.policy").write_bytes(bundle.encode([signed]))
    before = snapshot(forged)
    done = verity(*BUNDLE, "new", cwd=forged)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("host.policy: expired at 20",), hint=True)
    assert snapshot(forged) == before


@needs_root
def test_an_extension_with_a_file_capability(forged: Path) -> None:
    value = "0x0100000200200000" + "00" * 12  # cap_net_raw, permitted and effective
    stock("setfattr", "-n", "security.capability", "-v", value, "tree/bin/tool", cwd=forged)
    done = verity(*EXTENSION, "--tree", "tree", "new", cwd=forged)
    assert done.status == 1
    assert_clean_error(done, ("/bin/tool: a program that raises privileges",), hint=True)
    assert not (forged / "new").exists()


def test_errors_as_json(forge: Path) -> None:
    done = verity(*BUNDLE, "--json", "v.keys", cwd=forge)
    assert done.status == 3
    assert [(r["type"], r["code"]) for r in done.records] == [("error", "exists")]
