# SPDX-License-Identifier: Apache-2.0
"""commit verify --reproduce: manifest and grants made again from the commit, byte for byte.

It proves, without a key, that what is attached follows from the commit and the fixed rules: nobody
who signed it had a choice. It says nothing about who signed, nor whether anybody did. What the
rules don't give (party, role, stream, serial, times) is taken from the attached grants. So are the
flags interpreter and jit, and which paths are configuration, unless the caller has a policy: there
the signer had a choice, and each file with jit is named.
"""

import hashlib
from dataclasses import replace

from verity.formats import dump, grants
from verity.formats.grant_rules import Asked, as_granted, earned
from verity.ports.ostree_repo import Repository
from verity.values.findings import Finding, Link, Report
from verity.verbs import commit_differences, contents, signed


def reproduce(
    repository: Repository, revision: str, *, asked: Asked | None = None, jobs: int
) -> Report:
    """Make them again and compare.

    1. Read the commit and all that is in it, each object checked against its name.
    2. The manifest of that is the attached one, byte for byte.
    3. So are the grants, with the header of the attached ones, and with their interpreters, jit
       and paths of configuration unless the caller says what is ``asked``.

    Raises ContentError or HostError if there is nothing to compare, or an object isn't what its
    name says: from a damaged commit nothing follows.
    """
    # 1. Read.
    checksum = repository.resolve(revision)
    repository.read_commit(checksum)
    detached = repository.read_detached(checksum)
    attached = signed.manifest_bytes(detached, checksum)
    blob = signed.grants_bytes(detached, checksum)
    tree = contents.read(repository, checksum, jobs=jobs)
    if tree.damaged:
        raise contents.first_damage(tree)
    label = f"commit {checksum[:12]}"
    found: list[Finding] = []
    # 2. The manifest.
    manifest = dump.serialise(tree.entries)
    if manifest != attached:
        found.append(_differs("manifest", Link.MANIFEST, manifest, attached, label))
        found += commit_differences.of_manifest(dump.parse(attached), tree.entries, frozenset())
    # 3. The grants.
    given = grants.parse(blob)
    due = earned(tree.entries, tree.heads, asked or as_granted(given))
    again = grants.encode(
        replace(
            given,
            manifest_sha256=hashlib.sha256(manifest).digest(),
            code=due.code,
            elevate=due.elevate,
            config=due.config,
        )
    )
    if again != blob:
        found.append(_differs("grants", Link.GRANTS, again, blob, label))
        found += commit_differences.of_grants(given, due, tree.entries, frozenset())
    notes = commit_differences.jit_notes(given, tree.entries)
    counts = {
        "files": dump.count_files(tree.entries),
        "objects": tree.objects,
        "grants": len(due.code),
    }
    return Report(counts=counts, findings=tuple(found), notes=tuple(notes))


def _differs(what: str, link: Link, again: bytes, attached: bytes, label: str) -> Finding:
    return Finding(
        check="not-reproduced",
        link=link,
        object=label,
        problem=f"{what}: made again from the commit, it is not the attached one",
        expected=f"sha256:{hashlib.sha256(again).hexdigest()}",
        found=f"sha256:{hashlib.sha256(attached).hexdigest()}",
        remedy="who signed it altered it, or has other rules: ask them, and don't accept it",
    )
