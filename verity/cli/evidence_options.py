# SPDX-License-Identifier: Apache-2.0
"""verity audit --evidence, --verify and what belongs to them: the options and what they say.

They are kept with click's context and are no parameters of the command, so that it takes them over
by a decorator.
"""

from collections.abc import Callable
from typing import Any

import click

from verity.cli import audit_since, key_opening
from verity.cli.params import PATH, Once
from verity.values.errors import CallerError

_META = "verity.evidence."
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _kept(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    context.meta[f"{_META}{parameter.name}"] = value
    return value


def asked(name: str) -> Any:
    """What one of the options says, None if it isn't there."""
    return click.get_current_context().meta.get(f"{_META}{name}")


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--evidence, --verify and what belongs to them."""
    for option in (
        _option(
            "--manifest", "With --verify: the signed manifest, to prove the lines of findings."
        ),
        _option(
            "--max-age",
            "With --verify: refuse a capsule that is older, such as 90m, 12h or 7d.",
            metavar="TIME",
        ),
        _option("--host", "With --verify: the id of the host that it must be of.", metavar="ID"),
        _option(
            "--previous",
            "The capsule before this one: a new one names it, --verify holds it against it.",
        ),
        _option(
            "--nonce",
            "The auditor's number: a new capsule has it, --verify demands it.  8 to 64 bytes.",
            metavar="HEX",
        ),
        click.option(
            "--evidence-key",
            "evidence_keys",
            multiple=True,
            metavar="KEY",
            expose_value=False,
            callback=_kept,
            help="Who signs the capsule: a path, file:PATH, pkcs11:... or a KMS; repeat it for"
            " more. With --verify the public key, FILE.pub, that may have.  [default with"
            " --verify: the role evidence of the keyrings]",
        ),
        _option("--verify", "Verify a capsule, here and without its host; audits nothing."),
        _option("--evidence", "Write a signed capsule of this audit; nothing is overwritten."),
        key_opening.passphrase_option,
    ):
        command = option(command)
    return command


def _option(name: str, text: str, *, metavar: str = "FILE") -> Callable[..., Any]:
    kind: dict[str, Any] = {"type": PATH} if metavar == "FILE" else {}
    return click.option(
        name, cls=Once, metavar=metavar, expose_value=False, callback=_kept, help=text, **kind
    )


def verifying() -> bool:
    """Whether --verify is there. CallerError for options that don't go together."""
    verify_it = asked("verify") is not None
    writes = asked("evidence") is not None
    if verify_it and writes:
        raise CallerError("bad-arguments", "--evidence makes a capsule, --verify reads one")
    for name in ("host", "max_age", "manifest"):
        if asked(name) is not None and not verify_it:
            raise CallerError("bad-arguments", f"--{name.replace('_', '-')} belongs to --verify")
    for name in ("nonce", "previous"):
        if asked(name) is not None and not (verify_it or writes):
            raise CallerError("bad-arguments", f"--{name} belongs to --evidence or --verify")
    if asked("evidence_keys") and not (verify_it or writes or audit_since.asked()):
        raise CallerError(
            "bad-arguments", "--evidence-key belongs to --evidence, --verify or --since"
        )
    return verify_it


def nonce() -> bytes | None:
    """The value of --nonce."""
    from verity.formats.evidence import MAX_NONCE, MIN_NONCE

    text: str | None = asked("nonce")
    if text is None:
        return None
    if not is_hex(text, 2 * MIN_NONCE, 2 * MAX_NONCE):
        raise CallerError(
            "bad-arguments",
            f"--nonce {text[:80]!r}: not {MIN_NONCE} to {MAX_NONCE} bytes in lower-case hex",
            hint="`openssl rand -hex 16` makes one",
        )
    return bytes.fromhex(text)


def max_age() -> int | None:
    """The value of --max-age, in seconds."""
    text: str | None = asked("max_age")
    if text is None:
        return None
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isascii() or not number.isdecimal() or len(number) > 9:
        raise CallerError(
            "bad-arguments", f"--max-age {text[:80]!r}: not a number with s, m, h or d behind it"
        )
    return int(number) * _UNITS[unit]


def is_hex(text: str, least: int, most: int) -> bool:
    """Whether it is whole bytes in lower-case hex, of so many digits."""
    return (
        least <= len(text) <= most and len(text) % 2 == 0 and set(text) <= set("0123456789abcdef")
    )
