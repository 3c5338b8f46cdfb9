# SPDX-License-Identifier: Apache-2.0
"""Whether the two that ask something of /etc agree: the policy that the gate gets, and the classes
by which `etc sign` signs and grants.

Both read the same [[etc]] tables; a [[guarded]] line of a later drop-in, or a signed policy made
before the drop-ins changed, tells them apart. Where the policy has the class signed and `etc sign`
leaves a file out, a sealed gate refuses it to privileged programs, and nothing can grant it.

It reads names and metadata, no contents, and judges paths as they would be on the host: of an
OSTree deployment without an /etc those of /usr/etc, from which it is made.
"""

import os
from pathlib import Path

from verity.formats.dump import printable
from verity.formats.etc_rules import FileClass, Rule
from verity.formats.grant_config import exempting, has_room
from verity.formats.policy import Guard, Policy
from verity.ports import places, tree
from verity.ports.tree import Gap
from verity.values.findings import Finding, Link, NotEvaluated
from verity.verbs import etc_read
from verity.verbs.etc_read import ETC

_VENDOR_ETC = b"/" + os.fsencode(places.VENDOR_ETC)


def check(root: Path, policy: Policy) -> tuple[list[Finding], list[NotEvaluated], list[str]]:
    """One finding for each pair of lines that disagree, with the first path that shows it; and a
    note for each directory with paths that no grant has room for.

    Paths are those that are there, and those that lines name.
    """
    rules = etc_read.rules_for_signing(root)
    paths, long, gaps = _there(root)
    paths |= {path for line in policy.of(Guard) if (path := _named(line)) is not None}
    found: dict[tuple[bool, str, str], list[tuple[bytes, Rule, Guard]]] = {}
    for path in sorted(paths):
        rule, guard = rules.of(path), policy.guard(path)
        if guard is None:
            continue  # nothing is asked there, and what is signed all the same does no harm
        signs = rule.file_class is FileClass.SIGNED
        if signs is not (guard.file_class is FileClass.SIGNED):
            key = (signs, rule.origin, guard.origin)
            found.setdefault(key, []).append((path, rule, guard))
    findings = [_finding(signs, items) for (signs, _, _), items in found.items()]
    return findings, gaps, _not_grantable(long, policy)


def _there(root: Path) -> tuple[set[bytes], set[bytes], list[NotEvaluated]]:
    """Every path below /etc, those of them that no grant has room for, and what can't be read."""
    paths: set[bytes] = set()
    long: set[bytes] = set()
    gaps: list[NotEvaluated] = []
    top = ETC if etc_read.is_there(root, ETC) else _VENDOR_ETC
    if not etc_read.is_there(root, top):
        return paths, long, gaps
    with etc_read.open_top(root, top) as opened:
        for item in opened.walk(tree.unjudged):
            path = ETC + item.path
            if isinstance(item, Gap):
                label = printable(top + item.path)
                gaps.append(NotEvaluated(check="classes", object=label, why=item.why, path=path))
            elif not item.entry.is_directory:
                paths.add(path)
                if not has_room(item.entry._replace(path=path)):
                    long.add(path)
    return paths, long, gaps


def _not_grantable(long: set[bytes], policy: Policy) -> list[str]:
    """How many paths are asked for grants and can have none, and what would exempt them."""
    asked = [
        path
        for path in long
        if (guard := policy.guard(path)) is not None and guard.file_class is FileClass.SIGNED
    ]
    notes = []
    for one in exempting(asked):
        more = f" and {len(one.paths) - 1} paths beside it" if len(one.paths) > 1 else ""
        notes.append(
            f"{printable(one.paths[0])}{more} can't be granted, as the path or the link's target is"
            " too long: a sealed gate refuses it to privileged programs, unless a drop-in says"
            f" {one.line or 'so of a directory above it'}"
        )
    return notes


def _named(line: Guard) -> bytes | None:
    """A path of /etc that a line names; None for patterns: of those what is there is asked."""
    if "*" in line.path or "?" in line.path or not line.path.startswith("/etc/"):
        return None
    return os.fsencode(line.path)


def _finding(signs: bool, items: list[tuple[bytes, Rule, Guard]]) -> Finding:
    path, rule, guard = items[0]
    name = printable(path)
    more = f" (and {len(items) - 1} more paths)" if len(items) > 1 else ""
    if signs:
        check, what = "signed-not-guarded", "so the gate lets it change"
    else:
        check, what = "guarded-not-signed", "so a sealed gate refuses it and nothing grants it"
    return Finding(
        check=check,
        link=Link.STATEMENT,
        object=guard.origin,
        path=path,
        problem=f"{name}{more}: the policy has the class {guard.file_class}, `etc sign` has"
        f" {rule.file_class} ({rule.origin}), {what}",
        expected="one class in both",
        found=f"{guard.file_class} and {rule.file_class}",
        remedy="say it in an [[etc]] table, which both read, of the drop-in with the later name; if"
        " the drop-ins have it so, sign them: `verity policy compile`",
    )
