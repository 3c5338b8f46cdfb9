# SPDX-License-Identifier: Apache-2.0
"""fanotify: write down what the gate would have refused to start, where there is no gate.

It decides with ``trust.decide``, as the gate does, on facts that are gathered from outside and a
moment late; it refuses nothing and holds nobody up. It knows one act, a file that is started.

1. What is granted and revoked, and who is privileged, comes from the boot bundle, verified against
   the pins as the gate would.
2. A file that is granted is ignored from then on, until it changes: fs-verity keeps it as it is.
   That goes for interpreters, too: for which file one was started can't be seen from here.
3. Any other is looked at for each process that starts it. Whose a process was that has ended by
   then can't be known: it is told apart, as ``Unattributed``.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle, grants, kernel_policy, revoke
from verity.formats.gate_status import Act, Denial, Reason
from verity.formats.grants import Code, Party
from verity.formats.kernel_policy import KernelPolicy
from verity.formats.records import RecordKind
from verity.ports import fanotify, kernel
from verity.ports.fanotify import Listener, Subject
from verity.ports.osfile import closing, read_file
from verity.trust import boot_bundle
from verity.trust.boot_bundle import Labelled
from verity.trust.decide import DigestState, Facts, decide
from verity.values.digest import HashAlgorithm
from verity.values.errors import VerityError
from verity.verbs import pins

_RUNS = Code.EXEC | Code.SCRIPT


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a verified boot bundle says: code by digest, what is revoked, who is privileged."""

    code: Mapping[bytes, Code]
    revoked: frozenset[bytes]
    policy: KernelPolicy

    def privileged(self, subject: Subject) -> bool:
        """Whether the gate would ask this subject at all."""
        return (
            0 in subject.uids
            or bool(subject.capabilities & self.policy.privileged_caps)
            or not subject.gids.isdisjoint(self.policy.groups)
        )


@dataclass(frozen=True, kw_only=True)
class Unattributed:
    """A start by a process that had ended when it was looked at: perhaps not a privileged one."""

    boot_ms: int
    reason: Reason
    pid: int
    digest: bytes | None
    path: bytes | None


@dataclass(frozen=True, kw_only=True)
class Lost:
    """The kernel dropped events: what was started meanwhile is unknown."""


def known(path: Path, pin_files: Sequence[Path], *, now: int) -> Known:
    """Read and verify a boot bundle, as ``boot_bundle.check`` does."""
    fragments = bundle.parse(read_file(path, max_size=bundle.MAX_SIZE))
    accepted = {
        party: pins.load(pin, party)
        for party, pin in zip((Party.VENDOR, Party.USER), pin_files, strict=True)
    }
    signed = [one for one in fragments if one.kind is not RecordKind.FLOORS]
    labelled = [Labelled(label=f"{path}: {one.kind.name.lower()}", fragment=one) for one in signed]
    boot_bundle.check(labelled, accepted, now=now)
    code: dict[bytes, Code] = {}
    revoked: set[bytes] = set()
    for fragment in signed:
        if fragment.kind is RecordKind.GRANTS:
            for entry in grants.parse(fragment.blob).code:
                code[entry.digest] = code.get(entry.digest, Code(0)) | entry.flags
        elif fragment.kind is RecordKind.REVOKE:
            revoked.update(revoke.parse(fragment.blob).digests)
    (policy,) = (one for one in signed if one.kind is RecordKind.POLICY)
    return Known(
        code={digest: flags for digest, flags in code.items() if digest not in revoked},
        revoked=frozenset(revoked),
        policy=kernel_policy.parse(policy.blob),
    )


def observe(
    what: Known,
    directories: Sequence[Path],
    *,
    clock_ms: Callable[[], int],
    stopped: Callable[[], bool],
    ready: Callable[[], None],
) -> Iterator[Denial | Unattributed | Lost]:
    """Yield what would have been refused, until ``stopped`` says so.

    ``clock_ms`` is the boot clock; ``ready`` is called once all is being watched.
    """
    number = 0
    with fanotify.one_at_a_time(Path("/")), Listener() as listener:
        for directory in directories:
            listener.watch(directory)
        ready()
        while not stopped():
            for event in listener.events(1.0):
                if event.fd is None:
                    yield Lost()
                    continue
                with closing(event.fd) as fd:
                    found = _judge(what, listener, fd, event.pid, number + 1, clock_ms())
                if isinstance(found, Denial):
                    number = found.seq
                if found is not None:
                    yield found


def _judge(
    what: Known, listener: Listener, fd: int, pid: int, number: int, boot_ms: int
) -> Denial | Unattributed | None:
    subject = fanotify.subject(pid)
    state, digest = _digest(fd)
    granted = Code(0) if digest is None else what.code.get(digest, Code(0))
    if granted & _RUNS:
        listener.ignore(fd)
        return None
    if subject is not None and not what.privileged(subject):
        return None
    reason = decide(
        Facts(
            act=Act.EXEC.number,
            privileged=1,
            digest=state,
            granted=granted,
            revoked=int(digest in what.revoked),
        )
    )
    if reason is Reason.ALLOW:
        return None
    path = fanotify.path_of(fd)
    if subject is None:
        return Unattributed(boot_ms=boot_ms, reason=reason, pid=pid, digest=digest, path=path)
    return Denial(
        seq=number,
        boot_ms=boot_ms,
        denied=False,
        reason=reason,
        act=Act.EXEC,
        uid=subject.effective,
        pid=pid,
        comm=subject.comm,
        digest=digest,
        path=path,
    )


def _digest(fd: int) -> tuple[DigestState, bytes | None]:
    """As the gate has it: the SHA-256 digest, another, or none; what can't be asked is none."""
    try:
        found = kernel.measure(fd, label=os.fsdecode(fanotify.path_of(fd) or b"a file"))
    except VerityError:
        return DigestState.NONE, None
    if found is None:
        return DigestState.NONE, None
    if found.algorithm is not HashAlgorithm.SHA256:
        return DigestState.OTHER, None
    return DigestState.KNOWN, found.value
