# SPDX-License-Identifier: Apache-2.0
"""A kernel command line, text -> what in it would start something else or leave the gate out.

Words as the kernel splits them: by spaces, with double quotes around what holds some. What is
behind ``--`` goes to init. Boot loaders' files are read only as far as their lines with a kernel.
"""

from collections.abc import Iterator
from dataclasses import dataclass

INITS = frozenset(
    {"/sbin/init", "/usr/sbin/init", "/lib/systemd/systemd", "/usr/lib/systemd/systemd"}
)
_GATE = ("verity-gate.service", "verity-seal.service", "verity-seal-late.service")
_SHELLS = frozenset({"single", "s", "S", "1", "emergency", "rescue", "-b", "-s"})
_TARGETS = ("emergency.target", "rescue.target", "runlevel1.target")
_FLAGS = {
    "rd.break": "the initramfs stops with a shell of root's",
    "rd.shell": "the initramfs gives a shell when something fails",
    "break": "the initramfs stops with a shell of root's",
    "systemd.debug-shell": "a shell of root's on a console, without a password",
    "systemd.debug_shell": "a shell of root's on a console, without a password",
    "rd.systemd.debug_shell": "a shell of root's on a console, without a password",
}


@dataclass(frozen=True, kw_only=True)
class Word:
    """An argument: its name, and its value; None without ``=``."""

    name: str
    value: str | None


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """An argument that stands in the way of a seal, and why. ``program``: what it has started."""

    word: str
    why: str
    program: str = ""


def words(text: str) -> Iterator[Word]:
    """The arguments in their order."""
    current, quoted = "", False
    for letter in text.strip() + " ":
        if letter == '"':
            quoted = not quoted
        elif letter.isspace() and not quoted:
            if current:
                name, equals, value = current.partition("=")
                yield Word(name=name, value=value if equals else None)
            current = ""
        else:
            current += letter


def complaints(text: str) -> Iterator[Complaint]:
    """What in a command line would start something that nobody signed, or keep the gate out."""
    for word in words(text):
        shown = word.name if word.value is None else f"{word.name}={word.value}"
        value = word.value or ""
        if word.name in ("init", "rdinit", "rd.init") and value not in {*INITS, "/init"}:
            yield Complaint(word=shown, why="another program is PID 1", program=value)
        elif word.name == "lsm" and "bpf" not in value.split(","):
            yield Complaint(word=shown, why="without bpf in it no gate can be loaded")
        elif word.name in ("systemd.mask", "rd.systemd.mask") and value in _GATE:
            yield Complaint(word=shown, why="the gate isn't loaded or sealed")
        elif word.name == "systemd.unit" and value in _TARGETS:
            yield Complaint(word=shown, why="every boot ends in a shell of root's")
        elif word.name in _FLAGS and value not in ("0", "no", "off", "false"):
            yield Complaint(word=shown, why=_FLAGS[word.name])
        elif word.value is None and word.name in _SHELLS:
            yield Complaint(word=shown, why="every boot ends in a shell of root's")
        elif word.name in ("bpf_jit_enable", "bpf") and value in ("0", "off"):
            yield Complaint(word=shown, why="the gate is BPF")


def of_grub(text: str) -> Iterator[str]:
    """The command lines in a grub.cfg: what is behind the kernel's name."""
    for line in text.splitlines():
        found = line.split(None, 2)
        if len(found) == 3 and found[0] in ("linux", "linuxefi", "linux16"):
            yield found[2]


def of_entry(text: str) -> Iterator[str]:
    """The command lines in an entry of the Boot Loader Specification."""
    for line in text.splitlines():
        found = line.split(None, 1)
        if len(found) == 2 and found[0] == "options":
            yield found[1]
