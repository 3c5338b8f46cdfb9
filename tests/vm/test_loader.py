# SPDX-License-Identifier: Apache-2.0
"""verity-load where it must refuse: what it says, and that the host is left as it was.

No gate is needed for any of it. That a real gate accepts, refuses and seals is for the tests of the
gate; what a bundle may look like is in tests/unit/test_loader.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import verity
from tests import loader_documents as d

from .image import Image
from .machine import Machine
from .process import Completed

AT = "/tmp/loader"  # noqa: S108  # in the guest, which is ours alone
GOOD = f"--pin {AT}/vendor.pin --pin {AT}/user.pin --bundle {AT}/boot.bundle"


def built(name: str) -> Path:
    """A file of the installation that the tests run with."""
    for place in verity.__path__:
        if (Path(place) / "_gate" / name).is_file():
            return Path(place) / "_gate" / name
    pytest.fail(f"{name} is not built: apt-get install libbpf-dev libelf-dev zlib1g-dev clang")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every machine of this file is given: the program, the object, good documents."""
    folder = tmp_path_factory.mktemp("loader")
    for name in ("verity-load", "gate.bpf.o"):
        (folder / name).write_bytes(built(name).read_bytes())
    (folder / "vendor.pin").write_bytes(d.pin(d.VENDOR).encode())
    (folder / "user.pin").write_bytes(d.pin(d.USER).encode())
    (folder / "boot.bundle").write_bytes(d.bundle())
    (folder / "damaged.o").write_bytes(b"\x7fELF" + bytes(500))
    (folder / "cut.o").write_bytes((folder / "gate.bpf.o").read_bytes()[:900])
    (folder / "cut.bundle").write_bytes(d.bundle()[:-1])
    (folder / "empty").touch()
    for file in folder.iterdir():
        file.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def vm(vm_image: Image, files: Path) -> Iterator[Machine]:
    """A bare machine that the tests share: each leaves it as it was, or fails."""
    with Machine.boot("bare", vm_image) as machine:
        machine.push(files, AT)
        yield machine


def traces(machine: Machine) -> str:
    """All that a load could leave behind: mounts, modes, links, keyrings that are alive."""
    return machine.run(
        "cat /proc/mounts; stat -c %a /sys/fs/bpf; ls -a /sys/fs/bpf;"
        " chroot /sysroot /usr/sbin/bpftool link list;"
        " awk '$2 !~ /i$/ && /verity:|_uid.1986359913/' /proc/keys;"
        " cat /sys/kernel/security/lockdown"
    ).text


def refused(machine: Machine, arguments: str, status: int, *texts: str) -> None:
    """It ends with this status, says all of the texts and a hint, and leaves no trace."""
    before = traces(machine)
    done: Completed = machine.run(f"{AT}/verity-load {arguments}", check=False)
    said = done.stderr.decode()
    assert done.status == status, said
    assert done.stdout == b""
    assert said.startswith("verity-load: error: ")
    assert said.splitlines()[1].startswith("  hint: ")
    for text in texts:
        assert text in said
    assert traces(machine) == before


ARGUMENTS = {
    "nothing": ("", "two --pin are needed"),
    "one pin": (f"--pin {AT}/user.pin --bundle {AT}/boot.bundle", "two --pin are needed"),
    "a third pin": (f"{GOOD} --pin {AT}/user.pin", "a third --pin"),
    "no bundle": (f"--pin {AT}/vendor.pin --pin {AT}/user.pin", "--bundle is needed"),
    "two bundles": (f"{GOOD} --bundle x", "a second --bundle"),
    "no value": (f"{GOOD} --object", "no value for --object"),
    "two host ids": (f"{GOOD} --host-id x --host-id y", "a second --host-id y"),
    "an unknown option": (f"{GOOD} --unseal", "unknown option --unseal"),
    "an argument": (f"{GOOD} more", "unexpected argument more"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_arguments(vm: Machine, name: str) -> None:
    arguments, text = ARGUMENTS[name]
    refused(vm, arguments, 2, text, "--help")


def test_help(vm: Machine) -> None:
    assert vm.run([f"{AT}/verity-load", "--help"]).text.startswith("usage: verity-load")


DOCUMENTS = {
    "no bundle": (GOOD.replace("boot.bundle", "none"), 3, "none can't be opened: No such file"),
    "an empty bundle": (GOOD.replace("boot.bundle", "empty"), 1, "0 bytes, expected 1 to"),
    "a folder": (GOOD.replace("boot.bundle", ""), 1, "not a plain file"),
    "a device": (GOOD.replace(f"{AT}/boot.bundle", "/dev/zero"), 1, "not a plain file"),
    "half a bundle": (GOOD.replace("boot", "cut"), 1, "cut.bundle: record 17: 189 bytes left"),
    "a pin as bundle": (GOOD.replace("boot.bundle", "user.pin"), 1, "user.pin: record 1"),
    "no pin": (GOOD.replace("vendor.pin", "none"), 3, "none can't be opened"),
    "a bundle as pin": (GOOD.replace("vendor.pin", "boot.bundle"), 1, "boot.bundle: "),
    "the same pin twice": (GOOD.replace("vendor.pin", "user.pin"), 1, "a second pin of the user"),
    "a pin as host id": (f"{GOOD} --host-id {AT}/user.pin", 1, "user.pin: not a host id"),
    "no object": (f"{GOOD} --object {AT}/none", 3, "the gate's object /tmp/loader/none can't be"),
    "a damaged object": (f"{GOOD} --object {AT}/damaged.o", 1, "damaged.o is damaged"),
    "half an object": (f"{GOOD} --object {AT}/cut.o", 1, "cut.o is damaged"),
    "no object at all": (f"{GOOD} --object {AT}/empty", 1, "empty is damaged"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_bad_documents(vm: Machine, name: str) -> None:
    arguments, status, text = DOCUMENTS[name]
    refused(vm, arguments, status, text)


HOSTS = {
    "ftrace is off": (
        "echo 0 >/proc/sys/kernel/ftrace_enabled",
        "echo 1 >/proc/sys/kernel/ftrace_enabled",
        "ftrace is switched off",
    ),
    "no securityfs": (
        "umount /sys/kernel/security",
        "mount -t securityfs securityfs /sys/kernel/security",
        "mount -t securityfs",
    ),
    "no bpffs": (
        "umount /sys/fs/bpf",
        "mount -t bpf bpf /sys/fs/bpf",
        "mount -t bpf bpf /sys/fs/bpf",
    ),
    "no cgroup2": (
        "umount /sys/fs/cgroup",
        "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        "mount -t cgroup2",
    ),
    # the same kernel as it describes itself, without that one name
    "a verifier that holds LSM programs to nothing": (
        "chroot /sysroot /usr/bin/sed s/bpf_lsm_get_retval_range/bpf_lsm_get_nothing_else/"
        " </sys/kernel/btf/vmlinux >/tmp/types && mount --bind /tmp/types /sys/kernel/btf/vmlinux",
        "umount /sys/kernel/btf/vmlinux",
        "the kernel has no function bpf_lsm_get_retval_range",
    ),
    "its place is taken": (
        "mkdir -p /sys/fs/bpf/verity/links",
        "rmdir /sys/fs/bpf/verity/links /sys/fs/bpf/verity",
        "/sys/fs/bpf/verity can't be made",
    ),
}


@pytest.mark.parametrize("name", HOSTS)
def test_a_host_that_is_not_ready(vm: Machine, name: str) -> None:
    make, undo, text = HOSTS[name]
    vm.run(make)
    try:
        done = vm.run(f"{AT}/verity-load {GOOD}", check=False)
        assert done.status == 3, done.stderr
        assert text in done.stderr.decode()
    finally:
        vm.run(undo)


DEBIAN = "chroot /sysroot /usr/bin"
CALLERS = {
    "another mount namespace": (f"{DEBIAN}/unshare -m", "not in the mount namespace of PID 1"),
    # not by Debian's: nobody in a chroot gets a user namespace
    "a user namespace": ("busybox unshare -U -r", "not in the initial user namespace"),
    "an ordinary user": (f"{DEBIAN}/setpriv --reuid=1000 --clear-groups", "run it as root"),
    "root without CAP_SYS_ADMIN": (f"{DEBIAN}/setpriv --bounding-set=-sys_admin", "CAP_SYS_ADMIN"),
    "root without CAP_SETUID": (f"{DEBIAN}/setpriv --bounding-set=-setuid", "and CAP_SETUID"),
    "root without CAP_SYS_PTRACE": (
        f"{DEBIAN}/setpriv --bounding-set=-sys_ptrace",
        "CAP_SYS_PTRACE and",
    ),
}


@pytest.mark.parametrize("name", CALLERS)
def test_it_wants_to_be_root_where_pid_1_is(vm: Machine, name: str) -> None:
    how, text = CALLERS[name]
    done = vm.run(f"{how} {AT}/verity-load {GOOD}", check=False)
    assert done.status == 3, done.stderr
    assert text in done.stderr.decode()


def test_a_kernel_without_bpf_lsm(vm_image: Image, files: Path) -> None:
    with Machine.boot("bare", vm_image, fresh=True, append="lsm=lockdown,yama") as machine:
        machine.push(files, AT)
        refused(machine, GOOD, 3, "the BPF LSM is not active", "lockdown,capability", "lsm=LIST")
