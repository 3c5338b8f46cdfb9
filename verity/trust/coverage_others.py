# SPDX-License-Identifier: Apache-2.0
"""What IMA's appraisal and the fanotify observer do about each attack, when they are on.

The same rules as ``verity.trust.coverage``. No line is ``STOPPED``: IMA asks for effective uid 0
alone, where the gate also knows capabilities, groups and the other ids; and the observer refuses
nothing at all.
"""

from collections.abc import Mapping

from verity.trust.coverage import ATTACKS, Cover, Stance

_PART = Stance.PARTLY
_ONLY_ROOT = "for effective uid 0; not for who has a capability or a group instead"
_NO_CONFIGURATION = "IMA is told of code only"
_NO_UNLOCK = "there is no unlock: the policy holds until reboot"

IMA: Mapping[int, tuple[Stance, str]] = {
    1: (_PART, _ONLY_ROOT),
    2: (_PART, _ONLY_ROOT),
    3: (
        _PART,
        "a set-uid program dies when it maps itself, as uid 0; set-gid and file-capability programs"
        " run",
    ),
    4: (Stance.NOT_COVERED, "a signature says nothing of mode, owner or capabilities"),
    5: (_PART, _ONLY_ROOT),
    6: (_PART, f"{_ONLY_ROOT}; anonymous memory is not asked about"),
    7: (_PART, "files made executable later; not anonymous memory, and not a dirty private page"),
    8: (_PART, f"{_ONLY_ROOT}; a page swapped while fs-verity is enabled is not noticed"),
    9: (_PART, "by signatures over the contents; kexec with a key of IMA's, not never"),
    10: (_PART, "what is started as uid 0, and firmware"),
    11: (Stance.NOT_COVERED, _NO_CONFIGURATION),
    12: (Stance.NOT_COVERED, "whatever a signed interpreter is told"),
    13: (Stance.NOT_COVERED, "memory of a process is not IMA's business"),
    14: (_PART, "effective uid 0 without capabilities; not the saved or real uid, nor groups"),
    15: (_PART, "other fs-verity parameters; a signature can't be revoked"),
    16: (Stance.NOT_COVERED, _NO_CONFIGURATION),
    17: (Stance.NOT_COVERED, _NO_CONFIGURATION),
    18: (Stance.NOT_COVERED, _NO_CONFIGURATION),
    19: (Stance.NOT_COVERED, _NO_CONFIGURATION),
    20: (Stance.NOT_COVERED, _NO_CONFIGURATION),
    21: (
        _PART,
        "the policy stays and the keyring takes no key; keys can be removed, which refuses",
    ),
    22: (_PART, "ftrace doesn't touch it; kprobes, perf and the kernel's lockdown are left alone"),
    23: (Stance.NOT_COVERED, "whoever loads the policy first decides it"),
    24: (_PART, "there is no process to kill; the clock is not asked"),
    25: (
        _PART,
        "signatures are verified in the kernel; there are no serials, so any may be replayed",
    ),
    26: (_PART, "a block that is changed below a file isn't read; writing it isn't refused"),
    27: (Stance.NOT_COVERED, _NO_UNLOCK),
}

_EXEC = "a start of a file on a watched file system is written down; a library or memory isn't"
_SILENT = "it hears of programs that are started, and of nothing else"

_SEEN: Mapping[int, str] = {
    1: _EXEC,
    2: f"{_EXEC}; the interpreter of a script is looked at, too",
    10: "helpers that the kernel starts from a watched file system; no firmware",
    14: "by the ids that /proc shows when it is asked, which is a moment later",
    15: "by digest, with the revocations of the boot bundle",
}
_UNSEEN: Mapping[int, str] = {
    3: "what a program becomes isn't looked at: it hears of it as a start by its user",
    6: "memory files can't be watched",
    8: "other file systems aren't watched",
}


def ima() -> tuple[Cover, ...]:
    """IMA with the policy of ``verity.formats.ima``, enforcing."""
    return tuple(
        Cover(number=number, stance=stance, why=why) for number, (stance, why) in IMA.items()
    )


def fanotify() -> tuple[Cover, ...]:
    """The observer, while it runs."""
    return tuple(
        Cover(number=number, stance=Stance.OBSERVED, why=_SEEN[number])
        if number in _SEEN
        else Cover(number=number, stance=Stance.NOT_COVERED, why=_UNSEEN.get(number, _SILENT))
        for number in ATTACKS
    )
