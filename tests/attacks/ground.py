# SPDX-License-Identifier: Apache-2.0
"""What the attacks work with, made on the host and put into a machine below /opt/attack.

    tools/      what the attacker brings along; signed, so that the tool itself is never what is
                refused
    signed/     specimens with fs-verity that the grants name
    unlisted/   other builds of them with fs-verity that no grants name
    unsigned/   other builds of them without fs-verity
    work/       a directory that everybody may write to

On the host the first two are below granted/, which is what the vendor signs, the others below
others/. A specimen says `ran signed ...`, `ran unlisted ...` or `ran unsigned ...`: each folder has
other contents, since grants name contents and not paths.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import struct
from pathlib import Path

from tests.vm import Image, Machine, cache
from tests.vm.debian import run

TOP = "/opt/attack"
TOOLS, SIGNED, UNLISTED, UNSIGNED, WORK = (
    f"{TOP}/{name}" for name in ("tools", "signed", "unlisted", "unsigned", "work")
)

_HERE = Path(__file__).parent
_CC = ("cc", "-O1", "-s", "-Wall", "-Wextra", "-Werror")
_CLANG = ("clang", "-g", "-O2", "-target", "bpf", "-mcpu=v3", "-Wall", "-Wextra", "-Werror")
_USER = 1000
_DISK = 6
_CAP_NET_ADMIN, _CAP_NET_RAW = 1 << 12, 1 << 13
_CAPABLE = {"capable": _CAP_NET_RAW, "more-capable": _CAP_NET_ADMIN | _CAP_NET_RAW}
# Enough for the kernel to hash while a tool works, even on an idle host.
_BIG_BYTES = 48 << 20


def ground(image: Image) -> Path:
    """The directory with granted/ and others/, from the cache or compiled; needs root then."""
    state = hashlib.sha256()
    for source in sorted([Path(__file__), *_HERE.glob("tools/*"), *_HERE.glob("specimens/*")]):
        state.update(source.name.encode() + source.read_bytes())
    made = image.path / f"attack-ground-{state.hexdigest()[:16]}"
    cache.entry(made, lambda partial: _build(image.tree, partial))
    return made


def install(machine: Machine, made: Path) -> None:
    """Puts the ground into a machine, with fs-verity where it belongs."""
    for half in ("granted", "others"):
        machine.push(made / half, TOP)
    folders = f"{TOOLS} {SIGNED} {UNLISTED}"
    machine.run(f"find {folders} -type f -print0 | xargs -0 {TOOLS}/enable", timeout_s=120)


def _build(tree: Path, partial: Path) -> None:
    granted, others = partial / "granted", partial / "others"
    for folder in (granted / "tools", others / "work"):
        folder.mkdir(parents=True)
    (others / "work").chmod(0o1777)
    for source in _HERE.glob("tools/*.c"):
        libraries = _libbpf() if source.stem == "interfere" else []
        program = granted / "tools" / source.stem
        run([*_CC, "-o", str(program), str(source), *libraries])
    for source in _HERE.glob("specimens/*.bpf.c"):
        headers = f"/usr/include/{os.uname().machine}-linux-gnu"
        out = granted / "tools" / source.with_suffix(".o").name
        run([*_CLANG, "-idirafter", headers, "-c", str(source), "-o", str(out)])
    _specimens(granted / "signed", "signed")
    for mark in ("unlisted", "unsigned"):
        _specimens(others / mark, mark)
    (module,) = tree.glob("usr/lib/modules/*/kernel/drivers/net/dummy.ko.xz")
    # What the distribution has compressed: init_module(2) takes it in no other form.
    (others / "unsigned/dummy.ko").write_bytes(lzma.decompress(module.read_bytes()))


def _libbpf() -> list[str]:
    """libbpf inside the program, since the machine has none; newer versions of libelf want zstd."""
    zstd = Path(run([_CC[0], "-print-file-name=libzstd.a"]).strip())
    return ["-static", "-lbpf", "-lelf", "-lz", *(["-lzstd"] if zstd.is_absolute() else [])]


def _specimens(folder: Path, mark: str) -> None:
    folder.mkdir()
    program = folder / "program"
    marked = [*_CC, f'-DMARK="{mark}"']
    source = str(_HERE / "specimens/program.c")
    run([*marked, "-static", "-o", str(program), source])
    run([*marked, "-o", str(folder / "dynamic"), source])
    library = str(_HERE / "specimens/library.c")
    run([*marked, "-shared", "-fPIC", "-o", str(folder / "library.so"), library])
    _variant(program, "interpreter")
    _variant(program, "victim")
    _variant(program, "setuid", mode=0o4755)
    _variant(program, "setgid", mode=0o2755, group=_DISK)
    _variant(program, "setuid-user", mode=0o4755, user=_USER, group=_USER)
    for name, capabilities in _CAPABLE.items():
        capable = _variant(program, name)
        os.setxattr(capable, "security.capability", _file_capability(capabilities))
    # Position-independent and not executable: grants take it for a library.
    _variant(folder / "dynamic", "not-executable", mode=0o644)
    big = _variant(program, "big")
    os.truncate(big, _BIG_BYTES)
    _script(folder / "script.sh", "/bin/sh", f"echo ran {mark} script")
    _script(folder / "helper.sh", "/bin/sh", f"echo ran {mark} helper >{WORK}/helped")
    _script(folder / "data.sh", "/bin/sh", f"echo ran {mark} data", mode=0o644)
    for other in ("signed", "unsigned"):
        _script(folder / f"through-{other}.sh", f"{TOP}/{other}/interpreter", f"# {mark}")
        _script(folder / f"nested-{other}.sh", f"{TOP}/{other}/script.sh", f"# {mark}")


def _variant(program: Path, name: str, *, mode: int = 0o755, user: int = 0, group: int = 0) -> Path:
    """A copy with contents of its own: a digest's grants are of all files that have it."""
    path = program.with_name(name)
    path.write_bytes(program.read_bytes() + name.encode())
    os.chown(path, user, group)
    path.chmod(mode)
    return path


def _script(path: Path, interpreter: str, line: str, *, mode: int = 0o755) -> None:
    path.write_text(f"#!{interpreter}\n{line}\n")
    path.chmod(mode)


def _file_capability(permitted: int) -> bytes:
    """The xattr of capabilities(7), revision 2, with capabilities below 32, and effective."""
    return struct.pack("<IIIII", 0x02000001, permitted, 0, 0, 0)
