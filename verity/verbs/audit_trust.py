# SPDX-License-Identifier: Apache-2.0
"""Area trust: whether what everything else is held against can itself be trusted, and is current.

Keyrings, the commit's statement, manifest and grants, serial floors, the policy, the boot bundle
that the gate gets, the owner's extensions. Each was verified before (``audit_documents``); here
stands what came of it, and what can only be told of several of them together. The files of the tree
are not looked at.
"""

from verity.formats.grants import Party, Role
from verity.ports import floors as floor_files
from verity.ports import places
from verity.trust import clock, floors
from verity.values.audit import Area, AreaResult, Check, Severity
from verity.values.errors import HostError, VerityError
from verity.values.findings import Link
from verity.verbs import (
    audit_trust_bundle,
    audit_trust_extensions,
    audit_trust_grants,
    audit_trust_initramfs,
    audit_trust_policy,
    signed,
)
from verity.verbs.audit_collect import Collector
from verity.verbs.audit_host import AuditedHost


def _check(check: str, severity: Severity, title: str) -> Check:
    return Check(id=check, area=Area.TRUST, severity=severity, title=title)


_KEYRINGS = (
    _check("keyring", Severity.CRITICAL, "each party's keyring verifies from its pin"),
    _check("keyring-expired", Severity.MEDIUM, "the newest keyring has not expired"),
    _check("example-key", Severity.CRITICAL, "no key is one of keys-example/"),
    _check("key-twice", Severity.CRITICAL, "no key has two parties or roles"),
)
_COMMIT = (
    _check("commit", Severity.CRITICAL, "the commit is what its name says, and can be read"),
    _check("not-signed", Severity.CRITICAL, "the commit has a statement, manifest and grants"),
    _check("no-statement", Severity.CRITICAL, "the commit has one statement of verity"),
    _check("bad-document", Severity.CRITICAL, "the statement is well formed"),
    _check("bad-signature", Severity.CRITICAL, "enough trusted owners signed"),
    _check("wrong-role", Severity.CRITICAL, "the signing keys have the role for this kind"),
    _check("wrong-stream", Severity.CRITICAL, "the signing keys may sign in this stream"),
    _check("wrong-commit", Severity.CRITICAL, "the statement is about this commit"),
    _check("wrong-manifest", Severity.CRITICAL, "the manifest is the one that was signed"),
    _check("bad-manifest", Severity.CRITICAL, "the manifest is canonical"),
    _check("too-many-entries", Severity.CRITICAL, "the manifest is within its bounds"),
    _check("wrong-boot", Severity.CRITICAL, "the boot list is the one that was signed"),
    _check("wrong-grants", Severity.CRITICAL, "the grants are the ones that were signed"),
    _check("bad-grants", Severity.CRITICAL, "the grants are well formed"),
    _check("revoked-serial", Severity.CRITICAL, "the commit's serial is not revoked"),
    _check("revoked-digest", Severity.CRITICAL, "nothing that is signed has a revoked digest"),
    _check("expired", Severity.MEDIUM, "the statement has not expired"),
    _check("issued-ahead", Severity.MEDIUM, "nothing was issued ahead of the clock"),
)
_FLOORS = (
    _check("below-floor", Severity.CRITICAL, "nothing is older than what the host has accepted"),
    _check("equivocation", Severity.CRITICAL, "no serial was signed twice"),
    _check("no-floor", Severity.HIGH, "the host has the floors that it should have"),
    _check("bad-floor", Severity.HIGH, "the floors that the host has verify"),
)
CHECKS: tuple[Check, ...] = (
    *_KEYRINGS,
    *_COMMIT,
    *_FLOORS,
    *audit_trust_grants.CHECKS,
    *audit_trust_policy.CHECKS,
    *audit_trust_bundle.CHECKS,
    *audit_trust_initramfs.CHECKS,
    *audit_trust_extensions.CHECKS,
)
_REMOVE = "accept the newest document of the stream anew, if this one was made by older keys"
_DOCUMENTS = tuple(check.id for check in _COMMIT if check.id not in ("commit", "issued-ahead"))


def examine(host: AuditedHost) -> AreaResult:
    """Ask all of it.

    1. Keyrings.
    2. The commit's documents.
    3. Floors.
    4. The grants, made anew from manifest and contents.
    5. The policy.
    6. The boot bundle, and what an initramfs has of it.
    7. The owner's extensions.
    """
    found = Collector(Area.TRUST, CHECKS)
    # 1. Keyrings.
    _keyrings(host, found)
    # 2. The commit.
    _commit(host, found)
    # 3. Floors.
    _floors(host, found)
    # 4. The grants.
    audit_trust_grants.examine(host, found)
    # 5. The policy.
    audit_trust_policy.examine(host, found)
    # 6. The boot bundle.
    audit_trust_bundle.examine(host, found)
    audit_trust_initramfs.examine(host, found)
    # 7. Extensions.
    audit_trust_extensions.examine(host, found)
    found.gaps += host.without_var("no-floor", "bad-bundle", "extension")
    return found.result()


def _keyrings(host: AuditedHost, found: Collector) -> None:
    if not clock.is_set(host.clock):
        found.notes.append("the clock was never set; documents say the time")
    roots = host.roots
    if roots is None or (roots.keyrings is None and roots.unknown is None):
        why = "whose signatures count was said by key, so no keyring was asked"
        found.skip(why, *(check.id for check in _KEYRINGS))
        return
    if roots.unknown is not None:
        remedy = "`verity keyring verify` shows the chain of versions"
        codes = ("example-key", "key-twice")
        found.error("keyring", roots.unknown, Link.KEY, "the keyrings", remedy, codes=codes)
        found.unasked("the keyrings", "they don't verify", *(check.id for check in _KEYRINGS))
    if roots.keyrings is not None:
        found.take(roots.keyrings.findings(host.clock), "keyring")
        found.notes += roots.keyrings.notes
        found.counts["keyrings"] = len(roots.keyrings.of_party)


def _commit(host: AuditedHost, found: Collector) -> None:
    if host.commit is not None:
        statement = host.commit.statement
        label = f"commit {host.commit.checksum[:12]}"
        found.take(signed.expiry(statement, host.now, label), "expired")
        found.take(signed.ahead(statement, host.clock, label), "issued-ahead")
        found.notes += (*statement.skipped, *host.commit.grants.skipped)
        found.counts["manifest entries"] = host.commit.manifest.count
        return
    error = host.refused.get("commit")
    if error is None:
        return
    if host.roots is not None and error is host.roots.unknown:
        error = HostError("no-keyring", "whose signature counts isn't known: see the keyrings")
    link = signed.LINK_OF.get(error.code, Link.COMMIT)
    remedy = "`verity commit verify` says all about it"
    codes = {*_DOCUMENTS, "example-key"}
    found.error("commit", error, link, "the commit", remedy, codes=codes)
    found.unasked("the commit", "its documents don't verify so far", *_DOCUMENTS, "issued-ahead")


def _floors(host: AuditedHost, found: Collector) -> None:
    error: VerityError | None = host.refused.get("floors")
    if error is not None:
        found.error("bad-floor", error, Link.STATEMENT, str(host.root))
        found.unasked("serial floors", error.message, *(check.id for check in _FLOORS))
    elif host.floors is None:
        why = "there is no verified commit to compare"
        found.unasked("serial floors", why, *(check.id for check in _FLOORS))
    else:
        found.take(host.floors.findings, "bad-floor")
        found.take_gaps(host.floors.not_evaluated, "bad-floor")
        found.notes += host.floors.notes
        if host.floors.compared is None:
            why = "; ".join(host.floors.asides) or f"no floor below {host.root / places.STATE}"
            found.skip(why, *(check.id for check in _FLOORS))
        else:
            found.counts["floors"] = host.floors.compared
    _other_floors(host, found)


def _other_floors(host: AuditedHost, found: Collector) -> None:
    """The floors of streams that no commit is of: whether they verify, by the keyrings."""
    if host.roots is None or host.roots.keyrings is None:
        return  # --key names keys for one role
    store = floor_files.FloorStore(host.root / floor_files.FLOORS)
    ours = "" if host.commit is None else host.commit.grants.grants.stream
    asked = 0
    try:
        for name in store.names(""):
            party, role, stream = ([*name.split(".", 2), "", ""])[:3]
            if not stream or name.startswith(".") or (role, stream) == ("os", ours):
                continue
            label = str(store.path(name))
            try:
                trusted = host.roots.of(Role[role.upper()], Party[party.upper()])
                floors.of_statement(store.read(name) or (), trusted, stream=stream, source=label)
            except KeyError:
                found.notes.append(f"{label}: of no party and role that there is")
            except VerityError as error:
                found.error("bad-floor", error, Link.STATEMENT, label, _REMOVE)
            asked += 1
    except VerityError as error:
        found.error("bad-floor", error, Link.STATEMENT, str(store.directory))
    if asked:
        found.counts["other floors"] = asked
