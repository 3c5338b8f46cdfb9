# SPDX-License-Identifier: Apache-2.0
"""Which grants a manifest earns: fixed rules, so that anyone recomputes them.

From the manifest and the first bytes of its files (docs/formats.md section 6), without a guess.
Two things are no property of a file: the flags interpreter and jit, and whether it is guarded
configuration. The caller says what is ``Asked``, and the rules which files may have it. It decides
no trust: a grant counts only under a signature.
"""

import stat
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from verity.formats import elf
from verity.formats.dump import Entry, printable
from verity.formats.grant_config import configuration
from verity.formats.grants import (
    ALL_CODE,
    Code,
    CodeEntry,
    ConfigEntry,
    ElevateEntry,
    Grants,
    Role,
    sorted_code,
)
from verity.values.errors import ContentError

MODULE_SUFFIXES = (b".ko", b".ko.xz", b".ko.zst", b".ko.gz")
FIRMWARE = (b"/usr/lib/firmware/", b"/lib/firmware/")
NOTHING = Code(0)
_CODE = (elf.SCRIPT, elf.MAGIC)
RUNS = Code.EXEC | Code.SCRIPT
LISTED = Code.INTERPRETER | Code.JIT
_MAY_GRANT = {
    Role.OS: ALL_CODE,
    Role.ETC: NOTHING,
    Role.EXTENSION: Code.EXEC | Code.LIBRARY | Code.SCRIPT,
}
_EXECUTE = 0o111
_GROUP_EXECUTE = 0o010

Listed = Callable[[Entry], Code]
"""The flags of ``LISTED`` that somebody asks for a file: a policy (``grant_lists``), or grants."""
IsGuarded = Callable[[Sequence[Entry]], Sequence[Entry]]
"""The entries of a tree that are guarded configuration (``grant_config``), or granted as such."""


def nothing_listed(_: Entry) -> Code:
    """Without a policy no file is listed."""
    return NOTHING


def nothing_guarded(_: Sequence[Entry]) -> Sequence[Entry]:
    """Without a policy nothing is guarded."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What no file says of itself."""

    listed: Listed = nothing_listed
    guarded: IsGuarded = nothing_guarded


NOTHING_ASKED = Asked()


def as_granted(grants: Grants) -> Asked:
    """Take it from grants that are there, where no policy says it."""
    flags = {one.digest: one.flags & LISTED for one in grants.code if one.flags & LISTED}
    paths = {one.path for one in grants.config}
    return Asked(
        listed=lambda entry: NOTHING if entry.digest is None else flags.get(entry.digest, NOTHING),
        guarded=lambda entries: (
            [entry for entry in entries if entry.path in paths] if paths else ()
        ),
    )


def may_be_listed(code: Code) -> Code:
    """Which of ``LISTED`` a file with these flags may have.

    The gate asks an interpreter when it is started, as a program or a script; it asks what a
    process may do of the program that runs, which is never a script.
    """
    return (Code.INTERPRETER if code & RUNS else NOTHING) | (
        Code.JIT if code & Code.EXEC else NOTHING
    )


@dataclass(frozen=True)
class Earned:
    """The tables that a tree's contents earn."""

    code: tuple[CodeEntry, ...] = ()
    elevate: tuple[ElevateEntry, ...] = ()
    config: tuple[ConfigEntry, ...] = ()


def earned(
    entries: Sequence[Entry], heads: Mapping[bytes, bytes], asked: Asked = NOTHING_ASKED
) -> Earned:
    """Apply the rules. ``heads`` gives the first ``elf.HEAD_SIZE`` bytes by digest.

    Raises ContentError (``bad-capability``) for file capabilities that can't be granted.
    """
    flags: dict[bytes, Code] = {}
    elevations: set[ElevateEntry] = set()
    for entry in entries:
        if entry.digest is None:
            continue
        code = code_flags(entry, heads[entry.digest])
        if code is NOTHING:
            continue
        code |= asked.listed(entry) & may_be_listed(code)
        flags[entry.digest] = flags.get(entry.digest, NOTHING) | code
        elevation = elevation_of(entry, code)
        if elevation is not None:
            elevations.add(elevation)
    return Earned(
        sorted_code(flags),
        tuple(sorted(elevations)),
        configuration(asked.guarded(entries)).config,
    )


def check_role(grants: Grants) -> None:
    """Refuse tables that the role may not fill (``beyond-role``), as the gate does.

    os: all; etc: configuration; extension: exec, library and script.
    """
    name = grants.role.name.lower()
    if grants.role not in _MAY_GRANT:
        raise ContentError("beyond-role", f"grants: the role {name} grants nothing")
    beyond = grants.flags_used & ~_MAY_GRANT[grants.role]
    if beyond:
        raise ContentError(
            "beyond-role", f"grants: code flags {int(beyond)} are beyond the role {name}"
        )
    if grants.elevate and grants.role is not Role.OS:
        raise ContentError("beyond-role", f"grants: elevations are beyond the role {name}")
    if grants.config and grants.role is Role.EXTENSION:
        raise ContentError("beyond-role", f"grants: configuration is beyond the role {name}")


def check_extension(
    entries: Iterable[Entry], heads: Mapping[bytes, bytes], listed: Listed = nothing_listed
) -> None:
    """Refuse a tree with a file that an extension can't be granted (``beyond-role``), by name.

    A listed one is refused as well: granted without its flag, an interpreter would start at will.
    """
    for entry in entries:
        if entry.digest is None:
            continue
        code = code_flags(entry, heads[entry.digest])
        if code & ~_MAY_GRANT[Role.EXTENSION]:
            what = "a kernel module or firmware"
        elif elevation_of(entry, code) is not None:
            what = "a program that raises privileges (set-uid, set-gid or file capabilities)"
        elif listed(entry) & may_be_listed(code):
            what = "a program that the policy lists as interpreter or jit"
        else:
            continue
        raise ContentError(
            "beyond-role",
            f"{printable(entry.path)}: {what}, which an extension may not bring",
            hint="leave it out, or drop its bits; only the vendor's role os grants such files",
        )


def code_flags(entry: Entry, head: bytes) -> Code:
    """The code flags of one regular file."""
    flags = NOTHING
    if is_module(entry):
        flags |= Code.MODULE
    if not head.startswith(_CODE):  # nearly every file
        return flags
    found = elf.inspect(head)
    runnable = bool(entry.mode & _EXECUTE)
    if runnable and found.has_entry:
        flags |= Code.EXEC
    if runnable and found.script:
        flags |= Code.SCRIPT
    if found.is_dynamic:
        flags |= Code.LIBRARY
    return flags


def is_module(entry: Entry) -> bool:
    """Whether a regular file is for the kernel to run, or firmware for a device."""
    return entry.path.endswith(MODULE_SUFFIXES) or entry.path.startswith(FIRMWARE)


def elevation_of(entry: Entry, code: Code) -> ElevateEntry | None:
    """How starting this file would raise privileges, or None."""
    if not code & RUNS or entry.digest is None:
        return None
    set_uid, set_gid = set_id_bits(entry.mode)
    capabilities = permitted_capabilities(entry)
    if not (set_uid or set_gid or capabilities):
        return None
    return ElevateEntry(
        digest=entry.digest,
        set_bits=set_uid | set_gid,
        uid=entry.uid if set_uid else 0,
        gid=entry.gid if set_gid else 0,
        capabilities=capabilities,
    )


def set_id_bits(mode: int) -> tuple[int, int]:
    """The set-uid and set-gid bits that have an effect on execve(2).

    S_ISGID without the group's execute bit means mandatory locking (inode(7)).
    """
    return mode & stat.S_ISUID, (mode & stat.S_ISGID) if mode & _GROUP_EXECUTE else 0


def permitted_capabilities(entry: Entry) -> int:
    """The permitted set of ``security.capability``, 0 without one (capabilities(7))."""
    value = dict(entry.xattrs).get(b"security.capability")
    if value is None:
        return 0
    revision = struct.unpack_from("<I", value)[0] & 0xFF000000 if len(value) >= 4 else 0
    rootid = 0
    if revision == 0x02000000 and len(value) == 20:
        _, low, _, high, _ = struct.unpack("<5I", value)
    elif revision == 0x03000000 and len(value) == 24:
        _, low, _, high, _, rootid = struct.unpack("<6I", value)
    else:
        low = high = rootid = -1
    if rootid:
        raise ContentError(
            "bad-capability",
            f"{printable(entry.path)}: security.capability of {len(value)} bytes is neither"
            " revision 2 nor revision 3 with root id 0",
            hint="set it anew with setcap(8), in the initial user namespace",
        )
    return int(high << 32 | low)
