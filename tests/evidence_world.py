# SPDX-License-Identifier: Apache-2.0
"""A host in memory, its audit and its capsule, for tests that change one thing and look again."""

import functools
from dataclasses import dataclass, field, replace
from typing import Any

from tests.world import (
    ENTRIES,
    EXPIRES,
    ISSUED,
    OTHER,
    ROOT,
    THIRD,
    VENDOR,
    Signer,
    World,
    envelope,
    keyring_of,
)
from verity.formats import dump, evidence, keyring, policy_document, statement
from verity.formats.evidence import BundleSaid, Evidence
from verity.formats.grants import Party, Role
from verity.formats.kernel_policy import Mode, Stream
from verity.formats.keyring import Keyring
from verity.formats.policy import ModeLine, Policy, Profile, StreamLine
from verity.trust.evidence import VerifiedEvidence, verify_evidence
from verity.trust.keyring import PinPrint, pin_of
from verity.trust.trusted import TrustedSet
from verity.values.audit import (
    Area,
    AreaResult,
    Audit,
    Check,
    Covered,
    Head,
    Residual,
    Severity,
    SignedPart,
    Waived,
)
from verity.values.findings import Finding, Link, NotEvaluated
from verity.verbs.evidence_trust import Accepted

HOST = "c3" * 32
NONCE = bytes.fromhex("5a" * 16)
HOST_KEY, USER_ROOT, POLICY_KEY, OTHER_KEY = Signer(31), Signer(32), Signer(33), Signer(34)
MADE = ISSUED + 1000

HEAD = Head(
    host_id=HOST,
    host_name="web-1",
    root="/",
    begun=MADE - 5,
    boot_id="b0" * 16,
    kernel="6.12.0",
    system="Debian 13",
    state="off",
    level="",
    taints=(),
    tool_version="0.1.0",
    tool_digest="",
    tool_verified=None,
    enforced=False,
    roots=(),
    roots_given=False,
    deep=False,
)
GOOD = Audit(
    head=HEAD,
    checks=(
        Check(
            id="content", area=Area.FILES, severity=Severity.CRITICAL, title="contents as signed"
        ),
    ),
    areas=(AreaResult(area=Area.FILES, counts={"files": 1}),),
)
FINDING = Finding(
    check="content",
    link=Link.DIGEST,
    object="/tool",
    problem="the contents are not the signed ones",
    expected="digest sha256:01",
    found="digest sha256:02",
    remedy="check it out again",
    path=b"/tool",
)
EVERYTHING = Audit(
    head=replace(
        HEAD,
        taints=("a module was forced",),
        tool_verified=True,
        enforced=True,
        roots=("vendor sha256:ab",),
        roots_given=True,
        deep=True,
        residuals=(Residual(name="shells", why="they may be told anything"),),
    ),
    checks=GOOD.checks,
    areas=(
        AreaResult(
            area=Area.FILES,
            findings=(FINDING, replace(FINDING, path=None, object="für \x1b[2J\n rück")),
            not_evaluated=(
                NotEvaluated(
                    check="content", object="/\\xff", why="why", hint="h", path=b"/\xff -"
                ),
            ),
            not_applicable={"deep": "not asked"},
            counts={"files": 2},
            coverage={Covered.ENFORCED: 1, Covered.IGNORED: 0},
            notes=("a note",),
        ),
        AreaResult(area=Area.ETC),
    ),
    waived=(Waived(finding=FINDING, reason="ticket", signers=("ann",), expires=EXPIRES),),
    signed=(
        SignedPart(
            root="vendor sha256:ab", stream="os", kind="os", serial=5, signers=("ann",), entries=2
        ),
    ),
)
"""One of everything that an audit can hold."""


@functools.cache
def once(payload: bytes, *signers: Signer, payload_type: str = statement.PAYLOAD_TYPE) -> bytes:
    """An envelope that is the same each time: ECDSA's signatures are not."""
    return envelope(payload, *signers, payload_type=payload_type)


def version(value: Keyring, *roots: Signer) -> bytes:
    """One version of a keyring, signed by its roots."""
    return once(keyring.encode(value), *roots, payload_type=keyring.PAYLOAD_TYPE)


def policy(serial: int = 4, **changes: Any) -> bytes:
    """A policy in its envelope."""
    made = Policy(
        serial=serial,
        issued=ISSUED,
        expires=EXPIRES,
        profile=Profile.STANDARD,
        lines=(
            ModeLine(mode=Mode.OBSERVE, reason="why", origin="here"),
            StreamLine(
                stream=Stream(name="os", party=Party.VENDOR, role=Role.OS),
                reason="why",
                origin="here",
            ),
        ),
    )
    payload = policy_document.encode(replace(made, **changes))
    return once(payload, POLICY_KEY, payload_type=policy_document.PAYLOAD_TYPE)


def vendor_keyring(**changes: Any) -> Keyring:
    return keyring_of((Role.ROOT, "root", ROOT), (Role.OS, "vendor", VENDOR), **changes)


def user_keyring(**changes: Any) -> Keyring:
    return keyring_of(
        (Role.ROOT, "root", USER_ROOT),
        (Role.POLICY, "ann", POLICY_KEY),
        (Role.EVIDENCE, "web-1", HOST_KEY),
        party=Party.USER,
        **changes,
    )


def pins() -> dict[Party, PinPrint]:
    return {one.party: PinPrint.of(pin_of(one)) for one in (vendor_keyring(), user_keyring())}


def by_pins(**changes: Any) -> Accepted:
    return replace(Accepted(pins=pins()), **changes)


def by_key(*signers: Signer) -> TrustedSet:
    """Keys that may sign a capsule, named one by one."""
    return TrustedSet.of_keys(
        [one.public for one in signers or (HOST_KEY,)], party=Party.USER, role=Role.EVIDENCE
    )


@dataclass
class Made:
    """A host and its capsule. Change a field, then ask for the bytes."""

    world: World = field(default_factory=World)
    audit: Audit = GOOD
    signers: tuple[Signer, ...] = (HOST_KEY,)
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def evidence(self) -> Evidence:
        base = Evidence(
            issued=MADE,
            audit=self.audit,
            nonce=NONCE,
            keyrings={
                Party.VENDOR: (version(vendor_keyring(), ROOT),),
                Party.USER: (version(user_keyring(), USER_ROOT),),
            },
            statements=(once(self.world.statement, *self.world.signers),),
            policy=policy(),
        )
        return replace(base, **self.changes)

    @property
    def payload(self) -> bytes:
        return evidence.encode(self.evidence)

    @property
    def capsule(self) -> bytes:
        return sealed(self.payload, *self.signers)

    @property
    def verified(self) -> VerifiedEvidence:
        return verify_evidence(self.capsule, [by_key()])


def sealed(payload: bytes, *signers: Signer) -> bytes:
    """A capsule of any payload, signed by these keys."""
    over = evidence.over(payload)
    return evidence.seal(payload, [(one.public.key_id, one.sign(over)) for one in signers])


def line_of(path: bytes) -> str:
    """The line of a file in the world's manifest."""
    (entry,) = [entry for entry in ENTRIES if entry.path == path]
    return dump.line(entry).decode("ascii").rstrip("\n")


BUNDLE = BundleSaid(sha256=b"\x07" * 32, policy=None)
STRANGERS = (OTHER, THIRD)
