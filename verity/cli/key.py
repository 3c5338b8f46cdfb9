# SPDX-License-Identifier: Apache-2.0
"""verity key: generate, show, import. Private parts are never printed."""

import os
from pathlib import Path

import click

from verity.cli import key_opening, output
from verity.cli.params import PATH
from verity.ports import key_files, keystore
from verity.trust import example_keys, key_forms
from verity.trust.keys import KeyAlgorithm, PublicKey
from verity.values.errors import CallerError

_ALGORITHMS = {
    "p256": KeyAlgorithm.P256,
    "ed25519": KeyAlgorithm.ED25519,
    "rsa": KeyAlgorithm.RSA,
}


@click.group()
def key() -> None:
    """Generate, show and import keys."""


@key.command(epilog="Example: verity key generate vendor.pem")
@click.argument("file", metavar="FILE", type=PATH)
@click.option(
    "--algorithm",
    type=click.Choice(list(_ALGORITHMS)),
    default="p256",
    show_default=True,
    help="p256 is what the kernel verifies; ed25519 is for OSTree's own signatures; rsa has"
    " 3072 bits.",
)
@click.option(
    "--encrypt",
    is_flag=True,
    help="Encrypt the private key: by --passphrase-file, or asking twice on the terminal.",
)
@key_opening.passphrase_option
@output.json_option
def generate(file: Path, algorithm: str, encrypt: bool, as_json: bool) -> int:
    """Make a key: FILE (private, PKCS#8 PEM of mode 0600) and FILE.pub.

    Statements and everything that the kernel verifies want ECDSA P-256. Nothing is overwritten.
    """
    public = key_files.generate(
        file, _ALGORITHMS[algorithm], passphrase=key_opening.new_passphrase(encrypt)
    )
    _print(public, path=key_files.public_path(file), private=file, as_json=as_json)
    return 0


@key.command(epilog="Example: verity key show vendor.pem.pub")
@click.argument("uri", metavar="KEY")
@click.option(
    "--ostree",
    is_flag=True,
    help="Print an Ed25519 key in OSTree's own form, base64, and nothing else.",
)
@click.option(
    "--out-certificate",
    type=PATH,
    metavar="OUT",
    help="Write the X.509, in DER, by which the kernel's keyrings know this key.",
)
@key_opening.passphrase_option
@output.json_option
def show(uri: str, ostree: bool, out_certificate: Path | None, as_json: bool) -> int:
    """Show algorithm, key id and fingerprints of a key: a private or public file, or a URI.

    A public one may have any form that `key import` reads.

    The key id is the SHA-256 of the SubjectPublicKeyInfo. In base64 it is what curl calls
    a pinned public key.
    """
    if ostree and as_json:
        raise CallerError("bad-arguments", "only one of --ostree and --json")
    public = keystore.read_public_of(uri, key_opening.access())
    if ostree:
        output.line(key_forms.ostree(public, label=uri))
        return 0
    if out_certificate is not None:
        keystore.write_certificate(public, out_certificate)
    file = keystore.key_file(uri)
    private = file is not None and key_files.is_private(file)
    _print(
        public,
        path=None if private else file,
        private=file if private else None,
        as_json=as_json,
    )
    return 0


@key.command(name="import", epilog="Example: verity key import build.crt build.pub")
@click.argument("source", metavar="SOURCE", type=PATH)
@click.argument("target", metavar="FILE", type=PATH)
@key_opening.signing_options
@output.json_option
def import_key(source: Path, target: Path, as_json: bool) -> int:
    """Bring a key of another program into files of ours.

    A public key, as PEM, as an X.509 certificate (PEM or DER) or in OSTree's base64, becomes FILE.
    A private one in PKCS#8 PEM becomes FILE and FILE.pub; an encrypted one stays as it is. Of a
    certificate only the key is taken: compare the fingerprint that is printed. Nothing is
    overwritten.
    """
    access = key_opening.access()
    private = key_files.is_private(source)
    bring = key_files.import_private if private else key_files.import_public
    public = bring(source, target, access)
    _print(
        public,
        path=key_files.public_path(target) if private else target,
        private=target if private else None,
        as_json=as_json,
    )
    return 0


def _print(public: PublicKey, *, path: Path | None, private: Path | None, as_json: bool) -> None:
    ostree = None
    if public.algorithm is KeyAlgorithm.ED25519:
        ostree = key_forms.ostree(public, label=public.key_id)
    if as_json:
        output.record(
            "key",
            {
                "key_id": public.key_id,
                "algorithm": public.algorithm.value,
                "spki_sha256_base64": key_forms.spki_base64(public),
                **({"ostree": ostree} if ostree else {}),
                "example": public.key_id in example_keys.KEY_IDS,
                "public_key": public.pem,
                **(output.path_fields(os.fsencode(path), "public_file") if path else {}),
                **(output.path_fields(os.fsencode(private), "private_file") if private else {}),
            },
        )
        return
    output.line(f"key id     {public.key_id}")
    output.line(f"algorithm  {public.algorithm}")
    output.line(f"spki       sha256//{key_forms.spki_base64(public)}")
    if ostree:
        output.line(f"ostree     {ostree}")
    if public.key_id in example_keys.KEY_IDS:
        output.line("example    yes: everybody has the private half, it is refused")
    if private:
        output.line(f"private    {output.shown(os.fsencode(private))}")
    if path:
        output.line(f"public     {output.shown(os.fsencode(path))}")
