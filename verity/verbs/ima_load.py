# SPDX-License-Identifier: Apache-2.0
"""ima load: have the kernel appraise what root runs, until reboot.

A policy can't be taken back, and a host whose programs aren't signed dies of it. So it is loaded
only when all that processes of root run now, and what PID 1 and the kernel start next, has a
signature by one of the keys. That proves today's programs, not tomorrow's: a program that root
starts later and that nobody signed is refused, which is what this is for.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from verity.formats import ima
from verity.formats.dump import printable
from verity.ports import content, kernel
from verity.ports import ima as port
from verity.ports.osfile import closing
from verity.trust import ima_keys
from verity.trust.keys import PublicKey
from verity.values.errors import ContentError, HostError, VerityError
from verity.values.findings import Finding, Link, NotEvaluated, Report
from verity.verbs import ima_status

# What runs next, whatever runs now: PID 1 anew, scripts, and what the kernel calls for modules.
_NEXT = ("/sbin/init", "/bin/sh", "/sbin/modprobe")
_DELETED = " (deleted)"
_NOT_OPEN = {
    ima_status.State.UNREADABLE: (
        "no-ima",
        "mount -t securityfs securityfs /sys/kernel/security",
    ),
    ima_status.State.ABSENT: (
        "no-ima",
        "boot with ima among lsm=... on the kernel's command line",
    ),
    ima_status.State.UNKNOWN: ("policy-loaded", "a kernel takes one policy until it reboots"),
}


def load(keys: Sequence[PublicKey]) -> Report:
    """Make the keyring and load the policy; with a finding or a gap in the report, neither.

    1. IMA is active, enforces, and has no policy yet.
    2. What runs is signed.
    3. The keyring, closed to further keys.
    4. The policy.
    5. The kernel looks up a key, which keeps the keyring: our own program is mapped.
    6. A script that nobody signed is refused, to run and to map.
    """
    # 1. The kernel.
    _check_kernel()
    # 2. What runs.
    report = _prove(keys)
    if report.exit_status:
        return report
    # 3. The keys.
    port.new_keyring([ima_keys.certificate(key) for key in keys])
    # 4. The policy.
    port.write_policy(ima.policy())
    # 5. The keyring is held.
    port.map_code(os.readlink("/proc/self/exe"))
    # 6. It refuses.
    if not port.refuses_unsigned():
        raise ContentError(
            "not-enforced",
            "IMA: the policy is loaded, and unsigned code ran as root all the same",
            hint="treat this host as not enforcing; dmesg may say why",
        )
    return report


def _check_kernel() -> None:
    found = ima_status.seen()
    if found.state is not ima_status.State.OPEN:
        code, hint = _NOT_OPEN[found.state]
        raise HostError(code, f"IMA: {found.detail}", hint=hint)
    if not port.appraises(Path("/")):
        raise HostError(
            "not-enforcing",
            "IMA: the kernel was booted with an ima_appraise= that refuses nothing",
            hint="boot without it",
        )


def _prove(keys: Sequence[PublicKey]) -> Report:
    """2. Which code of running processes of root has no signature by one of these keys."""
    findings: list[Finding] = []
    gaps: list[NotEvaluated] = []
    running = port.running_code()
    for path in sorted({*running, *_next()}):
        label = printable(os.fsencode(path))
        user = f"process {running[path]} runs it" if path in running else "it is started next"
        try:
            problem = _against(path, label, keys)
        except VerityError as error:
            gaps.append(
                NotEvaluated(
                    check=error.code, object=label, why=error.message, hint=error.hint or ""
                )
            )
            continue
        if problem:
            findings.append(
                Finding(
                    check="unsigned-code",
                    link=Link.SIGNATURE,
                    object=label,
                    problem=f"{problem}, and {user}",
                    remedy="`verity lockdown ima sign`; restart what runs a file that was replaced",
                    path=os.fsencode(path),
                )
            )
    return Report(
        counts={"files": len(running)}, findings=tuple(findings), not_evaluated=tuple(gaps)
    )


def _next() -> Iterator[str]:
    yield from (os.path.realpath(path) for path in _NEXT if os.path.exists(path))


def _against(path: str, label: str, keys: Sequence[PublicKey]) -> str:
    """What is wrong with a file, for IMA; empty if nothing is."""
    if path.endswith(_DELETED):
        return "it was deleted or replaced while it runs"
    with closing(content.open_regular(path, label=label)) as fd:
        digest = kernel.measure(fd, label=label)
        value = port.get(fd, label=label)
    if digest is None:
        return "it has no fs-verity"
    if value is None:
        return f"it has no {ima.XATTR}"
    try:
        found = ima.parse(value, label=label)
    except ContentError as error:
        return error.message
    good = found.kind is ima.Kind.VERITY and any(
        key.verifies(signature=found.signature, data=ima.file_id(digest)) for key in keys
    )
    return "" if good else f"its {ima.XATTR} is by none of these keys over its digest"
