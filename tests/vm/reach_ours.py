# SPDX-License-Identifier: Apache-2.0
"""What we read of a tree's units and libraries, as JSON: `reach_ours.py TREE OUT`.

Started by reach_stock.sh, which shows the tree to the stock programs in the same way, and asks for
the units and programs that they told of.
"""

import json
import os
import re
import sys
from pathlib import Path

from verity.formats.unit_exec import commands, specifiers_of
from verity.ports.rooted import Rooted
from verity.ports.systemd_units import SYSTEM, Units
from verity.verbs import reach
from verity.verbs.reach_accounts import Accounts
from verity.verbs.reach_unit import EXEC, SECTIONS, Context, is_privileged
from verity.verbs.reach_values import Reference, Seen, Step, Use


def main() -> None:
    root, out = map(Path, sys.argv[1:])
    names = re.findall(r"^\t→ Unit (.*):$", (out / "systemd.txt").read_text(), re.MULTILINE)
    with Rooted(root) as tree:
        seen = Seen(tree)
        units = read_units(seen, names)
        programs = (out / "programs.txt").read_text().split()
        libraries = {one: read_libraries(tree, one) for one in programs}
    gaps = [os.fsdecode(one) for one in seen.gaps]
    json.dump({"units": units, "libraries": libraries, "gaps": gaps}, sys.stdout)


def read_units(seen: Seen, names: list[str]) -> dict[str, object]:
    """Each unit's files and commands, by the name that it was asked for."""
    context = Context(seen=seen, accounts=Accounts.of(seen))
    units = Units(seen.tree, SYSTEM, seen.refused)
    found: dict[str, object] = {}
    for name in names:
        unit = units.load(name.encode())
        if unit is None:
            continue
        known = specifiers_of(unit.name, unit.fragment)
        section = SECTIONS.get(unit.type, b"")
        lines = [
            [key.decode(), command.program.decode(), [word.decode() for word in command.words]]
            for key in EXEC
            for line in unit.settings.list_of(section, key)
            for command in commands(line.value, known)
        ]
        found[name] = {
            "name": os.fsdecode(unit.name),
            "masked": unit.masked,
            "files": [os.fsdecode(file) for file in unit.files],
            "commands": lines,
            "privileged": bool(section) and is_privileged(context, unit, section, known),
        }
    return found


def read_libraries(tree: Rooted, path: str) -> list[str]:
    """What a started program needs, where it lies; not what it loads later."""
    by = (Step(b"test", "starts it"),)
    reference = Reference(target=path.encode(), use=Use.STARTED, by=by)
    reached = reach.follow(Seen(tree), [reference]).reached
    needed = [one for one in reached if not any("loads" in step.how for step in one.by)]
    return sorted(os.fsdecode(one.path) for one in needed if one.use is Use.LIBRARY)


if __name__ == "__main__":
    main()
