# SPDX-License-Identifier: Apache-2.0
"""verity manifest: make, convert, show, verify, diff."""

import sys
from pathlib import Path

import click

from verity.cli import output
from verity.cli.params import PATH
from verity.formats import dump
from verity.ports.osfile import write_new_file
from verity.ports.ostree_repo import Repository
from verity.ports.places import BUNDLE
from verity.values.errors import CallerError, HostError
from verity.values.findings import Report
from verity.verbs import batch, manifest_convert, state_checksum
from verity.verbs import manifest as verb


@click.group()
def manifest() -> None:
    """Make, show and compare manifests (composefs-dump of a tree or a commit)."""


@manifest.command(epilog="Example: verity manifest make --output usr.manifest /usr")
@click.option("--repo", type=PATH, metavar="REPO", help="Take a commit: SOURCE is REV.")
@click.option(
    "--output",
    "target",
    default="-",
    show_default=True,
    metavar="FILE",
    help="Where to; - is stdout. Nothing is overwritten.",
)
@click.option(
    "--payload",
    type=click.Choice(["ostree"]),
    help="With --repo: a dump for mkcomposefs instead, with the object of each file; not a"
    " canonical manifest.",
)
@click.argument("source", metavar="SOURCE")
def make(repo: Path | None, target: str, payload: str | None, source: str) -> int:
    """Make the manifest of a directory, or with --repo of a commit."""
    if repo is None:
        if payload is not None:
            raise CallerError(
                "bad-arguments",
                "--payload: only the files of a commit have objects",
                hint="name the repository with --repo and the commit as SOURCE",
            )
        data = verb.of_directory(Path(source))
    else:
        jobs = batch.default_jobs()
        with Repository(repo) as repository:
            if payload is None:
                data = verb.of_commit(repository, source, jobs=jobs)
            else:
                data = manifest_convert.with_payloads(repository, source, jobs=jobs)
    _write(target, data)
    return 0


def _write(target: str, data: bytes) -> None:
    if target == "-":
        output.raw(data)
    else:
        write_new_file(Path(target), data, mode=0o644)


@manifest.command(epilog="Example: verity manifest convert --output usr.manifest usr.dump")
@click.option(
    "--output",
    "target",
    default="-",
    show_default=True,
    metavar="FILE",
    help="Where to; - is stdout. Nothing is overwritten.",
)
@click.argument("file", metavar="DUMP")
def convert(target: str, file: str) -> int:
    """Make the manifest of any composefs-dump(5); - is standard input.

    Hard links become full entries, inline contents their fs-verity digest. Times and the places of
    contents are dropped; xattrs that no manifest holds are left out and named. A file of which
    neither digest nor contents are there is refused: there is no manifest of it.
    """
    if file == "-":
        data = sys.stdin.buffer.read(dump.MAX_SIZE + 1)
    else:
        data = verb.load(Path(file))
    found = manifest_convert.from_dump(data)
    _write(target, found.manifest)
    if found.left_out:
        names = ", ".join(output.shown(name) for name in found.left_out[:5])
        more = f" and {len(found.left_out) - 5} more" if len(found.left_out) > 5 else ""
        output.message(f"left out: xattrs {names}{more}")
    return 0


@manifest.command(epilog="Example: verity manifest show usr.manifest")
@click.option(
    "--checksum",
    is_flag=True,
    help="Print one line for the state of all that is named: KIND:NAME=FILE or KIND:NAME=DIR.",
)
@click.option(
    "--root",
    type=PATH,
    metavar="DIR",
    help="With --checksum: the host whose policy, in its boot bundle, is part of the state."
    "  [default: the DIR of an etc:NAME=DIR, else /]",
)
@click.option(
    "--policy",
    type=PATH,
    metavar="FILE",
    help="With --checksum: the policy that is part of it, as `policy compile` wrote it.",
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@output.json_option
def show(
    files: tuple[str, ...],
    checksum: bool,
    root: Path | None,
    policy: Path | None,
    as_json: bool,
) -> int:
    """Check that a manifest is canonical and say what it holds.

    With --checksum each FILE is a manifest or a directory that is measured now, named as
    KIND:NAME=FILE (KIND: etc, extension, os, tree); etc:NAME=DIR is the root of a host. The policy
    of the host is a part, too. Two hosts in the same state print the same line.
    """
    if checksum:
        return _print_state(files, root, policy, as_json=as_json)
    if root is not None or policy is not None:
        raise CallerError("bad-arguments", "--root and --policy: only with --checksum")
    for file in files:
        found = verb.summarise(verb.load(Path(file)))
        if as_json:
            output.record("manifest", {n: getattr(found, n) for n in found.__dataclass_fields__})
            continue
        output.line(f"sha256:{found.sha256}")
        output.line(
            f"{found.files} files ({found.size} bytes), {found.directories} directories,"
            f" {found.symlinks} symlinks, {found.others} others"
        )
    return 0


def _print_state(
    texts: tuple[str, ...], root: Path | None, policy: Path | None, *, as_json: bool
) -> int:
    if root is not None and policy is not None:
        raise CallerError("bad-arguments", "expected at most one of --root and --policy")
    named = [state_checksum.parse_part(text) for text in texts]
    bundle = policy or (root or state_checksum.host_of(named)) / BUNDLE
    in_force = state_checksum.policy_of(bundle)
    if policy is not None and in_force is None:
        raise HostError("not-found", f"{policy}: does not exist", hint="check the path")
    parts = [state_checksum.measure(part) for part in named]
    value = state_checksum.checksum(parts, in_force)
    if as_json:
        for one in parts:
            fields = {"kind": one.part.kind, "name": one.part.name, "sha256": one.sha256}
            output.record("part", fields)
        output.record("policy", {"sha256": in_force})
        output.record("state", {"sha256": value})
    else:
        output.line(f"state: sha256:{value}")
    return 0


@manifest.command(epilog="Example: verity manifest verify usr.manifest /usr")
@click.argument("file", metavar="MANIFEST", type=PATH)
@click.argument("tree", metavar="DIR", type=PATH)
@output.json_option
def verify(file: Path, tree: Path, as_json: bool) -> int:
    """Compare a directory with a manifest; exit status 1 if they differ.

    Every file is read. Whether anyone signed the manifest isn't asked.
    """
    findings = verb.diff(verb.load(file), verb.of_directory(tree))
    return output.report(
        Report(findings=tuple(findings)), as_json=as_json, good=lambda: "good: as the manifest says"
    )


@manifest.command(epilog="Example: verity manifest diff old.manifest new.manifest")
@click.argument("old", metavar="OLD", type=PATH)
@click.argument("new", metavar="NEW", type=PATH)
@output.json_option
def diff(old: Path, new: Path, as_json: bool) -> int:
    """Compare two manifests; exit status 1 if they differ."""
    if old == new:
        raise CallerError("bad-arguments", f"{old}: compared with itself")
    findings = verb.diff(verb.load(old), verb.load(new))
    return output.report(
        Report(findings=tuple(findings)), as_json=as_json, good=lambda: "no difference"
    )
