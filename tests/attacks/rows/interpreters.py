# SPDX-License-Identifier: Apache-2.0
"""Group 12: interpreters, which run what they are told; Python and Perl as the policy that comes
with verity lists them, and a program that a policy lists as jit.

RESIDUAL is what is not stopped, each with the words of docs/threat-model.md.
"""

from typing import Any

from ..attack import Attack
from ..ground import SIGNED, TOOLS, UNSIGNED, WORK

_PYTHON, _PERL = "/usr/bin/python3", "/usr/bin/perl"
_LOADER = "/lib64/ld-linux-x86-64.so.2"
_QUIET = "PYTHONDONTWRITEBYTECODE=1"
_CODE = "print('ran unsigned python')"
_LIBRARY = f"{SIGNED}/library.so"
_LINK = f"{WORK}/reopened"

TOLD = "what a signed shell or a granted interpreter is told to do by arguments, standard input"
ENVIRONMENT = (
    "environment, module search path and the reopened script path of a granted interpreter"
)
UNLISTED = "so does an interpreter that the policy doesn't list"


def _python(name: str, act: str, *, shows: str = "ran unsigned python", **others: Any) -> Attack:
    return Attack(
        group=12,
        name=name,
        act=act,
        shows=shows,
        reason="interpreter",
        signed=f"{SIGNED}/script.py",
        **others,
    )


def _perl(name: str, act: str) -> Attack:
    return Attack(
        group=12,
        name=name,
        act=act,
        shows="ran unsigned perl",
        reason="interpreter",
        signed=f"{SIGNED}/script.pl",
    )


def _jit(name: str, what: str, reason: str, *, file: str = _LIBRARY, signed: str) -> Attack:
    return Attack(
        group=12,
        name=name,
        act=f"{TOOLS}/{what} {file}",
        reason=reason,
        signed=f"{TOOLS}/{signed} {_LIBRARY}",
    )


def _left(name: str, act: str, residual: str, *, shows: str, **others: Any) -> Attack:
    return Attack(group=12, name=name, act=act, shows=shows, reason="", residual=residual, **others)


ROWS = (
    _python("script as an argument", f"{_PYTHON} {UNSIGNED}/script.py"),
    _python("script on standard input", f"{_PYTHON} <{UNSIGNED}/script.py"),
    _python("code as an argument", f'{_PYTHON} -c "{_CODE}"'),
    _python("module as an argument", f"cd {UNSIGNED} && {_PYTHON} -m script"),
    _python(
        "signed script as an argument",
        f"{_PYTHON} {SIGNED}/script.py",
        shows="ran signed python",
    ),
    _python(
        "signed script through env",
        f"{SIGNED}/through-env.py",
        shows="ran signed python",
    ),
    _python(
        "signed script called like an option",
        f'cd {WORK} && PATH=: && -c "{_CODE}"',
        setup=f"ln {SIGNED}/script.py {WORK}/-c",
        cleanup=f"rm {WORK}/-c",
    ),
    Attack(
        group=12,
        name="unsigned script by its first line",
        act=f"{UNSIGNED}/script.py",
        shows="ran unsigned python",
        reason="no-digest",
    ),
    _perl("perl, script as an argument", f"{_PERL} {UNSIGNED}/script.pl"),
    _perl("perl, script on standard input", f"{_PERL} <{UNSIGNED}/script.pl"),
    _perl("perl, code as an argument", f"{_PERL} -e 'print \"ran unsigned perl\\n\"'"),
    Attack(
        group=12,
        name="library on a module path",
        act=f"{_QUIET} PYTHONPATH={UNSIGNED}/native {SIGNED}/importing.py",
        shows="ran unsigned library",
        reason="no-digest",
    ),
    _python("interpreter given to the loader", f"{_LOADER} {_PYTHON} {UNSIGNED}/script.py"),
    Attack(
        group=12,
        name="executable memory of a script",
        act=f"{SIGNED}/mapping.py",
        reason="anonymous",
        signed=f"{SIGNED}/script.py",
    ),
    _jit("memory without jit", "mapper anonymous", "anonymous", signed="jit anonymous"),
    _jit(
        "memory made executable without jit",
        "mapper anonymous-protect",
        "anonymous",
        signed="jit anonymous-protect",
    ),
    _jit("jit and a memfd", "jit memfd", "no-digest", signed="jit rx"),
    _jit("jit and a writable file", "jit write-exec", "writable", signed="jit rx"),
    _jit(
        "jit and an unsigned file",
        "jit rx",
        "no-digest",
        file=f"{UNSIGNED}/library.so",
        signed="jit rx",
    ),
)

RESIDUAL = (
    _left("shell, script as an argument", f"sh {UNSIGNED}/data.sh", TOLD, shows="ran unsigned"),
    _left("shell, script on standard input", f"sh <{UNSIGNED}/data.sh", TOLD, shows="ran unsigned"),
    _left("shell, code as an argument", "sh -c 'echo ran $((6 * 7))'", TOLD, shows="ran 42"),
    _left(
        "awk, which no policy lists",
        "awk 'BEGIN { print \"ran \" 6 * 7 }'",
        UNLISTED,
        shows="ran 42",
    ),
    _left(
        "module on a module path",
        f"{_QUIET} PYTHONPATH={UNSIGNED}/modules {SIGNED}/importing.py",
        ENVIRONMENT,
        shows="ran unsigned module",
    ),
    _left(
        "byte code on a module path",
        f"{_QUIET} PYTHONPATH={WORK}/compiled {SIGNED}/importing.py",
        ENVIRONMENT,
        shows="ran unsigned module",
        setup=f"mkdir {WORK}/compiled"
        f" && {TOOLS}/compile.py {UNSIGNED}/modules/attack.py {WORK}/compiled/attack.pyc",
        cleanup=f"rm -r {WORK}/compiled",
    ),
    _left(
        "perl's options in the environment",
        f"PERL5LIB={UNSIGNED}/modules PERL5OPT=-MAttack {SIGNED}/script.pl",
        ENVIRONMENT,
        shows="ran unsigned module",
    ),
    _left(
        "script exchanged while its interpreter starts",
        f"{TOOLS}/reopen {_LINK} {SIGNED}/script.py {UNSIGNED}/script.py",
        ENVIRONMENT,
        shows="ran unsigned python",
        cleanup=f"rm {_LINK}",
    ),
)
