# SPDX-License-Identifier: Apache-2.0
"""The options that every verb on a signed commit shares: which repository, whose signature.

Whose signature counts is said by --key, or by keyrings and the pins that they are verified from:
those of --keyring and --pin, or else the host's. Both options are kept with click's context, so a
verb only calls ``trusted_set``, and ``judged`` for what is to be said about the keyrings.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from verity.cli import key_opening
from verity.cli.params import PATH as PATH
from verity.cli.params import Once
from verity.formats.grants import Party, Role
from verity.formats.statement import format_time
from verity.values.errors import CallerError, HostError
from verity.values.findings import Report

# Starting a command costs what it imports: keys and keyrings are imported where they are asked.
if TYPE_CHECKING:
    from verity.trust.keyring import PinPrint
    from verity.trust.trusted import TrustedSet
    from verity.verbs.keyring_trust import Keyrings

_META = "verity.trust."

repo_option = click.option(
    "--repo",
    "repo",
    type=PATH,
    required=True,
    metavar="REPO",
    help="The OSTree repository.",
)


def _kept(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    context.meta[f"{_META}{parameter.name}"] = value
    return value


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--key and --threshold, or --keyring and --pin: whose signatures count."""
    for option in (
        click.option(
            "--pin",
            "pins",
            multiple=True,
            metavar="PARTY=sha256:HEX|FILE",
            expose_value=False,
            callback=_kept,
            help="The root keys of vendor or user that you accept, by fingerprint or a pin's file."
            "  [default: the pins in /etc/verity/pins]",
        ),
        click.option(
            "--insecure-without-user-revocations",
            "without_user",
            is_flag=True,
            expose_value=False,
            callback=_kept,
            help="With a --pin of the vendor alone: ask no user's keyring what it revokes.",
        ),
        click.option(
            "--keyring",
            cls=Once,
            type=PATH,
            metavar="DIR",
            expose_value=False,
            callback=_kept,
            help="The keyrings that say whose signatures count."
            "  [default: /usr/lib/verity/keyrings and /etc/verity/keyrings]",
        ),
        click.option(
            "--threshold",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="How many of the keys must have signed.",
        ),
        click.option(
            "--key",
            "keys",
            type=PATH,
            multiple=True,
            metavar="FILE.pub",
            help="A public key that may sign; repeat it for more. Then no keyring counts.",
        ),
        key_opening.example_option,
    ):
        command = option(command)
    return command


host_option = click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    metavar="DIR",
    help="The host whose keyrings, pins and serial floors count.  [default: /]",
)


def by_keyring() -> bool:
    """Whether --keyring or --pin is there."""
    meta = click.get_current_context().meta
    return any(meta.get(f"{_META}{name}") for name in ("keyring", "pins", "without_user"))


def trusted_set(
    keys: tuple[Path, ...],
    threshold: int,
    *,
    host: Path = Path("/"),
    role: Role = Role.OS,
    party: Party | None = None,
) -> "TrustedSet":
    """The keys of a role: those of --key, each its own owner, or those of the keyrings.

    ``party`` is for a role that both have.

    ``host`` is the root of the host whose pins and keyrings count where none are given: never that
    of a tree that is looked at, which can't say whom to trust.
    """
    if keys:
        if by_keyring():
            raise CallerError(
                "bad-arguments",
                "--key says whose signatures count: no --keyring, --pin and"
                " --insecure-without-user-revocations",
            )
        from verity.trust.trusted import TrustedSet

        return TrustedSet.of_keys(
            [key_opening.public_key(path) for path in keys],
            party=party or (Party.VENDOR if role is Role.OS else Party.USER),
            role=role,
            threshold=threshold,
            allow_example_keys=True,  # public_key has decided
        )
    return host_keyrings(host).trusted(role, party=party)


def host_keyrings(host: Path = Path("/")) -> "Keyrings":
    """The keyrings of --keyring and --pin, or else the host's; kept, for ``judged``."""
    context = click.get_current_context()
    named = pins()
    if context.get_parameter_source("threshold") is ParameterSource.COMMANDLINE:
        raise CallerError(
            "bad-arguments", "--threshold is of the keys of --key: a keyring has its own"
        )
    without_user = context.meta.get(f"{_META}without_user", False)
    if without_user and not named:
        raise CallerError(
            "bad-arguments", "--insecure-without-user-revocations belongs to a --pin of the vendor"
        )
    from verity.verbs import keyring_trust

    found = keyring_trust.find(
        named,
        _directory(context.meta.get(f"{_META}keyring")),
        host=host,
        without_user=without_user,
        allow_example_keys=key_opening.access().allow_example_keys,
    )
    context.meta[f"{_META}keyrings"] = found
    return found


def pins() -> "Mapping[Party, PinPrint]":
    """What --pin names, by party; empty without one."""
    from verity.cli.keyring_options import pins_of

    return pins_of(click.get_current_context().meta.get(f"{_META}pins", ()))


def keyring_named() -> bool:
    """Whether --keyring is there."""
    return bool(click.get_current_context().meta.get(f"{_META}keyring"))


def _directory(directory: Path | None) -> Path | None:
    """The directory of --keyring, which has to be one."""
    if directory is not None and not directory.is_dir():
        raise HostError(
            "not-found",
            f"--keyring {directory}: no such directory",
            hint="expected a directory with PARTY/N.keyring.json below it",
        )
    return directory


def keyrings() -> "Keyrings | None":
    """The keyrings that ``trusted_set`` asked; None if it asked none."""
    found: Keyrings | None = click.get_current_context().meta.get(f"{_META}keyrings")
    return found


def judged(report: Report, now: int) -> Report:
    """The report with what is to be said of the keyrings, that one has expired is a finding; and of
    a clock that was never set."""
    from verity.trust import clock

    if not clock.is_set(now):
        said = f"the clock says {format_time(now)}, so it was never set; documents say the time"
        report = replace(report, notes=(said, *report.notes))
    asked = keyrings()
    if asked is None:
        return report
    return replace(
        report,
        findings=(*asked.findings(now), *report.findings),
        notes=(*asked.notes, *report.notes),
    )
