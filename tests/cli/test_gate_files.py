# SPDX-License-Identifier: Apache-2.0
"""What the gate is given, made by the program: pins, keys, policies, extensions, bundles."""

import hashlib
import os
import stat
from pathlib import Path

from tests.cli.forge import (
    BUNDLE,
    COMPILE,
    EXTENSION,
    PROJECT_USER,
    PROJECT_VENDOR,
    STREAMS,
    as_world,
)
from tests.cli.program import assert_clean_error, copy, snapshot, verity
from tests.cli.worlds import REF
from verity.formats import bundle, dump, grants, kernel_keys, kernel_policy
from verity.formats.grants import Code, Party, Role
from verity.formats.kernel_policy import Mode
from verity.formats.records import RecordKind
from verity.ports import keystore
from verity.trust.trusted import TrustedSet
from verity.trust.verified import verify_grants, verify_manifest, verify_statement


def key_id(directory: Path, name: str) -> str:
    return keystore.load_public(directory / f"{name}.pem.pub").key_id


# --- pins and keys


def test_a_pin(forged: Path) -> None:
    roots = ("--root", "uroot.pem.pub", "--root", "uroot2.pem.pub", "--threshold", "2")
    done = verity("lockdown", "pin", "--party", "user", *roots, "new.pin", cwd=forged)
    assert (done.status, done.err) == (0, "")
    data = (forged / "new.pin").read_bytes()
    lines = done.out.splitlines()
    assert lines[0] == f"pin       sha256:{hashlib.sha256(data).hexdigest()}"
    assert lines[1] == "party     user, threshold 2"
    assert sorted(line.split()[1] for line in lines[2:]) == sorted(
        key_id(forged, name) for name in ("uroot", "uroot2")
    )
    pin = kernel_keys.parse_pin(data)
    assert (pin.party, pin.threshold, len(pin.keys)) == (Party.USER, 2, 2)
    assert stat.S_IMODE((forged / "new.pin").stat().st_mode) == 0o644


def test_the_fingerprint_does_not_depend_on_order_or_names(forged: Path) -> None:
    prints = set()
    for number, roots in enumerate(
        (
            ("uroot.pem.pub", "uroot2.pem.pub"),
            ("uroot2.pem.pub", "uroot.pem.pub"),
            ("zoe=uroot.pem.pub", "ann=uroot2.pem.pub"),
            ("ann=./uroot.pem.pub", "uroot2.pem.pub", "uroot2.pem.pub"),
        )
    ):
        options = [word for root in roots for word in ("--root", root)]
        done = verity(
            *("lockdown", "pin", "--party", "user", "--json", *options, f"pin{number}"), cwd=forged
        )
        (record,) = done.of_type("pin")
        assert [key["owner"] for key in record["keys"]] == [0, 1]
        prints.add(record["fingerprint"])
    assert len(prints) == 1


def test_keys_of_one_owner(forged: Path) -> None:
    roots = ("--root", "ann=uroot.pem.pub", "--root", "ann=uroot2.pem.pub")
    pin = ("lockdown", "pin", "--party", "user", *roots)
    assert verity(*pin, "one.pin", cwd=forged).status == 0
    found = kernel_keys.parse_pin((forged / "one.pin").read_bytes())
    assert [entry.owner for entry in found.keys] == [0, 0]
    done = verity(*pin, "--threshold", "2", "two.pin", cwd=forged)
    assert done.status == 2
    assert_clean_error(done, ("a threshold of 2 with 1 owners",), hint=True)


def test_a_path_with_an_equals_sign(forged: Path) -> None:
    copy(forged / "uroot.pem.pub", forged / "a=b.pub")
    pin = ("lockdown", "pin", "--party", "user", "--root")
    assert verity(*pin, "./a=b.pub", "new.pin", cwd=forged).status == 0
    assert verity(*pin, "a=./a=b.pub", "other.pin", cwd=forged).status == 0
    assert (forged / "new.pin").read_bytes() == (forged / "user.pin").read_bytes()


def test_keys(forged: Path) -> None:
    roles = (
        *("--role", "policy=policy.pem.pub", "--role", "etc:2=ann=etc.pem.pub"),
        *("--role", "etc=bob=etc2.pem.pub", "--role", "extension=ext.pem.pub"),
    )
    more = ("--key", "uroot2.pem")
    done = verity(*PROJECT_USER, *more, *roles, "--days", "30", "--json", "new.keys", cwd=forged)
    assert (done.status, done.err) == (0, "")
    fragment = bundle.parse_fragment((forged / "new.keys").read_bytes(), label="new")
    assert (fragment.kind, len(fragment.signatures)) == (RecordKind.KEYS, 2)
    keys = kernel_keys.parse_keys(fragment.blob)
    assert keys.thresholds == {Role.POLICY: 1, Role.ETC: 2, Role.EXTENSION: 1}
    assert (keys.version, keys.expires - keys.issued) == (1, 30 * 86400)
    (record,) = done.of_type("keys")
    assert record["sha256"] == hashlib.sha256(fragment.blob).hexdigest()
    assert record["thresholds"] == {"etc": 2, "extension": 1, "policy": 1}
    assert {(key["role"], key["key_id"]) for key in record["keys"]} == {
        (role, key_id(forged, name))
        for role, name in (
            ("policy", "policy"),
            ("etc", "etc"),
            ("etc", "etc2"),
            ("extension", "ext"),
        )
    }
    assert record["signatures"] == 2


def test_keys_as_text(forged: Path) -> None:
    done = verity(*PROJECT_VENDOR, "--role", "os=os.pem.pub", "new.keys", cwd=forged)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[1:] == [
        "party     vendor, version 1, for 365 days",
        "role      os, threshold 1",
        f"key       {key_id(forged, 'os')} os, owner key-{key_id(forged, 'os')[:32]}",
    ]


# --- policy


def test_policy(forged: Path) -> None:
    done = verity(*COMPILE, *STREAMS, "--json", "new.policy", cwd=forged)
    assert (done.status, done.err) == (0, "")
    fragment = bundle.parse_fragment((forged / "new.policy").read_bytes(), label="new")
    policy = kernel_policy.parse(fragment.blob)
    assert (policy.mode, policy.serial, policy.groups) == (Mode.SEALED, 1, (6, 42))
    assert policy.privileged_caps == 0xFFFF_FFF7_FFFF_FFFF
    (record,) = done.of_type("policy")
    assert record["streams"] == [
        {"name": "os", "party": "vendor", "role": "os"},
        {"name": "tools", "party": "user", "role": "extension"},
    ]
    assert (record["groups"], record["privileged_caps"]) == ([6, 42], "fffffff7ffffffff")
    assert record["sha256"] == hashlib.sha256(fragment.blob).hexdigest()


def test_groups_take_the_place_of_the_default(forged: Path) -> None:
    groups = ("--group", "999", "--group", "6", "--group", "6")
    done = verity(*COMPILE, *STREAMS, *groups, "new.policy", cwd=forged)
    assert "groups    6, 999" in done.out.splitlines()
    fragment = bundle.parse_fragment((forged / "new.policy").read_bytes(), label="new")
    assert kernel_policy.parse(fragment.blob).groups == (6, 999)


# --- extensions


def test_extension(forge: Path) -> None:
    out = forge / "tools"
    assert sorted(os.listdir(out)) == ["grants", "manifest", "statement.json"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o755
    trusted = TrustedSet.of_keys(
        [keystore.load_public(forge / "ext.pem.pub")], party=Party.USER, role=Role.EXTENSION
    )
    fragment = bundle.parse_fragment((out / "grants").read_bytes(), label="grants")
    statement = verify_statement([(out / "statement.json").read_bytes()], trusted)
    manifest = verify_manifest((out / "manifest").read_bytes(), statement)
    granted = verify_grants(fragment.blob, fragment.signatures, manifest, trusted).grants
    assert [entry.path for entry in manifest.entries] == [
        b"/",
        b"/bin",
        b"/bin/script",
        b"/bin/tool",
        b"/data",
    ]
    flags = {entry.digest: entry.flags for entry in granted.code}
    digests = {entry.path: entry.digest for entry in manifest.entries}
    assert digests[b"/data"] not in flags
    assert flags[digests[b"/bin/script"] or b""] == Code.SCRIPT
    assert flags[digests[b"/bin/tool"] or b""] == Code.EXEC | Code.LIBRARY
    assert (granted.party, granted.role, granted.stream) == (Party.USER, Role.EXTENSION, "tools")
    # The same tree as a commit has the same lines for its files.
    shown = verity("commit", "show", "--repo", "repo", "--manifest", REF, cwd=forge)
    assert dump.parse(shown.raw_out)[2].digest == digests[b"/bin/script"]


def test_extension_as_json(forged: Path) -> None:
    done = verity(*EXTENSION, "--tree", "tree", "--json", "new", cwd=forged)
    assert (done.status, done.err) == (0, "")
    (record,) = done.of_type("signed")
    data = (forged / "new/manifest").read_bytes()
    assert record["manifest_sha256"] == hashlib.sha256(data).hexdigest()
    assert (record["files"], record["code"]) == (3, 2)
    assert record["key_id"] == key_id(forged, "ext")


# --- bundles


def test_a_bundle_is_its_fragments(forged: Path) -> None:
    done = verity(*BUNDLE, "--grants", "tools/grants", "boot.bundle", cwd=forged)
    assert (done.status, done.err) == (0, "")
    data = (forged / "boot.bundle").read_bytes()
    parts = ("v.keys", "u.keys", "host.policy", "os.grants", "tools/grants")
    assert data == b"".join((forged / part).read_bytes() for part in parts)
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == [
        *("keys", "keys", "policy", "grants", "grants", "bundle")
    ]
    assert "stream tools serial 1, signed by 1 of the user's role extension, until" in lines[4]
    assert lines[5] == f"bundle    sha256:{hashlib.sha256(data).hexdigest()} ({len(data)} bytes)"
    assert stat.S_IMODE((forged / "boot.bundle").stat().st_mode) == 0o644


def test_a_bundle_as_json(forged: Path) -> None:
    done = verity(*BUNDLE, "--json", "boot.bundle", cwd=forged)
    assert (done.status, done.err) == (0, "")
    assert [(r["kind"], r["party"], r["role"]) for r in done.of_type("part")] == [
        ("keys", "vendor", "root"),
        ("keys", "user", "root"),
        ("policy", "user", "policy"),
        ("grants", "vendor", "os"),
    ]
    (record,) = done.of_type("bundle")
    assert record["bytes"] == (forged / "boot.bundle").stat().st_size


def test_a_bundle_is_replaced_on_demand(forged: Path) -> None:
    target = forged / "boot.bundle"
    target.write_text("an older one")
    before = snapshot(forged)
    done = verity(*BUNDLE, "boot.bundle", cwd=forged)
    assert done.status == 3
    assert_clean_error(done, ("boot.bundle: exists already",), hint=True)
    assert snapshot(forged) == before
    assert verity(*BUNDLE, "--replace", "boot.bundle", cwd=forged).status == 0
    assert len(bundle.parse(target.read_bytes())) == 4
    assert set(snapshot(forged)) == set(before)


def test_the_grants_of_a_commit_are_those_attached(forge: Path) -> None:
    fragment = bundle.parse_fragment((forge / "os.grants").read_bytes(), label="os")
    detached = as_world(forge).detached()
    assert fragment.blob == detached.get_bytes("verity.grants")
    assert fragment.signatures == tuple(detached.get_byte_arrays("verity.grants.p7s"))
    assert grants.parse(fragment.blob).stream == "os"


# --- revocations in the bundle


def make_list(forged: Path, *what: str) -> None:
    """`r`: a list of the user's root, signed by it."""
    prepare = ("sign", "prepare", "revoke", "--party", "user", "--serial", "2")
    for command in (
        (*prepare, *what, "-o", "r.sign"),
        ("sign", "add", "--yes", "--key", "uroot.pem", "r.sign"),
        ("sign", "attach", "--key", "uroot.pem.pub", "r.sign", "r"),
    ):
        done = verity(*command, cwd=forged)
        assert done.status == 0, done.err


def test_revocations_stand_between_policy_and_grants(forged: Path) -> None:
    make_list(forged, "--revoke-key", key_id(forged, "stranger"))
    done = verity(*BUNDLE, "--revoke", "r", "boot.bundle", cwd=forged)
    assert (done.status, done.err) == (0, "")
    assert "revoke    serial 2, signed by 1 of the user's role root\n" in done.out
    kinds = [one.kind.name for one in bundle.parse((forged / "boot.bundle").read_bytes())]
    assert kinds == ["KEYS", "KEYS", "POLICY", "REVOKE", "GRANTS"]
    done = verity(*BUNDLE, "--revoke", "r", "--json", "--replace", "boot.bundle", cwd=forged)
    (record,) = [one for one in done.of_type("part") if one["kind"] == "revoke"]
    assert (record["role"], record["serial"], record["expires"]) == ("root", 2, None)


def test_a_bundle_whose_grants_are_revoked(forged: Path) -> None:
    make_list(forged, "--lowest", "os:1000")
    before = snapshot(forged)
    done = verity(*BUNDLE, "--revoke", "r", "boot.bundle", cwd=forged)
    assert (done.status, done.out) == (1, "")
    words = ("os.grants: serial 1 of the stream os is revoked, the lowest that counts is 1000",)
    assert_clean_error(done, words, hint=True)
    assert snapshot(forged) == before


def test_a_bundle_whose_policy_is_by_a_revoked_key(forged: Path) -> None:
    make_list(forged, "--revoke-key", key_id(forged, "policy"))
    before = snapshot(forged)
    done = verity(*BUNDLE, "--revoke", "r", "boot.bundle", cwd=forged)
    assert (done.status, done.out) == (1, "")
    words = (key_id(forged, "policy"), "host.policy: signed by 0 of the trusted owners")
    assert_clean_error(done, words, hint=True)
    assert snapshot(forged) == before


def test_grants_for_revocations(forged: Path) -> None:
    done = verity(*BUNDLE, "--revoke", "os.grants", "boot.bundle", cwd=forged)
    assert (done.status, done.out) == (2, "")
    assert_clean_error(done, ("os.grants: a fragment of grants, given for --revoke",), hint=False)
