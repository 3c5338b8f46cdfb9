#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the throw-away keys of this directory: `make.py DIR` writes DIR/NAME.pem and .pub.

Each key follows from its name, so everybody can make the same ones: they are for tests and for
trying things out. verity refuses them by their ids (verity/trust/example_keys.py) unless it is
told `--allow-example-keys`. `make.py --list` prints name and key id.
"""

import hashlib
import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

ROLES = {
    "vendor": ("root", "os", "evidence"),
    "user": ("root", "etc", "extension", "policy", "unlock", "evidence"),
}
NAMES = [f"{party}-{role}" for party, roles in ROLES.items() for role in roles]
OSTREE = "vendor-ostree"  # Ed25519, for OSTree's own signatures
HEAD = "# SPDX-License-Identifier: Apache-2.0\n# An example: everybody has the private half.\n"


def private(name: str) -> ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey:
    """The key of this name."""
    seed = hashlib.sha256(f"verity example key {name}".encode()).digest()
    if name == OSTREE:
        return ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    # Below the order of the group with all but certainty; the library refuses it if not.
    return ec.derive_private_key(int.from_bytes(seed, "big"), ec.SECP256R1())


def write(directory: Path, name: str) -> None:
    """Both files of a key."""
    key = private(name)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    fd = os.open(directory / f"{name}.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "wb") as file:
        file.write(pem)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (directory / f"{name}.pem.pub").write_text(HEAD + public.decode())


def key_id(name: str) -> str:
    """SHA-256 of the SubjectPublicKeyInfo."""
    public = private(name).public_key()
    return hashlib.sha256(
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).hexdigest()


def main() -> None:
    """The command line."""
    if sys.argv[1:] == ["--list"]:
        for name in [*NAMES, OSTREE]:
            sys.stdout.write(f"{key_id(name)}  {name}\n")
    elif len(sys.argv) == 2:
        for name in [*NAMES, OSTREE]:
            write(Path(sys.argv[1]), name)
    else:
        sys.exit("usage: make.py DIR | --list")


if __name__ == "__main__":
    main()
