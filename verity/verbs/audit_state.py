# SPDX-License-Identifier: Apache-2.0
"""The state checksum of a host that was audited: of the commit, the signed /etc and the policy.

What was found equal to a signed manifest was measured, and has that manifest's SHA-256; so nothing
is read twice, and `manifest show --checksum` of the host gives the same line. There is none unless
every part that the host has was asked and is as signed. Of an
extension of which the host has grants and no manifest, nobody knows whether all of its files are
there: with one, nothing is said.
"""

from collections.abc import Sequence

from verity.formats.grants import Role
from verity.ports import places
from verity.values.audit import Area, AreaResult
from verity.values.errors import VerityError
from verity.verbs import state_checksum
from verity.verbs.audit_host import AuditedHost


def of_audit(host: AuditedHost, results: Sequence[AreaResult]) -> str | None:
    """SHA-256 in hex; ``results`` are what was found before anything was waived."""
    extensions = host.signed_extensions
    kept = [one.grants.grants for one in extensions.values()]
    granted = [one for one in host.grants if one.role is Role.EXTENSION]
    if host.commit is None or host.unmounted_var or any(one not in kept for one in granted):
        return None
    if len(extensions) < len(host.extensions) or "extensions" in host.refused:
        return None
    of_area = {one.area: one for one in results}
    files, etc = of_area.get(Area.FILES), of_area.get(Area.ETC)
    if files is None or any(one.findings or one.not_evaluated for one in (files, etc) if one):
        return None
    parts = [state_checksum.of_signed("os", host.commit.manifest)]
    parts += [state_checksum.of_signed("extension", one.manifest) for one in extensions.values()]
    try:
        if host.has_signed_etc:
            if etc is None:
                return None
            parts.append(state_checksum.of_signed("etc", host.etc_intent.manifest))
        return state_checksum.checksum(parts, state_checksum.policy_of(host.root / places.BUNDLE))
    except VerityError:
        return None  # an area has said why
