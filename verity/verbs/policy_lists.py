# SPDX-License-Identifier: Apache-2.0
"""What a policy document asks of grants, for whoever makes or compares them: interpreters, jit,
and guarded configuration.

The document is one file that gives the same everywhere; drop-ins would also depend on which
verity is installed and where. Its form is checked, and not who signed it: a vendor has no keys of
the owner's role policy. So it is input like the tree, and proves nothing. What it can loosen is
named whatever it says (``commit_differences.jit_notes``, ``sign_summary``).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from verity.formats import policy_document, statement
from verity.formats.grant_lists import GrantLists
from verity.formats.grant_rules import Asked
from verity.formats.guarded_paths import GuardedPaths
from verity.formats.policy import Interpreter, Policy
from verity.formats.statement import MAX_ENVELOPE
from verity.ports.osfile import read_file
from verity.values.errors import CallerError, ContentError


@dataclass(frozen=True, kw_only=True)
class NamedPolicy:
    """What is asked, and the SHA-256 of the document that says so."""

    asked: Asked
    sha256: str


def read(path: Path) -> NamedPolicy:
    """Read what `policy compile` wrote as OUT.json. Raises CallerError, ContentError, HostError."""
    payload, found = _read(path)
    try:
        guarded = GuardedPaths.of(found)
    except ContentError as error:
        raise _named(error, path) from error
    return NamedPolicy(
        asked=Asked(listed=GrantLists(found.of(Interpreter)), guarded=guarded),
        sha256=hashlib.sha256(payload).hexdigest(),
    )


def read_policy(path: Path) -> Policy:
    """The whole policy, of which nobody asked who signed it: to tell of it, and never to decide."""
    return _read(path)[1]


def _read(path: Path) -> tuple[bytes, Policy]:
    data = read_file(path, max_size=MAX_ENVELOPE)
    try:
        envelope = statement.parse_envelope(data)
        if envelope.payload_type != policy_document.PAYLOAD_TYPE:
            raise CallerError(
                "wrong-kind",
                f"{path}: the payload type is {envelope.payload_type[:80]!r}, expected"
                f" {policy_document.PAYLOAD_TYPE!r}",
                hint="the file OUT.json of `verity policy compile`; a host has it as"
                " /etc/verity/policy.json",
            )
        return envelope.payload, policy_document.parse(envelope.payload)
    except ContentError as error:
        raise _named(error, path) from error


def _named(error: ContentError, path: Path) -> ContentError:
    return ContentError(error.code, f"{path}: {error.message}", hint=error.hint)
