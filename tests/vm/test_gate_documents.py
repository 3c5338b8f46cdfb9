# SPDX-License-Identifier: Apache-2.0
"""Keys and policies that the gate refuses, the order of blobs, and the seal itself.

All of this comes before the seal, so the machine only observes: a bare one, whose gate has the keys
of both parties and no policy yet. Every blob is signed by the right key over the wrong bytes.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests import boot
from tests.boot import EXTENSION, OS, POLICY, STRANGER, USER_ROOT, VENDOR_ROOT
from tests.world import ISSUED, Signer
from verity.formats import kernel_policy
from verity.formats.gate_calls import Refusal
from verity.formats.gate_status import Reason
from verity.formats.grants import Code, Party, Role
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match
from verity.formats.kernel_policy import ActSet, Mode, UnlockLimit
from verity.formats.records import RecordKind
from verity.formats.unlock import Scope

from . import gate_machine
from . import gate_world as world
from .gate_blobs import Blob, ElevateRow, Revoke, code_rows, digest, key_id, signed
from .gate_machine import ACCEPTED, AT, Gate, value
from .image import Image
from .machine import Machine

KEYS_ONLY, READY = "keys-only", "ready"
SEAL = "call=4,32,32,1,0,0,0,0"
LATE = struct.pack("<Q", 2**53)
FLOORS = struct.pack("<II64sQ64sQ", RecordKind.FLOORS, 2 * 72, b"nobody", 9, b"t5", 5)


@pytest.fixture(scope="module")
def machine(vm_image: Image, gate_files: Path) -> Iterator[Machine]:
    """A bare machine with two snapshots: before the policy, and with policy and grants."""
    with Machine.boot("bare", vm_image) as machine:
        machine.push(gate_files, AT)
        keys = [world.vendor_keys(), world.user_keys()]
        gate = gate_machine.load(machine, keys, "--observe", behind=FLOORS)
        machine.snapshot(KEYS_ONLY)
        grants = Blob(serial=1, code=code_rows(0, 2)).encode()
        fragments = world.encode([world.policy()]), signed(grants, EXTENSION)
        assert gate.send(*fragments) == (ACCEPTED, ACCEPTED)
        machine.snapshot(READY)
        yield machine


@pytest.fixture(scope="module")
def keyed(machine: Machine) -> Gate:
    """With keys, without a policy; for tests that change nothing but versions of keys."""
    machine.restore(KEYS_ONLY)
    return Gate(machine)


@pytest.fixture(scope="module")
def versions() -> Iterator[int]:
    """Versions that no keyring has had yet."""
    return itertools.count(100)


def with_bytes(blob: bytes, changes: Mapping[int, bytes]) -> bytes:
    """The blob with other bytes at these offsets."""
    changed = bytearray(blob)
    for at, data in changes.items():
        changed[at : at + len(data)] = data
    return bytes(changed)


def refused(gate: Gate, fragment: bytes, refusal: Refusal) -> None:
    """With this number, and without any change."""
    heard = gate.call("status", "next", "status", fragments=fragment)
    assert heard.answers == (refusal.number,)
    assert heard.statuses[0] == heard.statuses[1]


# --- keys ---------------------------------------------------------------------------------------

# Offsets of docs/formats.md section 9. The user's blob has keys of etc, extension and policy.
ENTRY, LAST = 64, 64 + 11 * 128
KEYS: dict[str, tuple[Mapping[int, bytes], Refusal]] = {
    "header length": ({16: b"\x48"}, Refusal.HEADER),
    "total length": ({20: b"\1"}, Refusal.HEADER),
    "party 0": ({24: b"\0"}, Refusal.PARTY_ROLE),
    "party 3": ({24: b"\3"}, Refusal.PARTY_ROLE),
    "reserved bytes of the header": ({27: b"\1"}, Refusal.HEADER),
    "no keys": ({28: b"\0"}, Refusal.HEADER),
    "a key too few": ({28: b"\x0b"}, Refusal.HEADER),
    "65 keys": ({28: b"\x41"}, Refusal.HEADER),
    "version 0": ({32: bytes(8)}, Refusal.HEADER),
    "a version beyond JSON": ({32: LATE}, Refusal.HEADER),
    "expires when it was issued": ({40: struct.pack("<QQ", ISSUED, ISSUED)}, Refusal.HEADER),
    "expires beyond JSON": ({48: LATE}, Refusal.HEADER),
    "a threshold for no role": ({56: b"\1"}, Refusal.HEADER),
    "a threshold without keys": ({56 + 7: b"\1"}, Refusal.HEADER),
    "keys without a threshold": ({56 + Role.POLICY: b"\0"}, Refusal.HEADER),
    "a threshold of nine": ({56 + Role.ETC: b"\x09"}, Refusal.HEADER),
    "a threshold for another role": ({56 + Role.EXTENSION: b"\0\1\1"}, Refusal.HEADER),
    "the vendor's role": ({ENTRY + 32: bytes([Role.OS])}, Refusal.ENTRY),
    "role 0": ({ENTRY + 32: b"\0"}, Refusal.ENTRY),
    "a role that the kernel does not know": ({ENTRY + 32: b"\7"}, Refusal.ENTRY),
    "role 255": ({LAST + 32: b"\xff"}, Refusal.ENTRY),
    "owner 8": ({ENTRY + 33: b"\x08"}, Refusal.ENTRY),
    "reserved bytes of a key": ({ENTRY + 35: b"\1"}, Refusal.ENTRY),
    "the reserved byte behind a key": ({LAST + 127: b"\1"}, Refusal.ENTRY),
    "unsorted": ({ENTRY: b"\xff" * 32}, Refusal.UNSORTED),
    "a key twice": ({ENTRY + 128: b"SAME"}, Refusal.UNSORTED),
}


def user_keys(version: int) -> bytes:
    """A good blob."""
    return world.user_keys(version).blob


@pytest.mark.parametrize("name", KEYS)
def test_wrong_keys(keyed: Gate, versions: Iterator[int], name: str) -> None:
    changes, refusal = KEYS[name]
    good = user_keys(next(versions))
    bad = with_bytes(good, changes)
    if name == "a key twice":
        bad = with_bytes(good, {ENTRY + 128: good[ENTRY : ENTRY + 32]})
    refused(keyed, signed(bad, USER_ROOT), refusal)
    assert keyed.send(signed(good, USER_ROOT)) == (ACCEPTED,)


KEY_SIGNERS: dict[str, tuple[Signer, ...]] = {
    "the other party's root": (VENDOR_ROOT,),
    "a foreign key": (STRANGER,),
    "a key that they introduce": (POLICY,),
    "every key but the root": (POLICY, EXTENSION, OS, VENDOR_ROOT, STRANGER),
}


@pytest.mark.parametrize("name", KEY_SIGNERS)
def test_keys_are_signed_by_their_root(keyed: Gate, versions: Iterator[int], name: str) -> None:
    good = user_keys(next(versions))
    refused(keyed, signed(good, *KEY_SIGNERS[name]), Refusal.THRESHOLD)
    assert keyed.send(signed(good, *KEY_SIGNERS[name], USER_ROOT)) == (ACCEPTED,)


def test_one_party_does_not_speak_for_the_other(keyed: Gate, versions: Iterator[int]) -> None:
    as_vendor = with_bytes(user_keys(next(versions)), {24: bytes([Party.VENDOR])})
    refused(keyed, signed(as_vendor, USER_ROOT, VENDOR_ROOT), Refusal.ENTRY)


def test_keys_do_not_get_older(keyed: Gate, versions: Iterator[int]) -> None:
    older, newer = user_keys(next(versions)), user_keys(next(versions))
    assert keyed.send(signed(newer, USER_ROOT)) == (ACCEPTED,)
    refused(keyed, signed(newer, USER_ROOT), Refusal.SERIAL)
    refused(keyed, signed(older, USER_ROOT), Refusal.SERIAL)


# --- policy -------------------------------------------------------------------------------------

STREAM, SECOND = 192, 192 + 72  # config, harness, ...
OBSERVED = frozenset({Reason.NO_DIGEST, Reason.NOT_ELEVATED})
GUARDS = (
    Guarded(path=b"/etc", file_class=GuardedClass.SIGNED, match=Match.TREE),
    Guarded(path=b"/etc/.#", file_class=GuardedClass.IGNORED, match=Match.PREFIX),
    Guarded(path=b"/etc/" + b"x" * 242, file_class=GuardedClass.MUTABLE, match=Match.TREE),
)
UNLOCK = UnlockLimit(scope=Scope.SESSION, seconds=3600, owners=2)


def full_policy() -> bytes:
    """One with everything that a policy may have; the guarded paths are its last 768 bytes."""
    return world.policy(
        observed=OBSERVED, observed_acts=ActSet.PTRACE, unlock=(UNLOCK,), guarded=GUARDS
    ).blob


FIRST, PATH2, PATH3 = -768, -512, -256  # the guarded paths
FLAGS = Refusal.FLAGS
POLICIES: dict[str, tuple[Mapping[int, bytes], Refusal]] = {
    "header length": ({16: b"\x88"}, Refusal.HEADER),
    "total length": ({20: b"\1"}, Refusal.HEADER),
    "mode 0": ({24: b"\0"}, Refusal.HEADER),
    "mode 4": ({24: b"\4"}, Refusal.HEADER),
    "reserved bytes of the header": ({25: b"\1"}, Refusal.HEADER),
    "no streams": ({28: b"\0"}, Refusal.HEADER),
    "65 streams": ({28: b"\x41"}, Refusal.HEADER),
    "a stream too few": ({28: b"\x09"}, Refusal.HEADER),
    "serial 0": ({32: bytes(8)}, Refusal.HEADER),
    "a serial beyond JSON": ({32: LATE}, Refusal.HEADER),
    "expires when it was issued": ({40: struct.pack("<QQ", ISSUED, ISSUED)}, Refusal.HEADER),
    "expires beyond JSON": ({48: LATE}, Refusal.HEADER),
    "16 groups": ({64: b"\x10"}, Refusal.HEADER),
    "a group twice": ({68: struct.pack("<II", 6, 6)}, Refusal.HEADER),
    "groups descending": ({68: struct.pack("<II", 42, 6)}, Refusal.HEADER),
    "a group behind the last": ({76: b"\1"}, Refusal.HEADER),
    "a stream without a name": ({STREAM: bytes(6)}, Refusal.ENTRY),
    "a name without an end": ({STREAM: b"a" * 64}, Refusal.ENTRY),
    "a capital letter": ({STREAM: b"C"}, Refusal.ENTRY),
    "a slash": ({STREAM + 1: b"/"}, Refusal.ENTRY),
    "a name that goes on behind its end": ({STREAM + 10: b"x"}, Refusal.ENTRY),
    "a stream of no party": ({STREAM + 64: b"\0"}, Refusal.ENTRY),
    "a stream of a role that grants nothing": ({STREAM + 65: bytes([Role.POLICY])}, Refusal.ENTRY),
    "the vendor's etc": ({STREAM + 64: bytes([Party.VENDOR])}, Refusal.ENTRY),
    "the user's os": ({STREAM + 65: bytes([Role.OS])}, Refusal.ENTRY),
    "a reason that is always denied": ({129: bytes([1 << Reason.GATE_OBJECT.number - 8])}, FLAGS),
    "not knowing": ({130: bytes([1 << Reason.UNDECIDED.number - 16])}, FLAGS),
    "allowing": ({128: b"\1"}, FLAGS),
    "an unknown act": ({136: b"\x40"}, FLAGS),
    "513 guarded paths": ({140: b"\1\2"}, Refusal.HEADER),
    "a guarded path too few": ({140: b"\2"}, Refusal.HEADER),
    "an unlock of scope 0": ({144: b"\1"}, Refusal.HEADER),
    "an unlock of scope 7": ({172: b"\1"}, Refusal.HEADER),
    "an unlock of a week and a second": ({160: struct.pack("<I", 604801)}, Refusal.HEADER),
    "nine owners": ({180: b"\x09"}, Refusal.HEADER),
    "owners of a scope that isn't unlocked": ({179: b"\1"}, Refusal.HEADER),
    "the last reserved byte of the header": ({191: b"\1"}, Refusal.HEADER),
    "a relative path": ({FIRST: b"e"}, Refusal.ENTRY),
    "a path without an end": ({PATH3 + 247: b"x"}, Refusal.ENTRY),
    "a path that goes on behind its end": ({FIRST + 246: b"x"}, Refusal.ENTRY),
    "class 0": ({FIRST + 248: b"\0"}, Refusal.ENTRY),
    "class 5": ({PATH2 + 248: b"\5"}, Refusal.ENTRY),
    "match 0": ({PATH3 + 249: b"\0"}, Refusal.ENTRY),
    "match 3": ({FIRST + 249: b"\3"}, Refusal.ENTRY),
    "reserved bytes of a guarded path": ({PATH3 + 255: b"\1"}, Refusal.ENTRY),
    "guarded paths unsorted": ({FIRST + 1: b"x"}, Refusal.UNSORTED),
    "a guarded path twice": ({PATH2: b"/etc\0\0\0"}, Refusal.UNSORTED),
    "guarded paths that differ in their last byte only": (
        {PATH2: b"/etc/" + b"x" * 241 + b"y"},
        Refusal.UNSORTED,
    ),
    "reserved bytes of a stream": ({STREAM + 71: b"\1"}, Refusal.ENTRY),
    "streams unsorted": ({STREAM: b"x"}, Refusal.UNSORTED),
    "a stream twice": ({SECOND: b"config\0"}, Refusal.UNSORTED),
    "streams that differ in their last byte only": (
        {STREAM: b"a" * 62 + b"c\0", SECOND: b"a" * 62 + b"b\0"},
        Refusal.UNSORTED,
    ),
}


@pytest.mark.parametrize("name", POLICIES)
def test_wrong_policy(keyed: Gate, name: str) -> None:
    changes, refusal = POLICIES[name]
    good = full_policy()
    # Counted from the end: how long the streams are is the world's business.
    placed = {at if at >= 0 else len(good) + at: data for at, data in changes.items()}
    refused(keyed, signed(with_bytes(good, placed), POLICY), refusal)


@pytest.mark.parametrize("signer", [STRANGER, USER_ROOT, VENDOR_ROOT, EXTENSION, OS], ids=str)
def test_a_policy_is_signed_by_its_role(keyed: Gate, signer: Signer) -> None:
    refused(keyed, signed(world.policy().blob, signer), Refusal.THRESHOLD)


def test_grants_come_after_the_policy(keyed: Gate) -> None:
    grants = signed(Blob(serial=1, code=code_rows(0, 2)).encode(), EXTENSION)
    refused(keyed, grants, Refusal.ORDER)


def test_revocations_come_after_the_policy(machine: Machine) -> None:
    machine.restore(KEYS_ONLY)
    gate = Gate(machine)
    revoked = signed(Revoke(serial=1).encode(), USER_ROOT)
    refused(gate, revoked, Refusal.ORDER)
    assert gate.send(world.encode([world.policy()]), revoked) == (ACCEPTED,) * 2


def test_a_policy_and_keys_of_revoked_keys(machine: Machine) -> None:
    """Keys count no more for what comes after they were revoked, before the seal as after it."""
    machine.restore(READY)
    gate = Gate(machine)
    revoked = Revoke(serial=1, keys=sorted([key_id(VENDOR_ROOT), key_id(EXTENSION)])).encode()
    assert gate.send(signed(revoked, USER_ROOT)) == (ACCEPTED,)
    keys = signed(world.vendor_keys(9).blob, VENDOR_ROOT)
    grants = signed(Blob(serial=2, code=code_rows(0, 2)).encode(), EXTENSION)
    for fragment in (keys, grants):
        refused(gate, fragment, Refusal.REVOKED_KEY)


def test_there_is_one_policy(machine: Machine) -> None:
    """The good one is the control of every row above: it is accepted, and that once."""
    machine.restore(KEYS_ONLY)
    gate = Gate(machine)
    assert gate.send(signed(world.policy().blob, POLICY)) == (ACCEPTED,)
    assert value(gate.status(), "policy_serial") == "4"
    refused(gate, signed(world.policy(serial=5).blob, POLICY), Refusal.ORDER)


def test_a_policy_with_everything(machine: Machine) -> None:
    """The control of the rows about reactions, unlocks and guarded paths; and as many as fit."""
    machine.restore(KEYS_ONLY)
    assert Gate(machine).send(signed(full_policy(), POLICY)) == (ACCEPTED,)
    machine.restore(KEYS_ONLY)
    many = tuple(
        Guarded(path=b"/a/%03d" % number, file_class=GuardedClass.SIGNED, match=Match.TREE)
        for number in range(512)
    )
    assert Gate(machine).send(signed(world.policy(guarded=many).blob, POLICY)) == (ACCEPTED,)


def test_expiry_does_not_stop_a_boot(machine: Machine) -> None:
    """A boot has no clock worth trusting: what has expired counts until the seal."""
    machine.restore(KEYS_ONLY)
    gate = Gate(machine)
    end = ISSUED + 1
    keys = boot.keys_blob(Party.VENDOR, {Role.OS: [OS]}, version=9, expires=end)
    policy = world.policy(expires=end).blob
    grants = Blob(serial=1, code=code_rows(0, 2), expires=end).encode()
    fragments = signed(keys, VENDOR_ROOT), signed(policy, POLICY), signed(grants, EXTENSION)
    assert gate.send(*fragments) == (ACCEPTED,) * 3


# --- floors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", ["t5", "t4"])
def test_below_the_floor(machine: Machine, stream: str) -> None:
    """The host had serial 5 of t5 before; it has none of t4, whose oldest is taken."""
    machine.restore(READY)
    gate = Gate(machine)

    def grants(number: int) -> bytes:
        blob = Blob(serial=number, stream=stream.encode(), code=code_rows(0, 2))
        return signed(blob.encode(), EXTENSION)

    if stream == "t5":
        refused(gate, grants(1), Refusal.FLOOR)
        refused(gate, grants(4), Refusal.FLOOR)
        assert gate.send(grants(5)) == (ACCEPTED,)
    else:
        assert gate.send(grants(1)) == (ACCEPTED,)


# --- the seal -----------------------------------------------------------------------------------


def seal(machine: Machine, snapshot: str, *fragments: bytes) -> int:
    """The answer to a seal after these; the machine can't start anything if it is 3000."""
    machine.restore(snapshot)
    steps = ["next"] * len(fragments)
    heard = Gate(machine).call(*steps, SEAL, "status", fragments=b"".join(fragments))
    assert heard.answers[:-1] == (ACCEPTED,) * len(fragments)
    sealed = heard.answers[-1] == ACCEPTED
    assert value(heard.statuses[0], "state") == ("sealed" if sealed else "observe")
    return heard.answers[-1]


GRANTS = signed(Blob(serial=1, code=code_rows(0, 2)).encode(), EXTENSION)
EMPTY = signed(Blob(serial=1).encode(), EXTENSION)
UNSEALABLE: dict[str, tuple[tuple[bytes, ...], Refusal]] = {
    "no policy": ((), Refusal.NOT_READY),
    "no grants": ((world.encode([world.policy()]),), Refusal.NOT_READY),
    "grants of nothing": ((world.encode([world.policy()]), EMPTY), Refusal.NOT_READY),
    "a policy that observes": (
        (world.encode([world.policy(Mode.OBSERVE)]), GRANTS),
        Refusal.MODE,
    ),
}


RESTS_ON: dict[str, tuple[Signer, Refusal | None]] = {
    "the policy": (POLICY, Refusal.REVOKED_KEY),
    "the vendor's keys": (VENDOR_ROOT, Refusal.REVOKED_KEY),
    "the user's keys": (USER_ROOT, Refusal.REVOKED_KEY),
    "nothing": (STRANGER, None),
}


@pytest.mark.parametrize("name", RESTS_ON)
def test_not_sealed_on_a_revoked_key(machine: Machine, name: str) -> None:
    """What was taken before its key was revoked stays, and is nothing to seal with."""
    signer, refusal = RESTS_ON[name]
    revoked = signed(Revoke(serial=1, keys=[key_id(signer)]).encode(), USER_ROOT)
    assert seal(machine, READY, revoked) == (refusal.number if refusal else ACCEPTED)


@pytest.mark.parametrize("name", UNSEALABLE)
def test_not_sealed(machine: Machine, name: str) -> None:
    fragments, refusal = UNSEALABLE[name]
    assert seal(machine, KEYS_ONLY, *fragments) == refusal.number


def test_sealed_at_once(machine: Machine) -> None:
    """The control: it seals, and from then on not even the initramfs starts anything."""
    assert seal(machine, READY) == ACCEPTED
    assert machine.run(["true"], check=False).status == 127
    machine.restore(READY)
    assert machine.run(["true"]).status == 0


def test_a_trial_seals(machine: Machine) -> None:
    """Once: that a second boot doesn't is the loader's business."""
    fragments = (world.encode([world.policy(Mode.TRIAL)]), GRANTS)
    assert seal(machine, KEYS_ONLY, *fragments) == ACCEPTED
    assert machine.run(["true"], check=False).status == 127


def test_what_is_observed_is_not_denied(machine: Machine) -> None:
    """Nothing in the initramfs has a digest: observing another reason doesn't let it start."""
    for observed, status in (
        (frozenset({Reason.NOT_GRANTED}), 127),
        (kernel_policy.OBSERVABLE, 0),
    ):
        policy = world.encode([world.policy(observed=observed)])
        assert seal(machine, KEYS_ONLY, policy, GRANTS) == ACCEPTED
        assert machine.run(["true"], check=False).status == status
        machine.restore(KEYS_ONLY)


@pytest.mark.parametrize(
    "path", ["/proc/self/mem", "$(awk '$2 == \"/sysroot\" {print $1}' /proc/mounts)"]
)
def test_an_act_that_is_observed_is_not_denied(machine: Machine, path: str) -> None:
    """Opened for writing, and nothing written: by each of the two, and by neither. The status says
    which reasons are observed."""
    reasons = {
        ActSet.PTRACE: {"traced"},
        ActSet.BLOCK_DEVICES: {"device"},
        ActSet.TRACING: {"tracing"},
    }
    found = {}
    for acts in (ActSet.PTRACE, ActSet.BLOCK_DEVICES, ActSet.TRACING):
        policy = world.encode([world.policy(observed=kernel_policy.OBSERVABLE, observed_acts=acts)])
        assert seal(machine, KEYS_ONLY, policy, GRANTS) == ACCEPTED
        found[acts] = machine.run(f": >>{path}", check=False).status == 0
        lines = Gate(machine).status()
        said = {line.split()[1] for line in lines if line.startswith("observes ")}
        assert said == {one.value for one in kernel_policy.OBSERVABLE} | reasons[acts]
        machine.restore(KEYS_ONLY)
    of = ActSet.PTRACE if path.startswith("/proc") else ActSet.BLOCK_DEVICES
    assert found == {acts: acts is of for acts in found}


def test_modules_of_an_extension_are_taken_if_the_policy_says_so(machine: Machine) -> None:
    gate = Gate(machine)
    wanted = (Code.MODULE, Code.EXEC | Code.INTERPRETER, Code.EXEC | Code.JIT)
    found: dict[Code, list[int]] = {code: [] for code in wanted}
    for acts in (ActSet.EXTENSION_MODULES, ~ActSet.EXTENSION_MODULES):
        machine.restore(KEYS_ONLY)
        assert gate.send(world.encode([world.policy(observed_acts=acts)])) == (ACCEPTED,)
        for number, code in enumerate(wanted, 1):
            grants = Blob(serial=number, code=code_rows(0, 2, int(code))).encode()
            found[code] += gate.send(signed(grants, EXTENSION))
    machine.restore(KEYS_ONLY)
    refused = Refusal.FLAGS.number
    assert found.pop(Code.MODULE) == [ACCEPTED, refused]
    assert list(found.values()) == [[refused] * 2] * 2


# --- room ---------------------------------------------------------------------------------------


LOT = 100_000


def test_twice_a_hundred_thousand_digests(machine: Machine) -> None:
    """What the gate promises to hold: an OS and its next version without a digest in common."""
    machine.restore(READY)
    gate = Gate(machine)
    blobs = [
        Blob(serial=n, party=Party.VENDOR, role=Role.OS, stream=b"os", code=code_rows(first, LOT))
        for n, first in ((1, 2), (2, 2 + LOT))
    ]
    with machine.exchange() as (host, guest):
        (host / "fragments").write_bytes(b"".join(signed(b.encode(), OS) for b in blobs))
        # The two that tools grants are two too many.
        heard = gate.call(
            f"from={guest}/fragments", "next", "status", "next", "status", timeout_s=120
        )
        assert heard.answers == (ACCEPTED, Refusal.FULL.number)
        assert value(heard.statuses[0], "code") == value(heard.statuses[1], "code")
        assert gate.send(signed(Blob(serial=2).encode(), EXTENSION)) == (ACCEPTED,)
        steps = (f"from={guest}/fragments", "take", "next", "status")
        heard = gate.call(*steps, timeout_s=120)
    assert heard.answers == (ACCEPTED,)
    assert value(heard.statuses[0], "code") == "200000 200000"
    assert value(heard.statuses[0], "stream os") == "vendor os 2"


def test_a_thousand_and_twenty_four_programs_that_raise_privileges(machine: Machine) -> None:
    """One more is refused, and changes nothing."""
    machine.restore(READY)
    gate = Gate(machine)
    base = Blob(serial=1, party=Party.VENDOR, role=Role.OS, stream=b"os", code=code_rows(0, 1))
    for count, answer in ((1025, Refusal.FULL.number), (1024, ACCEPTED)):
        rows = tuple(ElevateRow(digest=digest(number)) for number in range(count))
        blob = replace(base, elevate=tuple(sorted(rows, key=lambda row: row.digest)))
        assert gate.send(signed(blob.encode(), OS)) == (answer,)
        assert value(gate.status(), "elevations") == f"{count if answer == ACCEPTED else 0} 1024"
