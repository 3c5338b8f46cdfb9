# SPDX-License-Identifier: Apache-2.0
"""A version of a keyring in a sign bundle: out of the directory where it waits, and back into it.

Who may sign it is said by the version itself and by the one before, whose root thresholds must both
be met; ``keyring_versions.publish`` decides that, and verifies the whole chain. Signatures that are
there already, in the directory or in the bundle, are kept.
"""

from dataclasses import replace
from pathlib import Path

from verity.formats.grants import Party
from verity.formats.keyring import Keyring
from verity.formats.sign_bundle import Bundle, BundleKind, Signature
from verity.formats.sign_payloads import Opened
from verity.ports import keyring_files
from verity.trust.keys import parse_spki
from verity.values.errors import CallerError, ContentError
from verity.verbs import keyring_versions
from verity.verbs.keyring_project import blob_of
from verity.verbs.keyring_versions import Published, RootSignature


def prepare(directory: Path, party: Party) -> Opened:
    """The version that waits for signatures, with those that it has."""
    found = keyring_versions.waiting(keyring_versions.load(directory, party))
    if found is None:
        raise CallerError(
            "nothing-waits",
            f"{directory / party.name.lower()}: no version waits for signatures",
            hint="`keyring init`, `add-key`, `revoke` and `rotate` make one, signed by fewer root"
            " keys than must sign",
        )
    what, signatures = found
    bundle = Bundle(kind=BundleKind.KEYRING, payload=what.payload, blob=what.blob)
    for one in signatures:
        bundle = bundle.with_signature(
            Signature(public=one.public.spki, pae=one.over_pae, pkcs7=one.over_blob)
        )
    return Opened(bundle=bundle, said=what.keyring)


def check(opened: Opened) -> None:
    """Refuse a bundle (``payloads-differ``) whose blob isn't the projection of its keyring."""
    if isinstance(opened.said, Keyring) and blob_of(opened.said) != opened.bundle.blob:
        raise ContentError(
            "payloads-differ",
            "sign bundle: its keys for the kernel are not those of its keyring",
            hint="the bundle was altered, or made of parts of two: have it prepared anew",
        )


def attach(opened: Opened, directory: Path) -> Published:
    """Publish the version, or leave it waiting for the signatures that are still missing.

    1. It is the version that waits, if one does.
    2. Its signatures by root keys, and those that are there, are verified and written. Others
       stay behind and are named: whoever carries the bundle can add theirs.
    """
    value = opened.said
    if not isinstance(value, Keyring):
        raise CallerError("bad-arguments", f"a {opened.bundle.kind} is no keyring")
    with keyring_files.lock(directory, value.party):
        # 1. What waits.
        source = keyring_versions.load(directory, value.party)
        found = keyring_versions.waiting(source)
        there: list[RootSignature] = []
        if found is not None:
            what, there = found
            if what.payload != opened.bundle.payload:
                raise CallerError(
                    "waiting",
                    f"{directory}: what waits for signatures is a version"
                    f" {what.keyring.version} other than the bundle's version {value.version}",
                    hint="prepare that one; or remove its file, if it is not wanted",
                )
        elif value.version != source.next_version:
            raise CallerError(
                "bad-version",
                f"{directory}: the next version is {source.next_version}, the bundle's is"
                f" {value.version}",
            )
        # 2. Signatures.
        known = keyring_versions.signing_keys(source, value)
        brought = [
            RootSignature(
                public=parse_spki(one.public, label=f"key {one.key_id}"),
                over_pae=one.pae or b"",
                over_blob=one.pkcs7 or b"",
            )
            for one in opened.bundle.signatures
            if one.key_id in known
        ]
        made = keyring_versions.publish(source, keyring_versions.draft(value), [*there, *brought])
    left_out = tuple(one.key_id for one in opened.bundle.signatures if one.key_id not in known)
    return replace(made, left_out=left_out)
