# SPDX-License-Identifier: Apache-2.0
"""What every area of an audit is given: the host, what is verified of its documents, and the time.

Each area is a module ``audit_AREA`` with its ``CHECKS`` and a function ``examine(host)`` that gives
an ``AreaResult``. It prints nothing, changes nothing and raises only for what makes all of it
impossible; whatever can't be read is a ``NotEvaluated``. ``audit_documents`` makes the host.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from verity.formats import grants
from verity.formats.grants import Code, Grants, Party, Role
from verity.formats.records import RecordKind
from verity.ports import places
from verity.values.audit import Area
from verity.values.errors import VerityError
from verity.values.findings import NotEvaluated
from verity.verbs.signed import SignedCommit

# What an audit may not need, or only some of its areas do.
if TYPE_CHECKING:
    from verity.trust.boot_bundle import Labelled, Part
    from verity.trust.keyring import PinPrint
    from verity.trust.policy import VerifiedPolicy
    from verity.trust.trusted import TrustedSet
    from verity.verbs.etc_intent import Intent
    from verity.verbs.extension_read import SignedExtension
    from verity.verbs.keyring_trust import Keyrings
    from verity.verbs.serial_floors import Judged


@dataclass(frozen=True, kw_only=True)
class Roots:
    """Whose signatures count in an audit, and whose word that is.

    Either ``keyrings``, from ``pins``; or keys that the auditor named; or neither, and ``unknown``
    says why. ``of`` gives the keys of a role, or raises. ``names`` are what it rests on, for
    people; ``given`` whether the auditor named them, and not the host.
    """

    of: "Callable[[Role, Party], TrustedSet]"
    names: tuple[str, ...] = ()
    given: bool = False
    keyrings: "Keyrings | None" = None
    pins: "Mapping[Party, PinPrint]" = field(default_factory=dict)
    unknown: VerityError | None = None
    allow_example_keys: bool = False


@dataclass(frozen=True, kw_only=True)
class BootBundle:
    """A boot bundle of which every blob was verified, as the gate will do it."""

    labelled: "tuple[Labelled, ...]"
    parts: "tuple[Part, ...]"


@dataclass(frozen=True, kw_only=True)
class AuditedHost:
    """A running host (``live``, and then ``root`` is ``/``), or a tree that lies at ``root``.

    ``now`` is the reference time and ``clock`` the clock's (seconds since 1970). ``grants`` are
    those whose signatures hold: the commit's, of the boot bundle, and of ``extensions``, the
    directories that the host keeps of its extensions, by name, each verified or with its error.
    ``deep`` asks for the contents of files, too. What could not be verified is None or missing, and
    the area trust says why, by ``refused``: the error of each document ("commit", "policy",
    "bundle"). ``areas`` are all that this audit asks: what another of them reports, an area needn't
    repeat. ``progress`` hears what is being done and how much of it.

    ``repo`` is where the commits are, if there is a repository; ``floors`` is what the host's
    floors say of the commit.
    """

    root: Path
    live: bool
    now: int
    clock: int
    commit: SignedCommit | None = None
    policy: "VerifiedPolicy | None" = None
    grants: tuple[Grants, ...] = ()
    extensions: "Mapping[str, SignedExtension | VerityError]" = field(default_factory=dict)
    deep: bool = False
    areas: frozenset[Area] = frozenset(Area)
    progress: Callable[[str, int, int], None] = field(default=lambda what, done, total: None)
    repo: Path | None = None
    roots: Roots | None = None
    bundle: BootBundle | None = None
    floors: "Judged | None" = None
    refused: Mapping[str, VerityError] = field(default_factory=dict)

    @cached_property
    def code(self) -> dict[bytes, Code]:
        """What each digest (32 bytes) may be used for, by all grants together."""
        flags: dict[bytes, Code] = {}
        for granted in self.grants:
            for entry in granted.code:
                known = flags.get(entry.digest)
                flags[entry.digest] = entry.flags if known is None else known | entry.flags
        return flags

    @cached_property
    def bundle_grants(self) -> tuple[Grants, ...]:
        """What the boot bundle grants."""
        labelled = () if self.bundle is None else self.bundle.labelled
        blobs = (one.fragment for one in labelled if one.fragment.kind is RecordKind.GRANTS)
        return tuple(grants.parse(one.blob) for one in blobs)

    @cached_property
    def left_to_host(self) -> tuple[bytes, ...]:
        """Directories below which the commit's files aren't held against the host's: OSTree leaves
        these to the host."""
        from verity.ports import booted  # here: most areas don't ask

        return booted.LEFT_TO_HOST if booted.is_deployed(self.root) else ()

    @cached_property
    def unmounted_var(self) -> Path | None:
        """Where the host's own /var lies, if the root is a deployment without it."""
        from verity.ports import deployments  # here: as above

        return deployments.unmounted_var(self.root)

    def without_var(self, *checks: str) -> tuple[NotEvaluated, ...]:
        """A gap for each of these checks, which ask what is in /var, where it isn't mounted."""
        if self.unmounted_var is None:
            return ()
        why = "the host's own /var is not mounted at its place below this deployment"
        hint = f"mount --bind {self.unmounted_var} {self.root / 'var'}"
        return tuple(
            NotEvaluated(check=check, object="/var", path=b"/var", why=why, hint=hint)
            for check in checks
        )

    @property
    def signed_extensions(self) -> "Mapping[str, SignedExtension]":
        """Those that verify."""
        return {
            name: one for name, one in self.extensions.items() if not isinstance(one, VerityError)
        }

    @property
    def has_signed_etc(self) -> bool:
        """Whether the owner of this host has ever signed its /etc. Raises HostError."""
        from verity.ports.etc_state import EtcState  # here: most areas don't ask

        return bool(EtcState(self.root, places.STATE).serials())

    @cached_property
    def etc_intent(self) -> "Intent":
        """What is signed of /etc, verified by the owner's keys. Raises HostError, ContentError."""
        from verity.verbs import audit_owner, etc_intent  # here: as above

        there = etc_intent.Host.at(self.root, None)
        return etc_intent.current(there, audit_owner.etc_keys(self))

    @cached_property
    def streams(self) -> dict[bytes, tuple[str, ...]]:
        """The streams whose grants name each digest."""
        streams: dict[bytes, tuple[str, ...]] = {}
        for granted in self.grants:
            for entry in granted.code:
                streams[entry.digest] = (*streams.get(entry.digest, ()), granted.stream)
        return streams
