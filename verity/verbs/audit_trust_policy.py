# SPDX-License-Identifier: Apache-2.0
"""Area trust: the policy that is installed, and whether what rests on it agrees with it.

That it verifies is found before (``audit_documents``). What its drop-ins would say if they were
compiled is `policy check`'s business; which configuration it guards without a grant stands here,
because a sealed gate would refuse it.
"""

from verity.formats import kernel_policy, policy_gate
from verity.formats.escaped import printable
from verity.formats.records import RecordKind
from verity.formats.statement import format_time
from verity.ports import floors as floor_files
from verity.ports import places
from verity.ports.osfile import check_below
from verity.trust import clock, floors
from verity.values.audit import Area, Check, Severity
from verity.values.errors import HostError, VerityError
from verity.values.findings import Finding, Link
from verity.verbs.audit_collect import Collector
from verity.verbs.audit_host import AuditedHost


def _check(check: str, severity: Severity, title: str) -> Check:
    return Check(id=check, area=Area.TRUST, severity=severity, title=title)


CHECKS = (
    _check("policy", Severity.CRITICAL, "the installed policy is signed, as is the gate's blob"),
    _check("policy-expired", Severity.MEDIUM, "the policy has not expired"),
    _check("policy-differs", Severity.HIGH, "the boot bundle has the policy that is installed"),
    _check("not-granted", Severity.HIGH, "what the policy guards as signed has a grant"),
    _check(
        "unsigned-configuration",
        Severity.CRITICAL,
        "guarded configuration beside the commit and /etc is signed",
    ),
    _check("signed-not-guarded", Severity.MEDIUM, "what `etc sign` signs the policy guards"),
    _check("guarded-not-signed", Severity.HIGH, "what the policy guards `etc sign` signs"),
)
_AGREEING = ("signed-not-guarded", "guarded-not-signed")


def examine(host: AuditedHost, found: Collector) -> None:
    """Ask what there is to ask of the policy."""
    label = f"/{places.POLICY}"
    error = host.refused.get("policy")
    if error is not None:
        if host.roots is not None and error is host.roots.unknown:
            error = HostError("no-keyring", "whose signature counts isn't known: see the keyrings")
        remedy = "`verity policy show` says more"
        codes = ("below-floor", "equivocation", "no-floor", "bad-floor", "example-key")
        found.error("policy", error, Link.SIGNATURE, label, remedy, codes=codes)
        found.unasked(label, "it does not verify", "policy", "policy-expired", "policy-differs")
    elif host.policy is None:
        _gone(host, found, label)
        return
    else:
        _times(host, found, label)
        _bundled(host, found, label)
    _granted(host, found)
    _agreeing(host, found)


def _gone(host: AuditedHost, found: Collector, label: str) -> None:
    """No question on a host that never had one; taking it away would hide all that it guards."""
    try:
        traces = _traces(host)
    except VerityError as error:
        found.gap("policy", label, error.message, error.hint or "")
        traces = []
    else:
        if not traces:
            found.skip("no policy is installed here", *(check.id for check in CHECKS))
            return
    if traces:
        found.add(
            "policy",
            Link.VERDICT,
            label,
            "this host had a signed policy, and what was installed is gone",
            expected=f"the policy, since there is {' and '.join(traces)}",
            found="no such file",
            remedy="install it again; who removed it wanted nobody to ask what it guards",
        )
    found.unasked(label, "it is gone", *(check.id for check in CHECKS))


def _traces(host: AuditedHost) -> list[str]:
    """What else on a host tells that it has a policy."""
    fragments = () if host.bundle is None else host.bundle.labelled
    found = []
    if any(item.fragment.kind is RecordKind.POLICY for item in fragments):
        found.append("one in the boot bundle")
    check_below(host.root, floor_files.FLOORS)
    if floors.POLICY in floor_files.FloorStore(host.root / floor_files.FLOORS).names(floors.POLICY):
        found.append("a floor of it")
    return found


def _times(host: AuditedHost, found: Collector, label: str) -> None:
    if host.policy is None:
        return
    said = host.policy.policy
    if host.policy.expired(host.now):
        found.add(
            "policy-expired",
            Link.VERDICT,
            label,
            "the policy has expired; what enforces it goes on, and no newer bundle can be made",
            expected=f"a time before {format_time(said.expires)}",
            found=format_time(host.now),
            remedy="compile and sign the next serial: `verity policy compile`",
        )
    if clock.is_ahead(said.issued, host.clock):
        found.add(
            "issued-ahead",
            Link.VERDICT,
            label,
            "the policy was issued more than a day ahead of this host's clock",
            expected=f"a time about {format_time(host.clock)}, which the clock says",
            found=format_time(said.issued),
            remedy="set the clock; if it is right, sign the policy anew",
        )
    found.notes += host.policy.skipped


def _bundled(host: AuditedHost, found: Collector, label: str) -> None:
    if host.policy is None or host.bundle is None:
        found.skip("there are no two of them, verified, to compare", "policy-differs")
        return
    installed = kernel_policy.encode(policy_gate.project(host.policy.policy))
    for item in host.bundle.labelled:
        if item.fragment.kind is RecordKind.POLICY and item.fragment.blob != installed:
            serial = kernel_policy.parse(item.fragment.blob).serial
            found.add(
                "policy-differs",
                Link.VERDICT,
                f"/{places.BUNDLE}",
                "the gate gets another policy at boot than the one that is installed",
                expected=f"that of {label}, serial {host.policy.policy.serial}",
                found=f"one of serial {serial}",
                remedy="make the bundle anew: `verity lockdown bundle --replace`",
            )


def _granted(host: AuditedHost, found: Collector) -> None:
    if host.commit is None:
        why = "there is no verified commit"
        found.unasked("guarded configuration", why, "not-granted", "unsigned-configuration")
        return
    from verity.verbs import config_guard  # here: a host without a policy needs none of it

    try:
        guarding = config_guard.read(host.root, host.commit.grants.grants)
    except VerityError as error:
        for check in ("not-granted", "unsigned-configuration"):
            found.gap(check, str(host.root), error.message, error.hint or "")
        return
    if guarding is None:
        return
    granted = {entry.path for blob in guarding.granted for entry in blob.config}
    found.counts["granted configuration"] = len(granted)
    found.take(config_guard.ungranted(guarding, host.commit.manifest.entries))
    beside = list(config_guard.beside(guarding, host.root))
    found.take(one for one in beside if isinstance(one, Finding))
    for gap in (one for one in beside if not isinstance(one, Finding)):
        label = printable(gap.path)
        found.gap("unsigned-configuration", label, gap.why, gap.hint, gap.path)
    if guarding.unread is not None:
        unread = guarding.unread
        found.gap("not-granted", "the grants of /etc", unread.message, unread.hint or "")


def _agreeing(host: AuditedHost, found: Collector) -> None:
    """Whether the classes of the signed policy are those by which `etc sign` signs."""
    from verity.verbs import policy_agree  # here: as above

    if host.policy is None:
        found.unasked("/etc", "there is no verified policy to compare", *_AGREEING)
        return
    try:
        findings, gaps, notes = policy_agree.check(host.root, host.policy.policy)
    except VerityError as error:
        found.gap("guarded-not-signed", "/etc", error.message, error.hint or "")
        return
    found.take(findings)
    found.take_gaps(gaps, "guarded-not-signed")
    found.notes += notes
