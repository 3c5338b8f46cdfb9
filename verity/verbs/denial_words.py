# SPDX-License-Identifier: Apache-2.0
"""A denial in one line: which rule it was, what was missing, and the command to type next.

For records that are read without this program at hand (the journal, audit), and for
``verity explain``. Commands name the denial by its number, or a file in a form that any shell takes
for one word: its name is chosen by whoever was refused.
"""

from collections.abc import Mapping

from verity.formats.escaped import shell_word
from verity.formats.gate_status import Denial, Reason

_BUILT_IN = "built in, the same under every policy"


def _reaction(to: str) -> str:
    return f'policy [[reaction]] to = "{to}"'


# By name, so that a reason of the gate has its rule here before or after it has its number.
RULES: Mapping[str, tuple[str, str]] = {
    "no-digest": (_reaction("no-digest"), "fs-verity on the file, and a grant of its digest"),
    "other-digest": (_reaction("other-digest"), "a SHA-256 digest of 4096-byte blocks"),
    "stale": (_reaction("stale"), "an open of the file when none of its pages is cached"),
    "not-granted": (_reaction("not-granted"), "a code grant of this digest"),
    "wrong-use": (_reaction("wrong-use"), "a flag for this use in the digest's grant"),
    "anonymous": (_reaction("anonymous"), "the flag jit in the grant of the program that runs"),
    "writable": (_reaction("writable"), "the flag jit in the grant of the program that runs"),
    "dirty": (_reaction("dirty"), "a mapping that nobody wrote to"),
    "unverified": (_reaction("unverified"), "a mapping that was executable from the start"),
    "not-elevated": (_reaction("not-elevated"), "an elevation grant of exactly these privileges"),
    "gate-object": (_BUILT_IN, "nothing allows it"),
    "gate-pin": (_BUILT_IN, "nothing allows it until reboot"),
    "gate-key": (_BUILT_IN, "nothing allows it"),
    "foreign-program": (_BUILT_IN, "nothing allows it"),
    "ftrace": (_BUILT_IN, "nothing allows it"),
    "revoked": ("revocations, the same under every policy", "a grant that isn't revoked"),
    "traced": (_reaction("ptrace"), "nothing allows it but a policy that only observes it"),
    "device": (_reaction("block-devices"), "a device that nothing uses"),
    "interpreter": ("policy [[interpreters]]", "a granted script whose #! names it"),
    "config-unsigned": ("policy [[guarded]]", "a config grant of this path and digest"),
    "config-link": ("policy [[link]]", "a config grant or a [[link]] of this link's target"),
    "config-mount": ("policy [[guarded]]", "nothing allows a mount over guarded places"),
    "config-removed": ("policy [[guarded]]", "a newer grant in its place, or a serial without one"),
    "user-namespace": (_reaction("user-namespaces"), "a policy that only observes it"),
    "tracing": (_reaction("tracing"), "a policy that only observes it"),
    "bpf-program": (_reaction("bpf-programs"), "a policy that only observes it"),
    "boot-chain": (_BUILT_IN, "an update that the next boot's initramfs puts there"),
    "extension-module": (_reaction("extension-modules"), "a module grant of the vendor"),
    "session-over": (_BUILT_IN, "a live unlock token of the scope session"),
    "undecided": (_BUILT_IN, "a fact that the gate could not get"),
}

# What a one-file extension can change: the file's contents are what was missing a signature.
EXCEPTIONS = frozenset({Reason.NO_DIGEST, Reason.OTHER_DIGEST, Reason.NOT_GRANTED})

_CONFIGURATION = ("config-unsigned", "config-link")


def rule(denial: Denial) -> str:
    """The line of the policy, and what would have had to be there."""
    where, missing = RULES[denial.reason]
    return f"{where}; missing: {missing}"


def is_file(denial: Denial) -> bool:
    """Whether its path can be opened: a memfd's name and what was deleted can't."""
    path = denial.path or b""
    parts = path[1:].split(b"/")
    if path.startswith(b"/memfd:") or path.endswith(b" (deleted)"):
        return False
    return path.startswith(b"/") and not {b"", b".", b".."} & set(parts)


def commands(denial: Denial) -> tuple[str, ...]:
    """What to type next, first what only looks."""
    found = [f"verity explain --denial {denial.seq}"]
    if denial.reason in EXCEPTIONS and is_file(denial):
        found.append(f"verity lockdown exception request --denial {denial.seq} -o exception.json")
    if denial.reason is Reason.STALE and is_file(denial):
        found.append(f"verity enable {shell_word(denial.path or b'')}")
    if denial.reason.value in _CONFIGURATION:
        found.append("verity etc status")
    return tuple(found)
