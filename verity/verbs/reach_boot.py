# SPDX-License-Identifier: Apache-2.0
"""What the kernel, PID 1 and udev start and load.

1. init, what systemd starts by itself, its generators and hooks (of those of one name the first
   directory's counts, a link to /dev/null masks), SysV scripts that runlevels link to.
2. udev's rules: RUN, PROGRAM, IMPORT{program}; the units that they want go to ``reach_units``.
3. Modules: all of modules.dep, since the kernel asks for modules by what devices say; install and
   remove lines of modprobe.d; all files of firmware. Which device asks for which isn't followed.
4. Helpers that the kernel starts (sysctl.d), interpreters of binfmt.d, keys' request-key.
5. Libraries that are loaded into everything: ld.so.preload, the environment of system.conf.
6. Kernels and initramfs in /boot are named as configuration: the area deployment judges them.
"""

from collections.abc import Iterator

from verity.formats import trigger_lines
from verity.formats.dump import printable
from verity.formats.unit_exec import split
from verity.formats.unit_file import Settings, parse
from verity.verbs.reach_commands import of_arguments, of_shell
from verity.verbs.reach_unit import variable
from verity.verbs.reach_units import Started
from verity.verbs.reach_values import Reference, Seen, Step, Use

_PID1 = (
    *(b"/sbin/init", b"/usr/lib/systemd/systemd", b"/usr/lib/systemd/systemd-executor"),
    *(b"/usr/lib/systemd/systemd-shutdown", b"/usr/lib/systemd/systemd-sulogin-shell"),
)
_SYSTEMD = (b"/etc/systemd/", b"/run/systemd/", b"/usr/local/lib/systemd/", b"/usr/lib/systemd/")
_HOOKS = (
    *(b"system-generators", b"user-generators", b"system-environment-generators"),
    *(b"user-environment-generators", b"system-shutdown", b"system-sleep"),
)
_CONFIGURED = (b"/etc/", b"/run/", b"/usr/local/lib/", b"/usr/lib/")
_UDEV_PROGRAMS = b"/usr/lib/udev/"
_HELPERS = (
    *(b"/sbin/modprobe", b"/sbin/poweroff", b"/sbin/reboot", b"/sbin/request-key"),
    *(b"/sbin/bridge-stp", b"/usr/lib/systemd/systemd-coredump"),
)
_SYSCTL = (b"kernel.core_pattern", b"kernel.modprobe", b"kernel.poweroff_cmd", b"kernel.hotplug")
_RUNLEVELS = tuple(b"/etc/rc%c.d" % level for level in b"S0123456")
_MODULES = b"/usr/lib/modules"
_FIRMWARE = b"/usr/lib/firmware"


def references(seen: Seen) -> Iterator[Reference]:
    """What all of these lead to, but for units."""
    yield from _init(seen)
    for key, by in _udev(seen):
        if key.command:
            yield from _udev_command(seen, key.command, by)
    yield from _modules(seen)
    yield from _helpers(seen)
    yield from _everywhere(seen)
    for name in seen.names(b"/boot"):
        if name.startswith((b"vmlinuz", b"initrd", b"initramfs")):
            by = (Step(b"/boot", "the boot loader"),)
            yield Reference(target=b"/boot/" + name, use=Use.CONFIGURATION, by=by, optional=True)


def units(seen: Seen) -> Iterator[Started]:
    """The units that udev starts."""
    for key, by in _udev(seen):
        if key.unit:
            yield key.unit, by


def _init(seen: Seen) -> Iterator[Reference]:
    """1. PID 1, and what it starts without a unit."""
    for path in _PID1:
        yield Reference(target=path, use=Use.STARTED, by=(Step(b"kernel", "PID 1"),), optional=True)
    for hooks in _HOOKS:
        for path in seen.drop_ins(tuple(top + hooks for top in _SYSTEMD), b""):
            located = seen.find(path)
            if located is not None and located.is_file and located.status.st_mode & 0o111:
                by = (Step(b"systemd", hooks.decode()),)
                yield Reference(target=path, use=Use.STARTED, by=by)
    for folder in _RUNLEVELS:
        for name in seen.names(folder):
            if name[:1] in (b"S", b"K"):
                by = (Step(folder + b"/" + name, "a runlevel"),)
                yield Reference(target=folder + b"/" + name, use=Use.STARTED, by=by, optional=True)


def _udev(seen: Seen) -> Iterator[tuple[trigger_lines.UdevKey, tuple[Step, ...]]]:
    """2. Everything that udev's rules name."""
    for path in seen.drop_ins(tuple(top + b"udev/rules.d" for top in _CONFIGURED), b".rules"):
        for line in seen.lines(path):
            for key in trigger_lines.udev_keys(line):
                yield key, (Step(path, f"{key.key.decode()} of a udev rule"),)


def _udev_command(seen: Seen, command: bytes, by: tuple[Step, ...]) -> Iterator[Reference]:
    words = [word for word, _ in split(command)]
    if not words or b"$" in words[0] or b"%" in words[0]:
        seen.limit(
            f"{printable(by[-1].who)}: the program {printable(words[0] if words else command)} of a"
            " rule is known only when a device comes"
        )
        return
    program = words[0] if words[0].startswith(b"/") else _UDEV_PROGRAMS + words[0]
    yield Reference(target=program, use=Use.STARTED, by=by, optional=True)
    yield from of_arguments(seen, program, tuple(words[1:]), by)


def _modules(seen: Seen) -> Iterator[Reference]:
    """3. Modules, the commands that stand in for them, firmware."""
    for release in seen.names(_MODULES):
        folder = _MODULES + b"/" + release
        listing = folder + b"/modules.dep"
        by = (Step(listing, "the kernel asks for modules"),)
        for module in trigger_lines.modules_dep(seen.read(listing)):
            path = module if module.startswith(b"/") else folder + b"/" + module
            yield Reference(target=path, use=Use.MODULE, by=by, optional=True)
    for path in seen.drop_ins(tuple(top + b"modprobe.d" for top in _CONFIGURED), b".conf"):
        for line in seen.lines(path):
            words = line.split(None, 2)
            if len(words) == 3 and words[0] in (b"install", b"remove"):
                by = (Step(path, f"{words[0].decode()} line"),)
                yield from of_shell(seen, words[2], by)
    by = (Step(b"kernel", "devices ask for firmware"),)
    for path, _ in seen.walk(_FIRMWARE):
        yield Reference(target=path, use=Use.FIRMWARE, by=by, optional=True)


def _helpers(seen: Seen) -> Iterator[Reference]:
    """4. What the kernel starts."""
    for path in _HELPERS:
        by = (Step(b"kernel", "its helper"),)
        yield Reference(target=path, use=Use.STARTED, by=by, optional=True)
    files = [*seen.drop_ins(tuple(top + b"sysctl.d" for top in _CONFIGURED), b".conf")]
    for path in (*files, b"/etc/sysctl.conf"):
        for line in seen.lines(path):
            name, _, value = line.lstrip(b"-").partition(b"=")
            name = name.strip().replace(b"/", b".")
            words = value.strip().removeprefix(b"|").split()
            if name in _SYSCTL and words and words[0].startswith(b"/"):
                by = (Step(path, name.decode()),)
                yield Reference(target=words[0], use=Use.STARTED, by=by, optional=True)
    for path in seen.drop_ins(tuple(top + b"binfmt.d" for top in _CONFIGURED), b".conf"):
        for line in seen.lines(path):
            interpreter = trigger_lines.binfmt_interpreter(line)
            if interpreter.startswith(b"/"):
                by = (Step(path, "an interpreter for binfmt_misc"),)
                yield Reference(target=interpreter, use=Use.STARTED, by=by, optional=True)
    for name in seen.names(b"/var/lib/binfmts"):
        path = b"/var/lib/binfmts/" + name
        for line in seen.lines(path):
            if line.startswith(b"/"):
                by = (Step(path, "an interpreter for binfmt_misc"),)
                yield Reference(target=line, use=Use.STARTED, by=by, optional=True)
    for path in (b"/etc/request-key.conf", *seen.drop_ins((b"/etc/request-key.d",), b".conf")):
        for line in seen.lines(path):
            words = line.split()
            if len(words) > 4 and words[4].lstrip(b"|").startswith(b"/"):
                by = (Step(path, "a key is asked for"),)
                yield Reference(target=words[4].lstrip(b"|"), use=Use.STARTED, by=by, optional=True)


def _everywhere(seen: Seen) -> Iterator[Reference]:
    """5. What is loaded into every program."""
    preload = b"/etc/ld.so.preload"
    for line in seen.lines(preload):
        for word in line.partition(b"#")[0].replace(b":", b" ").split():
            by = (Step(preload, "loaded into every program"),)
            for path in seen.libraries(word):
                yield Reference(target=path, use=Use.LIBRARY, by=by)
    tops = tuple(top + b"systemd/system.conf.d" for top in _CONFIGURED)
    files = (b"/usr/lib/systemd/system.conf", b"/etc/systemd/system.conf")
    for path in (*files, *seen.drop_ins(tops, b".conf")):
        settings = Settings(parse(seen.read(path), path))
        for key in (b"DefaultEnvironment", b"ManagerEnvironment"):
            for one in settings.list_of(b"Manager", key):
                for word, _ in split(one.value):
                    yield from loaded(seen, word, Step(path, f"{key.decode()}="))
    managers = seen.drop_ins(tuple(top + b"environment.d" for top in _CONFIGURED), b".conf")
    for path in (b"/etc/environment", *managers):
        for line in seen.lines(path):
            yield from loaded(seen, line, Step(path, "of every login"))


def loaded(seen: Seen, pair: bytes, step: Step) -> Iterator[Reference]:
    """What a variable of everybody's environment leads to."""
    found = trigger_lines.assignment(pair)
    if found is None:
        return
    for one in variable(seen, *found, step, ()):
        if isinstance(one, Reference):
            yield one
        elif isinstance(one, tuple):
            yield Reference(target=one[0], use=Use.LIBRARY, by=(step,))
