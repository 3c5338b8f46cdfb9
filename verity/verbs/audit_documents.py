# SPDX-License-Identifier: Apache-2.0
"""What is verified of a host before any area of an audit is asked: commit, floors, policy, bundle.

Each document is verified by itself. What can't be keeps the error as its answer, and the area trust
reports it: one bad document hides nothing of the others. Only what the auditor named and isn't
there ends the audit: a repository, a commit, a root. Nothing here reads the files of the tree.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from verity.formats import grants, records
from verity.formats.grants import Grants, Party, Role
from verity.formats.records import RecordKind
from verity.ports import booted, deployments, floors, places
from verity.ports.osfile import check_below, is_there, read_file
from verity.ports.ostree_repo import Repository
from verity.ports.tree import Tree
from verity.trust.verified import verify_statement
from verity.values.errors import CallerError, ContentError, HostError, VerityError
from verity.verbs import serial_floors, signed
from verity.verbs.audit_host import AuditedHost, BootBundle, Roots
from verity.verbs.serial_floors import HostState, Judged
from verity.verbs.signed import SignedCommit

if TYPE_CHECKING:
    from verity.trust.policy import VerifiedPolicy

REPOSITORY = Path("ostree/repo")
_PIN_FILES = {Party.VENDOR: places.VENDOR_PIN, Party.USER: places.USER_PIN}


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
        bundle = _bundle(root, roots)
    except VerityError as error:
        refused["bundle"] = error
    return AuditedHost(
        root=root,
        live=root.resolve() == Path("/"),
        now=now,
        clock=clock,
        commit=commit,
        policy=policy,
        grants=_grants(commit, bundle),
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
            hint="--commit REV names it",
        )
    envelopes = store.read(names[0]) or ()
    return verify_statement(envelopes, trusted).statement.subjects["commit"].hex()


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


def _bundle(root: Path, roots: Roots) -> BootBundle | None:
    path = root / places.BUNDLE
    check_below(root, places.BUNDLE, *_PIN_FILES.values())
    try:
        data = read_file(path, max_size=records.MAX_SIZE)
    except HostError as error:
        if error.code == "not-found":
            return None
        raise
    # Here: a tree without a bundle needs none of it.
    from verity.formats import kernel_keys
    from verity.trust import boot_bundle
    from verity.trust.boot_bundle import Labelled
    from verity.verbs import pins

    fragments = records.split(data, label=str(path))
    if roots.unknown is not None:
        raise roots.unknown
    if not roots.pins:
        raise HostError(
            "no-pin",
            f"{path}: it is verified from pins, and --key names none",
            hint="--keyring and --pin, or the pins of this host",
        )
    accepted = {}
    for party, print_ in roots.pins.items():
        place = root / _PIN_FILES[party]
        try:
            pin = pins.load(place, party)
        except CallerError as error:  # what stands there is no choice of the auditor's
            raise ContentError("pin-differs", error.message, hint=error.hint) from error
        found = kernel_keys.fingerprint(kernel_keys.encode_pin(pin))
        if found != print_.fingerprint:
            raise ContentError(
                "pin-differs",
                f"{place}: it has the fingerprint sha256:{found}, the auditor accepts"
                f" sha256:{print_.fingerprint}",
                hint="ask the owner which root keys are theirs: the loader trusts those of the pin",
            )
        accepted[party] = pin
    # The record of floors is for the loader, and signed by nobody.
    labelled = tuple(
        Labelled(label=str(path), fragment=one)
        for one in fragments
        if one.kind is not RecordKind.FLOORS
    )
    try:
        # The area trust judges the times: whatever has expired since, the gate still takes.
        parts = boot_bundle.check(
            labelled, accepted, now=0, allow_example_keys=roots.allow_example_keys
        )
    except CallerError as error:
        if error.code == "no-pin":
            raise HostError(error.code, error.message, hint=error.hint) from error
        raise ContentError(error.code, f"{path}: {error.message}", hint=error.hint) from error
    return BootBundle(labelled=labelled, parts=parts)


def _grants(commit: SignedCommit | None, bundle: BootBundle | None) -> tuple[Grants, ...]:
    """Each blob once: the bundle may have the commit's own, or those of another serial."""
    found = [] if commit is None else [commit.grants.grants]
    if bundle is not None:
        for item in bundle.labelled:
            if item.fragment.kind is RecordKind.GRANTS:
                blob = grants.parse(item.fragment.blob)
                found += [] if blob in found else [blob]
    return tuple(found)
