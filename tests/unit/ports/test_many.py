# SPDX-License-Identifier: Apache-2.0
"""Reading many files in one call: the same as hashlib for each, and nothing that isn't its name."""

import array
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from verity.formats.fsverity import digest_bytes
from verity.ports import kernel, many

PREFIX = b"some--owner-group-and-mode--more"
OWNER_AT = 6
# Around a block, the largest file that is gathered, and the piece in which files are.
SIZES = [0, 1, 63, 64, 65, 4095, 4096, 4097, 70000, 262143, 262144, 262145, 1 << 20, 3000000]


def named(data: bytes) -> bytes:
    """The name of a file of ours of the mode 0640: a checksum over a prefix and the contents."""
    owner = b"".join(n.to_bytes(4, "big") for n in (os.geteuid(), os.getegid(), 0o100640))
    prefix = PREFIX[:OWNER_AT] + owner + PREFIX[OWNER_AT + 12 :]
    return hashlib.sha256(prefix + data).digest()


def write(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    os.chown(folder / name, os.geteuid(), os.getegid())
    (folder / name).chmod(0o640)


def read(folder: Path, names: list[str], checksums: list[bytes]) -> list[many.Named | None]:
    fd = os.open(folder, os.O_RDONLY)
    try:
        places = many.Packed(
            dirs=array.array("i", [fd] * len(names)),
            names=b"".join(os.fsencode(name) + b"\0" for name in names),
        )
        return many.read_files(places, b"".join(checksums), prefix=PREFIX, owner_at=OWNER_AT)
    finally:
        os.close(fd)


def due(data: bytes) -> many.Named:
    return many.Named(
        uid=os.geteuid(),
        gid=os.getegid(),
        mode=0o100640,
        size=len(data),
        digest=digest_bytes(data).value,
        head=data[:64],
    )


def test_files_of_any_size_together(tmp_path: Path) -> None:
    """Twice, so that what is gathered is finished with in between."""
    contents = [os.urandom(size) for size in SIZES * 2]
    names = [f"f{number}" for number in range(len(contents))]
    for name, data in zip(names, contents, strict=True):
        write(tmp_path, name, data)
    assert read(tmp_path, names, list(map(named, contents))) == list(map(due, contents))


def test_more_files_than_are_gathered_with_others_among_them(tmp_path: Path) -> None:
    """Every third isn't what its name says, and takes nothing of the others along."""
    contents = [b"%d" % number * (number % 9) for number in range(600)]
    names = [f"f{number}" for number in range(len(contents))]
    checksums = list(map(named, contents))
    for number, (name, data) in enumerate(zip(names, contents, strict=True)):
        write(tmp_path, name, data if number % 3 else b"another")
    found = read(tmp_path, names, checksums)
    assert found == [due(data) if n % 3 else None for n, data in enumerate(contents)]


@pytest.mark.parametrize("size", [5, 300000], ids=["small", "large"])
@pytest.mark.parametrize("change", ["bytes", "mode", "gone", "link", "folder", "xattr"])
def test_what_wants_a_closer_look(tmp_path: Path, size: int, change: str) -> None:
    data = os.urandom(size)
    for name in ("before", "it", "behind"):
        write(tmp_path, name, data)
    it = tmp_path / "it"
    if change == "bytes":
        with it.open("r+b") as file:
            file.seek(size - 1)
            file.write(bytes([data[-1] ^ 1]))
    elif change == "mode":
        it.chmod(0o600)
    elif change == "xattr":
        os.setxattr(it, "user.a", b"1")
    else:
        it.unlink()
        if change == "link":
            it.symlink_to("before")
        elif change == "folder":
            it.mkdir()
    found = read(tmp_path, ["before", "it", "behind"], [named(data)] * 3)
    assert found == [due(data), None, due(data)]


def test_no_more_bytes_than_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "MAX_IN_ONE_CALL", 1000)
    contents = [b"a" * 600, b"b" * 600, b"c" * 400]
    for name, data in zip("abc", contents, strict=True):
        write(tmp_path, name, data)
    found = read(tmp_path, list("abc"), list(map(named, contents)))
    assert found == [due(contents[0]), None, due(contents[2])]


def test_arguments_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        read(tmp_path, ["a"], [bytes(31)])
    with pytest.raises(ValueError, match="NUL"):
        read(tmp_path, ["a\0b"], [bytes(32)])


# A head that was read again would be what another process put there since, in one tick of ctime.
SHORT_READS_LIE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

ssize_t pread64(int fd, void *out, size_t len, off_t at)
{
	ssize_t (*real)(int, void *, size_t, off_t) = dlsym(RTLD_NEXT, "pread64");
	ssize_t count = real(fd, out, len, at);

	return count == 64 ? (memset(out, 'x', 64), count) : count;
}

ssize_t pread(int fd, void *out, size_t len, off_t at)
{
	return pread64(fd, out, len, at);
}
"""
READS_ONE = """
import sys
from pathlib import Path
from tests.unit.ports.test_many import due, named, read

folder = Path(sys.argv[1])
data = (folder / "large").read_bytes()
assert read(folder, ["large"], [named(data)]) == [due(data)]
"""


def test_the_head_of_a_large_file_is_what_was_hashed(tmp_path: Path) -> None:
    write(tmp_path, "large", os.urandom(300000))
    source, library = tmp_path / "lie.c", tmp_path / "lie.so"
    source.write_text(SHORT_READS_LIE)
    compiler = shutil.which("cc") or pytest.fail("a C compiler is needed: apt-get install gcc")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    done = subprocess.run(
        [sys.executable, "-c", READS_ONE, tmp_path],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
