# SPDX-License-Identifier: Apache-2.0
"""The calls into the gate against a kernel of our own: a syscall(2) that is preloaded.

It reads the requests with policy/gate/verity.h as the gate would. Whether a real gate takes them
is for the test machines.
"""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import gate_shim
from verity.ports import bpf

SETUP = """
from verity.ports import bpf
from verity.values.errors import VerityError
def ask(call, *args, **kwargs):
    try:
        answer = call(*args, **kwargs)
    except VerityError as error:
        answer = type(error).__name__, error.code
    print(repr(answer), flush=True)
"""
HEAD = "size 32 32 version 1"


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gate_shim.build(tmp_path_factory.mktemp("shim"))


def ask(shim: Path, code: str, *answers: int) -> list[str]:
    """What the gate was given and what the port made of its answers, line by line."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP + code],
        env={
            **os.environ,
            "LD_PRELOAD": str(shim),
            "SHIM_ANSWERS": ",".join(map(str, answers)),
            "SHIM_LOG": "/dev/stdout",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_this_kernel_has_no_gate() -> None:
    # Asked of the real kernel: no test loads a gate outside of a test machine.
    assert bpf.present() is False


def test_an_import(shim: Path) -> None:
    blob, signatures = 'b"\\x93abc" + bytes(32768)', '[b"\\x30\\x81\\xff", b"\\x31"]'
    code = f'ask(bpf.import_blob, {blob}, {signatures}, label="f")'
    assert ask(shim, code) == [
        f"0 {HEAD} len 32772 nsig 0 data ",
        f"1 {HEAD} len 32768 nsig 0 data 93616263",
        f"1 {HEAD} len 4 nsig 0 data 00000000",
        f"2 {HEAD} len 0 nsig 2 data  sig 3 3081ff sig 1 31",
        "None",
    ]


@pytest.mark.parametrize(
    ("size", "parts"), [(1, [1]), (32768, [32768]), (65537, [32768] * 2 + [1])]
)
def test_parts(shim: Path, size: int, parts: list[int]) -> None:
    said = ask(shim, f'ask(bpf.import_blob, b"x" * {size}, [b"s"], label="f")')
    assert [int(line.split()[7]) for line in said[1:-2]] == parts


def test_the_longest_signatures(shim: Path) -> None:
    said = ask(shim, 'ask(bpf.import_blob, b"x", [b"\\xff" * 252] * 8, label="f")')
    assert said[-2].count(" sig 252 ffffffff") == 8
    assert said[-1] == "None"


@pytest.mark.parametrize(
    ("blob", "signatures", "code"),
    [
        ('b""', '[b"s"]', "empty"),
        ('b"x"', "[]", "empty"),
        ('b"x"', '[b"s", b""]', "empty"),
        ('b"x"', '[b"s" * 253]', "too-long"),
        ('b"x"', '[b"s"] * 9', "too-many-signatures"),
        ('b"x" * (5 * 2**20 + 1)', '[b"s"]', "too-long"),
    ],
)
def test_what_is_never_sent(shim: Path, blob: str, signatures: str, code: str) -> None:
    said = ask(shim, f'ask(bpf.import_blob, {blob}, {signatures}, label="f")')
    assert said[-1] == repr(("ContentError", code))
    assert not [line for line in said if line.startswith("2 ")]


@pytest.mark.parametrize(
    ("answers", "calls", "expected"),
    [
        ([3001], 1, "HostError gate-permission"),
        ([3000, 3004], 2, "HostError gate-busy"),
        ([3000, 3000, 3032], 3, "ContentError gate-threshold"),
        ([3000, 3000, 3099], 3, "ContentError gate-refused"),
        ([errno.EINVAL], 1, "HostError no-gate"),
        ([errno.EPERM], 1, "HostError not-permitted"),
        ([errno.ENOSYS], 1, "HostError no-bpf"),
        ([2999], 1, "HostError unexpected-errno"),
        ([3100], 1, "HostError unexpected-errno"),
        ([0], 1, "HostError unexpected-errno"),
    ],
)
def test_the_first_refusal_ends_it(
    shim: Path, answers: list[int], calls: int, expected: str
) -> None:
    said = ask(shim, 'ask(bpf.import_blob, b"x", [b"s"], label="f")', *answers)
    assert len(said) == calls + 1
    assert said[-1] == repr(tuple(expected.split()))


def test_seal(shim: Path) -> None:
    assert ask(shim, "ask(bpf.seal)") == [f"4 {HEAD} len 0 nsig 0 data ", "None"]
    assert ask(shim, "ask(bpf.seal)", 3040)[-1] == "('ContentError', 'gate-not-ready')"


TOKEN = "bytes([0x93, 0x76, 0x65, 0x72]) + bytes(412)"


def test_unlock(shim: Path) -> None:
    code = f'ask(bpf.unlock, {TOKEN}, [b"\\x30\\x81\\xff", b"\\x31"])'
    assert ask(shim, code) == [
        f"3 {HEAD} len 416 nsig 2 data 93766572 sig 3 3081ff sig 1 31",
        "None",
    ]
    assert ask(shim, code, 3051)[-1] == "('ContentError', 'gate-nonce')"


def test_relock(shim: Path) -> None:
    assert ask(shim, "ask(bpf.relock)") == [f"6 {HEAD} len 0 nsig 0 data ", "None"]
    one = ask(shim, 'ask(bpf.relock, b"\\x07" * 16)', 3061)
    assert one == [f"6 {HEAD} len 16 nsig 0 data 07070707", "('ContentError', 'gate-no-unlock')"]


@pytest.mark.parametrize(
    "call", [f"unlock({TOKEN} + b'x', [b's'])", "unlock(b'x', [b's'])", "relock(b'x' * 15)"]
)
def test_c_reads_no_more_than_there_is(shim: Path, call: str) -> None:
    code = f"try:\n    bpf.{call}\nexcept ValueError as error:\n    print(error)"
    assert "bytes, expected" in ask(shim, code)[-1]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (3001, "True"),
        (3002, "True"),
        (3005, "True"),
        (errno.EINVAL, "False"),
        (errno.EPERM, "('HostError', 'not-permitted')"),
    ],
)
def test_present(shim: Path, answer: int, expected: str) -> None:
    assert ask(shim, "ask(bpf.present)", answer) == [f"1 {HEAD} len 0 nsig 0 data ", expected]
