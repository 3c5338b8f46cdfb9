# SPDX-License-Identifier: Apache-2.0
"""unlock card: the page for the drawer, for this host: what to do at 3 a.m.

It is read off the host's own boot bundle, which nobody verifies here: a card is for its owner, who
prints it while the host is well. It holds no secret, and needs no other page.
"""

from dataclasses import dataclass
from pathlib import Path

from verity.formats import bundle, kernel_keys, kernel_policy
from verity.formats.grants import Party, Role
from verity.formats.kernel_policy import KernelPolicy
from verity.formats.records import RecordKind
from verity.formats.unlock_request import scope_name
from verity.ports import host as hosts
from verity.ports import places
from verity.ports.osfile import read_file
from verity.values.errors import VerityError
from verity.verbs.unlock_words import lasting

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
    policy, signers = _rules(root)
    return Card(
        title=f"verity: {name} is sealed, and I must get in",
        sections=(
            Section(
                title="This host",
                lines=(
                    f"name {name}, printed {date}, assurance level {level}",
                    f"host id {host_id}",
                    *signers,
                ),
            ),
            Section(title="What can be opened, and for how long", lines=_limits(policy)),
            Section(
                title="1. On the host: print a challenge",
                lines=(
                    " verity unlock challenge --scope session --for 30m --reason 'WHY' --qr",
                    f"if Python is broken, or in a rescue shell: {_HELPER}",
                    f"if nothing else is there: cat {'/sys/fs/bpf/verity/status'}",
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


def _rules(root: Path) -> tuple[KernelPolicy | None, list[str]]:
    """The policy of the boot bundle, and who signs unlocks by it."""
    policy = None
    signers: list[str] = []
    try:
        data = read_file(root / places.BUNDLE, max_size=bundle.MAX_SIZE)
        for fragment in bundle.parse(data):
            if fragment.kind is RecordKind.POLICY:
                policy = kernel_policy.parse(fragment.blob)
            elif fragment.kind is RecordKind.KEYS:
                signers += _signers(fragment.blob)
    except VerityError as error:
        return None, [f"who signs is not known: {error.message}"]
    return policy, signers or ["NO KEY OF THIS HOST MAY UNLOCK IT: add the role unlock to its keys"]


def _signers(blob: bytes) -> list[str]:
    keys = kernel_keys.parse_keys(blob)
    found = [key for key in keys.keys if key.role is Role.UNLOCK]
    if keys.party is not Party.USER or not found:
        return []
    lines = [f"{keys.thresholds[Role.UNLOCK]} of these owners must sign:"]
    for owner in sorted({key.owner for key in found}):
        ids = " or ".join(key.key_id.hex()[:16] for key in found if key.owner == owner)
        lines.append(f"   owner {owner}: key {ids}...   who, phone: ______________________________")
    return lines


def _limits(policy: KernelPolicy | None) -> tuple[str, ...]:
    if policy is None:
        return ("not known: the host has no boot bundle that can be read",)
    return tuple(
        f"{scope_name(limit.scope)}: {lasting(limit.seconds)} at the most"
        + (f", signed by {limit.owners} at least" if limit.owners else "")
        for limit in policy.unlock
        if limit.seconds
    ) or ("nothing: the policy takes no token at all",)


def _otherwise() -> tuple[str, ...]:
    return (
        "choose the boot entry `verity recovery`, or boot from media of your own",
        "anyone at this console can do that: at the levels none, B0 and B1 the machine is only as"
        " safe as the room that it stands in",
        "all unlock keys gone: who holds the user's root keys signs new ones (`verity keyring`)",
    )
