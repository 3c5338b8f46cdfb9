# SPDX-License-Identifier: Apache-2.0
"""What the host can do for a gate, from the kernel's files below a root."""

import gzip
from pathlib import Path

import pytest

from tests.unit.formats.test_gate_status import STATUS
from verity.formats.gate_status import parse_status
from verity.verbs import gate_abilities
from verity.verbs.ability import Answer
from verity.verbs.gate_abilities import KFUNCS, assurance, claimed

BTF = b"\x9f\xeb\0" + b"\0".join(name.encode() for name in KFUNCS) + b"\0"


def answers(root: Path) -> dict[str, Answer]:
    return {ability.name: ability.answer for ability in gate_abilities.examine(root)}


def put(root: Path, name: str, data: bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("ability", "file", "good", "bad", "without"),
    [
        ("BPF LSM", "sys/kernel/security/lsm", b"a,bpf,b\n", b"a,bpfx\n", Answer.UNKNOWN),
        ("ftrace", "proc/sys/kernel/ftrace_enabled", b"1\n", b"0\n", Answer.UNKNOWN),
        (
            "kernel lockdown",
            "sys/kernel/security/lockdown",
            b"none [integrity] confidentiality\n",
            b"[none] integrity confidentiality\n",
            Answer.UNKNOWN,
        ),
        *(
            (
                f"kernel function {name}",
                "sys/kernel/btf/vmlinux",
                BTF,
                BTF.replace(name.encode(), b"x" + name.encode()),
                Answer.NO,
            )
            for name in KFUNCS
        ),
    ],
)
def test_one_file(
    tmp_path: Path, ability: str, file: str, good: bytes, bad: bytes, without: Answer
) -> None:
    assert answers(tmp_path)[ability] is without
    put(tmp_path, file, good)
    assert answers(tmp_path)[ability] is Answer.YES
    put(tmp_path, file, bad)
    assert answers(tmp_path)[ability] is Answer.NO


def test_cgroup2(tmp_path: Path) -> None:
    assert answers(tmp_path)["cgroup2"] is Answer.NO
    put(tmp_path, "sys/fs/cgroup/cgroup.controllers", b"")
    assert answers(tmp_path)["cgroup2"] is Answer.YES


@pytest.mark.parametrize(
    ("files", "answer"),
    [
        ({}, Answer.UNKNOWN),
        ({"proc/crypto": b"name : ecdsa-nist-p256\n"}, Answer.YES),
        ({"proc/crypto": b"name : sha256\n"}, Answer.UNKNOWN),
        ({"boot/config-6": b"# x\nCONFIG_CRYPTO_ECDSA=m\n"}, Answer.YES),
        ({"boot/config-6": b"CONFIG_CRYPTO_ECDSA=y\n"}, Answer.YES),
        ({"boot/config-6": b"# CONFIG_CRYPTO_ECDSA is not set\n"}, Answer.NO),
        ({"boot/config-6": b"CONFIG_X=y\n"}, Answer.UNKNOWN),
        ({"proc/config.gz": gzip.compress(b"CONFIG_CRYPTO_ECDSA=y\n")}, Answer.YES),
        ({"proc/config.gz": b"not gzip"}, Answer.UNKNOWN),
    ],
)
def test_ecdsa(tmp_path: Path, files: dict[str, bytes], answer: Answer) -> None:
    put(tmp_path, "proc/sys/kernel/osrelease", b"6\n")
    for name, data in files.items():
        put(tmp_path, name, data)
    assert answers(tmp_path)["ECDSA in the kernel"] is answer


def test_no_gate_no_level(tmp_path: Path) -> None:
    found = answers(tmp_path)
    assert (found["gate"], found["assurance level"]) == (Answer.NO, Answer.NO)


@pytest.mark.parametrize("state", ["off", "loading", "observe", "sealed", "anything"])
@pytest.mark.parametrize("lockdown", [None, "none", "integrity"])
def test_b0_is_for_a_seal_with_lockdown_only(state: str, lockdown: str | None) -> None:
    claimed, why = assurance(state, lockdown)
    assert claimed is (state == "sealed" and lockdown == "integrity")
    assert bool(why) is not claimed


@pytest.mark.parametrize(
    ("gone", "level"),
    [
        (b"", "B1"),
        (b"initial_root 2\nentered_ms 9\nsurvivors 0\nboot_chain 1 2\n", "B0"),
        (b"entered_ms 9", "B0"),  # the initramfs is trusted still
        (b"boot_chain 1 2", "B0"),  # the next boot is anybody's
    ],
)
def test_b1_is_for_a_root_that_was_entered_under_a_gate_that_keeps_what_is_booted(
    gone: bytes, level: str
) -> None:
    nothing = {b"entered_ms 9": b"entered_ms 0", b"boot_chain 1 2": b"boot_chain 0 0"}
    text = STATUS + b"initial_root 2\nentered_ms 9\nsurvivors 0\nboot_chain 1 2\n"
    found, why = claimed(parse_status(text.replace(gone, nothing.get(gone, b""))))
    assert found == level and why.startswith(f"{level}: ")
