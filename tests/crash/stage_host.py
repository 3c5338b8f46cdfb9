# SPDX-License-Identifier: Apache-2.0
"""A host with an update staged, and what its boots do with it: the loader's own code, as a program.

GRUB is played; that the power goes, and what a gate says to the bundle, is
tests/vm/test_boot_stage.py's.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import boot
from tests.vm.boot_update import grants_of
from verity.formats import bundle, grub_env
from verity.formats.fsverity import digest_bytes
from verity.formats.grants import Party, Role
from verity.formats.records import RecordKind

LOADER = Path("policy/gate/loader")
PROGRAM = Path(__file__).with_name("stage_program.c")
ENTRY, KERNEL, INITRD = "loader/entries/host.conf", "vmlinuz-2", "initrd.img-2"
OLD = {ENTRY: b"title one\n", "vmlinuz-1": b"kernel one"}
COUNT = "grub/verity.env"
NEW = {ENTRY: b"title two!\n", KERNEL: b"kernel two" * 9000, INITRD: b"initrd two" * 7000}


@dataclass(frozen=True, kw_only=True)
class Tools:
    program: Path
    digests: Path
    old: bytes
    new: bytes


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    folder = tmp_path_factory.mktemp("stage")
    sources = [
        path for path in sorted(LOADER.glob("*.c")) if path.name not in ("load.c", "unlock.c")
    ]
    flags = ["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-Wl,--wrap=ioctl"]
    flags += ["-Wl,--wrap=readdir", "-Wl,--wrap=renameat"]
    checked = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    include = ["-I", "policy/gate"]
    program = folder / "stage"
    build: list[str | Path] = ["cc", *flags, *checked, *include, "-o", program, PROGRAM, *sources]
    done = subprocess.run([*build, "-lbpf", "-lelf", "-lz"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [f"{len(data)} {digest_bytes(data).value.hex()}\n" for data in NEW.values()]
    (folder / "digests").write_text("".join(lines))
    return Tools(program=program, digests=folder / "digests", old=signed(OLD), new=signed(NEW))


def signed(files: dict[str, bytes]) -> bytes:
    """A bundle with grants that put these files into /boot; who signed it is the gate's to say."""
    config = tuple(sorted(grants_of(files)))
    blob = boot.grants_blob(Party.USER, Role.ETC, "etc", code=(), config=config)
    made = boot.signed("etc.grants", RecordKind.GRANTS, blob, boot.EXTENSION)
    return bundle.encode([made.fragment])


@dataclass(frozen=True, kw_only=True)
class Host:
    """A root file system, and what is done to it."""

    root: Path
    tools: Tools

    @property
    def state(self) -> Path:
        return self.root / "var/lib/verity"

    @property
    def grub(self) -> str:
        """What GRUB has counted; the block is whole in each case."""
        block = (self.root / "boot" / COUNT).read_bytes()
        value = chr(block[grub_env.VALUE_AT])
        assert block == grub_env.encode(value)
        return value

    def grub_counts(self, value: str) -> None:
        (self.root / "boot" / COUNT).write_bytes(grub_env.encode(value))

    def run(
        self,
        verb: str,
        kill: tuple[str, int] | None = None,
        *,
        cut: str = "",
        kinds: bool = True,
    ) -> tuple[int, str]:
        """Status and what was said; killed on entering the nth of these calls.

        ``cut``: killed before this name is given to what is new, or behind that: with a +. Without
        ``kinds``: on a file system whose directories don't say what their entries are.
        """
        argv = [str(self.tools.program), verb, str(self.root)]
        if kill is not None:
            inject = f"inject={kill[0]}:signal=KILL:when={kill[1]}"
            trace = ("-f", "-qq", "-o", "/dev/null", "-e", f"trace={kill[0]}", "-e", inject)
            argv = ["strace", *trace, *argv]
        # Not under strace: the search for leaks traces the program, too.
        sanitize = {"ASAN_OPTIONS": "detect_leaks=0"} if kill is not None else {}
        environment = {**os.environ, "DIGESTS": str(self.tools.digests), "CUT": cut, **sanitize}
        if not kinds:
            environment["NO_KINDS"] = "1"
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=environment)
        return done.returncode, done.stdout.strip() or done.stderr.strip()

    def boots(self) -> bool:
        """Whether from the update; it boots in each case."""
        boot_files, bundle_now = self.root / "boot", (self.state / "boot.bundle").read_bytes()
        assert (boot_files / "vmlinuz-1").read_bytes() == OLD["vmlinuz-1"]
        entry = (boot_files / ENTRY).read_bytes()
        assert entry in (OLD[ENTRY], NEW[ENTRY])
        for name in (KERNEL, INITRD):
            path = boot_files / name
            assert not path.exists() or path.read_bytes() == NEW[name]
            assert path.exists() or entry == OLD[ENTRY]
        assert bundle_now in (self.tools.old, self.tools.new)
        # With the new bundle the old entry would start a kernel that it may not grant: but on the
        # way back, which goes on before the gate is loaded.
        if entry == OLD[ENTRY] and bundle_now == self.tools.new:
            tries = (self.state / "tries").read_text()
            assert tries == "0\n" or self.grub == "f"
        return bundle_now == self.tools.new


@pytest.fixture
def host(tools: Tools, tmp_path: Path) -> Host:
    """A host with an update staged."""
    made = Host(root=tmp_path / "root", tools=tools)
    for folder, files in (("boot", OLD), ("var/lib/verity/next/boot", NEW)):
        for name, data in files.items():
            path = made.root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    (made.root / "boot/grub").mkdir()
    made.grub_counts("-")
    (made.state / "boot.bundle").write_bytes(tools.old)
    (made.state / "next/boot.bundle").write_bytes(tools.new)
    return made


def is_finished(host: Host, *, grub: str = "3") -> None:
    assert host.boots()
    assert not (host.state / "next").exists()
    assert (host.state / "previous/boot.bundle").read_bytes() == host.tools.old
    assert (host.root / "boot" / f"{ENTRY}.verity-old").read_bytes() == OLD[ENTRY]
    assert (host.state / "tries").read_text() == "3\n"
    assert host.grub == grub
    assert not [path for path in host.root.rglob("*.verity-new")]


def booted(host: Host, *, dies: bool = False, cut: str = "") -> str:
    """One boot as GRUB and the initramfs have it: what the initramfs says, in its first line.

    ``dies``: the new kernel does, before its initramfs. ``cut``: as for ``run``, while what waits
    is put into place.
    """
    counted = host.grub
    if counted in "0123":
        host.grub_counts("f012"[int(counted)])
    went_back = host.grub == "f" and (host.root / "boot" / f"{ENTRY}.verity-old").exists()
    if dies and not went_back and (host.root / "boot" / ENTRY).read_bytes() == NEW[ENTRY]:
        return "dead"
    if (host.state / "next").exists():
        status, said = host.run("apply", cut=cut)
        if status <= 0:
            return said or "cut"
    status, said = host.run("try")
    assert status == 0, said
    return said.splitlines()[0]


def is_taken_back(host: Host, why: str) -> None:
    assert not host.boots()
    assert (host.root / "boot" / ENTRY).read_bytes() == OLD[ENTRY]
    assert not (host.state / "tries").exists() and host.grub == "-"
    assert (host.state / "refused/boot.bundle").read_bytes() == host.tools.new
    assert (host.state / "refused/why").read_text() == f"{why}\n"
    assert booted(host) == "tries none"


def stage(host: Host) -> None:
    """The update once more."""
    folder = host.state / "next/boot"
    for name, data in NEW.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (host.state / "next/boot.bundle").write_bytes(host.tools.new)
