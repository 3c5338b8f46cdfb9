# SPDX-License-Identifier: Apache-2.0
"""Area trust: what the owner of a host signed as an extension, one file that was excepted included.

``audit_documents`` has verified the directories that the host keeps. Here stands what came of it,
and whether the gate of the next boot is told the same. The files that they sign are the area
files' business. Of an extension of which only grants are here, in the boot bundle, nobody can say
who signed it and what belongs to it; that is told, and is no finding.
"""

from verity.formats.grants import Grants, Party, Role
from verity.ports import places
from verity.values.audit import Area, Check, Severity
from verity.values.errors import HostError, VerityError
from verity.values.findings import Link
from verity.verbs import audit_owner, serial_floors, signed
from verity.verbs.audit_collect import Collector
from verity.verbs.audit_host import AuditedHost
from verity.verbs.extension_read import SignedExtension
from verity.verbs.serial_floors import HostState

CHECKS = (
    Check(
        id="extension",
        area=Area.TRUST,
        severity=Severity.CRITICAL,
        title="every extension whose documents are here is signed by the owner",
    ),
    Check(
        id="extension-behind",
        area=Area.TRUST,
        severity=Severity.HIGH,
        title="the boot bundle has the grants of the extensions whose documents are here",
    ),
)
_KEEP = "remove the directory, or have the extension signed anew and put that here"


def examine(host: AuditedHost, found: Collector) -> None:
    """Ask of each: is it signed, current, and told to the gate."""
    error = host.refused.get("extensions")
    if error is not None:
        found.error("extension", error, Link.STATEMENT, f"/{places.EXTENSIONS}")
        found.unasked(f"/{places.EXTENSIONS}", error.message, "extension-behind")
    elif not host.extensions:
        found.skip("no documents of an extension are here", *(check.id for check in CHECKS))
    for name, one in host.extensions.items():
        label = f"/{places.EXTENSIONS}/{name}"
        if isinstance(one, VerityError):
            _refused(host, found, label, one)
        else:
            _verified(host, found, label, one)
    if host.extensions:
        found.counts["extensions"] = len(host.extensions)
    _grants_alone(host, found)


def _refused(host: AuditedHost, found: Collector, label: str, error: VerityError) -> None:
    if host.roots is not None and error is host.roots.unknown:
        error = HostError("no-keyring", "whose signature counts isn't known: see the keyrings")
    error = audit_owner.sure(host, error)
    link = signed.LINK_OF.get(error.code, Link.STATEMENT)
    found.error("extension", error, link, label, _KEEP, codes=("example-key",))
    found.unasked(label, "its documents don't verify", "extension-behind")


def _verified(host: AuditedHost, found: Collector, label: str, one: SignedExtension) -> None:
    source = one.manifest.source
    said = source.statement
    found.take(signed.expiry(source, host.now, label), "expired")
    found.take(signed.ahead(source, host.clock, label), "issued-ahead")
    if host.roots is not None:
        trusted = host.roots.of(Role.EXTENSION, Party.USER)
        judged = serial_floors.judge(
            HostState.at(host.root, without_floor=True),
            source,
            trusted,
            now=host.now,
            clock=host.clock,
        )
        found.take(judged.findings, "bad-floor")
        found.take_gaps(judged.not_evaluated, "bad-floor")
    told = _told(host, said.stream)
    if host.bundle is None and "bundle" in host.refused:
        found.unasked(label, "the boot bundle does not verify", "extension-behind")
    elif host.bundle is None:
        found.skip("there is no boot bundle here", "extension-behind")
    elif told != one.grants.grants:
        found.add(
            "extension-behind",
            Link.GRANTS,
            label,
            "the gate gets other grants of this extension at boot"
            if told
            else "the gate gets no grants of this extension at boot, and refuses its code",
            expected=f"those of serial {said.serial} of the stream {said.stream}",
            found=f"those of serial {told.serial}" if told else "none of this stream",
            remedy="make the boot bundle anew with its grants, or remove this directory",
        )
    found.notes.append(
        f"extension {said.stream} serial {said.serial}: signed by"
        f" {', '.join(sorted(source.signers))}; {one.manifest.count} entries"
    )


def _told(host: AuditedHost, stream: str) -> Grants | None:
    """What the boot bundle grants of a stream of extensions."""
    return next((one for one in host.bundle_grants if one.stream == stream), None)


def _grants_alone(host: AuditedHost, found: Collector) -> None:
    """Extensions that the bundle grants and of which no documents are here."""
    kept = {one.manifest.source.statement.stream for one in host.signed_extensions.values()}
    for blob in host.bundle_grants:
        if blob.role is Role.EXTENSION and blob.stream not in kept:
            found.notes.append(
                f"extension {blob.stream} serial {blob.serial}: the boot bundle grants"
                f" {len(blob.code)} digests of it, signed by enough owners; who they are, and"
                f" whether its files are whole, isn't known, for no documents of it are in"
                f" /{places.EXTENSIONS}"
            )
