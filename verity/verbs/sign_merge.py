# SPDX-License-Identifier: Apache-2.0
"""sign merge: copies of one bundle that were signed at the same time become one again.

The payloads must be the same, byte for byte. Of a key that signed in several copies the signature
of the first counts: two that verify say the same.
"""

from collections.abc import Sequence
from dataclasses import replace

from verity.formats.records import MAX_SIGNATURES
from verity.formats.sign_bundle import Bundle
from verity.formats.sign_payloads import Opened
from verity.values.errors import ContentError
from verity.verbs.sign_bundles import BundleFile


def merge(files: Sequence[BundleFile]) -> Opened:
    """All signatures of all copies on the payloads of the first.

    Raises ContentError: ``other-payloads``, ``too-many-signatures``.
    """
    first = files[0]
    made = first.opened.bundle
    for other in files[1:]:
        bundle = other.opened.bundle
        if _payloads(bundle) != _payloads(made):
            raise ContentError(
                "other-payloads",
                f"{other.path}: it holds other payloads than {first.path}",
                hint="compare them with `verity sign show`: one was prepared anew, or altered",
            )
        there = {one.key_id for one in made.signatures}
        for signature in bundle.signatures:
            if signature.key_id not in there:
                made = made.with_signature(signature)
        new = [one for one in bundle.gpg if one not in made.gpg]
        made = replace(made, gpg=(*made.gpg, *new))
    for name, number in (("signatures", made.signatures), ("OpenPGP signatures", made.gpg)):
        if len(number) > MAX_SIGNATURES:
            raise ContentError(
                "too-many-signatures",
                f"{first.path}: {len(number)} {name} together, at most {MAX_SIGNATURES} are taken",
            )
    return replace(first.opened, bundle=made)


def _payloads(bundle: Bundle) -> Bundle:
    return replace(bundle, signatures=(), gpg=())
