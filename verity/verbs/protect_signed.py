# SPDX-License-Identifier: Apache-2.0
"""Which files of a host are signed, and so ought to have fs-verity: for `lockdown protect`.

A backup brings back contents, owners and modes, and no fs-verity, which no archive has; without it
a sealed gate refuses every one of them. What each file has to be is taken from signed documents of
the host, verified from its own pins:

1. the system: the manifest that its owner signed grants for (`lockdown init --self-vendor`), or
   that of the OSTree commit that is booted;
2. /etc: the files that the grants of the signed intent name.

It lists; what differs from its digest is left as it is by whoever turns fs-verity on (``enable``).
What no document of the host names by its path, such as an extension, isn't among them.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from verity.formats import bundle, dump, grants
from verity.formats.dump import Entry
from verity.formats.grants import Party, Role
from verity.ports import booted, places
from verity.ports.osfile import is_there, read_file
from verity.ports.ostree_repo import Repository
from verity.ports.tree import Tree
from verity.values.digest import Digest, HashAlgorithm
from verity.values.errors import ContentError, HostError
from verity.verbs import etc_intent, keyring_trust, signed
from verity.verbs.enable import Target
from verity.verbs.enable_targets import Listed
from verity.verbs.keyring_trust import Keyrings

_REPO = Path("ostree/repo")


@contextlib.contextmanager
def listed(root: Path, *, allow_example_keys: bool = False) -> Iterator[Listed]:
    """The signed files of a host, each with its digest; they can be opened while inside.

    Raises HostError ``nothing-signed``, and ContentError for documents that aren't as signed.
    """
    keyrings = keyring_trust.load(
        keyring_trust.host_directories(root),
        keyring_trust.host_pins(root),
        allow_example_keys=allow_example_keys,
    )
    expected = {**_system(root, keyrings), **_etc(root, keyrings)}
    if not expected:
        raise HostError(
            "nothing-signed",
            f"{root}: there is neither a signed system nor a signed /etc",
            hint="`verity lockdown init` signs both; --root names another host",
        )
    found = Listed()
    with Tree(root) as opened:
        for path, digest in sorted(expected.items()):
            found.targets.append(
                Target(label=os.fsdecode(path), open=partial(opened.open, path), expected=digest)
            )
        yield found


def _system(root: Path, keyrings: Keyrings) -> Mapping[bytes, Digest]:
    # 1. The owner's.
    folder = root / places.SYSTEM
    if is_there(folder / "grants"):
        label = str(folder / "grants")
        fragment = bundle.parse_fragment(
            read_file(folder / "grants", max_size=bundle.MAX_SIZE), label=label
        )
        granted = grants.parse(fragment.blob)
        trusted = keyrings.trusted(Role.OS, granted.stream, party=Party.VENDOR)
        trusted.blob_signers(fragment.signatures, fragment.blob, what=label, issued=granted.issued)
        manifest = read_file(folder / "manifest", max_size=dump.MAX_SIZE)
        if hashlib.sha256(manifest).digest() != granted.manifest_sha256:
            raise ContentError(
                "wrong-manifest",
                f"{folder / 'manifest'}: it isn't the one that its grants name",
                hint="restore both from one backup, or have `verity lockdown init` sign anew",
            )
        return _digests(dump.parse(manifest))
    # Or the vendor's.
    revision = booted.commit(root)
    if revision is None:
        return {}
    with Repository(root / _REPO) as repository:
        commit = signed.load(repository, revision, keyrings.trusted(Role.OS))
    return _digests(commit.manifest.entries)


def _etc(root: Path, keyrings: Keyrings) -> Mapping[bytes, Digest]:
    host = etc_intent.Host.at(root, None)
    serial = host.state.current()
    if serial is None:
        return {}
    intent = etc_intent.load(host, serial, keyrings.trusted(Role.ETC))
    return _digests(entry for path, entry in intent.entries.items() if path in intent.granted)


def _digests(entries: Iterable[Entry]) -> Mapping[bytes, Digest]:
    return {
        entry.path: Digest(HashAlgorithm.SHA256, entry.digest)
        for entry in entries
        if entry.digest is not None
    }
