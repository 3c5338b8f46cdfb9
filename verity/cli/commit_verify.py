# SPDX-License-Identifier: Apache-2.0
"""verity commit verify."""

import dataclasses
import time
from pathlib import Path

import click

from verity.cli import native_options, output, policy_options, statement_output
from verity.cli.floor_output import print_accepted
from verity.cli.params import PATH
from verity.cli.trust_options import (
    by_keyring,
    judged,
    key_options,
    keyrings,
    repo_option,
    trusted_set,
)
from verity.ports.floors import STATE, FloorStore
from verity.ports.ostree_repo import Repository
from verity.ports.places import BUNDLE
from verity.trust.trusted import TrustedSet
from verity.values.errors import CallerError, HostError
from verity.verbs import batch, commit_accept, commit_reproduce, commit_verify
from verity.verbs.commit_verify import Outcome
from verity.verbs.serial_floors import HostState


@click.command(
    epilog="Example: verity commit verify --repo repo --key vendor.pem.pub debian/trixie"
)
@repo_option
@key_options
@native_options.native_options
@click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    metavar="DIR",
    help="The host whose keyrings, pins, serial floors and lists of revoked keys count."
    "  [default: /]",
)
@click.option(
    "--floors",
    "floor_directory",
    type=PATH,
    metavar="DIR",
    help="The serial floors.  [default: var/lib/verity/floors, where the host has var/lib/verity]",
)
@click.option(
    "--accept", is_flag=True, help="If all is good, let nothing older of this stream be good again."
)
@click.option(
    "--accept-without-floor",
    is_flag=True,
    help="The same where no floor of the stream can be verified: for the first one, or new keys.",
)
@click.option(
    "--booted",
    is_flag=True,
    help="Verify the commit that the host of --root has booted, in the place of REV.",
)
@click.option(
    "--reproduce",
    is_flag=True,
    help="Only make manifest and grants anew from the commit, and compare: no key is needed.",
)
@policy_options.verifying_option
@output.json_option
@click.argument("revision", metavar="[REV]", required=False)
def verify(
    repo: Path,
    keys: tuple[Path, ...],
    threshold: int,
    ostree_key: tuple[Path, ...],
    ostree_revoked: tuple[Path, ...],
    gpg_keyring: Path | None,
    root: Path,
    floor_directory: Path | None,
    accept: bool,
    accept_without_floor: bool,
    booted: bool,
    reproduce: bool,
    policy: Path | None,
    as_json: bool,
    revision: str | None,
) -> int:
    """Verify a commit: signatures, serial, manifest, grants, and the contents of every object.

    An OS is accepted after a boot of it went well: on a host that OSTree has booted, --accept takes
    no other commit than that.

    What the grants call interpreters, jit and configuration follows from no file: without --policy
    it is taken as it is. Every file that is granted jit is named in any case.
    """
    if booted == (revision is not None):
        raise CallerError("bad-arguments", "expected one of REV and --booted")
    if revision is None:
        revision = commit_accept.booted_commit(root)
    demanded = policy_options.read(policy)
    demands = None if demanded is None else demanded.asked
    if reproduce:
        named = keys or by_keyring() or ostree_key or ostree_revoked or gpg_keyring
        if named or accept or accept_without_floor:
            raise CallerError("bad-arguments", "--reproduce takes no keys and accepts nothing")
        with Repository(repo) as repository:
            again = commit_reproduce.reproduce(
                repository, revision, asked=demands, jobs=batch.default_jobs()
            )
        return output.report(
            again,
            as_json=as_json,
            good=lambda: f"good: {output.one_line(revision)} gives the same manifest and grants",
        )
    if not root.is_dir():  # else a typing error would leave out floors and revoked keys
        raise HostError(
            "not-found",
            f"{root}: no such directory, expected the root of a host",
            hint="--root says whose floors, pins and lists of revoked keys count",
        )
    trusted = trusted_set(keys, threshold, host=root)
    now = int(time.time())
    asked = keyrings()
    native = native_options.native_trust(ostree_key, ostree_revoked, gpg_keyring, root)
    host = _host(root, floor_directory, without_floor=accept_without_floor)
    if host is None and accept_without_floor:  # the first floor of all makes the place for it
        host = HostState.new(root)
    elif host is None and accept:
        raise CallerError(
            "bad-arguments",
            f"{root / STATE}: not there, so this host keeps no floors",
            hint="--accept-without-floor is for the first one; --floors DIR names another place",
        )
    with Repository(repo) as repository:
        outcome = commit_verify.verify(
            repository,
            revision,
            trusted,
            now=now if asked is None else asked.reference_time(now),
            clock=now,
            jobs=batch.default_jobs(),
            host=host,
            native=native,
            asked=demands,
        )
    outcome = dataclasses.replace(outcome, report=judged(outcome.report, now))
    if as_json:
        statement_output.record(outcome.statement)
    native_options.show(outcome.native, as_json=as_json)
    if as_json:
        for text in outcome.asides:
            output.record("note", {"text": text})
    if host is not None and (accept or accept_without_floor):
        print_accepted(_accept(host, root, outcome, trusted), as_json=as_json)
    return output.report(
        outcome.report,
        as_json=as_json,
        good=lambda: (
            f"good: {output.one_line(revision)} is as signed"
            + statement_output.as_signed(outcome.statement)
        ),
    )


def _host(root: Path, directory: Path | None, *, without_floor: bool) -> HostState | None:
    """The host's floors; None where no host is."""
    if directory is None:
        return HostState.at(root, without_floor=without_floor)
    return HostState(store=FloorStore(directory), bundle=root / BUNDLE, without_floor=without_floor)


def _accept(host: HostState, root: Path, outcome: Outcome, trusted: TrustedSet) -> Path | None:
    """Raise the floor if everything was good; the file if it was raised."""
    if outcome.report.exit_status or outcome.statement is None:
        return None
    return commit_accept.accept(
        host, root, outcome.commit, outcome.envelopes, outcome.statement, trusted
    )
