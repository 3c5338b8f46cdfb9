# SPDX-License-Identifier: Apache-2.0
"""policy/gate/verity.h says what docs/formats.md pins, to a C compiler's satisfaction.

The expectations are a copy of the table of pinned formats, not derived from the header.
"""

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from verity.formats import (
    bundle,
    gate_unlocks,
    grants,
    kernel_guarded,
    kernel_keys,
    kernel_policy,
    revoke,
    unlock,
)
from verity.formats.grants import Party, Role
from verity.formats.kernel_guarded import GuardedClass, Match
from verity.formats.kernel_policy import ActSet, Mode
from verity.formats.records import RecordKind
from verity.formats.unlock import Scope
from verity.verbs import unlock_challenge

GATE = Path(__file__).parents[2] / "policy" / "gate"
HEADER = GATE / "verity.h"
CC = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

# struct -> its fields in order, each with its format as of the struct module
LAYOUTS = {
    "verity_grants_header": (
        168,
        "kind 16s header_len I total_len I party B role B zero0 H flags_used I serial Q issued Q"
        " expires Q stream 64s manifest 32s n_code I n_elevate I n_config I zero1 I",
    ),
    "verity_code_entry": (40, "digest 32s flags I zero I"),
    "verity_elevate_entry": (
        64,
        "digest 32s bits H zero0 H uid I gid I zero1 I caps Q zero2 Q",
    ),
    "verity_config_entry": (352, "path 256s kind I zero I digest 32s target 56s"),
    "verity_unlock_token": (
        416,
        "kind 16s boot_nonce 32s token_id 16s host_id 32s policy_serial Q scope I duration_s I"
        " apply_before_s Q reason 32s operand 256s zero Q",
    ),
    "verity_request": (32, "size I version I data Q len I nsig I sigs Q"),
    "verity_keys_header": (
        64,
        "kind 16s header_len I total_len I party B zero0 3s n_keys I version Q issued Q"
        " expires Q thresholds 8s",
    ),
    "verity_key_entry": (128, "key_id 32s role B owner B zero0 2s spki 91s zero1 B"),
    "verity_policy_header": (
        192,
        "kind 16s header_len I total_len I mode B zero0 3s n_streams I serial Q issued Q"
        " expires Q privileged_caps Q n_groups I groups 60s observed_reasons Q observed_acts I"
        " n_guarded I unlock_seconds 32s unlock_owners 8s zero1 Q",
    ),
    "verity_policy_stream": (72, "name 64s party B role B zero 6s"),
    "verity_revoke_header": (
        64,
        "kind 16s header_len I total_len I party B role B zero0 H zero1 I serial Q issued Q"
        " n_keys I n_digests I n_streams I zero2 I",
    ),
    "verity_revoke_stream": (72, "name 64s lowest Q"),
    "verity_floor": (72, "stream 64s serial Q"),
    "verity_guarded_entry": (256, "path 248s file_class B match B flags B zero 5s"),
    "verity_signature": (256, "len I der 252s"),
    "verity_record": (8, "kind I len I"),
}

NUMBERS = {
    **{f"VERITY_PARTY_{party.name}": party.value for party in Party},
    **{f"VERITY_ROLE_{role.name}": role.value for role in Role},
    "VERITY_CODE_EXEC": 1,
    "VERITY_CODE_LIBRARY": 2,
    "VERITY_CODE_MODULE": 4,
    "VERITY_CODE_INTERPRETER": 8,
    "VERITY_CODE_JIT": 16,
    "VERITY_CODE_SCRIPT": 32,
    "VERITY_CODE_ALL": 63,
    "VERITY_CONFIG_FILE": 1,
    "VERITY_CONFIG_SYMLINK": 2,
    "VERITY_UNLOCK_DIGEST": 1,
    "VERITY_UNLOCK_PATH_PREFIX": 2,
    "VERITY_UNLOCK_CONFIG_PATH": 3,
    "VERITY_UNLOCK_SESSION": 4,
    "VERITY_UNLOCK_OBSERVE_ONLY": 5,
    "VERITY_UNLOCK_OFF": 6,
    "VERITY_UNLOCK_LONGEST": 604800,
    "VERITY_OBSERVED_USER_NAMESPACES": 1,
    "VERITY_OBSERVED_PTRACE": 2,
    "VERITY_OBSERVED_BPF_PROGRAMS": 4,
    "VERITY_OBSERVED_TRACING": 8,
    "VERITY_OBSERVED_BLOCK_DEVICES": 16,
    "VERITY_OBSERVED_EXTENSION_MODULES": 32,
    "VERITY_OBSERVED_ALL": 63,
    "VERITY_CLASS_SIGNED": 1,
    "VERITY_CLASS_MUTABLE": 2,
    "VERITY_CLASS_PRODUCED": 3,
    "VERITY_CLASS_IGNORED": 4,
    "VERITY_MATCH_TREE": 1,
    "VERITY_MATCH_PREFIX": 2,
    "VERITY_GUARDED": 512,
    "VERITY_GUARDED_PATH_SIZE": 248,
    "VERITY_COMMAND(VERITY_COMMAND_BEGIN)": 0x56524954,
    "VERITY_COMMAND(VERITY_COMMAND_PUT)": 0x56524955,
    "VERITY_COMMAND(VERITY_COMMAND_COMMIT)": 0x56524956,
    "VERITY_COMMAND(VERITY_COMMAND_UNLOCK)": 0x56524957,
    "VERITY_COMMAND(VERITY_COMMAND_SEAL)": 0x56524958,
    "VERITY_COMMAND(VERITY_COMMAND_ENTER)": 0x56524959,
    "VERITY_COMMAND(VERITY_COMMAND_RELOCK)": 0x5652495A,
    "VERITY_PARTIES": 3,
    "VERITY_ROLES": 8,
    "VERITY_OWNERS": 8,
    "VERITY_KEYS_MAX": 64,
    "VERITY_SPKI_SIZE": 91,
    "VERITY_STREAM_SIZE": 64,
    "VERITY_MODE_OBSERVE": 1,
    "VERITY_MODE_TRIAL": 2,
    "VERITY_MODE_SEALED": 3,
    "VERITY_STREAMS": 64,
    "VERITY_GROUPS": 15,
    "VERITY_REVOKE_KEYS": 256,
    "VERITY_REVOKE_DIGESTS": 4096,
    "VERITY_REVOKE_STREAMS": 64,
    "VERITY_FLOORS": 64,
    "VERITY_PART_SIZE": 32768,
    "VERITY_BLOB_MAX": 5 * 2**20,
    "VERITY_DER_SIZE": 252,
    "VERITY_RECORD_KEYS": 1,
    "VERITY_RECORD_POLICY": 2,
    "VERITY_RECORD_REVOKE": 3,
    "VERITY_RECORD_GRANTS": 4,
    "VERITY_RECORD_FLOORS": 5,
    "VERITY_RECORD_UNLOCK": 6,
    "VERITY_RECORD_SIGNATURE": 16,
    "VERITY_BUNDLE_MAX": 64 * 2**20,
    "VERITY_REQUEST_VERSION": 1,
    "VERITY_ACCEPTED": 3000,
    "VERITY_REFUSED_FIRST": 3001,
    "VERITY_REFUSED_LAST": 3099,
}

KINDS = {
    "VERITY_KIND_KEYS": b"\x93verity-keys1\0\0\0",
    "VERITY_KIND_POLICY": b"\x93verity-policy1\0",
    "VERITY_KIND_REVOKE": b"\x93verity-revoke1\0",
    "VERITY_KIND_GRANTS": b"\x93verity-grants1\0",
    "VERITY_KIND_UNLOCK": b"\x93verity-unlock1\0",
    "VERITY_KIND_PIN": b"\x93verity-pin1\0\0\0\0",
}


def fields(text: str) -> list[tuple[str, str]]:
    words = text.split()
    return list(zip(words[::2], words[1::2], strict=True))


def run_c(tmp_path: Path, body: str) -> list[str]:
    """Compile ``body`` as main() with the header, warnings as errors, and run it."""
    if CC is None:
        pytest.fail("a C compiler is needed: apt-get install gcc")
    source, program = tmp_path / "main.c", tmp_path / "main"
    source.write_text(
        f'#include <stdio.h>\n#include "verity.h"\nint main(void)\n{{\n{body}\nreturn 0;\n}}\n',
        encoding="ascii",
    )
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    done = subprocess.run(
        [CC, *flags, "-I", GATE, "-o", program, source], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_pinned_table_adds_up(name: str) -> None:
    size, text = LAYOUTS[name]
    assert struct.calcsize("<" + "".join(form for _, form in fields(text))) == size


def test_layouts(tmp_path: Path) -> None:
    lines, expected = [], []
    for name, (size, text) in LAYOUTS.items():
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        expected.append(f"{name} {size}")
        offset = 0
        for field, form in fields(text):
            member = f"{name}.{field}"
            where = f"__builtin_offsetof(struct {name}, {field})"
            lines.append(
                f'printf("{member} %zu %zu\\n", {where}, sizeof(((struct {name} *)0)->{field}));'
            )
            expected.append(f"{member} {offset} {struct.calcsize('<' + form)}")
            offset += struct.calcsize("<" + form)
    assert run_c(tmp_path, "\n".join(lines)) == expected


def test_numbers(tmp_path: Path) -> None:
    lines = [f'printf("%lu\\n", (unsigned long)({name}));' for name in NUMBERS]
    assert run_c(tmp_path, "\n".join(lines)) == [str(value) for value in NUMBERS.values()]


def test_kinds(tmp_path: Path) -> None:
    lines = [
        f'for (int i = 0; i < 16; i++) printf("%02x", (unsigned char){name}[i]);\nputs("");'
        for name in KINDS
    ]
    assert run_c(tmp_path, "\n".join(lines)) == [kind.hex() for kind in KINDS.values()]
    assert all(len(kind) == 16 for kind in KINDS.values())


def test_every_struct_and_field_is_asserted() -> None:
    text = HEADER.read_text(encoding="ascii")
    for name, (size, layout) in LAYOUTS.items():
        assert f"VERITY_SIZE_IS({name}, {size});" in text
        for field, _ in fields(layout):
            assert f"VERITY_AT({name}, {field}, " in text
    assert set(re.findall(r"^struct (\w+) \{", text, re.MULTILINE)) == set(LAYOUTS)


def test_a_moved_field_does_not_compile(tmp_path: Path) -> None:
    text = HEADER.read_text(encoding="ascii")
    moved = text.replace("\t__u8 party;\n\t__u8 role;\n", "\t__u8 role;\n\t__u8 party;\n")
    assert moved != text
    (tmp_path / "bad.c").write_text(moved, encoding="ascii")
    assert CC is not None
    done = subprocess.run(
        [CC, "-std=c11", "-fsyntax-only", tmp_path / "bad.c"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "verity_grants_header.party" in done.stderr


def test_the_python_side_has_the_same_bounds() -> None:
    """Against the table above, which the compiler holds the header to."""
    assert {
        "VERITY_OWNERS": kernel_keys.MAX_OWNERS,
        "VERITY_KEYS_MAX": kernel_keys.MAX_KEYS,
        "VERITY_STREAMS": kernel_policy.MAX_STREAMS,
        "VERITY_GROUPS": kernel_policy.MAX_GROUPS,
        "VERITY_REVOKE_KEYS": revoke.MAX_KEYS,
        "VERITY_REVOKE_DIGESTS": revoke.MAX_DIGESTS,
        "VERITY_REVOKE_STREAMS": revoke.MAX_STREAMS,
        "VERITY_GUARDED": kernel_guarded.MAX_GUARDED,
        "VERITY_GUARDED_PATH_SIZE": kernel_guarded.MAX_PATH + 1,
        "VERITY_UNLOCK_LONGEST": kernel_policy.LONGEST_UNLOCK,
        **{f"VERITY_OBSERVED_{act.name}": act.value for act in ActSet},
        "VERITY_OBSERVED_ALL": sum(ActSet),
        **{f"VERITY_UNLOCK_{scope.name}": scope.value for scope in Scope},
        **{f"VERITY_CLASS_{one.name}": one.value for one in GuardedClass},
        **{f"VERITY_MATCH_{one.name}": one.value for one in Match},
        "VERITY_BLOB_MAX": bundle.MAX_BLOB,
        "VERITY_DER_SIZE": bundle.MAX_DER,
        "VERITY_BUNDLE_MAX": bundle.MAX_SIZE,
        "VERITY_CODE_ALL": int(grants.ALL_CODE),
        **{f"VERITY_MODE_{mode.name}": mode.value for mode in Mode},
        **{f"VERITY_RECORD_{kind.name}": kind.value for kind in RecordKind},
        **{f"VERITY_UNLOCK_{scope.name}": scope.value for scope in Scope},
    }.items() <= NUMBERS.items()
    assert {
        "VERITY_KIND_KEYS": kernel_keys.KEYS_KIND,
        "VERITY_KIND_PIN": kernel_keys.PIN_KIND,
        "VERITY_KIND_POLICY": kernel_policy.KIND,
        "VERITY_KIND_GRANTS": grants.KIND,
        "VERITY_KIND_REVOKE": revoke.KIND,
        "VERITY_KIND_UNLOCK": unlock.KIND,
    }.items() <= KINDS.items()


def test_the_python_side_has_the_same_room() -> None:
    """maps.h is the kernel's alone, so no C compiler here can read it."""
    text = (GATE / "maps.h").read_text(encoding="ascii")
    found = dict(re.findall(r"^#define (VERITY_REVOKED_\w+) (\d+)$", text, re.MULTILINE))
    assert found == {
        "VERITY_REVOKED_KEYS": str(revoke.ROOM_KEYS),
        "VERITY_REVOKED_DIGESTS": str(revoke.ROOM_DIGESTS),
    }


def test_the_python_side_says_the_same_of_unlocks() -> None:
    """What is refused before it travels is what the gate would refuse."""
    text = (GATE / "verity.h").read_text(encoding="ascii")
    found = dict(
        re.findall(r"^#define (VERITY_UNLOCKS|VERITY_UNLOCK_AHEAD_S) (\d+)u?\b", text, re.M)
    )
    assert found == {
        "VERITY_UNLOCKS": str(gate_unlocks.MAX_USED),
        "VERITY_UNLOCK_AHEAD_S": str(unlock.MAX_AHEAD_S),
    }
    places = re.findall(r'^\t{"(/[^"]+)", sizeof', (GATE / "unlock.h").read_text(), re.MULTILINE)
    assert [one.encode() for one in places] == list(unlock_challenge.TRUSTED)


@pytest.mark.parametrize("file", ["verity.h", "decide.h", "policy.h", "gate.bpf.c"])
def test_licence_of_the_bpf_part(file: str) -> None:
    first = (GATE / file).read_text(encoding="ascii").splitlines()[0]
    assert first == "/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */"
