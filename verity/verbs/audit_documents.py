# SPDX-License-Identifier: Apache-2.0
"""What is verified of a host before any area of an audit is asked: commit, floors, policy, bundle.

Each document is verified by itself. What can't be keeps the error as its answer, and the area trust
reports it: one bad document hides nothing of the others. Only what the auditor named and isn't
there ends the audit: a repository, a commit, a root. Nothing here reads the files of the tree.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from verity.formats import grants
from verity.formats.grants import Grants, Party, Role
from verity.formats.records import RecordKind
from verity.ports import booted, deployments, extension_files, floors, places
from verity.ports.osfile import check_below, is_there
from verity.ports.ostree_repo import Repository
from verity.ports.tree import Tree
from verity.trust.verified import verify_statement
from verity.values.errors import ContentError, HostError, VerityError
from verity.verbs import audit_boot_bundle, serial_floors, signed
from verity.verbs.audit_host import AuditedHost, BootBundle, Roots
from verity.verbs.serial_floors import HostState, Judged
from verity.verbs.signed import SignedCommit

if TYPE_CHECKING:
    from verity.trust.policy import VerifiedPolicy
    from verity.verbs.extension_read import SignedExtension

REPOSITORY = Path("ostree/repo")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the auditor named; None is what the host itself says. ``progress`` as the host has."""

    root: Path
    roots: Roots
    repo: Path | None = None
    revision: str | None = None
    deep: bool = False
    progress: Callable[[str, int, int], None] = lambda what, done, total: None


def make(asked: Asked, *, clock: int) -> AuditedHost:
    """Verify a host's documents at the time of its ``clock`` (seconds since 1970).

    1. The commit: the one that was named, or is booted, or deployed as this root, or that the floor
       of the OS names.
    2. The host's floors, against the commit; they and the keyrings say what time it is.
    3. The policy that is installed.
    4. The boot bundle, from the host's pins, which are those that the auditor accepts.
    5. The extensions whose documents the host keeps.

    Raises only for what the auditor named and isn't there.
    """
    _check_named(asked)
    refused: dict[str, VerityError] = {}
    root, roots = asked.root, asked.roots
    now = clock if roots.keyrings is None else roots.keyrings.reference_time(clock)
    # 1. The commit.
    repo = _repository(asked)
    commit: SignedCommit | None = None
    compared: Judged | None = None
    try:
        commit = _commit(asked, repo)
    except VerityError as error:
        refused["commit"] = error
    # 2. Floors.
    if commit is not None:
        try:
            check_below(root, floors.FLOORS)
            compared = serial_floors.judge(
                HostState.at(root),
                commit.statement,
                roots.of(Role.OS, Party.VENDOR),
                now=now,
                clock=clock,
            )
            now = compared.time
        except VerityError as error:
            refused["floors"] = error
    # 3. The policy.
    policy: VerifiedPolicy | None = None
    try:
        policy = _policy(root, roots)
    except VerityError as error:
        refused["policy"] = error
    # 4. The boot bundle.
    bundle: BootBundle | None = None
    try:
        bundle = audit_boot_bundle.load(root, roots)
    except VerityError as error:
        refused["bundle"] = error
    # 5. Extensions.
    extensions: Mapping[str, SignedExtension | VerityError] = {}
    try:
        extensions = _extensions(root, roots)
    except VerityError as error:
        refused["extensions"] = error
    return AuditedHost(
        root=root,
        live=root.resolve() == Path("/"),
        now=now,
        clock=clock,
        commit=commit,
        policy=policy,
        grants=_grants(commit, bundle, extensions),
        extensions=extensions,
        deep=asked.deep,
        progress=asked.progress,
        repo=repo if asked.repo is not None or repo.is_dir() else None,
        roots=roots,
        bundle=bundle,
        floors=compared,
        refused=refused,
    )


def _check_named(asked: Asked) -> None:
    """Raise for a root, a repository or a commit that the auditor named and that isn't there."""
    with Tree(asked.root):
        pass
    if asked.repo is not None or asked.revision is not None:
        with Repository(_repository(asked)) as repository:
            if asked.revision is not None:
                repository.resolve(asked.revision)


def _repository(asked: Asked) -> Path:
    """Where the commits are: on a host, beside the deployments of a system that isn't booted."""
    return asked.repo or deployments.physical_root(asked.root) / REPOSITORY


def _commit(asked: Asked, repo: Path) -> SignedCommit:
    if asked.roots.unknown is not None:
        raise asked.roots.unknown
    trusted = asked.roots.of(Role.OS, Party.VENDOR)
    revision = (
        asked.revision
        or booted.commit(asked.root)
        or deployments.commit_of(asked.root)
        or _accepted(asked)
    )
    with Repository(repo) as repository:
        return signed.load(repository, revision, trusted)


def _accepted(asked: Asked) -> str:
    """The commit of the one OS that a host has accepted, as its floor has it."""
    directory = asked.root / floors.FLOORS
    trusted = asked.roots.of(Role.OS, Party.VENDOR)
    store = floors.FloorStore(directory)
    names = store.names("vendor.os.")
    if len(names) != 1:
        found = f"{len(names)} floors of an OS" if names else "no floor of an OS"
        raise HostError(
            "no-commit",
            f"{directory}: {found}, and OSTree has booted none, so which commit this host should"
            " be isn't known",
            hint=_disk_hint(asked.root) or "--commit REV names it",
        )
    envelopes = store.read(names[0]) or ()
    return verify_statement(envelopes, trusted).statement.subjects["commit"].hex()


def _disk_hint(root: Path) -> str:
    """What to audit where the root is the disk of a host, and no root of one; else empty."""
    try:
        system = deployments.read(root)
    except VerityError:
        return ""
    if system is None or deployments.physical_root(root) != root:
        return ""
    first = next((one.deployment for one in system.entries or () if one.deployment), None)
    there = root / (first or system.deployments[0].path)
    var = deployments.unmounted_var(there)
    bind = f", with `mount --bind {var} {there / 'var'}`" if var else ""
    return f"OSTree deploys systems on this disk: --root {there}{bind}"


def _policy(root: Path, roots: Roots) -> "VerifiedPolicy | None":
    if not is_there(root / places.POLICY):
        return None
    from verity.verbs import policy_read  # here: a tree without a policy needs none of it

    check_below(root, places.POLICY, places.POLICY_BLOB)
    if roots.unknown is not None:
        raise roots.unknown
    try:
        return policy_read.installed(root, roots.of(Role.POLICY, Party.USER))
    except ContentError as error:
        if error.code == "bad-signature" and roots.keyrings is None:
            raise HostError(
                "other-keys",
                f"{root / places.POLICY}: not signed by a key of --key, which says nothing of who"
                " signs policies",
                hint="--keyring and --pin say who does",
            ) from error
        raise


def _extensions(root: Path, roots: Roots) -> "Mapping[str, SignedExtension | VerityError]":
    names = extension_files.kept(root)
    if not names:
        return {}
    from verity.verbs import extension_read  # here: a host without extensions needs none of it

    found: dict[str, SignedExtension | VerityError] = {}
    for name in names:
        try:
            if roots.unknown is not None:
                raise roots.unknown
            trusted = roots.of(Role.EXTENSION, Party.USER)
            check_below(root, places.EXTENSIONS / name)
            found[name] = extension_read.load(root / places.EXTENSIONS / name, trusted)
        except VerityError as error:
            found[name] = error
    return found


def _grants(
    commit: SignedCommit | None,
    bundle: BootBundle | None,
    extensions: "Mapping[str, SignedExtension | VerityError]",
) -> tuple[Grants, ...]:
    """Each blob once: the bundle may have the commit's own, or those of another serial."""
    found = [] if commit is None else [commit.grants.grants]
    if bundle is not None:
        for item in bundle.labelled:
            if item.fragment.kind is RecordKind.GRANTS:
                blob = grants.parse(item.fragment.blob)
                found += [] if blob in found else [blob]
    for one in extensions.values():
        if not isinstance(one, VerityError):
            blob = one.grants.grants
            found += [] if blob in found else [blob]
    return tuple(found)
