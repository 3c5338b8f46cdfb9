# SPDX-License-Identifier: Apache-2.0
"""What one unit starts: its Exec lines, and what its environment makes programs load.

As systemd.exec(5) says: a command that runs as another user without capabilities is nobody
privileged; ``+`` and ``!`` leave that aside. A unit with its own root directory or image is a
limit: what its paths mean is not known here. So is a path with a specifier that only a running host
knows.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from verity.formats.dump import printable
from verity.formats.unit_exec import (
    Command,
    commands,
    expand,
    open_specifier,
    specifiers_of,
    split,
)
from verity.ports.systemd_units import Unit
from verity.verbs.reach_accounts import Accounts
from verity.verbs.reach_commands import of_arguments
from verity.verbs.reach_values import PATH, Reference, Seen, Step, Use

SECTIONS = {b"service": b"Service", b"socket": b"Socket", b"mount": b"Mount", b"swap": b"Swap"}
EXEC = (
    *(b"ExecCondition", b"ExecStartPre", b"ExecStart", b"ExecStartPost", b"ExecReload"),
    *(b"ExecReloadPost", b"ExecStop", b"ExecStopPre", b"ExecStopPost"),
)
_EXISTS = (
    *(b"ConditionPathExists", b"ConditionFileIsExecutable", b"ConditionFileNotEmpty"),
    *(b"ConditionDirectoryNotEmpty", b"ConditionPathIsDirectory", b"ConditionPathExistsGlob"),
)
_MOMENTARY = (b"/proc/", b"/sys/", b"/run/", b"/dev/")
_HELPERS = {
    b"mount": (b"/usr/bin/mount", b"/usr/bin/umount"),
    b"swap": (b"/usr/sbin/swapon", b"/usr/sbin/swapoff"),
}
_OWN_ROOT = (b"RootDirectory", b"RootImage")
_LIBRARIES = (b"LD_PRELOAD", b"LD_AUDIT")
_FOLDERS = (b"PYTHONPATH", b"PERL5LIB", b"RUBYLIB", b"NODE_PATH")
_SOURCED = (b"BASH_ENV", b"ENV", b"PYTHONSTARTUP")
_CODE_NAME = re.compile(rb".*\.(?:py|pyc|pth|pl|pm|rb|js|so(?:\.[0-9.]+)?)")
_MOST_BELOW = 10_000


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a unit is read with."""

    seen: Seen
    accounts: Accounts


@dataclass(frozen=True, kw_only=True)
class _Environment:
    """What the environment brings into every program of the unit."""

    libraries: tuple[tuple[bytes, Step], ...]
    search: tuple[bytes, ...]


def references(
    context: Context, unit: Unit, by: tuple[Step, ...], *, optional: bool
) -> Iterator[Reference]:
    """Everything that the unit leads to by itself."""
    seen = context.seen
    for file in unit.files:
        yield Reference(
            target=file, use=Use.CONFIGURATION, by=(*by, Step(unit.name, "its file")), optional=True
        )
    if unit.type in _HELPERS:
        for helper in _HELPERS[unit.type]:
            step = Step(unit.fragment or unit.name, f"a {unit.type.decode()} unit")
            yield Reference(target=helper, use=Use.STARTED, by=(*by, step), optional=True)
    section = SECTIONS.get(unit.type)
    if section is None:
        return
    settings = unit.settings
    lines = [(key, one) for key in EXEC for one in settings.list_of(section, key)]
    if not lines:
        return
    known = specifiers_of(unit.name, unit.fragment)
    for key in _OWN_ROOT:
        if settings.last(section, key):
            seen.limit(f"{printable(unit.name)}: {key.decode()}= has its own files")
            return
    privileged = is_privileged(context, unit, section, known)
    optional = optional or _cannot_start(seen, unit, known)
    environment = None
    path = tuple(
        expand(one, known)
        for word in settings.words(section, b"ExecSearchPath")
        for one in word.split(b":")
    )
    for key, line in lines:
        for command in commands(line.value, known):
            if not (privileged or command.privileged):
                seen.counts["unprivileged commands"] += 1
                continue
            if environment is None:
                environment = _Environment(libraries=(), search=())
                collected = list(_environment(seen, unit, section, known, by))
                yield from (one for one in collected if isinstance(one, Reference))
                environment = _Environment(
                    libraries=tuple(one for one in collected if isinstance(one, tuple)),
                    search=tuple(one for one in collected if isinstance(one, bytes)),
                )
            step = Step(line.file, f"{key.decode()}=")
            yield from _of_command(
                seen, unit, command, (*by, step), path or PATH, environment, optional=optional
            )


def _of_command(
    seen: Seen,
    unit: Unit,
    command: Command,
    by: tuple[Step, ...],
    path: tuple[bytes, ...],
    environment: _Environment,
    *,
    optional: bool,
) -> Iterator[Reference]:
    if open_specifier(command.program):
        seen.counts["unknown specifiers"] += 1
        if b"@." not in unit.name:
            seen.limit(
                f"{printable(unit.name)}: the program {printable(command.program)} is known only"
                " on the running host"
            )
        return
    program = seen.program(command.program, path)
    yield Reference(
        target=program,
        use=Use.STARTED,
        by=by,
        optional=optional or command.may_fail,
        search=environment.search,
    )
    if command.shell:
        yield Reference(target=b"/bin/sh", use=Use.STARTED, by=by)
    for library, step in environment.libraries:
        yield Reference(target=library, use=Use.LIBRARY, by=(*by, step))
    yield from of_arguments(seen, program, command.words, by)


def is_privileged(context: Context, unit: Unit, section: bytes, known: dict[bytes, bytes]) -> bool:
    settings = unit.settings
    accounts = context.accounts
    if settings.words(section, b"AmbientCapabilities"):
        return True
    groups = {settings.last(section, b"Group")}
    groups |= set(settings.words(section, b"SupplementaryGroups"))
    if {expand(one, known) for one in groups} & accounts.groups:
        return True
    user = expand(settings.last(section, b"User"), known)
    if not user:
        return not settings.is_true(section, b"DynamicUser")
    return user in accounts.users or open_specifier(user)


def _cannot_start(seen: Seen, unit: Unit, known: dict[bytes, bytes]) -> bool:
    """Whether a condition asks for a file of the tree that isn't there."""
    for key in _EXISTS:
        for kind in (key, key.replace(b"Condition", b"Assert")):
            for one in unit.settings.list_of(b"Unit", kind):
                path = expand(one.value.lstrip(b"|"), known)
                if path.startswith(b"/") and not path.startswith(_MOMENTARY):
                    if not any(True for _ in _matching(seen, path)):
                        return True
    return False


def _environment(
    seen: Seen, unit: Unit, section: bytes, known: dict[bytes, bytes], by: tuple[Step, ...]
) -> Iterator[Reference | tuple[bytes, Step] | bytes]:
    """The code that variables lead to; libraries for each program; where more are looked for."""
    pairs: list[tuple[bytes, Step]] = []
    for one in unit.settings.list_of(section, b"Environment"):
        pairs += [
            (expand(word, known), Step(one.file, "Environment=")) for word, _ in split(one.value)
        ]
    for one in unit.settings.list_of(section, b"EnvironmentFile"):
        step = Step(one.file, "EnvironmentFile=")
        for path in _matching(seen, expand(one.value.removeprefix(b"-"), known)):
            yield Reference(target=path, use=Use.CONFIGURATION, by=(*by, step), optional=True)
            for line in seen.lines(path):
                pairs += [(word, Step(path, "a variable")) for word, _ in split(line)]
    for pair, step in pairs:
        name, _, value = pair.partition(b"=")
        named = Step(step.who, f"{step.how} {printable(name)}" if name else step.how)
        yield from variable(seen, name, value, named, by)


def variable(
    seen: Seen, name: bytes, value: bytes, step: Step, by: tuple[Step, ...]
) -> Iterator[Reference | tuple[bytes, Step] | bytes]:
    """What one variable of the environment leads to."""
    if name in _LIBRARIES:
        for word in filter(None, re.split(rb"[\s:]+", value)):
            yield from ((file, step) for file in seen.libraries(word))
    elif name == b"LD_LIBRARY_PATH":
        yield from (one for one in re.split(rb"[:;]", value) if one.startswith(b"/"))
    elif name in _SOURCED and value.startswith(b"/"):
        yield Reference(target=value, use=Use.READ, by=(*by, step), optional=True)
    elif name in _FOLDERS:
        for folder in value.split(b":"):
            yield from below(seen, folder, (*by, step))


def below(seen: Seen, folder: bytes, by: tuple[Step, ...]) -> Iterator[Reference]:
    """The code in a directory that an interpreter is told to look in."""
    if not folder.startswith(b"/"):
        return
    pending, number = [folder], 0
    while pending:
        here = pending.pop()
        for name in seen.names(here):
            path = here + b"/" + name
            number += 1
            if number > _MOST_BELOW:
                seen.limit(f"{printable(folder)}: more than {_MOST_BELOW} files")
                return
            located = seen.find(path)
            if located is not None and located.is_folder and seen.tree.link(path) is None:
                pending.append(path)
            elif _CODE_NAME.fullmatch(name):
                use = Use.LIBRARY if b".so" in name else Use.READ
                yield Reference(target=path, use=use, by=by, optional=True)


def _matching(seen: Seen, pattern: bytes) -> Iterator[bytes]:
    """The files for a path whose last part may be a pattern."""
    folder, _, last = pattern.rpartition(b"/")
    if not any(sign in last for sign in b"*?["):
        if seen.find(pattern) is not None:
            yield pattern
        return
    for name in seen.names(folder):
        if fnmatchcase(name, last):
            yield folder + b"/" + name
