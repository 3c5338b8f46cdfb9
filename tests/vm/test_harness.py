# SPDX-License-Identifier: Apache-2.0
"""The harness itself, against a real QEMU. Times are printed (pytest -s), never asserted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .errors import GuestCommandFailed, MachineDied, OutputTruncated, VmError, VmTimeout
from .image import Image
from .machine import Machine
from .qemu import Disk

_RANDOM = "head -c 32 /dev/urandom | base64"


@contextmanager
def measured(what: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    sys.stdout.write(f"\n{what}: {time.monotonic() - start:.2f} s\n")


@pytest.fixture(scope="module")
def vm(vm_image: Image) -> Iterator[Machine]:
    """A system machine that the tests of this file share, as long as they leave it as it was."""
    with Machine.boot("system", vm_image) as machine:
        yield machine


def test_run_returns_status_and_both_streams(vm: Machine) -> None:
    done = vm.run("echo out; echo err >&2; exit 7", check=False)
    assert (done.status, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_run_passes_argv_environment_directory_and_input_unchanged(vm: Machine) -> None:
    argument = "two words; $HOME 'ä'"
    given = bytes(range(256))
    assert vm.run(["printf", "%s", argument]).stdout.decode() == argument
    assert vm.run(["cat"], input=given).stdout == given
    assert vm.run('echo "$WHAT"; pwd', env={"WHAT": "a b"}, cwd="/usr/lib").text == "a b\n/usr/lib"


def test_run_as_a_user_has_that_users_rights(vm: Machine) -> None:
    assert vm.run("id -un; id -Gn; echo $HOME", user="user").text == "user\nuser\n/home/user"
    assert vm.run(["cat", "/etc/shadow"], user="user", check=False).status != 0


def test_run_raises_on_a_failure_with_what_the_command_said(vm: Machine) -> None:
    with pytest.raises(GuestCommandFailed, match="exit status 3, expected 0\nno such luck") as info:
        vm.run("echo no such luck >&2; exit 3")
    assert info.value.status == 3


def test_run_tells_a_signal_and_a_missing_program_from_a_status(vm: Machine) -> None:
    assert vm.run("kill -TERM $$", check=False).status == -15
    assert vm.run(["no-such-program"], check=False).status == 127


def test_truncated_output_is_an_error(vm: Machine) -> None:
    with pytest.raises(OutputTruncated, match="16 MiB"):
        vm.run("head -c 17000000 /dev/zero")


def test_a_time_out_shows_the_console_and_leaves_the_machine_usable(vm: Machine) -> None:
    vm.run("echo the last thing said >/dev/ttyS0")
    with pytest.raises(VmTimeout, match=r"not done after 0.5 s(.|\n)*the last thing said"):
        vm.run(["sleep", "600"], timeout_s=0.5)
    assert vm.run(["echo", "still here"]).text == "still here"


def test_the_system_came_up_whole(vm: Machine) -> None:
    assert vm.run("systemctl is-system-running", check=False).text == "running"
    assert vm.run("systemctl --failed --no-legend").text == ""
    assert "bpf" in vm.run(["cat", "/sys/kernel/security/lsm"]).text.split(",")
    offset = abs(float(vm.run(["date", "+%s"]).text) - time.time())
    assert offset < 60


@pytest.mark.parametrize("size", [0, 1000, 30_000_000])
def test_a_file_survives_push_and_pull(vm: Machine, tmp_path: Path, size: int) -> None:
    sent, received = tmp_path / "sent", tmp_path / "received"
    sent.write_bytes(os.urandom(size))
    sent.chmod(0o750)
    with measured(f"push and pull {size} bytes"):
        vm.push(sent, "/root/file")
        vm.pull("/root/file", received)
    assert received.read_bytes() == sent.read_bytes()
    assert received.stat().st_mode & 0o7777 == 0o750


def test_a_directory_survives_push_and_pull(vm: Machine, tmp_path: Path) -> None:
    sent, received = tmp_path / "sent", tmp_path / "received"
    (sent / "inner").mkdir(parents=True)
    (sent / "inner/tool").write_bytes(b"\x00binary")
    (sent / "inner/tool").chmod(0o4755)
    (sent / "link").symlink_to("inner/tool")
    vm.push(sent, "/root/directory")
    vm.pull("/root/directory", received)
    assert (received / "inner/tool").read_bytes() == b"\x00binary"
    assert (received / "inner/tool").stat().st_mode & 0o7777 == 0o4755
    assert os.readlink(received / "link") == "inner/tool"


def test_fsverity_works_on_the_root_file_system(vm: Machine) -> None:
    vm.run("rm -f /root/v && echo hello >/root/v && fsverity enable /root/v")
    digest = vm.run("fsverity measure /root/v").text.split()[0]
    assert digest == vm.run("fsverity digest /root/v").text.split()[0]
    assert vm.run("echo changed >/root/v", check=False).status != 0


def test_a_disk_and_a_share_of_the_host(vm_image: Image, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/file").write_text("from the host")
    disk = tmp_path / "extra.img"
    disk.write_bytes(b"in the image".ljust(1 << 20, b"\0"))
    extra = Disk(path=disk, serial="extra")
    with Machine.boot("system", vm_image, disks=[extra], share=tmp_path / "shared") as machine:
        device = machine.device("extra")
        assert machine.run(["head", "-c", "12", device]).stdout == b"in the image"
        machine.run(["udevadm", "settle"])
        assert machine.run("readlink -f /dev/disk/by-id/virtio-extra").text == device
        machine.run(f"echo -n by the guest | dd of={device} conv=notrunc,fsync")
        at = machine.mount_share()
        assert machine.run(["cat", f"{at}/file"]).text == "from the host"
        assert machine.run(["touch", f"{at}/new"], check=False).status != 0
    assert disk.read_bytes().startswith(b"by the guest")


def test_an_nvdimm_keeps_what_was_written_when_the_power_goes(
    vm_image: Image, tmp_path: Path
) -> None:
    disk = tmp_path / "extra.img"
    disk.write_bytes(b"in the image".ljust(256 << 20, b"\0"))
    extra = Disk(path=disk, serial="extra", nvdimm=True)
    with Machine.boot("system", vm_image, disks=[extra]) as machine:
        device = machine.device("extra")
        assert machine.run(["head", "-c", "12", device]).stdout == b"in the image"
        machine.run(f"echo -n by the guest | dd of={device} oflag=direct bs=4096 conv=notrunc,sync")
        machine.power_cut()
    assert disk.read_bytes().startswith(b"by the guest")


def test_two_machines_side_by_side_differ_in_disk_and_randomness(vm_image: Image) -> None:
    with (
        measured("two machines restored"),
        Machine.boot("system", vm_image) as one,
        Machine.boot("system", vm_image) as two,
    ):
        assert one.run(_RANDOM).text != two.run(_RANDOM).text
        # Drawn numbers may differ by luck; that the kernel renewed its generator is not luck.
        for machine in (one, two):
            assert "crng reseeded due to virtual machine fork" in machine.run(["dmesg"]).text
        one.run("echo one >/root/which")
        assert two.run(["cat", "/root/which"], check=False).status != 0


def test_snapshot_and_restore_undo_everything_but_randomness(system_vm: Machine) -> None:
    system_vm.run("echo before >/root/state")
    with measured("snapshot"):
        system_vm.snapshot("kept")
    system_vm.run("echo after >/root/state; echo after >/run/memory")
    drawn = []
    for _ in range(2):
        with measured("restore"):
            system_vm.restore("kept")
        drawn.append(system_vm.run(_RANDOM).text)
    assert drawn[0] != drawn[1]
    assert system_vm.run(["cat", "/root/state"]).text == "before"
    assert system_vm.run(["test", "-e", "/run/memory"], check=False).status == 1
    with pytest.raises(VmError, match="loadvm unknown: Error: Snapshot 'unknown'"):
        system_vm.restore("unknown")


def test_a_power_cut_keeps_what_was_synced_and_nothing_else(bare_vm: Machine) -> None:
    bare_vm.run("echo kept >/sysroot/root/synced && sync")
    bare_vm.start("echo lost >/sysroot/root/unsynced; echo now-cut >/dev/ttyS0; sleep 60")
    bare_vm.cut_when(lambda: bare_vm.console_shows("now-cut"), timeout_s=20)
    with measured("bare boot"):
        bare_vm.boot_again()
    assert bare_vm.run(["cat", "/sysroot/root/synced"]).text == "kept"
    assert bare_vm.run("cat /sysroot/root/unsynced", check=False).stdout != b"lost\n"


def test_a_named_work_directory_keeps_the_disk(vm_image: Image, tmp_path: Path) -> None:
    work = tmp_path / "work"
    with Machine.boot("bare", vm_image, work=work) as machine:
        machine.run("echo kept >/sysroot/root/file")
        machine.shutdown()
    with Machine.boot("bare", vm_image, work=work) as machine:
        assert machine.run(["cat", "/sysroot/root/file"]).text == "kept"


def test_the_bare_kind_has_an_initramfs_and_the_debian_below(bare_vm: Machine) -> None:
    assert "busybox" in bare_vm.run("readlink /bin/sh").text
    assert bare_vm.run(["cat", "/etc/debian_version"], chroot="/sysroot").text.startswith("13")
    assert bare_vm.run(["id", "-un"], chroot="/sysroot", user="user").text == "user"
    bare_vm.run("test -d /sys/kernel/security/integrity || test -e /sys/kernel/security/lsm")
    bare_vm.run(["modprobe", "btrfs"])
    with pytest.raises(ValueError, match="chroot"):
        bare_vm.run(["id"], user="user")


def test_icount_counts_the_same_work_the_same(vm_image: Image) -> None:
    with (
        measured("icount boot and two runs"),
        Machine.boot("bare", vm_image, icount=True) as machine,
    ):
        clock = "awk '/^now at/ { print $3 }' /proc/timer_list"
        work = "awk 'BEGIN { for (i = 0; i < 200000; i++) s += i }'"
        first, second, third, cpus = machine.run(
            f"{clock}; {work}; {clock}; {work}; {clock}; nproc"
        ).text.split()
    costs = [int(second) - int(first), int(third) - int(second)]
    sys.stdout.write(f"\ninstructions: {costs}\n")
    assert cpus == "1"
    # Instructions, not time: a host that is busy in one half changes nothing.
    assert 0.8 < costs[0] / costs[1] < 1.25


def test_a_panic_is_reported_as_one(bare_vm: Machine) -> None:
    with pytest.raises(MachineDied, match=r"the guest's kernel panicked(.|\n)*sysrq"):
        bare_vm.run("echo c >/proc/sysrq-trigger")


def test_nothing_outlives_its_owner(vm_image: Image) -> None:
    code = (
        "import os; from pathlib import Path\n"
        "from tests.vm import Machine, build_image\n"
        "wheel = os.environ.get('VERITY_WHEEL')\n"
        "machine = Machine.boot('bare', build_image(Path(wheel) if wheel else None))\n"
        "print(machine.work, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    work = Path(done.stdout.strip())
    assert work.is_absolute(), done.stderr
    deadline = time.monotonic() + 20
    while work.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not work.exists()
    # The guard removes the directory after it has reaped QEMU.
    running = subprocess.run(["pgrep", "-f", str(work)], capture_output=True, timeout=10)
    assert running.returncode == 1
