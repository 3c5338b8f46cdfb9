# SPDX-License-Identifier: Apache-2.0
"""ima sign: a signature for IMA on every file of a tree that its grants name.

What is signed is what manifest and grants say, and not what lies there: whoever holds the key
names both, and neither is verified here. A file is reported when, in this order:

1. the kernel's fs-verity digest of it is the manifest's;
2. it has a signature by this key: it had one, or gets one and it is read back. A kernel module
   gets one over its contents, everything else one over its digest (``verity.formats.ima``);
3. ``syncfs`` has made that durable.

An error of one file never stops the others. What is signed already is left as it is, so a run that
was cut off goes on where it ended. Equal contents share one signature: a token signs slowly.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from verity.formats import dump, grants, ima
from verity.formats.dump import Entry, printable
from verity.formats.grant_rules import MODULE_SUFFIXES
from verity.ports import content, kernel, many
from verity.ports import ima as port
from verity.ports.keystore import SigningKey
from verity.ports.osfile import closing, translate_oserror
from verity.trust.ima_keys import key_id
from verity.values.digest import Digest, HashAlgorithm
from verity.values.errors import ContentError, HostError, VerityError
from verity.verbs import batch, fragments
from verity.verbs.manifest import load as load_manifest

_BATCH = 256  # files between two syncfs calls
_MAX_MODULE = 256 << 20


class State(StrEnum):
    """What ``ima sign`` did or found."""

    SIGNED = "signed"
    ALREADY = "already"


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A file that has its signature, durably."""

    state: State
    kind: ima.Kind
    digest: Digest


@dataclass(frozen=True, kw_only=True)
class Target:
    """A file to sign: its path in the manifest, and the digest that it must have."""

    path: bytes
    digest: Digest
    kind: ima.Kind


def targets(manifest: Path, granted: Path) -> list[Target]:
    """The files whose digests the grants name, in the manifest's order.

    Raises ContentError (``bad-manifest``, ``bad-grants``, ``nothing-granted``), HostError.
    """
    fragment = fragments.load(granted)
    said = grants.parse(fragment.blob)
    named = {entry.digest for entry in said.code}
    found = [_target(one) for one in dump.parse(load_manifest(manifest)) if one.digest in named]
    if not found:
        raise ContentError(
            "nothing-granted",
            f"{granted}: grants none of the files of {manifest}",
            hint="both come from one `verity commit show` or `verity extension sign`",
        )
    return found


def _target(entry: Entry) -> Target:
    assert entry.digest is not None  # noqa: S101 - the caller chose by it; for mypy
    module = entry.path.endswith(MODULE_SUFFIXES)
    return Target(
        path=entry.path,
        digest=Digest(HashAlgorithm.SHA256, entry.digest),
        kind=ima.Kind.CONTENT if module else ima.Kind.VERITY,
    )


@dataclass
class _Run:
    """One run: the root's descriptor, the key, and the signatures made so far."""

    root: int
    key: SigningKey
    made: dict[tuple[ima.Kind, bytes], bytes] = field(default_factory=dict)


def sign(
    root: Path, wanted: Sequence[Target], key: SigningKey
) -> Iterator[tuple[Target, Signed | VerityError]]:
    """Sign them below ``root``; results come in the order of the targets, once durable."""
    try:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise translate_oserror(error, str(root)) from error
    with closing(fd):
        run = _Run(root=fd, key=key)
        for at in range(0, len(wanted), _BATCH):
            part = wanted[at : at + _BATCH]
            done = list(batch.each(part, lambda target: _sign(run, target), jobs=1))
            failed = _sync(run, done)
            yield from ((target, failed or result) for target, result in done)


def _sync(run: _Run, done: Sequence[tuple[Target, Signed | VerityError]]) -> VerityError | None:
    """3. Durable, whatever file systems the files are on."""
    devices: set[int] = set()
    for target, result in done:
        if isinstance(result, VerityError):
            continue
        label = printable(target.path)
        try:
            with closing(_open(run, target)) as fd:
                device = os.fstat(fd).st_dev
                if device not in devices:
                    kernel.syncfs(fd, label=label)
                    devices.add(device)
        except VerityError as error:
            return error
    return None


def _open(run: _Run, target: Target) -> int:
    place = many.Place(dir_fd=run.root, name=os.fsdecode(target.path).lstrip("/"))
    return content.open_regular_below(place, label=printable(target.path))


def _sign(run: _Run, target: Target) -> Signed:
    label = printable(target.path)
    with closing(_open(run, target)) as fd:
        # 1. The file is what the manifest says, by the kernel.
        found = kernel.measure(fd, label=label)
        if found is None:
            raise HostError(
                "no-verity",
                f"{label}: it has no fs-verity, so its contents could change under a signature",
                hint="`verity enable`, or `verity objects enable` for a repository, comes first",
            )
        if found != target.digest:
            raise ContentError(
                "wrong-digest",
                f"{label}: the fs-verity digest is {found}, expected {target.digest}",
                hint="the contents are not what the manifest says: fetch the file again",
            )
        # 2. The signature.
        data = _signed_bytes(fd, target, label)
        state = State.ALREADY
        if not _is_signed(port.get(fd, label=label), target, run.key, data, label):
            made = run.made.get((target.kind, target.digest.value))
            if made is None:
                made = _make(target, run.key, data)
                run.made[target.kind, target.digest.value] = made
            port.put(fd, made, label=label)
            if port.get(fd, label=label) != made:
                raise HostError("not-kept", f"{label}: the file system did not keep {ima.XATTR}")
            state = State.SIGNED
    return Signed(state=state, kind=target.kind, digest=target.digest)


def _signed_bytes(fd: int, target: Target, label: str) -> bytes:
    if target.kind is ima.Kind.VERITY:
        return ima.file_id(target.digest)
    with open(fd, "rb", closefd=False) as file:
        data = file.read(_MAX_MODULE + 1)
    if len(data) > _MAX_MODULE:
        raise ContentError("too-large", f"{label}: more than {_MAX_MODULE} bytes for a module")
    return data


def _make(target: Target, key: SigningKey, data: bytes) -> bytes:
    signature = key.sign(data)
    return ima.ImaSignature(
        kind=target.kind, key_id=key_id(key.public), signature=signature
    ).encode()


def _is_signed(
    value: bytes | None, target: Target, key: SigningKey, data: bytes, label: str
) -> bool:
    """Whether this is a good signature of the right form by this very key."""
    if value is None:
        return False
    try:
        found = ima.parse(value, label=label)
    except ContentError:
        return False  # IMA's own hash, or another program's form: replaced
    return found.kind is target.kind and key.public.verifies(signature=found.signature, data=data)
