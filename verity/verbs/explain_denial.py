# SPDX-License-Identifier: Apache-2.0
"""explain --denial: one refusal of the gate in words, the file as it is now, and the way out.

The refusal is what the gate wrote down at that moment. The file is asked anew, and only whether it
is still the one that was refused: the same name may hold other contents by now, or lie in a mount
namespace that can't be seen from here. What is advised asks somebody for a signature; nothing here
grants anything, and nothing asked here changes what the gate does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from verity.formats.escaped import printable, shell_word
from verity.formats.gate_status import Act, Denial, Reason
from verity.ports import kernel, process
from verity.ports.osfile import closing
from verity.ports.tree import Tree
from verity.values.digest import Digest, HashAlgorithm
from verity.values.errors import HostError, VerityError
from verity.verbs import denial_words, gate_view

ACTS: Mapping[Act, str] = {
    Act.EXEC: "to start this file: a program, a script, or the interpreter of one",
    Act.ELEVATE: "to start this file with more privileges than the caller has",
    Act.MAP: "to map memory as executable",
    Act.PROTECT: "to make memory executable that was mapped before",
    Act.OBJECT: "to reach for a map, program or link of the gate",
    Act.PIN: "to change a pin of the gate, or the mount that holds it",
    Act.KEY: "to use a key or keyring of the gate",
    Act.PROGRAM: "to load a BPF program that can change what the kernel's functions return",
    Act.FTRACE: "to switch off ftrace, through which the gate is called",
    Act.MODULE: "to give the kernel a module or firmware",
    Act.KEXEC: "to load the kernel to start next",
    Act.TRACE: "to reach into a privileged process: its memory, its files, or by tracing it",
    Act.DEVICE: "to open a block device for writing that is in use",
    Act.CONFIG: "to read this file, in a place that the policy guards",
    Act.LINK: "to follow this symlink, or to read its target, in or on the way to such a place",
    Act.MOUNT: "to mount something at this path",
    Act.USER_NAMESPACE: "to make a user namespace",
    Act.TRACING: "to trace the kernel, a processor, or programs: kprobes, perf events, ftrace, or a"
    " BPF program for them",
    Act.BPF_PROGRAM: "to load a BPF program",
    Act.REMOVE: "to delete a file, symlink or directory, to rename it, or to put another over it",
    Act.BOOT: "to change what the machine boots from: /boot, the ESP, EFI variables, their disks",
}

REASONS: Mapping[Reason, str] = {
    Reason.ALLOW: "it was not refused",
    Reason.NO_DIGEST: "the file has no fs-verity, so nobody vouches for its contents",
    Reason.OTHER_DIGEST: "its fs-verity digest is not SHA-256, the only kind that grants name",
    Reason.STALE: "fs-verity was enabled while the gate was loaded, and pages that were cached"
    " before may differ from the digest",
    Reason.NOT_GRANTED: "no signed grants name this digest",
    Reason.WRONG_USE: "signed grants name this digest, but not for this use",
    Reason.ANONYMOUS: "it is executable memory without a file, whose contents nobody signed",
    Reason.WRITABLE: "the memory would have been writable and executable at once",
    Reason.DIRTY: "the memory has pages of its own, which may differ from the signed file",
    Reason.UNVERIFIED: "its file was not verified as code when it was mapped",
    Reason.NOT_ELEVATED: "it raises privileges, and no signed grant covers all that it raises",
    Reason.GATE_OBJECT: "nobody may touch what the gate is made of, root included",
    Reason.GATE_PIN: "nobody may remove the gate once it is sealed, root included",
    Reason.GATE_KEY: "nobody may use or change the keys that the gate verifies with",
    Reason.FOREIGN_PROGRAM: "such a program could turn a refusal into a permission",
    Reason.FTRACE: "without ftrace the gate would be attached and never called",
    Reason.REVOKED: "it was granted, and counts no more: its digest, the serial of the grants or a"
    " key that signed them is revoked",
    Reason.TRACED: "whoever reaches into a privileged process can have it run anything",
    Reason.DEVICE: "it would change what is below a file system behind the kernel's back",
    Reason.INTERPRETER: "the policy lists it as an interpreter, which runs what it is told, and no"
    " granted script started it",
    Reason.UNDECIDED: "the gate could not find out what it was: no memory, or a case that it does"
    " not know",
    Reason.CONFIG_UNSIGNED: "the policy guards this path as signed, by this name or by the one that"
    " its directory had before the seal, and no signed grants put these contents there",
    Reason.CONFIG_LINK: "the path is guarded as signed or leads to what is, and no signed grants"
    " put a symlink with this target there",
    Reason.CONFIG_MOUNT: "it would cover what the policy guards as signed, or what leads there",
    Reason.USER_NAMESPACE: "who is in a user namespace reaches parts of the kernel that are"
    " otherwise root's alone",
    Reason.TRACING: "what traces reads the memory and registers of privileged programs and of the"
    " kernel",
    Reason.BPF_PROGRAM: "it is a program in the kernel that nobody signed",
    Reason.CONFIG_REMOVED: "the policy requires what grants put at this path, or below it, to stay:"
    " it isn't removed, renamed or replaced by anything that they don't put there as well",
    Reason.SESSION_OVER: "the process is of an unlocked session, and the unlock is over",
    Reason.BOOT_CHAIN: "the next boot would load another kernel, initramfs or gate",
}

_SIGN = (
    "have it signed: verity extension sign --key EXTENSION.pem --stream STREAM --serial N"
    " --tree DIR OUT, then: verity lockdown import OUT/grants"
)
_ENABLE = "verity enable {path}"
_SIGN_ETC = (
    "have it signed under this path: verity etc sign for the host's /etc, verity commit sign for"
    " the system's; then: verity lockdown import"
)
_EXEMPT = "or have the policy give the path another class, and sign its next serial"
_REOPEN = "verity enable {path}, then start it again: the next open finds no page cached before"
_CODE_AGAIN = "start it from a file that is signed, and map it executable at once, not later"
_JIT = (
    "if it must make code at run time, have the policy list its program as jit, and its commit"
    " signed by that: verity commit sign --policy"
)
_SHARED = (
    "if its user is an ordinary one: it gave privileges up while others shared its memory; have it"
    " execute a program after that, or give them up before it starts threads"
)
_REACTION = "have the policy's next serial signed with the reaction observe to {}, and reboot"
_NONE = "none: no signature allows it while the gate is loaded"

REMEDIES: Mapping[Reason, tuple[str, ...]] = {
    Reason.ALLOW: (),
    Reason.NO_DIGEST: (_ENABLE, _SIGN),
    Reason.OTHER_DIGEST: ("copy the file, then enable it with the defaults: " + _ENABLE, _SIGN),
    Reason.STALE: (_REOPEN,),
    Reason.NOT_GRANTED: (_SIGN,),
    Reason.WRONG_USE: (
        "have it signed with the mode and type that it is used with: an execute bit for a program"
        " or script, a shared object for a library",
        _SIGN,
    ),
    Reason.ANONYMOUS: (_JIT, _SHARED),
    Reason.WRITABLE: ("map it writable or executable, never both", _SHARED),
    Reason.DIRTY: (_CODE_AGAIN, _SHARED),
    Reason.UNVERIFIED: (_CODE_AGAIN, _SHARED),
    Reason.NOT_ELEVATED: (
        "have it signed as part of an OS commit with these set-id bits and capabilities, or start"
        " it as a user that has the privileges already",
    ),
    Reason.GATE_OBJECT: (_NONE,),
    Reason.GATE_PIN: ("reboot: a seal ends there, and only there",),
    Reason.GATE_KEY: (_NONE,),
    Reason.FOREIGN_PROGRAM: (_NONE + "; load it before the gate is sealed, and it won't seal",),
    Reason.FTRACE: (_NONE,),
    Reason.REVOKED: (
        "update it: this one was revoked; `verity lockdown status` shows the streams that are dead"
        " until their next serial",
    ),
    Reason.TRACED: ("debug it as an ordinary user, or on a machine whose gate isn't sealed",),
    Reason.DEVICE: ("unmount it, or end what else has claimed it, and write then",),
    Reason.INTERPRETER: ("name it in the first line of a script, #!, and " + _SIGN,),
    Reason.UNDECIDED: ("look at the kernel's log, free some memory, and report it if it repeats",),
    Reason.CONFIG_UNSIGNED: (_ENABLE, _SIGN_ETC, _EXEMPT),
    Reason.CONFIG_LINK: (_SIGN_ETC, _EXEMPT),
    Reason.CONFIG_MOUNT: ("mount it before the gate is loaded, or at another path", _EXEMPT),
    Reason.USER_NAMESPACE: (_REACTION.format("user-namespaces"),),
    Reason.TRACING: (
        "trace your own programs as an ordinary user, or on a machine whose gate isn't sealed",
        _REACTION.format("tracing"),
    ),
    Reason.BPF_PROGRAM: (
        "load it before the gate is sealed",
        _REACTION.format("bpf-programs"),
    ),
    Reason.CONFIG_REMOVED: (
        "have the next serial of its stream signed without it, or with what shall be there:"
        " verity etc sign, verity commit sign; then: verity lockdown import",
        "or sign the policy's next serial without require, and reboot",
    ),
    Reason.SESSION_OVER: ("log in again, or apply another token of the scope session",),
    Reason.BOOT_CHAIN: (
        "have the next boot put it there: verity lockdown stage, see docs/guides/boot.md",
    ),
}


class Now(StrEnum):
    """What the file is now, beside what was refused."""

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"
    UNKNOWN = "unknown"
    NO_FILE = "no-file"


@dataclass(frozen=True, kw_only=True)
class Explained:
    """One denial in words. ``now_text`` says what the kernel says of the file at this moment.

    ``commands`` are what to type next, as they are typed.
    """

    denial: Denial
    attempted: str
    why: str
    now: Now
    now_text: str
    remedies: tuple[str, ...]
    rule: str
    commands: tuple[str, ...]

    @property
    def exit_status(self) -> int:
        """0 if all of it could be told, 3 if the file could not be asked."""
        return 3 if self.now is Now.UNKNOWN else 0


def find(root: Path, number: int | None) -> Denial:
    """The denial of this number; None is the last one."""
    known = gate_view.denials(root)
    for denial in reversed(known):
        if number in (None, denial.seq):
            return denial
    if number is None:
        raise HostError("no-denial", "the gate's log is empty: nothing was refused so far")
    kept = f"it has {len(known)}, up to {known[-1].seq}" if known else "it has none"
    raise HostError(
        "no-denial",
        f"denial {number} is not in the gate's log: {kept}",
        hint="`verity lockdown log` lists them; the gate keeps the last 256 and the first of each"
        " reason",
    )


def explain(root: Path, number: int | None) -> Explained:
    """Explain one denial; files are looked up below ``root``."""
    return in_words(root, find(root, number))


def of_file(root: Path, path: bytes) -> tuple[Explained, ...]:
    """The last denial of each kind of this file, by its name or its digest; oldest first.

    HostError (``no-denial``) if the gate's log has none.
    """
    digest = _digest_now(root, path)
    found = [
        denial
        for denial in gate_view.denials(root)
        if denial.path == path or (digest is not None and denial.digest == digest)
    ]
    if not found:
        raise _none_of(
            printable(path), "`verity explain --repo --commit` shows what was signed of a file"
        )
    return _last_of_each(root, found)


def of_process(root: Path, pid: int) -> tuple[Explained, ...]:
    """The last denial of each kind of what this process attempted, oldest first.

    Numbers of processes are used again: of one that runs, what was before its start isn't its own.
    """
    began = process.started_ms(root, pid)
    found = [one for one in gate_view.denials(root) if one.pid == pid]
    if began is not None:
        found = [one for one in found if one.boot_ms >= began]
    if not found:
        raise _none_of(f"process {pid}", "`verity lockdown log` lists all that the gate has")
    return _last_of_each(root, found)


def _none_of(what: str, hint: str) -> HostError:
    return HostError("no-denial", f"{what}: the gate's log has no denial of it", hint=hint)


def _last_of_each(root: Path, found: Sequence[Denial]) -> tuple[Explained, ...]:
    last = {(one.denied, one.reason, one.act): one for one in found}
    return tuple(in_words(root, one) for one in sorted(last.values(), key=lambda one: one.seq))


def _digest_now(root: Path, path: bytes) -> bytes | None:
    """What the kernel says of the file now; None if it says nothing that the gate would count."""
    if not path.startswith(b"/"):
        return None
    try:
        with Tree(root) as tree, closing(tree.open(path)) as fd:
            found = kernel.measure(fd, label=printable(path))
    except VerityError:
        return None
    if found is None or found.algorithm is not HashAlgorithm.SHA256:
        return None
    return found.value


def in_words(root: Path, denial: Denial) -> Explained:
    """A denial in words; its file is looked up below ``root``."""
    now, text = _now(root, denial)
    path = "FILE" if denial.path is None else shell_word(denial.path)
    return Explained(
        denial=denial,
        attempted=ACTS[denial.act],
        why=REASONS[denial.reason],
        now=now,
        now_text=text,
        remedies=tuple(remedy.replace("{path}", path) for remedy in REMEDIES[denial.reason]),
        rule=denial_words.rule(denial),
        commands=denial_words.commands(denial)[1:],  # the first one is this
    )


def _now(root: Path, denial: Denial) -> tuple[Now, str]:
    """Ask the kernel for the file that has this name now."""
    path = denial.path or b""
    # A task chooses the name of a memfd, dots and slashes included.
    if not path.startswith(b"/") or {b"", b".", b".."} & set(path[1:].split(b"/")):
        return Now.NO_FILE, "there is no file to ask"
    label = printable(path)
    try:
        with Tree(root) as tree, closing(tree.open(path)) as fd:
            found = kernel.measure(fd, label=label)
    except VerityError as error:
        if error.code in ("no-verity-filesystem", "no-verity-feature"):
            return _compared(denial, None)
        if error.code == "not-found":
            return Now.GONE, "nothing has this name now"
        return Now.UNKNOWN, error.message
    return _compared(denial, found)


def _compared(denial: Denial, found: Digest | None) -> tuple[Now, str]:
    then = None if denial.digest is None else Digest(HashAlgorithm.SHA256, denial.digest)
    said = "has no fs-verity" if found is None else f"the kernel says {found}"
    if found != then:
        before = "it had none that counts" if then is None else f"it was {then}"
        return Now.CHANGED, f"{said}; when it was refused {before}"
    return Now.SAME, f"{said}, as when it was refused"
