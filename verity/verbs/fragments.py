# SPDX-License-Identifier: Apache-2.0
"""Making and loading fragments of a boot bundle: a blob, signed, and verified before it is kept.

What is signed here is verified with the public halves by the code that a bundle is checked with.
It writes no file.
"""

from collections.abc import Sequence
from pathlib import Path

from verity.formats import bundle
from verity.formats.grants import Party, Role
from verity.formats.records import MAX_SIGNATURES, Fragment, RecordKind
from verity.ports.keystore import SigningKey
from verity.ports.osfile import read_file
from verity.trust.trusted import TrustedSet
from verity.values.errors import CallerError


def sign(
    kind: RecordKind, blob: bytes, keys: Sequence[SigningKey], *, party: Party, role: Role
) -> Fragment:
    """The blob with a signature by each of these keys, which are of this party and role."""
    publics = {key.public.key_id for key in keys}
    if len(publics) != len(keys):
        raise CallerError("bad-arguments", "a key that signs is there twice")
    if len(keys) > MAX_SIGNATURES:
        raise CallerError(
            "bad-arguments", f"{len(keys)} keys, at most {MAX_SIGNATURES} can sign one blob"
        )
    fragment = Fragment(kind=kind, blob=blob, signatures=tuple(key.sign_blob(blob) for key in keys))
    trusted = TrustedSet.of_keys(
        [key.public for key in keys],
        party=party,
        role=role,
        threshold=len(keys),
        allow_example_keys=True,  # whoever opened the keys has decided
    )
    trusted.blob_signers(fragment.signatures, blob, what=kind.name.lower())
    return fragment


def load(path: Path) -> Fragment:
    """Read a file that holds one fragment; nothing is verified yet."""
    return bundle.parse_fragment(read_file(path, max_size=bundle.MAX_SIZE), label=str(path))
