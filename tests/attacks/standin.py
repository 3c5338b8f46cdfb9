# SPDX-License-Identifier: Apache-2.0
"""What attacks on the gate itself aim at: the gate's objects, or a stand-in that nobody guards.

The stand-in is a bpffs with a pinned map and a program's link, and a keyring with a key. An act
that fails on it would prove nothing about the gate.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tests.vm import Machine

from .attack import Attack
from .ground import TOOLS

_PINS = "/sys/fs/bpf/standin"
_KINDS = ("maps", "progs", "links")
_ZERO = "0 0 0 0"
# As /proc/keys has them: what the gate's loader sets, and what the stand-in's keys have.
_PERMISSIONS = ("09090909", "3f3f3f3f")
_MAKE = f"""
mkdir {_PINS} && mount -t bpf attack {_PINS} &&
bpftool map create {_PINS}/status type hash key 4 value 4 entries 8 name standin &&
bpftool map update pinned {_PINS}/status key {_ZERO} value {_ZERO} &&
{TOOLS}/interfere link {_PINS}/link &&
keyctl session - sh -c 'keyctl link @u @s &&
ring=$(keyctl newring standin @u) && key=$(keyctl add user attack contents $ring) &&
keyctl setperm $key 0x3f3f3f3f && keyctl setperm $ring 0x3f3f3f3f'
"""
_REMOVE = f"""
umount -R {_PINS} 2>/dev/null; umount -l {_PINS} 2>/dev/null; rmdir {_PINS}
keyctl clear @u; :
"""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What fills the braces of a row: see rows/itself.py."""

    maps: str
    progs: str
    links: str
    pins: str
    keys: str
    keyrings: str

    def aimed(self, row: Attack) -> Attack:
        return replace(row, act=row.act.format(**self.__dict__))


def objects(machine: Machine) -> dict[str, set[str]]:
    """The ids of all BPF objects by kind."""
    return {kind: set(machine.run([f"{TOOLS}/object", kind]).text.split()) for kind in _KINDS}


def target(machine: Machine, *, pins: str, before: dict[str, set[str]]) -> Target:
    """What has come since `before`, and all keys with the permissions of the gate's or ours."""
    new = {kind: ids - before[kind] for kind, ids in objects(machine).items()}
    assert all(new.values()), new
    keys: set[str] = set()
    keyrings: set[str] = set()
    for line in machine.run(["cat", "/proc/keys"]).text.splitlines():
        serial, _flags, _usage, _timeout, permissions, _uid, _gid, kind, *_ = line.split()
        if permissions in _PERMISSIONS:
            (keyrings if kind == "keyring" else keys).add(str(int(serial, 16)))
    assert keys and keyrings
    named = {kind: " ".join(sorted(ids)) for kind, ids in new.items()}
    return Target(
        pins=pins, keys=" ".join(sorted(keys)), keyrings=" ".join(sorted(keyrings)), **named
    )


@contextmanager
def standin(machine: Machine) -> Iterator[Target]:
    """A stand-in that goes afterwards, whatever is left of it."""
    before = objects(machine)
    try:
        machine.run(_MAKE)
        yield target(machine, pins=_PINS, before=before)
    finally:
        machine.run(_REMOVE)
