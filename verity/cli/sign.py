# SPDX-License-Identifier: Apache-2.0
"""verity sign: prepare, show, add, merge, attach. Several people sign one thing, each at home."""

import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

from verity.cli import (
    etc_options,
    key_opening,
    keyring_options,
    output,
    policy_options,
    sign_output,
    signing_options,
)
from verity.cli.sign_prepare import prepare
from verity.cli.trust_options import PATH, by_keyring, key_options, keyrings, trusted_set
from verity.formats.grant_rules import as_granted
from verity.formats.sign_bundle import BundleKind
from verity.formats.sign_payloads import Opened
from verity.ports.gpg import GpgSigner
from verity.ports.ostree_repo import Repository
from verity.trust.trusted import TrustedSet
from verity.values.errors import CallerError, ContentError
from verity.verbs import (
    batch,
    etc_sign,
    sign_add,
    sign_attach,
    sign_bundles,
    sign_documents,
    sign_keyring,
    sign_merge,
    sign_prepare,
    sign_proof,
    sign_serials,
)
from verity.verbs.etc_intent import Host

_bundle_argument = click.argument("bundle", metavar="BUNDLE", type=PATH)


@click.group()
def sign() -> None:
    """Collect the signatures of several people in a bundle.

    Prepare writes it; each signer adds a signature, on a machine of their own, to what that
    machine shows them; attach verifies and writes. The bundle itself is trusted by nobody.
    """


sign.add_command(prepare)


@sign.command(epilog="Example: verity sign show --since last.sign os.sign")
@sign_output.paths_option
@sign_output.since_option
@output.json_option
@_bundle_argument
def show(with_paths: bool, since: Path | None, as_json: bool, bundle: Path) -> int:
    """Say what a bundle would sign, and who signed it so far.

    What is shown is computed from the payloads. Each signature is checked against them by the key
    that it brings along: whether that key counts is asked by `sign attach`.
    """
    opened = sign_bundles.load(bundle).opened
    sign_output.show(opened, as_json=as_json, with_paths=with_paths, since=since)
    return 0


@sign.command(epilog="Example: verity sign add --key ann.pem os.sign")
@key_opening.signer_option
@click.option("--gpg-sign", metavar="KEY-ID", help="Add an OpenPGP signature for stock ostree.")
@click.option("--gpg-homedir", type=PATH, help="gpg's home for --gpg-sign.")
@click.option("--yes", is_flag=True, help="Sign what is shown without being asked.")
@sign_output.paths_option
@sign_output.since_option
@output.json_option
@_bundle_argument
def add(
    key_uri: str,
    gpg_sign: str | None,
    gpg_homedir: Path | None,
    yes: bool,
    with_paths: bool,
    since: Path | None,
    as_json: bool,
    bundle: Path,
) -> int:
    """Show what a bundle would sign, ask, and add a signature by one key.

    A key signs once. A bundle that was changed after somebody signed it is refused.
    """
    if gpg_homedir is not None and gpg_sign is None:
        raise CallerError("bad-arguments", "--gpg-homedir without --gpg-sign signs nothing")
    if not yes and not sys.stdin.isatty():
        raise CallerError(
            "not-confirmed",
            f"{bundle}: there is no terminal to ask on whether to sign it",
            hint="look at it with `verity sign show`, then sign it with --yes",
        )
    file = sign_bundles.load(bundle)
    key = key_opening.signer(key_uri)
    sign_add.check_addable(file.opened, key.public)
    if not as_json:
        sign_output.show(file.opened, as_json=False, with_paths=with_paths, since=since)
    elif not yes:
        sign_output.tell(file.opened)
    question = f"Sign this with key {key.public.key_id}?"
    if not yes and not click.confirm(question, err=True):
        output.message("nothing was signed")
        return 1
    opened = sign_add.add(file.opened, key)
    if gpg_sign is not None:
        opened = sign_add.add_gpg(opened, GpgSigner(gpg_sign, gpg_homedir))
    file.replace(opened)
    if as_json:
        sign_output.show(opened, as_json=True, with_paths=with_paths, since=since)
        return 0
    output.line(
        f"{'signed':9} by key {key.public.key_id}"
        + (f" and OpenPGP {gpg_sign}" if gpg_sign else "")
    )
    return 0


@sign.command(epilog="Example: verity sign merge --output os.sign ann/os.sign bob/os.sign")
@signing_options.bundle_option
@output.json_option
@click.argument("copies", metavar="COPY...", type=PATH, nargs=-1, required=True)
def merge(bundle: Path, as_json: bool, copies: tuple[Path, ...]) -> int:
    """Put the signatures of several copies of one bundle into one.

    For signers who worked at the same time. Copies with other payloads are refused.
    """
    opened = sign_merge.merge([sign_bundles.load(path) for path in copies])
    sign_bundles.write(bundle, opened)
    sign_output.show(opened, as_json=as_json)
    return 0


@sign.command(
    epilog="Example: verity sign attach --key ann.pem.pub --key bob.pem.pub --threshold 2"
    " --repo repo os.sign"
)
@key_options
@click.option("--repo", type=PATH, metavar="REPO", help="For a commit: where it is.")
@click.option("--replace", is_flag=True, help="Replace a statement that a commit has.")
@click.option("--tree", type=PATH, metavar="DIR", help="For an extension: what was prepared.")
@click.option(
    "--root", type=PATH, metavar="DIR", help="For /etc: the root of the host.  [default: /]"
)
@etc_options.store_option
@signing_options.state_option
@policy_options.verifying_option
@output.json_option
@_bundle_argument
@click.argument(
    "target", metavar="[OUT]", required=False, type=click.Path(path_type=Path, readable=False)
)
def attach(
    keys: tuple[Path, ...],
    threshold: int,
    repo: Path | None,
    replace: bool,
    tree: Path | None,
    root: Path | None,
    store: Path | None,
    state: Path | None,
    policy: Path | None,
    as_json: bool,
    bundle: Path,
    target: Path | None,
) -> int:
    """Verify a bundle by the keys that count, and write what it was made for.

    A commit gets its documents into its detached metadata, an extension becomes the new directory
    OUT, a keyring a version in the directory OUT, a policy the new files OUT and OUT.json, anything
    else the new file OUT; a prepared /etc becomes the intent. The commit or the tree is read once
    more, and must give what was signed; /etc isn't. Signatures by other keys are left out. What has
    expired is refused, and so is anything by a keyring that has.
    """
    opened = sign_bundles.load(bundle).opened
    kind = opened.bundle.kind
    given = {"--repo": repo, "--replace": replace or None, "--tree": tree, "--state": state}
    more = {"--root": root, "--store": store, "--policy": policy, "OUT": target}
    _refuse_unused(kind, {**given, **more})
    if kind is BundleKind.KEYRING:
        if keys or by_keyring():
            raise CallerError(
                "bad-arguments",
                "a keyring says itself, and the version before it, who signs: no --key, --keyring",
            )
        _check_current(opened)
        published = sign_keyring.attach(opened, _needed(target, "OUT", kind))
        return keyring_options.print_published(published, as_json=as_json)
    trusted = _trusted(opened, keys, threshold)
    _check_current(opened)
    if kind is BundleKind.COMMIT:
        with Repository(_needed(repo, "--repo", kind)) as repository:
            named = policy_options.read(policy)
            signed = sign_serials.tree_of(opened).grants
            asked = as_granted(signed) if named is None else named.asked
            reread = partial(
                sign_prepare.read_commit, repository, asked=asked, jobs=batch.default_jobs()
            )
            proven = sign_attach.commit(repository, opened, trusted, replace=replace, reread=reread)
    elif kind is BundleKind.EXTENSION:
        proven = sign_attach.extension(
            opened,
            trusted,
            _needed(target, "OUT", kind),
            state=state,
            reread=partial(sign_prepare.read_extension, _needed(tree, "--tree", kind)),
        )
    elif kind is BundleKind.ETC:
        proven = etc_sign.attach(opened, trusted, Host.at(root or Path("/"), store))
    else:
        proven = sign_attach.document(opened, trusted, _needed(target, "OUT", kind))
    sign_output.attached(opened, proven, as_json=as_json)
    return 0


_TAKES = {
    BundleKind.COMMIT: {"--repo", "--replace", "--policy"},
    BundleKind.EXTENSION: {"--tree", "--state", "OUT"},
    BundleKind.ETC: {"--root", "--store"},
}
Value = TypeVar("Value")


def _refuse_unused(kind: BundleKind, given: Mapping[str, object]) -> None:
    for name, value in given.items():
        if value is not None and name not in _TAKES.get(kind, {"OUT"}):
            raise CallerError("bad-arguments", f"{name} is not for a bundle of the kind {kind}")


def _trusted(opened: Opened, keys: tuple[Path, ...], threshold: int) -> TrustedSet:
    """The keys that count, of the party and role that the bundle is for.

    Root keys that sign a party's keys are in no keyring before that is signed: they are named.
    """
    party, role = opened.signer
    if opened.bundle.kind is BundleKind.KEYS and not keys:
        raise CallerError(
            "bad-arguments",
            "a bundle of keys is signed by root keys, and no --key names them",
            hint="--key ROOT.pub for each, and --threshold",
        )
    return trusted_set(keys, threshold, role=role, party=party)


def _check_current(opened: Opened) -> None:
    """Nothing new is accepted that has expired, nor by a keyring that has.

    But time stops no unlock, and no revocation.
    """
    now, asked = int(time.time()), keyrings()
    if asked is not None:
        if opened.bundle.kind not in (BundleKind.REVOKE, BundleKind.UNLOCK):
            for finding in asked.findings(now):
                raise ContentError(
                    "expired", f"{finding.object}: {finding.problem}", hint=finding.remedy
                )
        now = asked.reference_time(now)
        found = asked.of_party.get(opened.signer[0])
        sign_documents.check_in_step(opened, None if found is None else found.keyring)
    sign_proof.check_current(opened, now)


def _needed(value: Value | None, name: str, kind: BundleKind) -> Value:
    if value is None:
        raise CallerError("bad-arguments", f"a bundle of the kind {kind} needs {name}")
    return value
