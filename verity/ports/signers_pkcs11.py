# SPDX-License-Identifier: Apache-2.0
"""Signing with a key in a PKCS#11 token (an HSM, a smart card), by python-pkcs11.

The key is ECDSA P-256; the token signs a SHA-256 that is computed here, and the private half never
leaves it. The PIN comes from the URI's pin-source or from whoever can be asked, once for each key;
a token with a keypad of its own asks by itself. Nothing is made, changed or deleted on a token.

Why not securesystemslib's HSMSigner: docs/adr/0019-pkcs11.md.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key
from securesystemslib.signer import Key, SecretsHandler, Signature, Signer, SSlibKey

from verity.formats.pkcs11_uri import Pkcs11Uri
from verity.ports.key_access import KeyAccess, read_secret, usable_secret
from verity.trust.keys import KeyAlgorithm, PublicKey, of_public_key, parse_spki
from verity.values.errors import CallerError, ContentError, HostError

try:
    import pkcs11
    from pkcs11.util.ec import encode_ec_public_key
except ImportError as error:  # the extra `hsm` isn't installed
    raise HostError(
        "no-pkcs11",
        "pkcs11: the Python package python-pkcs11 is not installed",
        hint="pip install 'fsverity-chain[hsm]'",
    ) from error

# p11-kit's library is a module by itself, which has the tokens of all modules that are registered.
DEFAULT_MODULE = "libp11-kit.so.0"
_HALF = 32  # bytes of r and of s

# What the token said, what an operator can do about it. Everything else: the condition's name.
_CONDITIONS: dict[type[pkcs11.PKCS11Error], tuple[str, str, str]] = {
    pkcs11.PinIncorrect: (
        "pin-wrong",
        "the token refuses the PIN",
        "a few more wrong ones lock the token",
    ),
    pkcs11.PinLenRange: ("pin-wrong", "the PIN is too short or too long for the token", ""),
    pkcs11.PinInvalid: ("pin-wrong", "the token refuses the PIN's characters", ""),
    pkcs11.PinLocked: ("pin-locked", "the PIN is locked", "its security officer can unlock it"),
    pkcs11.PinExpired: ("pin-locked", "the PIN has expired", "set a new one"),
    pkcs11.UserPinNotInitialized: ("pin-locked", "the token has no PIN yet", "set one"),
    pkcs11.UserNotLoggedIn: ("pin-needed", "the token wants a PIN first", "pin-source=file:/path"),
    pkcs11.DeviceRemoved: ("no-token", "the token was removed", "put it back"),
    pkcs11.TokenNotPresent: ("no-token", "the token was removed", "put it back"),
    pkcs11.KeyTypeInconsistent: ("bad-key", "the key is of another kind", "use a P-256 key"),
}


class TokenSigner(Signer):
    """A private key in an open session."""

    def __init__(self, label: str, public: PublicKey, key: pkcs11.SignMixin, pin: str | None):
        crypto = load_der_public_key(public.spki)
        self._public_key = SSlibKey.from_crypto(crypto, public.key_id)
        self._label = label
        self._key = key
        self._pin = pin  # only for a key that wants it again for each signature

    @property
    def public_key(self) -> SSlibKey:
        """The key for securesystemslib."""
        return self._public_key

    @classmethod
    def from_priv_key_uri(
        cls,
        priv_key_uri: str,
        public_key: Key,
        secrets_handler: SecretsHandler | None = None,
    ) -> "TokenSigner":
        """securesystemslib's way in, by its registry of schemes, in which this signer is not.

        Raises CallerError (``unknown-signer``): ``open_signer`` finds the key and its public half.
        """
        raise CallerError("unknown-signer", "a key in a token is opened by its pkcs11: URI alone")

    def sign(self, payload: bytes) -> Signature:
        """ECDSA-Sig-Value in DER over the payload's SHA-256."""
        with _named(self._label):
            raw = self._key.sign(
                hashlib.sha256(payload).digest(),
                mechanism=pkcs11.Mechanism.ECDSA,
                **({} if self._pin is None else {"pin": self._pin}),
            )
        if len(raw) != 2 * _HALF:
            raise HostError(
                "signer-failed", f"{self._label}: a signature of {len(raw)} bytes, expected 64"
            )
        r, s = (int.from_bytes(raw[at : at + _HALF], "big") for at in (0, _HALF))
        return Signature(self._public_key.keyid, encode_dss_signature(r, s).hex())


def open_signer(uri: Pkcs11Uri, access: KeyAccess) -> tuple[PublicKey, Signer]:
    """Log in and find the key. Raises HostError, ContentError (``bad-key``)."""
    label = str(uri)
    with _named(label):
        token = _token(uri)
        pin: str | None = None
        if token.flags & pkcs11.TokenFlag.PROTECTED_AUTHENTICATION_PATH:
            session = _login(token, pkcs11.PROTECTED_AUTH)
        elif token.flags & pkcs11.TokenFlag.LOGIN_REQUIRED:
            pin = _pin(uri, access, token)
            session = _login(token, pin)
        else:
            session = token.open()
        key = _one(session, uri, pkcs11.ObjectClass.PRIVATE_KEY)
        if key is None:
            raise _no_key(uri)
        again = _attribute(key, pkcs11.Attribute.ALWAYS_AUTHENTICATE)
        public = _public(session, uri, identity=_attribute(key, pkcs11.Attribute.ID) or b"")
    if public is None:
        raise HostError(
            "no-public-key",
            f"{label}: the token has neither the public key nor a certificate for it",
            hint="write the public key to the token, with the same id (pkcs11-tool --write-object)",
        )
    return public, TokenSigner(label, public, key, pin if again else None)


def read_public(uri: Pkcs11Uri, access: KeyAccess) -> PublicKey:
    """The public half; logs in only if the token doesn't show it without."""
    with _named(str(uri)), _token(uri).open() as session:
        public = _public(session, uri, identity=uri.id or b"")
    return public or open_signer(uri, access)[0]


@contextmanager
def _named(label: str) -> Iterator[None]:
    """Turns what the token says into a named condition. A PIN is in no text of python-pkcs11."""
    try:
        yield
    except pkcs11.PKCS11Error as error:
        code, text, hint = _CONDITIONS.get(
            type(error), ("signer-failed", f"the token says {type(error).__name__}", "")
        )
        raise HostError(code, f"{label}: {text}", hint=hint or None) from error


def _token(uri: Pkcs11Uri) -> pkcs11.Token:
    path = uri.module_path or DEFAULT_MODULE
    try:
        slots = pkcs11.lib(path).get_slots(token_present=True)
    except pkcs11.PKCS11Error as error:
        raise HostError(
            "no-module",
            f"{path}: can't be used as a PKCS#11 module",
            hint="?module-path=/path/of/module.so names another; p11-kit has the default",
        ) from error
    found = [token for slot in slots if _matches(token := slot.get_token(), uri)]
    if len(found) != 1:
        raise HostError(
            "no-token",
            f"{uri}: {len(found)} tokens match, expected one",
            hint="`pkcs11-tool --module MODULE --list-token-slots` shows tokens and their labels",
        )
    return found[0]


def _matches(token: pkcs11.Token, uri: Pkcs11Uri) -> bool:
    if not token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED:
        return False
    serial = token.serial.decode("utf-8", "replace").rstrip()
    return all(
        wanted in (None, found)
        for wanted, found in (
            (uri.token, token.label),
            (uri.serial, serial),
            (uri.manufacturer, token.manufacturer_id),
            (uri.model, token.model),
        )
    )


def _pin(uri: Pkcs11Uri, access: KeyAccess, token: pkcs11.Token) -> str:
    if uri.pin_file is not None:
        secret = read_secret(Path(uri.pin_file), what="PIN")
    elif access.ask is not None:
        secret = usable_secret(access.ask(f"PIN of {token.label}").encode(), label="the PIN")
    else:
        raise HostError(
            "pin-needed",
            f"{uri}: the token wants a PIN, and there is no terminal to ask for it",
            hint="?pin-source=file:/path of a file of mode 0600, or run it on a terminal",
        )
    try:
        return secret.decode("utf-8")
    except UnicodeDecodeError:  # whose text would hold the PIN
        raise ContentError("bad-secret", f"{uri}: the PIN is not UTF-8") from None


def _login(token: pkcs11.Token, pin: object) -> pkcs11.Session:
    try:
        return token.open(user_pin=pin)
    except pkcs11.UserAlreadyLoggedIn:  # by another key of this token: it is so for all sessions
        return token.open()


def _one(session: pkcs11.Session, uri: Pkcs11Uri, kind: pkcs11.ObjectClass) -> Any:
    """The one object of this kind that the URI names, or None."""
    wanted: dict[pkcs11.Attribute, Any] = {pkcs11.Attribute.CLASS: kind}
    if uri.object is not None:
        wanted[pkcs11.Attribute.LABEL] = uri.object
    if uri.id is not None:
        wanted[pkcs11.Attribute.ID] = uri.id
    return _only(session, wanted, uri)


def _only(session: pkcs11.Session, wanted: dict[pkcs11.Attribute, Any], uri: Pkcs11Uri) -> Any:
    found = list(session.get_objects(wanted))
    if len(found) > 1:
        raise HostError(
            "no-key",
            f"{uri}: {len(found)} keys match, expected one",
            hint="name the one by its id: pkcs11:...;id=%01",
        )
    return found[0] if found else None


def _public(session: pkcs11.Session, uri: Pkcs11Uri, *, identity: bytes) -> PublicKey | None:
    """The public half: by the private one's id if there is one, else by what the URI says."""
    for kind in (pkcs11.ObjectClass.PUBLIC_KEY, pkcs11.ObjectClass.CERTIFICATE):
        wanted = {pkcs11.Attribute.CLASS: kind, pkcs11.Attribute.ID: identity}
        there = _only(session, wanted, uri) if identity else _one(session, uri, kind)
        if there is not None:
            return _key_of(there, label=str(uri))
    return None


def _key_of(there: Any, *, label: str) -> PublicKey:
    try:
        if isinstance(there, pkcs11.Certificate):
            data = there[pkcs11.Attribute.VALUE]
            public = of_public_key(x509.load_der_x509_certificate(data).public_key(), label=label)
        elif there.key_type is pkcs11.KeyType.EC:
            public = parse_spki(encode_ec_public_key(there), label=label)
        else:
            raise ContentError("bad-key", f"{label}: not an elliptic-curve key, expected P-256")
    except (ValueError, TypeError) as error:
        raise ContentError("bad-key", f"{label}: the token's public key is malformed") from error
    if public.algorithm is not KeyAlgorithm.P256:
        raise ContentError("bad-key", f"{label}: {public.algorithm}, expected ecdsa-p256")
    return public


def _attribute(there: Any, name: pkcs11.Attribute) -> Any:
    """An attribute, or None where the token doesn't have it."""
    try:
        return there[name]
    except (pkcs11.AttributeTypeInvalid, pkcs11.AttributeSensitive):
        return None


def _no_key(uri: Pkcs11Uri) -> HostError:
    return HostError(
        "no-key",
        f"{uri}: no such private key on the token",
        hint="`pkcs11-tool --module MODULE --login --list-objects` shows labels and ids",
    )
