# SPDX-License-Identifier: Apache-2.0
"""unlock card: the page for the drawer, for this host: what to do at 3 a.m.

It is read off the host's own boot bundle, which nobody verifies here: a card is for its owner, who
prints it while the host is well. It holds no secret, and needs no other page.
"""

from dataclasses import dataclass
from pathlib import Path

from verity.ports import gate_files
from verity.ports import host as hosts
from verity.verbs import unlock_policy

_HELPER = "/usr/lib/verity/verity-unlock"


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and its lines; a line that begins with a space is typed as it stands."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Card:
    """The whole page."""

    title: str
    sections: tuple[Section, ...]


def make(root: Path, *, level: str, date: str) -> Card:
    """The card of a host. HostError where it has no id."""
    name, host_id = hosts.host_name(root), hosts.host_id(root)
    rules = unlock_policy.read(root)
    return Card(
        title=f"verity: {name} is sealed, and I must get in",
        sections=(
            Section(
                title="This host",
                lines=(
                    f"name {name}, printed {date}, assurance level {level}",
                    f"host id {host_id}",
                    *unlock_policy.signers(rules),
                ),
            ),
            Section(
                title="What can be opened, and for how long", lines=unlock_policy.limits(rules)
            ),
            Section(
                title="1. On the host: print a challenge",
                lines=(
                    " verity unlock challenge --scope session --for 30m --reason 'WHY' --qr",
                    f"if Python is broken, or in a rescue shell: {_HELPER}",
                    f"if nothing else is there: cat /{gate_files.STATUS}",
                ),
            ),
            Section(
                title="2. Anywhere else: have it signed",
                lines=(
                    " verity unlock sign --challenge FILE --inventory hosts.toml --typed"
                    " -o TOKEN KEY",
                    "read the four lines of the challenge out, or photograph the QR code;"
                    " it is no secret",
                ),
            ),
            Section(
                title="3. On the host: apply it, within the hour",
                lines=(
                    " verity unlock apply TOKEN        or: verity unlock apply --typed",
                    f" {_HELPER} --typed               where Python is broken",
                    "a slip costs nothing: it names the group that is wrong",
                ),
            ),
            Section(
                title="4. When you are done",
                lines=(" verity unlock relock", " verity unlock review", " verity audit"),
            ),
            Section(title="If that fails", lines=_otherwise()),
        ),
    )


def _otherwise() -> tuple[str, ...]:
    return (
        "choose the boot entry `verity recovery`, or boot from media of your own",
        "anyone at this console can do that: at the levels none, B0 and B1 the machine is only as"
        " safe as the room that it stands in",
        "all unlock keys gone: who holds the user's root keys signs new ones (`verity keyring`)",
    )
