# SPDX-License-Identifier: Apache-2.0
"""Following references: every file that the sources lead to, and what those files need.

Sources (``reach_units``, ``reach_boot``, ``reach_login`` and the like) name what starts code on a
host. From there on:
1. a script leads to the interpreter of its ``#!``, which may be a script itself; ``env`` leads to
   the program that it is asked for;
2. an ELF program or library leads to its interpreter and its libraries (``reach_linker``), and to
   those of which it says itself that it loads them at run time;
3. each file is followed once for each thing that it is reached as, by the shortest way.

What it does not do: judge (``reach_judge``), start anything, or read what a script does. A shell
script's own commands are not followed: what they start is asked when it is started.
"""

import heapq
import os
from collections.abc import Iterable, Iterator
from itertools import count

from verity.formats import elf_needs
from verity.formats.dump import printable
from verity.formats.elf import MAGIC, SCRIPT
from verity.ports.osfile import closing, translate_oserror
from verity.ports.rooted import Located
from verity.values.errors import VerityError
from verity.verbs.reach_linker import Linker
from verity.verbs.reach_values import Reach, Reached, Reference, Seen, Step, Use

_LINE = 256  # what the kernel reads of a script (BINPRM_BUF_SIZE)
_RUN = {Use.STARTED, Use.INTERPRETER}
_FOLLOWED = {*_RUN, Use.LIBRARY}


def follow(seen: Seen, sources: Iterable[Reference]) -> Reach:
    """Everything that the sources reach."""
    return _Follower(seen).run(sources)


class _Follower:
    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._linker = Linker(seen)
        self._order = count()
        self._queue: list[tuple[tuple[bool, int, int], Reference]] = []
        self._reached: dict[tuple[bytes, Use], Reached] = {}
        self._done: set[tuple[bytes, Use, tuple[bytes, ...], tuple[bytes, ...]]] = set()
        self._needs: dict[bytes, elf_needs.Needs | None] = {}

    def run(self, sources: Iterable[Reference]) -> Reach:
        for one in sources:
            self._put(one)
        while self._queue:
            _, reference = heapq.heappop(self._queue)
            for following in self._visit(reference):
                self._put(following)
        return Reach(
            reached=tuple(self._reached.values()),
            gaps=tuple(self._seen.gaps.values()),
            limits=tuple(self._seen.limits),
            counts=self._seen.counts,
        )

    def _put(self, reference: Reference) -> None:
        # Ways that the boot takes come before those that are only possible.
        rank = reference.optional, len(reference.by), next(self._order)
        heapq.heappush(self._queue, (rank, reference))

    def _visit(self, reference: Reference) -> Iterator[Reference]:
        name = self._seen.program(reference.target) if reference.use in _RUN else reference.target
        located = self._seen.find(name) if name.startswith(b"/") else None
        if located is not None and not located.is_file:
            located = None
        path = name if located is None else located.path
        key = path, reference.use
        known = self._reached.get(key)
        if known is None:
            self._reached[key] = Reached(
                path=path,
                name=name,
                use=reference.use,
                by=reference.by,
                optional=reference.optional,
                located=located,
            )
        elif known.optional and not reference.optional and located is None:
            self._reached[key] = Reached(
                path=path, name=name, use=known.use, by=reference.by, optional=False, located=None
            )
        full = (path, reference.use, reference.search, reference.inherited)
        if located is None or reference.use not in _FOLLOWED or full in self._done:
            return
        self._done.add(full)
        yield from self._needed(reference, located)

    def _needed(self, reference: Reference, located: Located) -> Iterator[Reference]:
        """What a program or library needs to run."""
        path = located.path
        try:
            with closing(self._seen.tree.open(located)) as fd:
                head = os.pread(fd, _LINE, 0)
                if head.startswith(MAGIC) and path not in self._needs:
                    self._needs[path] = None
                    with open(fd, "rb", closefd=False) as file:
                        self._needs[path] = elf_needs.read(file, printable(path))
        except OSError as error:
            self._seen.refused(path, translate_oserror(error, os.fsdecode(path)))
            return
        except VerityError as error:
            self._seen.refused(path, error)
            return
        if head.startswith(MAGIC):
            needs = self._needs[path]
            if needs is not None:
                yield from self._linked(reference, path, needs)
        elif head.startswith(SCRIPT) and reference.use in _RUN:
            yield from self._interpreters(reference, path, head)

    def _linked(
        self, reference: Reference, path: bytes, needs: elf_needs.Needs
    ) -> Iterator[Reference]:
        """2. The interpreter and the libraries of an ELF file."""
        origin = path.rpartition(b"/")[0] or b"/"
        inherited = self._linker.rpaths(needs, origin, reference.inherited)

        def leads(target: bytes, how: str, *, optional: bool = False) -> Reference:
            return Reference(
                target=target,
                use=Use.LIBRARY,
                by=(*reference.by, Step(path, how)),
                optional=optional or reference.optional,
                search=reference.search,
                inherited=inherited,
            )

        if needs.interpreter and reference.use in _RUN:
            yield leads(needs.interpreter, "its ELF interpreter")
        named = [(name, False) for name in needs.needed]
        named += [(name, True) for name in needs.dlopened]
        for name, optional in named:
            how = f"{'loads' if optional else 'needs'} {printable(name)}"
            files = self._linker.files(
                name, needs, origin, inherited=reference.inherited, search=reference.search
            )
            for file in files or self._loaded_already(name, reference) or (name,):
                yield leads(file, how, optional=optional)

    def _loaded_already(self, name: bytes, reference: Reference) -> tuple[bytes, ...]:
        """What one of those that lead here has loaded under this name, by its own search paths."""
        for step in reversed(reference.by):
            needs = self._needs.get(step.who)
            if needs is not None and name in needs.needed:
                origin = step.who.rpartition(b"/")[0]
                return self._linker.files(name, needs, origin, search=reference.search)
        return ()

    def _interpreters(self, reference: Reference, path: bytes, head: bytes) -> Iterator[Reference]:
        """1. The interpreter of a script, and what ``env`` is asked for."""
        words = head[2:].partition(b"\n")[0].split()
        if not words:
            return

        def leads(target: bytes, how: str, use: Use) -> Reference:
            return Reference(
                target=target,
                use=use,
                by=(*reference.by, Step(path, how)),
                optional=reference.optional,
                search=reference.search,
            )

        yield leads(words[0], "#!", Use.INTERPRETER)
        if os.path.basename(words[0]) == b"env":
            for word in words[1:]:
                if not word.startswith(b"-") and b"=" not in word:
                    # No longer for the script: env starts it as anybody would.
                    yield leads(word, "#! by env", Use.STARTED)
                    return
