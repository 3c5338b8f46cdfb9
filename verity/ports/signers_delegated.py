# SPDX-License-Identifier: Apache-2.0
"""Signers that securesystemslib brings: cloud KMS, Vault, HSM by its own scheme.

A URI is securesystemslib's own and the public key's file: `awskms:alias/build#build.pub`.
The public half is named rather than fetched, so that it is the one that was checked; every
signature is checked with it (keystore.SigningKey). What a service needs to let us in is the
business of its own library: its environment, its configuration files.

Refused: `file2:`, which reads a private key without looking at its mode, and `gnupg:`, whose
OpenPGP signatures count nowhere here.
"""

import logging

from cryptography.hazmat.primitives.serialization import load_der_public_key
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, Signer, SSlibKey

from verity.ports.key_access import KeyAccess
from verity.trust.keys import KeyAlgorithm, PublicKey
from verity.values.errors import CallerError, HostError

# What it logs about a failure is in its exception, too, which becomes the one error of ours.
logging.getLogger("securesystemslib").addHandler(logging.NullHandler())

_REFUSED = {
    "file2": "file:PATH opens the same file, and refuses one that others can read",
    "gnupg": "`verity commit sign --gpg-sign KEY-ID` adds an OpenPGP signature",
}
# scheme: the extra of securesystemslib that brings what it needs, where the names differ
_EXTRAS = {"hv": "vault"}
_RSA_SCHEME = "rsa-pkcs1v15-sha256"


def schemes() -> list[str]:
    """The schemes that this securesystemslib knows and that are taken."""
    return sorted(set(SIGNER_FOR_URI_SCHEME) - set(_REFUSED))


def check_scheme(scheme: str) -> None:
    """Raise CallerError (``unknown-signer``) for a scheme that isn't taken."""
    if scheme in _REFUSED:
        raise CallerError(
            "unknown-signer", f"the scheme {scheme!r} is not taken", hint=_REFUSED[scheme]
        )
    if scheme not in SIGNER_FOR_URI_SCHEME:
        raise CallerError(
            "unknown-signer",
            f"no signer for the scheme {scheme!r}",
            hint=f"known are file, pkcs11, {', '.join(schemes())}",
        )


def open_signer(uri: str, public: PublicKey, access: KeyAccess) -> Signer:
    """Have securesystemslib make the signer. Raises CallerError, HostError."""
    scheme = uri.partition(":")[0]
    check_scheme(scheme)
    key = SSlibKey.from_crypto(
        load_der_public_key(public.spki),
        public.key_id,
        _RSA_SCHEME if public.algorithm is KeyAlgorithm.RSA else None,
    )
    try:
        return Signer.from_priv_key_uri(uri, key, Asker(scheme, access))
    except UnsupportedLibraryError as error:
        extra = _EXTRAS.get(scheme, scheme)
        raise HostError(
            "no-signer-library",
            f"the scheme {scheme!r} needs a library that is not installed",
            hint=f"pip install 'securesystemslib[{extra}]'",
        ) from error
    except HostError:
        raise
    except Exception as error:  # whatever the service's library raises: securesystemslib says so
        said = (str(error).strip().splitlines() or [""])[0][:200]
        raise HostError(
            "signer-failed", f"{scheme}: the signer can't be used: {type(error).__name__}: {said}"
        ) from error


class Asker:
    """What securesystemslib calls for a PIN or a passphrase; asked once for each kind."""

    def __init__(self, scheme: str, access: KeyAccess) -> None:
        self._scheme = scheme
        self._access = access
        self._told: dict[str, str] = {}

    def __call__(self, what: str) -> str:
        """The secret of this name."""
        if self._access.ask is None:
            raise HostError(
                "pin-needed",
                f"{self._scheme}: the signer wants a {what}, and there is no terminal to ask",
                hint="run it on a terminal; for a PKCS#11 token pkcs11:...?pin-source=file:/path",
            )
        if what not in self._told:
            self._told[what] = self._access.ask(f"{what} of {self._scheme}")
        return self._told[what]
