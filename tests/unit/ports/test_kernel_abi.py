# SPDX-License-Identifier: Apache-2.0
"""The C functions against a kernel of our own: an ioctl(2) that is preloaded.

It reads the arguments with linux/fsverity.h as the kernel would, says what it got, and answers
as a file system with fs-verity does. Not to be confused with a proof that the kernel accepts
them, which needs a VM.
"""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from verity.ports import kernel

SHIM = Path(__file__).with_name("ioctl_shim.c")

SETUP = """
import os, sys
from verity.ports import kernel as k
from verity.values.digest import HashAlgorithm, VerityParams
from verity.values.errors import VerityError
fd = os.open("/dev/null", os.O_RDONLY)
def ask(call):
    try:
        answer = call()
    except VerityError as error:
        answer = type(error).__name__, error.code
    print(repr(answer), flush=True)
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shim")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.fail("a C compiler is needed: apt-get install gcc")
    flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", folder / "shim.so", SHIM], check=True)
    return folder / "shim.so"


def ask(shim: Path, code: str, number: int | None = None) -> list[str]:
    """What the shim was given and what the port made of its answers, line by line."""
    env = {**os.environ, "LD_PRELOAD": str(shim)}
    if number is not None:
        env["SHIM_ERRNO"] = str(number)
    done = subprocess.run(
        [sys.executable, "-c", SETUP + code],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_enable_plain(shim: Path) -> None:
    assert ask(shim, 'ask(lambda: k.enable(fd, label="f"))') == [
        "enable 1 1 4096 0 0   0",
        "None",
    ]


def test_enable_with_everything(shim: Path) -> None:
    code = (
        "params = VerityParams(algorithm=HashAlgorithm.SHA512, block_size=1024,"
        ' salt=b"\\x00\\x01\\x00")\n'
        'ask(lambda: k.enable(fd, params, b"\\x30\\x00\\xff\\x00", label="f"))'
    )
    assert ask(shim, code) == ["enable 1 2 1024 3 4 000100 3000ff00 0", "None"]


def test_measure(shim: Path) -> None:
    code = 'ask(lambda: str(k.measure(fd, label="f")))'
    assert ask(shim, code) == ["measure 64", f"'sha256:{bytes(range(32)).hex()}'"]


def test_metadata_in_pieces(shim: Path) -> None:
    code = (
        'text = k.read_metadata(fd, k.Metadata.MERKLE_TREE, label="f")\n'
        "ask(lambda: (len(text), text == bytes(i % 251 for i in range(150000))))"
    )
    assert ask(shim, code) == [
        "metadata 1 0 65536 0",
        "metadata 1 65536 65536 0",
        "metadata 1 131072 65536 0",
        "metadata 1 150000 65536 0",
        "(150000, True)",
    ]


@pytest.mark.parametrize("kind", list(kernel.Metadata))
def test_metadata_kinds(shim: Path, kind: kernel.Metadata) -> None:
    code = f'ask(lambda: len(next(k.iter_metadata(fd, k.Metadata.{kind.name}, label="f"))))'
    assert ask(shim, code) == [f"metadata {kind.value} 0 65536 0", "65536"]
    assert [item.value for item in kernel.Metadata] == [1, 2, 3]


def test_flags(shim: Path) -> None:
    code = 'ask(lambda: k.inode_flags(fd, label="f") == k.VERITY_FL | k.APPEND_FL)'
    assert ask(shim, code) == ["True"]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        # errno, then what enable, measure, read_metadata and inode_flags make of it
        (errno.ENODATA, ["HostError unexpected-errno", None, "HostError no-verity-metadata", None]),
        (errno.EOPNOTSUPP, [*["HostError no-verity-feature"] * 3, "HostError no-inode-flags"]),
        (errno.EEXIST, ["HostError already-verity", *["HostError unexpected-errno"] * 3]),
        (errno.EKEYREJECTED, ["ContentError bad-signature", *["HostError unexpected-errno"] * 3]),
        (errno.EOVERFLOW, ["HostError unexpected-errno", "HostError digest-too-long", None, None]),
    ],
)
def test_errno_comes_through(shim: Path, number: int, expected: list[str | None]) -> None:
    code = (
        'ask(lambda: k.enable(fd, label="f"))\n'
        'ask(lambda: k.measure(fd, label="f"))\n'
        'ask(lambda: k.read_metadata(fd, k.Metadata.SIGNATURE, label="f"))\n'
        'ask(lambda: k.inode_flags(fd, label="f"))'
    )
    for line, item in zip(ask(shim, code, number), expected, strict=True):
        if item is not None:
            assert line == repr(tuple(item.split()))
    if number == errno.ENODATA:
        assert ask(shim, code, number)[1] == "None"
