# SPDX-License-Identifier: Apache-2.0
"""sign add: one more signature on a bundle, by the key that is here.

It asks nobody whom to trust: a signer knows what they sign and with which key. A key that signed
already is refused. A bundle from a file comes here only by ``sign_bundles.load``, which refuses one
that was changed after somebody signed it.
"""

from collections.abc import Sequence
from dataclasses import replace

from verity.formats.records import MAX_SIGNATURES
from verity.formats.sign_bundle import Bundle, Signature
from verity.formats.sign_payloads import Opened
from verity.ports.gpg import GpgSigner
from verity.ports.keystore import SigningKey
from verity.trust.keys import PublicKey, parse_spki
from verity.trust.trusted import blob_signed_by
from verity.values.errors import CallerError, ContentError


def check_signature(bundle: Bundle, signature: Signature) -> None:
    """Refuse one (``bad-signature``) that isn't over the payloads as they are now."""
    key = parse_spki(signature.public, label=f"key {signature.key_id}")
    good = []
    if bundle.blob is not None and signature.pkcs7 is not None:
        good.append(blob_signed_by(key, signature.pkcs7, bundle.blob))
    if bundle.pae is not None and signature.pae is not None:
        good.append(key.verifies(signature=signature.pae, data=bundle.pae))
    if not good or not all(good):  # a signature over nothing is none
        raise ContentError(
            "bad-signature",
            f"sign bundle: the signature by key {signature.key_id} is not over these payloads",
            hint="the payloads were changed after that key signed: ask the signer, don't sign",
        )


def check_keys(keys: Sequence[SigningKey], *, threshold: int) -> None:
    """Refuse a key that is named twice, fewer keys than must sign, and more than the gate takes."""
    count = len({key.public.key_id for key in keys})
    if count != len(keys):
        raise CallerError("bad-arguments", "a key that signs is there twice")
    if not 1 <= threshold <= count <= MAX_SIGNATURES:
        raise CallerError(
            "bad-arguments",
            f"{count} keys sign with a threshold of {threshold}, expected {max(threshold, 1)}"
            f" to {MAX_SIGNATURES} keys",
            hint="name --key once for each signer, or collect signatures with `verity sign`",
        )


def check_addable(opened: Opened, key: PublicKey) -> None:
    """Refuse a key that signed already (``already-signed``), and one too many."""
    there = [signature.key_id for signature in opened.bundle.signatures]
    if key.key_id in there:
        raise CallerError(
            "already-signed",
            f"key {key.key_id}: it has signed this bundle already",
            hint="each key counts once; the next signature has to be another person's",
        )
    if len(there) == MAX_SIGNATURES:
        raise CallerError(
            "too-many-signatures",
            f"sign bundle: it has {len(there)} signatures, which is all that the gate takes",
        )


def add(opened: Opened, key: SigningKey) -> Opened:
    """Sign what is in the bundle: the DSSE payload, and the blob for the kernel.

    1. The key is not among those that signed.
    2. Sign.
    3. Verify with the public half.
    """
    # 1. Once.
    bundle = opened.bundle
    check_addable(opened, key.public)
    # 2. Sign.
    signature = Signature(
        public=key.public.spki,
        pae=None if bundle.pae is None else key.sign(bundle.pae),
        pkcs7=None if bundle.blob is None else key.sign_blob(bundle.blob),
    )
    # 3. Verify.
    check_signature(bundle, signature)
    return replace(opened, bundle=bundle.with_signature(signature))


def add_all(opened: Opened, keys: Sequence[SigningKey]) -> Opened:
    """A signature by each of these keys."""
    for key in keys:
        opened = add(opened, key)
    return opened


def add_gpg(opened: Opened, signer: GpgSigner) -> Opened:
    """Add an OpenPGP signature over the commit, for stock ostree; it counts for nothing here."""
    bundle = opened.bundle
    if bundle.commit is None:
        raise CallerError(
            "bad-arguments",
            f"sign bundle: of the kind {bundle.kind}; only a commit has OpenPGP signatures",
        )
    return replace(opened, bundle=replace(bundle, gpg=(*bundle.gpg, signer.sign(bundle.commit))))
