# SPDX-License-Identifier: Apache-2.0
"""What a command line leads to, beyond its program.

1. An interpreter's first argument that is a file: code that it reads. ``env`` leads to the
   program that it is asked for.
2. Every argument that is the absolute path of a program that is there: others are given programs
   to start (``flock``, ``start-stop-daemon``, ``sh -c``).
3. In a line for the shell, the first word of each simple command.

A heuristic for what lies open in a line. What a script does, and what variables and substitutions
become, is not followed; nothing that is only guessed is missed as a file that isn't there.
"""

import re
from collections.abc import Iterator

from verity.formats.unit_exec import split
from verity.verbs.reach_values import PATH, Reference, Seen, Step, Use

# Programs that read the file that is their first argument, by name; and the options with which they
# take a text or a module instead.
_READ_BY = (
    (re.compile(rb"[a-z]{0,3}sh"), re.compile(rb"-[a-zA-Z]*c[a-zA-Z]*|-")),
    (re.compile(rb"python[0-9.]*"), re.compile(rb"-[a-zA-Z]*[cm].*|-", re.DOTALL)),
    (re.compile(rb"(?:perl|ruby|lua)[0-9.]*"), re.compile(rb"-[a-zA-Z]*[eE].*|-", re.DOTALL)),
    (
        re.compile(rb"node|nodejs"),
        re.compile(rb"-[a-z]*[ep]|--(?:eval|print)(?:=.*)?|-", re.DOTALL),
    ),
    (re.compile(rb"php[0-9.]*"), re.compile(rb"-r.*|-", re.DOTALL)),
    (re.compile(rb"tclsh[0-9.]*"), re.compile(rb"-")),
)
_PROGRAM = (b"\x7fELF", b"#!")
_SEPARATORS = re.compile(rb"\|\||&&|[;|&(){}\n`]|\$\(")
_ASSIGNMENT = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*=")
_KEYWORDS = {
    *(b"if", b"then", b"else", b"elif", b"fi", b"do", b"done", b"while", b"until", b"!", b"exec"),
    *(b"command", b"nice", b"ionice", b"nohup", b"setsid", b"time", b"root", b"cd"),
}


def of_arguments(
    seen: Seen, program: bytes, words: tuple[bytes, ...], by: tuple[Step, ...]
) -> Iterator[Reference]:
    """What the arguments of a started program lead to."""
    name = program.rpartition(b"/")[2]
    if name == b"env":
        asked = [one for one in words if not one.startswith(b"-") and not _ASSIGNMENT.match(one)]
        if asked:
            yield Reference(target=asked[0], use=Use.STARTED, by=by)
    text = next((text for program, text in _READ_BY if program.fullmatch(name)), None)
    for word in words if text is not None else ():
        if text is not None and text.fullmatch(word):
            break
        located = seen.find(word) if word.startswith(b"/") else None
        if located is not None and located.is_file:
            yield Reference(target=word, use=Use.READ, by=by, optional=True)
            break
    for word in words:
        for path in re.findall(rb"/[^\s\"'=;|&()<>$`]+", word):
            if _is_program(seen, path):
                yield Reference(target=path, use=Use.STARTED, by=by, optional=True)


def of_shell(
    seen: Seen, line: bytes, by: tuple[Step, ...], path: tuple[bytes, ...] = PATH
) -> Iterator[Reference]:
    """What a line leads to that a shell is given."""
    for simple in _SEPARATORS.split(line):
        words = tuple(word.strip(b"\"'") for word, _ in split(simple))
        while words and (_ASSIGNMENT.match(words[0]) or words[0] in _KEYWORDS):
            words = words[1:]
        if not words:
            continue
        program = seen.program(words[0], path)
        if program.startswith(b"/"):
            yield Reference(target=program, use=Use.STARTED, by=by, optional=True)
            yield from of_arguments(seen, program, words[1:], by)
        if words[0] in (b".", b"source") and len(words) > 1 and words[1].startswith(b"/"):
            yield Reference(target=words[1], use=Use.READ, by=by, optional=True)


def run_parts(
    seen: Seen, folder: bytes, by: tuple[Step, ...], *, suffix: bytes = b""
) -> Iterator[Reference]:
    """Every program of a directory whose programs are all started."""
    for name in seen.names(folder):
        path = folder + b"/" + name
        located = seen.find(path)
        if located is None or not located.is_file or not located.status.st_mode & 0o111:
            continue
        if not name.startswith(b".") and name.endswith(suffix):
            yield Reference(target=path, use=Use.STARTED, by=by)


def _is_program(seen: Seen, path: bytes) -> bool:
    located = seen.find(path)
    if located is None or not located.is_file or not located.status.st_mode & 0o111:
        return False
    return seen.head(located).startswith(_PROGRAM)
