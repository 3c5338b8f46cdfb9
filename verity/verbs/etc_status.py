# SPDX-License-Identifier: Apache-2.0
"""etc status: whether /etc is as signed, file by file; nothing is changed.

Files that change by themselves are counted by class; of those, mode and owner are checked where
their rule has a mode, never the contents. An apply that has begun and not ended, and a statement
that has expired, are findings; so is a granted file without fs-verity where a gate will ask for it.
"""

import os
import stat
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from verity.formats.dump import Entry, printable
from verity.formats.etc_rules import FileClass
from verity.ports import places, tree
from verity.ports.tree import Gap, Tree
from verity.values.errors import HostError
from verity.values.findings import Finding, Link, NotEvaluated, Report
from verity.verbs import etc_compare, etc_protect, etc_read, signed
from verity.verbs.etc_compare import Change, Difference, Vendor
from verity.verbs.etc_intent import Host, Intent
from verity.verbs.etc_read import ETC, Found

_VENDOR_ETC = b"/" + os.fsencode(places.VENDOR_ETC)
_RESTORE = "`verity etc apply` brings back what is signed; `verity etc sign` accepts what is there"
_REMOVE = "remove it, which no apply does; or `verity etc sign` accepts it"
_UNSIGNABLE = (
    "remove it, which no apply does; it can't be signed: give it the class ignored if it belongs"
    " there (docs/guides/etc.md)"
)
_WORDS = {
    Vendor.UNKNOWN: "",
    Vendor.NOT_THERE: "; the vendor has no such file",
    Vendor.AS_SIGNED: "; the signed one is the vendor's default",
    Vendor.AS_NOW: "; what is there is the vendor's default",
    Vendor.ANOTHER: "; the vendor's default is another",
}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was read, and how it differs from what is signed; how that differs from the vendor's
    default, None if there is none."""

    found: Found
    differences: tuple[Difference, ...]
    from_vendor: tuple[Difference, ...] | None


def look(host: Host, intent: Intent, vendor: Path | None) -> Seen:
    """Read what is there and hold it against the intent.

    ``vendor`` is the directory of the vendor's default; without it, /usr/etc if there is one.
    """
    found = etc_read.read(intent.scope)
    default = _vendor(host, intent, vendor)
    hidden = {gap.path for gap in found.gaps}
    unlike = None
    if default is not None:
        signed_etc = {path: one for path, one in intent.entries.items() if _below_etc(path)}
        unlike = tuple(etc_compare.from_vendor(default, signed_etc, found.entries))
    return Seen(
        found=found,
        from_vendor=unlike,
        differences=tuple(
            one
            for one in etc_compare.differences(intent.entries, found.entries, default)
            if one.now is not None or not _inside(one.path, hidden)
        ),
    )


def status(host: Host, intent: Intent, seen: Seen, *, now: int, clock: int | None = None) -> Report:
    """The report. ``now`` is seconds since 1970, for expiry, and the ``clock`` too if None."""
    source = intent.manifest.source
    changes = Counter(one.change for one in seen.differences)
    classes = Counter(other.rule.file_class for other in seen.found.others.values())
    by = ", ".join(intent.signers)
    notes = [f"signed by {by}, stream {intent.stream} serial {intent.serial}", *source.skipped]
    if not intent.scope.homes:
        notes.append("dotfiles of homes are no part of it (`verity etc sign --home`)")
    return Report(
        counts={
            "signed": len(intent.entries),
            **{change.value: changes[change] for change in Change},
            **({} if seen.from_vendor is None else {"unlike the vendor's": len(seen.from_vendor)}),
            **{one.value: classes[one] for one in FileClass if one is not FileClass.SIGNED},
        },
        findings=(
            *pending(host),
            *(
                replace(one, remedy="`verity etc sign` signs it anew; what is there stays in force")
                for one in signed.expiry(source, now, "statement")
            ),
            *signed.ahead(source, now if clock is None else clock, "statement"),
            *(difference(one, intent) for one in seen.differences),
            *loose(seen.found, intent),
            *etc_protect.findings(host.root, intent, seen.found),
        ),
        not_evaluated=tuple(not_evaluated(gap) for gap in seen.found.gaps),
        notes=tuple(notes),
    )


def difference(one: Difference, intent: Intent) -> Finding:
    """The finding for one file that isn't as signed."""
    if one.change is Change.ADDED:
        problem = "it is there, and not signed"
    elif one.change is Change.REMOVED:
        problem = "it is signed, and not there"
    else:
        differ = "differs" if len(one.what) == 1 else "differ"
        problem = f"{' and '.join(one.what)} {differ} from what is signed"
    return Finding(
        check=one.change.value,
        link=Link.FILE,
        object=printable(one.path),
        path=one.path,
        problem=problem + _WORDS[one.vendor],
        expected=f"{described(one.signed)} (stream {intent.stream} serial {intent.serial})",
        found=described(one.now),
        remedy=_remedy(one),
    )


def _remedy(one: Difference) -> str:
    if one.change is not Change.ADDED:
        return _RESTORE
    there = one.now
    signable = there is None or there.is_regular or there.is_symlink or there.is_directory
    return _REMOVE if signable else _UNSIGNABLE


def described(entry: Entry | None) -> str:
    """An entry in a few words, for people."""
    if entry is None:
        return "no such file"
    words = [f"{stat.filemode(entry.mode)} {entry.uid}:{entry.gid}"]
    if entry.digest is not None:
        words.append(f"sha256:{entry.digest.hex()}")
    if entry.target is not None:
        words.append(f"-> {printable(entry.target)}")
    words += [f"{printable(name)}={printable(value)}" for name, value in entry.xattrs]
    return " ".join(words)


def pending(host: Host) -> list[Finding]:
    """The finding that an apply has begun and not ended, or nothing."""
    journal = host.state.journal()
    if journal is None:
        return []
    return [
        Finding(
            check="pending",
            link=Link.FILE,
            object=printable(os.fsencode(places.ETC.name)),
            problem=f"an apply of serial {journal.after} has begun and not ended",
            expected=f"all of serial {journal.after}",
            found="something in between",
            remedy="`verity etc apply --resume` ends it; `verity etc apply --abandon` goes back",
        )
    ]


def loose(found: Found, intent: Intent) -> tuple[Finding, ...]:
    """Findings for files whose contents aren't compared, and that others could change or read."""
    owner = intent.entries[ETC].uid
    findings = []
    for path, other in sorted(found.others.items()):
        entry, most = other.entry, other.rule.most
        if most is None or not entry.is_regular:
            continue
        mode = stat.S_IMODE(entry.mode)
        if mode & ~most or entry.uid != owner:
            findings.append(
                Finding(
                    check="loose",
                    link=Link.FILE,
                    object=printable(path),
                    path=path,
                    problem=f"of the class {other.rule.file_class}, with a mode or owner that lets"
                    " others in",
                    expected=f"at most {most:04o}, uid {owner}",
                    found=f"{mode:04o}, uid {entry.uid}",
                    remedy="chmod and chown it",
                )
            )
    return tuple(findings)


def not_evaluated(gap: Gap) -> NotEvaluated:
    """What could not be read."""
    return NotEvaluated(
        check="unreadable",
        object=printable(gap.path),
        path=gap.path,
        why=gap.why,
        hint=gap.hint,
    )


def _inside(path: bytes, hidden: set[bytes]) -> bool:
    return any(path == gap or path.startswith(gap + b"/") for gap in hidden)


def _below_etc(path: bytes) -> bool:
    return path.startswith(ETC + b"/")


def _vendor(host: Host, intent: Intent, vendor: Path | None) -> dict[bytes, Entry] | None:
    """The vendor's default of what is signed or would be, by path on the host; None without one."""
    if vendor is not None:
        default = Tree(vendor)
    elif etc_read.is_there(host.root, _VENDOR_ETC):
        default = etc_read.open_top(host.root, _VENDOR_ETC)
    else:
        return None
    entries = {}
    with default as opened:
        for item in opened.walk(tree.measured):
            if isinstance(item, Gap):
                raise HostError(
                    "unreadable",
                    f"{opened.label}{printable(item.path)}: {item.why}",
                    hint=item.hint,
                )
            path = ETC + item.path
            if item.path != b"/" and intent.scope.rule(path).file_class is FileClass.SIGNED:
                entries[path] = item.entry._replace(path=path)
    return entries
