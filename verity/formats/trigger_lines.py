# SPDX-License-Identifier: Apache-2.0
"""Lines of configuration that name programs: cron, PAM, udev, binfmt, apt, polkit. Bytes -> words.

Each function takes what one file holds, or one line of it, and gives what it names, as its own
program would read it. What it can't read is no command there either. Nothing is looked up.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ASSIGNMENT = re.compile(rb"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_PAM = re.compile(rb"(-?)(\w+)\s+(\[[^\]]*\]|\S+)\s+(\S+)\s*(.*)")
# What is opened and not closed goes to the end, and every other part has a bound: an expression
# that tries again from each place would never end on a file that is made for it.
_UDEV = re.compile(
    rb"\b(RUN|PROGRAM|IMPORT|ENV)(?:\{([^}]{0,256})\})?\s*(?:\+=|:=|==|=)\s*e?"
    rb'"((?:[^"\\]|\\.)*+)(?:"|\Z)'
)
_APT = re.compile(
    rb'/\*.*?(?:\*/|\Z)|//[^\n]*|#[^\n]*|"((?:[^"\\]|\\.)*+)(?:"|\Z)|([\w:.-]+)|([{};])|.',
    re.DOTALL,
)
_APT_HOOK = re.compile(rb"Invoke|Hooks|Install-Pkgs")
_POLKIT = re.compile(
    rb"<annotate\s{1,99}key=[\"']org\.freedesktop\.policykit\.exec\.path[\"']\s{0,99}>([^<]{0,4096})<"
)
_NSS_ACTION = re.compile(rb"\[[^\]]{0,256}\]")
_KEY_COMMAND = re.compile(rb'(?:^|,)command="((?:[^"\\]|\\.)*+)(?:"|\Z)')


def assignment(line: bytes) -> tuple[bytes, bytes] | None:
    """``NAME=value`` with quotes taken off; None for another line."""
    found = _ASSIGNMENT.fullmatch(line)
    if found is None:
        return None
    value = found[2].strip()
    if len(value) > 1 and value[:1] in (b"'", b'"') and value[:1] == value[-1:]:
        value = value[1:-1]
    return found[1], value


def cron_job(line: bytes, *, with_user: bool) -> tuple[bytes, bytes] | None:
    """User and command of a line of a crontab; None for what is no job."""
    fields = 1 if line.startswith(b"@") else 5
    words = line.split(None, fields + with_user)
    if len(words) != fields + with_user + 1:
        return None
    # What follows a percent sign is the job's input.
    command = re.split(rb"(?<!\\)%", words[-1])[0].replace(rb"\%", b"%")
    return (words[fields] if with_user else b""), command


@dataclass(frozen=True, kw_only=True)
class PamLine:
    """One line of a PAM service. ``included`` is another service's name, else there is a module."""

    module: bytes = b""
    included: bytes = b""
    arguments: tuple[bytes, ...] = ()
    optional: bool = False


def pam_line(line: bytes) -> PamLine | None:
    """A line of a file in pam.d; None for what is none."""
    if line.startswith(b"@include"):
        return PamLine(included=line.split(None, 1)[-1].strip())
    found = _PAM.fullmatch(line)
    if found is None:
        return None
    quiet, _, control, module, rest = found.groups()
    if control in (b"include", b"substack"):
        return PamLine(included=module)
    return PamLine(module=module, arguments=tuple(rest.split()), optional=bool(quiet))


@dataclass(frozen=True, kw_only=True)
class UdevKey:
    """A key of a udev rule that names a command (``unit`` is empty), or a unit to start."""

    command: bytes = b""
    unit: bytes = b""
    key: bytes


def udev_keys(line: bytes) -> Iterator[UdevKey]:
    """What one rule starts."""
    for name, attribute, value in _UDEV.findall(line):
        value = value.replace(b'\\"', b'"')
        if name == b"ENV":
            if attribute == b"SYSTEMD_WANTS":
                for unit in value.split():
                    yield UdevKey(unit=unit, key=b"SYSTEMD_WANTS")
            elif attribute == b"REMOVE_CMD" and value:  # what udev's own rules start later
                yield UdevKey(command=value, key=b"REMOVE_CMD")
        elif value == b"$env{REMOVE_CMD}":
            continue
        elif attribute in (b"builtin", b"file", b"db", b"cmdline", b"parent"):
            continue
        elif name == b"IMPORT" and attribute != b"program":
            continue
        elif value:
            yield UdevKey(command=value, key=name)


def binfmt_interpreter(line: bytes) -> bytes:
    """The interpreter of a line of binfmt.d; empty if there is none."""
    fields = line.split(line[:1]) if line else []
    return fields[6] if len(fields) >= 7 else b""


def apt_commands(data: bytes) -> Iterator[bytes]:
    """What the hooks of apt's configuration start, as lines for a shell."""
    name = b""
    outer: list[bytes] = []
    for string, word, sign in _APT.findall(data):
        if word:
            name = word
        elif sign == b"{":
            outer.append(name)
            name = b""
        elif sign:
            name = b""
            if sign == b"}" and outer:
                outer.pop()
        elif string and any(_APT_HOOK.search(one) for one in (name, *outer[-4:])):
            yield string.replace(b'\\"', b'"')


def key_commands(line: bytes) -> list[bytes]:
    """The commands that the options of a line of authorized_keys force."""
    options = line.partition(b" ssh-")[0]
    return [one.replace(b'\\"', b'"') for one in _KEY_COMMAND.findall(options)]


def logrotate_lines(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(what, value): ``script`` lines for a shell, ``include`` paths, ``program`` paths."""
    inside = False
    for line in data.split(b"\n"):
        words = line.split(None, 1)
        if not words:
            continue
        first = words[0]
        if inside:
            inside = first != b"endscript"
            if inside:
                yield b"script", line.strip()
        elif first in (b"prerotate", b"postrotate", b"firstaction", b"lastaction", b"preremove"):
            inside = True
        elif first == b"include" and len(words) > 1:
            yield b"include", words[1].strip()
        elif first in (b"compresscmd", b"uncompresscmd") and len(words) > 1:
            yield b"program", words[1].strip()


def polkit_programs(data: bytes) -> list[bytes]:
    """What pkexec(1) may start by an action file."""
    return [one.strip() for one in _POLKIT.findall(data)]


def nss_services(line: bytes) -> list[bytes]:
    """The services of a line of nsswitch.conf."""
    services = _NSS_ACTION.sub(b" ", line.partition(b"#")[0].partition(b":")[2])
    return [one for one in services.split() if re.fullmatch(rb"[\w-]+", one)]


def modules_dep(data: bytes) -> list[bytes]:
    """The modules of a modules.dep, as paths below its directory."""
    return [line.partition(b":")[0] for line in data.split(b"\n") if b":" in line]
