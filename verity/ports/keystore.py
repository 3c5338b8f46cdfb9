# SPDX-License-Identifier: Apache-2.0
"""Who signs, and whose signatures count: signers by URI, and public keys from files.

A URI is a path, ``file:PATH``, ``pkcs11:...`` (a key in a token), or one of securesystemslib's
schemes for a KMS. Whatever signs, every signature is checked with the public key before anybody
gets it, and no secret is in an error. Nothing is asked and no example key is taken unless the
caller's KeyAccess says so.
"""

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from verity.formats import pkcs7, pkcs11_uri
from verity.ports import key_files
from verity.ports.key_access import STRICT, KeyAccess
from verity.ports.key_access import load_public as load_public
from verity.ports.key_files import generate as generate
from verity.ports.key_files import public_path as public_path
from verity.ports.osfile import read_file, write_new_file
from verity.trust import key_forms
from verity.trust.keys import (
    MAX_KEY_FILE,
    KeyAlgorithm,
    PublicKey,
    of_public_key,
    parse_public_key,
)
from verity.values.errors import CallerError, ContentError, HostError, VerityError

if TYPE_CHECKING:  # imported where it signs: verifying starts much faster without it
    from securesystemslib.signer import Signer

_FILE = "file:"
_KERNELS = (KeyAlgorithm.P256,)


@dataclass(frozen=True)
class SigningKey:
    """A signer and its public key. The private part stays behind ``signer``."""

    public: PublicKey
    signer: "Signer"

    def sign(self, data: bytes) -> bytes:
        """A signature over ``data`` that the public key verifies.

        P-256: the DER of an ECDSA-Sig-Value with SHA-256; Ed25519: 64 bytes; RSA: PKCS#1 v1.5
        with SHA-256.
        """
        try:
            signature = self.signer.sign(data)
            self.signer.public_key.verify_signature(signature, data)
            return bytes.fromhex(signature.signature)
        except VerityError:
            raise
        except Exception as error:  # a signer raises whatever its library does
            raise HostError(
                "signer-failed",
                f"key {self.public.key_id}: the signer gave no signature that its public key"
                f" verifies ({type(error).__name__})",
                hint="is the private half of this very key what signs?",
            ) from error

    def sign_blob(self, blob: bytes) -> bytes:
        """A signature over a blob for the kernel: the one PKCS#7 template."""
        return pkcs7.encode(key_id=self.public.key_id, signature=self.sign(blob))


def write_certificate(public: PublicKey, path: Path) -> None:
    """Write the X.509 that add_key(2) takes for this key; overwrites nothing."""
    data = pkcs7.certificate(key_id=public.key_id, spki=public.spki)
    write_new_file(path, data, mode=0o644)


def load_signer(
    uri: str, access: KeyAccess = STRICT, *, algorithms: Container[KeyAlgorithm] = _KERNELS
) -> SigningKey:
    """Open a signer of one of the algorithms; by default of what the kernel verifies.

    Raises CallerError (``unknown-signer``, ``bad-uri``, ``secret-in-argument``), HostError
    (``key-exposed``, ``key-encrypted``, ``pin-needed``, ... or the file can't be read),
    ContentError (``bad-key``, ``example-key``).
    """
    if "PRIVATE KEY" in uri:
        raise CallerError(
            "secret-in-argument",
            "the key itself was given where its file or URI is expected",
            hint="everybody on this machine could read it from the process list: replace it",
        )
    path = key_file(uri)
    if path is not None:
        public, signer = _of_file(path, access)
        label = str(path)
    elif pkcs11_uri.is_one(uri):
        from verity.ports import signers_pkcs11

        parsed = pkcs11_uri.parse(uri)
        public, signer = signers_pkcs11.open_signer(parsed, access)
        label = str(parsed)
    else:
        from verity.ports import signers_delegated

        service, public = _named_public(uri)
        label = service.partition(":")[0]
        signer = signers_delegated.open_signer(service, public, access)
    _check_algorithm(public, algorithms, label=label)
    return SigningKey(access.admit(public, label=label), signer)


def read_public_of(uri: str, access: KeyAccess = STRICT) -> PublicKey:
    """The public key of anything that names a key, to be looked at and not to count.

    So it may be an example, and in any form that another program gives it.
    """
    path = key_file(uri)
    if path is None:
        if pkcs11_uri.is_one(uri):
            from verity.ports import signers_pkcs11

            return signers_pkcs11.read_public(pkcs11_uri.parse(uri), access)
        return _named_public(uri)[1]
    if key_files.is_private(path):
        return of_public_key(key_files.load_private(path, access).public_key(), label=uri)
    return key_forms.parse_any(read_file(path, max_size=MAX_KEY_FILE), label=str(path))


def key_file(uri: str) -> Path | None:
    """The path that a URI names, if it names one; a slash before the colon makes it a path."""
    scheme, separator, rest = uri.partition(":")
    if not separator or "/" in scheme:
        return Path(uri)
    return Path(rest) if scheme + ":" == _FILE else None


def _of_file(path: Path, access: KeyAccess) -> "tuple[PublicKey, Signer]":
    from securesystemslib.signer import CryptoSigner, SSlibKey

    key = key_files.load_private(path, access)
    public = of_public_key(key.public_key(), label=str(path))
    scheme = "rsa-pkcs1v15-sha256" if public.algorithm is KeyAlgorithm.RSA else None
    return public, CryptoSigner(key, SSlibKey.from_crypto(key.public_key(), public.key_id, scheme))


def _check_algorithm(public: PublicKey, algorithms: Container[KeyAlgorithm], *, label: str) -> None:
    if public.algorithm in algorithms:
        return
    if algorithms is _KERNELS:
        raise ContentError(
            "bad-key",
            f"{label}: {public.algorithm}, expected ecdsa-p256, which the kernel verifies",
            hint="`verity key generate FILE` makes one",
        )
    wanted = " or ".join(one for one in KeyAlgorithm if one in algorithms)
    raise ContentError("bad-key", f"{label}: {public.algorithm}, expected {wanted}")


def _named_public(uri: str) -> tuple[str, PublicKey]:
    """Split SERVICE#FILE.pub and read the public key."""
    from verity.ports import signers_delegated

    service, separator, name = uri.partition("#")
    scheme = service.partition(":")[0]
    signers_delegated.check_scheme(scheme)
    if not separator or not name:
        raise CallerError(
            "bad-uri",
            f"{scheme}: the public key of this signer is not named",
            hint=f"{scheme}:...#FILE.pub; get it from the service, then `verity key import`",
        )
    path = Path(name)
    return service, parse_public_key(read_file(path, max_size=MAX_KEY_FILE), label=name)
