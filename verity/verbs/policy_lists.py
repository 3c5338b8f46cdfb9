# SPDX-License-Identifier: Apache-2.0
"""What a policy document lists as interpreter and jit, for whoever makes grants or compares them.

The document is one file that gives the same lists everywhere; drop-ins would also depend on which
verity is installed and where. Its form is checked, and not who signed it: a vendor has no keys of
the owner's role policy. So it is input like the tree, and proves nothing. What it can loosen is
named whatever it says (``commit_differences.jit_notes``, ``sign_summary``).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from verity.formats import policy_document, statement
from verity.formats.grant_lists import GrantLists
from verity.formats.policy import Interpreter, Reaction, Reacts
from verity.formats.statement import MAX_ENVELOPE
from verity.ports.osfile import read_file
from verity.values.errors import CallerError, ContentError

_MODULES = "extension-modules"


@dataclass(frozen=True, kw_only=True)
class NamedLists:
    """The lists, and the SHA-256 of the document that they are from."""

    lists: GrantLists
    sha256: str


def read(path: Path) -> NamedLists:
    """Read what `policy compile` wrote as OUT.json. Raises CallerError, ContentError, HostError."""
    data = read_file(path, max_size=MAX_ENVELOPE)
    try:
        return _parse(data, str(path))
    except ContentError as error:
        raise ContentError(error.code, f"{path}: {error.message}", hint=error.hint) from error


def _parse(data: bytes, label: str) -> NamedLists:
    envelope = statement.parse_envelope(data)
    if envelope.payload_type != policy_document.PAYLOAD_TYPE:
        raise CallerError(
            "wrong-kind",
            f"{label}: the payload type is {envelope.payload_type[:80]!r}, expected"
            f" {policy_document.PAYLOAD_TYPE!r}",
            hint="the file OUT.json of `verity policy compile`; a host has it as"
            " /etc/verity/policy.json",
        )
    found = policy_document.parse(envelope.payload)
    return NamedLists(
        lists=GrantLists(
            found.of(Interpreter),
            modules=any(
                line.to == _MODULES and line.reaction is Reaction.OBSERVE
                for line in found.of(Reacts)
            ),
        ),
        sha256=hashlib.sha256(envelope.payload).hexdigest(),
    )
