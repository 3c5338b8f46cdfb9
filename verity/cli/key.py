# SPDX-License-Identifier: Apache-2.0
"""verity key: generate and show. Private parts are never printed."""

import os
from pathlib import Path

import click

from verity.cli import output
from verity.cli.trust_options import PATH
from verity.ports import keystore
from verity.trust.keys import PublicKey


@click.group()
def key() -> None:
    """Generate and show keys."""


@key.command(epilog="Example: verity key generate vendor.pem")
@click.argument("file", metavar="FILE", type=PATH)
@output.json_option
def generate(file: Path, as_json: bool) -> int:
    """Make an ECDSA P-256 key: FILE (private, mode 0600) and FILE.pub.

    P-256 is what the kernel verifies. Nothing is overwritten.
    """
    public = keystore.generate(file)
    _print(public, path=keystore.public_path(file), private=file, as_json=as_json)
    return 0


@key.command(epilog="Example: verity key show vendor.pem.pub")
@click.argument("file", metavar="FILE", type=PATH)
@click.option(
    "--out-certificate",
    type=PATH,
    metavar="OUT",
    help="Write the X.509, in DER, by which the kernel's keyrings know this key.",
)
@output.json_option
def show(file: Path, out_certificate: Path | None, as_json: bool) -> int:
    """Show algorithm and key id of a private or public key file."""
    private = keystore.is_private(file)
    public = keystore.load_signer(str(file)).public if private else keystore.load_public(file)
    if out_certificate is not None:
        keystore.write_certificate(public, out_certificate)
    _print(
        public,
        path=None if private else file,
        private=file if private else None,
        as_json=as_json,
    )
    return 0


def _print(public: PublicKey, *, path: Path | None, private: Path | None, as_json: bool) -> None:
    if as_json:
        output.record(
            "key",
            {
                "key_id": public.key_id,
                "algorithm": public.algorithm.value,
                "public_key": public.pem,
                **(output.path_fields(os.fsencode(path), "public_file") if path else {}),
                **(output.path_fields(os.fsencode(private), "private_file") if private else {}),
            },
        )
        return
    output.line(f"key id     {public.key_id}")
    output.line(f"algorithm  {public.algorithm}")
    if private:
        output.line(f"private    {output.shown(os.fsencode(private))}")
    if path:
        output.line(f"public     {output.shown(os.fsencode(path))}")
