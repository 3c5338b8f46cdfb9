# SPDX-License-Identifier: Apache-2.0
"""An audit of 100,000 files beside `aide --check`, in a machine: time and memory, from one boot.

The files lie on an ext4 disk of their own, all with fs-verity, and are as signed; the cache is
warm. AIDE is Debian's, and compares what we compare: type, links, mode, owner, size, ACLs, xattrs,
and SHA-256 alone of the hashes; its configuration is printed. Its database is made in the same
boot. Runs take turns; medians of the times, the largest memory. Nothing here passes or fails.

`python -m tests.bench.audit prepare` only makes the disk, which the cache keeps; a number is one of
files; `host` compares on this machine, where nothing has fs-verity: both hash everything.
"""

import hashlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import verity_disk
from tests.bench.signing import Cost, measure, quietly
from tests.vm import Disk, Image, Machine, build_image, cache, debs
from tests.vm.debian import run

FILES = 100_000
_DIRECTORY = 20  # files in each
_VERITY = str(Path(sys.executable).with_name("verity"))
_RUN_TIMEOUT_S = 900.0
_MEMORY_MIB = 3072  # all contents stay cached
_RULES = "ftype+p+u+g+s+l+acl+xattrs+sha256"
_CONFIGURATION = """\
database_in=file:{top}/aide.db
database_out=file:{top}/aide.db
log_level=error
report_level=summary
report_url=stdout
{root} {rules}
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a command in the machine took: seconds, and MB."""

    seconds: float
    memory: float


def make(top: Path, files: int) -> None:
    """A tree, and what signs it, below `top`: sizes as they are in /usr, a quarter of them."""
    chance = random.Random(1)  # the same tree each time
    tree = top / "shipped/root"
    for number in range(files):
        folder = tree / f"usr/{number // _DIRECTORY // 64}/{number // _DIRECTORY % 64}"
        if not number % _DIRECTORY:
            folder.mkdir(parents=True)
        size = int(min(chance.lognormvariate(7.8, 1.6), 4 << 20))
        program = number % 20 == 0
        data = (b"\x7fELF\2\1\1" + bytes(9) + b"\3\0\x3e\0\1\0\0\0" + b"\1" * 40) * program
        (folder / f"file-{number}").write_bytes(data + chance.randbytes(size))
        if program:
            (folder / f"file-{number}").chmod(0o755)
        if number % 10 == 0:
            (folder / f"link-{number}").symlink_to(f"file-{number}")
    quietly(top, _VERITY, "key", "generate", "key")
    quietly(top, "ostree", "--repo=repo", "init", "--mode=bare")
    commit = ("ostree", "--repo=repo", "commit", "--fsync=false", "-b", "bench")
    quietly(top, *commit, f"--tree=dir={tree}", "--owner-uid=0", "--owner-gid=0")
    sign = (_VERITY, "commit", "sign", "--repo", "repo", "--key", "key", "--stream", "bench")
    quietly(top, *sign, "--serial", "1", "bench")
    # The documents are enough: an audit reads no object.
    quietly(top, "find", "repo/objects", "-name", "*.file", "-delete")
    (top / "repo").rename(top / "shipped/repo")
    (top / "key.pub").rename(top / "shipped/key.pub")


def disk(image: Image, files: int) -> Path:
    """The disk with the tree, all of it with fs-verity, from the cache or made."""
    code = Path(__file__).read_bytes().partition(b"# --- runs")[0]
    code += Path(verity_disk.__file__).read_bytes()
    key = f"{files}-{hashlib.sha256(code).hexdigest()[:16]}"
    made = image.path.parents[1] / f"bench-audit-{key}"

    def build(partial: Path) -> None:
        make(partial, files)
        shipped = partial / "shipped"
        size = f"{512 + files // 40}M"
        verity_disk.make(shipped, shipped / "root", partial / "disk.img", size)
        cache.remove_tree(shipped)

    cache.entry(made, build)
    return made / "disk.img"


# --- runs -----------------------------------------------------------------------------------------

_CALLS = Path(__file__).with_name("audit_calls.c")
_TURNS = 2


def main(parts: Sequence[str] = ()) -> None:
    """Print this part of the table; the wheel that is measured is in the environment."""
    files = next((int(part) for part in parts if part.isdigit()), FILES)
    if "host" in parts:
        _host(files)
        return
    image = build_image(Path(os.environ["VERITY_WHEEL"]))
    data = disk(image, files)
    if "prepare" in parts:
        return
    packages = debs.packages(image, "aide")
    configuration = _CONFIGURATION.format(top="/run", root="/data/root", rules=_RULES)
    print(f"aide {debs.version(packages, 'aide')}, configured so:")
    print("    " + configuration.replace("\n", "\n    ").rstrip())
    attached = Disk(path=data, serial="data", nvdimm=True)
    with Machine.boot("system", image, memory_mib=_MEMORY_MIB, disks=[attached]) as machine:
        debs.install(machine, packages)
        machine.run("cat >/run/aide.conf", input=configuration.encode())
        machine.run(f"mkdir /data && mount -o ro {machine.device('data')} /data")
        machine.run("find /data/root -type f -print0 >/run/files")
        machine.run("xargs -0 cat </run/files >/dev/null", timeout_s=_RUN_TIMEOUT_S)
        print(machine.run("df -h /data; find /data/root | wc -l; nproc").text)
        _compare(machine)
        _floors(machine)


def _compare(machine: Machine) -> None:
    """In turns, so that what else the host does is in both."""
    signed = "--root /data/root --repo /data/repo --commit bench --key /data/key.pub"
    audit = f"verity audit --only files {signed}"
    aide = "aide --config=/run/aide.conf"
    _line("audit, first", [_timed(machine, audit)])
    _line("aide --init", [_timed(machine, f"{aide} --init")])
    ours, theirs, deep = [], [], []
    for _ in range(_TURNS):
        ours.append(_timed(machine, audit))
        theirs.append(_timed(machine, f"{aide} --check"))
        ours.append(_timed(machine, audit))
        deep.append(_timed(machine, f"{audit} --deep"))
    _line("audit", ours)
    _line("aide --check", theirs)
    _line("audit --deep", deep)
    _line("python3 -I -c pass", [_timed(machine, "python3 -I -c pass") for _ in range(3)])
    _line("verity --version", [_timed(machine, "verity --version") for _ in range(3)])
    for what, runs in (("audit", ours), ("audit --deep", deep)):
        ratio = _median(runs) / _median(theirs)
        print(f"{what} takes {ratio:.3f} of the time of aide --check", flush=True)


def _floors(machine: Machine) -> None:
    """What no audit can go below: the kernel's own part, by two threads or processes, alone."""
    with tempfile.TemporaryDirectory(prefix="verity-bench-") as name:
        calls = Path(name) / "calls"
        run(["cc", "-static", "-O2", "-pthread", "-o", str(calls), str(_CALLS)])
        machine.push(calls, "/run/calls")
    machine.run("printf '#!/bin/sh\nexec /run/calls </run/files\n' >/run/ask")
    machine.run("printf '#!/bin/sh\nexec xargs -0 -P2 -n500 cat </run/files\n' >/run/read")
    machine.run("chmod +x /run/ask /run/read")
    _line("only open, fstat, digest, xattrs, close", [_timed(machine, "/run/ask") for _ in "12"])
    machine.run("sync; echo 1 >/proc/sys/vm/drop_caches")
    _line("only cat, of files that are not cached", [_timed(machine, "/run/read")])


def _timed(machine: Machine, command: str) -> Run:
    """Run it; it must succeed."""
    taken = (
        "import os,sys,time; start=time.monotonic(); pid=os.posix_spawnp(sys.argv[1],sys.argv[1:],"
        "os.environ,file_actions=[(os.POSIX_SPAWN_OPEN,1,'/run/out',577,384)]);"
        "status,used=os.wait4(pid,0)[1:]; print(time.monotonic()-start,used.ru_maxrss,status)"
    )
    done = machine.run(["python3", "-c", taken, *command.split()], timeout_s=_RUN_TIMEOUT_S)
    seconds, memory, status = done.text.split()
    if int(status):
        raise RuntimeError(f"{command}: {machine.run('tail -n 20 /run/out').text} {done.stderr!r}")
    return Run(seconds=float(seconds), memory=int(memory) / 1024)


def _line(what: str, runs: Sequence[Run]) -> None:
    seconds = _median(runs)
    memory = max(one.memory for one in runs)
    print(f"{what:44} {seconds:9.3f} s {memory:8.0f} MB  of {len(runs)}", flush=True)


def _median(runs: Sequence[Run]) -> float:
    return statistics.median(one.seconds for one in runs)


def _host(files: int) -> None:
    """Beside AIDE of this machine; an audit ends with 1, since nothing has fs-verity."""
    with tempfile.TemporaryDirectory(prefix="verity-bench-") as name:
        top = Path(name)
        make(top, files)
        root = top / "shipped/root"
        (top / "aide.conf").write_text(_CONFIGURATION.format(top=top, root=root, rules=_RULES))
        subprocess.run(["aide", f"--config={top}/aide.conf", "--init"], check=True)
        audit = (
            f"{_VERITY} audit --root {root} --repo {top}/shipped/repo --commit bench --only files"
        )
        hashing = ["sh", "-c", f"{audit} --key {top}/shipped/key.pub; test $? = 1"]
        ours, theirs = measure(top, hashing, ["aide", f"--config={top}/aide.conf", "--check"])
        _host_line("audit, all hashed", ours)
        _host_line("aide --check", theirs)


def _host_line(what: str, cost: Cost) -> None:
    print(f"{what:44} {cost.clock:9.3f} s {cost.processor:9.3f} s {cost.memory:6.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
