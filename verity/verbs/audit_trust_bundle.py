# SPDX-License-Identifier: Apache-2.0
"""Area trust: the boot bundle, which is all that the gate of the next boot is told.

``audit_documents`` has verified it as the gate will, whatever has expired since. Here stand its
times, what the keyrings have come to revoke, and whether it belongs to the commit that is audited.
What a gate that runs has been told is for the area posture.
"""

from verity.formats import grants, kernel_keys
from verity.formats.kernel_policy import Mode
from verity.formats.records import RecordKind
from verity.formats.statement import format_time
from verity.ports import places
from verity.trust import boot_revoked
from verity.trust.boot_bundle import Part
from verity.values.audit import Area, Check, Severity
from verity.values.errors import ContentError, HostError, VerityError
from verity.values.findings import Link
from verity.verbs import audit_boot_bundle, initramfs_trust
from verity.verbs.audit_collect import Collector
from verity.verbs.audit_host import AuditedHost, BootBundle


def _check(check: str, severity: Severity, title: str) -> Check:
    return Check(id=check, area=Area.TRUST, severity=severity, title=title)


CHECKS = (
    _check("bad-bundle", Severity.CRITICAL, "the boot bundle is one that the gate takes"),
    _check("pin-differs", Severity.CRITICAL, "the host's pins are those that are accepted"),
    _check("bundle-expired", Severity.MEDIUM, "nothing in the boot bundle has expired"),
    _check("bundle-revoked", Severity.HIGH, "nothing in the boot bundle is revoked"),
    _check(
        "bundle-behind", Severity.HIGH, "the boot bundle has the commit's grants, and newest keys"
    ),
)
_REMAKE = "make the bundle anew: `verity lockdown bundle --replace`"
_LABEL = f"/{places.BUNDLE}"


def examine(host: AuditedHost, found: Collector) -> None:
    """Ask what there is to ask of the boot bundle."""
    error: VerityError | None = host.refused.get("bundle")
    if error is not None:
        if host.roots is not None and error is host.roots.unknown:
            error = HostError("no-keyring", "whose signature counts isn't known: see the keyrings")
        codes = ("pin-differs", "example-key")
        found.error("bad-bundle", error, Link.VERDICT, _LABEL, _REMAKE, codes=codes)
        found.unasked(_LABEL, "it does not verify", *(check.id for check in CHECKS))
        return
    if host.bundle is None:
        _gone(host, found)
        return
    for part in host.bundle.parts:
        _times(host, found, part)
    _revoked(host, found, host.bundle)
    _behind(host, found, host.bundle)
    found.counts["boot bundle parts"] = len(host.bundle.parts)


def _gone(host: AuditedHost, found: Collector) -> None:
    """No question without a policy that seals: with one, no gate comes with the next boot."""
    if host.policy is None or host.policy.policy.mode is not Mode.SEALED:
        found.skip("there is no boot bundle here", *(check.id for check in CHECKS))
        return
    carriers = [str(one.path) for one in initramfs_trust.read(host.root) if one.bundle]
    if carriers:
        why = f"there is none, but one is in {carriers[0]}, where verity's own loader takes none"
        found.gap("bad-bundle", _LABEL, why, "find out who made that initramfs: " + _REMAKE)
        found.unasked(_LABEL, "it is gone", *(check.id for check in CHECKS))
        return
    found.add(
        "bad-bundle",
        Link.VERDICT,
        _LABEL,
        "there is none, so the gate is told nothing at the next boot, and refuses nothing",
        expected=f"one that seals, as the signed policy of serial {host.policy.policy.serial} says",
        found="no such file",
        remedy="make it: `verity lockdown bundle`",
    )
    found.unasked(_LABEL, "it is gone", *(check.id for check in CHECKS))


def _named(part: Part) -> str:
    stream = f" of the stream {part.stream}" if part.stream else ""
    return f"{_LABEL}: {part.kind.name.lower()}{stream}, serial {part.serial}"


def _times(host: AuditedHost, found: Collector, part: Part) -> None:
    if part.expires is not None and host.now >= part.expires:
        found.add(
            "bundle-expired",
            Link.VERDICT,
            _named(part),
            "it has expired; the gate goes on with it, and nobody can make a bundle with it again",
            expected=f"a time before {format_time(part.expires)}",
            found=format_time(host.now),
            remedy=f"have it signed anew, and {_REMAKE}",
        )


def _revoked(host: AuditedHost, found: Collector, bundle: BootBundle) -> None:
    """Whether a keyring revokes what the bundle still has."""
    roots = host.roots
    if roots is None or roots.keyrings is None:
        found.skip("no keyring was asked what it revokes", "bundle-revoked")
        return
    try:
        accepted = {party: audit_boot_bundle.pin_of(host.root, party) for party in roots.pins}
        boot_revoked.check(
            bundle.labelled,
            accepted,
            {party: roots.keyrings.revocations(party) for party in accepted},
        )
    except ContentError as error:
        found.add(
            "bundle-revoked",
            Link.KEY,
            _LABEL,
            error.message,
            found=error.message,
            remedy=error.hint or _REMAKE,
        )
    except VerityError as error:
        found.gap("bundle-revoked", _LABEL, error.message, error.hint or "")


def _behind(host: AuditedHost, found: Collector, bundle: BootBundle) -> None:
    """Whether the bundle is of this commit and of the keyrings that the host has."""
    commit = host.commit
    for item in bundle.labelled:
        if item.fragment.kind is RecordKind.GRANTS and commit is not None:
            blob, ours = grants.parse(item.fragment.blob), commit.grants.grants
            if (blob.stream, blob.party) == (ours.stream, ours.party) and blob != ours:
                found.add(
                    "bundle-behind",
                    Link.GRANTS,
                    _LABEL,
                    "the gate gets grants at boot that are not those of the commit",
                    expected=f"those of serial {ours.serial} of the stream {ours.stream}",
                    found=f"those of serial {blob.serial}",
                    remedy=_REMAKE,
                )
        if item.fragment.kind is RecordKind.KEYS and host.roots is not None:
            keys = kernel_keys.parse_keys(item.fragment.blob)
            rings = host.roots.keyrings
            ring = None if rings is None else rings.of_party.get(keys.party)
            if ring is not None and keys.version != ring.keyring.version:
                party = keys.party.name.lower()
                older = keys.version > ring.keyring.version
                found.add(
                    "bundle-behind",
                    Link.KEY,
                    _LABEL,
                    f"the keyring of the {party} that is here is older than the bundle's keys"
                    if older
                    else f"the bundle has older keys of the {party} than the keyring that is here",
                    expected=f"version {ring.keyring.version}, the newest keyring",
                    found=f"version {keys.version}",
                    remedy="somebody took a version of the keyring away: put it back"
                    if older
                    else _REMAKE,
                )
