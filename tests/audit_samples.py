# SPDX-License-Identifier: Apache-2.0
"""Audits made by hand, for what is tested without a host: one with every state, a clean one."""

import dataclasses

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

VENDOR = "vendor sha256:" + "a1" * 32
USER = "user sha256:" + "b2" * 32
STATE = "5e" * 32

CHECKS = (
    Check(
        id="statement-current",
        area=Area.TRUST,
        severity=Severity.HIGH,
        title="every statement is valid now",
    ),
    Check(
        id="keyring-current",
        area=Area.TRUST,
        severity=Severity.MEDIUM,
        title="every keyring is valid now",
    ),
    Check(
        id="digest-as-signed",
        area=Area.FILES,
        severity=Severity.CRITICAL,
        title="the kernel's digest of every file is the signed one",
    ),
    Check(
        id="mode-as-signed",
        area=Area.FILES,
        severity=Severity.MEDIUM,
        title="every file has the signed mode",
    ),
    Check(
        id="unsigned-set-id",
        area=Area.CODE,
        severity=Severity.CRITICAL,
        title="nobody can gain privileges from an unsigned program",
    ),
    Check(
        id="process-readable",
        area=Area.RUNNING,
        severity=Severity.HIGH,
        title="every privileged process runs signed code",
    ),
    Check(
        id="secure-boot",
        area=Area.POSTURE,
        severity=Severity.LOW,
        title="the firmware starts only what is signed",
    ),
    Check(
        id="booted-commit",
        area=Area.DEPLOYMENT,
        severity=Severity.HIGH,
        title="the booted commit is the signed one",
    ),
)

HEAD = Head(
    host_id="c3" * 32,
    host_name="build-7",
    root="/",
    begun=1_767_225_600,
    boot_id="0f3c1a52-7a1e-4d0b-8f6c-2b9a4c5d6e7f",
    kernel="6.12.48",
    system="Debian GNU/Linux 13",
    state="sealed",
    level="B0",
    taints=("an unlock, earlier in this boot",),
    tool_version="0.9.0",
    tool_digest="sha256:" + "d4" * 32,
    tool_verified=True,
    enforced=True,
    roots=(VENDOR, USER),
    roots_given=False,
    deep=False,
    residuals=(Residual(name="signed shell", why="a privileged shell is granted on this host"),),
)

SIGNED = (
    SignedPart(
        root=VENDOR,
        stream="debian-13",
        kind="os",
        serial=42,
        signers=("ann", "bob"),
        entries=98_304,
    ),
    SignedPart(
        root=USER, stream="etc-build-7", kind="etc", serial=7, signers=("carol",), entries=1_204
    ),
)

TOOL = Finding(
    check="digest-as-signed",
    link=Link.DIGEST,
    object="/usr/bin/sudo",
    problem="the kernel has another digest than was signed",
    expected="sha256:" + "11" * 32,
    found="sha256:" + "22" * 32,
    remedy="bring it back: `verity repair`",
    path=b"/usr/bin/sudo",
)
MODE = Finding(
    check="mode-as-signed",
    link=Link.FILE,
    object="/usr/share/doc/a\\x0ab",
    problem="the mode differs",
    expected="0644",
    found="0666",
    remedy="chmod 0644",
    path=b"/usr/share/doc/a\nb",
)
LATIN = Finding(
    check="mode-as-signed",
    link=Link.FILE,
    object="/usr/share/caf\\xe9",
    problem="the mode differs",
    expected="0644",
    found="0600",
    remedy="chmod 0644",
    path=b"/usr/share/caf\xe9",
)
SET_ID = Finding(
    check="unsigned-set-id",
    link=Link.GRANTS,
    object="/opt/legacy/helper",
    problem="a set-user-id program that nobody signed",
    expected="a grant that names its digest",
    found="mode 4755, owner root",
    remedy="sign it as an extension, or take the bit away",
    path=b"/opt/legacy/helper",
)
GAP = NotEvaluated(
    check="process-readable",
    object="process 812",
    why="/proc/812/maps can't be read: permission denied",
    hint="run the audit as root",
)


def everything() -> Audit:
    """A check in each state, findings of each severity but low, a name that is no UTF-8."""
    areas = (
        AreaResult(area=Area.TRUST, counts={"statements": 2}, notes=("a signature doesn't parse",)),
        AreaResult(
            area=Area.FILES,
            findings=(TOOL, MODE, LATIN),
            counts={"files": 98_304},
            coverage={Covered.ENFORCED: 4_120, Covered.MEASURED: 94_000, Covered.METADATA: 184},
        ),
        AreaResult(area=Area.CODE, counts={"programs": 311}, coverage={Covered.HASHED: 12}),
        AreaResult(area=Area.RUNNING, not_evaluated=(GAP,), counts={"processes": 57}),
        AreaResult(area=Area.POSTURE, not_applicable={"secure-boot": "this host has no UEFI"}),
        AreaResult(area=Area.DEPLOYMENT),
    )
    waived = Waived(
        finding=SET_ID, reason="until the new agent", signers=("carol",), expires=1_798_761_600
    )
    return Audit(head=HEAD, checks=CHECKS, areas=areas, waived=(waived,), signed=SIGNED)


def clean() -> Audit:
    """An audit of a host that is as signed."""
    one = everything()
    areas = tuple(
        dataclasses.replace(area, findings=(), not_evaluated=(), not_applicable={}, notes=())
        for area in one.areas
    )
    head = dataclasses.replace(HEAD, taints=(), residuals=(), roots_given=True)
    return dataclasses.replace(one, head=head, areas=areas, waived=(), state=STATE)


def flood(number: int) -> Audit:
    """An audit with so many findings of one check more than ``everything``."""
    more = AreaResult(area=Area.FILES, findings=(TOOL,) * number)
    one = everything()
    return dataclasses.replace(one, areas=(*one.areas, more))


def named(name: str, raw: bytes) -> Audit:
    """An audit in which everything that a host or a signer can choose has this name."""
    finding = dataclasses.replace(
        TOOL, object=name, problem=name, expected=name, found=name, remedy=name, path=raw
    )
    gap = dataclasses.replace(GAP, object=name, why=name, hint=name, path=raw)
    head = dataclasses.replace(
        HEAD,
        host_name=name,
        system=name,
        kernel=name,
        state=name,
        taints=(name,),
        roots=(name,),
        residuals=(Residual(name=name, why=name),),
    )
    areas = (
        AreaResult(
            area=Area.FILES,
            findings=(finding,),
            counts={name: 1},
            coverage={Covered.MEASURED: 1},
            notes=(name,),
        ),
        AreaResult(area=Area.RUNNING, not_evaluated=(gap,)),
        AreaResult(area=Area.POSTURE, not_applicable={"secure-boot": name}),
    )
    waived = Waived(
        finding=dataclasses.replace(finding, check="unsigned-set-id"),
        reason=name,
        signers=(name,),
        expires=1_798_761_600,
    )
    part = dataclasses.replace(SIGNED[0], root=name, stream=name, signers=(name,))
    return Audit(head=head, checks=CHECKS, areas=areas, waived=(waived,), signed=(part,))
