# SPDX-License-Identifier: Apache-2.0
"""Keys on disk: making them, reading them, and signing with them.

A private key file is PKCS#8 PEM with mode 0600; one that others can read is refused, because
whoever has read it can sign as well. Nothing here puts a secret into an error or an argument.
securesystemslib's signers do the signing, so that a key in an HSM or a KMS can take the place of
the file; today the one scheme is ``file:``.
"""

import contextlib
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from verity.formats import pkcs7
from verity.ports.osfile import read_file, write_new_file
from verity.trust.keys import (
    MAX_KEY_FILE,
    KeyAlgorithm,
    PublicKey,
    of_public_key,
    parse_public_key,
)
from verity.values.errors import CallerError, ContentError, HostError

if TYPE_CHECKING:  # imported where it signs: verifying starts much faster without it
    from securesystemslib.signer import Signer

_SCHEME = "file:"


@dataclass(frozen=True)
class SigningKey:
    """A signer and its public key. The private part stays behind ``signer``."""

    public: PublicKey
    signer: "Signer"

    def sign(self, data: bytes) -> bytes:
        """A signature over ``data``: for P-256 the DER of an ECDSA-Sig-Value with SHA-256."""
        from securesystemslib.exceptions import Error as SslibError

        try:
            return bytes.fromhex(self.signer.sign(data).signature)
        except (SslibError, ValueError, OSError) as error:
            raise HostError(
                "signer-failed", f"key {self.public.key_id}: the signer refused to sign"
            ) from error

    def sign_blob(self, blob: bytes) -> bytes:
        """A signature over a blob for the kernel: the one PKCS#7 template."""
        return pkcs7.encode(key_id=self.public.key_id, signature=self.sign(blob))


def generate(private: Path) -> PublicKey:
    """Make a P-256 key pair: ``private`` (mode 0600) and ``private``.pub beside it.

    Overwrites nothing; leaves neither file behind if one can't be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    public = of_public_key(key.public_key(), label=str(private))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_new_file(private, pem, mode=0o600)
    try:
        write_new_file(public_path(private), public.pem.encode(), mode=0o644)
    except BaseException:
        with contextlib.suppress(OSError):
            private.unlink()
        raise
    return public


def public_path(private: Path) -> Path:
    """Where the public half of a key file is."""
    return private.with_name(private.name + ".pub")


def write_certificate(public: PublicKey, path: Path) -> None:
    """Write the X.509 that add_key(2) takes for this key; overwrites nothing."""
    data = pkcs7.certificate(key_id=public.key_id, spki=public.spki)
    write_new_file(path, data, mode=0o644)


def load_public(path: Path) -> PublicKey:
    """Read a public key file."""
    return parse_public_key(read_file(path, max_size=MAX_KEY_FILE), label=str(path))


def load_signer(
    uri: str, *, algorithms: Collection[KeyAlgorithm] = (KeyAlgorithm.P256,)
) -> SigningKey:
    """Open a signer: ``file:PATH`` or a plain path to a PKCS#8 PEM file.

    All that we sign ourselves is P-256; OSTree's own signatures know more ``algorithms``.

    Raises CallerError (``unknown-signer``), HostError (``key-exposed``, ``key-encrypted``, or
    the file can't be read), ContentError (``bad-key``).
    """
    from securesystemslib.signer import CryptoSigner, SSlibKey

    scheme, separator, rest = uri.partition(":")
    if separator and "/" not in scheme:
        if scheme + ":" != _SCHEME:
            raise CallerError(
                "unknown-signer",
                f"no signer for the scheme {scheme!r}",
                hint="file:PATH is what works today",
            )
        path = Path(rest)
    else:
        path = Path(uri)
    try:
        key = load_pem_private_key(_read_private(path), None)
    except TypeError as error:
        raise HostError(
            "key-encrypted",
            f"{path}: the private key is encrypted, and no passphrase can be asked for yet",
            hint="decrypt it into a file of mode 0600: openssl pkcs8 -in KEY -out NEW",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ContentError(
            "bad-key",
            f"{path}: not a private key in PKCS#8 PEM",
            hint="`verity key generate FILE` makes one; sign with FILE, not with FILE.pub",
        ) from error
    public = of_public_key(key.public_key(), label=str(path))
    if public.algorithm not in algorithms:
        raise ContentError(
            "bad-key",
            f"{path}: {public.algorithm}, expected ecdsa-p256, which the kernel verifies",
            hint="`verity key generate FILE` makes one",
        )
    # Of RSA, the padding that OpenSSL takes when nobody says another, as ostree does.
    padding = {"scheme": "rsa-pkcs1v15-sha256"} if public.algorithm is KeyAlgorithm.RSA else {}
    named = SSlibKey.from_crypto(key.public_key(), public.key_id, **padding)
    return SigningKey(public, CryptoSigner(key, named))


def is_private(path: Path) -> bool:
    """Whether the file holds a private key (by its PEM label)."""
    return b"PRIVATE KEY" in read_file(path, max_size=MAX_KEY_FILE)


def _read_private(path: Path) -> bytes:
    modes: list[int] = []
    data = read_file(path, max_size=MAX_KEY_FILE, see_mode=modes.append)
    # A public key given by mistake may well be readable by all: that is not what is wrong with it.
    if b"PRIVATE KEY" in data and modes[0] & 0o077:
        raise HostError(
            "key-exposed",
            f"{path}: the private key has mode {stat.S_IMODE(modes[0]):04o}, expected 0600:"
            " others can read or change it",
            hint=f"chmod 600 {path}; if others could read it, replace the key",
        )
    return data
