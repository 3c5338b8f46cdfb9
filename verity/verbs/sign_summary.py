# SPDX-License-Identifier: Apache-2.0
"""The summary of a bundle in plain words, for the person who is about to sign it.

Computed from the payloads on the machine that shows it, and from nothing else: no bundle carries
one. What gives power is listed whole (each file that raises privileges or has jit, each home, each
role's keys, each stream), what is many is counted, and listed by ``listing`` or held against what
the signer signed before by ``changes``. The values are as they are signed; escaping them for a
terminal is the command line's work. What has no tree is put into words by ``sign_words``
and ``policy_words``.
"""

import hashlib
import stat
from collections.abc import Iterator
from typing import Any

from verity.formats import dump, etc_manifest, grant_limits
from verity.formats.dump import Entry, printable
from verity.formats.grants import Code, ConfigKind, ElevateEntry
from verity.formats.kernel_keys import KernelKeys
from verity.formats.keyring import Keyring
from verity.formats.sign_bundle import BundleKind
from verity.formats.sign_payloads import Opened, PolicySaid, TreeSaid
from verity.formats.statement import format_time
from verity.values.errors import CallerError
from verity.verbs import policy_words, sign_serials, sign_words
from verity.verbs.manifest import diff
from verity.verbs.sign_words import Line

_FLAGS = {
    Code.EXEC: "programs",
    Code.SCRIPT: "scripts",
    Code.LIBRARY: "libraries",
    Code.MODULE: "kernel modules",
    Code.INTERPRETER: "interpreters",
    Code.JIT: "JIT programs",
}


def lines(opened: Opened) -> list[Line]:
    """The summary as (word, text), one line each."""
    said = opened.said
    if isinstance(said, TreeSaid):
        return [*_tree(opened, said), *_signatures(opened)]
    if isinstance(said, PolicySaid):
        return [*policy_words.lines(opened.bundle, said), *_signatures(opened)]
    if isinstance(said, Keyring):
        return [*_keyring(said), *_signatures(opened)]
    if isinstance(said, KernelKeys):
        return [*_keys(opened, said), *_signatures(opened)]
    return [*sign_words.lines(opened.bundle, said), *_signatures(opened)]


def listing(opened: Opened) -> list[str]:
    """Every entry of what will be signed, as its line stands in the manifest."""
    return [dump.line(entry).decode("ascii").rstrip("\n") for entry in _entries(opened)]


def changes(opened: Opened, before: Opened) -> list[Line]:
    """What this would change against an earlier bundle, which the signer kept."""
    if opened.bundle.kind is not before.bundle.kind:
        raise CallerError(
            "bad-arguments",
            f"a bundle of the kind {opened.bundle.kind} can't be held against one of the kind"
            f" {before.bundle.kind}",
        )
    if isinstance(opened.said, PolicySaid) and isinstance(before.said, PolicySaid):
        return [*policy_words.changes(opened.said.document, before.said.document)]
    _entries(opened)
    at, then = (sign_serials.tree_of(one).statement for one in (opened, before))
    found = [
        (
            one.check,
            one.object
            if one.check != "changed"
            else f"{one.object}: {one.expected} -> {one.found}",
        )
        for one in diff(before.bundle.manifest or b"", opened.bundle.manifest or b"")
    ]
    counted = f"{len(found)} paths differ from stream {then.stream} serial {then.serial}"
    note = "" if then.stream == at.stream else ", which is ANOTHER stream"
    return [("since", counted + note), *found]


def _entries(opened: Opened) -> tuple[Entry, ...]:
    if not isinstance(opened.said, TreeSaid):
        raise CallerError(
            "bad-arguments", f"a bundle of the kind {opened.bundle.kind} has no paths"
        )
    return opened.said.entries


def as_record(opened: Opened) -> dict[str, Any]:
    """The same for JSON: the lines, and what programs ask for."""
    party, role = opened.signer
    bundle = opened.bundle
    return {
        "kind": bundle.kind.value,
        "party": party.name.lower(),
        "role": role.name.lower(),
        "payload_sha256": None if bundle.payload is None else _sha256(bundle.payload),
        "blob_sha256": None if bundle.blob is None else _sha256(bundle.blob),
        "summary": [{"what": word, "text": text} for word, text in lines(opened)],
        "signers": [signature.key_id for signature in bundle.signatures],
        "openpgp_signatures": len(bundle.gpg),
    }


def _tree(opened: Opened, said: TreeSaid) -> Iterator[Line]:
    at = said.statement
    if said.commit is not None:
        yield "commit", at.subjects["commit"].hex()
        yield "subject", said.commit.subject
        yield "date", format_time(said.commit.timestamp)
    else:
        yield "what", str(opened.bundle.kind)
    yield "as", f"stream {at.stream} serial {at.serial}"
    yield "valid", f"from {format_time(at.issued)} until {format_time(at.expires)}"
    regular = [entry for entry in said.entries if entry.is_regular]
    directories = sum(stat.S_ISDIR(entry.mode) for entry in said.entries)
    others = len(said.entries) - len(regular) - directories
    yield (
        "manifest",
        f"sha256:{at.subjects['manifest'].hex()} ({len(regular)} files of"
        f" {sum(entry.size for entry in regular)} bytes, {directories} directories,"
        f" {others} others)",
    )
    if opened.bundle.kind is BundleKind.ETC:
        yield from _homes(said)
    boot = dump.boot_list(said.entries).count(b"\n")
    if boot:
        yield "boot", f"{boot} files go to /boot"
    counted = ", ".join(
        f"{number} {word}"
        for flag, word in _FLAGS.items()
        if (number := sum(bool(entry.flags & flag) for entry in said.grants.code))
    )
    yield "grants", f"sha256:{at.subjects['grants'].hex()} ({counted or 'no code'})"
    if said.grants.config:
        links = sum(one.kind is ConfigKind.SYMLINK for one in said.grants.config)
        yield "config", f"{len(said.grants.config)} paths, {links} of them links"
    flags = {entry.digest: entry.flags for entry in said.grants.code}
    for entry in said.entries:
        raised = grant_limits.elevation(flags, entry)
        if raised is not None:
            yield "raises", f"{printable(entry.path)}: {_raises(entry, raised)}"
    yield from _jit(said)


def _jit(said: TreeSaid) -> Iterator[Line]:
    for path in grant_limits.jit_paths(said.grants, said.entries):
        yield "jit", f"{path}: may have executable memory without a file"


def _homes(said: TreeSaid) -> Iterator[Line]:
    """Where the paths are: whoever signs a home's dotfiles signs what its owner's shell runs."""
    paths = [entry.path for entry in said.entries]
    inside = sum(path.startswith(etc_manifest.ETC + b"/") for path in paths)
    yield "paths", f"{inside} in /etc; --paths lists every one"
    for home in etc_manifest.homes_of(paths):
        number = sum(path.startswith(home + b"/") for path in paths)
        yield "home", f"{printable(home)}: {number} dotfiles and what is in them"


def _raises(entry: Entry, raised: ElevateEntry) -> str:
    words = []
    if raised.set_bits & stat.S_ISUID:
        words.append(f"runs as user {entry.uid}")
    if raised.set_bits & stat.S_ISGID:
        words.append(f"runs as group {entry.gid}")
    if raised.capabilities:
        words.append(f"has capabilities {raised.capabilities:016x}")
    return ", ".join(words)


def _keys(opened: Opened, said: KernelKeys) -> Iterator[Line]:
    yield "what", f"keys sha256:{_sha256(opened.bundle.blob or b'')}"
    yield "party", f"{said.party.name.lower()}, version {said.version}"
    yield "valid", f"from {format_time(said.issued)} until {format_time(said.expires)}"
    for role, number in sorted(said.thresholds.items()):
        yield "role", f"{role.name.lower()}, threshold {number}"
    for entry in said.keys:
        yield "key", f"{entry.key_id.hex()} {entry.role.name.lower()}, owner {entry.owner}"


def _keyring(said: Keyring) -> Iterator[Line]:
    yield "what", f"keyring of the {said.party.name.lower()}, version {said.version}"
    yield "valid", f"from {format_time(said.issued)} until {format_time(said.expires)}"
    for role, rule in sorted(said.roles.items()):
        streams = f", streams {' '.join(rule.streams)}" if rule.streams else ""
        yield "role", f"{role.name.lower()}, threshold {rule.threshold}{streams}"
        for key in said.of_role(role):
            begin = f", from {format_time(key.valid_from)}" if key.valid_from is not None else ""
            end = f", until {format_time(key.valid_until)}" if key.valid_until is not None else ""
            yield "key", f"{key.key_id} {role.name.lower()}, owner {key.owner}{begin}{end}"
    for key_id in said.revoked.keys:
        yield "revoked", f"key {key_id}"
    for digest in said.revoked.digests:
        yield "revoked", f"digest {digest.hex()}"
    for stream, lowest in sorted(said.revoked.serials.items()):
        yield "revoked", f"stream {stream} below serial {lowest}"


def _signatures(opened: Opened) -> Iterator[Line]:
    party, role = opened.signer
    yield "signers", f"the {party.name.lower()}'s role {role.name.lower()}"
    for signature in opened.bundle.signatures:
        yield "signed", f"by key {signature.key_id}"
    if opened.bundle.gpg:
        yield "openpgp", f"{len(opened.bundle.gpg)} signatures for stock ostree"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
