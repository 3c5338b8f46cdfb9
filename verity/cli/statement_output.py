# SPDX-License-Identifier: Apache-2.0
"""How a verified statement is shown: which stream and serial it is, and who signed it."""

from verity.cli import output
from verity.formats.statement import format_time
from verity.trust.verified import VerifiedStatement


def as_signed(found: VerifiedStatement | None) -> str:
    """The stream, the serial and the owners whose signature counts, for the line that says good."""
    if found is None:
        return ""
    said = found.statement
    owners = [
        f"key {owner}" if owner == key.key_id else owner
        for owner, key in sorted(found.signers.items())
    ]
    return f" in the stream {said.stream}, serial {said.serial}, by {' and '.join(owners)}"


def record(found: VerifiedStatement | None) -> None:
    """The same as a line of JSON; nothing where no statement verified."""
    if found is None:
        return
    said = found.statement
    output.record(
        "statement",
        {
            "stream": said.stream,
            "serial": said.serial,
            "issued": format_time(said.issued),
            "expires": format_time(said.expires),
            "signers": [
                {"owner": owner, "key_id": key.key_id}
                for owner, key in sorted(found.signers.items())
            ],
        },
    )
