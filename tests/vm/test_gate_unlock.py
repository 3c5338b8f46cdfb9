# SPDX-License-Identifier: Apache-2.0
"""Unlock tokens: what the gate takes, what it refuses and why, and how an unlock ends.

Group 27 of docs/attacks.md. Each refusal has its own reason and uses nothing up; the control is the
token that differs from it in this one thing alone, which is taken right behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.boot import STRANGER, USER_ROOT
from tests.world import Signer
from verity.formats import challenge, gate_status
from verity.formats.gate_calls import Refusal
from verity.formats.gate_unlocks import UnlockState
from verity.formats.unlock import Scope

from . import gate_world as world
from .gate_blobs import Revoke, key_id, signed
from .gate_log import STATUS
from .gate_machine import ACCEPTED, AT, value
from .image import Image
from .unlock_machine import (
    LOOSE,
    PLAIN,
    REASON,
    SEALED,
    TWO,
    Locked,
    changed,
    counts,
    seal,
)

FIRST, SECOND, THIRD = world.UNLOCK
NONCE_AT, ID_AT, HOST_AT, SCOPE_AT, OPERAND_AT, ZERO_AT = 16, 48, 64, 104, 152, 408
REASON_AT, DURATION_AT = 120, 108
DAY = 86400


# --- refused ------------------------------------------------------------------------------------

Change = Callable[[bytes, int], bytes]


def put(at: int, new: bytes) -> Change:
    """Other bytes there; then signed."""
    return lambda token, _: changed(token, at, new)


def flip(at: int) -> Change:
    """Another bit there."""
    return lambda token, _: changed(token, at, bytes([token[at] ^ 1]))


def path(scope: Scope, text: bytes) -> Change:
    """Another scope, with this operand."""
    return lambda token, _: changed(
        changed(token, SCOPE_AT, scope.to_bytes(4, "little")), OPERAND_AT, text.ljust(256, b"\0")
    )


def before(seconds: int) -> Change:
    """To be applied so many seconds from now at most."""
    return lambda token, now: changed(token, 112, (now + seconds).to_bytes(8, "little"))


WRONG: dict[str, tuple[Change, Refusal]] = {
    "another kind": (put(0, b"\x93verity-grants1\0"), Refusal.KIND),
    "reserved bytes": (put(ZERO_AT + 7, b"\1"), Refusal.HEADER),
    "no nonce": (put(NONCE_AT, bytes(32)), Refusal.HEADER),
    "no id": (put(ID_AT, bytes(16)), Refusal.HEADER),
    "no host": (put(HOST_AT, bytes(32)), Refusal.HEADER),
    "no reason": (put(REASON_AT, bytes(32)), Refusal.HEADER),
    "another boot": (flip(NONCE_AT + 31), Refusal.NONCE),
    "a sibling host": (put(HOST_AT, b"\xc4"), Refusal.HOST),
    "an older policy": (put(96, (3).to_bytes(8, "little")), Refusal.POLICY_SERIAL),
    "a newer policy": (put(96, (5).to_bytes(8, "little")), Refusal.POLICY_SERIAL),
    "no policy": (put(96, bytes(8)), Refusal.HEADER),
    "no scope": (put(SCOPE_AT, bytes(4)), Refusal.SCOPE),
    "an unknown scope": (put(SCOPE_AT, b"\7"), Refusal.SCOPE),
    "a scope beyond all": (put(SCOPE_AT, b"\1\0\0\x80"), Refusal.SCOPE),
    "a zero digest": (put(OPERAND_AT, bytes(32)), Refusal.OPERAND),
    "more than a digest": (put(OPERAND_AT + 32, b"\1"), Refusal.OPERAND),
    "a session with an operand": (put(SCOPE_AT, b"\4"), Refusal.OPERAND),
    "off with an operand": (put(SCOPE_AT, b"\6"), Refusal.OPERAND),
    "longer than the policy": (put(DURATION_AT, (3601).to_bytes(4, "little")), Refusal.DURATION),
    "for a hundred years": (put(DURATION_AT, b"\xff" * 4), Refusal.DURATION),
    "too late": (before(0), Refusal.APPLY_BEFORE),
    "much too late": (put(112, (1).to_bytes(8, "little")), Refusal.APPLY_BEFORE),
    "good for more than a day": (before(DAY + 30), Refusal.APPLY_AHEAD),
    "good for ever": (put(112, (2**53 - 1).to_bytes(8, "little")), Refusal.APPLY_AHEAD),
    **{
        f"a bad path, {text[-20:]!r}": (path(Scope.CONFIG_PATH, text), Refusal.OPERAND)
        for text in (
            b"",
            b"/",
            b"etc/motd",
            b"/etc/",
            b"/etc//motd",
            b"/etc/./motd",
            b"/etc/../motd",
            b"/etc/..",
            b"/etc/.",
            b"/etc\0motd",
            b"/" + b"a" * 255,
        )
    },
    **{
        f"trust files, {scope.name.lower()} {text.decode()}": (path(scope, text), Refusal.OPERAND)
        for scope in (Scope.PATH_PREFIX, Scope.CONFIG_PATH)
        for text in (
            b"/etc/verity",
            b"/etc/verity/policy.d/50-own.toml",
            b"/usr/lib/verity",
            b"/usr/lib/verity/verity-load",
            b"/var/lib/verity/floors",
            b"/boot",
            b"/boot/efi",
            b"/sys/fs/bpf/verity/status",
        )
    },
}


def test_wrong_tokens(locked: Locked, digests: dict[str, bytes]) -> None:
    good = locked.token(Scope.DIGEST, digests["d"])
    now = int(locked.says("boot_clock_s"))
    bad = {name: signed(change(good, now), *TWO) for name, (change, _) in WRONG.items()}
    assert signed(good, *TWO) not in bad.values()
    all_refused(locked, bad, {name: refusal for name, (_, refusal) in WRONG.items()}, good)


def all_refused(
    locked: Locked, bad: Mapping[str, bytes], why: Mapping[str, Refusal], good: bytes
) -> None:
    """Each for its reason. Nothing is used up by that, and behind it the good one is taken."""
    steps = ("status", *["token"] * len(bad), "status", "token", "relock")
    fragments = b"".join([*bad.values(), signed(good, *world.UNLOCK)])
    heard = locked.gate.call(*steps, fragments=fragments)
    answers = dict(zip(bad, heard.answers, strict=False))
    assert answers == {name: refusal.number for name, refusal in why.items()}
    assert heard.answers[len(bad) :] == (ACCEPTED, ACCEPTED)
    assert heard.statuses[0] == heard.statuses[1]


WRONG_SIGNERS: dict[str, tuple[Sequence[Signer], Refusal]] = {
    "short of the threshold": ([FIRST], Refusal.THRESHOLD),
    "one owner with two keys": ([FIRST, world.UNLOCK_SECOND_KEY], Refusal.THRESHOLD),
    "one signature twice": ([SECOND, SECOND], Refusal.THRESHOLD),
    "one owner and a foreign key": ([SECOND, STRANGER], Refusal.THRESHOLD),
    "keys of another role": (world.ETC, Refusal.THRESHOLD),
    "the user's root": ([USER_ROOT], Refusal.THRESHOLD),
    "nobody": ([], Refusal.REQUEST),
}


def test_wrong_signers(locked: Locked, digests: dict[str, bytes]) -> None:
    good = locked.token(Scope.DIGEST, digests["d"])
    bad = {name: signed(good, *signers) for name, (signers, _) in WRONG_SIGNERS.items()}
    all_refused(locked, bad, {name: why for name, (_, why) in WRONG_SIGNERS.items()}, good)


ALTERED = {
    "id": ID_AT,
    "duration": DURATION_AT,
    "apply before": 112,
    "reason": REASON_AT,
    "operand": OPERAND_AT,
}


def test_altered_after_it_was_signed(locked: Locked, digests: dict[str, bytes]) -> None:
    """What still is a token for this host and boot is no signed one."""
    good = locked.token(Scope.DIGEST, digests["d"])
    fragment = signed(good, *TWO)
    bad = {
        name: changed(fragment, 8 + at, bytes([fragment[8 + at] ^ 1]))
        for name, at in ALTERED.items()
    }
    observing = changed(fragment, 8 + SCOPE_AT, b"\5")
    bad["scope"] = changed(observing, 8 + OPERAND_AT, bytes(32))
    all_refused(locked, bad, dict.fromkeys(bad, Refusal.THRESHOLD), good)


def test_the_policy_may_want_more_owners_than_the_keys(locked: Locked) -> None:
    token = locked.token(Scope.OFF)
    all_refused(locked, {"two": signed(token, *TWO)}, {"two": Refusal.THRESHOLD}, token)
    locked.machine.restore(SEALED)


def test_a_revoked_approver(locked: Locked, digests: dict[str, bytes]) -> None:
    """Their signature counts no more, from the revocation on."""
    token = locked.token(Scope.DIGEST, digests["d"])
    revoked = signed(Revoke(serial=1, keys=[key_id(FIRST)]).encode(), USER_ROOT)
    assert locked.gate.send(revoked) == (ACCEPTED,)
    bad = {"first": signed(token, FIRST, SECOND)}
    all_refused(locked, bad, {"first": Refusal.REVOKED_KEY}, token)
    locked.machine.restore(SEALED)


# --- taken once ---------------------------------------------------------------------------------


def test_a_token_is_taken_once(locked: Locked, digests: dict[str, bytes]) -> None:
    token = locked.token(Scope.DIGEST, digests["a"])
    used = int(locked.says("unlock_used").split()[0])
    assert locked.apply(token, SECOND, THIRD) == ACCEPTED
    assert locked.apply(token, SECOND, THIRD) == Refusal.USED.number
    # Nor with other signatures, nor with other contents under its id, nor when it is over.
    assert locked.apply(token, *TWO) == Refusal.USED.number
    other = locked.token(Scope.DIGEST, digests["b"])
    other = changed(other, ID_AT, token[ID_AT : ID_AT + 16])
    assert locked.apply(other, *TWO) == Refusal.USED.number
    status = gate_status.parse_status(locked.machine.run(["cat", STATUS]).stdout)
    taken = status.unlocks[-1]
    assert (taken.token_id, taken.scope) == (token[ID_AT : ID_AT + 16], Scope.DIGEST)
    assert (taken.reason, taken.operand) == (REASON, digests["a"])
    assert (taken.state, len(taken.owners)) == (UnlockState.LIVE, 2)
    assert taken.until_s - taken.applied_s == 300
    assert (status.unlocked, status.unlock_used.used, status.tainted) == (True, used + 1, False)
    assert locked.gate.call("relock").answers == (ACCEPTED,)
    assert locked.apply(token, SECOND, THIRD) == Refusal.USED.number
    status = gate_status.parse_status(locked.machine.run(["cat", STATUS]).stdout)
    assert (status.unlocked, status.unlocks[-1].state) == (False, UnlockState.RELOCKED)


def test_of_two_calls_at_once_one_has_it(locked: Locked, digests: dict[str, bytes]) -> None:
    used = int(locked.says("unlock_used").split()[0])
    token = signed(locked.token(Scope.DIGEST, digests["a"]), *TWO)
    answers = locked.gate.call("take", "race=16", "relock", fragments=token).answers
    assert answers == (ACCEPTED, *(Refusal.USED.number,) * 15, ACCEPTED)
    assert int(locked.says("unlock_used").split()[0]) == used + 1


def test_two_challenges_at_once(locked: Locked, digests: dict[str, bytes]) -> None:
    """Both are public state, and each token of both works once."""
    one, other = (locked.token(Scope.DIGEST, digests[name]) for name in "ab")
    assert (locked.apply(other), locked.apply(one)) == (ACCEPTED, ACCEPTED)
    assert locked.attempt(f"{AT}/a; {AT}/b").shown == "ran a\nran b"
    assert (locked.apply(other), locked.apply(one)) == (Refusal.USED.number,) * 2
    locked.gate.call("relock")


def test_after_another_load_it_is_for_another_boot(
    locked: Locked, gate_image: Image, gate_files: Path, digests: dict[str, bytes], tmp_path: Path
) -> None:
    """After a reboot, from a restored disk, in a clone with the same machine-id: a new nonce."""
    token = locked.token(Scope.DIGEST, digests["a"])
    nonce = locked.says("boot_nonce")
    locked.machine.restore(PLAIN)
    seal(locked.machine, gate_image, gate_files, tmp_path)
    assert locked.says("host_id") == world.HOST_ID.hex()
    assert locked.says("boot_nonce") not in (nonce, "0" * 64)
    assert locked.apply(token) == Refusal.NONCE.number
    assert locked.apply(locked.token(Scope.DIGEST, digests["a"])) == ACCEPTED
    locked.machine.restore(SEALED)


def test_the_status_is_a_challenge(locked: Locked) -> None:
    found = challenge.parse(locked.machine.run(["cat", STATUS], user="user").stdout)
    assert found.boot_nonce.hex() == locked.says("boot_nonce")
    assert found.host_id == world.HOST_ID


def test_a_drill_opens_nothing(locked: Locked, digests: dict[str, bytes]) -> None:
    drill = locked.token(Scope.DIGEST, digests["a"], duration_s=0)
    assert locked.apply(drill, FIRST) == Refusal.THRESHOLD.number
    assert locked.apply(drill) == ACCEPTED
    assert locked.apply(drill) == Refusal.USED.number
    status = gate_status.parse_status(locked.machine.run(["cat", STATUS]).stdout)
    assert status.drills[-1].token_id == drill[ID_AT : ID_AT + 16]
    assert not status.unlocked
    tried = locked.attempt(f"{AT}/a")
    assert (tried.shown, tried.of("denied")) == ("", [("not-granted", "exec")])


# --- ended --------------------------------------------------------------------------------------


def test_relock_of_one(locked: Locked, digests: dict[str, bytes]) -> None:
    one, other = (locked.token(Scope.DIGEST, digests[name]) for name in "ab")
    assert (locked.apply(one), locked.apply(other)) == (ACCEPTED, ACCEPTED)
    name = one[ID_AT : ID_AT + 16].hex()
    assert locked.gate.call(f"relock={'ee' * 16}").answers == (Refusal.NO_UNLOCK.number,)
    assert locked.gate.call(f"relock={name}").answers == (ACCEPTED,)
    assert locked.gate.call(f"relock={name}").answers == (Refusal.NO_UNLOCK.number,)
    assert locked.attempt(f"{AT}/a; {AT}/b").shown == "ran b"
    assert locked.gate.call("relock", "relock").answers == (ACCEPTED, ACCEPTED)
    assert locked.attempt(f"{AT}/a; {AT}/b").shown == ""


def test_it_ends_by_itself_whatever_the_clock_says(
    locked: Locked, digests: dict[str, bytes]
) -> None:
    """The boot clock can't be set, and the other one plays no part."""
    token = locked.token(Scope.DIGEST, digests["a"], duration_s=15)
    assert locked.apply(token) == ACCEPTED
    assert locked.attempt(f"{AT}/a").shown == "ran a"
    boottime = "import time; print('tried'); time.clock_settime(time.CLOCK_BOOTTIME, 1.0)"
    done = locked.machine.run(["python3", "-c", boottime], check=False)
    assert (done.text, done.status) == ("tried", 1)
    locked.machine.run("date -s @1000000 && sleep 16")
    tried = locked.attempt(f"{AT}/a")
    assert (tried.shown, tried.of("denied")) == ("", [("not-granted", "exec")])
    status = gate_status.parse_status(locked.machine.run(["cat", STATUS]).stdout)
    assert (status.unlocked, status.unlocks[-1].state) == (False, UnlockState.EXPIRED)
    assert locked.apply(token) == Refusal.USED.number


def test_relock_while_a_child_runs(locked: Locked) -> None:
    """What it started goes on, as what is mapped does, and starts nothing else."""
    loop = (
        f"touch /run/started; until [ -e /run/relocked ]; do sleep 0.1; done; {LOOSE}/a; echo end"
    )
    script = f"{LOOSE}/script"
    locked.machine.run(f"printf '#!/bin/sh\\n%s\\n' '{loop}' >{script}; chmod +x {script}")
    with locked.unlocked(Scope.PATH_PREFIX, LOOSE.encode()):
        locked.machine.start(f"{script} >/run/shown 2>&1; touch /run/over")
        locked.machine.run("until [ -e /run/started ]; do sleep 0.1; done")
    tried = locked.attempt(
        "touch /run/relocked; until [ -e /run/over ]; do sleep 0.1; done; cat /run/shown"
    )
    assert "end" in tried.shown and "ran a" not in tried.shown
    assert tried.of("denied") == [("no-digest", "exec")]


# --- noise --------------------------------------------------------------------------------------


def noise(locked: Locked, digests: dict[str, bytes], seed: int, count: int) -> None:
    """Mutations of a good token, which is taken afterwards."""
    token = signed(locked.token(Scope.DIGEST, digests["a"]), *TWO)
    before = locked.gate.status()
    argv = [f"{AT}/flood", "tokens", str(seed), str(count)]
    answers = counts(locked.machine.run(argv, input=token, timeout_s=660).text)
    assert sum(answers.values()) == count
    assert ACCEPTED not in answers
    assert set(answers) <= {refusal.number for refusal in Refusal}
    expected = (
        *(Refusal.REQUEST, Refusal.KIND, Refusal.HEADER, Refusal.NONCE, Refusal.HOST),
        *(Refusal.OPERAND, Refusal.TEMPLATE, Refusal.THRESHOLD),
    )
    assert [refusal for refusal in expected if refusal.number not in answers] == []
    assert locked.gate.status() == before
    assert locked.gate.call("token", "relock", fragments=token).answers == (ACCEPTED, ACCEPTED)


def test_noise(locked: Locked, digests: dict[str, bytes]) -> None:
    noise(locked, digests, 20260101, 500)


@pytest.mark.full
def test_much_noise(locked: Locked, digests: dict[str, bytes]) -> None:
    noise(locked, digests, 20260102, 100_000)


@pytest.mark.full
def test_there_is_room_for_256(locked: Locked, digests: dict[str, bytes]) -> None:
    """More are refused until the next boot, and all are told."""
    locked.machine.restore(SEALED)
    long = b"/opt/" + b"\xff" * 250
    drills = [signed(locked.token(Scope.PATH_PREFIX, long), *TWO) for _ in range(256)]
    heard = locked.gate.call(*["token"] * 256, fragments=b"".join(drills), timeout_s=120)
    assert set(heard.answers) == {ACCEPTED}
    more = locked.token(Scope.DIGEST, digests["a"])
    assert locked.apply(more) == Refusal.USED_FULL.number
    text = locked.machine.run(["cat", STATUS]).stdout
    status = gate_status.parse_status(text)
    assert len(status.unlocks) == 256
    assert {one.operand for one in status.unlocks} == {long}
    assert challenge.parse(text).host_id == world.HOST_ID
    assert value(text.decode().splitlines(), "unlock_used") == "256 256"
    locked.machine.restore(SEALED)
