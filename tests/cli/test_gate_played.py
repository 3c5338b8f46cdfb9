# SPDX-License-Identifier: Apache-2.0
"""The verbs on a gate that is played: no gate is ever loaded on this host.

`tests/gate_shim.c` answers the calls; the files are bind-mounted in the place of the kernel's, in a
mount namespace of the test's own.
"""

import errno

import pytest

from tests.cli.gate_host import Host
from tests.cli.program import assert_clean_error, needs_root
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


SEALS = "sed -i s/^state.observe/state\\ sealed/ /sys/fs/bpf/verity/status; echo state sealed"


@needs_root
def test_seal_a_gate_that_observes(host: Host) -> None:
    """The loader does it, which puts to the gate what runs already."""
    host.gate("observe")
    host.lockdown("integrity")
    host.loader(f"{SEALS}; echo 'verity-load: note: told' >&2")
    (host.root / "b").touch()
    done = host.as_root("lockdown", "seal", "--bundle", "b", answers=[3005] * 3)
    assert (done.status, done.err) == (0, "verity: note: verity-load: note: told\n")
    assert done.out.startswith("state: sealed\n")
    assert host.loads == ["--seal --bundle b"]
    assert set(host.calls) == {"1"}  # is there one


@needs_root
def test_seal_without_a_gate_loads_one_first(host: Host) -> None:
    host.lockdown("integrity")
    host.gate("observe")
    (host.root / "sys/fs/bpf/verity").rename(host.root / "later")
    pins = [f"--pin={host.root}/{name}" for name in ("p", "q")]
    for name in ("b", "p", "q"):
        (host.root / name).touch()
    load = f"[ $1 = --seal ] || {{ cp -r {host.root}/later /sys/fs/bpf/verity; exit 0; }}"
    host.loader(f"{load}; {SEALS}")
    answers = [22, 3005, 3005, 3005]
    done = host.as_root("lockdown", "seal", "--bundle=b", *pins, answers=answers)
    assert (done.status, done.err) == (0, "")
    first, then = host.loads
    assert "--until-seal" in first and then == "--seal --bundle b"


@needs_root
def test_what_runs_already_keeps_it_from_sealing(host: Host) -> None:
    host.gate("observe")
    host.loader("echo 'verity-load: error: sealed-late: process 7 (a) runs /b' >&2; exit 1")
    done = host.as_root("lockdown", "seal", answers=[3005])
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, ("sealed-late: process 7 (a) runs /b",), hint=False)


@needs_root
@pytest.mark.parametrize(
    ("why", "text", "says"),
    [
        ("policy", "-", "the signed policy says observe"),
        (
            "trial-over",
            "had\\x20its",
            "the trial had its one boot, and nobody has confirmed it: had",
        ),
    ],
)
def test_a_policy_that_seals_nothing(host: Host, why: str, text: str, says: str) -> None:
    host.gate("observe")
    said = f"verity-seal 1\\nstate observe\\nwhy {why}\\nserial 3\\ntext {text}\\n"
    host.loader(f"mount -t tmpfs none /run; mkdir /run/verity; printf '{said}' >/run/verity/seal")
    done = host.as_root("lockdown", "seal", answers=[3005] * 2)
    assert (done.status, done.out) == (1, "")
    assert_clean_error(done, (f"it goes on observing: {says}",), hint=True)


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
