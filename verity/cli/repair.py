# SPDX-License-Identifier: Apache-2.0
"""verity repair: bring a tree back to what was signed."""

# Starting a command costs what it imports: the verb's own is imported in it.

import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from verity.cli import output
from verity.cli.etc_output import print_applied
from verity.cli.params import PATH
from verity.cli.trust_options import key_options, keyrings, trusted_set
from verity.formats.grants import Party, Role
from verity.values.errors import HostError, VerityError

if TYPE_CHECKING:
    from verity.formats.dump import Entry
    from verity.verbs.etc_intent import Host
    from verity.verbs.repair import Planned
    from verity.verbs.repair_plan import Left

_REPOSITORY = Path("/ostree/repo")


@click.command(
    epilog="Example: verity repair --root /sysroot --repo /ostree/repo --commit debian/trixie"
    " --key vendor.pem.pub --dry-run"
)
@click.option(
    "--root",
    type=PATH,
    default=Path("/"),
    show_default=True,
    metavar="DIR",
    help="The tree to repair, checked out from the commit.",
)
@click.option(
    "--repo",
    type=PATH,
    default=_REPOSITORY,
    show_default=True,
    metavar="REPO",
    help="The OSTree repository.",
)
@click.option(
    "--commit",
    "revision",
    metavar="REV",
    help="What was signed.  [default: the commit that the root has booted]",
)
@key_options
@click.option(
    "--remove-unsigned",
    is_flag=True,
    help="Remove code and privileged files that nobody signed, in the directories of the system.",
)
@click.option("--dry-run", is_flag=True, help="Only show the plan; change nothing.")
@output.json_option
def repair(
    root: Path,
    repo: Path,
    revision: str | None,
    keys: tuple[Path, ...],
    threshold: int,
    remove_unsigned: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Restore what differs from the signed commit, from what a signed source still has.

    Contents come, by the digest that was signed, from the repository, from another file of the tree
    or from the content store of /etc; mode, owner, xattrs and links from the manifest. The plan is
    shown first. Every new file is prepared and checked before the first one changes, each is
    the old or the new one at any time, and a run that was killed is ended by the next. Then
    fs-verity is turned on and everything measured again.

    If the host has a signed /etc, that is brought back, too, as `etc apply` does. What can't be
    brought back is left and named, with exit status 1. Nothing is remounted: on a read-only /usr
    nothing is changed.
    """
    from verity.ports.ostree_repo import Repository
    from verity.verbs import repair as verb
    from verity.verbs import repair_granted, serial_floors, signed
    from verity.verbs.etc_intent import Host
    from verity.verbs.serial_floors import HostState

    trusted = trusted_set(keys, threshold)
    host = Host.at(root, None)
    with Repository(repo) as repository:
        commit = signed.load(repository, _revision(root, revision), trusted)
        serial_floors.hold(HostState.at(root), commit.statement, trusted)
        etc_is_signed = bool(host.state.serials())
        granted = repair_granted.Granted()
        extensions: Mapping[bytes, Entry] = {}
        owner = keyrings()
        if owner is not None:
            of_owner = partial(owner.trusted, Role.EXTENSION, party=Party.USER)
            extensions = repair_granted.extensions(root, of_owner)
        if remove_unsigned:
            granted = repair_granted.granted(root, commit)
        asked = verb.Asked(
            root=root,
            commit=commit,
            remove_unsigned=remove_unsigned,
            etc_is_signed=etc_is_signed,
            granted=granted,
            extensions=extensions,
        )
        with output.Progress("files") as progress:
            total = len(commit.manifest.entries)
            planned = verb.look(asked, repository, lambda done: progress.update(done, total))
        _print_plan(planned, as_json=as_json)
        made = planned.plan
        protected, left = len(made.protect), len(made.left)
        changes = made.changes - protected
        if not dry_run and made.changes:
            done = verb.carry_out(planned, time.sleep)
            _print_left(done.left, as_json=as_json)
            protected, left = done.protected, left + len(done.left)
        status = 1 if left else 0
        if etc_is_signed:
            # Any 1 wins, as in every report.
            status = min(filter(None, (status, _etc(host, planned, dry_run, as_json))), default=0)
    if as_json:
        counts = {"changes": changes, "protected": protected, "left": left}
        output.record("repaired", {**counts, "dry_run": dry_run, "exit_status": status})
    else:
        word = "would be repaired" if dry_run else "repaired"
        output.line(
            f"{word}: {changes} changes, {protected} files with fs-verity anew, {left} left"
        )
    return status


def _revision(root: Path, revision: str | None) -> str:
    if revision is not None:
        return revision
    from verity.ports import booted

    found = booted.commit(root)
    if found is None:
        raise HostError(
            "no-commit",
            f"{root}: it has not booted a commit, so it must be said which one was signed",
            hint="--commit REV, and --repo REPO if that isn't /ostree/repo",
        )
    return found


def _etc(host: "Host", planned: "Planned", dry_run: bool, as_json: bool) -> int:
    """The signed /etc, by the keyrings' role etc; the status."""
    from verity.verbs import repair_etc

    try:
        asked = keyrings()
        if asked is None:
            raise HostError(
                "no-keys",
                "--key names the keys of the commit, and nobody whose signature over /etc counts",
                hint="`verity etc apply --key ETC.pub`, or leave --key to the keyrings",
            )
        trusted = asked.trusted(Role.ETC, party=Party.USER)
        done = repair_etc.repair(host, trusted, planned.contents, dry_run=dry_run)
    except VerityError as error:
        if as_json:
            output.error_record(error, part="etc")
        output.message(f"/etc was left as it is: {output.one_line(error.message)}")
        if error.hint:
            output.message(f"hint: {output.one_line(error.hint)}")
        return error.exit_status
    return print_applied(done, dry_run=dry_run, as_json=as_json)


def _print_plan(planned: "Planned", *, as_json: bool) -> None:
    """Each step with its reason, in the order of doing, then what is left."""
    made = planned.plan
    for word, entries in (
        ("remove", made.remove),
        ("make", made.make),
        ("restore", made.put),
        ("change", made.dress),
        ("protect", made.protect if as_json else ()),
    ):
        for entry in entries:
            why = made.why.get(entry.path, "something else is in its place")
            source = planned.sources.get(entry.path, "") if word == "restore" else ""
            if as_json:
                fields = {"step": word, "why": why, "source": source}
                output.record("step", {**output.path_fields(entry.path), **fields})
            else:
                by = f" (from {output.one_line(source)})" if source else ""
                said = f"{output.shown(entry.path)}: {output.one_line(why)}{by}"
                output.line(f"{word:<8} {said}")
    if made.protect and not as_json:
        output.line(f"protect  {len(made.protect)} files, which lack only fs-verity")
    _print_left(made.left, as_json=as_json)


def _print_left(left: "Iterable[Left]", *, as_json: bool) -> None:
    for one in left:
        if as_json:
            fields = {"why": one.why, "hint": one.hint}
            output.record("left", {**output.path_fields(one.path), **fields})
            continue
        output.line(f"left     {output.shown(one.path)}: {output.one_line(one.why)}")
        if one.hint:
            output.line(f"         hint: {output.one_line(one.hint)}")
