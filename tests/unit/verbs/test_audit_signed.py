# SPDX-License-Identifier: Apache-2.0
"""What the picture of an audit shows of each stream, from documents that were verified."""

from pathlib import Path

from tests.world import COMMIT, JUST_VENDOR, World
from verity.formats.grants import Code, CodeEntry, Grants, Party, Role
from verity.trust.verified import verify_grants, verify_manifest, verify_statement
from verity.values.audit import SignedPart
from verity.verbs.audit_host import AuditedHost
from verity.verbs.audit_signed import parts
from verity.verbs.signed import SignedCommit

VENDOR_PIN = "vendor sha256:" + "a1" * 32
USER_PIN = "user sha256:" + "b2" * 32


def commit() -> SignedCommit:
    world = World()
    statement = verify_statement([world.envelope], JUST_VENDOR)
    manifest = verify_manifest(world.manifest, statement)
    return SignedCommit(
        checksum=COMMIT.hex(),
        statement=statement,
        manifest=manifest,
        grants=verify_grants(world.grants, world.grants_signatures, manifest, JUST_VENDOR),
    )


def extension() -> Grants:
    return Grants(
        party=Party.USER,
        role=Role.EXTENSION,
        stream="tools",
        serial=3,
        issued=1,
        expires=2,
        manifest_sha256=bytes(32),
        code=(CodeEntry(b"\x07" * 32, Code.EXEC),),
    )


def host(*, commit: SignedCommit | None = None, more: tuple[Grants, ...] = ()) -> AuditedHost:
    return AuditedHost(root=Path("/"), live=True, now=0, clock=0, commit=commit, grants=more)


def test_a_commit_and_what_else_the_gate_is_told() -> None:
    signed = commit()  # its grants are of its own stream, which is there once
    granted = (signed.grants.grants, extension())
    found = parts(host(commit=signed, more=granted), (VENDOR_PIN, USER_PIN))
    assert found == (
        SignedPart(
            root=VENDOR_PIN, stream="os", kind="os", serial=5, signers=("vendor",), entries=2
        ),
        SignedPart(
            root=USER_PIN, stream="tools", kind="extension", serial=3, signers=(), entries=1
        ),
    )


def test_keys_that_the_auditor_named_are_of_no_party() -> None:
    (found,) = parts(host(commit=commit()), ("key " + "c3" * 32,))
    assert found.root == "key " + "c3" * 32


def test_nothing_verified_is_nothing_shown() -> None:
    assert parts(host(), (VENDOR_PIN,)) == ()
    (found,) = parts(host(more=(extension(),)), ())
    assert found.root == ""
