# SPDX-License-Identifier: Apache-2.0
"""Area trust: the root keys that an initramfs brings to the gate, which are trusted before any file
of the root is read.

On a host of level B1 they and not the pins in /etc are the gate's. What else is in an initramfs the
arming proof looks at (`verity lockdown check`).
"""

from verity.formats import kernel_keys, kernel_policy
from verity.formats.kernel_policy import Mode
from verity.formats.records import RecordKind
from verity.values.audit import Area, Check, Severity
from verity.values.errors import ContentError
from verity.values.findings import Link
from verity.verbs import initramfs_trust
from verity.verbs.audit_collect import Collector
from verity.verbs.audit_host import AuditedHost
from verity.verbs.initramfs_trust import Carried

_PINS, _SEALED = "initramfs-pins", "initramfs-sealed"
CHECKS = (
    Check(
        id=_PINS,
        area=Area.TRUST,
        severity=Severity.CRITICAL,
        title="the pins in each initramfs are those that are accepted",
    ),
    Check(
        id=_SEALED,
        area=Area.TRUST,
        severity=Severity.HIGH,
        title="no initramfs of a sealed host goes on without the gate",
    ),
)
_IDS = (_PINS, _SEALED)
_REMAKE = "find out who made it, then make it anew (update-initramfs -u, dracut --force)"


def examine(host: AuditedHost, found: Collector) -> None:
    """Ask each initramfs in /boot of a host whose pins are known."""
    if host.roots is not None and host.roots.unknown is not None:
        why = "whose signature counts isn't known: see the keyrings"
        found.unasked("each initramfs", why, *_IDS)
        return
    if host.roots is None or not host.roots.pins:
        found.skip("no pins are accepted here, so none can differ", *_IDS)
        return
    seen = 0
    is_sealed = _is_sealed(host)
    if is_sealed is False:
        found.skip("the next boot's policy doesn't say sealed", _SEALED)
    for carried in initramfs_trust.read(host.root):
        if carried.unread is not None:
            error = carried.unread
            for check in _IDS if is_sealed else (_PINS,):
                found.gap(check, str(carried.path), error.message, error.hint or "")
        elif carried.pins:
            seen += 1
            _compare(host, found, carried)
            if is_sealed and not carried.sealed:
                _tell(found, carried)
    if seen and is_sealed is None:
        why = "which policy the next boot has isn't known: see the boot bundle"
        found.unasked("each initramfs", why, _SEALED)
    if seen:
        found.counts["initramfs with pins"] = seen
    else:
        found.skip("no initramfs in /boot has pins, so none loads the gate", *_IDS)


def _tell(found: Collector, carried: Carried) -> None:
    found.add(
        _SEALED,
        Link.VERDICT,
        str(carried.path),
        "made before the policy said sealed: root can delete the boot bundle, and the next boot has"
        " no gate",
        expected="/etc/verity/sealed in it",
        found="none",
        remedy=initramfs_trust.REMAKE,
    )


def _is_sealed(host: AuditedHost) -> bool | None:
    """Whether the next boot's policy says so; None where nobody knows."""
    for item in () if host.bundle is None else host.bundle.labelled:
        if item.fragment.kind is RecordKind.POLICY:
            return kernel_policy.parse(item.fragment.blob).mode is Mode.SEALED
    return None


def _compare(host: AuditedHost, found: Collector, carried: Carried) -> None:
    pins = {} if host.roots is None else host.roots.pins
    for party, data in carried.pins.items():
        label = f"{carried.path}: the pin of the {party.name.lower()}"
        accepted = pins.get(party)
        if accepted is None:
            why = "no pin of this party was named, so whose it is isn't known"
            found.gap(_PINS, label, why, "--pin PARTY=FILE names it")
            continue
        try:
            pin = kernel_keys.parse_pin(data)
            print_ = f"sha256:{kernel_keys.fingerprint(kernel_keys.encode_pin(pin))}"
            same = pin.party is party and print_ == f"sha256:{accepted.fingerprint}"
        except ContentError as error:
            print_, same = error.message, False
        if not same:
            found.add(
                _PINS,
                Link.KEY,
                label,
                "a gate that this initramfs loads trusts other root keys",
                expected=f"the pin sha256:{accepted.fingerprint}",
                found=print_,
                remedy=_REMAKE,
            )
