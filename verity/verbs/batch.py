# SPDX-License-Identifier: Apache-2.0
"""Running one action over many items with threads, in order, each error kept with its item.

The actions release the GIL where it counts (hashing, ioctls), so threads are enough. An error
of one item never stops the others.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from verity.values.errors import VerityError

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_jobs() -> int:
    """As many threads as this process has processors."""
    return len(os.sched_getaffinity(0))


def each(
    items: Sequence[Item], action: Callable[[Item], Result], *, jobs: int, part: int = 16
) -> Iterator[tuple[Item, Result | VerityError]]:
    """Apply ``action`` to every item; results come in the order of the items.

    ``part`` items go to a thread at a time: handing over costs as much as a small item.
    """

    def guarded(item: Item) -> tuple[Item, Result | VerityError]:
        try:
            return item, action(item)
        except VerityError as error:
            return item, error

    if jobs <= 1:
        yield from map(guarded, items)
        return

    def several(part: Sequence[Item]) -> list[tuple[Item, Result | VerityError]]:
        return [guarded(item) for item in part]

    from concurrent.futures import ThreadPoolExecutor  # takes long to import, and is seldom needed

    parts = [items[at : at + part] for at in range(0, len(items), part)]
    pool = ThreadPoolExecutor(max_workers=jobs)
    try:
        for results in pool.map(several, parts):
            yield from results
    finally:
        # Interrupted, it does not wait for what is being hashed: the command line ends at once.
        pool.shutdown(wait=False, cancel_futures=True)
