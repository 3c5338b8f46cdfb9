# SPDX-License-Identifier: Apache-2.0
"""enable: turn fs-verity on for many files, in parallel, each reported only when that is durable.

A file is reported when, in this order:

1. it is as expected, where something is expected (else it is left as it was), and the kernel has
   turned fs-verity on, or it was on before, with the same parameters;
2. ``syncfs`` has made that durable, also what an earlier run left undone;
3. its old pages are evicted, the name opened anew gives the same file, and no page stayed: a
   digest does not prove what was cached before;
4. the kernel has said its digest, and that is the expected one.

What is open for writing, and pages that won't go, are tried again for a while, together with the
others of their batch. An error of one file never stops the others. Nothing here decides which files
there are, and no contents are ever changed.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from verity.formats import fsverity
from verity.ports import content, kernel, many
from verity.ports.osfile import closing
from verity.values.digest import CANONICAL, Digest, VerityParams
from verity.values.errors import ContentError, HostError, VerityError
from verity.verbs import batch

_BATCH = 256  # files between two syncfs calls of one thread; 64 would cost a tenth of the time
_SMALLEST_BATCH = 16
_PAUSES_S = (0.0, 0.05, 0.2, 0.8)  # before each attempt at a batch's busy files
_NONE = many.Inode(0, 0)
_BUSY = ("open-for-writing", "enable-in-progress")


class State(StrEnum):
    """What ``enable`` did or found."""

    ENABLED = "enabled"
    ALREADY = "already"


@dataclass(frozen=True, kw_only=True)
class Enabled:
    """A file that has fs-verity now, durably, and the kernel's digest of it.

    ``cached``: pages that are in use, of a file that had fs-verity before we came: they may have
    been read before that.
    """

    state: State
    digest: Digest
    cached: int = 0


@dataclass(frozen=True, kw_only=True)
class Target:
    """A file to enable: its label, how to open it read-only, and what is expected of it.

    With ``expected`` the contents are hashed first, and a file that differs is left as it was.
    ``place`` is the same file for calls that take many at once; without it they are passed by.
    ``size`` in bytes is for showing progress only.
    """

    label: str
    open: Callable[[], int]
    expected: Digest | None = None
    place: many.Place | None = None
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class How:
    """``signature`` is a PKCS#7 for the kernel's built-in check; ``pause`` sleeps for seconds."""

    jobs: int
    pause: Callable[[float], None]
    stop: many.Stop
    params: VerityParams = CANONICAL
    signature: bytes = b""


@dataclass
class _Item:
    """A target on its way through the steps: neither state nor error says "not begun"."""

    target: Target
    state: State | None = None
    inode: many.Inode = _NONE
    digest: Digest | None = None
    cached: int = 0
    error: VerityError | None = None

    @property
    def alive(self) -> bool:
        return self.state is not None and self.error is None


def enable(targets: Sequence[Target], how: How) -> Iterator[tuple[Target, Enabled | VerityError]]:
    """Turn fs-verity on; results come in the order of the targets.

    Once ``how.stop`` is set no further file is begun; those that were, and only they, are brought
    to their end and reported.
    """
    # So that each thread has several, also of few files.
    size = min(_BATCH, max(_SMALLEST_BATCH, len(targets) // (4 * how.jobs)))
    batches = [targets[at : at + size] for at in range(0, len(targets), size)]

    def one(part: Sequence[Target]) -> list[_Item]:
        items = [_Item(target) for target in part]
        if not how.stop:
            _switch_on(items, how)
            _sync(items)
            _confirm(items, how)
        return items

    for part, items in batch.each(batches, one, jobs=how.jobs, part=1):
        if isinstance(items, VerityError):
            yield from ((target, items) for target in part)
            continue
        for item in items:
            if item.error is not None:
                yield item.target, item.error
            elif item.state is not None and item.digest is not None:
                found = Enabled(state=item.state, digest=item.digest, cached=item.cached)
                yield item.target, found


def measure_at_once(
    targets: Sequence[Target], *, evicted: Sequence[many.Inode] | None = None
) -> list[Digest | None]:
    """The kernel's digest of each target in one call, None for those that want a closer look."""
    places = _places(targets)
    return [None] * len(targets) if places is None else many.measure_files(places, evicted=evicted)


def mismatch(target: Target, found: Digest) -> ContentError:
    """The contents are not the expected ones."""
    return ContentError(
        "wrong-digest",
        f"{target.label}: the fs-verity digest is {found}, expected {target.expected}",
        hint="the contents are not what was expected: fetch the file again",
    )


def _places(targets: Sequence[Target]) -> list[many.Place] | None:
    """Where all of them are, if all of them say so."""
    places = [target.place for target in targets if target.place is not None]
    return places if len(places) == len(targets) else None


def _rounds(items: Sequence[_Item], attempt: Callable[[_Item], bool], how: How) -> None:
    """``attempt`` each of them, and again those for which it says so, within a bound."""
    for seconds in _PAUSES_S:
        if seconds:
            how.pause(seconds)
        items = [item for item in items if attempt(item)]
        if not items or how.stop:
            return


def _inode(fd: int) -> many.Inode:
    status = os.fstat(fd)
    return many.Inode(status.st_dev, status.st_ino)


# --- 1. turn it on --------------------------------------------------------------------------


def _switch_on(items: Sequence[_Item], how: How) -> None:
    """All that are as they should be in one call, the odd ones by themselves."""
    targets = [item.target for item in items]
    places = _places(targets)
    if places is not None and how.params == CANONICAL and not how.signature:
        expected = [None if one.expected is None else one.expected.value for one in targets]
        switched = many.enable_files(places, expected, stop=how.stop)
        for item, one in zip(items, switched, strict=True):
            if one is not None:
                item.state = State.ENABLED if one.new else State.ALREADY
                item.inode = one.inode

    def attempt(item: _Item) -> bool:
        if how.stop:
            return False
        item.error = None
        try:
            with closing(item.target.open()) as fd:
                item.inode = _inode(fd)
                item.state = _switch_one(fd, item.target, how)
        except VerityError as error:
            item.error = error
            return error.code in _BUSY
        return False

    _rounds([item for item in items if item.state is None], attempt, how)


def _switch_one(fd: int, target: Target, how: How) -> State:
    if not kernel.has_verity(fd, label=target.label):
        if target.expected is not None:
            found = content.digest_fd(fd, how.params, label=target.label)
            if found != target.expected:
                raise mismatch(target, found)
        try:
            kernel.enable(fd, how.params, how.signature, label=target.label)
        except HostError as error:
            if error.code != "already-verity":
                raise
        else:
            return State.ENABLED
    if target.expected is None:  # else step 4 compares, which says more
        _check_parameters(fd, target.label, how.params)
    if how.signature:
        _check_signature(fd, target.label, how.signature)
    return State.ALREADY


def _check_parameters(fd: int, label: str, params: VerityParams) -> None:
    """Refuse a file that has fs-verity with other parameters than those asked for."""
    try:
        found = kernel.read_metadata(fd, kernel.Metadata.DESCRIPTOR, label=label)
        same = fsverity.has_parameters(found, params)
    except HostError as error:
        if error.code != "no-verity-metadata-ioctl":
            raise
        # btrfs doesn't show its descriptor: what the parameters give is the kernel's, or is not.
        same = kernel.measure(fd, label=label) == content.digest_fd(fd, params, label=label)
    if not same:
        raise ContentError(
            "other-parameters",
            f"{label}: it has fs-verity already, with another hash algorithm, block size or salt",
            hint="fs-verity is never turned on twice: copy the file over itself"
            " (cp FILE NEW && mv NEW FILE) and enable that",
        )


def _check_signature(fd: int, label: str, signature: bytes) -> None:
    """Refuse a file that has fs-verity without this very built-in signature."""
    try:
        found = kernel.read_metadata(fd, kernel.Metadata.SIGNATURE, label=label)
    except HostError as error:
        if error.code != "no-verity-metadata":
            raise
        found = b""
    if found != signature:
        raise ContentError(
            "other-signature",
            f"{label}: it has fs-verity already, with"
            f" {'another' if found else 'no'} built-in signature",
            hint="a signature is stored only when fs-verity is turned on: copy the file over itself"
            " (cp FILE NEW && mv NEW FILE) and enable that",
        )


# --- 2. make it durable ---------------------------------------------------------------------


def _sync(items: Sequence[_Item]) -> None:
    """One syncfs for each file system, where fs-verity was on before, too: nobody says that it
    was durable."""
    for device in {item.inode.device for item in items if item.alive}:
        there = [item for item in items if item.alive and item.inode.device == device]
        for error in [failed for failed in [_sync_by(there)] if failed is not None]:
            for item in there:
                item.error = error


def _sync_by(items: Sequence[_Item]) -> VerityError | None:
    """Sync through the first of these files that can be opened; what is wrong, if anything."""
    error: VerityError | None = None
    for item in items:
        try:
            with closing(item.target.open()) as fd:
                if _inode(fd).device == item.inode.device:
                    kernel.syncfs(fd, label=item.target.label)
                    return None
        except VerityError as found:
            error = found
            if error.code not in ("not-found", "no-such-object"):
                break
    return error or HostError("replaced", f"{items[0].target.label}: replaced while this ran")


# --- 3 and 4. what the disk holds -----------------------------------------------------------


def _confirm(items: Sequence[_Item], how: How) -> None:
    alive = [item for item in items if item.alive]
    digests = measure_at_once(
        [item.target for item in alive], evicted=[item.inode for item in alive]
    )
    for item, found in zip(alive, digests, strict=True):
        if item.target.expected in (None, found):
            item.digest = found

    def attempt(item: _Item) -> bool:
        item.error = None
        try:
            item.digest = _ask(item)
        except VerityError as error:
            item.error = error
            return error.code == "pages-stay"
        return False

    _rounds([item for item in alive if item.digest is None], attempt, how)


def _ask(item: _Item) -> Digest:
    """Evict, open anew, see that nothing stayed, and ask the kernel."""
    target = item.target
    with closing(target.open()) as fd:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    with closing(target.open()) as fd:
        same = _inode(fd) == item.inode
        item.cached = kernel.cached_pages(fd, label=target.label)
        found = kernel.measure(fd, label=target.label)
    if found is None or not same:
        raise HostError(
            "replaced",
            f"{target.label}: another file took its place while this ran",
            hint="stop whatever replaces it and run it again",
        )
    if target.expected is not None and found != target.expected:
        raise mismatch(target, found)
    if item.cached and item.state is State.ENABLED:
        raise HostError(
            "pages-stay",
            f"{target.label}: fs-verity is on, but {item.cached} pages that were cached before are"
            " in use and the kernel won't let them go: they are not checked",
            hint="end what maps it (fuser FILE names it) and run it again, or reboot",
        )
    return found
