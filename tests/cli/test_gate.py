# SPDX-License-Identifier: Apache-2.0
"""The verbs on a gate: without one, and with texts below another root."""

import os
from pathlib import Path

import pytest

from tests.cli.gate_host import DIGEST, Host
from tests.cli.program import assert_clean_error, needs_root, snapshot, verity
from tests.unit.formats.test_records import record
from verity.ports import kernel
from verity.ports.content import open_regular
from verity.values.errors import HostError

# --- without a gate -----------------------------------------------------------------------


@pytest.mark.parametrize("lesser", [False, pytest.param(True, marks=needs_root)])
def test_status_without_a_gate(tmp_path: Path, lesser: bool) -> None:
    done = verity("lockdown", "status", cwd=tmp_path, lesser=lesser)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[:2] == ["state: off", "level: none: no gate is loaded, nothing is refused"]
    assert [line.split(":")[0] for line in lines if line.startswith("back end ")] == [
        "back end gate",
        "back end ima",
        "back end fanotify",
    ]
    assert "attacks gate: not-covered 1-27" in lines
    as_json = verity("lockdown", "status", "--json", cwd=tmp_path, lesser=lesser)
    assert [one["type"] for one in as_json.records] == ["lockdown", "summary"]
    assert (as_json.records[0]["state"], as_json.records[0]["level"]) == ("off", "none")


@pytest.mark.parametrize("lesser", [False, pytest.param(True, marks=needs_root)])
@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("lockdown", "log"), ("denials: not there: no gate is loaded",)),
        (("explain", "--denial", "last"), ("denials: not there: no gate is loaded",)),
        (("lockdown", "observe"), ("/var/lib/verity/boot.bundle: does not exist",)),
        (("lockdown", "seal", "--bundle", "b"), ("b: does not exist",)),
        (("lockdown", "import", "fragment"), ("cannot call the gate: no gate is loaded",)),
        (("lockdown", "import", "nothing"), ("nothing: does not exist",)),
    ],
)
def test_without_a_gate(
    tmp_path: Path, args: tuple[str, ...], words: tuple[str, ...], lesser: bool
) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        folder.chmod(folder.stat().st_mode | 0o011)
    (tmp_path / "fragment").write_bytes(record(4, b"blob") + record(16, b"signature"))
    before = snapshot(tmp_path)
    done = verity(*args, cwd=tmp_path, lesser=lesser)
    assert (done.status, done.out) == (3, "")
    assert_clean_error(done, words, hint=True)
    as_json = verity(*args, "--json", cwd=tmp_path, lesser=lesser)
    assert as_json.status == 3
    assert [one["type"] for one in as_json.records] == ["error"]
    assert snapshot(tmp_path) == before


def test_a_pin_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    done = verity("lockdown", "observe", "--bundle=b", "--pin=p", cwd=tmp_path)
    assert done.status == 3
    assert_clean_error(done, ("p: does not exist",), hint=True)
    assert "lockdown pin" in done.err


def test_a_batch_goes_on_and_then_fails(tmp_path: Path) -> None:
    (tmp_path / "damaged").write_bytes(record(4, b"x")[:-1])
    done = verity("lockdown", "import", "damaged", "gone", cwd=tmp_path)
    assert done.status == 1
    assert "damaged: record 0 at 0: 1 bytes stated, 0 are left" in done.err
    assert "gone: does not exist" in done.err


# --- texts below another root ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "lockdown", "status", "shown", "level"),
    [
        ("loading", "integrity", 0, "loading", "none"),
        ("observe", "integrity", 0, "observe", "none"),
        ("sealed", "integrity", 0, "sealed", "B0"),
        ("sealed", "confidentiality", 0, "sealed", "B0"),
        ("sealed", "none", 1, "sealed-weak", "none"),
        ("sealed", None, 3, "sealed", "none"),
    ],
)
def test_what_a_state_is_worth(
    host: Host, state: str, lockdown: str | None, status: int, shown: str, level: str
) -> None:
    host.gate(state)
    if lockdown is not None:
        host.lockdown(lockdown)
    done = host.verity("lockdown", "status")
    assert (done.status, done.err) == (status, "")
    lines = done.out.splitlines()
    assert lines[0] == f"state: {shown}"
    assert lines[1].startswith(f"level: {level}: ")
    claim = "level: B0: holds until reboot; what started before the load was not checked"
    assert (claim in lines) is (level == "B0")
    (record,) = host.verity("lockdown", "status", "--json").of_type("lockdown")
    assert (record["state"], record["level"], record["kernel_lockdown"]) == (shown, level, lockdown)
    doctor = verity("doctor", cwd=host.root)
    assert "no       assurance level: none: no gate is loaded" in doctor.out


def test_status_tells_all_of_it(host: Host) -> None:
    host.gate("observe", mode="trial", foreign=1)
    out = host.verity("lockdown", "status", "--all").out
    for line in (
        "policy: serial 3, mode trial",
        "only observed by policy: writable",
        "keys: vendor version 1",
        "stream: debian-trixie (vendor os), serial 7",
        "stream: ours (user extension), nothing imported",
        "stream: withdrawn (user extension), serial 4, revoked",
        "code: 70000 of 120000 digests",
        "elevations: 12 of 4096",
        "configuration: 3 of 8192 paths",
        "revocations: user root, serial 2",
        "revoked keys: 0 of 1024",
        "revoked digests: 5 of 8192",
        "foreign programs: 1",
        "refusals: 2 denied, 1 observed, 0 lost",
        "reason: no-digest 1",
    ):
        assert f"\n{line}\n" in out
    (record,) = host.verity("lockdown", "status", "--json").of_type("lockdown")
    assert record["streams"][0] == {
        "name": "debian-trixie",
        "party": "vendor",
        "role": "os",
        "serial": 7,
        "revoked": False,
    }
    assert [stream["revoked"] for stream in record["streams"]] == [False, False, True]
    assert record["revocations"] == [{"party": "user", "role": "root", "serial": 2}]
    assert record["revoked_keys"] == {"used": 0, "capacity": 1024}
    assert record["revoked_digests"] == {"used": 5, "capacity": 8192}
    assert record["reasons"] == {"no-digest": 1}


def test_what_is_covered(host: Host) -> None:
    host.gate("sealed")
    host.lockdown("integrity")
    lines = host.verity("lockdown", "status", "--all").out.splitlines()
    (short,) = (line for line in lines if line.startswith("attacks gate: "))
    assert short.startswith(
        "attacks gate: stopped 1-6 8-11 13-16 18 21-25; partly 7 12 17 19-20 26; "
    )
    long = host.verity("lockdown", "status", "--coverage").out.splitlines()
    assert (
        "attack 7 gate: partly: memory made executable: mprotect, dirty pages, anonymous, shmat"
        " (the policy only observes writable)" in long
    )
    assert len([line for line in long if line.startswith("attack ")]) == 3 * 27
    done = host.verity("lockdown", "status", "--coverage", "--json")
    each = [one for one in done.of_type("coverage") if one["backend"] == "gate"]
    assert [one["number"] for one in each] == list(range(1, 28))
    (record,) = done.of_type("lockdown")
    numbers = record["backends"][0]["attacks"]
    assert numbers["partly"] == [7, 12, 17, 19, 20, 26]
    for stance, found in numbers.items():
        assert [one["number"] for one in each if one["stance"] == stance] == found
    host.lockdown("none")
    assert "\nattacks gate: stopped" not in host.verity("lockdown", "status", "--all").out


def test_where_a_host_stands_in_ten_lines(host: Host) -> None:
    host.gate("observe", mode="trial")
    host.lockdown("none")
    serial = b"verity-trial 1\nserial 3\nboot 0b1c2d3e-0000-4000-8000-000000000001\n"
    host.put("var/lib/verity/trial", serial.decode())
    text = "policy\\x20serial\\x203\\x20had\\x20its\\x20trial"
    said = f"verity-seal 1\nstate observe\nwhy trial-over\nserial 3\ntext {text}\n"
    host.put("run/verity/seal", said)
    lines = host.verity("lockdown", "status").out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        *("state", "level", "kernel lockdown", "policy", "refusals"),
        *("why", "next boot", "last boots", "unlocks", "next"),
    ]
    found = dict(line.split(": ", 1) for line in lines)
    assert found["why"].startswith(
        "the trial had its one boot, and nobody has confirmed it: policy"
    )
    assert found["next boot"] == "off: there is no boot bundle"
    assert found["next"] == "`verity lockdown init` makes this host ready"
    (record,) = host.verity("lockdown", "status", "--json").of_type("lockdown")
    trial = {"serial": 3, "boot": "0b1c2d3e000040008000000000000001"}
    assert record["trial"] == {**trial, "came_up": False}
    assert record["seal"]["why"] == "trial-over"
    assert record["next_boot"] is None


def test_at_b1_a_bundle_that_is_gone_is_not_the_end(host: Host) -> None:
    """The initramfs takes the one with which the host came up; at B0 nothing does."""
    confirmed = host.root / "var/lib/verity/confirmed/boot.bundle"
    host.put(str(confirmed.relative_to(host.root)), "x")
    entered = "sealed_ms 9\ninitial_root 2\nentered_ms 10\nsurvivors 0\nboot_chain 1 0\n"
    for text, begins, advice in (
        ("", "off: there is no boot bundle", "`verity lockdown init` makes this host ready"),
        (entered, "the boot bundle is gone, and the initramfs", "put it back: cp /var/lib/verity/"),
    ):
        host.gate("sealed")
        status = host.root / "sys/fs/bpf/verity/status"
        status.write_text(status.read_text() + text)
        lines = host.verity("lockdown", "status").out.splitlines()
        found = dict(line.split(": ", 1) for line in lines if ": " in line)
        assert found["next boot"].startswith(begins), found
        assert found["next"].startswith(advice), found


def test_an_update_that_was_taken_back_is_told(host: Host) -> None:
    host.gate("observe")
    assert (
        host.verity("lockdown", "status", "--json").of_type("lockdown")[0]["refused_update"] is None
    )
    host.put("var/lib/verity/refused/why", "the kernel doesn't load \x1b[2J\n")
    out = host.verity("lockdown", "status").out
    assert "; the last update was refused: the kernel doesn't load \\x1b[2J\n" in out
    host.put("var/lib/verity/refused/why", "x" * 5000)
    assert "; the last update was refused: " in host.verity("lockdown", "status").out


def test_what_ran_before_the_seal_is_named(host: Host) -> None:
    host.gate("observe")
    said = "verity-seal 1\nstate observe\nwhy late\nserial 3\ntext -\n"
    host.put("run/verity/seal", said + "late 12 agent /opt/agent no-digest\n")
    out = host.verity("lockdown", "status").out
    assert "would be refused: process 12 (agent) runs /opt/agent: no-digest\n" in out
    host.put("run/verity/seal", "verity-seal 1\n")
    assert (
        "why: the loader's word on the seal is damaged\n" in host.verity("lockdown", "status").out
    )


def test_a_hostile_status(host: Host) -> None:
    host.put("sys/fs/bpf/verity/status", "version 2\nstate \x1b[2Jsealed\n")
    done = host.verity("lockdown", "status")
    assert done.status == 1
    assert "FINDING  bad-gate-status  the gate: gate status line 2 (state): expected" in done.out
    assert done.out.startswith("state: unknown\nlevel: none: ")
    assert "\x1b" not in done.out + done.err


def test_log(host: Host) -> None:
    host.gate("sealed")
    done = host.verity("lockdown", "log")
    assert done.status == 0
    assert done.out.splitlines() == [
        "1 12.034s observed no-digest exec uid 0 pid 812 tool /opt/tool",
        rf"2 12.100s denied not-granted exec uid 0 pid 813 a\x20b /opt/t\xe9\x0a sha256:{DIGEST}",
        r"9 13.000s denied anonymous map uid 0 pid 900 \x1b[2J",
    ]
    assert done.err == "verity: note: 6 denials between these were more than the gate keeps\n"
    assert host.verity("lockdown", "log", "--since", "9").out == ""
    records = host.verity("lockdown", "log", "--since", "1", "--json").records
    assert [one["seq"] for one in records] == [2, 9]
    assert records[0]["digest"] == f"sha256:{DIGEST}"
    assert records[0]["path_base64"] == "L29wdC906Qo="
    assert (records[0]["comm"], records[1]["comm"], records[1]["path"]) == ("a b", "\x1b[2J", None)


def test_a_hostile_log(host: Host) -> None:
    host.put("sys/fs/bpf/verity/denials", "1 2 denied anonymous map 0 1 \x1b - -\n")
    for args in (("lockdown", "log"), ("explain", "--denial", "1")):
        done = host.verity(*args)
        assert (done.status, done.out) == (1, "")
        assert_clean_error(done, ("gate denials line 1", "not escaped"), hint=True)


def test_explain_a_file_without_fs_verity(host: Host) -> None:
    host.gate("sealed")
    host.put("opt/tool", "x")
    done = host.verity("explain", "--denial", "1")
    assert (done.status, done.err) == (0, "")
    assert "outcome    logged only: the gate was observing" in done.out
    assert "why        the file has no fs-verity, so nobody vouches for its contents" in done.out
    assert "file now   same: has no fs-verity, as when it was refused" in done.out
    assert "way out    verity enable /opt/tool\n" in done.out


@pytest.mark.parametrize("which", ["9", "last"])
def test_explain_what_has_no_file(host: Host, which: str) -> None:
    host.gate("sealed")
    (record,) = host.verity("explain", "--denial", which, "--json").of_type("explained-denial")
    assert (record["seq"], record["now"], record["reason"]) == (9, "no-file", "anonymous")
    assert record["remedies"] == [
        "if it must make code at run time, have the policy list its program as jit, and its commit"
        " signed by that: verity commit sign --policy",
        "if its user is an ordinary one: it gave privileges up while others shared its memory; have"
        " it execute a program after that, or give them up before it starts threads",
    ]


def test_explain_a_file_that_is_gone_or_another(host: Host) -> None:
    host.gate("sealed")
    args = ("explain", "--denial", "2")
    assert "file now   gone: nothing has this name now\n" in host.verity(*args).out
    path = os.fsencode(host.root) + b"/opt/t\xe9\n"
    host.put("opt/other", "x")
    os.rename(host.root / "opt/other", path)
    fd = open_regular(os.fsdecode(path))
    try:
        measured = None
        try:
            kernel.enable(fd, label="f")
            measured = kernel.measure(fd, label="f")
        except HostError:
            measured = None  # a file system without fs-verity: also another answer than then
    finally:
        os.close(fd)
    out = host.verity(*args).out
    said = "has no fs-verity" if measured is None else f"the kernel says {measured}"
    assert f"file now   changed: {said}; when it was refused it was sha256:{DIGEST}" in out


def test_explain_never_leaves_the_root(host: Host) -> None:
    line = "1 2 denied no-digest exec 0 1 x - /opt/../../../../../etc/passwd\n"
    host.put("sys/fs/bpf/verity/denials", line)
    done = host.verity("explain", "--denial", "1")
    assert "file now   no-file: there is no file to ask" in done.out


@pytest.mark.parametrize(
    ("args", "status", "word"),
    [
        (("--denial", "3"), 3, "denial 3 is not in the gate's log: it has 3, up to 9"),
        (("--denial", "x"), 2, "neither a number nor 'last'"),
        (("--denial", "-1"), 2, "neither a number nor 'last'"),
        (("--denial", "1", "/usr/bin/sudo"), 2, "--denial takes no PATH"),
        (("--denial", "1", "--key", "k"), 2, "--denial takes no PATH"),
        (("/usr/bin/sudo",), 3, "/usr/bin/sudo: the gate's log has no denial of it"),
        (("4000000000",), 3, "process 4000000000: the gate's log has no denial of it"),
        (("--commit", "c", "/usr/bin/sudo"), 2, "Missing option '--repo'"),
        (("--repo", "r", "/x"), 2, "Missing option '--commit'"),
        (("--denial", "1", "--pin", "k"), 2, "--denial takes no PATH"),
        (("--repo", "r", "--commit", "c", "--key", "k"), 2, "Missing argument 'PATH'"),
    ],
)
def test_what_explain_refuses(host: Host, args: tuple[str, ...], status: int, word: str) -> None:
    host.gate("sealed")
    done = host.verity("explain", *args)
    assert (done.status, done.out) == (status, "")
    assert_clean_error(done, (word,), hint=True)


def test_an_empty_log(host: Host) -> None:
    host.put("sys/fs/bpf/verity/denials", "")
    log = host.verity("lockdown", "log")
    assert (log.status, log.out, log.err) == (0, "", "")
    assert "nothing was refused so far" in host.verity("explain", "--denial", "last").err
