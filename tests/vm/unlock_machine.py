# SPDX-License-Identifier: Apache-2.0
"""A sealed machine whose policy opens every scope to tokens, and the tokens that open it.

What gate_config.py guards is there, and /etc/verity besides. `attempt` says what a command showed
and what the gate wrote down meanwhile; tokens are signed by UNLOCK of gate_world.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.world import Signer
from verity.formats import unlock
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match
from verity.formats.unlock import Scope, UnlockToken
from verity.ports.content import digest_path

from . import gate_config as config
from . import gate_world as world
from .gate_blobs import signed
from .gate_log import STATUS, Denial
from .gate_machine import ACCEPTED, AT, SPECIMENS, Gate, load, value, whole_bundle
from .image import Image
from .machine import Machine

PLAIN, SEALED = "plain", "sealed"
"""Snapshots: with all files and without a gate; right after the seal."""
LOOSE, LOOSER = f"{AT}/loose", f"{AT}/looser"
"""Directories of programs without fs-verity, by the names of SPECIMENS; the second isn't below the
first, though its name begins so."""
TWO = world.UNLOCK[:2]
REASON = unlock.reason_sha256("disk of rack 7")

_TRUST = Guarded(path=b"/etc/verity", file_class=GuardedClass.SIGNED, match=Match.TREE)
_MADE = f"""
mkdir -p {LOOSE} {LOOSER} /etc/verity
for name in {" ".join(SPECIMENS)}; do cp {AT}/$name {LOOSE}/; cp {AT}/$name {LOOSER}/; done
echo "says trust" >/etc/verity/host
for file in call flood {" ".join(SPECIMENS)}; do fsverity enable {AT}/$file; done
sync
"""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What a command showed, and what the gate wrote down meanwhile."""

    shown: str
    logged: tuple[Denial, ...]

    def of(self, outcome: str) -> list[tuple[str, str]]:
        """Reason and act of each line with this outcome."""
        lines = [one for one in self.logged if one.line.split(" ")[2] == outcome]
        return [(one.reason, one.act) for one in lines]


@dataclass(frozen=True)
class Locked:
    """The machine, its gate, and ids that no token has had yet."""

    gate: Gate
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def machine(self) -> Machine:
        return self.gate.machine

    def says(self, key: str) -> str:
        """A line of the status, the clock's too."""
        return value(self.machine.run(["cat", STATUS]).text.splitlines(), key)

    def token(self, scope: Scope, operand: bytes = b"", **changes: Any) -> bytes:
        """One that the gate would take, with these changes."""
        clock = int(self.says("boot_clock_s"))
        values: dict[str, Any] = {
            "boot_nonce": bytes.fromhex(self.says("boot_nonce")),
            "token_id": next(self.ids).to_bytes(16, "big"),
            "host_id": world.HOST_ID,
            "policy_serial": int(self.says("policy_serial")),
            "scope": scope,
            "duration_s": 300,
            "apply_before_s": clock + 3600,
            "reason": REASON,
            "operand": operand,
        }
        return unlock.encode(UnlockToken(**{**values, **changes}))

    def apply(self, token: bytes, *signers: Signer) -> int:
        """The gate's answer to a token of these signers, or of two."""
        (answer,) = self.gate.call("token", fragments=signed(token, *(signers or TWO))).answers
        return answer

    @contextmanager
    def unlocked(self, scope: Scope, operand: bytes = b"", **changes: Any) -> Iterator[None]:
        """While the block runs; relocked behind it."""
        assert self.apply(self.token(scope, operand, **changes), *world.UNLOCK) == ACCEPTED
        try:
            yield
        finally:
            assert self.gate.call("relock").answers == (ACCEPTED,)

    def attempt(self, command: str, **options: Any) -> Tried:
        """Runs it; what was logged meanwhile."""
        last = max((one.number for one in self.gate.denials()), default=0)
        done = self.machine.run(["sh", "-c", command], check=False, **options)
        logged = tuple(one for one in self.gate.denials() if one.number > last)
        return Tried(shown=done.text, logged=logged)


@pytest.fixture(scope="session")
def locked_machine(
    gate_image: Image, gate_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Locked]:
    """The machine, with both snapshots."""
    with Machine.boot("system", gate_image) as machine:
        machine.push(gate_files, AT)
        machine.run(_MADE)
        config.install(machine)
        machine.snapshot(PLAIN)
        gate = seal(machine, gate_image, gate_files, tmp_path_factory.mktemp("unlock"))
        machine.snapshot(SEALED)
        yield Locked(gate)


@pytest.fixture(scope="module")
def locked(locked_machine: Locked) -> Locked:
    """As it is right after the seal, for the tests of one module."""
    locked_machine.machine.restore(SEALED)
    return locked_machine


@pytest.fixture(scope="session")
def digests(gate_files: Path) -> dict[str, bytes]:
    """Of the specimens, which nothing grants."""
    return {name: digest_path(gate_files / name).value for name in SPECIMENS}


def seal(machine: Machine, image: Image, files: Path, folder: Path) -> Gate:
    """Loads the gate."""
    guarded = tuple(sorted((*config.GUARDED, _TRUST), key=lambda one: one.path))
    bundle = whole_bundle(image, files)
    bundle[2] = world.policy(guarded=guarded, unlock=world.LIMITS)
    return load(machine, [*bundle, config.owners(folder), config.vendors(folder)])


def changed(token: bytes, at: int, new: bytes) -> bytes:
    """With other bytes there."""
    return token[:at] + new + token[at + len(new) :]


def counts(text: str) -> Mapping[int, int]:
    """What gate_tools/flood.c prints."""
    return {int(key): int(times) for key, times in map(str.split, text.splitlines())}
