# SPDX-License-Identifier: Apache-2.0
"""Which units of systemd are started, and by what: the system manager's, and root's own manager's.

1. From the targets of boot and shutdown, and from what other sources start (udev, D-Bus), along
   what units want, require or trigger: each unit by its shortest way.
2. Units that nothing leads to: whoever may ask systemd can start them. What such a unit lacks is no
   finding, what is unsigned is.

Templates stand for themselves, and for each instance that something names. What one unit does is
``reach_unit``'s.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from verity.formats.dump import printable
from verity.formats.unit_exec import expand, specifiers_of
from verity.ports.systemd_units import SYSTEM, USER, Unit, Units
from verity.verbs import reach_unit
from verity.verbs.reach_unit import Context
from verity.verbs.reach_values import Reference, Step

_BOOT = (
    *(b"default", b"sysinit", b"basic", b"multi-user", b"shutdown", b"umount", b"final", b"reboot"),
    *(b"poweroff", b"halt", b"ctrl-alt-del", b"emergency", b"rescue", b"sleep", b"suspend"),
    *(b"hibernate", b"kexec", b"soft-reboot"),
)
_LEADS = (
    *(b"Wants", b"Requires", b"Requisite", b"BindsTo", b"Upholds", b"OnFailure", b"OnSuccess"),
)
_MOST_UNITS = 50_000

Started = tuple[bytes, tuple[Step, ...]]
"""A unit that something starts, and the way there."""


def references(context: Context, started: Iterable[Started] = ()) -> Iterator[Reference]:
    """Everything that units lead to; ``started`` are those that other sources start."""
    boot: list[Started] = [(name + b".target", ()) for name in _BOOT]
    for paths, roots in ((SYSTEM, [*boot, *started]), (USER, [])):
        units = Units(context.seen.tree, paths, context.seen.refused)
        yield from _Graph(context, units).references(roots)


@dataclass
class _Graph:
    context: Context
    units: Units
    done: set[bytes] = field(default_factory=set)

    def references(self, roots: list[Started]) -> Iterator[Reference]:
        """What all units lead to, those first that the roots start."""
        # 1. By their shortest ways.
        yield from self._spread(deque(roots), optional=False)
        # 2. Whatever else has a file.
        for name in self.units.names():
            yield from self._spread(deque([(name, ())]), optional=True)

    def _spread(self, waiting: deque[Started], *, optional: bool) -> Iterator[Reference]:
        seen = self.context.seen
        while waiting:
            name, by = waiting.popleft()
            unit = self.units.load(name)
            if unit is None or unit.masked or unit.name in self.done:
                continue
            if len(self.done) >= _MOST_UNITS:
                seen.limit(f"more than {_MOST_UNITS} units")
                return
            self.done.add(unit.name)
            seen.counts["units"] += 1
            yield from reach_unit.references(self.context, unit, by, optional=optional)
            for other, step in _leads(unit):
                waiting.append((other, (*by, step)))


def _leads(unit: Unit) -> Iterator[tuple[bytes, Step]]:
    """The units that this one starts."""
    known = specifiers_of(unit.name, unit.fragment)
    who = unit.fragment or unit.name
    instance = unit.name.rpartition(b".")[0].partition(b"@")[2]
    for other, link in unit.wanted:
        if b"@." in other and instance:  # a link to a template takes the instance
            other = other.replace(b"@.", b"@" + instance + b".", 1)
        yield other, Step(link, f"a link for {printable(unit.name)}")
    for key in _LEADS:
        for one in unit.settings.list_of(b"Unit", key):
            for word in one.value.split():
                other = expand(word, known)
                yield other, Step(one.file, f"{key.decode()}={printable(other)}")
    own = unit.name.rpartition(b".")[0]
    settings = unit.settings
    if unit.type == b"socket":
        if settings.is_true(b"Socket", b"Accept"):
            yield own + b"@.service", Step(who, "for each connection")
        other = settings.last(b"Socket", b"Service") or own + b".service"
        yield expand(other, known), Step(who, "a socket for it")
    elif unit.type in (b"timer", b"path"):
        other = settings.last(unit.type.capitalize(), b"Unit") or own + b".service"
        yield expand(other, known), Step(who, f"a {unit.type.decode()} for it")
    elif unit.type == b"automount":
        yield own + b".mount", Step(who, "an automount for it")
