# SPDX-License-Identifier: Apache-2.0
"""Modules, BPF programs, probes and helpers, as a kernel's files would show them below a root.

What this machine's kernel hasn't, or nobody may change here, is made by hand; the test machines
have the real thing.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.verbs.running_world import digest
from verity.formats.grants import Code
from verity.ports import bpf_programs
from verity.ports.bpf_programs import LSM_CGROUP, MODIFY_RETURN, Program
from verity.values.errors import HostError
from verity.verbs import audit_running_helpers, audit_running_kernel
from verity.verbs.audit_running_code import Judge
from verity.verbs.audit_running_processes import Looked
from verity.verbs.audit_said import Said

FOLDER = "lib/modules/6.12"
LINE = "{} 16384 0 - Live 0x0000000000000000{}\n"


def put(root: Path, name: str, text: str = "") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def module(root: Path, name: str, taints: str = "") -> Path:
    """A module that is loaded, with its file."""
    with (root / "proc/modules").open("a") as file:
        file.write(LINE.format(name, f" ({taints})" if taints else ""))
    put(root, f"sys/module/{name}/initstate", "live")
    file_name = name.replace("_", "-")
    with (root / FOLDER / "modules.dep").open("a") as file:
        file.write(f"kernel/{file_name}.ko.xz: kernel/other.ko.xz\n")
    return put(root, f"{FOLDER}/kernel/{file_name}.ko.xz", f"module {name}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with two signed modules, settings as Debian has them, and nothing odd."""
    for name, text in {
        "proc/modules": "",
        f"{FOLDER}/modules.dep": "",
        "proc/sys/kernel/osrelease": "6.12\n",
        "proc/sys/kernel/tainted": "0\n",
        "proc/sys/kernel/core_pattern": "core\n",
        "proc/sys/kernel/modprobe": "/sbin/modprobe\n",
        "proc/sys/kernel/poweroff_cmd": "/sbin/poweroff\n",
        "sys/kernel/uevent_helper": "\n",
        "proc/self/mountinfo": "",
        "proc/filesystems": "nodev\tproc\n\text4\n",
        "usr/bin/kmod": "kmod",
        "sys/kernel/tracing/kprobe_events": "",
        "sys/kernel/tracing/uprobe_events": "",
    }.items():
        put(tmp_path, name, text)
    (tmp_path / "usr/sbin").mkdir()
    (tmp_path / "usr/sbin/modprobe").symlink_to("/usr/bin/kmod")
    (tmp_path / "sbin").symlink_to("usr/sbin")
    put(tmp_path, "sys/module/built_in/parameters/x")
    module(tmp_path, "ext4")
    module(tmp_path, "virtio_net")
    return tmp_path


def granted(root: Path) -> Judge:
    """Everything that is there now is signed: modules as such, the rest as programs."""
    code = {digest(path): Code.MODULE for path in (root / FOLDER).rglob("*.ko.xz")}
    code[digest(root / "usr/bin/kmod")] = Code.EXEC
    return Judge(granted=code)


def found(said: Said) -> list[tuple[str, str]]:
    return [(one.check, one.object) for one in said.findings if one.check != "running-unprotected"]


def asked(root: Path, judge: Judge) -> Said:
    said = Said()
    audit_running_kernel.modules(root, judge, said)
    audit_running_kernel.probes(root, said)
    audit_running_helpers.examine(root, judge, said)
    return said


def test_a_host_as_it_should_be(root: Path) -> None:
    said = asked(root, granted(root))
    assert found(said) == []
    assert said.gaps == []
    assert said.counts == {"modules": 2, "helpers": 1}


def _unsigned_module(root: Path) -> None:
    (root / FOLDER / "kernel/virtio-net.ko.xz").write_text("another")


def _unknown_module(root: Path) -> None:
    module(root, "rootkit")
    dep = root / FOLDER / "modules.dep"
    dep.write_text(dep.read_text().replace("rootkit", "other-name"))


def _module_without_file(root: Path) -> None:
    (root / FOLDER / "kernel/virtio-net.ko.xz").unlink()


def _hides(root: Path) -> None:
    text = (root / "proc/modules").read_text()
    (root / "proc/modules").write_text(text.splitlines(keepends=True)[0])


def _hides_in_sysfs(root: Path) -> None:
    (root / "sys/module/virtio_net/initstate").unlink()


def _setting(name: str, text: str, program: str = "opt/evil") -> Callable[[Path], None]:
    def change(root: Path) -> None:
        put(root, program, "evil")
        put(root, name, text)

    return change


def _taints(letters: str, bits: int) -> Callable[[Path], None]:
    """What a loaded module explains is said once, and not of the kernel again."""

    def change(root: Path) -> None:
        text = (root / "proc/modules").read_text().replace("\n", f" ({letters})\n", 1)
        (root / "proc/modules").write_text(text)
        put(root, "proc/sys/kernel/tainted", str(bits))

    return change


def _binfmt(text: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        put(root, "opt/evil", "evil")
        put(root, "opt/ev il", "evil")
        put(root, "proc/filesystems", "nodev\tbinfmt_misc\n")
        put(root, "proc/sys/fs/binfmt_misc/status", "enabled\n")
        put(root, "proc/sys/fs/binfmt_misc/a b", text)

    return change


def _agent(root: Path) -> None:
    put(root, "opt/evil", "evil")
    put(root, "sys/fs/cgroup/freezer/release_agent", "/opt/evil\n")
    line = "30 20 0:26 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n"
    put(root, "proc/self/mountinfo", line)


CHANGES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "unsigned module": (_unsigned_module, "running-module", "module virtio_net"),
    "unknown module": (_unknown_module, "running-module", "module rootkit"),
    "module without file": (_module_without_file, "running-module", "module virtio_net"),
    "no signature": (_taints("OE", 1 << 12 | 1 << 13), "running-module-taint", "module ext4"),
    "forced": (_taints("F", 1 << 1), "running-module-taint", "module ext4"),
    "live patch": (_taints("K", 1 << 15), "running-module-taint", "module ext4"),
    "hides": (_hides, "running-module-hidden", "module virtio_net"),
    "hides in sysfs": (_hides_in_sysfs, "running-module-hidden", "module virtio_net"),
    "gone": (
        _setting("proc/sys/kernel/tainted", "8192"),
        "running-taint",
        "kernel.tainted",
    ),
    "core_pattern": (
        _setting("proc/sys/kernel/core_pattern", "|/opt/evil %p %u\n"),
        "running-helper",
        "kernel.core_pattern",
    ),
    "modprobe": (
        _setting("proc/sys/kernel/modprobe", "/opt/evil"),
        "running-helper",
        "kernel.modprobe",
    ),
    "modprobe with a blank": (
        _setting("proc/sys/kernel/modprobe", "/opt/ev il\n", program="opt/ev il"),
        "running-helper",
        "kernel.modprobe",
    ),
    "modprobe from the root": (
        _setting("proc/sys/kernel/modprobe", "opt/evil\n"),
        "running-helper",
        "kernel.modprobe",
    ),
    "core_pattern from the root": (
        _setting("proc/sys/kernel/core_pattern", "| opt/evil\n"),
        "running-helper",
        "kernel.core_pattern",
    ),
    "core_pattern by the uid": (
        _setting("proc/sys/kernel/core_pattern", "|/opt/%u x\n"),
        "running-helper",
        "kernel.core_pattern",
    ),
    "uevent_helper with a blank": (
        _setting("sys/kernel/uevent_helper", "/opt/evil \n", program="opt/evil "),
        "running-helper",
        "/sys/kernel/uevent_helper",
    ),
    "poweroff": (
        _setting("proc/sys/kernel/poweroff_cmd", "/opt/evil now"),
        "running-helper",
        "kernel.poweroff_cmd",
    ),
    "uevent_helper": (
        _setting("sys/kernel/uevent_helper", "/opt/evil"),
        "running-helper",
        "/sys/kernel/uevent_helper",
    ),
    "request-key": (
        _setting("usr/sbin/request-key", "evil"),
        "running-helper",
        "the kernel's program for keys",
    ),
    "release_agent": (_agent, "running-helper", "release_agent of /sys/fs/cgroup/freezer"),
    "binfmt_misc": (
        _binfmt("enabled\ninterpreter /opt/evil\nflags: OC\n"),
        "running-binfmt",
        r"binfmt_misc a\x20b",
    ),
    "binfmt_misc with a blank": (
        _binfmt("enabled\ninterpreter /opt/ev il\nflags: \n"),
        "running-binfmt",
        r"binfmt_misc a\x20b",
    ),
    "binfmt_misc wherever it is run": (
        _binfmt("enabled\ninterpreter evil\nflags: \n"),
        "running-binfmt",
        r"binfmt_misc a\x20b",
    ),
    "kprobe": (
        _setting("sys/kernel/tracing/kprobe_events", "p:kprobes/x do_exit\n"),
        "running-probes",
        "probes in the kernel",
    ),
    "uprobe": (
        _setting("sys/kernel/tracing/uprobe_events", "p:uprobes/x /bin/sh:0x1\n"),
        "running-probes",
        "probes in programs",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_found_by_its_check_and_nothing_else(root: Path, name: str) -> None:
    change, check, object_ = CHANGES[name]
    judge = granted(root)
    change(root)
    assert found(asked(root, judge)) == [(check, object_)]


@pytest.mark.parametrize(
    "change",
    [
        _setting("proc/sys/kernel/core_pattern", "|/opt/missing %p"),
        _setting("proc/sys/kernel/core_pattern", "/opt/evil"),
        _setting("proc/sys/kernel/modprobe", ""),
        _setting("proc/sys/kernel/tainted", str(1 << 0 | 1 << 9 | 1 << 12)),
        _binfmt("disabled\ninterpreter /opt/evil\n"),
        _binfmt("enabled\ninterpreter /usr/bin/kmod\n"),
    ],
    ids=["missing", "a file", "none", "other taints", "disabled", "signed"],
)
def test_what_starts_nothing_is_no_finding(root: Path, change: Callable[[Path], None]) -> None:
    judge = granted(root)
    change(root)
    said = asked(root, judge)
    assert found(said) == []
    assert said.gaps == []


@pytest.mark.parametrize("path", ["/usr/bin/kmod", "/opt/removed"])
def test_an_interpreter_that_the_kernel_holds_open(root: Path, path: str) -> None:
    """Registered with the flag F: what is at its path by now says nothing of it."""
    judge = granted(root)
    _binfmt(f"enabled\ninterpreter {path}\nflags: OCF\noffset 0\n")(root)
    said = asked(root, judge)
    assert found(said) == []
    assert [(gap.check, gap.object) for gap in said.gaps] == [
        ("running-binfmt", r"binfmt_misc a\x20b")
    ]


def test_a_link_out_of_the_root_stays_in_it(root: Path) -> None:
    """`/sbin/modprobe` leads to `/usr/bin/kmod` of that root, not to the machine's own."""
    (root / "usr/bin/kmod").unlink()
    said = asked(root, Judge(granted={bytes(32): Code.EXEC}))
    assert not [one for one in said.findings if one.check == "running-helper"]


def test_without_grants_it_says_that_it_compared_nothing(root: Path) -> None:
    said = asked(root, Judge(granted={}))
    assert found(said) == []
    assert {gap.check for gap in said.gaps} == {"running-helper"}


def test_damaged_texts_are_refused_by_name(root: Path) -> None:
    put(root, "proc/modules", "ext4\n")
    with pytest.raises(Exception, match="modules: not as proc"):
        audit_running_kernel.modules(root, granted(root), Said())


def program(number: int, kind: str, *attached: int, name: bytes = b"x") -> Program:
    return Program(id=number, type=kind, name=name, creator=0, attached=frozenset(attached))


@pytest.mark.parametrize(
    ("one", "check"),
    [
        (program(1, "tracing", MODIFY_RETURN), "running-bpf-override"),
        (program(1, "extension"), "running-bpf-override"),
        (program(1, "lsm", LSM_CGROUP), "running-bpf-override"),
        (program(2, "kprobe"), "running-bpf"),
        (program(2, "lsm"), "running-bpf"),
        (program(4, "tracing", 24), "running-bpf"),
    ],
)
def test_foreign_programs(monkeypatch: pytest.MonkeyPatch, one: Program, check: str) -> None:
    """1 is held by a signed process: that excuses no override. 2 by nobody, 4 by another, too."""
    looked = Looked(signed={10}, complete=True)
    looked.holders.update({1: [(10, b"init")], 4: [(10, b"init"), (11, b"a\x1bb")]})
    monkeypatch.setattr(bpf_programs, "programs", lambda *own: [one, program(9, "other")])
    said = Said()
    audit_running_kernel.programs(None, Judge(granted={bytes(32): Code.EXEC}), looked, said)
    assert [finding.check for finding in said.findings] == [check]
    assert said.findings[0].found.isprintable()
    assert said.counts == {"BPF programs": 2}


def test_a_program_whose_holder_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf_programs, "programs", lambda *own: [program(1, "lsm")])
    said = Said()
    audit_running_kernel.programs(None, Judge(granted={bytes(32): Code.EXEC}), Looked(), said)
    assert said.findings == []
    assert [gap.check for gap in said.gaps] == ["running-bpf"]


def test_programs_of_signed_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Looked(signed={10})
    looked.holders.update({1: [(10, b"init")]})
    monkeypatch.setattr(bpf_programs, "programs", lambda *own: [program(1, "lsm")])
    said = Said()
    audit_running_kernel.programs(None, Judge(granted={bytes(32): Code.EXEC}), looked, said)
    assert (said.findings, said.gaps) == ([], [])


def test_who_may_not_ask_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*own: object) -> list[Program]:
        raise HostError("no-permission", "cannot ask", hint="as root")

    monkeypatch.setattr(bpf_programs, "programs", refuse)
    said = Said()
    audit_running_kernel.programs(None, Judge(granted={}), Looked(), said)
    assert {gap.check for gap in said.gaps} == {"running-bpf", "running-bpf-override"}
