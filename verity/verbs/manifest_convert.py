# SPDX-License-Identifier: Apache-2.0
"""Between our manifests and what composefs tools read and write.

``from_dump`` makes a manifest of any composefs-dump(5); ``with_payloads`` gives mkcomposefs the
places of the contents in an OSTree repository. What has payloads is a dump, not a manifest: it is
not canonical, and nothing of ours signs or verifies it. No contents are read here.
"""

from dataclasses import dataclass

from verity.formats import any_dump, dump
from verity.ports.ostree_repo import Repository
from verity.verbs.manifest import of_commit


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A canonical manifest, and the names of xattrs of the dump that no manifest holds."""

    manifest: bytes
    left_out: tuple[bytes, ...]


def from_dump(data: bytes) -> Converted:
    """Make the manifest of a dump. ContentError for what none can say."""
    found = any_dump.parse(data)
    return Converted(manifest=any_dump.to_manifest(found), left_out=found.left_out)


def with_payloads(repository: Repository, revision: str, *, jobs: int) -> bytes:
    """The manifest of a commit, with the object of each regular file as its PAYLOAD."""
    manifest = of_commit(repository, revision, jobs=jobs)
    commit = repository.resolve(revision)
    objects = {path: content for path, content, _ in repository.paths(commit) if content}
    lines = []
    for entry in dump.parse(manifest):
        payload = None
        if entry.is_regular and entry.size:  # an empty file has no contents to be anywhere
            name = objects[entry.path]
            payload = f"{name[:2]}/{name[2:]}.file".encode()
        lines.append(dump.line(entry, payload=payload))
    return b"".join(lines)
