# SPDX-License-Identifier: Apache-2.0
"""The numbers of linux/bpf.h, and this machine's kernel; programs are looked at in the machines."""

import shutil
import subprocess
from pathlib import Path

import pytest

from verity.ports import bpf_programs

NAMES = {
    "BPF_PROG_TYPE_KPROBE": "kprobe",
    "BPF_PROG_TYPE_TRACEPOINT": "tracepoint",
    "BPF_PROG_TYPE_PERF_EVENT": "perf-event",
    "BPF_PROG_TYPE_RAW_TRACEPOINT": "raw-tracepoint",
    "BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE": "raw-tracepoint-writable",
    "BPF_PROG_TYPE_TRACING": "tracing",
    "BPF_PROG_TYPE_STRUCT_OPS": "struct-ops",
    "BPF_PROG_TYPE_EXT": "extension",
    "BPF_PROG_TYPE_LSM": "lsm",
    "BPF_PROG_TYPE_SYSCALL": "syscall",
}
ATTACHED = {
    "BPF_MODIFY_RETURN": bpf_programs.MODIFY_RETURN,
    "BPF_LSM_CGROUP": bpf_programs.LSM_CGROUP,
}


def test_the_numbers_are_the_kernels(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.fail("a C compiler is needed: apt-get install gcc")
    values = ", ".join((*NAMES, *ATTACHED))
    source = tmp_path / "numbers.c"
    source.write_text(
        f"#include <linux/bpf.h>\n#include <stdio.h>\nint main(void) {{ int all[] = {{ {values} }};"
        ' for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++) printf("%d\\n", all[i]); }\n'
    )
    subprocess.run([compiler, "-o", tmp_path / "numbers", source], check=True)
    said = subprocess.run([tmp_path / "numbers"], capture_output=True, text=True, check=True)
    numbers = [int(line) for line in said.stdout.split()]
    types = dict(zip(numbers, NAMES.values(), strict=False))
    assert bpf_programs.TYPES == types
    assert numbers[len(NAMES) :] == list(ATTACHED.values())


def test_this_kernel_is_asked() -> None:
    found = bpf_programs.programs()
    assert len({one.id for one in found}) == len(found)
    assert bpf_programs.programs(frozenset(one.id for one in found)) == []
