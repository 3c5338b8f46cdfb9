# SPDX-License-Identifier: Apache-2.0
"""objects enable, objects check: fs-verity on the objects of a signed commit.

The objects are the commit's own: commit, dirtrees, dirmetas and the contents of regular files
(symlinks have none to protect). Contents are held against the digest that the signed manifest
has for them; metadata objects against their own name, the SHA-256 of what they hold. A checkout
has copies of the empty files (ADR 10), which `enable` reaches where it is told of the checkout.

Both verbs need a repository whose objects *are* the files: bare or bare-user.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from verity.formats.dump import printable
from verity.ports import kernel
from verity.ports.osfile import closing
from verity.ports.ostree_repo import Repository
from verity.ports.tree import Tree
from verity.values.digest import Digest, HashAlgorithm
from verity.values.errors import ContentError, HostError, VerityError
from verity.values.findings import Finding, Link, NotEvaluated, Report
from verity.verbs import batch, signed
from verity.verbs import enable as many
from verity.verbs.enable import How, State, Target
from verity.verbs.signed import SignedCommit

_BATCH = 64  # objects that a thread measures in one call
_MODES = ("bare", "bare-user")
_COPY = "a copy"


@dataclass(frozen=True, kw_only=True)
class _Object:
    """An object: its target for enabling, and one path that uses it ('' for metadata)."""

    target: Target
    used_as: str


def enable(
    repository: Repository,
    commit: SignedCommit,
    *,
    now: int,
    clock: int | None = None,
    how: How,
    checkouts: Sequence[Tree] = (),
    progress: Callable[[Sequence[Target], Target | None], None] = lambda targets, done: None,
) -> Report:
    """Turn on fs-verity on every object, and on the empty files of these checkouts of the commit,
    durably; what isn't as signed is left as it was.

    ``now`` is seconds since 1970: an expired statement is a finding, and so is one that is ahead of
    the ``clock``, which is ``now`` if None. ``progress`` hears all targets before anything is done,
    and then each that is. Stopped early, what was not reached is a gap.
    """
    objects = _objects(repository, commit)
    copies = [copy for tree in checkouts for copy in _copies(commit, tree)]
    targets = [*(item.target for item in objects), *copies]
    counts = {"objects": len(objects), "enabled": 0, "already on": 0}
    if checkouts:
        counts["empty files of checkouts"] = len(copies)
    findings = signed.expiry(commit.statement, now, "statement")
    findings += signed.ahead(commit.statement, now if clock is None else clock, "statement")
    gaps: list[NotEvaluated] = []
    used_as = {item.target.label: item.used_as for item in objects}
    reached = 0
    progress(targets, None)
    for target, result in many.enable(targets, how):
        reached += 1
        if isinstance(result, VerityError):
            _sort_out(result, target, used_as.get(target.label, _COPY), findings, gaps)
        else:
            counts["enabled" if result.state is State.ENABLED else "already on"] += 1
        progress(targets, target)
    if reached < len(targets):
        gaps.append(
            NotEvaluated(
                check="interrupted",
                object=repository.label,
                why=f"{len(targets) - reached} files were not reached",
                hint="run it again: what is done is not done twice",
            )
        )
    return Report(counts=counts, findings=tuple(findings), not_evaluated=tuple(gaps))


def check(
    repository: Repository, commit: SignedCommit, *, now: int, clock: int | None = None, jobs: int
) -> Report:
    """Ask the kernel for the digest of every object and compare it with the signed one.

    ``now`` and ``clock`` are as for ``enable``.
    """
    objects = _objects(repository, commit)
    findings = signed.expiry(commit.statement, now, "statement")
    findings += signed.ahead(commit.statement, now if clock is None else clock, "statement")
    gaps: list[NotEvaluated] = []
    good = 0
    for item, result in _measure(objects, jobs):
        if isinstance(result, VerityError):
            _sort_out(result, item.target, item.used_as, findings, gaps)
        elif result is None:
            findings.append(
                Finding(
                    check="no-verity",
                    link=Link.OBJECT,
                    object=_name(item.target, item.used_as),
                    problem="fs-verity is off: the kernel doesn't vouch for its contents",
                    expected=str(item.target.expected or "fs-verity on"),
                    found="no fs-verity",
                    remedy="`verity objects enable` turns it on, if the contents are as signed",
                )
            )
        elif item.target.expected is not None and result != item.target.expected:
            findings.append(_wrong(item.target, item.used_as, str(result)))
        else:
            good += 1
    return Report(
        counts={"objects": len(objects), "as signed by the kernel's digest": good},
        findings=tuple(findings),
        not_evaluated=tuple(gaps),
    )


def _objects(repository: Repository, commit: SignedCommit) -> Sequence[_Object]:
    if repository.mode not in _MODES:
        raise HostError(
            "wrong-mode",
            f"{repository.label}: a repository of the mode {repository.mode}, whose objects are"
            " not the files of the commit",
            hint="pull the commit into one made by `ostree --repo=DIR init --mode=bare`",
        )
    manifest = {entry.path: entry for entry in commit.manifest.entries}
    objects: dict[str, _Object] = {}
    for path, checksum, _ in repository.paths(commit.checksum):
        if not checksum or checksum in objects:
            continue
        entry = manifest.get(path)
        if entry is None:
            raise ContentError(
                "manifest-differs",
                f"{printable(path)}: in the commit, and not in its signed manifest",
                hint="`verity commit verify` says what else differs",
            )
        if entry.digest is None:
            continue  # a symlink: nothing to enable; commit verify compares its target
        objects[checksum] = _Object(
            target=Target(
                label=repository.object_label(checksum, "file"),
                open=partial(repository.open_object, checksum, "file"),
                place=repository.object_place(checksum, "file"),
                expected=Digest(HashAlgorithm.SHA256, entry.digest),
            ),
            used_as=printable(path),
        )
    metadata = []
    for checksum, kind in repository.metadata_objects(commit.checksum):
        if kind == "dirmeta":
            repository.read_dirmeta(checksum)  # compares it with its name; the others were, already
        metadata.append(
            _Object(
                target=Target(
                    label=repository.object_label(checksum, kind),
                    open=partial(repository.open_object, checksum, kind),
                    place=repository.object_place(checksum, kind),
                ),
                used_as="",
            )
        )
    return [*metadata, *objects.values()]


def _copies(commit: SignedCommit, tree: Tree) -> list[Target]:
    """The empty files of a checkout; of /var (the host's), those there."""
    return [
        Target(
            label=tree.label + printable(entry.path),
            open=partial(tree.open, entry.path),
            expected=Digest(HashAlgorithm.SHA256, entry.digest),
        )
        for entry in commit.manifest.entries
        if entry.digest is not None
        and not entry.size
        and (not entry.path.startswith(b"/var/") or _is_there(tree, entry.path))
    ]


def _is_there(tree: Tree, path: bytes) -> bool:
    return os.path.lexists(os.fsencode(tree.label) + path)


def _measure(
    objects: Sequence[_Object], jobs: int
) -> Iterator[tuple[_Object, Digest | VerityError | None]]:
    """The kernel's digest of every object: many in a call, the odd ones by themselves."""
    parts = [objects[at : at + _BATCH] for at in range(0, len(objects), _BATCH)]

    def several(part: Sequence[_Object]) -> list[Digest | VerityError | None]:
        found = many.measure_at_once([item.target for item in part])
        return [
            _measure_one(item.target) if digest is None else digest
            for item, digest in zip(part, found, strict=True)
        ]

    for part, results in batch.each(parts, several, jobs=jobs, part=1):
        if isinstance(results, VerityError):
            yield from ((item, results) for item in part)
        else:
            yield from zip(part, results, strict=True)


def _measure_one(target: Target) -> Digest | VerityError | None:
    try:
        with closing(target.open()) as fd:
            return kernel.measure(fd, label=target.label)
    except VerityError as error:
        return error


def _sort_out(
    error: VerityError,
    target: Target,
    used_as: str,
    findings: list[Finding],
    gaps: list[NotEvaluated],
) -> None:
    """A refusal of the contents is a finding; what could not be done is a gap."""
    if error.code == "wrong-digest":
        findings.append(_wrong(target, used_as, error.message.partition("digest is ")[2]))
    elif isinstance(error, HostError):
        gaps.append(
            NotEvaluated(
                check=error.code,
                object=_name(target, used_as),
                why=error.message,
                hint=error.hint or "",
            )
        )
    else:
        findings.append(
            Finding(
                check=error.code,
                link=Link.OBJECT,
                object=_name(target, used_as),
                problem=error.message,
                remedy=error.hint or "",
            )
        )


def _wrong(target: Target, used_as: str, found: str) -> Finding:
    return Finding(
        check="wrong-digest",
        link=Link.OBJECT,
        object=_name(target, used_as),
        problem="its contents are not the signed ones",
        expected=str(target.expected),
        found=found,
        remedy="check this commit out anew"
        if used_as == _COPY
        else "remove the object and pull the commit again",
    )


def _name(target: Target, used_as: str) -> str:
    return f"{target.label} ({used_as})" if used_as else target.label
