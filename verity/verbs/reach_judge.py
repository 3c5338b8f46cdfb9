# SPDX-License-Identifier: Apache-2.0
"""What the gate would say of each file that is reached, by verified grants: for audit and arming.

The decision is ``trust.decide``'s, for somebody privileged, with the state sealed:
- started: an exec; for a script's interpreter one that is chained;
- a library: an executable mapping; a module or firmware: what the kernel takes;
- code that a program reads is no act of the gate. It is judged by whether somebody signed it: its
  digest is granted, or a manifest (also of an owner who signs the system themselves) or a grant of
  configuration has it at this very path;
- what systemd lays over the system has to be signed by its path, in a manifest, an extension's too,
  or by a grant of configuration: the path where it lies, or the one that it gets.

``in_manifest`` tells what the signed manifest has at the path, so that whoever compares the files
with it isn't repeated; nothing where nobody does (``AuditedHost.left_to_host``). Configuration is
left to who compares /etc, and is not judged.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from verity.formats import dump
from verity.formats.dump import Entry
from verity.formats.escaped import escape
from verity.formats.gate_status import Act, Reason
from verity.formats.grants import Code, Grants
from verity.formats.guarded_paths import GuardedPaths
from verity.formats.kernel_guarded import GuardedClass
from verity.ports import places
from verity.ports import tree as file_tree
from verity.ports.osfile import closing, is_there, read_file, translate_oserror
from verity.ports.rooted import Located
from verity.ports.signed_tree import Lines, lines_of
from verity.ports.tree import Contents
from verity.trust.decide import DigestState, Facts, Prot, decide
from verity.values.errors import VerityError
from verity.verbs import audit_files_host, reach_extensions
from verity.verbs.audit_host import AuditedHost
from verity.verbs.reach_values import Gap, Reached, Seen, Use

_ACTS = {
    Use.STARTED: Act.EXEC,
    Use.INTERPRETER: Act.EXEC,
    Use.LIBRARY: Act.MAP,
    Use.MODULE: Act.MODULE,
    Use.FIRMWARE: Act.MODULE,
}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A file that is reached, what its contents are granted as, and the reason against it."""

    reached: Reached
    contents: Contents
    granted: Code
    reason: Reason
    in_manifest: Entry | None

    @property
    def by_kernel(self) -> bool:
        """Whether the kernel vouches for the contents."""
        return self.contents.by_kernel


@dataclass(frozen=True, kw_only=True)
class Signed:
    """What is signed for a host, by digest and by path; ``owned`` in manifests of extensions."""

    code: dict[bytes, Code]
    lines: Lines | None
    placed: frozenset[tuple[bytes, bytes]]
    grants: tuple[Grants, ...]
    owned: Mapping[bytes, Entry]
    loose: Callable[[bytes], bool]
    left: tuple[bytes, ...]

    @classmethod
    def of(cls, host: AuditedHost) -> "Signed":
        """From the verified documents of a host."""
        placed = {(one.path, one.digest) for blob in host.grants for one in blob.config}
        return cls(
            code=host.code,
            lines=None if host.commit is None else lines_of(host.commit.manifest.data),
            placed=frozenset(placed) | _self_signed(host),
            grants=host.grants,
            owned=audit_files_host.of_extensions(host),
            loose=_loose(host),
            left=host.left_to_host,
        )

    def entry(self, path: bytes) -> Entry | None:
        """The manifest's line for a path; of /etc on an OSTree system, that of its default."""
        entry = self.at(path)
        if entry is None and path.startswith(b"/etc/"):
            entry = self.at(b"/usr" + path)
        return entry

    def compared(self, path: bytes) -> Entry | None:
        """The same, but nothing where an audit doesn't hold files against the commit."""
        left = any(path.startswith(place + b"/") for place in self.left)
        return None if left else self.entry(path)

    def merged(self, path: bytes, digest: bytes) -> bool:
        """Whether somebody signed this of an extension of systemd: where it lies, or where it gets.
        Signed elsewhere says nothing: a shell may be signed, and no sudo."""
        return any(
            (one, digest) in self.placed
            or any(entry is not None and entry.digest == digest for entry in self._entries(one))
            for one in {path, reach_extensions.place_of(path)}
        )

    def _entries(self, path: bytes) -> tuple[Entry | None, ...]:
        return self.entry(path), self.owned.get(path)

    def at(self, path: bytes) -> Entry | None:
        """The manifest's line for this very path."""
        line = None if self.lines is None else self.lines.find(escape(path))
        return None if self.lines is None or line is None else self.lines.entry(line)


def judge(seen: Seen, reached: Iterable[Reached], signed: Signed) -> Iterator[Judged | Gap]:
    """Each file that is there; configuration is passed by."""
    measured: dict[bytes, Contents | Gap] = {}
    for one in reached:
        if one.located is None or one.use is Use.CONFIGURATION:
            continue
        if one.path not in measured:
            measured[one.path] = measure(seen, one.located)
        contents = measured[one.path]
        if isinstance(contents, Gap):
            yield contents
            continue
        entry = signed.entry(one.path)
        granted = signed.code.get(contents.digest, Code(0))
        yield Judged(
            reached=one,
            contents=contents,
            granted=granted,
            reason=_reason(one, contents, granted, entry, signed),
            in_manifest=signed.compared(one.path),
        )


def measure(seen: Seen, located: Located) -> Contents | Gap:
    """The digest of a file, by the kernel or hashed now."""
    path = located.path
    try:
        with closing(seen.tree.open(located)) as fd:
            return file_tree.measured(fd, path)
    except OSError as error:
        problem: VerityError = translate_oserror(error, os.fsdecode(path))
    except VerityError as error:
        problem = error
    seen.refused(path, problem)
    return seen.gaps[path]


def _reason(
    one: Reached, contents: Contents, granted: Code, entry: Entry | None, signed: Signed
) -> Reason:
    if one.use is Use.READ:
        is_signed = (
            granted
            or (entry is not None and entry.digest == contents.digest)
            or (one.path, contents.digest) in signed.placed
            or signed.loose(one.path)
        )
        return Reason.ALLOW if is_signed else Reason.NOT_GRANTED
    if one.use is Use.MERGED:
        is_signed = signed.merged(one.path, contents.digest)
        return Reason.ALLOW if is_signed else Reason.NOT_GRANTED
    return decide(
        Facts(
            act=_ACTS[one.use].number,
            privileged=1,
            digest=DigestState.KNOWN,
            granted=int(granted),
            prot=int(Prot.EXEC) if one.use is Use.LIBRARY else 0,
            chained=one.use is Use.INTERPRETER,
        )
    )


def _self_signed(host: AuditedHost) -> frozenset[tuple[bytes, bytes]]:
    """Paths and digests of a system that its owner signs: of its manifest, if grants name it."""
    path = host.root / places.SYSTEM / "manifest"
    if not is_there(path):
        return frozenset()
    manifest = read_file(path, max_size=dump.MAX_SIZE)
    digest = hashlib.sha256(manifest).digest()
    if not any(one.manifest_sha256 == digest for one in host.grants):
        return frozenset()
    entries = dump.parse(manifest)
    return frozenset((one.path, one.digest) for one in entries if one.digest is not None)


def _loose(host: AuditedHost) -> Callable[[bytes], bool]:
    """Whether a policy says of a path that its contents are nobody's to sign."""
    if host.policy is None:
        return lambda path: False
    try:
        guarded = GuardedPaths.of(host.policy.policy)
    except VerityError:
        return lambda path: False

    def loose(path: bytes) -> bool:
        found = guarded.of_path(path)
        return found is not None and found.file_class is not GuardedClass.SIGNED

    return loose


def is_elf_or_script(head: bytes) -> bool:
    """Whether the kernel would start it."""
    return head.startswith((b"\x7fELF", b"#!"))


def is_runnable(status: os.stat_result) -> bool:
    """Whether anybody may start this regular file."""
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & 0o111)
