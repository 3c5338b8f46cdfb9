# SPDX-License-Identifier: Apache-2.0
"""lockdown init: fs-verity on the system, and what is granted of it.

Either the owner signs a plain system (``own``), or the commit that is booted is the vendor's, and
has its grants (``vendors``).
"""

import contextlib
from pathlib import Path

from verity.formats import bundle
from verity.formats.grants import Role
from verity.formats.records import Fragment
from verity.ports import booted, places
from verity.ports.installation import Installed
from verity.ports.ostree_repo import Repository
from verity.ports.tree import Tree
from verity.values.errors import ContentError, HostError
from verity.verbs import commit_show, host_bundle, objects, self_sign, signed
from verity.verbs.enable import How
from verity.verbs.init_wanted import Keys, Say, Wanted
from verity.verbs.keyring_trust import Keyrings

_REPO = Path("ostree/repo")
_NO_VERITY = "a tree, and not the running host: fs-verity is for what boots it to turn on"
_IN_USE = "{} files are in use, with pages from before fs-verity: reboot"


def own(
    wanted: Wanted,
    keys: Keys,
    keyrings: Keyrings,
    how: How,
    installed: Installed,
    *,
    now: int,
    say: Say,
    notes: list[str],
) -> Fragment:
    """fs-verity on the system, and its grants as its owner signs them."""
    root, stream = wanted.root, installed.found.streams[0]
    say("fs-verity on the system")
    if is_tree(root):
        notes.append(_NO_VERITY)
    else:
        protected = self_sign.protect(root, root / places.POLICY, how)
        if protected.in_use:
            notes.append(_IN_USE.format(protected.in_use))
        for label, error in protected.failed[:1]:
            raise HostError(
                error.code,
                f"{len(protected.failed)} of {protected.files} files have no fs-verity, the first"
                f" of them {label}: {error.message}",
                hint=error.hint,
            )
    say("signing the system")
    serials = [
        grants.serial
        for one in host_bundle.read(root)
        for grants in host_bundle.grants_of(one)
        if grants.stream == stream
    ]
    place = self_sign.Place(
        stream=stream,
        serial=max(serials, default=0) + 1,
        issued=wanted.times[0],
        expires=wanted.times[1],
    )
    made = self_sign.sign(root, place, root / places.POLICY, keys.os)
    installed.put(f"{places.SYSTEM}/manifest", made.manifest)
    installed.put(f"{places.SYSTEM}/grants", made.fragment)
    return bundle.parse_fragment(made.fragment, label="grants of the system")


def is_tree(root: Path) -> bool:
    """Whether it is a tree that lies there, and not the running host."""
    return root.resolve() != Path("/")


def _revision(root: Path) -> str:
    revision = booted.commit(root)
    if revision is None:
        raise HostError(
            "no-commit",
            f"{root}: no OSTree commit is booted, so there is no vendor's signature to rely on",
            hint="--self-vendor signs a plain system by yourself",
        )
    return revision


def commit_stream(root: Path, keyrings: Keyrings) -> str:
    with Repository(root / _REPO) as repository:
        found = signed.load(repository, _revision(root), keyrings.trusted(Role.OS))
    return found.statement.statement.stream


def vendors(
    wanted: Wanted,
    keys: Keys,
    keyrings: Keyrings,
    how: How,
    installed: Installed,
    *,
    now: int,
    say: Say,
    notes: list[str],
) -> Fragment:
    """fs-verity on the commit's objects, and its grants as the vendor signed them."""
    root = wanted.root
    say("fs-verity on the commit")
    with Repository(root / _REPO) as repository:
        revision = _revision(root)
        commit = signed.load(repository, revision, keyrings.trusted(Role.OS))
        if is_tree(root):
            notes.append(_NO_VERITY)
        else:
            # In OSTree's own tree, as /usr is mounted read-only.
            deployed = booted.deployment(root)
            with contextlib.ExitStack() as stack:
                checkouts = [stack.enter_context(Tree(deployed))] if deployed else []
                report = objects.enable(repository, commit, now=now, how=how, checkouts=checkouts)
            in_use = [gap for gap in report.not_evaluated if gap.check == "pages-stay"]
            if in_use:
                notes.append(_IN_USE.format(len(in_use)))
            for finding in report.findings:
                raise ContentError(
                    finding.check, f"{finding.object}: {finding.problem}", hint=finding.remedy
                )
            for gap in report.not_evaluated:
                if gap not in in_use:
                    raise HostError(gap.check, f"{gap.object}: {gap.why}", hint=gap.hint or None)
        data = commit_show.grants(repository, revision)
    return bundle.parse_fragment(data, label=f"grants of {revision}")
