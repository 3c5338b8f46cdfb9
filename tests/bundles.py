# SPDX-License-Identifier: Apache-2.0
"""Sign bundles in memory, of the signed world: for tests that change one thing."""

import hashlib
from dataclasses import dataclass

from tests.world import ISSUED, VENDOR, Signer, World
from verity.formats import pkcs7
from verity.formats.commit import Commit, Metadata
from verity.formats.sign_bundle import Bundle, BundleKind, Signature

COMMIT = Commit(
    metadata=Metadata(),
    parent=None,
    subject="weekly",
    body="",
    timestamp=ISSUED,
    root_dirtree="11" * 32,
    root_dirmeta="22" * 32,
).encode()


@dataclass
class BundleWorld(World):
    """A world about a commit whose object is here. ``bundle`` asks for all of it."""

    commit: bytes = hashlib.sha256(COMMIT).digest()

    def bundle(self, *signers: Signer) -> Bundle:
        """The payloads, with a signature by each of these."""
        made = Bundle(
            kind=BundleKind.COMMIT,
            payload=self.statement,
            blob=self.grants,
            manifest=self.manifest,
            commit=COMMIT,
        )
        for signer in signers:
            made = made.with_signature(signature(made, signer))
        return made


def signature(bundle: Bundle, signer: Signer = VENDOR) -> Signature:
    """One key's signatures over the payloads."""
    return Signature(
        public=signer.public.spki,
        pae=None if bundle.pae is None else signer.sign(bundle.pae),
        pkcs7=pkcs7.encode(key_id=signer.public.key_id, signature=signer.sign(bundle.blob or b"")),
    )
