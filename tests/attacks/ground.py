# SPDX-License-Identifier: Apache-2.0
"""What the attacks work with, made on the host and put into a machine below /opt/attack.

    tools/      what the attacker brings along; signed, so that the tool itself is never what is
                refused
    signed/     specimens with fs-verity that the grants name
    revoked/    other builds, which the grants name and a revocation of their digests, too
    retired/    other builds, granted by a stream whose serial is revoked
    unlisted/   other builds of them with fs-verity that no grants name
    unsigned/   other builds of them without fs-verity
    guarded/    what the policy guards as signed: `file`, `other`, `sub/file`, which say their name,
                and the symlink `link` to `file`, all granted; below `mutable` it is mutable, below
                `stays` what is granted is required
    leading/    holds `to/place`, which the policy guards, too
    work/       a directory that everybody may write to

On the host the first three are below granted/ and the fourth below old/, which the vendor signs,
the others below others/. A specimen says `ran signed ...`, `ran unlisted ...` and so on: each
folder has other contents, since grants name contents and not paths.

listed/ has copies of the machine's interpreters and never leaves the host: it is signed by a policy
that lists them, and what has the same contents in the machine is an interpreter by that.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path

from tests.vm import Image, Machine, cache
from tests.vm.debian import run
from tests.vm.errors import VmError
from tests.vm.trust_world import TrustWorld, trust_world
from verity.formats import records
from verity.formats.grants import ConfigEntry, ConfigKind, Party, Role
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match
from verity.formats.records import RecordKind
from verity.formats.revoke import Revoke, StreamFloor, encode
from verity.ports import gate_object, keystore
from verity.ports.content import digest_path
from verity.verbs import fragments

TOP = "/opt/attack"
TOOLS, SIGNED, REVOKED, RETIRED, UNLISTED, UNSIGNED, WORK = (
    f"{TOP}/{name}"
    for name in ("tools", "signed", "revoked", "retired", "unlisted", "unsigned", "work")
)
GUARDED, LEADING = f"{TOP}/guarded", f"{TOP}/leading"
STAYS = f"{GUARDED}/stays"
GROUND_STREAM, RETIRED_STREAM, LISTED_STREAM = "attack-ground", "attack-retired", "attack-listed"
CONFIG_STREAM = "attack-config"
LISTS = """
[[interpreters]]
kind = "jit"
paths = ["/tools/jit"]
reason = "a program that may have executable memory, beside the same one that may not"
"""
"""What the policy lists beside Debian's own interpreters."""
PLACES = {
    "unit": "/etc/systemd/system/attack.service",
    "drop-in of a unit": "/etc/systemd/system/cron.service.d/attack.conf",
    "environment file": "/etc/default/attack",
    "sudoers.d": "/etc/sudoers.d/attack",
    "udev rules": "/etc/udev/rules.d/99-attack.rules",
    "modprobe.d": "/etc/modprobe.d/attack.conf",
    "tmpfiles.d": "/etc/tmpfiles.d/attack.conf",
    "sysctl.d": "/etc/sysctl.d/attack.conf",
    "profile.d": "/etc/profile.d/attack.sh",
    "ld.so.conf.d": "/etc/ld.so.conf.d/attack.conf",
    "cron": "/etc/cron.d/attack",
    "pam.d": "/etc/pam.d/attack",
}
"""Names that Debian's programs read, guarded one by one: the rest of its /etc isn't signed here."""
GUARDED_PATHS = (
    Guarded(path=GUARDED.encode(), file_class=GuardedClass.SIGNED, match=Match.TREE),
    Guarded(path=f"{GUARDED}/mutable".encode(), file_class=GuardedClass.MUTABLE, match=Match.TREE),
    Guarded(path=STAYS.encode(), file_class=GuardedClass.SIGNED, match=Match.TREE, required=True),
    Guarded(path=f"{LEADING}/to/place".encode(), file_class=GuardedClass.SIGNED, match=Match.TREE),
    *(
        Guarded(path=place.encode(), file_class=GuardedClass.SIGNED, match=Match.TREE)
        for place in PLACES.values()
    ),
)

_HERE = Path(__file__).parent
_GATE = _HERE.parents[1] / "policy/gate"
_CALL = _HERE.parent / "vm/gate_tools/call.c"
_CC = ("cc", "-O1", "-s", "-Wall", "-Wextra", "-Werror")
_CLANG = ("clang", "-g", "-O2", "-target", "bpf", "-mcpu=v3", "-Wall", "-Wextra", "-Werror")
_USER = 1000
_DISK = 6
_CAP_NET_ADMIN, _CAP_NET_RAW = 1 << 12, 1 << 13
_CAPABLE = {"capable": _CAP_NET_RAW, "more-capable": _CAP_NET_ADMIN | _CAP_NET_RAW}
# Enough for the kernel to hash while a tool works, even on an idle host.
_BIG_BYTES = 48 << 20
_PLACED = ("file", "other", "sub/file", "stays/file")


def ground(image: Image) -> Path:
    """The directory with granted/, old/ and others/, from the cache or compiled by root."""
    state = hashlib.sha256()
    mine = [Path(__file__), *_HERE.glob("tools/*"), *_HERE.glob("specimens/*")]
    upload = _CALL.with_name("upload.h")
    for source in (*sorted(mine), _CALL, upload, _GATE / "verity.h", _loader()):
        state.update(source.name.encode() + source.read_bytes())
    made = image.path / f"attack-ground-{state.hexdigest()[:16]}"
    cache.entry(made, lambda partial: _build(image.tree, partial))
    return made


def install(machine: Machine, made: Path) -> None:
    """Puts the ground into a machine, with fs-verity where it belongs."""
    for part in ("granted", "old", "others"):
        machine.push(made / part, TOP)
    folders = f"{TOOLS} {SIGNED} {REVOKED} {RETIRED} {UNLISTED} {GUARDED}"
    machine.run(f"find {folders} -type f -print0 | xargs -0 {TOOLS}/enable", timeout_s=120)


def world(
    image: Image,
    *,
    mode: str = "sealed",
    reactions: Mapping[str, str] | None = None,
    guards: bool = True,
) -> TrustWorld:
    """Pins and a boot bundle that grant Debian and what is signed of the ground, each tree of it as
    serial 1 of its stream. `reactions` are the policy's beside the default; nothing can be mounted
    on the way to what the policy `guards`."""
    made = ground(image)
    streams = {
        GROUND_STREAM: made / "granted",
        RETIRED_STREAM: made / "old",
        LISTED_STREAM: made / "listed",
    }
    guarded, config = (GUARDED_PATHS, placed(made)) if guards else ((), {})
    return trust_world(
        image,
        streams,
        mode=mode,
        reactions=reactions,
        rules=LISTS,
        guarded=guarded,
        config=config,
    )


def placed(made: Path) -> dict[str, list[ConfigEntry]]:
    """What is granted in the guarded directory, by its stream."""
    folder = made / "others/guarded"
    found = [
        ConfigEntry(
            path=f"{GUARDED}/{name}".encode(),
            kind=ConfigKind.FILE,
            digest=digest_path(folder / name).value,
        )
        for name in _PLACED
    ]
    link = ConfigEntry(path=f"{GUARDED}/link".encode(), kind=ConfigKind.SYMLINK, target=b"file")
    return {CONFIG_STREAM: [*found, link]}


def revoke(machine: Machine, made: Path, by: TrustWorld) -> None:
    """The vendor's revocations, handed to the gate of a sealed machine."""
    files = [path for path in (made / "granted/revoked").rglob("*") if path.is_file()]
    blob = encode(
        Revoke(
            party=Party.VENDOR,
            role=Role.ROOT,
            serial=1,
            issued=0,
            digests=tuple(sorted({digest_path(file).value for file in files})),
            streams=(StreamFloor(stream=RETIRED_STREAM, lowest=2),),
        )
    )
    signer = keystore.load_signer(str(by.key("vendor-root")))
    signed = fragments.sign(RecordKind.REVOKE, blob, [signer], party=Party.VENDOR, role=Role.ROOT)
    call = [f"{TOOLS}/call", "from=-", "next"]
    assert machine.run(call, input=records.join([signed])).text == "3000"


def _build(tree: Path, partial: Path) -> None:
    granted, old, others = (partial / name for name in ("granted", "old", "others"))
    places = ("work", "guarded/sub", "guarded/stays", "leading/to/place")
    for folder in (granted / "tools", old, *(others / place for place in places)):
        folder.mkdir(parents=True)
    (others / "work").chmod(0o1777)
    (others / "guarded/mutable").mkdir()
    (others / "guarded/link").symlink_to("file")
    for name in _PLACED:
        (others / "guarded" / name).write_text(f"says {name}\n")
    for source in _HERE.glob("tools/*.c"):
        libraries = _libbpf() if source.stem == "interfere" else []
        program = granted / "tools" / source.stem
        run([*_CC, "-o", str(program), str(source), *libraries])
    _variant(granted / "tools/mapper", "jit")
    shutil.copy(_loader(), granted / "tools/verity-load")
    for source in _HERE.glob("tools/*.py"):
        shutil.copy(source, granted / "tools")
    (granted / "tools/compile.py").chmod(0o755)
    for source in _HERE.glob("specimens/*.bpf.c"):
        headers = f"/usr/include/{os.uname().machine}-linux-gnu"
        out = granted / "tools" / source.with_suffix(".o").name
        run([*_CLANG, "-idirafter", headers, "-c", str(source), "-o", str(out)])
    run([*_CC, "-pthread", "-I", str(_GATE), "-o", str(granted / "tools/call"), str(_CALL)])
    for mark in ("signed", "revoked"):
        _specimens(granted / mark, mark)
    _specimens(old / "retired", "retired")
    for mark in ("unlisted", "unsigned"):
        _specimens(others / mark, mark)
    (partial / "listed/usr/bin").mkdir(parents=True)
    for program in (*tree.glob("usr/bin/python3.*"), tree / "usr/bin/perl"):
        shutil.copy(program, partial / "listed/usr/bin")
    (module,) = tree.glob("usr/lib/modules/*/kernel/drivers/net/dummy.ko.xz")
    # What the distribution has compressed: init_module(2) takes it in no other form.
    (others / "unsigned/dummy.ko").write_bytes(lzma.decompress(module.read_bytes()))


def _loader() -> Path:
    """The gate's own, which an attacker may start as often as they like."""
    found = gate_object.find_loader()
    if isinstance(found, gate_object.Missing):
        raise VmError(f"the loader: {found.reason}; {found.hint}")
    return found.path


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
    _interpreted(folder, mark)
    for other in ("signed", "unsigned"):
        _script(folder / f"through-{other}.sh", f"{TOP}/{other}/interpreter", f"# {mark}")
        _script(folder / f"nested-{other}.sh", f"{TOP}/{other}/script.sh", f"# {mark}")


def _interpreted(folder: Path, mark: str) -> None:
    """Scripts of listed interpreters, and modules for them, one of which is native code."""
    _script(folder / "script.py", "/usr/bin/python3", f"print('ran {mark} python')")
    _script(folder / "through-env.py", "/usr/bin/env python3", f"print('ran {mark} python')")
    _script(folder / "script.pl", "/usr/bin/perl", f'print "ran {mark} perl\\n";')
    _script(folder / "importing.py", "/usr/bin/python3", f"import attack  # {mark}")
    maps = f"import mmap; mmap.mmap(-1, 4096, prot=7); print('ran {mark} mapping')"
    _script(folder / "mapping.py", "/usr/bin/python3", maps)
    modules, native = folder / "modules", folder / "native"
    modules.mkdir()
    native.mkdir()
    (modules / "attack.py").write_text(f"print('ran {mark} module')\n")
    (modules / "Attack.pm").write_text(f'print "ran {mark} module\\n"; 1;\n')
    shutil.copy(folder / "library.so", native / "attack.so")


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
