# SPDX-License-Identifier: Apache-2.0
"""The words of the gate's texts: states, modes, reasons and acts, and their numbers.

They come in the order of policy/gate/decide.h, and a test compares both. What is said with them is
``verity.formats.gate_status``'s, which most import them from.
"""

from collections.abc import Mapping
from enum import StrEnum


class _Numbered(StrEnum):
    """Words of the texts, in the order of the numbers that policy/gate/decide.h has for them."""

    @property
    def number(self) -> int:
        """VERITY_* of decide.h."""
        return _NUMBERS[type(self)][self]


class State(_Numbered):
    """The gate's state. The text is never of one that is off."""

    OFF = "off"
    LOADING = "loading"  # programs are attached, nothing is enforced but self-protection
    OBSERVE = "observe"
    SEALED = "sealed"
    BOOT = "boot"  # sealed, and files of the initramfs still count as granted


class Mode(StrEnum):
    """What the signed policy wants."""

    NONE = "none"
    OBSERVE = "observe"
    TRIAL = "trial"
    SEALED = "sealed"


class Reason(_Numbered):
    """Why something is refused, or ``ALLOW``."""

    ALLOW = "allow"
    NO_DIGEST = "no-digest"  # no fs-verity: nobody vouches for its contents
    OTHER_DIGEST = "other-digest"  # a digest of another algorithm
    STALE = "stale"  # digest and cached pages may differ
    NOT_GRANTED = "not-granted"  # no signed grants name this digest
    WRONG_USE = "wrong-use"  # granted, but not for this
    ANONYMOUS = "anonymous"  # executable memory without a file
    WRITABLE = "writable"  # writable and executable at once
    DIRTY = "dirty"  # private pages, which may have been written, made executable
    UNVERIFIED = "unverified"  # made executable later, and never verified as code
    NOT_ELEVATED = "not-elevated"  # raises privileges without a grant that covers it
    GATE_OBJECT = "gate-object"
    GATE_PIN = "gate-pin"
    GATE_KEY = "gate-key"
    FOREIGN_PROGRAM = "foreign-program"
    FTRACE = "ftrace"
    REVOKED = "revoked"  # not granted any more: digest, serial or signing key is revoked
    TRACED = "traced"  # a privileged task would be in another one's hand
    DEVICE = "device"  # writing below what is mounted or otherwise in use
    INTERPRETER = "interpreter"  # runs what it is told, and no granted script started it
    UNDECIDED = "undecided"  # the gate could not find out: no memory, or a fact out of range
    CONFIG_UNSIGNED = "config-unsigned"  # not granted at this guarded path, with these contents
    CONFIG_LINK = "config-link"  # nor this symlink, with this target
    CONFIG_MOUNT = "config-mount"  # mounted over guarded configuration, or what leads there
    USER_NAMESPACE = "user-namespace"  # in one, much more of the kernel can be reached
    TRACING = "tracing"  # reads what privileged programs and the kernel keep to themselves
    BPF_PROGRAM = "bpf-program"  # a program in the kernel, of whatever kind
    CONFIG_REMOVED = "config-removed"  # what grants put there, and the policy requires
    SESSION_OVER = "session-over"  # the unlock that this session was for is over
    BOOT_CHAIN = "boot-chain"  # the next boot would be another one

    @property
    def allow(self) -> bool:
        """Whether there is nothing against it."""
        return self is Reason.ALLOW


class Act(_Numbered):
    """What is attempted."""

    EXEC = "exec"  # a file is started: program, script or interpreter
    ELEVATE = "elevate"  # execve ends with more than the subject had
    MAP = "map"  # memory is mapped
    PROTECT = "protect"  # memory that is mapped becomes executable
    OBJECT = "object"  # a map, program or link of the gate is reached for
    PIN = "pin"  # a pin of the gate, or a mount that holds it, is changed
    KEY = "key"  # a key or keyring of the gate
    PROGRAM = "program"  # a BPF program is loaded that could change what hooks return
    FTRACE = "ftrace"  # ftrace, through which the gate is called, is switched off
    MODULE = "module"  # the kernel takes a module or firmware
    KEXEC = "kexec"  # a kernel to start next is loaded
    TRACE = "trace"  # a task's memory or files are reached into
    DEVICE = "device"  # a block device that is in use is opened for writing
    CONFIG = "config"  # a file is opened for reading, where configuration may be
    LINK = "link"  # a symlink is followed or read, likewise
    MOUNT = "mount"  # something is mounted, likewise
    USER_NAMESPACE = "user-namespace"  # one is made
    TRACING = "tracing"  # the kernel or a program is traced: kprobes, perf, ftrace
    BPF_PROGRAM = "bpf-program"  # any other BPF program is loaded
    REMOVE = "remove"  # a name is taken away, or what it means is replaced
    BOOT = "boot"  # what the machine boots from is changed


_NUMBERS: Mapping[type[_Numbered], Mapping[_Numbered, int]] = {
    kind: {item: number for number, item in enumerate(kind, first)}
    for kind, first in ((State, 0), (Reason, 0), (Act, 1))
}
