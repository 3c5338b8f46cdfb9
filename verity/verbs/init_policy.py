# SPDX-License-Identifier: Apache-2.0
"""lockdown init: the policy of the host, from its drop-ins, signed and installed.

Documents lie in /var/lib/verity, with links in /etc/verity (ADR 52).
"""

from collections.abc import Sequence
from pathlib import Path

from verity.formats import bundle
from verity.formats.grants import Party, Role
from verity.formats.kernel_policy import Mode, Stream
from verity.formats.policy import ModeLine, Policy, Profile, StreamLine
from verity.formats.records import Fragment
from verity.ports import places
from verity.ports.installation import Installed
from verity.ports.keystore import SigningKey
from verity.ports.osfile import read_file
from verity.values.errors import ContentError
from verity.verbs import host_bundle, policy_compile, policy_next, policy_read
from verity.verbs.init_wanted import Wanted
from verity.verbs.keyring_trust import Keyrings

_LINKS = (
    (places.POLICY, places.POLICY_STATE),
    (places.POLICY_BLOB, places.POLICY_BLOB_STATE),
)


def settle(
    wanted: Wanted,
    signing: Sequence[SigningKey],
    keyrings: Keyrings,
    installed: Installed,
    os_stream: str,
    notes: list[str],
) -> tuple[Policy, Fragment]:
    """The one that is installed, if it says what the drop-ins say; else the next one.

    One that is signed by keys that count no more says nothing: the next one begins anew.
    """
    root = wanted.root
    _, etc, tools = installed.found.streams
    before = _before(root, keyrings, notes)
    profile = wanted.profile or (Profile.STANDARD if before is None else before.profile)
    source = policy_read.source(root, profile)
    made = [
        StreamLine(stream=one, reason="made by lockdown init", origin="--stream")
        for one in (
            Stream(name=etc, party=Party.USER, role=Role.ETC),
            Stream(name=os_stream, party=Party.VENDOR, role=Role.OS),
            Stream(name=tools, party=Party.USER, role=Role.EXTENSION),
        )
    ]
    named = [line for line in source.lines if isinstance(line, StreamLine)]
    streams = {line.stream.name: line for line in (*made, *named)}
    mode = ModeLine(mode=Mode.OBSERVE, reason="observe first", origin="--mode")
    if before is not None:
        mode = next(iter(before.of(ModeLine)))
    lines = (
        mode,
        *(one for one in source.lines if not isinstance(one, ModeLine | StreamLine)),
        *(streams[name] for name in sorted(streams)),
    )
    same = before is not None and (before.profile, before.lines) == (profile, lines)
    if before is not None and same and before.expires > wanted.times[0]:
        data = read_file(root / places.POLICY_BLOB, max_size=bundle.MAX_SIZE)
        return before, bundle.parse_fragment(data, label=str(places.POLICY_BLOB))
    known = 0 if before is None else before.serial
    serial = policy_next.highest(root, keyrings, host_bundle.read(root), known) + 1
    policy = Policy(
        serial=serial,
        issued=wanted.times[0],
        expires=wanted.times[1],
        profile=profile,
        lines=lines,
    )
    return policy, write_policy(installed, policy, signing)


def _before(root: Path, keyrings: Keyrings, notes: list[str]) -> Policy | None:
    if not policy_read.is_installed(root):
        return None
    try:
        return policy_next.installed(root, keyrings).policy
    except ContentError as error:
        if error.code != "bad-signature":
            raise
        notes.append(
            "the policy that is installed is signed by keys that don't count any more: the new one"
            " begins anew, with the mode observe"
        )
        return None


def write_policy(installed: Installed, policy: Policy, signing: Sequence[SigningKey]) -> Fragment:
    """Sign a policy and install it: the document, then what the gate is told."""
    document, fragment = policy_compile.sign(policy, signing)
    installed.put(str(places.POLICY_STATE), document)
    installed.put(str(places.POLICY_BLOB_STATE), bundle.encode([fragment]))
    for place, state in _LINKS:
        installed.link(str(place), f"../../{state}")
    return fragment
