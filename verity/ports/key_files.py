# SPDX-License-Identifier: Apache-2.0
"""Key files: making a pair, and reading and importing private ones.

A private key file is PKCS#8 PEM with mode 0600, plain or encrypted (PBES2); one that others can
read is refused, because whoever has read it can sign as well. Nothing here puts a secret into an
error. Nothing is overwritten, and of a pair both files are written or none.

The cryptography library encrypts with PBKDF2 and 2048 rounds and can't be told another number:
so a passphrase must be long by itself. Files that OpenSSL wrote with scrypt are read as well, and
an encrypted file is imported as it is.
"""

import contextlib
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from verity.ports.key_access import KeyAccess
from verity.ports.osfile import read_file, write_new_file
from verity.trust import key_forms
from verity.trust.keys import MAX_KEY_FILE, KeyAlgorithm, PublicKey, of_public_key
from verity.values.errors import CallerError, ContentError, HostError

SHORTEST_PASSPHRASE = 12
_RSA_BITS = 3072
_PLAIN = b"-----BEGIN PRIVATE KEY-----"
_ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


def generate(
    private: Path,
    algorithm: KeyAlgorithm = KeyAlgorithm.P256,
    *,
    passphrase: bytes | None = None,
) -> PublicKey:
    """Make a key pair: ``private`` (mode 0600, encrypted if there is a passphrase) and .pub."""
    encryption = _encryption(passphrase)
    key: PrivateKeyTypes
    if algorithm is KeyAlgorithm.P256:
        key = ec.generate_private_key(ec.SECP256R1())
    elif algorithm is KeyAlgorithm.ED25519:
        key = ed25519.Ed25519PrivateKey.generate()
    elif algorithm is KeyAlgorithm.RSA:
        key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    else:
        raise CallerError("bad-arguments", f"keys of the algorithm {algorithm} are only read")
    public = of_public_key(key.public_key(), label=str(private))
    write_pair(private, _pem(key, encryption), public)
    return public


def import_private(source: Path, target: Path, access: KeyAccess) -> PublicKey:
    """Copy a PKCS#8 key into a pair of ours; an encrypted one stays encrypted as it is."""
    data = read_private(source)
    encrypted = data.lstrip().startswith(_ENCRYPTED)
    if not encrypted and not data.lstrip().startswith(_PLAIN):
        raise ContentError(
            "bad-key",
            f"{source}: not a private key in PKCS#8 PEM",
            hint="`openssl pkcs8 -topk8 -scrypt -in OLD -out NEW` makes one of an older form",
        )
    key = parse_private(data, source, access)
    public = access.admit(of_public_key(key.public_key(), label=str(source)), label=str(source))
    write_pair(target, data if encrypted else _pem(key, NoEncryption()), public)
    return public


def import_public(source: Path, target: Path, access: KeyAccess) -> PublicKey:
    """Write a public key that came in another form as PEM."""
    data = read_file(source, max_size=MAX_KEY_FILE)
    public = access.admit(key_forms.parse_any(data, label=str(source)), label=str(source))
    write_new_file(target, public.pem.encode(), mode=0o644)
    return public


def write_pair(private: Path, pem: bytes, public: PublicKey) -> None:
    """Write both files of a key, or none."""
    write_new_file(private, pem, mode=0o600)
    try:
        write_new_file(public_path(private), public.pem.encode(), mode=0o644)
    except BaseException:
        with contextlib.suppress(OSError):
            private.unlink()
        raise


def public_path(private: Path) -> Path:
    """Where the public half of a key file is."""
    return private.with_name(private.name + ".pub")


def is_private(path: Path) -> bool:
    """Whether the file holds a private key (by its PEM label)."""
    return b"PRIVATE KEY" in read_file(path, max_size=MAX_KEY_FILE)


def load_private(path: Path, access: KeyAccess) -> PrivateKeyTypes:
    """Open a private key file, with its passphrase if it has one."""
    return parse_private(read_private(path), path, access)


def parse_private(data: bytes, path: Path, access: KeyAccess) -> PrivateKeyTypes:
    """The private key in a file's bytes; the passphrase is asked for only if there is one.

    Raises ContentError (``bad-key``), HostError (``key-encrypted``, ``wrong-passphrase``).
    """
    try:
        return load_pem_private_key(data, None)
    except TypeError:
        pass  # it is encrypted
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ContentError(
            "bad-key",
            f"{path}: not a private key in PKCS#8 PEM",
            hint="`verity key generate FILE` makes one; sign with FILE, not with FILE.pub",
        ) from error
    refused: Exception | None = None
    for secret in access.passphrases(path):
        try:
            return load_pem_private_key(data, secret)
        except (ValueError, UnsupportedAlgorithm) as error:
            refused = error
    raise HostError(
        "wrong-passphrase",
        f"{path}: the passphrase doesn't open the private key"
        if len(access.passphrase_files) < 2
        else f"{path}: none of {len(access.passphrase_files)} passphrases opens the private key",
        hint="if it is the right one, the file is damaged",
    ) from refused


def read_private(path: Path) -> bytes:
    """The bytes of a private key file. Raises HostError (``key-exposed``)."""
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


def _encryption(passphrase: bytes | None) -> KeySerializationEncryption:
    if passphrase is None:
        return NoEncryption()
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise ContentError(
            "bad-secret",
            f"a passphrase of {len(passphrase)} bytes, expected at least {SHORTEST_PASSPHRASE}",
            hint="several words; whoever gets the file can try many a second",
        )
    return BestAvailableEncryption(passphrase)


def _pem(key: PrivateKeyTypes, encryption: KeySerializationEncryption) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
