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
from verity.trust import policy as trust_policy
from verity.trust.policy import VerifiedPolicy
from verity.values.errors import ContentError, HostError
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

    One that is signed by keys that count no more says nothing: the next one begins anew. So does
    one of which the gate is told something else, as a cut between the two leaves it.
    """
    root = wanted.root
    _, etc, tools = installed.found.streams
    verified = _before(root, keyrings, notes)
    before = None if verified is None else verified.policy
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
    if verified is not None and same and not verified.expired(wanted.times[0]):
        fragment = _told(root, verified, keyrings)
        if fragment is not None:
            return verified.policy, fragment
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


def _told(root: Path, verified: VerifiedPolicy, keyrings: Keyrings) -> Fragment | None:
    """What the gate is told of the policy that is installed; None where that is of another one."""
    try:
        data = read_file(root / places.POLICY_BLOB, max_size=bundle.MAX_SIZE)
        found = bundle.parse_fragment(data, label=str(places.POLICY_BLOB))
        trusted = keyrings.trusted(Role.POLICY)
        trust_policy.verify_blob(found.blob, found.signatures, verified, trusted)
    except ContentError:
        return None
    except HostError as error:
        if error.code != "not-found":
            raise
        return None
    return found


def _before(root: Path, keyrings: Keyrings, notes: list[str]) -> VerifiedPolicy | None:
    if not policy_read.is_installed(root):
        return None
    try:
        return policy_next.installed(root, keyrings)
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
