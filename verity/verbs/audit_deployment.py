# SPDX-License-Identifier: Apache-2.0
"""Area deployment: what OSTree has deployed here, and what the boot loader can start.

Each deployment's commit is verified from its signed documents, the pending and the rollback ones
like the booted one; the kernel and the initramfs in /boot are held against the boot list of the
statement of what they start. The command line of an entry is signed by nobody and is shown by the
area posture. OSTree's own signatures are counted for people, and count for nothing. The files of a
deployment are the area files' business, and of the one that is audited alone.
"""

import os
from dataclasses import dataclass

from verity.formats import dump
from verity.formats.commit import DetachedMetadata
from verity.formats.dump import printable
from verity.formats.grants import Party, Role
from verity.ports import booted, content, deployments
from verity.ports.deployments import BootEntry, Deployment, System
from verity.ports.ostree_repo import Repository
from verity.trust.native import Engine
from verity.trust.trusted import TrustedSet
from verity.trust.verified import VerifiedManifest
from verity.values.audit import Area, AreaResult, Check, Severity
from verity.values.digest import CANONICAL
from verity.values.errors import ContentError, HostError, VerityError
from verity.values.findings import Link
from verity.verbs import audit_posture_kernel, signed
from verity.verbs.audit_collect import Collector
from verity.verbs.audit_host import AuditedHost


def _check(check: str, severity: Severity, title: str) -> Check:
    return Check(id=check, area=Area.DEPLOYMENT, severity=severity, title=title)


CHECKS = (
    _check("booted-differs", Severity.CRITICAL, "what is booted is the commit that is audited"),
    _check("deployment-signed", Severity.HIGH, "every deployment is of a commit that is signed"),
    _check("boot-files", Severity.CRITICAL, "kernel and initramfs in /boot are the signed ones"),
    _check("boot-entry", Severity.HIGH, "every boot entry starts a deployment that is there"),
    _check(
        "boot-options",
        Severity.HIGH,
        "every boot entry starts the host's own system, and switches no protection off",
    ),
    _check("ref-signed", Severity.MEDIUM, "what the next update would deploy is signed"),
)
_UNDEPLOY = "`ostree admin undeploy` removes it; or get it signed"
_KERNELS = (b"vmlinuz", b"vmlinux", b"linux", b"Image")
_AGAIN = "`ostree admin deploy` writes them anew from the commit"


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What all of it is held against."""

    system: System
    repository: Repository
    trusted: TrustedSet
    booted: str | None


def examine(host: AuditedHost) -> AreaResult:
    """Ask all of it.

    1. There are deployments.
    2. What is booted is what is audited.
    3. Each deployment is of a signed commit.
    4. Each entry of the boot loader starts one, with the kernel and initramfs that are signed.
    5. So is what each would be updated to.
    """
    found = Collector(Area.DEPLOYMENT, CHECKS)
    # 1. Deployments.
    try:
        system = deployments.read(host.root)
        running = booted.commit(host.root)
    except VerityError as error:
        found.error("boot-entry", error, Link.COMMIT, str(host.root))
        why = "what is deployed here can't be told"
        found.unasked(str(host.root), why, *(check.id for check in CHECKS))
        return found.result()
    if system is None:
        why = "OSTree has deployed nothing here"
        found.skip(why, *(check.id for check in CHECKS))
        return found.result()
    found.counts["deployments"] = len(system.deployments)
    # 2. What is booted.
    _booted(host, found, running)
    try:
        asked = _asked(host, system, running)
    except VerityError as error:
        left = ("deployment-signed", "boot-files", "boot-entry", "boot-options", "ref-signed")
        found.unasked("the deployments", error.message, *left, hint=error.hint or "")
        return found.result()
    with asked.repository:
        # 3. Signatures.
        manifests = _signed(host, found, asked)
        # 4. Boot entries.
        _entries(found, asked, manifests)
        # 5. Refs.
        _refs(found, asked)
    return found.result()


def _asked(host: AuditedHost, system: System, running: str | None) -> _Asked:
    roots = host.roots
    if roots is None or roots.unknown is not None:
        raise HostError("no-keyring", "whose signature counts isn't known: see the keyrings")
    if host.repo is None:
        raise HostError("no-repository", "there is no repository", hint="--repo names it")
    trusted = roots.of(Role.OS, Party.VENDOR)
    return _Asked(system=system, repository=Repository(host.repo), trusted=trusted, booted=running)


def _booted(host: AuditedHost, found: Collector, running: str | None) -> None:
    if running is None or host.commit is None:
        if running is None:
            found.skip("OSTree has booted nothing here", "booted-differs")
        else:
            found.unasked("the booted deployment", "there is no verified commit", "booted-differs")
        return
    if running != host.commit.checksum:
        found.add(
            "booted-differs",
            Link.COMMIT,
            "the booted deployment",
            "another commit is booted than the one that is audited",
            expected=f"commit {host.commit.checksum}",
            found=f"commit {running}",
            remedy="audit what is booted (without --commit), or boot what should run",
        )


def _signed(
    host: AuditedHost, found: Collector, asked: _Asked
) -> dict[str, VerifiedManifest | None]:
    """The manifest of each commit that is deployed, None where it doesn't verify."""
    manifests: dict[str, VerifiedManifest | None] = {}
    for one in asked.system.deployments:
        what = _kind(one, asked)
        if one.commit not in manifests:
            manifests[one.commit] = _manifest(host, found, asked, one, what)
        manifest = manifests[one.commit]
        if manifest is not None:
            said = manifest.source.statement
            found.notes.append(
                f"{what} {one.label}: stream {said.stream} serial {said.serial}, signed by"
                f" {len(manifest.source.signers)} owners; ostree's own signatures, which count for"
                f" nothing here: {_native(asked.repository, one.commit)}"
            )
    return manifests


def _manifest(
    host: AuditedHost, found: Collector, asked: _Asked, one: Deployment, what: str
) -> VerifiedManifest | None:
    if host.commit is not None and one.commit == host.commit.checksum:
        return host.commit.manifest
    try:
        return signed.load(asked.repository, one.commit, asked.trusted).manifest
    except VerityError as error:
        if host.commit is None and one.commit == asked.booted:
            return None  # the area trust has said so
        if isinstance(error, ContentError):
            found.add(
                "deployment-signed",
                signed.LINK_OF.get(error.code, Link.COMMIT),
                f"{what} {one.label}",
                error.message,
                expected="a commit that is signed as the booted one is",
                found=error.code,
                remedy=_UNDEPLOY,
            )
        else:
            label = f"{what} {one.label}"
            found.gap("deployment-signed", label, error.message, error.hint or "")
        return None


def _kind(one: Deployment, asked: _Asked) -> str:
    """Whether a deployment is booted, comes next, or is what to go back to."""
    order = [entry.deployment for entry in asked.system.entries or ()]
    if one.path not in order:
        return "deployment"
    running = [path for path in order if path is not None and f"/{asked.booted}." in path]
    if one.path in running:
        return "booted"
    if running:
        return "pending" if order.index(one.path) < order.index(running[0]) else "rollback"
    return "next" if order.index(one.path) == 0 else "rollback"


def _native(repository: Repository, commit: str) -> str:
    try:
        detached: DetachedMetadata = repository.read_detached(commit)
        counts = {engine: len(detached.get_byte_arrays(engine.key)) for engine in Engine}
    except VerityError as error:
        return error.message
    return ", ".join(f"{engine} {count}" for engine, count in counts.items() if count) or "none"


def _entries(
    found: Collector, asked: _Asked, manifests: dict[str, VerifiedManifest | None]
) -> None:
    if asked.system.entries is None:
        why, hint = asked.system.unread, "mount what is at /boot there, too"
        found.gap("boot-entry", "/boot", why, hint)
        found.gap("boot-files", "/boot", why, hint)
        found.gap("boot-options", "/boot", why, hint)
        return
    found.counts["boot entries"] = len(asked.system.entries)
    commits = {one.path: one.commit for one in asked.system.deployments}
    for entry in asked.system.entries:
        label = f"boot entry {entry.name}"
        _options(found, entry, label)
        commit = commits.get(entry.deployment or "")
        if commit is None:
            found.add(
                "boot-entry",
                Link.COMMIT,
                label,
                "it starts something that no deployment is",
                expected="ostree= with the path of a deployment",
                found=f"ostree={entry.argument}" if entry.argument else "no ostree=",
                remedy="remove it, unless you know who put it there",
            )
            continue
        manifest = manifests.get(commit)
        if manifest is not None:
            _boot_files(found, asked.system, entry, manifest, label)


def _options(found: Collector, entry: BootEntry, label: str) -> None:
    """What an entry tells the kernel, and what it loads that no boot list has."""
    bad, _ = audit_posture_kernel.judged_words(entry.options)
    if bad:
        found.add(
            "boot-options",
            Link.COMMIT,
            label,
            "it tells the kernel to start something else, or to leave a protection out",
            expected="none of these words",
            found=", ".join(bad),
            remedy="`ostree admin kargs edit-in-place`, or remove the entry",
        )
    if entry.other:
        found.gap(
            "boot-files",
            label,
            f"it loads more than kernel and initramfs, which is not looked at: {entry.other[0]}",
            "compare it by hand with what the vendor ships",
        )


def _boot_files(
    found: Collector, system: System, entry: BootEntry, manifest: VerifiedManifest, label: str
) -> None:
    kernels, others = _due(manifest)
    for what, path, due in (
        ("kernel", entry.linux, kernels),
        *(("initramfs", one, others) for one in entry.initrds),
    ):
        name = os.fsencode(f"/boot/{path}")
        where = f"{label}: {printable(name)}"
        try:
            with deployments.opened(system.boot, f"boot/{path}") as fd:
                digest = content.digest_fd(fd, CANONICAL, label=printable(name))
        except VerityError as error:
            found.gap("boot-files", where, error.message, error.hint or "", name)
            continue
        if digest.value not in due:
            found.add(
                "boot-files",
                Link.DIGEST,
                where,
                f"it is not the {what} that is signed for this deployment"
                if due
                else f"the boot list that is signed has no {what}",
                expected=" or ".join(f"sha256:{one.hex()}" for one in sorted(due)) or f"a {what}",
                found=str(digest),
                remedy=_AGAIN,
                path=name,
            )


def _due(manifest: VerifiedManifest) -> tuple[set[bytes], set[bytes]]:
    """The digests of kernels, and those of the rest, in the boot list that was signed."""
    kernels: set[bytes] = set()
    others: set[bytes] = set()
    for line in dump.boot_list_of(manifest.data).splitlines():
        digest, _, path = line.partition(b" ")
        name = os.path.basename(path)
        (kernels if name.startswith(_KERNELS) else others).add(bytes.fromhex(digest.decode()))
    return kernels, others


def _refs(found: Collector, asked: _Asked) -> None:
    """What each origin's ref leads to, where that isn't deployed already."""
    deployed = {one.commit for one in asked.system.deployments}
    for ref in sorted({one.ref for one in asked.system.deployments if one.ref}):
        try:
            commit = asked.repository.resolve(ref)
            if commit in deployed:
                continue
            signed.load(asked.repository, commit, asked.trusted)
        except ContentError as error:
            found.add(
                "ref-signed",
                signed.LINK_OF.get(error.code, Link.COMMIT),
                f"ref {printable(os.fsencode(ref))}",
                error.message,
                expected="a commit that is signed as the deployed ones are",
                found=error.code,
                remedy="don't deploy it; pull again when it is signed",
            )
        except HostError as error:
            # What was pulled and pruned is no question before it is pulled again.
            found.notes.append(f"ref {printable(os.fsencode(ref))}: {error.message}")
