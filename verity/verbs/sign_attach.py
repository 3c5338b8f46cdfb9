# SPDX-License-Identifier: Apache-2.0
"""sign attach: what was signed, verified and written to where it belongs.

A bundle is believed in nothing: the documents are made once more from the tree itself and must be
the very bytes that were signed, enough of the keys that count must have signed them, and their
serial must be free. Then they are written in one step, as `commit sign` and `extension sign` do.
"""

from collections.abc import Callable
from pathlib import Path

from verity.formats.commit import DetachedMetadata
from verity.formats.sign_bundle import Bundle, BundleKind
from verity.formats.sign_payloads import Opened
from verity.ports import extension_files
from verity.ports.osfile import write_new_directory, write_new_file
from verity.ports.ostree_repo import Repository
from verity.ports.serials import SerialRecord
from verity.trust.trusted import TrustedSet
from verity.values.errors import CallerError, ContentError
from verity.verbs import policy_write, sign_prepare, sign_proof, sign_serials, signed
from verity.verbs.manifest import diff
from verity.verbs.sign_prepare import Source, Spot
from verity.verbs.sign_proof import Proven

DOCUMENTS = frozenset(
    {
        *(BundleKind.KEYS, BundleKind.POLICY, BundleKind.REVOKE),
        *(BundleKind.WAIVER, BundleKind.UNLOCK),
    }
)
_MODE = 0o644


def check_source(opened: Opened, source: Source) -> None:
    """Refuse a bundle (``not-the-tree``, ``grants-differ``) that isn't what its tree gives."""
    said = sign_serials.tree_of(opened)
    at = said.statement
    spot = Spot(stream=at.stream, serial=at.serial, issued=at.issued, expires=at.expires)
    due = source.make(spot.place(source.kind, at.serial)).bundle
    bundle = opened.bundle
    if bundle.manifest != due.manifest:
        changes = diff(bundle.manifest or b"", due.manifest or b"")
        raise ContentError(
            "not-the-tree",
            f"{changes[0].object}: {changes[0].problem} since the bundle was prepared"
            + (f" (and {len(changes) - 1} more files)" if len(changes) > 1 else ""),
            hint="this is another tree than the one that was signed: prepare it anew",
        )
    if bundle.blob != due.blob:
        raise ContentError(
            "grants-differ",
            "sign bundle: its grants are not what the files of the tree earn",
            hint="they were altered before they were signed, or made with another policy: find out"
            " which, and prepare anew",
        )
    if bundle.payload != due.payload or bundle.commit != due.commit:
        raise ContentError(
            "not-the-tree", "sign bundle: its statement or commit is not what the tree gives"
        )


def commit(
    repository: Repository,
    opened: Opened,
    trusted: TrustedSet,
    *,
    replace: bool,
    reread: Callable[[str], Source] | None,
    more: Callable[[DetachedMetadata], DetachedMetadata] = lambda metadata: metadata,
) -> Proven:
    """Attach to the commit that the statement names.

    ``reread`` reads a commit by its checksum; None says that this very process has just made the
    payloads from it. ``more`` puts beside them what is written in the same step.

    1. Verify what was signed.
    2. The commit has no statement yet, or it may be replaced.
    3. The payloads are what the commit gives.
    4. Claim the serial.
    5. Write it beside what is there, all at once; a failure gives the serial back.
    """
    # 1. Verify.
    proven = sign_proof.prove(opened, trusted)
    # 2. Replace.
    said = sign_serials.tree_of(opened).statement
    checksum = said.subjects["commit"].hex()
    before = repository.read_detached(checksum)
    sign_prepare.check_unsigned(before, checksum, replace=replace)
    # 3. Read again.
    if reread is not None:
        check_source(opened, reread(checksum))
    after = more(_attached(before, proven, opened.bundle))
    # 4. Claim.
    record = sign_serials.record_of_repository(repository, said.stream)
    is_new = sign_serials.claim(record, sign_serials.attached_to(repository, said.stream), opened)
    # 5. Write.
    with sign_serials.given_back(record if is_new else None, opened):
        repository.write_detached(checksum, after, expected=before)
    return proven


def extension(
    opened: Opened,
    trusted: TrustedSet,
    target: Path,
    *,
    state: Path | None,
    reread: Callable[[], Source] | None,
) -> Proven:
    """Write a new directory with the documents of an extension; ``reread`` as for a commit.

    1. Verify what was signed.
    2. The payloads are what the tree gives.
    3. Claim the serial, if there is a file with a record of them.
    4. Write them, all at once; a failure gives the serial back.
    """
    # 1. Verify.
    proven = sign_proof.prove(opened, trusted)
    # 2. Read again.
    if reread is not None:
        check_source(opened, reread())
    # 3. Claim.
    stream = sign_serials.tree_of(opened).statement.stream
    record = None if state is None else SerialRecord.of_file(state, stream)
    if record is not None and not sign_serials.claim(record, sign_serials.nothing_attached, opened):
        record = None  # it was reserved before: whoever reserved it gives it back
    # 4. Write.
    files = {
        extension_files.STATEMENT: proven.envelope,
        extension_files.MANIFEST: opened.bundle.manifest or b"",
        extension_files.GRANTS: sign_proof.fragment_bytes(proven),
    }
    with sign_serials.given_back(record, opened):
        write_new_directory(target, files, mode=_MODE)
    return proven


def document(opened: Opened, trusted: TrustedSet, target: Path) -> Proven:
    """Write what is one document with its signatures as a new file.

    A blob becomes a fragment, which `lockdown bundle` takes; a waiver its envelope; a policy both,
    the envelope as OUT.json.
    """
    if opened.bundle.kind not in DOCUMENTS:
        raise CallerError("bad-arguments", f"a {opened.bundle.kind} is more than one document")
    proven = sign_proof.prove(opened, trusted)
    if opened.bundle.kind is BundleKind.POLICY:
        policy_write.write(target, sign_proof.fragment_bytes(proven), proven.envelope)
        return proven
    data = proven.envelope if proven.fragment is None else sign_proof.fragment_bytes(proven)
    write_new_file(target, data, mode=_MODE)
    return proven


def _attached(before: DetachedMetadata, proven: Proven, bundle: Bundle) -> DetachedMetadata:
    fragment = sign_proof.fragment_of(proven)
    after = (
        before.with_byte_arrays(signed.STATEMENT, [proven.envelope])
        .with_bytes(signed.MANIFEST, signed.pack_manifest(bundle.manifest or b""))
        .with_bytes(signed.GRANTS, fragment.blob)
        .with_byte_arrays(signed.GRANTS_SIGNATURES, fragment.signatures)
    )
    for signature in bundle.gpg:
        after = after.with_appended(signed.GPG_SIGNATURES, "aay", signature)
    return after
