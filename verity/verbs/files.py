# SPDX-License-Identifier: Apache-2.0
"""measure, enable: fs-verity on files that the caller names (``digest`` is in ``digests``).

``measure`` asks the kernel; ``enable`` turns fs-verity on and reports a file only when that is
durable and the kernel has answered for what the disk holds.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from verity.ports import content, kernel
from verity.ports.osfile import closing
from verity.values.digest import CANONICAL, Digest, VerityParams
from verity.values.errors import ContentError, HostError, VerityError
from verity.verbs import batch

BATCH = 64  # files between two syncfs calls of one thread


class State(StrEnum):
    """What ``enable`` found or did."""

    ENABLED = "enabled"
    ALREADY = "already"


@dataclass(frozen=True)
class Enabled:
    """A file that has fs-verity now, durably, and the kernel's digest of it."""

    state: State
    digest: Digest


def measure(paths: Sequence[str], *, jobs: int) -> Iterator[tuple[str, Digest | VerityError]]:
    """Ask the kernel for the digest of each file; one without fs-verity is an error."""

    def one(path: str) -> Digest:
        with closing(content.open_regular(path)) as fd:
            found = kernel.measure(fd, label=path)
        if found is None:
            raise ContentError(
                "no-verity",
                f"{path}: fs-verity is not enabled on this file",
                hint=f"`verity enable {path}` turns it on, `verity digest` computes the digest",
            )
        return found

    return batch.each(paths, one, jobs=jobs)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A file to enable: its label, how to open it read-only, and what is expected of it.

    With ``expected`` the contents are hashed first, and a file that differs is left as it was.
    ``place`` is the same file for calls that take many at once; without it they are passed by.
    """

    label: str
    open: Callable[[], int]
    expected: Digest | None = None
    place: kernel.Place | None = None


def enable(
    targets: Sequence[Target], params: VerityParams = CANONICAL, *, jobs: int
) -> Iterator[tuple[Target, Enabled | VerityError]]:
    """Turn on fs-verity for each target, durably, in batches.

    For each batch: 1. enable or measure each file; 2. syncfs, because enabling is atomic but
    not durable; 3. evict the pages that were cached before (the kernel never checks those),
    open the file anew and ask for its digest. Nothing is reported before the third step.
    """
    batches = [targets[at : at + BATCH] for at in range(0, len(targets), BATCH)]

    def one(part: Sequence[Target]) -> list[Enabled | VerityError]:
        return _enable_batch(part, params)

    for part, results in batch.each(batches, one, jobs=jobs, part=1):
        if isinstance(results, VerityError):
            yield from ((target, results) for target in part)
        else:
            yield from zip(part, results, strict=True)


def _enable_batch(targets: Sequence[Target], params: VerityParams) -> list[Enabled | VerityError]:
    outcomes: list[State | VerityError] = []
    changed: dict[int, int] = {}  # a descriptor on each file system that was changed
    unsynced: VerityError | None = None
    try:
        # 1. Enable or measure.
        for target, device in zip(targets, _enable_at_once(targets, params), strict=True):
            try:
                if device is not None:
                    if device not in changed:
                        changed[device] = target.open()
                    outcomes.append(State.ENABLED)
                    continue
                with closing(target.open()) as fd:
                    state = _enable_one(fd, target, params)
                    device = os.fstat(fd).st_dev
                    if state is State.ENABLED and device not in changed:
                        changed[device] = os.dup(fd)
                outcomes.append(state)
            except VerityError as error:
                outcomes.append(error)
        # 2. One syncfs for each of these file systems.
        for fd in changed.values():
            try:
                kernel.syncfs(fd, label=targets[0].label)
            except VerityError as error:
                unsynced = error
    finally:
        for fd in changed.values():
            os.close(fd)
    # 3. Evict, reopen, ask.
    results: list[Enabled | VerityError] = []
    digests = measure_at_once(targets, evict=True)
    for target, outcome, found in zip(targets, outcomes, digests, strict=True):
        if isinstance(outcome, VerityError):
            results.append(outcome)
        elif outcome is State.ENABLED and unsynced is not None:
            results.append(unsynced)
        elif found is not None and target.expected in (None, found):
            results.append(Enabled(outcome, found))
        else:
            results.append(_confirm(target, outcome))
    return results


def _enable_at_once(targets: Sequence[Target], params: VerityParams) -> list[int | None]:
    """Step 1 for those that are as they should be, in one call: their device, else None."""
    places = _places(targets)
    if places is None or params != CANONICAL:
        return [None] * len(targets)
    expected = [None if target.expected is None else target.expected.value for target in targets]
    return kernel.enable_files(places, expected)


def measure_at_once(targets: Sequence[Target], *, evict: bool) -> list[Digest | None]:
    """The kernel's digest of each target in one call, None for those that want a closer look."""
    places = _places(targets)
    return [None] * len(targets) if places is None else kernel.measure_files(places, evict=evict)


def _places(targets: Sequence[Target]) -> list[kernel.Place] | None:
    """Where all of them are, if all of them say so."""
    places = [target.place for target in targets if target.place is not None]
    return places if len(places) == len(targets) else None


def _enable_one(fd: int, target: Target, params: VerityParams) -> State:
    if kernel.has_verity(fd, label=target.label):
        return State.ALREADY
    if target.expected is not None:
        found = content.digest_fd(fd, params, label=target.label)
        if found != target.expected:
            raise _mismatch(target, found)
    kernel.enable(fd, params, label=target.label)
    return State.ENABLED


def _confirm(target: Target, state: State) -> Enabled | VerityError:
    try:
        # Also what was enabled before: a run that was killed may not have come this far.
        with closing(target.open()) as fd:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        with closing(target.open()) as fd:
            found = kernel.measure(fd, label=target.label)
    except VerityError as error:
        return error
    if found is None:
        return HostError("no-verity", f"{target.label}: fs-verity was enabled and is gone")
    if target.expected is not None and found != target.expected:
        return _mismatch(target, found)
    return Enabled(state, found)


def _mismatch(target: Target, found: Digest) -> ContentError:
    return ContentError(
        "wrong-digest",
        f"{target.label}: the fs-verity digest is {found}, signed is {target.expected}",
        hint="the contents are not what was signed: fetch the file again",
    )
