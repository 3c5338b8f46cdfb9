# SPDX-License-Identifier: Apache-2.0
"""explain: the chain for one file, from the key to the inode, each link asked anew.

Nothing is taken from a report: signatures are verified now, the digest is the kernel's answer
now, the inode is the one that is there now. A broken link does not stop the ones behind it that
can still be asked; without verified documents there are none.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from verity.formats import dump
from verity.formats.dump import Entry, printable
from verity.formats.grants import Code, Grants
from verity.formats.statement import format_time
from verity.ports import content, kernel, places
from verity.ports.osfile import closing
from verity.ports.ostree_repo import Repository
from verity.ports.tree import Tree, read_node, unjudged
from verity.trust.trusted import TrustedSet
from verity.values.digest import CANONICAL, Digest, HashAlgorithm
from verity.values.errors import CallerError, HostError, VerityError
from verity.values.findings import Link
from verity.verbs import serial_floors, signed
from verity.verbs.audit_files_compare import metadata_differences
from verity.verbs.serial_floors import HostState, Judged
from verity.verbs.signed import SignedCommit


@dataclass(frozen=True, kw_only=True)
class Step:
    """One link: whether it holds (None: could not be asked), what was asked, the answer."""

    link: Link
    holds: bool | None
    asked: str
    answer: tuple[str, ...]
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The whole chain for one path."""

    path: bytes
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    asides: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        """1 if a link is broken, 3 if one could not be asked, else 0."""
        if any(step.holds is False for step in self.steps):
            return 1
        return 3 if any(step.holds is None for step in self.steps) else 0


def explain(
    root: Path, path: bytes, repository: Repository, revision: str, trusted: TrustedSet, *, now: int
) -> Explanation:
    """Walk the chain for ``path`` (absolute, below ``root``); serial floors are that root's."""
    if not path.startswith(b"/") or b"/../" in path + b"/":
        raise CallerError(
            "bad-path",
            f"{printable(path)}: expected an absolute path without '..', as seen below the root",
        )
    try:
        commit = signed.load(repository, revision, trusted)
    except VerityError as error:
        return Explanation(path=path, steps=(_signed_link_broken(error),))
    compared = serial_floors.judge(HostState.at(root), commit.statement, trusted, now=now)
    steps = [*_signed_links(commit, compared.time), *_floor_link(compared)]
    told = {"notes": compared.notes, "asides": compared.asides}
    entry = next((e for e in commit.manifest.entries if e.path == path), None)
    guarded = _guarded(root, path, entry, commit.grants.grants)
    if entry is None and any(step.link is Link.GRANTS and step.holds for step in guarded):
        # What the owner signed is in no commit. `etc status` compares mode and owner, too.
        return Explanation(path=path, steps=(*steps, *guarded), **told)
    if entry is None:
        steps.append(
            Step(
                link=Link.MANIFEST,
                holds=False,
                asked="the manifest's line for this path",
                answer=("none: nobody signed a file of this name",),
                hint="remove the file, or have it signed",
            )
        )
        return Explanation(path=path, steps=(*steps, *guarded), **told)
    steps.append(
        Step(
            link=Link.MANIFEST,
            holds=True,
            asked="the manifest's line for this path",
            answer=(dump.line(entry).decode("ascii").rstrip("\n"),),
        )
    )
    if entry.is_regular:
        steps.append(_granted(commit.grants.grants, entry))
    steps += guarded
    steps += _file_links(root, entry, repository, commit.checksum)
    return Explanation(path=path, steps=tuple(steps), **told)


def _guarded(root: Path, path: bytes, entry: Entry | None, commit: Grants) -> list[Step]:
    """What the policy of this root asks of the path; nothing where there is no policy."""
    if not os.path.lexists(root / places.POLICY):
        return []
    from verity.verbs import explain_guard  # here: a root without a policy needs none of it

    return explain_guard.steps(root, path, entry, commit)


def _signed_link_broken(error: VerityError) -> Step:
    link = signed.LINK_OF.get(error.code, Link.COMMIT)
    holds = None if isinstance(error, HostError) else False
    return Step(
        link=link,
        holds=holds,
        asked="the signed documents of the commit",
        answer=(error.message,),
        hint=error.hint or "",
    )


def _signed_links(commit: SignedCommit, now: int) -> list[Step]:
    said = commit.statement.statement
    expired = commit.statement.expired(now)
    signers = [key.key_id for key in commit.statement.signers.values()]
    return [
        Step(
            link=Link.KEY,
            holds=True,
            asked="who may sign: keys of the party vendor, role os",
            answer=tuple(f"key {key_id}" for key_id in signers),
        ),
        Step(
            link=Link.SIGNATURE,
            holds=True,
            asked="ECDSA P-256 over the DSSE PAE of the statement, verified now",
            answer=(f"good, by {len(signers)} of the trusted owners",),
        ),
        Step(
            link=Link.STATEMENT,
            holds=not expired,
            asked="what was signed, and until when",
            answer=(
                f"{said.kind} stream {said.stream} serial {said.serial}",
                f"issued {format_time(said.issued)}, expires {format_time(said.expires)}"
                + (", which is past" if expired else ""),
                f"commit {commit.checksum}",
                f"manifest sha256:{commit.manifest.sha256.hex()}",
            ),
            hint="get a newer commit, or have this one signed anew" if expired else "",
        ),
    ]


def _floor_link(compared: Judged) -> list[Step]:
    """The serial against the floors; no link where no host is."""
    if compared.compared is None:
        return []
    wrong = [(one.problem, one.remedy) for one in compared.findings]
    unknown = [(one.why, one.hint) for one in compared.not_evaluated]
    found = [*wrong, *unknown]
    good = f"not below, by {compared.compared} floors"
    return [
        Step(
            link=Link.STATEMENT,
            holds=False if wrong else None if unknown else True,
            asked="its serial, against what this host has accepted of the stream",
            answer=tuple(text for text, _ in found) or (good,),
            hint=found[0][1] if found else "",
        )
    ]


def _granted(grants: Grants, entry: Entry) -> Step:
    code = next((item.flags for item in grants.code if item.digest == entry.digest), Code(0))
    names = [flag.name.lower() for flag in Code if flag in code and flag.name]
    elevations = [
        f"may raise privileges: set bits {item.set_bits:04o} uid {item.uid} gid {item.gid}"
        f" capabilities {item.capabilities:#x}"
        for item in grants.elevate
        if item.digest == entry.digest
    ]
    return Step(
        link=Link.GRANTS,
        holds=True,
        asked="what the kernel is told about this digest, PKCS#7 verified now",
        answer=(f"code: {', '.join(names)}" if names else "not code: no entry", *elevations),
    )


def _file_links(
    root: Path, signed_entry: Entry, repository: Repository, checksum: str
) -> list[Step]:
    """Digest, file and object: what is on the disk now."""
    path = signed_entry.path
    try:
        with Tree(root) as opened:
            if not signed_entry.is_regular:
                return [_metadata(signed_entry, opened.read(path, unjudged).entry)]
            with closing(opened.open(path)) as fd:
                return [
                    _measured(fd, signed_entry),
                    _metadata(signed_entry, read_node(fd, path, unjudged).entry),
                    _inode(fd, path, repository, checksum),
                ]
    except VerityError as error:
        missing = error.code == "not-found"
        return [
            Step(
                link=Link.FILE,
                holds=False if missing else None,
                asked=f"the file {printable(path)} below {root}",
                answer=(error.message,),
                hint=error.hint or "",
            )
        ]


def _measured(fd: int, entry: Entry) -> Step:
    asked = "the kernel's fs-verity digest, FS_IOC_MEASURE_VERITY now"
    label = printable(entry.path)
    expected = Digest(HashAlgorithm.SHA256, entry.digest or b"")
    try:
        found = kernel.measure(fd, label=label)
    except HostError as error:
        if error.code in ("no-verity-filesystem", "no-verity-feature"):
            return Step(
                link=Link.DIGEST,
                holds=False,
                asked=asked,
                answer=(f"none: {error.message}",),
                hint=error.hint or "",
            )
        return Step(
            link=Link.DIGEST,
            holds=None,
            asked=asked,
            answer=(error.message,),
            hint=error.hint or "",
        )
    if found is None:
        read = content.digest_fd(fd, CANONICAL, label=label)
        same = "the signed ones" if read == expected else f"others: {read}"
        return Step(
            link=Link.DIGEST,
            holds=False,
            asked=asked,
            answer=(f"none: fs-verity is off; the contents read now are {same}",),
            hint="`verity objects enable` turns it on"
            if read == expected
            else "check the file out again from the signed commit",
        )
    if found != expected:
        return Step(
            link=Link.DIGEST,
            holds=False,
            asked=asked,
            answer=(f"{found}", f"signed is {expected}"),
            hint="check the file out again from the signed commit",
        )
    return Step(link=Link.DIGEST, holds=True, asked=asked, answer=(str(found),))


def _metadata(signed_entry: Entry, found: Entry) -> Step:
    differences = metadata_differences(signed_entry, found)
    if stat.S_IFMT(signed_entry.mode) != stat.S_IFMT(found.mode):
        differences.insert(0, ("type", oct(signed_entry.mode), oct(found.mode)))
    return Step(
        link=Link.FILE,
        holds=not differences,
        asked="mode, owner, xattrs and target, which fs-verity does not protect",
        answer=tuple(f"{name} is {now}, signed is {then}" for name, then, now in differences)
        or ("as signed",),
        hint="check the file out again from the signed commit" if differences else "",
    )


def _inode(fd: int, path: bytes, repository: Repository, checksum: str) -> Step:
    """Whether the file is the repository's object itself, by a hard link."""
    status = os.fstat(fd)
    here = (status.st_dev, status.st_ino)
    asked = "the inode, and the commit's object for this path"
    answer = [f"device {os.major(status.st_dev)}:{os.minor(status.st_dev)} inode {status.st_ino}"]
    name = repository.content_at(checksum, path)
    if not name:
        return Step(link=Link.OBJECT, holds=False, asked=asked, answer=("not in the commit",))
    label = repository.object_label(name, repository.mode.kind)
    if repository.mode == "bare":
        with closing(repository.open_object(name, "file")) as object_fd:
            other = os.fstat(object_fd)
        linked = (other.st_dev, other.st_ino) == here
        answer.append(f"{'hard link of' if linked else 'a copy, not a link, of'} {label}")
    else:
        answer.append(f"made from {label}")
    return Step(link=Link.OBJECT, holds=True, asked=asked, answer=tuple(answer))
