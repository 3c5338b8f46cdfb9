# SPDX-License-Identifier: Apache-2.0
"""What the demo tries with the gate and without it: what would show that it ran, and the reason."""

from dataclasses import dataclass

AT = "/opt/demo"
ORDINARY = "user"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One command. ``shows`` is printed exactly if unsigned code ran; the rest is the denial."""

    what: str
    command: str
    shows: str
    reason: str
    act: str = "exec"
    path: str
    user: str | None = None


_MEMFD = (
    "import os; fd = os.memfd_create('unsigned'); os.write(fd, open('/usr/bin/id', 'rb').read());"
    " os.execv(f'/proc/self/fd/{fd}', ['id'])"
)

PROGRAM = Attempt(
    what="an unsigned program",
    command=f"{AT}/unsigned",
    shows="uid=0(root)",
    reason="no-digest",
    path=f"{AT}/unsigned",
)
TOOL = Attempt(
    what="a program with fs-verity that nobody signed",
    command=f"{AT}/tool",
    shows="uid=0(root)",
    reason="not-granted",
    path=f"{AT}/tool",
)
ATTEMPTS = (
    PROGRAM,
    TOOL,
    Attempt(
        what="an unsigned script",
        command=f"{AT}/unsigned.sh",
        shows="the script runs",
        reason="no-digest",
        path=f"{AT}/unsigned.sh",
    ),
    Attempt(
        what="an unsigned library, loaded into a signed program",
        command=f"python3 -c \"import ctypes; ctypes.CDLL('{AT}/unsigned.so')\"",
        shows="the library's code runs",
        reason="no-digest",
        act="map",
        path=f"{AT}/unsigned.so",
    ),
    Attempt(
        what="the same by LD_PRELOAD",
        command=f"LD_PRELOAD={AT}/unsigned.so /usr/bin/true",
        shows="the library's code runs",
        reason="no-digest",
        act="map",
        path=f"{AT}/unsigned.so",
    ),
    Attempt(
        what="a program in memory: signed contents, but no file that says so",
        command=f'python3 -c "{_MEMFD}"',
        shows="uid=0(root)",
        reason="no-digest",
        path="/memfd:unsigned (deleted)",
    ),
    Attempt(
        what="an unsigned set-uid program, started by an ordinary user",
        command=f"{AT}/unsigned-suid",
        shows="euid=0(root)",
        reason="not-elevated",
        act="elevate",
        path=f"{AT}/unsigned-suid",
        user=ORDINARY,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Control:
    """One command that must run, gate or not, and show this."""

    what: str
    command: str
    shows: str
    user: str | None = None


CONTROLS = (
    Control(what="a signed program", command="id", shows="uid=0(root)"),
    Control(what="a signed script", command="which id", shows="/usr/bin/id"),
    Control(
        what="the unsigned program, for an ordinary user",
        command=f"{AT}/unsigned",
        shows="uid=1000(user)",
        user=ORDINARY,
    ),
    Control(
        what="the unsigned script, for an ordinary user",
        command=f"{AT}/unsigned.sh",
        shows="the script runs",
        user=ORDINARY,
    ),
    Control(
        what="a signed set-uid program, started by an ordinary user (it reads /etc/shadow)",
        command="passwd --status",
        shows="user L",
        user=ORDINARY,
    ),
)

# Named, not denied: what a signed shell is told to do (docs/threat-model.md).
NOT_CLAIMED = Control(
    what="not claimed: a signed shell still does what a script tells it",
    command=f"sh {AT}/unsigned.sh",
    shows="the script runs",
)
