# SPDX-License-Identifier: Apache-2.0
"""Our digests, trees, descriptors and built-in signatures against the kernel's own answers."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm import Disk, Image, Machine

CASES = 150
SCRIPT = Path(__file__).with_name("digest_cases.py")


@pytest.fixture(scope="module")
def vm(vm_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with an ext4 of 4 KiB blocks at /four and one of 1 KiB at /one."""
    top = tmp_path_factory.mktemp("digest")
    disks = []
    for name, size in (("four", 4096), ("one", 1024)):
        image = top / name
        command = ["mke2fs", "-q", "-t", "ext4", "-b", str(size), "-O", "verity"]
        subprocess.run([*command, image, "256M"], check=True)
        disks.append(Disk(path=image, serial=name))
    with Machine.boot("system", vm_image, disks=disks) as machine:
        for name in ("four", "one"):
            machine.run(f"mkdir /{name} && mount {machine.device(name)} /{name}")
        machine.push(SCRIPT, "/run/digest_cases.py")
        yield machine


@pytest.mark.parametrize(
    ("folder", "block_sizes"), [("/four", [1024, 2048, 4096]), ("/one", [1024])]
)
def test_the_kernel_gives_the_same(vm: Machine, folder: str, block_sizes: list[int]) -> None:
    done = vm.run(
        ["python3", "/run/digest_cases.py", folder, str(CASES), "5", *map(str, block_sizes)],
        timeout_s=600,
    )
    cases = [json.loads(line) for line in done.text.splitlines()]
    assert len(cases) == CASES
    for case in cases:
        assert case["ours"] == case["kernel"], case
        assert case["metadata"] == [True, True], case
    assert {case["path"] for case in cases} == {"openssl"}  # what a plain Debian has
    assert {algorithm for case in cases for algorithm in ("sha256", "sha512")} == {
        case["kernel"][0].split(":")[0] for case in cases
    }


def test_the_kernel_accepts_a_builtin_signature(vm: Machine) -> None:
    vm.run("cd /four && verity key generate key && verity key generate other")
    for options in ("", "--hash-alg=sha512 --salt=00ff --block-size=1024"):
        name = "signed" + options[:8].strip("-")
        vm.run(f"cd /four && head -c 300000 /dev/urandom >{name}")
        vm.run(f"cd /four && verity digest {options} --key key --out-signature {name}.sig {name}")
        vm.run(f"cd /four && verity digest {options} --key other --out-signature x.sig {name}")
        enable = f"cd /four && fsverity enable {options} {name} --signature="
        if not options:
            refused = vm.run(f"{enable}{name}.sig", check=False)
            assert b"Required key not available" in refused.stderr
            vm.run("cd /four && verity key show --out-certificate key.der key.pub")
            vm.run("cd /four && keyctl padd asymmetric '' %keyring:.fs-verity <key.der")
            vm.run("sysctl -q fs.verity.require_signatures=1")
        refused = vm.run(f"{enable}x.sig", check=False)
        assert b"Required key not available" in refused.stderr
        vm.run(f"cd /four && tr a-y b-z <{name} >changed")
        refused = vm.run(f"{enable.replace(f' {name} ', ' changed ')}{name}.sig", check=False)
        assert b"Key was rejected by service" in refused.stderr
        vm.run(f"{enable}{name}.sig")
        digest = vm.run(f"cd /four && verity digest {options} {name}").text
        assert vm.run(f"cd /four && fsverity measure {name}").text == digest
        vm.run("cd /four && rm x.sig changed")
