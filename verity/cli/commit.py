# SPDX-License-Identifier: Apache-2.0
"""verity commit: sign and show; verify has a file of its own."""

# Starting a command costs what it imports: what one verb alone needs is imported in it.

import time
from pathlib import Path

import click

from verity.cli import output, policy_options, signing_options, ungranted
from verity.cli.lazy import LazyGroup
from verity.cli.native_options import native_signers, ostree_sign_option
from verity.cli.params import PATH
from verity.cli.trust_options import repo_option
from verity.values.errors import CallerError

_revision_argument = click.argument("revision", metavar="REV")


@click.group(
    cls=LazyGroup,
    verbs={"verify": ("commit_verify", "Verify a commit: signatures, serial, manifest, grants.")},
)
def commit() -> None:
    """Sign, verify and show OSTree commits. REV is a ref or a checksum."""


@commit.command(
    epilog="Example: verity commit sign --repo repo --key vendor.pem --stream debian-trixie"
    " --serial 1 debian/trixie"
)
@repo_option
@signing_options.signing_option
@signing_options.threshold_option
@signing_options.stream_option
@signing_options.serial_option
@signing_options.days_option
@signing_options.issued_option
@signing_options.expires_option
@policy_options.signing_option
@click.option("--gpg-sign", metavar="KEY-ID", help="Add an OpenPGP signature for stock ostree.")
@click.option("--gpg-homedir", type=PATH, help="gpg's home for --gpg-sign.")
@ostree_sign_option
@click.option("--replace", is_flag=True, help="Replace a statement that is there.")
@click.option(
    "--reuse",
    metavar="REV",
    help="Take digests of unchanged files from this commit, which the same key signed.",
)
@output.json_option
@_revision_argument
def sign(
    repo: Path,
    key_uris: tuple[str, ...],
    threshold: int,
    stream: str,
    serial: int | None,
    days: int,
    issued: int | None,
    expires: int | None,
    policy: Path | None,
    gpg_sign: str | None,
    gpg_homedir: Path | None,
    ostree_sign: tuple[str, ...],
    replace: bool,
    reuse: str | None,
    as_json: bool,
    revision: str,
) -> int:
    """Sign a commit: manifest, statement and grants, into its detached metadata.

    No file says that it is an interpreter, that it may have executable memory of its own (jit), or
    that it is configuration which privileged programs obey: --policy does. All keys sign. Signers
    who are not at one machine use `sign prepare`, `add` and `attach`.
    """
    from verity.ports.gpg import GpgSigner
    from verity.ports.ostree_repo import Repository
    from verity.verbs import batch, commit_sign

    if gpg_homedir is not None and gpg_sign is None:
        raise CallerError("bad-arguments", "--gpg-homedir without --gpg-sign signs nothing")
    begin, end = signing_options.validity(
        int(time.time()), issued=issued, expires=expires, days=days
    )
    request = commit_sign.Request(
        revision=revision,
        stream=stream,
        serial=serial,
        issued=begin,
        expires=end,
        replace=replace,
        reuse=reuse,
    )
    named = policy_options.read(policy)
    keys = signing_options.signers(key_uris)
    gpg = GpgSigner(gpg_sign, gpg_homedir) if gpg_sign is not None else None
    with Repository(repo) as repository:
        done = commit_sign.sign(
            repository,
            request,
            keys,
            gpg=gpg,
            native=native_signers(ostree_sign),
            threshold=threshold,
            asked=policy_options.asked_of(named),
            jobs=batch.default_jobs(),
        )
    if as_json:
        ungranted.show(done.ungranted, as_json=True)
        fields = {name: getattr(done, name) for name in done.__dataclass_fields__}
        policy_sha256 = None if named is None else named.sha256
        more = {"ungranted": len(done.ungranted), "policy_sha256": policy_sha256}
        output.record("signed", {**fields, **more})
        return 0
    by = signing_options.by_keys(done.key_ids)
    lasts = signing_options.lasts(expires, days)
    output.line(f"signed    commit {done.checksum}")
    output.line(f"by        {by}" + (f" and OpenPGP {gpg_sign}" if gpg_sign else ""))
    for engine in done.native:
        output.line(f"for ostree  {engine}")
    output.line(f"as        stream {stream} serial {done.serial}, {lasts}")
    output.line(f"manifest  sha256:{done.manifest_sha256} ({done.files} files)")
    output.line(f"grants    sha256:{done.grants_sha256} ({done.code} code, {done.elevate} elevate)")
    if named is not None:
        asked = f"{done.interpreters} interpreters, {done.config} config"
        output.line(f"policy    sha256:{named.sha256} ({asked})")
    for path in done.jit:
        output.line(f"jit       {path}: may have executable memory without a file")
    ungranted.show(done.ungranted, as_json=False)
    return 0


@commit.command(epilog="Example: verity commit show --repo repo debian/trixie")
@repo_option
@click.option("--manifest", is_flag=True, help="Print the attached manifest, and nothing else.")
@click.option(
    "--grants",
    is_flag=True,
    help="Print the attached grants and their signatures, as `lockdown bundle` takes them.",
)
@output.json_option
@_revision_argument
def show(repo: Path, manifest: bool, grants: bool, as_json: bool, revision: str) -> int:
    """Show what is attached to a commit, UNVERIFIED: `commit verify` checks it."""
    from verity.formats.statement import format_time
    from verity.ports.ostree_repo import Repository
    from verity.verbs import commit_show

    if manifest + grants + as_json > 1:
        raise CallerError("bad-arguments", "only one of --manifest, --grants and --json")
    with Repository(repo) as repository:
        if manifest or grants:
            part = commit_show.manifest if manifest else commit_show.grants
            output.raw(part(repository, revision))
            return 0
        found = commit_show.show(repository, revision)
    if as_json:
        output.record("commit", commit_show.as_record(found))
        return 0
    output.line(f"commit    {found.checksum}")
    output.line(f"subject   {output.one_line(found.subject)}")
    output.line(f"date      {format_time(found.timestamp)}")
    for said in found.statements:
        output.line(
            f"statement {said.kind} stream {said.stream} serial {said.serial}"
            f" issued {format_time(said.issued)} expires {format_time(said.expires)} (unverified)"
        )
        for name, value in sorted(said.subjects.items()):
            output.line(f"  {name:8}  {value.hex()}")
    for hint in found.key_hints:
        output.line(f"signature by key {output.one_line(hint)} (unverified)")
    for name, size in found.attached:
        output.line(f"attached  {output.one_line(name)} ({size} bytes)")
    if not found.statements:
        output.line("statement none")
    return 0
