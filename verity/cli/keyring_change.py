# SPDX-License-Identifier: Apache-2.0
"""verity keyring add-key, revoke, rotate: the next version."""

import time
from collections.abc import Callable
from pathlib import Path

import click

from verity.cli import key_opening, keyring_options, output, signing_options
from verity.formats.keyring import Keyring
from verity.values.errors import CallerError
from verity.verbs import keyring_change, keyring_make, keyring_project
from verity.verbs.keyring_change import NewKey


def _options(command: Callable[..., int]) -> Callable[..., int]:
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
@_options
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
    return _change(
        party_name,
        key_uris,
        directory,
        lambda before: keyring_change.add(before, new, rules, times),
        as_json=as_json,
    )


@click.command(
    epilog="Example: verity keyring revoke --party vendor --lowest debian-trixie:42 --key ann.pem"
    " --key bob.pem keyrings"
)
@_options
@click.option(
    "--revoke-key",
    "revoked_keys",
    multiple=True,
    metavar="KEY-ID|FILE.pub",
    help="A key whose signatures no longer count, whatever they are over.",
)
@click.option(
    "--digest",
    "digests",
    multiple=True,
    metavar="sha256:HEX",
    help="Content that no longer counts: a file by its fs-verity digest, or a signed document.",
)
@click.option(
    "--lowest",
    "lowest",
    multiple=True,
    metavar="STREAM:SERIAL",
    help="The lowest serial of a stream that still counts.",
)
def revoke(
    party_name: str,
    days: int,
    key_uris: tuple[str, ...],
    as_json: bool,
    directory: Path,
    revoked_keys: tuple[str, ...],
    digests: tuple[str, ...],
    lowest: tuple[str, ...],
) -> int:
    """Make the next version, which revokes keys, digests or serials beside those before.

    A revoked key loses its role; put another one in its place with `keyring rotate --revoke`.
    """
    if not revoked_keys and not digests and not lowest:
        raise CallerError("bad-arguments", "none of --revoke-key, --digest and --lowest is there")
    values = [signing_options.digest_of(text) for text in digests]
    floors = dict(map(signing_options.lowest_of, lowest))
    times = keyring_options.times_of(int(time.time()), days)

    def edit(before: Keyring) -> Keyring:
        ids = [
            text if keyring_change.is_key_id(text) else keyring_options.key_id_of(before, text)
            for text in revoked_keys
        ]
        for key_id in ids:
            if key_id not in {key.key_id for key in before.keys}:
                output.message(
                    f"note: key {key_id} is not in this keyring: compare it, a mistyped id revokes"
                    " nobody"
                )
        return keyring_change.revoke(before, keys=ids, digests=values, lowest=floors, times=times)

    return _change(party_name, key_uris, directory, edit, as_json=as_json)


@click.command(
    epilog="Example: verity keyring rotate --party vendor --replace old.pem.pub=new.pem.pub"
    " --overlap-days 30 --key ann.pem --key bob.pem keyrings"
)
@_options
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
    help="Keep the old keys for what is issued within so many days; not for root keys.",
)
@click.option("--revoke", "revoked", is_flag=True, help="Revoke the old keys: compromised ones.")
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
    thresholds: tuple[str, ...],
) -> int:
    """Make the next version with other keys in the place of old ones, in any role.

    When root keys change, the root thresholds of both versions must sign: pass old and new ones.
    """
    if not replaced and not removed:
        raise CallerError("bad-arguments", "neither --replace nor --remove is there")
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

    return _change(party_name, key_uris, directory, edit, as_json=as_json)


def _change(
    party_name: str,
    key_uris: tuple[str, ...],
    directory: Path,
    edit: Callable[[Keyring], Keyring],
    *,
    as_json: bool,
) -> int:
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
