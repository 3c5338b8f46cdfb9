# SPDX-License-Identifier: Apache-2.0
"""The units of a host, found as systemd finds them: search paths, aliases, masks, drop-ins.

1. A name is looked up in the search paths in their order; the first file wins.
2. A symlink to a file of another unit's name in a search path is an alias: one unit, two names.
3. An empty file, or a link to /dev/null, masks: the unit can't be started, whatever stands behind.
4. ``name@instance`` without a file of its own takes the template ``name@``.
5. Drop-ins come from the directories of all names, of the template, of each prefix that ends with a
   dash, and of the type, in every search path; of those with one name the first counts, and they
   apply in the order of their names. An empty one masks.

It knows no meaning of a setting. What can't be read is told to ``refused``, and goes missing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from verity.formats.unit_file import Assignment, Settings, parse
from verity.ports.rooted import Rooted
from verity.values.errors import HostError

SYSTEM = (
    b"/etc/systemd/system.control",
    b"/run/systemd/system.control",
    b"/run/systemd/transient",
    b"/run/systemd/generator.early",
    b"/etc/systemd/system",
    b"/etc/systemd/system.attached",
    b"/run/systemd/system",
    b"/run/systemd/system.attached",
    b"/run/systemd/generator",
    b"/usr/local/lib/systemd/system",
    b"/usr/lib/systemd/system",
    b"/lib/systemd/system",  # the same where /lib is a link
    b"/run/systemd/generator.late",
)
USER = (
    b"/root/.config/systemd/user",
    b"/etc/systemd/user",
    b"/run/systemd/user",
    b"/root/.local/share/systemd/user",
    b"/usr/local/share/systemd/user",
    b"/usr/share/systemd/user",
    b"/usr/local/lib/systemd/user",
    b"/usr/lib/systemd/user",
)
"""Of the manager that root's login starts."""

TYPES = (
    *(b"service", b"socket", b"timer", b"path", b"target", b"mount", b"automount"),
    *(b"swap", b"device", b"slice", b"scope"),
)
_LINKED = {b".wants": b"Wants=", b".requires": b"Requires=", b".upholds": b"Upholds="}
_LONGEST_NAME = 255

Refused = Callable[[bytes, HostError], None]
"""Is told a path that can't be read, and why."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A unit. ``fragment`` is its file, ``files`` are that and its drop-ins; ``wanted`` are the
    units that its directories of links name, each with the link."""

    name: bytes
    fragment: bytes
    settings: Settings
    files: tuple[bytes, ...]
    masked: bool = False
    wanted: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def type(self) -> bytes:
        """``service`` and so on."""
        return self.name.rpartition(b".")[2]


@dataclass
class Units:
    """The units of one manager."""

    tree: Rooted
    paths: tuple[bytes, ...]
    refused: Refused
    _names: dict[bytes, list[bytes]] = field(default_factory=dict)
    _loaded: dict[bytes, Unit | None] = field(default_factory=dict)
    _aliases: dict[bytes, set[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        real = []
        for path in self.paths:
            try:
                found = self.tree.find(path)
            except HostError as error:
                self.refused(path, error)
                continue
            if found is not None and found.is_folder and found.path not in real:
                real.append(found.path)
                self._names[found.path] = self._listed(found.path)
        self.paths = tuple(real)
        # 2. Which names are one unit.
        for folder in self.paths:
            for name in self._names[folder]:
                if is_unit_name(name) and self.tree.link(folder + b"/" + name) is not None:
                    main = self._main_name(name)
                    if main != name:
                        self._aliases.setdefault(main, set()).add(name)

    def names(self) -> Iterator[bytes]:
        """Every unit with a file, templates and aliases too."""
        seen: set[bytes] = set()
        for folder in self.paths:
            for name in self._names[folder]:
                if is_unit_name(name) and name not in seen:
                    seen.add(name)
                    yield name

    def load(self, name: bytes) -> Unit | None:
        """The unit of that name, None if it has no file."""
        if not is_unit_name(name):
            return None
        main = self._main_name(name)
        if main not in self._loaded:
            self._loaded[main] = self._load(main)
        return self._loaded[main]

    def _load(self, name: bytes) -> Unit | None:
        fragment = self._file(name)
        # 5. Drop-ins and the directories of links have all names of the unit.
        names = [name, *sorted(self._aliases.get(name, ()))]
        wanted = tuple(self._links(names))
        if fragment is None:
            if not wanted:
                return None
            return Unit(name=name, fragment=b"", settings=Settings(()), files=(), wanted=wanted)
        located = None
        try:
            located = self.tree.find(fragment)
        except HostError as error:
            self.refused(fragment, error)
        if located is None or located.is_null:
            return Unit(name=name, fragment=fragment, settings=Settings(()), files=(), masked=True)
        files = [fragment, *self._drop_ins(names)]
        assignments: list[Assignment] = []
        for file in files:
            try:
                assignments += parse(self.tree.read(file) or b"", file)
            except HostError as error:
                self.refused(file, error)
        return Unit(
            name=name,
            fragment=fragment,
            settings=Settings(tuple(assignments)),
            files=tuple(files),
            wanted=wanted,
        )

    def _file(self, name: bytes) -> bytes | None:
        """1. and 4.: the first file of the name, or of its template."""
        for candidate in dict.fromkeys((name, template_of(name))):
            for folder in self.paths:
                if candidate in self._names[folder]:
                    return folder + b"/" + candidate
        return None

    def _main_name(self, name: bytes) -> bytes:
        """2. The name that an alias stands for; itself otherwise."""
        for _ in range(8):
            file = self._file(name)
            target = self.tree.link(file) if file else None
            if not file or target is None:
                return name
            other = target.rpartition(b"/")[2]
            if not is_unit_name(other) or other == file.rpartition(b"/")[2]:
                return name
            instance = name.rpartition(b".")[0].partition(b"@")[2]
            if instance and other == template_of(other) and b"@." in other:
                other = other.replace(b"@.", b"@" + instance + b".", 1)
            if self._file(other) is None or other == name:
                return name
            name = other
        return name

    def _drop_ins(self, names: list[bytes]) -> list[bytes]:
        chosen: dict[bytes, bytes] = {}
        kind = names[0].rpartition(b".")[2]
        for folder in self._folders([*names, kind], b".d"):
            for one in self._listed(folder):
                if one.endswith(b".conf"):
                    chosen.setdefault(one, folder + b"/" + one)
        found = []
        for one in sorted(chosen):
            try:
                located = self.tree.find(chosen[one])
            except HostError as error:
                self.refused(chosen[one], error)
                continue
            if located is not None and not located.is_null:
                found.append(chosen[one])
        return found

    def _folders(self, names: list[bytes], suffix: bytes) -> Iterator[bytes]:
        for name in names:
            for folder in self.paths:
                for one in related(name):
                    if one + suffix in self._names[folder]:
                        yield folder + b"/" + one + suffix

    def _links(self, names: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
        for suffix in _LINKED:
            masked: set[bytes] = set()
            for folder in self._folders(names, suffix):
                for one in self._listed(folder):
                    if not is_unit_name(one) or one in masked:
                        continue
                    masked.add(one)
                    if self.tree.link(folder + b"/" + one) != b"/dev/null":
                        yield one, folder + b"/" + one

    def _listed(self, folder: bytes) -> list[bytes]:
        try:
            return self.tree.names(folder)
        except HostError as error:
            self.refused(folder, error)
            return []


def is_unit_name(name: bytes) -> bool:
    """Whether systemd takes it for the name of a unit."""
    stem, dot, kind = name.rpartition(b".")
    return bool(stem and dot and kind in TYPES and b"/" not in name and len(name) <= _LONGEST_NAME)


def template_of(name: bytes) -> bytes:
    """``name@.service`` for ``name@instance.service``; itself for what is no instance."""
    stem, _, kind = name.rpartition(b".")
    prefix, at, _ = stem.partition(b"@")
    return prefix + b"@." + kind if at else name


def related(name: bytes) -> Iterator[bytes]:
    """The names whose directories belong to a unit: its own, its template's, its prefixes'."""
    yield name
    if name in TYPES:
        return
    template = template_of(name)
    if template != name:
        yield template
    stem, _, kind = name.rpartition(b".")
    prefix, at, instance = stem.partition(b"@")
    while b"-" in prefix.rstrip(b"-"):
        prefix = prefix.rstrip(b"-").rpartition(b"-")[0] + b"-"
        if instance:
            yield prefix + b"@" + instance + b"." + kind
        yield prefix + at + b"." + kind
