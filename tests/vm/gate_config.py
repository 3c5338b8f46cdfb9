# SPDX-License-Identifier: Apache-2.0
"""A world with guarded configuration: what the policy guards, what grants put there, and the files.

    /etc/guarded.d               signed, by the stream `config` (two of eight owners of role etc)
    /etc/guarded.d/mutable       mutable
    /etc/guarded.d/cache*        ignored
    /usr/lib/guarded.d           signed, by the stream `spare` (the vendor's role os)
    /var/lib/guarded/deep/tree   signed, likewise; what leads there is on no other way
    /etc/required.d              signed, by the stream `config`, and required to stay
    /var/lib/required/deep       likewise; its files are an ordinary user's to remove
    /absent/one/tree             signed, and not there; nor is /absent/two
    /sys/kernel/fscaps           signed, so that all of /sys isn't free

`install` makes the files before the gate is loaded, with fs-verity where it belongs; `fragments` is
what the boot bundle needs beside that of a machine without all this. Who signs is in gate_world.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests import boot
from tests.boot import OS
from verity.formats.grants import ConfigEntry, ConfigKind, Party, Role
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match
from verity.formats.records import Fragment, RecordKind
from verity.ports.content import digest_path

from . import gate_world as world
from .gate_blobs import EXPIRES
from .machine import Machine

ETC, VENDOR, DEEP, OUTSIDE = (
    "/etc/guarded.d",
    "/usr/lib/guarded.d",
    "/var/lib/guarded",
    "/opt/outside",
)
TREE = f"{DEEP}/deep/tree"
KEPT, KEPT_ABOVE = "/etc/required.d", "/var/lib/required"
KEPT_DEEP = f"{KEPT_ABOVE}/deep"
ABSENT = "/absent"
SYS, SYS_OTHER = "/sys/kernel/fscaps", "/sys/kernel/rcu_expedited"

GUARDED = tuple(
    Guarded(
        path=path.encode(),
        file_class=file_class,
        match=match,
        required=path in (KEPT, KEPT_DEEP),
    )
    for path, file_class, match in (
        (f"{ABSENT}/one/tree", GuardedClass.SIGNED, Match.TREE),
        (f"{ABSENT}/two", GuardedClass.SIGNED, Match.TREE),
        (ETC, GuardedClass.SIGNED, Match.TREE),
        (f"{ETC}/cache", GuardedClass.IGNORED, Match.PREFIX),
        (f"{ETC}/mutable", GuardedClass.MUTABLE, Match.TREE),
        (KEPT, GuardedClass.SIGNED, Match.TREE),
        (f"{KEPT}/mutable", GuardedClass.MUTABLE, Match.TREE),
        (SYS, GuardedClass.SIGNED, Match.TREE),
        (VENDOR, GuardedClass.SIGNED, Match.TREE),
        (TREE, GuardedClass.SIGNED, Match.TREE),
        (KEPT_DEEP, GuardedClass.SIGNED, Match.TREE),
    )
)

_OWNERS_FILES = ("good", "other", "sub/deep", "taken")
_VENDOR_FILES = (f"{VENDOR}/vendor", f"{TREE}/leaf")
_OWNERS_LINKS = {
    f"{ETC}/link": "good",
    f"{ETC}/abroad": f"{OUTSIDE}/unsigned",
    f"{KEPT}/link": "stays",
}
_KEPT_FILES = (f"{KEPT}/stays", f"{KEPT}/sub/stays", f"{KEPT_DEEP}/stays")
_WITH_VERITY = (
    *(f"{ETC}/{name}" for name in (*_OWNERS_FILES, "unlisted")),
    *(*_VENDOR_FILES, *_KEPT_FILES),
)
_MADE = f"""
mkdir -p {ETC}/sub {ETC}/mutable {VENDOR} {TREE} {OUTSIDE}/tree {KEPT}/sub {KEPT}/mutable
mkdir -p -m 777 {KEPT_DEEP}
for file in {" ".join(_KEPT_FILES)}; do echo "says stays" >$file; done
for file in {" ".join(_OWNERS_FILES)}; do echo "says $file" >{ETC}/$file; done
echo "says vendor" >{VENDOR}/vendor
echo "says leaf" >{TREE}/leaf
echo "says unlisted" >{ETC}/unlisted
echo "says unsigned" >{OUTSIDE}/unsigned
cp {OUTSIDE}/unsigned {OUTSIDE}/tree/leaf
for link in {" ".join(f"{path}={to}" for path, to in _OWNERS_LINKS.items())}; do
    ln -s "${{link#*=}}" "${{link%%=*}}"
done
for file in {" ".join(_WITH_VERITY)}; do
    fsverity enable $file
done
sync
"""


def install(machine: Machine) -> None:
    """Makes the files, in a machine whose root disk has fs-verity."""
    machine.run(_MADE)


def policy() -> Fragment:
    """The policy of gate_world.py, with guarded paths."""
    return world.policy(guarded=GUARDED)


def owners(folder: Path, serial: int = 1, taken: str = "taken") -> Fragment:
    """What the owners put into /etc; `taken` is what else they call the file of that name."""
    files = {f"{ETC}/{name}": f"says {name}\n" for name in _OWNERS_FILES if name != "taken"}
    files[f"{ETC}/{taken}"] = "says taken\n"
    files |= dict.fromkeys(_KEPT_FILES, "says stays\n")
    return _signed(folder, "config", serial, files, _OWNERS_LINKS)


def vendors(folder: Path, serial: int = 1) -> Fragment:
    """What the vendor puts elsewhere."""
    files = {path: f"says {Path(path).name}\n" for path in _VENDOR_FILES}
    return _signed(folder, "spare", serial, files, {})


def _signed(
    folder: Path, stream: str, serial: int, files: Mapping[str, str], links: Mapping[str, str]
) -> Fragment:
    entries = [
        ConfigEntry(path=path.encode(), kind=ConfigKind.FILE, digest=digest(folder, text))
        for path, text in files.items()
    ]
    entries += [
        ConfigEntry(path=path.encode(), kind=ConfigKind.SYMLINK, target=target.encode())
        for path, target in links.items()
    ]
    etc = stream == "config"
    blob = boot.grants_blob(
        Party.USER if etc else Party.VENDOR,
        Role.ETC if etc else Role.OS,
        stream,
        serial=serial,
        expires=EXPIRES,
        code=(),
        config=tuple(sorted(entries)),
    )
    signers = world.ETC[:2] if etc else (OS,)
    return boot.signed(stream, RecordKind.GRANTS, blob, *signers).fragment


def digest(folder: Path, text: str) -> bytes:
    """Of a file with this text."""
    file = folder / "contents"
    file.write_text(text)
    return digest_path(file).value
