# SPDX-License-Identifier: Apache-2.0
"""verity keyring add-key, rotate: the next version. `revoke` is in a module of its own."""

import time
from collections.abc import Callable
from pathlib import Path

import click
from click.core import ParameterSource

from verity.cli import key_opening, keyring_ends, keyring_options, output, signing_options
from verity.formats.keyring import Keyring
from verity.values.errors import CallerError, HostError
from verity.verbs import keyring_change, keyring_make, keyring_project
from verity.verbs.keyring_change import NewKey

_DEFAULT = ParameterSource.DEFAULT


def options(command: Callable[..., int]) -> Callable[..., int]:
    """What every verb that makes a next version takes."""
    for option in (
        keyring_options.directory_argument,
        output.json_option,
        signing_options.signing_option,
        signing_options.days_option,
        signing_options.party_option,
    ):
        command = option(command)
    return command


@click.command(
    "add-key",
    epilog="Example: verity keyring add-key --party vendor --role os=os2.pem.pub --key ann.pem"
    " --key bob.pem keyrings",
)
@options
@keyring_options.role_option(required=False)
@keyring_options.threshold_option
@keyring_options.stream_option
@click.option("--from", "valid_from", metavar="TIME", help="What the new keys sign counts from.")
@click.option("--until", "valid_until", metavar="TIME", help="What the new keys sign counts until.")
def add_key(
    party_name: str,
    days: int,
    key_uris: tuple[str, ...],
    as_json: bool,
    directory: Path,
    roles: tuple[str, ...],
    thresholds: tuple[str, ...],
    streams: tuple[str, ...],
    valid_from: str | None,
    valid_until: str | None,
) -> int:
    """Make the next version with more keys, or with other thresholds or streams of a role.

    --stream replaces the streams of its role. TIME is like 2027-01-31T12:00:00Z and is held
    against the time at which a document says it was issued.
    """
    keys, given = keyring_options.roles_of(roles)
    rules = keyring_options.rules_of(streams, thresholds, given)
    if not keys and not rules.thresholds and not rules.streams:
        raise CallerError("bad-arguments", "none of --role, --threshold and --stream is there")
    new = keyring_options.new_keys(
        keys,
        valid_from=keyring_options.time_of("--from", valid_from),
        valid_until=keyring_options.time_of("--until", valid_until),
    )
    times = keyring_options.times_of(int(time.time()), days)
    return publish(
        party_name,
        key_uris,
        directory,
        lambda before: keyring_change.add(before, new, rules, times),
        as_json=as_json,
    )


@click.command(
    epilog="Example: verity keyring rotate --party vendor --replace old.pem.pub=new.pem.pub"
    " --overlap-days 30 --key ann.pem --key bob.pem keyrings"
)
@options
@click.option(
    "--replace",
    "replaced",
    multiple=True,
    metavar="OLD=[OWNER=]FILE.pub",
    help="Put a key in the place of OLD, a key id or a .pub file; of the same owner if none is"
    " named.",
)
@click.option(
    "--remove", "removed", multiple=True, metavar="OLD", help="Take a key out, with none for it."
)
@click.option(
    "--overlap-days",
    type=click.IntRange(1, 36500),
    default=None,
    help="Keep the old keys for what is issued within so many days, or until the end that they have"
    " if it is earlier; not for root keys.",
)
@click.option("--revoke", "revoked", is_flag=True, help="Revoke the old keys: compromised ones.")
@keyring_ends.options
@keyring_options.threshold_option
def rotate(
    party_name: str,
    days: int,
    key_uris: tuple[str, ...],
    as_json: bool,
    directory: Path,
    replaced: tuple[str, ...],
    removed: tuple[str, ...],
    overlap_days: int | None,
    revoked: bool,
    against: tuple[Path, ...],
    root: Path,
    yes: bool,
    thresholds: tuple[str, ...],
) -> int:
    """Make the next version with other keys in the place of old ones, in any role.

    When root keys change, the root thresholds of both versions must sign: pass old and new ones.
    With --revoke it says first what of this host, or of what --check-against names, would no longer
    be accepted, and asks if that is anything; --root and --yes are for that as well.
    """
    if not replaced and not removed:
        raise CallerError("bad-arguments", "neither --replace nor --remove is there")
    asked = click.get_current_context().get_parameter_source
    unused = [name for name in ("against", "root", "yes") if asked(name) is not _DEFAULT]
    if unused and not revoked:
        option = {"against": "--check-against", "root": "--root", "yes": "--yes"}[unused[0]]
        raise CallerError("bad-arguments", f"{option} belongs to --revoke")
    if revoked and overlap_days is not None:
        raise CallerError("bad-arguments", "--revoke ends a key at once: no --overlap-days")
    rules = keyring_options.rules_of((), thresholds)
    now = int(time.time())
    times = keyring_options.times_of(now, days)

    def edit(before: Keyring) -> Keyring:
        return keyring_change.rotate(
            before,
            replaced=dict(_replacement(before, text) for text in replaced),
            removed=[keyring_options.key_id_of(before, text) for text in removed],
            rules=rules,
            times=times,
            until=None if overlap_days is None else now + overlap_days * signing_options.DAY,
            revoked=revoked,
        )

    if not revoked:
        return publish(party_name, key_uris, directory, edit, as_json=as_json)
    before = keyring_make.newest(directory, signing_options.party_of(party_name))
    after = edit(before)
    if not keyring_ends.agreed(before, after, against, root, yes=yes, as_json=as_json):
        output.message("nothing was revoked")
        return 1
    return publish_shown(party_name, key_uris, directory, before, after, as_json=as_json)


def publish_shown(
    party_name: str,
    key_uris: tuple[str, ...],
    directory: Path,
    before: Keyring,
    after: Keyring,
    *,
    as_json: bool,
) -> int:
    """Publish what was agreed to, if nobody made another version meanwhile."""

    def shown(found: Keyring) -> Keyring:
        if found != before:
            raise HostError(
                "busy",
                f"{directory / party_name}: somebody made version {found.version} meanwhile",
                hint="look at it, and try again",
            )
        return after

    return publish(party_name, key_uris, directory, shown, as_json=as_json)


def publish(
    party_name: str,
    key_uris: tuple[str, ...],
    directory: Path,
    edit: Callable[[Keyring], Keyring],
    *,
    as_json: bool,
) -> int:
    """Publish what ``edit`` makes of the newest version, and print it."""
    made = keyring_make.change(
        directory,
        signing_options.party_of(party_name),
        edit,
        signing_options.signers(key_uris),
    )
    return keyring_options.print_published(made, as_json=as_json)


def _replacement(before: Keyring, text: str) -> tuple[str, NewKey]:
    old, separator, new = text.partition("=")
    if not separator or not new:
        raise CallerError("bad-arguments", f"--replace {text}: not OLD=[OWNER=]FILE.pub")
    key_id = keyring_options.key_id_of(before, old)
    named = signing_options.named_key(new)
    owner = named.owner or keyring_change.find(before, key_id).owner
    return key_id, NewKey(
        role=keyring_change.role_of(before, key_id),
        key=keyring_project.load_key(named.path, key_opening.access()),
        owner=owner,
    )
