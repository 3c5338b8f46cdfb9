# SPDX-License-Identifier: Apache-2.0
"""The machines of the comparison: the same Debian and the same ground, and a peer in the gate's
place that trusts or has signed what our grants name."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.vm import Image, Machine, fapolicyd, ima
from verity.ports.content import digest_path

from . import ground
from .attack import Attack, SetupFailedError, TroubleError, attempt
from .conftest import ground_machine
from .rows import peers as rows

FAPOLICYD, HARDENED, IMA = PEERS = ("fapolicyd", "fapolicyd hardened", "IMA")

STOPPED, NOT_STOPPED = "stopped", "not stopped"
PREPARING = f"{STOPPED} while preparing"
_TIMEOUT_S = 300.0  # some rows start fapolicyd again, which then hashes what it trusts
_NOT_PERMITTED = os.strerror(errno.EPERM)
STOPS_SIGNED = "stops the signed one, too"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A machine with a peer; `rows` are the attacks on the peer itself, `process` its daemon."""

    name: str
    machine: Machine
    rows: tuple[Attack, ...]
    process: str


@contextmanager
def peer_machine(image: Image, name: str) -> Iterator[Peer]:
    """A machine in which the peer of that name enforces."""
    with ground_machine(image) as machine:
        _START[name](machine, image)
        if name == IMA:
            yield Peer(name=name, machine=machine, rows=rows.IMA, process="")
        else:
            yield Peer(name=name, machine=machine, rows=rows.FAPOLICYD, process="fapolicyd")


def verdict(machine: Machine, row: Attack, *, user: str | None = None) -> str:
    """What becomes of the act, and of its control if the act is stopped."""
    went = _went(machine, row, user)
    if went == NOT_STOPPED or row.control is None:
        return went
    return went if _went(machine, row.control, user) == NOT_STOPPED else STOPS_SIGNED


def _went(machine: Machine, row: Attack, user: str | None) -> str:
    """A tool that isn't permitted what it does before the act has no trouble without the peer:
    test_attacks.py shows that."""
    try:
        outcome = attempt(machine, row, user=user, timeout_s=_TIMEOUT_S)
        return NOT_STOPPED if outcome.succeeded else STOPPED
    except SetupFailedError:
        return PREPARING
    except TroubleError as error:
        if _NOT_PERMITTED not in str(error):
            raise
        return PREPARING


def _fapolicyd(hardened: bool) -> Callable[[Machine, Image], None]:
    def start(machine: Machine, image: Image) -> None:
        granted = ground.ground(image) / "granted"
        trusted = fapolicyd.trust_of(granted / "tools", ground.TOOLS)
        trusted += fapolicyd.trust_of(granted / "signed", ground.SIGNED)
        fapolicyd.install(machine, image, trusted, hardened=hardened)
        fapolicyd.start(machine)

    return start


def _ima(machine: Machine, image: Image) -> None:
    made = ground.ground(image)
    key, foreign = ima.Key(), ima.Key()
    signed = ima.signatures(image.tree, key)
    for folder in ("granted", "old"):
        signed += ima.of_files(made / folder, key, ground.TOP)
    ima.start(machine, key, signed)
    other = foreign.of_verity(digest_path(made / "others/unsigned/program").value)
    machine.run(f"cat >{rows.IMA_FILES}/other.der", input=foreign.certificate)
    machine.run(f"cat >{rows.IMA_FILES}/other.xattr", input=b"0x" + other.hex().encode())


_START: Mapping[str, Callable[[Machine, Image], None]] = {
    FAPOLICYD: _fapolicyd(hardened=False),
    HARDENED: _fapolicyd(hardened=True),
    IMA: _ima,
}
