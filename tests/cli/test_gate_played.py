# SPDX-License-Identifier: Apache-2.0
"""The verbs on a gate that is played: no gate is ever loaded on this host.

`tests/gate_shim.c` answers the calls; the files are bind-mounted in the place of the kernel's, in a
mount namespace of the test's own.
"""

import errno

import pytest

from tests.cli.gate_host import Host
from tests.cli.program import assert_clean_error, needs_root, snapshot
from tests.unit.formats.test_records import record


@needs_root
def test_a_status_without_a_gate_is_forged(host: Host) -> None:
    host.gate("sealed")
    host.lockdown("integrity")
    done = host.as_root("lockdown", "status", answers=None)
    assert done.status == 1
    assert done.out.startswith("state: unknown\nlevel: none: the gate's state is unknown\n")
    assert "FINDING  forged-status" in done.out
    for args in (("lockdown", "log"), ("lockdown", "seal"), ("explain", "--denial", "1")):
        refused = host.as_root(*args, answers=None)
        assert (refused.status, refused.out) == (1, "")
        assert "somebody put it there" in refused.err
    assert "no       assurance level: none can be" in host.as_root("doctor", answers=None).out


@needs_root
@pytest.mark.parametrize("answer", [3001, 3002, errno.EPERM])
def test_a_gate_without_a_status_is_unknown(host: Host, answer: int) -> None:
    done = host.as_root("lockdown", "status", answers=[answer] * 4)
    assert done.status == 3
    assert done.out.startswith("state: unknown\n")
    assert "NOT EVALUATED  hidden-status" in done.out
    refused = host.as_root("lockdown", "seal", answers=[answer] * 4)
    assert (refused.status, refused.out) == (3, "")


@needs_root
def test_seal_a_gate_that_observes(host: Host) -> None:
    host.gate("observe")
    host.lockdown("none")
    done = host.as_root("lockdown", "seal", answers=[3005, 3000, 3005])
    assert (done.status, done.err) == (0, "")
    assert host.calls == ["1", "4", "1"]  # is there one, seal, is there one
    assert (host.root / "sys/kernel/security/lockdown").read_text().startswith("integrity")


@needs_root
@pytest.mark.parametrize(("mode", "foreign"), [("observe", 0), ("none", 0), ("sealed", 1)])
def test_a_seal_that_will_be_refused_leaves_lockdown_alone(
    host: Host, mode: str, foreign: int
) -> None:
    host.gate("observe", mode=mode, foreign=foreign)
    host.lockdown("none")
    before = snapshot(host.root / "sys")
    done = host.as_root("lockdown", "seal", answers=[3005, 3041 if foreign else 3042])
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("the seal: the gate refuses it",), hint=True)
    assert snapshot(host.root / "sys") == before


@needs_root
def test_a_seal_without_lockdown_is_made_and_told(host: Host) -> None:
    host.gate("observe")
    done = host.as_root("lockdown", "seal", answers=[3005, 3000, 3005])
    assert done.status == 0
    assert "note: the kernel's lockdown stays as it is: " in done.err
    assert host.calls == ["1", "4", "1"]


@needs_root
def test_steps_that_are_done_already(host: Host) -> None:
    host.lockdown("integrity")
    host.gate("sealed")
    sealed = host.as_root("lockdown", "seal", answers=[3005, 3005])
    assert (sealed.status, "sealed already, until reboot" in sealed.err) == (0, True)
    refused = host.as_root("lockdown", "observe", answers=[3005])
    assert (refused.status, refused.out) == (1, "")
    host.gate("observe")
    observing = host.as_root("lockdown", "observe", answers=[3005, 3005])
    assert (observing.status, "loaded already, and observes" in observing.err) == (0, True)
    host.gate("loading")
    for verb in ("observe", "seal"):
        half = host.as_root("lockdown", verb, answers=[3005])
        assert (half.status, half.out) == (3, "")
    assert "4" not in host.calls


@needs_root
def test_import(host: Host) -> None:
    blob = b"not looked at" * 3000
    data = record(4, blob) + record(16, b"one") + record(16, b"two")
    (host.root / "f").write_bytes(data + data)
    done = host.as_root("lockdown", "import", "f", answers=[])
    assert (done.status, done.err) == (0, "")
    assert done.out == "f: grants of 39000 bytes with 2 signatures: accepted\n" * 2
    assert host.calls == ["0", "1", "1", "2"] * 2
    as_json = host.as_root("lockdown", "import", "f", "--json", answers=[3000] * 4 + [3004])
    assert as_json.status == 3
    assert [one["type"] for one in as_json.records] == ["imported", "error"]
    assert as_json.records[1]["code"] == "gate-busy"


@needs_root
def test_the_reason_of_a_refusal(host: Host) -> None:
    (host.root / "f").write_bytes(record(4, b"blob") + record(16, b"sig"))
    done = host.as_root("lockdown", "import", "f", answers=[3000, 3000, 3032])
    assert (done.status, done.out) == (1, "")
    words = ("f: blob 1 (grants): the gate refuses it (threshold): fewer distinct owners",)
    assert_clean_error(done, words, hint=True)
