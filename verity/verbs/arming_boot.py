# SPDX-License-Identifier: Apache-2.0
"""The arming proof on the boot itself: kernel command lines, and what is inside an initramfs.

1. The running kernel's command line, and those that a boot loader has for the next boots.
2. Each initramfs in /boot. Every program, script, library and module in it must be signed: granted
   by its digest, or signed as configuration with these contents; so must what starts programs there
   (hooks, units, rules of udev, modprobe's). Of what a maker of initramfs writes itself only known
   lines count: lists of scripts (ORDER) may only start scripts of its own, and dracut's hooks may
   only wait for devices. Arguments that it adds are looked at as those of 1. Where OSTree has
   deployed a signed commit its boot list covers kernel and initramfs as a whole: they are held
   against that, as the audit's area deployment does.

At level B0 nothing of this is refused by the gate, which is loaded later: that is why it has to be
found here. What is built into a kernel, and what firmware starts, isn't looked at.
"""

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from verity.formats import cpio, kernel_cmdline
from verity.formats.dump import printable
from verity.formats.elf import MAGIC, SCRIPT
from verity.formats.fsverity import digest_bytes
from verity.formats.grants import ConfigKind
from verity.ports import initramfs
from verity.ports.osfile import read_file
from verity.values.arming import Part
from verity.values.errors import ContentError, HostError, VerityError
from verity.values.findings import Finding, Link, NotEvaluated
from verity.verbs import audit_deployment, initramfs_trust
from verity.verbs.audit_host import AuditedHost

_OF_BOOT = ("boot-files", "boot-entry")
_SMALL = 1 << 20
_ENTRIES = ("boot/loader/entries", "boot/efi/loader/entries", "efi/loader/entries")
_GRUB = ("boot/grub/grub.cfg", "boot/grub2/grub.cfg")
_ORDER = re.compile(
    rb'/scripts/[A-Za-z0-9_./-]+ "\$@"|\[ -e /conf/param\.conf \] && \. /conf/param\.conf'
)
_DEVICE = rb"/dev/[A-Za-z0-9_./:@+\\-]+"
_DRACUT = (
    # What dracut writes for the devices that it waits for, and where it has found systemd's places.
    re.compile(rb'\[ -e "%b" \]( \|\| warn ""%b" does not exist")?' % (_DEVICE, _DEVICE)),
    re.compile(rb"\[Unit\]|Job(Running)?TimeoutSec=[0-9]+"),
    re.compile(rb'systemd[a-z]+="/[A-Za-z0-9_./-]+"'),
)
_CODE = (MAGIC, SCRIPT)
_PLACES = re.compile(
    rb"(scripts|hooks|etc/conf\.d|((usr|var)/)?lib/dracut/hooks"
    rb"|((usr/)?lib|etc)/(systemd|udev/rules\.d|modprobe\.d))/"
)
_ARGUMENTS = re.compile(rb"etc/cmdline(\.d/[^/]+\.conf)?")
_MODULES = (b".ko", b".ko.xz", b".ko.zst", b".ko.gz")


def examine(host: AuditedHost) -> Part:
    """Look at command lines and at every initramfs."""
    findings: list[Finding] = []
    gaps: list[NotEvaluated] = []
    lines = 0
    for label, text in _command_lines(host.root, host.live, gaps):
        lines += 1
        findings += [_argument(label, one) for one in kernel_cmdline.complaints(text)]
    seen = 0
    names, refused = initramfs_trust.paths(host.root)
    gaps += [_gap("the directories of initramfs", error) for error in refused]
    deployed = None if host.commit is None else audit_deployment.examine(host)
    if deployed is not None and "boot-files" not in deployed.not_applicable:
        findings += [one for one in deployed.findings if one.check in _OF_BOOT]
        gaps += [one for one in deployed.not_evaluated if one.check in _OF_BOOT]
    else:
        signed = _signed(host)
        for path in names:
            host.progress("reading an initramfs", seen, len(names))
            seen += 1
            try:
                findings += _of_initramfs(path, signed)
            except ContentError as error:
                findings.append(_damaged(path, error))
            except HostError as error:
                gaps.append(_gap(str(path), error))
    notes = () if names else ("there is no initramfs in /boot to look at",)
    return Part(
        findings=tuple(findings),
        gaps=tuple(gaps),
        notes=notes,
        counts={"command lines": lines, "initramfs": seen},
    )


# --- 1. command lines -----------------------------------------------------------------------


def _command_lines(root: Path, live: bool, gaps: list[NotEvaluated]) -> Iterator[tuple[str, str]]:
    texts = [root / name for name in _GRUB]
    for folder in _ENTRIES:
        texts += sorted((root / folder).glob("*.conf"))
    places = [root / "proc/cmdline", root / "etc/kernel/cmdline"] if live else []
    for path in (*places, *texts):
        try:
            text = read_file(path, max_size=_SMALL).decode("utf-8", "replace")
        except HostError as error:
            if error.code != "not-found":
                gaps.append(_gap(str(path), error))
            continue
        if path.name == "cmdline":
            yield str(path), text
        else:
            of_file = (
                kernel_cmdline.of_grub if path in texts[: len(_GRUB)] else kernel_cmdline.of_entry
            )
            for line in dict.fromkeys(of_file(text)):
                yield str(path), line


def _argument(label: str, one: kernel_cmdline.Complaint) -> Finding:
    return Finding(
        check="kernel-argument",
        link=Link.VERDICT,
        object=label,
        problem=f"the kernel is started with {one.word}: {one.why}",
        expected="a command line without it",
        found=one.word,
        remedy="take it out of the boot loader's configuration (/etc/default/grub,"
        " /etc/kernel/cmdline) or dracut's (kernel_cmdline), bring that up to date, and reboot",
    )


# --- 2. initramfs ---------------------------------------------------------------------------


def _signed(host: AuditedHost) -> frozenset[bytes]:
    """The digests of everything that is granted, as code or as configuration."""
    config = {
        entry.digest
        for blob in host.grants
        for entry in blob.config
        if entry.kind is ConfigKind.FILE
    }
    return frozenset({*host.code, *config})


def _of_initramfs(path: Path, signed: frozenset[bytes]) -> Iterator[Finding]:
    done: set[bytes] = set()
    for file in initramfs.files(path):
        if not stat.S_ISREG(file.mode) or not file.data:
            continue
        if _ARGUMENTS.fullmatch(_plain(file)):
            label = f"{path}: {printable(file.name)}"
            text = file.data.decode("utf-8", "replace")
            yield from (_argument(label, one) for one in kernel_cmdline.complaints(text))
        if not _is_code(file) or _is_dracuts(file):
            continue
        if file.name.endswith(b"/ORDER"):
            bad = [line for line in file.data.splitlines() if line and not _ORDER.fullmatch(line)]
            if bad:
                yield _unsigned(path, file, f"it has the line {printable(bad[0])}")
            continue
        digest = digest_bytes(file.data).value
        if digest not in signed and digest not in done:
            done.add(digest)
            yield _unsigned(path, file, f"digest sha256:{digest.hex()}, granted as nothing")


def _plain(file: cpio.File) -> bytes:
    return file.name.removeprefix(b"./")


def _is_code(file: cpio.File) -> bool:
    name = _plain(file)
    known = _PLACES.match(name) is not None or name.endswith(_MODULES)
    return file.data.startswith(_CODE) or known


def _is_dracuts(file: cpio.File) -> bool:
    """Whether dracut writes such lines, all of one kind, which start nothing."""
    lines = file.data.splitlines()
    return any(all(form.fullmatch(line) for line in lines) for form in _DRACUT)


def _unsigned(path: Path, file: cpio.File, found: str) -> Finding:
    name = printable(file.name)
    return Finding(
        check="unsigned-in-initramfs",
        link=Link.GRANTS,
        object=f"{path}: {name}",
        problem="it would run before the gate is loaded, and nobody signed it: the boot loader >"
        f" {path} > {name}",
        expected="contents that are granted",
        found=found,
        remedy="sign the file that it was copied from, or take it out; then make the initramfs anew"
        " (update-initramfs -u, dracut --force)",
    )


def _damaged(path: Path, error: VerityError) -> Finding:
    return Finding(
        check="bad-initramfs",
        link=Link.FILE,
        object=str(path),
        problem=error.message.removeprefix(f"{path}: "),
        expected="archives as the kernel unpacks them",
        remedy="make the initramfs anew (update-initramfs -u, dracut --force)",
    )


def _gap(name: str, error: VerityError) -> NotEvaluated:
    return NotEvaluated(
        check="unreadable",
        object=name,
        why=error.message.removeprefix(f"{name}: "),
        hint=error.hint or "",
    )
