# SPDX-License-Identifier: Apache-2.0
"""The verbs on a real kernel with fs-verity: a small signed commit from pull to explain."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vm import Completed, Disk, Image, Machine

BRANCH = "small/tree"
REPO = "/data/repo"
ROOT = "/data/root"
SIGNED = f"--repo {REPO} --key /data/vendor.pub"


def small_tree(top: Path) -> Path:
    """A tree with one of everything."""
    for folder in ("usr/bin", "usr/lib", "etc", "empty"):
        (top / folder).mkdir(parents=True)
    for name in ("passwd", "sudo", "ssh-keygen"):
        (top / "usr/bin" / name).write_bytes(Path("/bin/true").read_bytes() + name.encode())
        (top / "usr/bin" / name).chmod(0o4755 if name == "sudo" else 0o755)
    (top / "usr/bin/script").write_text("#!/bin/sh\n")
    (top / "usr/bin/script").chmod(0o755)
    (top / "etc/empty").touch()
    (top / "etc/large").write_bytes(bytes(range(256)) * 5000)
    (top / "etc/name with\nnewline").write_text("x")
    (top / "bin").symlink_to("usr/bin")
    return top


def host(*argv: object, cwd: Path) -> str:
    done = subprocess.run([str(a) for a in argv], cwd=cwd, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with a bare repository that holds a signed commit, and the public key."""
    top = tmp_path_factory.mktemp("chain")
    tree = small_tree(top / "tree")
    verity = Path("build/venv/bin/verity").absolute()
    (top / "shipped").mkdir()
    host("ostree", "--repo=shipped/repo", "init", "--mode=bare", cwd=top)
    host("ostree", "--repo=shipped/repo", "commit", "-b", BRANCH, f"--tree=dir={tree}", cwd=top)
    host(verity, "key", "generate", "key.pem", cwd=top)
    sign = [verity, "commit", "sign", "--repo=shipped/repo", "--key=key.pem", "--stream=small"]
    host(*sign, "--serial=1", BRANCH, cwd=top)
    (top / "shipped/vendor.pub").write_bytes((top / "key.pem.pub").read_bytes())
    host(*"mke2fs -q -t ext4 -b 4096 -O verity -d shipped disk.img 64M".split(), cwd=top)
    return top / "disk.img"


@pytest.fixture
def vm(vm_image: Image, shipped: Path, tmp_path: Path) -> Iterator[Machine]:
    """A machine of the test's own, the disk mounted at /data, the commit checked out."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(shipped.read_bytes())
    with Machine.boot("system", vm_image, disks=[Disk(path=disk, serial="data")]) as machine:
        machine.run(f"mkdir -p /data && mount {machine.device('data')} /data")
        machine.run(f"ostree --repo={REPO} checkout -H {BRANCH} {ROOT}")
        yield machine


def verity(machine: Machine, command: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run verity with --json: status, records, stderr."""
    done: Completed = machine.run(f"verity {command} --json", check=False)
    records = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert "Traceback" not in done.stderr.decode(), done.stderr.decode()
    return done.status, records, done.stderr.decode()


def findings(records: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Object to (check, link) of each finding."""
    return {
        record["object"]: (record["check"], record["link"])
        for record in records
        if record["type"] == "finding"
    }


def enable_all(machine: Machine) -> None:
    status, _, errors = verity(machine, f"objects enable {SIGNED} --checkout {ROOT} {BRANCH}")
    assert status == 0, errors


def object_of(machine: Machine, path: str) -> str:
    """The file of the object behind a path of the commit."""
    listed = machine.run(f"ostree --repo={REPO} ls -C {BRANCH} {path}").text.split()
    return f"{REPO}/objects/{listed[4][:2]}/{listed[4][2:]}.file"


def test_the_chain_holds_from_the_key_to_the_inode(vm: Machine) -> None:
    status, records, _ = verity(vm, f"commit verify {SIGNED} {BRANCH}")
    assert (status, findings(records)) == (0, {})
    status, records, _ = verity(vm, f"objects check {SIGNED} {BRANCH}")
    assert status == 1
    assert {check for check, _ in findings(records).values()} == {"no-verity"}
    enable_all(vm)
    status, records, _ = verity(vm, f"objects enable {SIGNED} {BRANCH}")
    assert status == 0
    assert records[-1]["counts"]["enabled"] == 0
    assert records[-1]["counts"]["already on"] == records[-1]["counts"]["objects"]
    status, records, _ = verity(vm, f"objects check {SIGNED} {BRANCH}")
    assert (status, findings(records)) == (0, {})
    status, records, _ = verity(vm, f"audit --root {ROOT} --commit {BRANCH} {SIGNED}")
    assert (status, findings(records)) == (0, {})
    assert records[-1]["counts"]["hashed"] == 0
    assert [record["sha256"] is None for record in records if record["type"] == "state"] == [False]
    # The documents of the running host, which has no gate.
    status, records, _ = verity(vm, f"audit --only trust --commit {BRANCH} {SIGNED}")
    assert (status, findings(records)) == (0, {})
    (head,) = [record for record in records if record["type"] == "head"]
    assert (head["state"], head["level"], head["enforced"]) == ("off", "", False)
    assert head["root"] == "/" and head["kernel"] and head["boot_id"]
    # Read through the kernel's digests, and only what can earn a grant.
    assert records[-1]["counts"]["files whose grants were made anew"] > 0
    status, records, _ = verity(
        vm, f"explain --root {ROOT} --commit {BRANCH} {SIGNED} /usr/bin/sudo"
    )
    assert status == 0
    links = [record for record in records if record["type"] == "link"]
    assert [record["link"] for record in links] == [
        "key",
        "signature",
        "statement",
        "manifest",
        "grants",
        "digest",
        "file",
        "object",
    ]
    assert all(record["holds"] for record in links)


def test_the_kernel_agrees_with_stock_fsverity(vm: Machine) -> None:
    enable_all(vm)
    for name in ("usr/bin/sudo", "etc/large", "etc/empty"):
        ours = verity(vm, f"measure {ROOT}/{name}")[1][0]["digest"]
        computed = verity(vm, f"digest {ROOT}/{name}")[1][0]["digest"]
        assert vm.run(f"fsverity measure {ROOT}/{name}").text.split()[0] == ours == computed


def test_audit_finds_each_change_and_nothing_else(vm: Machine) -> None:
    enable_all(vm)
    vm.run(f"cd {ROOT}/usr/bin && cp -a passwd p && printf X >>p && mv p passwd")
    vm.run(f"chmod 0777 {ROOT}/usr/bin/ssh-keygen")
    vm.run(f"cp /bin/sh {ROOT}/usr/bin/extra && chmod 6755 {ROOT}/usr/bin/extra")
    vm.run(f"rm {ROOT}/bin && ln -s usr/lib {ROOT}/bin")
    vm.run(f"cp {ROOT}/etc/large {ROOT}/etc/l && mv {ROOT}/etc/l {ROOT}/etc/large")
    vm.run(f"rm {ROOT}/usr/bin/script && touch {ROOT}/empty/unsigned")
    status, records, _ = verity(vm, f"audit --root {ROOT} --commit {BRANCH} {SIGNED} --only files")
    assert status == 1
    assert findings(records) == {
        "/usr/bin/passwd": ("content", "digest"),
        "/usr/bin/ssh-keygen": ("mode", "file"),
        "/usr/bin/extra": ("unsigned-privileged", "manifest"),
        "/bin": ("target", "file"),
        "/etc/large": ("no-verity", "digest"),
        "/usr/bin/script": ("missing", "file"),
        "/empty/unsigned": ("unsigned-file", "manifest"),
    }
    status, records, _ = verity(
        vm, f"explain --root {ROOT} --commit {BRANCH} {SIGNED} /usr/bin/passwd"
    )
    assert status == 1
    assert [record["link"] for record in records if record.get("holds") is False] == ["digest"]


def test_an_object_without_verity_and_a_replaced_one(vm: Machine) -> None:
    enable_all(vm)
    plain, replaced = object_of(vm, "/usr/bin/sudo"), object_of(vm, "/usr/bin/passwd")
    vm.run(f"cp -a {plain} {plain}.new && mv {plain}.new {plain}")
    vm.run(f"cp -a {replaced} {replaced}.new && printf X >>{replaced}.new")
    vm.run(f"mv {replaced}.new {replaced} && fsverity enable {replaced}")
    status, records, _ = verity(vm, f"objects check {SIGNED} {BRANCH}")
    assert status == 1
    assert findings(records) == {
        f"{plain} (/usr/bin/sudo)": ("no-verity", "object"),
        f"{replaced} (/usr/bin/passwd)": ("wrong-digest", "object"),
    }
    status, records, _ = verity(vm, f"commit verify {SIGNED} {BRANCH}")
    assert status == 1
    assert findings(records) == {"/usr/bin/passwd": ("damaged-object", "object")}


def test_an_object_that_differs_is_left_as_it_was(vm: Machine) -> None:
    target = object_of(vm, "/usr/bin/passwd")
    vm.run(f"cp -a {target} {target}.new && printf X >>{target}.new && mv {target}.new {target}")
    copy = f"{ROOT}/etc/empty"
    vm.run(f"printf X >{copy}")
    status, records, _ = verity(vm, f"objects enable {SIGNED} --checkout {ROOT} {BRANCH}")
    assert status == 1
    assert findings(records) == {
        f"{target} (/usr/bin/passwd)": ("wrong-digest", "object"),
        f"{copy} (a copy)": ("wrong-digest", "object"),
    }
    assert records[-1]["counts"]["enabled"] == records[-1]["counts"]["objects"] - 1
    assert vm.run(["fsverity", "measure", target], check=False).status != 0
    vm.run(f"printf Y >>{target}")  # still writable: nothing was done to it


REFUSALS = {
    "ext4 without the feature": ("mke2fs -q -t ext4 -O ^verity", "no-verity-feature", "tune2fs"),
    "ext4 with 1 KiB blocks": ("mke2fs -q -t ext4 -b 1024 -O verity", "unsupported", "block"),
    "xfs": ("mkfs.xfs -q", "no-verity-filesystem", "ext4"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_file_system_that_refuses_is_named(vm: Machine, name: str) -> None:
    command, code, hint = REFUSALS[name]
    vm.run(f"truncate -s 320M /fs.img && {command} /fs.img && mount -o loop /fs.img /mnt")
    vm.run("echo content >/mnt/file")
    status, records, errors = verity(vm, "enable /mnt/file")
    assert status == 3
    assert records[0]["code"].startswith(code)
    assert hint in records[0]["hint"]
    assert "/mnt/file" in errors


def test_tmpfs_read_only_and_open_for_writing(vm: Machine) -> None:
    vm.run("echo x >/run/file && echo x >/data/busy && mkdir /data/ro && echo x >/data/ro/file")
    assert verity(vm, "enable /run/file")[1][0]["code"] == "no-verity-filesystem"
    vm.run("mount --bind /data/ro /mnt && mount -o remount,bind,ro /mnt")
    assert verity(vm, "enable /mnt/file")[1][0]["code"] == "read-only"
    done = vm.run("exec 3>>/data/busy; verity enable --json /data/busy", check=False)
    assert done.status == 3
    assert json.loads(done.stdout)["code"] == "open-for-writing"


def test_an_ordinary_user_is_told_what_it_needs(vm: Machine) -> None:
    vm.run(f"chmod 700 {REPO}/objects")
    done = vm.run(f"verity commit verify {SIGNED} {BRANCH}", user="user", check=False)
    assert done.status == 3
    assert b"permission denied" in done.stderr
    assert b"root" in done.stderr


def test_doctor_says_what_the_stock_kernel_can_do(vm: Machine) -> None:
    status, records, _ = verity(vm, "doctor --try /data")
    assert status == 0
    answers = {record["name"]: record["answer"] for record in records}
    assert answers["fs-verity in /data"] == "yes"
    assert answers["BPF LSM"] == "yes"
    assert answers["kernel function bpf_get_fsverity_digest"] == "yes"
    assert answers["assurance level"] == "no"
    assert vm.run("ls -A /data | grep -c verity-", check=False).text.strip() == "0"
    status, records, _ = verity(vm, "doctor --try /run")
    assert status == 3


@pytest.mark.full
def test_the_state_is_the_same_from_outside(vm: Machine) -> None:
    """A host's own audit, its disk mounted elsewhere, and a copy of its files on this disk."""
    enable_all(vm)
    vm.run("verity key generate /data/host.pem")
    vm.run(f"cp -a {ROOT} /data/copy && find /data/copy -type f -exec verity enable {{}} +")
    audit = f"audit --commit {BRANCH} --key /data/vendor.pub"
    signed = "--evidence-key /data/host.pem"
    status, records, errors = verity(
        vm, f"{audit} --repo {REPO} --root {ROOT} --evidence /tmp/c1 {signed}"
    )
    assert not [one for one in records if one["type"] == "finding"], errors
    states = {one["sha256"] for one in records if one["type"] == "state"}
    vm.run("umount /data")
    vm.run(f"mkdir /mnt/disk && mount -o ro {vm.device('data')} /mnt/disk")
    audit = audit.replace("/data", "/mnt/disk")
    for number, root in ((2, "root"), (3, "copy")):
        again, records, errors = verity(
            vm,
            f"{audit} --repo /mnt/disk/repo --root /mnt/disk/{root} --evidence /tmp/c{number}"
            f" {signed.replace('/data', '/mnt/disk')}",
        )
        assert again == status, errors
        states |= {one["sha256"] for one in records if one["type"] == "state"}
    assert len(states) == 1
    assert None not in states
    host_key = "--evidence-key /mnt/disk/host.pem.pub"
    for number in (1, 2, 3):
        again, records, errors = verity(
            vm, f"audit --verify /tmp/c{number} {host_key} --key /mnt/disk/vendor.pub"
        )
        assert again == status, errors
        (derived,) = [one for one in records if one.get("what") == "state checksum"]
        assert derived["basis"] == "signatures"
        assert derived["value"] == f"sha256:{next(iter(states))}"
    # One file of the disk is not as signed any more: no state, and the capsule says which.
    vm.run("mount -o remount,rw /mnt/disk && chmod 0700 /mnt/disk/copy/usr/bin/script")
    again, records, _ = verity(
        vm, f"{audit} --repo /mnt/disk/repo --root /mnt/disk/copy --since /tmp/c3 {host_key}"
    )
    assert again == 1
    assert [one["object"] for one in records if one["type"] == "change"] == ["/usr/bin/script"]
