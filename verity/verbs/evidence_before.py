# SPDX-License-Identifier: Apache-2.0
"""What must not go back from one capsule of a host to the next: serials, and versions of keyrings.

Only what both capsules carry is compared. Whether the documents are good is for who verifies each.
"""

from collections.abc import Mapping
from contextlib import suppress

from verity.formats import policy_document, statement
from verity.formats.evidence import Evidence
from verity.trust import keyring_version
from verity.values.errors import ContentError
from verity.values.findings import Finding, Link


def serials(found: Evidence) -> Mapping[str, int]:
    """The highest serial of each stream, version of each keyring and serial of the policy."""
    highest: dict[str, int] = {}
    documents = [(one, _statement) for one in found.statements]
    documents += [(one, _keyring) for versions in found.keyrings.values() for one in versions]
    documents += [] if found.policy is None else [(found.policy, _policy)]
    for envelope, read in documents:
        # What can't be read is a finding of the capsule's own verification.
        with suppress(ContentError):
            name, number = read(envelope)
            highest[name] = max(highest.get(name, 0), number)
    return highest


def _statement(envelope: bytes) -> tuple[str, int]:
    said = statement.parse(statement.parse_envelope(envelope).payload)
    return f"stream {said.stream}", said.serial


def _keyring(envelope: bytes) -> tuple[str, int]:
    value = keyring_version.read(envelope)[1]
    return f"keyring of the {value.party.name.lower()}", value.version


def _policy(envelope: bytes) -> tuple[str, int]:
    payload = statement.parse_envelope(envelope).payload
    return "policy", policy_document.parse(payload).serial


def went_back(found: Evidence, before: Evidence) -> list[Finding]:
    """A finding for each number that is lower than in the capsule before, or is gone."""
    now, then = serials(found), serials(before)
    return [
        Finding(
            check="rolled-back",
            link=Link.STATEMENT,
            object=name,
            problem="it went back since the capsule before",
            expected=f"{number} or more",
            found=str(now[name]) if name in now else "none",
            remedy="find out who rolled the host back, and update it",
        )
        for name, number in sorted(then.items())
        if now.get(name, 0) < number
    ]
