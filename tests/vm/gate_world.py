# SPDX-License-Identifier: Apache-2.0
"""Who signs for the gate in the test machines, and the boot bundle that they signed; in memory.

Streams of the policy, each by the one party and role that may:

    os, spare, third vendor os; `os` is everything on the machine's disk
    config           user etc; two owners of eight must sign, and the first of them has two keys
    harness          user extension; the programs of the tests themselves, by a key of their own
    tools, t1 to t5  user extension; at the tests' disposal, nothing imported at the start

Tokens need two of three owners of the user's role unlock, the first of whom has two keys; for the
scope off the policy of `unlocking` wants all three.

Everything else here has a threshold of one. Keys are made from numbers, so that all of it repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests import boot
from tests.boot import EXTENSION, OS, POLICY, USER_ROOT, VENDOR_ROOT
from tests.world import ISSUED, Signer
from verity.formats import grants, kernel_keys, records
from verity.formats.grant_rules import earned
from verity.formats.grants import Code, Grants, Party, Role
from verity.formats.kernel_keys import KeyEntry
from verity.formats.kernel_policy import ActSet, Mode, Stream, UnlockLimit
from verity.formats.records import Fragment, RecordKind
from verity.formats.unlock import Scope
from verity.ports.content import digest_path
from verity.verbs.manifest import read_directory

from . import cache
from .gate_blobs import EXPIRES
from .image import Image

ETC = tuple(Signer(number) for number in range(31, 39))
ETC_SECOND_KEY = Signer(40)
"""Of the owner of ETC[0]."""
HARNESS = Signer(41)
"""Signs the tests' own programs: they go on when a test revokes the key EXTENSION."""

UNLOCK = tuple(Signer(number) for number in (51, 52, 53))
UNLOCK_SECOND_KEY = Signer(54)
"""Of the owner of UNLOCK[0]."""
HOST_ID = bytes.fromhex("c3" * 32)
LIMITS = (
    UnlockLimit(scope=Scope.DIGEST, seconds=3600),
    UnlockLimit(scope=Scope.PATH_PREFIX, seconds=3600),
    UnlockLimit(scope=Scope.CONFIG_PATH, seconds=3600),
    UnlockLimit(scope=Scope.SESSION, seconds=1800),
    UnlockLimit(scope=Scope.OBSERVE_ONLY, seconds=600),
    UnlockLimit(scope=Scope.OFF, seconds=300, owners=3),
)

EXTENSION_STREAMS = ("harness", "t1", "t2", "t3", "t4", "t5", "tools")
_STREAMS = (
    Stream(name="config", party=Party.USER, role=Role.ETC),
    *(Stream(name=name, party=Party.USER, role=Role.EXTENSION) for name in EXTENSION_STREAMS),
    Stream(name="os", party=Party.VENDOR, role=Role.OS),
    Stream(name="spare", party=Party.VENDOR, role=Role.OS),
    Stream(name="third", party=Party.VENDOR, role=Role.OS),
)
STREAMS = tuple(sorted(_STREAMS, key=lambda stream: stream.name))


def pins(folder: Path) -> tuple[Path, Path]:
    """Writes vendor.pin and user.pin."""
    made = []
    for party, root in ((Party.VENDOR, VENDOR_ROOT), (Party.USER, USER_ROOT)):
        path = folder / f"{party.name.lower()}.pin"
        path.write_bytes(kernel_keys.encode_pin(boot.pin(party, root)))
        made.append(path)
    return made[0], made[1]


def vendor_keys(version: int = 3) -> Fragment:
    """The vendor's `keys`."""
    return boot.vendor_keys(expires=EXPIRES, version=version).fragment


def user_keys(version: int = 3) -> Fragment:
    """The user's, with the threshold of the role etc."""
    blob = boot.keys_blob(
        Party.USER,
        {Role.EXTENSION: [EXTENSION, HARNESS], Role.POLICY: [POLICY], Role.ETC: ETC},
        keys=_user_entries(),
        thresholds={Role.EXTENSION: 1, Role.POLICY: 1, Role.ETC: 2, Role.UNLOCK: 2},
        expires=EXPIRES,
        version=version,
    )
    return boot.signed("user.keys", RecordKind.KEYS, blob, USER_ROOT).fragment


def policy(mode: Mode = Mode.SEALED, **changes: object) -> Fragment:
    """The policy with the streams of the module's docstring; what systemd does it only observes."""
    observed = ActSet.BPF_PROGRAMS | ActSet.USER_NAMESPACES
    values = {"streams": STREAMS, "expires": EXPIRES, "mode": mode, "observed_acts": observed}
    values.update(changes)
    return boot.policy(**values).fragment


def os_grants(image: Image) -> Fragment:
    """Everything that the image's tree earns, signed for the stream `os`; kept beside its layer."""
    made = image.path / "gate-grants"
    cache.entry(made, lambda partial: _keep_grants(image.tree, partial))
    blob = (made / "os").read_bytes()
    return boot.signed("os", RecordKind.GRANTS, blob, OS).fragment


def harness_grants(*files: Path) -> Fragment:
    """Grants for the tests' own programs, by their contents."""
    found = {digest_path(file).value: _flags(file) for file in files}
    blob = boot.grants_blob(
        Party.USER,
        Role.EXTENSION,
        "harness",
        serial=1,
        expires=EXPIRES,
        code=grants.sorted_code(found),
    )
    return boot.signed("harness", RecordKind.GRANTS, blob, HARNESS).fragment


def encode(fragments: Sequence[Fragment]) -> bytes:
    """Fragments as a file; nothing is checked."""
    return records.join(fragments)


def _user_entries() -> tuple[KeyEntry, ...]:
    owners = {str(signer.number): [signer.public.spki] for signer in ETC}
    owners[str(ETC[0].number)].append(ETC_SECOND_KEY.public.spki)
    unlocks = {str(signer.number): [signer.public.spki] for signer in UNLOCK}
    unlocks[str(UNLOCK[0].number)].append(UNLOCK_SECOND_KEY.public.spki)
    return kernel_keys.sorted_keys(
        {
            Role.EXTENSION: {
                "extension": [EXTENSION.public.spki],
                "harness": [HARNESS.public.spki],
            },
            Role.POLICY: {"policy": [POLICY.public.spki]},
            Role.ETC: owners,
            Role.UNLOCK: unlocks,
        }
    )


def _keep_grants(tree: Path, partial: Path) -> None:
    nodes = read_directory(tree)
    tables = earned(
        [node.entry for node in nodes],
        {node.contents.digest: node.contents.head for node in nodes if node.contents},
    )
    granted = Grants(
        party=Party.VENDOR,
        role=Role.OS,
        stream="os",
        serial=1,
        issued=ISSUED,
        expires=EXPIRES,
        manifest_sha256=bytes(32),
        code=tables.code,
        elevate=tables.elevate,
    )
    (partial / "os").write_bytes(grants.encode(granted))


def _flags(file: Path) -> Code:
    return Code.SCRIPT if file.read_bytes()[:2] == b"#!" else Code.EXEC
