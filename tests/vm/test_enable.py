# SPDX-License-Identifier: Apache-2.0
"""The binding and `verity enable` on every file system that has fs-verity, and those without."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vm import Completed, Image, Machine

PROBE = Path(__file__).with_name("enable_probe.py")

# name: (size, how to make it, Merkle block size that suits it)
WITH = {
    "ext4": ("96M", "mke2fs -q -t ext4 -b 4096 -O verity", 4096),
    "ext4-1k": ("96M", "mke2fs -q -t ext4 -b 1024 -O verity", 1024),
    "btrfs": ("160M", "mkfs.btrfs -q", 4096),
    "f2fs": ("128M", "mkfs.f2fs -q -O verity", 4096),
}
WITHOUT = {
    "ext4-plain": ("16M", "mke2fs -q -t ext4 -b 4096 -O ^verity", "no-verity-feature"),
    "xfs": ("320M", "mkfs.xfs -q", "no-verity-filesystem"),
}


def mount(machine: Machine, name: str, size: str, make: str) -> str:
    """A new file system in a loop device, mounted; where."""
    at = f"/fs/{name}"
    machine.run(
        f"mkdir -p {at} && truncate -s {size} {at}.img && {make} {at}.img >/dev/null"
        f" && mount -o loop {at}.img {at}",
        timeout_s=120,
    )
    return at


@pytest.fixture(scope="module")
def vm(vm_image: Image) -> Iterator[Machine]:
    """One machine for all; each test makes a file system or a directory of its own."""
    with Machine.boot("system", vm_image) as machine:
        machine.push(PROBE, "/root/probe.py")
        yield machine


def verity(machine: Machine, command: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run verity with --json: status, records, stderr."""
    done: Completed = machine.run(f"verity {command} --json", check=False, timeout_s=120)
    assert "Traceback" not in done.stderr.decode(), done.stderr.decode()
    records = [json.loads(line) for line in done.stdout.decode().splitlines()]
    return done.status, records, done.stderr.decode()


@pytest.mark.parametrize("name", WITH)
def test_every_call_and_every_errno(vm: Machine, name: str) -> None:
    size, make, block_size = WITH[name]
    at = mount(vm, name, size, make)
    done = vm.run(["python3", "/root/probe.py", at, str(block_size)], timeout_s=120)
    vm.run(["umount", at])
    found = json.loads(done.stdout)
    hidden = name == "btrfs"  # has no FS_IOC_READ_VERITY_METADATA
    small = block_size == 1024
    nothing = "no-verity-metadata-ioctl" if hidden else "no-verity-metadata"
    expected = {
        "measured before": None,
        "bit before": False,
        "metadata before": [nothing] * 3,
        "cached before": True,
        "enabled": None,
        "enabled twice": "already-verity",
        "cached after": 0,
        "as computed": True,
        "bit after": True,
        "flag after": True,
        "signature": nothing,
        "tree": nothing if hidden else True,
        "descriptor": nothing if hidden else True,
        "others as computed": [True, True],
        "empty": None,
        "read-write": "open-for-writing",
        "write-only": "bad-descriptor",
        "a writer": "open-for-writing",
        "directory": "is-a-directory",
        "device": "no-verity-filesystem",
        "block size 512": "unsupported-parameters",
        "block size 8192": "unsupported-parameters",
        "block size 65536": "unsupported-parameters",
        "long signature": "too-long",
        "unknown key": "no-verity-key",
        "no write permission": "no-write-permission",
        "append-only": "not-permitted",
        "two at once": True,
    }
    if small:
        expected["canonical"] = "unsupported-parameters"
    assert found == expected


@pytest.mark.parametrize("name", WITHOUT)
def test_a_file_system_without_it_is_named(vm: Machine, name: str) -> None:
    size, make, code = WITHOUT[name]
    at = mount(vm, name, size, make)
    vm.run(f"echo content >{at}/file")
    status, records, errors = verity(vm, f"enable {at}/file")
    assert (status, records[0]["code"]) == (3, code)
    assert f"{at}/file" in errors
    assert verity(vm, f"measure {at}/file")[1][0]["code"] == code
    if name == "ext4-plain":
        hint = "this ext4 was made without the verity feature: `tune2fs -O verity DEVICE`"
        assert records[0]["hint"].startswith(hint)
        # The hint is true: at once, without a remount.
        vm.run(f"tune2fs -O verity $(findmnt -no SOURCE {at})")
        assert verity(vm, f"enable {at}/file")[0] == 0
    vm.run(["umount", at])


def test_tmpfs_overlayfs_and_a_read_only_mount(vm: Machine) -> None:
    vm.run(
        "mkdir -p /run/t /root/o/{l,u,w,m} /root/ro /mnt/ro".replace("{l,u,w,m}", "l") + " && cd"
        " /root/o && mkdir -p u w m && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w o m"
    )
    vm.run("mount --bind /root/ro /mnt/ro && echo x >/root/ro/file")
    vm.run("mount -o remount,bind,ro /mnt/ro; echo x >/run/t/file; echo x >/root/o/m/file")
    for file, code in (
        ("/run/t/file", "no-verity-filesystem"),
        ("/root/o/m/file", "no-verity-filesystem"),
        ("/mnt/ro/file", "read-only"),
    ):
        status, records, _ = verity(vm, f"enable {file}")
        assert (status, records[0]["code"]) == (3, code), file
    vm.run("umount /root/o/m /mnt/ro")


def test_what_happens_to_files_meanwhile(vm: Machine) -> None:
    vm.push(PROBE.with_name("enable_races.py"), "/root/races.py")
    done = vm.run("mkdir /root/races && python3 /root/races.py /root/races")
    assert json.loads(done.stdout) == {
        "shrinks": "wrong-digest",
        "grows": "wrong-digest",
        "replaced before asking": "replaced",
        "replaced before the sync": "replaced",
        "gone before the sync": "not-found",
        "left alone": "enabled",
        "busy twice": "enabled",
        "busy for ever": "open-for-writing",
    }
    vm.run("echo more >>/root/races/shrinks")  # left as it was: still writable


TREE = r"""
mkdir -p a/b "a/dir with
newline" closed && cd a
for i in $(seq 200); do echo "file $i" >b/f$i; done
touch empty && ln empty b/other && ln -s empty link && ln -s b way && mkfifo fifo
mknod null c 1 3 && echo x >"dir with
newline/$(printf 'caf\351')"
head -c 300000 /dev/urandom >large
mkdir mounted && mount -t tmpfs none mounted && echo x >mounted/inside
"""
FILES = 203  # 200, empty once, the odd name, large


def make_tree(machine: Machine, at: str) -> None:
    machine.run(["mkdir", "-p", at])
    machine.run(TREE, cwd=at)


def test_a_directory_with_one_of_everything(vm: Machine) -> None:
    make_tree(vm, "/root/tree")
    status, records, _ = verity(vm, "enable -r /root/tree/a /root/tree/missing")
    assert status == 3
    files = [record for record in records if record["type"] == "file"]
    assert len(files) == FILES
    assert {record["state"] for record in files} == {"enabled"}
    odd = [record["path_base64"] for record in files if "path_base64" in record]
    assert odd == ["L3Jvb3QvdHJlZS9hL2RpciB3aXRoCm5ld2xpbmUvY2Fm6Q=="]
    problems = {record["path"]: record["code"] for record in records if record["type"] == "error"}
    assert problems == {
        "/root/tree/a/mounted": "other-file-system",
        "/root/tree/missing": "not-found",
    }
    assert records[-1] == {
        "v": 1,
        "type": "summary",
        "files": FILES + 1,
        "counts": {"enabled": FILES, "already": 0, "failed": 2},
        "skipped": {
            "devices": 1,
            "directories": 3,
            "fifos": 1,
            "further names of a file": 1,
            "symlinks": 2,
        },
        "exit_status": 3,
    }
    measured = vm.run("cd /root/tree/a && fsverity measure b/f1 b/f200 b/other empty large").text
    by_path = {record.get("path", ""): record["digest"] for record in files}
    for line in measured.splitlines():
        digest, name = line.split()
        name = "b/other" if name == "empty" else name  # the name that comes first
        assert digest == by_path[f"/root/tree/a/{name}"]
    assert vm.run("fsverity measure /root/tree/a/mounted/inside", check=False).status != 0
    # Again: nothing is done twice. In text, names are escaped, and nothing but results on stdout.
    vm.run("umount /root/tree/a/mounted")
    done = vm.run("verity enable -r /root/tree/a")
    lines = done.stdout.decode().splitlines()
    assert len(lines) == FILES
    assert {line.split()[1] for line in lines} == {"already"}
    assert r"/root/tree/a/dir\x20with\x0anewline/caf\xe9" in {line.split()[2] for line in lines}
    assert done.stderr.decode() == (
        f"verity: {FILES} files: 0 enabled, {FILES} already, 0 failed, 1 devices, 4 directories,"
        " 1 fifos, 1 further names of a file, 2 symlinks\n"
    )


def test_with_a_manifest_only_what_it_names_as_it_is(vm: Machine) -> None:
    vm.run(
        "mkdir -p /root/m/sub && cd /root/m"
        " && for i in same other gone sub/twice; do echo $i >$i; done"
        " && ln sub/twice sub/again && verity manifest make --output /root/m.manifest /root/m"
        " && echo changed >other && rm gone && echo new >extra"
    )
    status, records, _ = verity(vm, "enable -r --manifest /root/m.manifest /root/m")
    assert status == 1
    assert {record["path"]: record.get("code", "good") for record in records[:-1]} == {
        "/root/m/same": "good",
        "/root/m/sub/again": "good",
        "/root/m/other": "wrong-digest",
        "/root/m/gone": "not-found",
        "/root/m/extra": "not-in-manifest",
    }
    counts = records[-1]["counts"]
    assert counts == {"enabled": 2, "already": 0, "failed": 3}
    assert vm.run("cd /root/m && fsverity measure same sub/twice", check=False).status == 0
    for left in ("other", "extra"):
        assert vm.run(["fsverity", "measure", f"/root/m/{left}"], check=False).status != 0


def test_unreadable_files_and_directories_do_not_stop_the_rest(vm: Machine) -> None:
    vm.run(
        "mkdir -p /home/user/t/closed && cd /home/user/t && for i in 1 2 3 4; do echo $i >$i; done"
        " && chown -R user . && chown root 2 closed && chmod 600 2 && chmod 700 closed"
        " && chown root 3 && chmod 644 3"
    )
    done = vm.run("verity enable -r --json /home/user/t", user="user", check=False)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.status == 3
    assert {record["path"][-1]: record.get("code", "good") for record in records[:-1]} == {
        "1": "good",
        "2": "no-permission",
        "3": "no-write-permission",
        "4": "good",
        "d": "no-permission",
    }


def test_a_directory_needs_r(vm: Machine) -> None:
    vm.run("mkdir -p /root/d && echo x >/root/f1")
    status, records, _ = verity(vm, "enable /root/d /root/f1")
    assert status == 3
    assert [record["type"] for record in records] == ["error", "file"]
    assert (records[0]["code"], "-r" in records[0]["hint"]) == ("is-a-directory", True)
    vm.run("ln -s d /root/link")
    status, records, _ = verity(vm, "enable -r /root/link")
    assert (status, records[0]["code"]) == (3, "not-a-regular-file")


def test_a_writer_is_reported_and_the_rest_goes_on(vm: Machine) -> None:
    vm.run("mkdir /root/busy && cd /root/busy && for i in 1 2 3; do echo $i >$i; done")
    done = vm.run("cd /root/busy; exec 9>>2; verity enable -r --json .", check=False)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.status == 3
    assert {record["path"]: record.get("state", record.get("code")) for record in records[:-1]} == {
        "./1": "enabled",
        "./2": "open-for-writing",
        "./3": "enabled",
    }


HOLD = """
import mmap, sys
file = open(sys.argv[1], 'rb')
held = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sum(held[::4096]); print('held', flush=True); sys.stdin.read()
"""


def test_pages_that_stay_are_reported(vm: Machine) -> None:
    vm.run(
        "mkdir /root/held && cd /root/held && head -c 40000 /dev/urandom >new && cp new old"
        " && echo x >third && fsverity enable old && sync"
    )
    run = (
        'cd /root/held; mkfifo go; for f in new old; do python3 -c "$HOLD" $f <go >$f.held &'
        " done; exec 9>go; until grep -qs held new.held && grep -qs held old.held; do sleep 0.05;"
        " done; verity enable --json new old third; echo $? >&2; exec 9>&-; wait;"
        " verity enable --json new old"
    )
    done = vm.run(run, env={"HOLD": HOLD})
    new, old, third, new_later, old_later = (json.loads(x) for x in done.stdout.splitlines())
    assert new["code"] == "pages-stay"
    assert "10 pages" in new["message"]
    assert (old["state"], old["cached_pages"]) == ("already", 10)
    assert (third["state"], third["cached_pages"]) == ("enabled", 0)
    assert "\n3\n" in done.stderr.decode()
    assert [one["cached_pages"] for one in (new_later, old_later)] == [0, 0]


def test_other_parameters_are_compared_not_assumed(vm: Machine) -> None:
    size, make, _ = WITH["btrfs"]
    at = mount(vm, "other", size, make)  # does not show the descriptor: the digest is computed
    for where in ("/root", at):
        vm.run(f"head -c 20000 /dev/urandom >{where}/plain; cp {where}/plain {where}/salted")
        vm.run(f"verity enable {where}/plain && verity enable --salt 00ff {where}/salted")
        for options, plain, salted in (
            ("", "already", "other-parameters"),
            ("--salt 00ff", "other-parameters", "already"),
            ("--hash-alg sha512 --block-size 1024", *["other-parameters"] * 2),
        ):
            status, records, _ = verity(vm, f"enable {options} {where}/plain {where}/salted")
            assert status == 1
            found = [one.get("code") or one["state"] for one in records]
            assert found == [plain, salted], (where, options)
    vm.run(["umount", at])


def test_ctrl_c_ends_cleanly_and_says_where(vm: Machine) -> None:
    vm.run("mkdir /root/many && cd /root/many && seq 3000 | split -l 1 -a 4 -d - f", timeout_s=120)
    done = vm.run(
        "cd /root; verity enable -r --jobs 2 many >many.out 2>many.err &"
        " until [ -s many.out ]; do sleep 0.02; done; kill -INT $!; wait $!",
        check=False,
        timeout_s=120,
    )
    assert done.status == 130
    errors = vm.run("cat /root/many.err").text.splitlines()
    count = len(vm.run("cat /root/many.out").text.splitlines())
    assert 0 < count < 3000
    assert "Ctrl-C again ends at once" in "".join(errors)
    said = [line for line in errors if line.startswith("verity: interrupted: ")]
    assert len(said) == 1
    assert said[0].startswith(
        f"verity: interrupted: {count} of 3000 files are done; the next is many/f"
    )
    following = said[0].rpartition(" ")[2]
    assert vm.run(f"fsverity measure /root/{following}", check=False).status != 0
    assert vm.run(
        "cut -d' ' -f3 /root/many.out | (cd /root; xargs fsverity measure) | wc -l"
    ).text == str(count)
    again = vm.run(
        "cd /root; verity enable -r many | cut -d' ' -f2 | sort | uniq -c", timeout_s=120
    )
    assert {word: int(number) for number, word in (x.split() for x in again.text.splitlines())} == {
        "already": count,
        "enabled": 3000 - count,
    }


def test_progress_on_a_terminal(vm: Machine) -> None:
    vm.run("mkdir /root/shown && cd /root/shown && seq 300 | split -l 1 -a 4 -d - f")
    shown = vm.run(
        "script -qec 'verity enable -r /root/shown >/dev/null' /dev/null"
    ).stdout.decode()
    assert "of 300 files, 0.0 of 0.0 MB, " in shown
    assert " files/s, " in shown and " left" in shown
    assert shown.rstrip().endswith("300 files: 300 enabled, 0 already, 0 failed, 1 directories")


SIGN = """
set -e; cd /root/signed
openssl ecparam -name prime256v1 -genkey -noout -out key.pem
openssl req -new -x509 -key key.pem -subj /CN=test -days 9 -out cert.pem
openssl x509 -in cert.pem -outform DER -out cert.der
for f in one two three; do head -c 9000 /dev/urandom >$f; done
fsverity sign one one.p7s --key=key.pem --cert=cert.pem >/dev/null
fsverity sign two two.p7s --key=key.pem --cert=cert.pem >/dev/null
"""


STORED = """
import sys
from verity.ports import kernel
data = kernel.read_metadata(0, kernel.Metadata.SIGNATURE, label='f')
sys.stdout.buffer.write(data)
"""


def test_signatures(system_vm: Machine) -> None:
    vm = system_vm  # of its own: the kernel's keyring is one for all
    vm.run("mkdir /root/signed")
    vm.run(SIGN, timeout_s=120)

    def signed(file: str, signature: str) -> tuple[int, Any]:
        status, records, _ = verity(
            vm, f"enable --signature /root/signed/{signature} /root/signed/{file}"
        )
        return status, records[0].get("code", records[0].get("state"))

    assert signed("one", "one.p7s") == (3, "no-verity-key")
    vm.run("keyctl padd asymmetric '' %keyring:.fs-verity </root/signed/cert.der")
    assert signed("one", "two.p7s") == (1, "bad-signature")
    assert signed("one", "one.p7s") == (0, "enabled")
    assert signed("one", "one.p7s") == (0, "already")
    assert signed("one", "two.p7s") == (1, "other-signature")
    assert verity(vm, "enable /root/signed/two")[0] == 0
    assert signed("two", "two.p7s") == (1, "other-signature")
    vm.run(
        ["sh", "-c", 'python3 -c "$STORED" <one | cmp - one.p7s'],
        cwd="/root/signed",
        env={"STORED": STORED},
    )
    # What the kernel itself makes of garbage in a DER frame, and of none where one is required.
    frame = r"\060\015\006\011\052\206\110\206\367\015\001\007\002\005\000"
    vm.run(f"printf '{frame}' >/root/signed/frame")
    assert signed("three", "frame") == (1, "malformed-signature")
    vm.run("sysctl -qw fs.verity.require_signatures=1")
    status, records, _ = verity(vm, "enable /root/signed/three")
    assert (status, records[0]["code"]) == (3, "not-permitted")
    vm.run("sysctl -qw fs.verity.require_signatures=0")
