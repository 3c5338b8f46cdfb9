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

from verity.ports import kernel, many

# linux/magic.h
EXT4, F2FS, BTRFS, FUSE, OVERLAYFS = 0xEF53, 0xF2F52010, 0x9123683E, 0x65735546, 0x794C7630
SHIM = Path(__file__).with_name("ioctl_shim.c")

SETUP = """
import os, sys
from verity.ports import kernel as k, many as m
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


def ask(
    shim: Path, code: str, number: int | None = None, cached: str = "0", fs: int = EXT4
) -> list[str]:
    """What the shim was given and what the port made of its answers, line by line."""
    env = {**os.environ, "LD_PRELOAD": str(shim), "SHIM_CACHED": cached, "SHIM_FS": f"{fs:x}"}
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


@pytest.mark.parametrize("fs", [EXT4, F2FS, BTRFS, FUSE, OVERLAYFS])
def test_only_what_the_kernel_checks_has_its_word(shim: Path, fs: int) -> None:
    """A program behind FUSE answers the ioctl as it likes."""
    code = (
        'ask(lambda: str(k.measure(fd, label="f")))\n'
        'found = m.measure_files([m.Place.of_path("/etc/passwd")])\n'
        "print([one and str(one) for one in found])"
    )
    digest = f"sha256:{bytes(range(32)).hex()}"
    told = [f"'{digest}'", f"['{digest}']"]
    if fs in (FUSE, OVERLAYFS):
        told = ["('HostError', 'no-verity-filesystem')", "[None]"]
    said = ask(shim, code, fs=fs)
    assert [line for line in said if not line.startswith("measure ")] == told


WALK = """
import pathlib, tempfile
from verity.formats.dump import Entry, serialise
from verity.ports.signed_tree import Lines, SignedTree
where = pathlib.Path(tempfile.mkdtemp())
(where / "f").write_bytes(b"x" * 300000)
def entry(path, digest=None):
    st = os.lstat(str(where) + path)
    size = st.st_size if digest else 0
    return Entry(path.encode(), st.st_mode, st.st_uid, st.st_gid, size, 0, None, digest)
lines = Lines(serialise([entry("/"), entry("/f", bytes(range(32)))]))
for deep in (False, True):
    with SignedTree(where, lines, deep=deep) as walked:
        records = [one.what.name for some in walked.records() for one in some]
    print(deep, list(walked.states), records)
"""


@pytest.mark.parametrize(
    ("cached", "fs", "expected"),
    [
        # The shim's digest is not that of the contents, so whoever hashes them sees it.
        ("0", EXT4, ["False [2, 3] []", "True [2, 3] []"]),
        ("1", EXT4, ["False [2, 3] []", "True [2, 1] ['CLOSER']"]),
        ("0", FUSE, ["False [2, 1] ['CLOSER']", "True [2, 1] ['CLOSER']"]),
    ],
)
def test_a_walk_hashes_what_the_kernel_does_not_check(
    shim: Path, cached: str, fs: int, expected: list[str]
) -> None:
    """Read from the disk the kernel checks it; what stays cached, or lies elsewhere, it doesn't."""
    said = ask(shim, WALK, cached=cached, fs=fs)
    assert [line for line in said if not line.startswith("measure ")] == expected


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


FILES = """
import pathlib, tempfile
from verity.formats.fsverity import digest_bytes
where = pathlib.Path(tempfile.mkdtemp())
dir_fd = os.open(where, os.O_RDONLY)
def file(name, data):
    (where / name).write_bytes(data)
    return digest_bytes(data).value
def places(*names):
    return [m.Place(dir_fd=dir_fd, name=name) for name in names]
def which(*names):
    found = [os.lstat(where / name) if (where / name).exists() else None for name in names]
    return [m.Inode(one.st_dev, one.st_ino) if one else m.Inode(0, 0) for one in found]
stop = m.Stop()
def enabled(names, expected):
    found = m.enable_files(places(*names), expected, stop=stop)
    device = os.fstat(dir_fd).st_dev
    print([one and (one.new, one.inode.device == device) == (True, True) for one in found])
    assert all(one is None or one.inode in which(*names) for one in found)
"""
ENABLED = "enable 1 1 4096 0 0   0"


def test_many_files_are_enabled_only_if_as_expected(shim: Path) -> None:
    code = (
        'a = [file(f"f{size}", b"x" * size) for size in (0, 1, 4096, 1000000)]\n'
        'other = file("other", b"y")\n'
        'enabled(["f0", "f1", "f4096", "f1000000", "other"], [*a, a[0]])\n'
        'enabled(["other", "f1"], [None, other])\n'
    )
    assert ask(shim, FILES + code) == [
        *[ENABLED] * 4,
        "[True, True, True, True, None]",
        ENABLED,  # without a digest to expect: as for metadata objects
        "[True, None]",
    ]


def test_among_many_files_only_regular_ones_are_touched(shim: Path) -> None:
    code = (
        'due = file("good", b"x")\n'
        '(where / "link").symlink_to("good")\n'
        '(where / "folder").mkdir()\n'
        'os.mkfifo(where / "fifo")\n'
        'names = ["link", "folder", "fifo", "missing", "good"]\n'
        "enabled(names, [None, None, None, None, due])\n"
        "found = m.measure_files(places(*names), evicted=which(*names))\n"
        "print([digest is not None for digest in found])\n"
    )
    assert ask(shim, FILES + code) == [
        ENABLED,
        "[None, None, None, None, True]",
        "measure 32",
        "[False, False, False, False, True]",
    ]


def test_a_refusal_among_many_files_is_left_to_a_closer_look(shim: Path) -> None:
    code = (
        'due = file("good", b"x")\n'
        'enabled(["good"], [due])\n'
        'print(m.measure_files(places("good")))\n'
    )
    assert ask(shim, FILES + code, errno.EACCES) == ["[None]", "[None]"]


def test_many_large_files_are_left_to_the_way_that_can_be_interrupted(shim: Path) -> None:
    code = (
        'due = file("good", b"x")\nk.MAX_IN_ONE_CALL = 1\nenabled(["good", "good"], [due, due])\n'
    )
    assert ask(shim, FILES + code) == [ENABLED, "[True, None]"]


def test_the_digest_of_many_files_is_the_kernels(shim: Path) -> None:
    code = (
        'file("good", b"x")\n'
        'print(*m.measure_files(places("good"), evicted=which("good")))\n'
        'print(*m.measure_files(places("good")))\n'
    )
    digest = "sha256:" + bytes(range(32)).hex()
    assert ask(shim, FILES + code) == ["measure 32", digest, "measure 32", digest]


def test_many_files_end_early_between_two_of_them(shim: Path) -> None:
    code = (
        'due = file("good", b"x")\nstop.set()\n'
        'enabled(["good", "good"], [due, None])\nprint(bool(stop), bool(m.Stop()))\n'
    )
    assert ask(shim, FILES + code) == ["[None, None]", "True False"]


def test_what_stays_cached_is_left_to_a_closer_look(shim: Path) -> None:
    code = (
        'file("good", b"x")\n'
        'print(m.measure_files(places("good"), evicted=which("good")))\n'
        'fd = os.open(where / "good", os.O_RDONLY)\n'
        'print(k.cached_pages(fd, label="f"))\n'
    )
    assert ask(shim, FILES + code, cached="3") == ["[None]", "3"]


def test_another_file_of_that_name_is_left_to_a_closer_look(shim: Path) -> None:
    code = (
        'file("good", b"x")\nfile("other", b"x")\n'
        'print(m.measure_files(places("good"), evicted=which("other")))\n'
    )
    assert ask(shim, FILES + code) == ["[None]"]


def test_without_cachestat_mincore_counts(shim: Path) -> None:
    # /proc/self/exe is mapped and running: most of it is cached on any kernel.
    code = (
        'fd = os.open("/proc/self/exe", os.O_RDONLY)\n'
        'pages = -(-os.fstat(fd).st_size // os.sysconf("SC_PAGESIZE"))\n'
        'print(0 < k.cached_pages(fd, label="f") <= pages)\n'
        'file("empty", b"")\n'
        'print(k.cached_pages(os.open(where / "empty", os.O_RDONLY), label="f"))\n'
        'ask(lambda: k.cached_pages(os.open("/proc/version", os.O_RDONLY), label="f"))\n'
        'large = os.open(where / "large", os.O_RDWR | os.O_CREAT)\n'
        "os.truncate(large, 200 << 20)\n"
        "os.pwrite(large, b'x', (199 << 20))\n"
        'print(k.cached_pages(large, label="f"))\n'
    )
    assert ask(shim, FILES + code, cached="none") == ["True", "0", "0", "1"]


def test_below_a_descriptor_no_link_is_followed_and_nothing_leads_out(shim: Path) -> None:
    code = (
        'file("good", b"x")\n'
        '(where / "folder").mkdir()\n'
        '(where / "folder/inner").write_bytes(b"y")\n'
        '(where / "link").symlink_to("good")\n'
        '(where / "way").symlink_to("folder")\n'
        'for name in ("good", "folder/inner", "link", "way/inner", "../x", "/etc/passwd",'
        ' "missing", "a\\0b"):\n'
        '    ask(lambda: m.open_place(*places(name), label="f") > 0)\n'
        "os.chdir(where)\n"
        'for name in ("good", "way/inner", "link", str(where / "good")):\n'
        '    ask(lambda: m.open_place(m.Place.of_path(name), label="f") > 0)\n'
    )
    link = "('CallerError', 'not-a-regular-file')"
    assert ask(shim, FILES + code) == [
        *["True", "True", link, link],
        *["('HostError', 'outside')", "('HostError', 'outside')"],
        *["('HostError', 'not-found')", "('CallerError', 'bad-path')"],
        *["True", "True", link, "True"],
    ]


def test_many_files_with_arguments_that_do_not_fit() -> None:
    place = many.Place(dir_fd=0, name="file")
    for expected in ([], [b"short"], [None, None]):
        with pytest.raises(ValueError, match="32 bytes"):
            many.enable_files([place], expected, stop=many.Stop())
    with pytest.raises(ValueError, match="NUL"):
        many.measure_files([many.Place(dir_fd=0, name="a\0b")])
