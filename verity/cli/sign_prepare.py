# SPDX-License-Identifier: Apache-2.0
"""verity sign prepare: commit, extension, etc, keyring, file, policy, revoke, waiver, unlock."""

import time
from pathlib import Path

import click

from verity.cli import (
    keyring_options,
    output,
    policy_options,
    sign_output,
    signing_options,
    ungranted,
)
from verity.cli.etc_prepare import etc
from verity.cli.sign_documents import revoke, waiver
from verity.cli.sign_policy import policy
from verity.cli.sign_unlock import unlock
from verity.cli.trust_options import PATH, repo_option
from verity.formats.grant_config import configuration
from verity.formats.sign_bundle import BundleKind
from verity.ports.ostree_repo import Repository
from verity.verbs import (
    batch,
    sign_bundles,
    sign_documents,
    sign_keyring,
    sign_prepare,
    sign_serials,
)
from verity.verbs.sign_prepare import FILE_KINDS, Spot


@click.group()
def prepare() -> None:
    """Write a bundle: what exactly will be signed. It needs no key, no root and no checkout."""


@prepare.command(
    epilog="Example: verity sign prepare commit --repo repo --stream debian-trixie --serial auto"
    " --output os.sign debian/trixie"
)
@repo_option
@signing_options.stream_option
@signing_options.serial_option
@signing_options.days_option
@signing_options.issued_option
@signing_options.expires_option
@policy_options.signing_option
@click.option("--replace", is_flag=True, help="Prepare a commit that has a statement already.")
@signing_options.bundle_option
@output.json_option
@click.argument("revision", metavar="REV")
def commit(
    repo: Path,
    stream: str,
    serial: int | None,
    days: int,
    issued: int | None,
    expires: int | None,
    policy: Path | None,
    replace: bool,
    bundle: Path,
    as_json: bool,
    revision: str,
) -> int:
    """Prepare a commit. With --serial auto its serial is reserved in the repository at once."""
    begin, end = signing_options.validity(
        int(time.time()), issued=issued, expires=expires, days=days
    )
    spot = Spot(stream=stream, serial=serial, issued=begin, expires=end)
    asked = policy_options.asked_of(policy_options.read(policy))
    with Repository(repo) as repository:
        opened = sign_prepare.commit_bundle(
            repository,
            revision,
            spot,
            bundle,
            replace=replace,
            asked=asked,
            jobs=batch.default_jobs(),
        )
    sign_output.show(opened, as_json=as_json)
    guarded = asked.guarded(sign_serials.tree_of(opened).entries)
    ungranted.show(configuration(guarded).ungranted, as_json=as_json)
    return 0


@prepare.command(
    epilog="Example: verity sign prepare extension --tree tools --stream tools --serial 1"
    " --output tools.sign"
)
@click.option("--tree", type=PATH, required=True, metavar="DIR", help="What to sign.")
@signing_options.stream_option
@signing_options.serial_option
@signing_options.state_option
@signing_options.days_option
@signing_options.issued_option
@signing_options.expires_option
@policy_options.signing_option
@signing_options.bundle_option
@output.json_option
def extension(
    tree: Path,
    stream: str,
    serial: int | None,
    state: Path | None,
    days: int,
    issued: int | None,
    expires: int | None,
    policy: Path | None,
    bundle: Path,
    as_json: bool,
) -> int:
    """Prepare a directory tree as an extension; see `extension sign` for what it may bring."""
    begin, end = signing_options.validity(
        int(time.time()), issued=issued, expires=expires, days=days
    )
    spot = Spot(stream=stream, serial=serial, issued=begin, expires=end)
    listed = policy_options.asked_of(policy_options.read(policy)).listed
    opened = sign_prepare.extension_bundle(tree, spot, bundle, state=state, listed=listed)
    sign_output.show(opened, as_json=as_json)
    return 0


@prepare.command(
    epilog="Example: verity sign prepare file policy host.policy.json --output policy.sign"
)
@signing_options.bundle_option
@output.json_option
@click.argument("kind", type=click.Choice([kind.value for kind in FILE_KINDS]))
@click.argument("document", metavar="DOC", type=PATH)
def file(bundle: Path, as_json: bool, kind: str, document: Path) -> int:
    """Prepare a document that exists: the blob that is in DOC, by itself or with signatures.

    DOC is what `keyring project` wrote; of a policy the OUT.json of `policy compile`. Signatures
    that it has are left out, because they don't say by which key: their signers sign once more.
    """
    chosen = BundleKind(kind)
    if chosen is BundleKind.POLICY:
        opened = sign_documents.read_policy(document)
    else:
        opened = sign_prepare.read_document(chosen, document)
    sign_bundles.write(bundle, opened)
    sign_output.show(opened, as_json=as_json)
    return 0


@prepare.command(
    epilog="Example: verity sign prepare keyring --party vendor --output v2.sign keyrings"
)
@signing_options.party_option
@signing_options.bundle_option
@output.json_option
@keyring_options.directory_argument
def keyring(party_name: str, bundle: Path, as_json: bool, directory: Path) -> int:
    """Prepare the version of a keyring that waits in DIR for more root keys to sign it.

    Signatures that it has come along. `sign attach BUNDLE DIR` puts what was collected back.
    """
    opened = sign_keyring.prepare(directory, signing_options.party_of(party_name))
    sign_bundles.write(bundle, opened)
    sign_output.show(opened, as_json=as_json)
    return 0


for command in (etc, policy, revoke, waiver, unlock):
    prepare.add_command(command)
