# SPDX-License-Identifier: Apache-2.0
"""verity-load with documents that the gate refuses, and on a host where it must not seal.

Signed for real, so that it is the gate that says no. After each refusal the host is as it was: no
pin, link, mount or keyring, no kernel lockdown, and an unsigned program runs as root. What needs no
gate to be refused is in test_loader.py. Each test loads the gate: the short tier takes a part.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests import boot
from tests.boot import OS, SECOND_ROOT, STRANGER, VENDOR_ROOT
from tests.daily import some
from verity.formats import kernel_keys, kernel_policy
from verity.formats.grants import Party, Role
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match
from verity.formats.kernel_policy import Mode
from verity.formats.records import Fragment, RecordKind

from . import gate_world as world
from .debian import run
from .gate_blobs import Blob, Revoke, code_rows, key_id, signature
from .gate_machine import AT, Gate, load_command, value
from .image import Image
from .machine import Machine
from .test_loader import traces

BUNDLE, PIN = f"{AT}/other.bundle", f"{AT}/other.pin"
BEFORE = "before"
NO_GATE = 22  # EINVAL
_TOOLS = {
    Path(__file__).parents[1] / "attacks/tools/interfere.c": ("-lbpf", "-lelf", "-lz"),
    Path(__file__).parent / "gate_tools/reuse.c": (),
    Path(__file__).parent / "gate_tools/lesser.c": (),
}


@pytest.fixture(scope="module")
def machine(
    vm_image: Image, gate_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A bare machine without a gate; each test leaves it so, or restores BEFORE."""
    tools = tmp_path_factory.mktemp("loader")
    flags = ["-static", "-O1", "-s", "-Wall", "-Wextra", "-Werror"]
    for source, libraries in _TOOLS.items():
        run(["cc", *flags, "-o", str(tools / source.stem), str(source), *libraries])
    with Machine.boot("bare", vm_image) as machine:
        machine.push(gate_files, AT)
        for tool in tools.iterdir():
            machine.push(tool, f"{AT}/{tool.name}")
        machine.snapshot(BEFORE)
        yield machine


def grants(stream: str, first: int, count: int) -> Fragment:
    """An OS of `count` digests that no file has."""
    blob = Blob(
        serial=1,
        party=Party.VENDOR,
        role=Role.OS,
        stream=stream.encode(),
        code=code_rows(first, count),
    ).encode()
    return Fragment(kind=RecordKind.GRANTS, blob=blob, signatures=(signature(OS, blob),))


def good() -> list[Fragment]:
    """The smallest bundle that seals."""
    return [world.vendor_keys(), world.user_keys(), world.policy(), grants("os", 0, 3)]


def spoiled(number: int, at: int) -> list[Fragment]:
    """The good bundle with one byte of one blob changed after signing."""
    fragments = good()
    blob = bytearray(fragments[number].blob)
    blob[at] ^= 2
    fragments[number] = replace(fragments[number], blob=bytes(blob))
    return fragments


def too_many() -> list[Fragment]:
    """One digest more than there is room for."""
    return [*good()[:3], grants("os", 0, 100_000), grants("spare", 100_000, 100_001)]


def revoked(**tables: Any) -> list[Fragment]:
    """The good bundle, in which the user's root revokes something of it."""
    blob = Revoke(serial=1, **tables).encode()
    kept = Fragment(
        kind=RecordKind.REVOKE, blob=blob, signatures=(signature(boot.USER_ROOT, blob),)
    )
    return [*good()[:3], kept, *good()[3:]]


@dataclass(frozen=True)
class Row:
    """A bundle, and what the loader must say about it."""

    fragments: Callable[[], Sequence[Fragment]]
    texts: tuple[str, ...]


ROWS: dict[str, Row] = {
    "altered keys": Row(lambda: spoiled(0, 40), ("keys (record 1 of", "3032 threshold")),
    "altered grants": Row(lambda: spoiled(3, 170), ("grants (record 7 of", "3032 threshold")),
    "more digests than there is room": Row(
        too_many, ("grants (record 9 of", "3021 full", "grant fewer files")
    ),
    "grants of a revoked key": Row(
        lambda: revoked(keys=[key_id(OS)]), ("grants (record 9 of", "3033 revoked-key")
    ),
    "grants of a revoked serial": Row(
        lambda: revoked(streams=[(b"os", 2)]), ("grants (record 9 of", "3025 revoked-serial")
    ),
    "a policy of a revoked key": Row(
        lambda: revoked(keys=[key_id(boot.POLICY)]), ("keys or policy", "signed anew")
    ),
    "no grants": Row(lambda: good()[:3], ("nothing is granted", "put grants into the bundle")),
}


def put(machine: Machine, data: bytes, at: str = BUNDLE) -> None:
    """A file of the host's memory, in the machine."""
    with machine.exchange() as (host, guest):
        (host / "data").write_bytes(data)
        machine.run(["cp", f"{guest}/data", at])


def refused(
    machine: Machine, argv: Sequence[str], status: int, *texts: str, warned: str = ""
) -> None:
    """The loader ends with this status, says all of it and a hint, and leaves no trace.

    Before that it says nothing, or warns of `warned`.
    """
    before = traces(machine)
    done = machine.run(argv, check=False, timeout_s=120)
    warning, error, said = done.stderr.decode().partition("verity-load: error: ")
    said = error + said
    assert done.status == status, warning + said
    assert error
    assert warning.startswith(f"verity-load: warning: {warned}") if warned else not warning
    assert said.splitlines()[1].startswith("  hint: ")
    for text in texts:
        assert text in said
    assert traces(machine) == before
    assert machine.run([f"{AT}/a"]).text == "ran a"


def seals(machine: Machine, argv: Sequence[str]) -> None:
    """The control: the loader seals. Nothing starts in that machine any more: it is restored."""
    done = machine.run(argv, check=False, timeout_s=120)
    assert done.text == "state sealed", done.stderr
    assert machine.run([f"{AT}/a"], check=False).status == 127
    machine.restore(BEFORE)
    assert machine.run([f"{AT}/a"]).text == "ran a"


@pytest.mark.parametrize("name", some(ROWS, one_in=8))
def test_the_gate_refuses_the_bundle(machine: Machine, name: str) -> None:
    put(machine, world.encode(ROWS[name].fragments()))
    refused(machine, load_command(BUNDLE), 1, *ROWS[name].texts)


def test_the_good_bundle_seals(machine: Machine) -> None:
    put(machine, world.encode(good()))
    seals(machine, load_command(BUNDLE))


@pytest.mark.full
def test_a_bundle_that_revokes_other_things_seals(machine: Machine) -> None:
    put(machine, world.encode(revoked(keys=[key_id(STRANGER)], streams=[(b"tools", 2)])))
    seals(machine, load_command(BUNDLE))


@pytest.mark.full
def test_grants_below_the_floor(machine: Machine) -> None:
    """The bundle of before, put back by whoever can write to it, and the floors with it."""
    for floor, accepted in ((2, False), (1, True)):
        floors = struct.pack("<II64sQ", RecordKind.FLOORS, 72, b"os", floor)
        put(machine, world.encode(good()) + floors)
        if accepted:
            seals(machine, load_command(BUNDLE))
        else:
            refused(machine, load_command(BUNDLE), 1, "grants (record 7 of", "3024 floor")


# --- pins ---------------------------------------------------------------------------------------


def with_pin(machine: Machine, pin: kernel_keys.Pin) -> list[str]:
    """The command line with this pin of the vendor."""
    put(machine, kernel_keys.encode_pin(pin), PIN)
    return [PIN if word.endswith("vendor.pin") else word for word in load_command(BUNDLE)]


def test_the_pin_of_somebody_else(machine: Machine) -> None:
    put(machine, world.encode(good()))
    argv = with_pin(machine, boot.pin(Party.VENDOR, STRANGER))
    refused(machine, argv, 1, "keys (record 1 of", "3032 threshold", "check pin and signers")


@pytest.mark.full
def test_a_pin_that_wants_two_owners(machine: Machine) -> None:
    """With one of the two signatures it is refused, with both it seals."""
    argv = with_pin(machine, boot.pin(Party.VENDOR, VENDOR_ROOT, SECOND_ROOT, threshold=2))
    put(machine, world.encode(good()))
    refused(machine, argv, 1, "keys (record 1 of", "3032 threshold")
    blob = world.vendor_keys().blob
    both = boot.signed("keys", RecordKind.KEYS, blob, VENDOR_ROOT, SECOND_ROOT).fragment
    put(machine, world.encode([both, *good()[1:]]))
    seals(machine, argv)


@pytest.mark.full
def test_keys_that_bring_their_own_root(machine: Machine) -> None:
    """What a blob says about the role root is nothing: the pin says it."""
    blob = boot.keys_blob(Party.USER, {**boot.USER_KEYS, Role.ROOT: [STRANGER]})
    own = boot.signed("keys", RecordKind.KEYS, blob, STRANGER).fragment
    put(machine, world.encode([world.vendor_keys(), own, world.policy(), grants("os", 0, 3)]))
    refused(machine, load_command(BUNDLE), 1, "keys (record 3 of", "3032 threshold")


@pytest.mark.full
def test_a_key_that_got_the_serial_of_another(machine: Machine) -> None:
    """A keyring counts only while its serial means the key that it meant when it was made."""
    put(machine, world.encode(good()))
    argv = load_command(BUNDLE)
    refused(machine, [f"{AT}/reuse", "8", *argv], 1, "keys (record 1 of", "3032 threshold")
    seals(machine, [f"{AT}/reuse", "0", *argv])


# --- the object ---------------------------------------------------------------------------------


def broken_instructions(data: bytes) -> bytes:
    """What the verifier can't take and libbpf doesn't look at: one instruction that is none."""
    at = data.index(b"\x79\x16")  # r6 = *(u64 *)(r1 + ...): how a hook fetches its arguments
    return data[:at] + b"\xff" * 8 + data[at + 8 :]


OBJECTS: dict[str, tuple[Callable[[bytes], bytes], int, str]] = {
    "half of it": (lambda data: data[: len(data) // 2], 1, "is damaged"),
    "all but its end": (lambda data: data[:-64], 1, "is damaged"),
    "another map's name": (lambda data: data.replace(b"own_keys\0", b"own_kexs\0"), 1, "own_keys"),
    "another program's name": (
        lambda data: data.replace(b"verity_status\0", b"verity_stadus\0"),
        1,
        "no program verity_status",
    ),
    "other instructions": (broken_instructions, 3, "the kernel does not take"),
}


@pytest.mark.parametrize("name", some(OBJECTS, one_in=3))
def test_a_damaged_object(machine: Machine, gate_files: Path, name: str) -> None:
    spoil, status, text = OBJECTS[name]
    put(machine, world.encode(good()))
    put(machine, spoil((gate_files / "gate.bpf.o").read_bytes()), f"{AT}/other.o")
    refused(machine, [*load_command(BUNDLE), "--object", f"{AT}/other.o"], status, text)


# --- the host -----------------------------------------------------------------------------------


def test_ftrace_is_off(machine: Machine) -> None:
    put(machine, world.encode(good()))
    switch = "/proc/sys/kernel/ftrace_enabled"
    machine.run(f"echo 0 >{switch}")
    refused(machine, load_command(BUNDLE), 3, "ftrace is switched off", "ftrace_enabled=1")
    machine.run(f"echo 1 >{switch}")


def test_the_kernel_is_locked_down_too_far(machine: Machine) -> None:
    """In the mode confidentiality no program may read the kernel's memory: nothing is loaded."""
    put(machine, world.encode(good()))
    machine.run("echo confidentiality >/sys/kernel/security/lockdown")
    refused(machine, load_command(BUNDLE), 3, "the kernel does not take the gate's programs")
    machine.restore(BEFORE)


def test_a_program_that_can_overrule_the_gate(machine: Machine) -> None:
    """Loaded before the gate it can't be judged any more: the gate observes, and does not seal."""
    put(machine, world.encode(good()))
    machine.run([f"{AT}/interfere", "pinned", "/sys/fs/bpf/other"])
    refused(machine, load_command(BUNDLE), 1, "1 modify-return", "bpftool prog list")
    machine.run(["rm", "/sys/fs/bpf/other"])
    seals(machine, load_command(BUNDLE))


ANCHORS, DEEP_TREES, DEPTH = 4096, 40, 115
"""More directories than the gate has room for, in as many guarded paths as a policy may have."""


@pytest.mark.full
def test_more_guarded_directories_than_there_is_room(machine: Machine) -> None:
    """Each is remembered before the seal, or there is no seal."""
    trees = [f"/srv/{number:02}" + "/d" * DEPTH for number in range(DEEP_TREES)]
    guarded = [
        Guarded(path=tree.encode(), file_class=GuardedClass.SIGNED, match=Match.TREE)
        for tree in trees
    ]
    bundle = world.encode([*good()[:2], world.policy(guarded=tuple(guarded)), grants("os", 0, 3)])
    put(machine, bundle)
    for tree in trees:
        machine.run(["mkdir", "-p", tree])
    lost = DEEP_TREES * (DEPTH + 1) + 2 - ANCHORS
    texts = (f"remembers {ANCHORS} guarded", f"{lost} found no room", "guard fewer directories")
    warned = f"{lost} guarded directories found no room"
    refused(machine, load_command(BUNDLE), 1, *texts, warned=warned)
    done = machine.run(load_command(BUNDLE, "--observe"), timeout_s=120)
    assert f"warning: {warned}" in done.stderr.decode()
    assert value(Gate(machine).status(), "anchors_lost") == str(lost)
    machine.restore(BEFORE)
    put(machine, bundle)
    seals(machine, load_command(BUNDLE))


@pytest.mark.full
def test_guarded_directories_that_cannot_be_opened(machine: Machine) -> None:
    """They are told, and the gate seals: of the others each is remembered."""
    places = ("/srv/closed/deep", "/srv/open")
    guarded = tuple(
        Guarded(path=path.encode(), file_class=GuardedClass.SIGNED, match=Match.TREE)
        for path in places
    )
    bundle = world.encode([*good()[:2], world.policy(guarded=guarded), good()[3]])
    closed = "mkdir -p /srv/closed/deep /srv/open; chown 1 /srv/closed; chmod 0 /srv/closed"
    put(machine, bundle)
    machine.run(closed)
    done = machine.run([f"{AT}/lesser", *load_command(BUNDLE, "--observe")], timeout_s=120)
    said = done.stderr.decode()
    for path in ("/srv/closed", "/srv/closed/deep"):
        assert f"warning: {path} can't be opened: Permission denied\n  hint: renamed, it" in said
    assert said.count("can't be opened") == 2
    status = Gate(machine).status()
    assert value(status, "anchors") == f"3 {ANCHORS}"
    assert value(status, "anchors_lost") == "0"
    machine.restore(BEFORE)
    put(machine, bundle)
    machine.run(closed)
    seals(machine, [f"{AT}/lesser", *load_command(BUNDLE)])


# --- what is no refusal -------------------------------------------------------------------------


TRYING = world.encode([*good()[:2], world.policy(Mode.TRIAL), grants("os", 0, 3)])
TRIED = r"verity-trial 1\nserial %d\nboot 0b1c2d3e-0000-4000-8000-000000000001\n"


@pytest.mark.full
def test_a_policy_that_tries(machine: Machine) -> None:
    """Where it can't be written down it isn't begun: only observed, which the owner can end."""
    put(machine, TRYING)
    done = machine.run(load_command(BUNDLE), timeout_s=120)
    assert done.text == "state observe"
    assert b"/var/lib/verity/trial can't be written: No such file" in done.stderr
    assert "why trial-unwritten" in machine.run("cat /run/verity/seal").text
    status = Gate(machine).status()
    assert (value(status, "state"), value(status, "policy_mode")) == ("observe", "trial")
    assert machine.run([f"{AT}/a"]).text == "ran a"
    assert Gate(machine).denials()[-1].enforced is False
    machine.run(["umount", "/sys/fs/bpf/verity"])
    # The kernel lets go of a link some time after its pin.
    gone = f"until [ $({AT}/call begin) = {NO_GATE} ]; do sleep 0.1; done"
    machine.run(f"{gone}; {AT}/a", timeout_s=20)
    machine.restore(BEFORE)


@pytest.mark.full
def test_a_trial_is_written_down_and_enforced_once(machine: Machine) -> None:
    put(machine, TRYING)
    machine.run("mkdir -p /var/lib/verity")
    seals(machine, load_command(BUNDLE))
    # As the boot after it finds it.
    serial = kernel_policy.parse(world.policy(Mode.TRIAL).blob).serial
    machine.run(f"mkdir -p /var/lib/verity; printf '{TRIED}' {serial} >/var/lib/verity/trial")
    done = machine.run(load_command(BUNDLE), timeout_s=120)
    assert done.text == "state observe"
    assert f"policy serial {serial} had its trial in the boot".encode() in done.stderr
    assert "why trial-over" in machine.run("cat /run/verity/seal").text
    machine.restore(BEFORE)
