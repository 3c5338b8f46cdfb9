# SPDX-License-Identifier: Apache-2.0
"""The posture of hosts as their kernels' files show them, and of this machine."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.formats.test_gate_status import STATUS
from tests.unit.trust.test_policy import ANN, ONE, signed
from tests.unit.verbs.running_world import grants
from verity.formats.gate_status import VERSION, State
from verity.formats.grants import Code
from verity.ports import canary
from verity.trust.policy import VerifiedPolicy, verify_policy
from verity.values.audit import AreaResult
from verity.values.errors import HostError
from verity.verbs import audit_posture
from verity.verbs.audit_host import AuditedHost

_OPENED = (b"unlock ", b"drill ", b"taint ")  # lines of what this boot has taken
SEALED = b"".join(
    line
    for line in STATUS.replace(b"trial", b"sealed").splitlines(keepends=True)
    if line != b"observes writable\n" and not line.startswith(_OPENED)
)
EFI = "sys/firmware/efi/efivars"
SECURE = f"{EFI}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
SHIM = f"{EFI}/MokSBStateRT-605dab50-e046-4300-abb6-3dd810dd8b23"
ROOT_MOUNT = "20 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n"
FILES: dict[str, bytes] = {
    "sys/fs/bpf/verity/status": SEALED,
    "sys/kernel/security/lockdown": b"none [integrity] confidentiality\n",
    "sys/kernel/security/lsm": b"lockdown,capability,bpf\n",
    "sys/kernel/kexec_loaded": b"0\n",
    "sys/kernel/kexec_crash_loaded": b"0\n",
    "sys/module/module/parameters/sig_enforce": b"N\n",
    SECURE: b"\6\0\0\0\1",
    "proc/modules": b"",
    "proc/swaps": b"Filename Type Size Used Priority\n/dev/zram0 partition 1 0 -2\n",
    "proc/cmdline": b'BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro quiet dyndbg="file x +p"\n',
    "proc/sys/kernel/ftrace_enabled": b"1\n",
    "proc/sys/kernel/perf_event_paranoid": b"3\n",
    "proc/sys/kernel/unprivileged_bpf_disabled": b"2\n",
    "proc/self/mountinfo": ROOT_MOUNT.encode(),
}


def put(root: Path, name: str, data: bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host that is sealed as it should be; its kernel refuses the canary."""
    for name, data in FILES.items():
        put(tmp_path, name, data)
    monkeypatch.setattr(canary, "refused", lambda: True)
    return tmp_path


def asked(root: Path, policy: VerifiedPolicy | None = None) -> AreaResult:
    return audit_posture.examine(
        AuditedHost(
            root=root,
            live=True,
            now=0,
            clock=0,
            policy=policy,
            grants=(grants({bytes(32): Code.EXEC}),),
        )
    )


def found(result: AreaResult) -> list[str]:
    return [one.check for one in result.findings]


def test_a_sealed_host_as_it_should_be(root: Path) -> None:
    result = asked(root)
    assert found(result) == []
    assert result.not_evaluated == ()
    assert set(result.not_applicable) == {
        "posture-gate-policy",
        "posture-ima",
        "posture-mount-over",
    }


def _is(name: str, data: bytes | str) -> Callable[[Path], None]:
    data = data.encode() if isinstance(data, str) else data
    return lambda root: put(root, name, data)


def _says(old: bytes, new: bytes) -> Callable[[Path], None]:
    assert old in SEALED
    return _is("sys/fs/bpf/verity/status", SEALED.replace(old, new))


def _boots_with(words: str) -> Callable[[Path], None]:
    return _is("proc/cmdline", FILES["proc/cmdline"].decode().strip() + f" {words}\n")


def _mounted(line: str) -> Callable[[Path], None]:
    return _is("proc/self/mountinfo", ROOT_MOUNT + line + "\n")


def _unlocked_kernel(root: Path) -> None:
    put(root, "sys/kernel/security/lockdown", b"[none] integrity\n")
    put(root, "sys/module/module/parameters/sig_enforce", b"Y\n")


def _swap(root: Path) -> None:
    put(root, "proc/swaps", FILES["proc/swaps"] + b"/dev/dm-0 partition 1 0 -2\n")
    put(root, "sys/block/dm-0/dm/uuid", b"LVM-x\n")


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "observes": (_says(b"state sealed", b"state observe"), "posture-gate"),
    "loading": (_says(b"state sealed", b"state loading"), "posture-gate"),
    "another version": (_says(b"version %d" % VERSION, b"version 3"), "posture-gate-version"),
    "only logs": (_says(b"observes device\n", b"observes not-granted\n"), "posture-observed"),
    "ftrace": (_is("proc/sys/kernel/ftrace_enabled", "0\n"), "posture-ftrace"),
    "lockdown": (_unlocked_kernel, "posture-lockdown"),
    "Secure Boot": (_is(SECURE, b"\6\0\0\0\0"), "posture-secure-boot"),
    "shim": (_is(SHIM, b"\6\0\0\0\1"), "posture-secure-boot"),
    "kexec": (_is("sys/kernel/kexec_loaded", "1\n"), "posture-kexec"),
    "crash kernel": (_is("sys/kernel/kexec_crash_loaded", "1\n"), "posture-kexec"),
    "swap": (_swap, "posture-swap"),
    "swap file": (
        _is("proc/swaps", FILES["proc/swaps"] + b"/swap\\040file file 1 0 -2\n"),
        "posture-swap",
    ),
    "paranoid": (_is("proc/sys/kernel/perf_event_paranoid", "-1\n"), "posture-hardening"),
    "bpf": (_is("proc/sys/kernel/unprivileged_bpf_disabled", "0\n"), "posture-hardening"),
    "mitigations": (_boots_with("mitigations=off"), "posture-hardening"),
    "nokaslr": (_boots_with("nokaslr"), "posture-hardening"),
    "init": (_boots_with("init=/bin/sh"), "posture-command-line"),
    "init quoted": (_boots_with('"init=/bin/sh"'), "posture-command-line"),
    "rd.break": (_boots_with("rd.break"), "posture-command-line"),
    "debug-shell": (_boots_with("systemd.debug-shell"), "posture-command-line"),
    "debug-shell 1": (_boots_with("systemd.debug_shell=1"), "posture-command-line"),
    "lsm": (_boots_with("lsm=lockdown,yama"), "posture-command-line"),
    "lockdown=none": (_boots_with("lockdown=none"), "posture-command-line"),
    "unsigned modules": (_boots_with("module.sig-enforce=0"), "posture-command-line"),
    "masked": (_boots_with("systemd.mask=verity-gate.service"), "posture-command-line"),
    "tmp": (
        _mounted("30 20 0:30 / /tmp rw,nodev,noexec - ext4 /dev/vda2 ro"),
        "posture-mount-options",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_found_by_its_check_and_nothing_else(root: Path, name: str) -> None:
    change, check = CHANGES[name]
    change(root)
    result = asked(root)
    assert found(result) == [check]
    (one,) = result.findings
    assert one.expected and one.found and one.remedy
    assert all(text.isprintable() for text in (one.object, one.found, one.remedy))
    assert result.not_evaluated == ()


@pytest.mark.parametrize(
    "words",
    [
        *("break=premount", "systemd.run=/var/x", "systemd.wants=debug-shell.service"),
        *("systemd.setenv=LD_PRELOAD=/var/x.so", "systemd.volatile=yes"),
        "systemd.set_credential=systemd.extra-unit.x.service:text",
    ],
)
def test_words_that_run_something_else(root: Path, words: str) -> None:
    put(root, "proc/cmdline", f"ro {words} quiet\n".encode())
    assert found(asked(root)) == ["posture-command-line"]


@pytest.mark.parametrize(
    "words",
    ["init=/usr/lib/systemd/systemd", "lsm=lockdown,bpf", "systemd.debug_shell=0", "apparmor=1"],
)
def test_words_that_harm_nothing(root: Path, words: str) -> None:
    _boots_with(words)(root)
    assert found(asked(root)) == []


def test_encrypted_swap(root: Path) -> None:
    _swap(root)
    put(root, "sys/block/dm-0/dm/uuid", b"CRYPT-LUKS2-x\n")
    assert found(asked(root)) == []


def test_both_lockdown_and_module_signatures(root: Path) -> None:
    put(root, "sys/kernel/security/lockdown", b"[none] integrity\n")
    assert found(asked(root)) == ["posture-lockdown", "posture-module-signatures"]


def test_the_policy_of_the_host(root: Path) -> None:
    policy = verify_policy(signed(ANN), ONE)
    assert policy.policy.serial != 3
    assert "posture-gate-policy" in found(asked(root, policy))
    same = _says(b"policy_serial 3", b"policy_serial %d" % policy.policy.serial)
    same(root)
    assert "posture-gate-policy" not in found(asked(root, policy))


@pytest.mark.parametrize(
    ("line", "hides"),
    [
        ("30 20 0:30 / /etc rw,nosuid - tmpfs tmpfs ro", True),
        ("30 20 254:1 /home/x /etc/ssh rw,nosuid - ext4 /dev/vda1 ro", True),
        ("30 20 254:1 /etc /etc rw,nosuid - ext4 /dev/vda1 ro", False),
        ("30 20 254:2 / /home rw,nosuid,nodev - ext4 /dev/vda2 ro", False),
        ("30 20 0:30 / /run rw,nosuid - tmpfs tmpfs ro", False),
    ],
)
def test_what_is_mounted_over_guarded_places(root: Path, line: str, hides: bool) -> None:
    _mounted(line)(root)
    policy = verify_policy(signed(ANN), ONE)
    assert ("posture-mount-over" in found(asked(root, policy))) is hides


def test_other_file_systems_are_walked(root: Path) -> None:
    """The place below the root is a directory, and any file system is as good as another."""
    place = root / "srv"
    place.mkdir()
    for name, mode in (
        ("plain", 0o755),
        ("set\nuid", 0o4755),
        ("setgid", 0o2711),
        ("lock", 0o2644),
    ):
        (place / name).write_bytes(b"x")
        (place / name).chmod(mode)
    (place / "capable").write_bytes(b"x")
    (place / "capable").chmod(0o755)
    subprocess.run(["setcap", "cap_net_raw+p", place / "capable"], check=True)
    (place / "link").symlink_to("/usr/bin/su")
    line = "30 20 {} / /srv {} - ext4 /dev/vdb {}"
    _mounted(line.format("254:9", "rw", "rw"))(root)
    result = asked(root)
    assert found(result) == ["posture-other-files"] * 3
    names = {os.fsencode(place / name) for name in ("set\nuid", "setgid", "capable")}
    assert {one.path for one in result.findings} == names
    for device, options, of_all in (
        ("254:9", "rw,nosuid", "rw"),
        ("254:9", "ro", "rw"),
        ("254:9", "rw", "ro"),
        ("254:1", "rw", "rw"),  # the root's own, which the areas files and code look at
    ):
        _mounted(line.format(device, options, of_all))(root)
        assert found(asked(root)) == []


def test_of_the_network_nothing_is_walked_and_it_is_said(root: Path) -> None:
    _mounted("30 20 0:40 / /srv rw - nfs4 server:/x rw")(root)
    (gap,) = asked(root).not_evaluated
    assert (gap.check, gap.object) == ("posture-other-files", "/srv")


def test_sealed_and_the_canary_runs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's kernel has no gate, so the real canary is not refused here."""
    monkeypatch.undo()
    assert canary.refused() is False
    assert found(asked(root)) == ["posture-canary"]


def test_a_canary_that_can_not_be_tried(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable() -> bool:
        raise HostError("no-probe", "the canary can't be tried", hint="vm.memfd_noexec")

    monkeypatch.setattr(canary, "refused", unable)
    (gap,) = asked(root).not_evaluated
    assert (gap.check, gap.hint) == ("posture-canary", "vm.memfd_noexec")


def test_a_status_that_can_not_be_read_passes_for_nothing(root: Path) -> None:
    put(root, "sys/fs/bpf/verity/status", b"state sealed\n")
    result = asked(root)
    assert found(result) == ["posture-gate-status"]
    gaps = {gap.check for gap in result.not_evaluated}
    assert {"posture-gate", "posture-canary", "posture-ftrace"} <= gaps


def test_what_is_missing_is_a_gap(root: Path) -> None:
    for name in ("proc/cmdline", "proc/self/mountinfo", "sys/kernel/security/lockdown", SECURE):
        (root / name).unlink()
    gaps = {gap.check for gap in asked(root).not_evaluated}
    assert gaps == {
        "posture-command-line",
        "posture-hardening",
        "posture-mount-over",
        "posture-mount-options",
        "posture-other-files",
        "posture-lockdown",
        "posture-secure-boot",
    }


@pytest.mark.parametrize(
    ("name", "checks"),
    [
        ("proc/cmdline", {"posture-command-line", "posture-hardening"}),
        ("proc/sys/kernel/perf_event_paranoid", {"posture-hardening"}),
        ("proc/swaps", {"posture-swap"}),
        ("sys/kernel/kexec_loaded", {"posture-kexec"}),
        (
            "proc/self/mountinfo",
            {"posture-mount-over", "posture-mount-options", "posture-other-files"},
        ),
    ],
)
def test_what_can_not_be_read_is_a_gap(root: Path, name: str, checks: set[str]) -> None:
    (root / name).unlink()
    (root / name).mkdir()  # reading it is an error to root, too
    result = asked(root)
    assert {gap.check for gap in result.not_evaluated} == checks
    assert found(result) == []


def test_without_a_gate_nothing_claims_one(root: Path) -> None:
    (root / "sys/fs/bpf/verity/status").unlink()
    put(root, "sys/kernel/kexec_loaded", b"1\n")
    result = asked(root)
    assert found(result) == []
    assert "posture-canary" in result.not_applicable
    assert "posture-kexec" in result.not_applicable


def test_a_tree_has_no_posture(root: Path) -> None:
    result = audit_posture.examine(AuditedHost(root=root, live=False, now=0, clock=0))
    assert set(result.not_applicable) == {check.id for check in audit_posture.CHECKS}
    assert (result.findings, result.not_evaluated) == ((), ())


def test_this_machine() -> None:
    """Real files: no text, no exception, and no gate."""
    result = asked(Path("/"))
    known = {check.id for check in audit_posture.CHECKS}
    assert {one.check for one in result.findings} <= known
    assert {gap.check for gap in result.not_evaluated} <= known
    assert "posture-gate" in result.not_applicable


def test_the_version_is_that_of_the_gate() -> None:
    assert f"#define VERITY_GATE_VERSION {VERSION}\n" in Path("policy/gate/verity.h").read_text()
    assert State.SEALED.value.encode() in SEALED
